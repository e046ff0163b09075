"""Numbers as a reader's language writes them, as far as grouping goes.

The page's module writes them again with the browser's own knowledge, where it runs.
"""

import re
from dataclasses import dataclass
from typing import Final

_POINTS: Final = "da de el es hr id is it nl pt ro sl sr tr vi"
_SPACES: Final = "bg cs et fi fr hu lt lv nb nn no pl ru sk sv uk"
_THIN: Final = "\N{NO-BREAK SPACE}"
_MINUS: Final = "\N{MINUS SIGN}"
_LANGUAGE: Final = re.compile(r"\s*([A-Za-z]{2,3})(?:-[A-Za-z0-9]+)*\s*(?:;|$)")


@dataclass(frozen=True)
class Numerals:
    """How numbers are grouped, and what stands before their decimals."""

    group: str = ","
    decimal: str = "."
    is_indian: bool = False

    @classmethod
    def of(cls, accept_language: str) -> "Numerals":
        r"""Return those of the first language that a request names.

        Examples
        --------
        >>> [Numerals.of(one).number(1234567.5) for one in ("de-AT,en", "en-IN", "sv", "?")]
        ['1.234.568', '12,34,568', '1\xa0234\xa0568', '1,234,568']
        """
        first = accept_language.partition(",")[0]
        found = _LANGUAGE.match(first)
        language = found[1].lower() if found else "en"
        if language in _POINTS.split() and "-CH" not in first:
            return cls(".", ",")
        if language in _SPACES.split():
            return cls(_THIN, ",")
        return cls(is_indian=language == "hi" or "-IN" in first)

    def number(self, value: float, digits: int = 0, *, signed: bool = False) -> str:
        """Return a number with its groups, and its sign where that is asked for.

        Examples
        --------
        >>> Numerals().number(-1234.56, 1), Numerals().number(0.1, signed=True)
        ('\N{MINUS SIGN}1,234.6', '0')
        """
        whole, _, decimals = f"{abs(value):.{digits}f}".partition(".")
        shown = _grouped(whole, self.group, 2 if self.is_indian else 3)
        if decimals:
            shown += self.decimal + decimals
        if not any(sign in "123456789" for sign in shown):
            return shown
        return (_MINUS if value < 0 else "+" if signed else "") + shown

    def money(self, value: float, currency: str, *, signed: bool = False) -> str:
        r"""Return an amount after the currency's code.

        Examples
        --------
        >>> Numerals(".", ",").money(12345.6, "EUR"), Numerals().money(9.5, "USD")
        ('EUR\xa012.346', 'USD\xa09.50')
        """
        return f"{currency}{_THIN}{self.number(value, digits_of(value), signed=signed)}"


def digits_of(value: float) -> int:
    """Return how many decimals of an amount are shown: those of small ones only."""
    return 2 if 0 < abs(value) < 100 else 0


def _grouped(whole: str, sign: str, size: int) -> str:
    rest, groups = whole[:-3], [whole[-3:]]
    while rest:
        groups.append(rest[-size:])
        rest = rest[:-size]
    return sign.join(reversed(groups))
