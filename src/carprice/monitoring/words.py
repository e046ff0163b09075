"""Numbers and texts of the data, as people read them."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

_LONGEST: Final = 1_000
_MOST_DIGITS: Final = 10
_DIGEST: Final = re.compile(r"\b([0-9a-f]{10})[0-9a-f]{22,}\b")
_UNSEEN: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]+"
)
"""Control characters, those that turn the direction of writing, and halves of characters."""

Cell = str | float | None


def numbers(values: Sequence[Cell], *, are_round: bool = False) -> list[str]:
    """Return the values of a column as people read them: with as many decimals, a dash for none.

    They are rounded to three digits of the largest, unless they are round numbers as they are.

    Examples
    --------
    >>> numbers([92.5, 100]), numbers([92.5, 100], are_round=True)
    (['92', '100'], ['92.5', '100.0'])
    >>> numbers([-3.14159, 12, None, "Kia"]), numbers([1234567.8, 5]), numbers([0.00012])
    (['−3.1', '12.0', '–', 'Kia'], ['1,234,568', '5'], ['0.00012'])
    """
    known = [value for one in values if (value := finite(one)) is not None]
    largest = max(map(abs, known), default=0.0)
    most = max(0, min(6, 2 - math.floor(math.log10(largest)))) if largest else 0
    most = _MOST_DIGITS if are_round else most
    digits = next(
        count
        for count in range(most + 1)
        if count == most or all(round(one, count) == round(one, most) for one in known)
    )
    return [_shown(value, digits) for value in values]


def number(value: Cell) -> str:
    """Return one value as people read it.

    Examples
    --------
    >>> number(12), number(8.4), number("2026-01")
    ('12', '8.4', '2026-01')
    """
    return numbers([value])[0]


def _shown(value: Cell, digits: int) -> str:
    if isinstance(value, str):
        return value
    if (known := finite(value)) is None:
        return "–"
    return f"{round(known, digits) or 0.0:,.{digits}f}".replace("-", "−")


def finite(value: Cell) -> float | None:
    """Return a finite number, or None."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def facts_in_words(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return facts as people read them; what is not known is left out, of a digest the end.

    Examples
    --------
    >>> facts_in_words({"model_version": "7", "answers": 12345, "last": None, "out": {"a": 2}})
    {'model version': '7', 'answers': '12,345', 'out': 'a 2'}
    """
    shown: dict[str, str] = {}
    for name, fact in facts.items():
        if fact not in (None, {}):
            shown[name.replace("_", " ")] = _in_words(fact)
    return shown


def _in_words(fact: Any) -> str:
    if isinstance(fact, Mapping):
        return ", ".join(f"{name} {_in_words(one)}" for name, one in fact.items())
    text = number(fact) if isinstance(fact, int | float) else str(fact)
    return _DIGEST.sub(r"\1…", text)


def plain(value: object) -> str:
    r"""Return a text of the data as one line of at most 1,000 letters, shown as it is written.

    Examples
    --------
    >>> plain("Kia\n\u202eaiK")
    'Kia aiK'
    """
    return " ".join(_UNSEEN.sub(" ", str(value)[:_LONGEST]).split())
