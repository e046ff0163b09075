"""What names of columns say: the field, and what its numbers are in.

``names.yaml`` has the names of the world's larger markets.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

import yaml

from carprice.listings.numbers import PRICED, Quantity, read_quantity, tells_cents
from carprice.schema import CAR_ID, FIELDS, PRICE, names_of

EXACT, WHOLE, WORD, PART = 4, 3, 2, 1
"""How surely a name names a field: it is one of its names, is one beside a unit, has one among its
words, or has one inside a word."""

_SHORTEST_PART: Final = 5
_BRACKETS: Final = re.compile(r"[(\[{]([^)\]}]*)[)\]}]")
_BOUNDARY: Final = re.compile(r"(?<=[a-z]{2})(?=[A-Z])|(?<=[a-z])(?=[A-Z][a-z])")
_SIGNS: Final = re.compile(r"[TtKk]?[€$£₹¥₩₽₺₴₪₫฿₦₱₸]")
_THOUSANDS: Final = ((re.compile(r"^t(?=€|eur)"), "tsd "), (re.compile(r"^['’]?000s?\b"), "1000"))
_IN: Final = re.compile(r"^(?:in|en|em) ")
_MILES: Final = re.compile(r"^mil(?:es)?\b(?: de\b)?")
"""A thousand in Spanish and Portuguese."""
_SCALES: Final = (1, *(10.0**power for power in range(3, 10)))
_LINKS: Final = frozenset({"in", "en", "em", "w", "v", "в", "the", "of", "per"})


@cache
def tables() -> Mapping[str, Any]:
    """Return what ``names.yaml`` holds."""
    text = files("carprice.listings.mapping").joinpath("names.yaml").read_text(encoding="utf-8")
    content: Mapping[str, Any] = yaml.safe_load(text)
    return content


@cache
def names(field: str) -> tuple[str, ...]:
    """Return the names of a field's columns, plain; the first is preferred."""
    own = names_of(field) if field in (*FIELDS, PRICE) else ()
    listed = tables()["columns"].get(field, "").split()
    return tuple(dict.fromkeys(map(plain_name, (*own, *listed))))


@cache
def words(table: str) -> frozenset[str]:
    """Return the words of a table, plain."""
    return frozenset(map(plain_name, tables()[table].split()))


@cache
def _words_for(field: str, table: str) -> frozenset[str]:
    return frozenset(map(plain_name, tables()[table].get(field, "").split()))


def plain_name(name: object) -> str:
    """Return letters and digits only, in lower case.

    Examples
    --------
    >>> plain_name("Km_Driven "), plain_name("Boîte de vitesse")
    ('kmdriven', 'boîtedevitesse')
    """
    text = unicodedata.normalize("NFKC", str(name)).casefold()
    text = unicodedata.normalize("NFC", text)
    return _letters(text, "")


def _letters(text: str, other: str) -> str:
    """Keep letters, their marks and digits; what stands between them becomes ``other``."""
    return "".join(
        sign if sign.isalnum() or unicodedata.category(sign)[0] == "M" else other for sign in text
    )


@dataclass(frozen=True)
class ColumnName:
    """The name of a column.

    Attributes
    ----------
    text : as the file has it.
    words : its words, plain; what stands in brackets is none of them.
    notes : what stands in brackets, and signs of currencies.
    """

    text: str
    words: tuple[str, ...]
    notes: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> "ColumnName":
        """Part a name.

        Examples
        --------
        >>> ColumnName.of("Power_kW").words, ColumnName.of("yearOfRegistration").words
        (('power', 'kw'), ('year', 'of', 'registration'))
        >>> ColumnName.of("里程（万公里）")
        ColumnName(text='里程（万公里）', words=('里程',), notes=('万公里',))
        """
        folded = unicodedata.normalize("NFKC", text)
        outside = _BRACKETS.sub(" ", folded)
        if not plain_name(outside):
            outside = folded
        parts = _letters(_BOUNDARY.sub(" ", outside), " ").split()
        notes = (*_BRACKETS.findall(folded), *_SIGNS.findall(outside))
        return cls(text, tuple(filter(None, map(plain_name, parts))), notes)

    @property
    def plain(self) -> str:
        """All its words in one."""
        return "".join(self.words)

    def level(self, field: str) -> tuple[int, int]:
        """Return how surely it names a field (0: not at all), and the place of that name."""
        known = {name: place for place, name in enumerate(names(field))}
        if self.plain in known:
            is_vague = self.plain in _words_for(field, "vague")
            return (PART if is_vague else EXACT), known[self.plain]
        if self.tells_another(field):
            return 0, 0
        for shorter in self._without_units(field):
            if shorter in known:
                return WHOLE, known[shorter]
        runs = {
            "".join(self.words[start:end])
            for start in range(len(self.words))
            for end in range(start + 1, len(self.words) + 1)
        }
        if found := runs & known.keys():
            return WORD, min(map(known.__getitem__, found))
        inside = [name for name in known if _is_long(name) and name in self.plain]
        return (PART, min(map(known.__getitem__, inside))) if inside else (0, 0)

    def tells_another(self, field: str) -> bool:
        """Whether one of its words says that it is no such number, as ``MSRP`` is no price."""
        return self.has_word(_words_for(field, "never"))

    def has_word(self, table: frozenset[str]) -> bool:
        """Whether one of its words, or a long part of them, is in a table."""
        return not table.isdisjoint(self.words) or any(
            _is_long(name) and name in self.plain for name in table
        )

    def told(self, field: str) -> Quantity | None:
        """Return what one of its numbers is, as far as the name says: a scale, unit or currency.

        Examples
        --------
        >>> ColumnName.of("Price (in Lakhs)").told("price")
        Quantity(number=100000.0, unit='', currency='', scaled=True)
        >>> ColumnName.of("cena_tys_PLN").told("price")
        Quantity(number=1000.0, unit='', currency='pln', scaled=True)
        """
        if field in PRICED and tells_cents(self.text):
            return Quantity(0.01)
        for note in (*self.notes, *self._endings()):
            text = note.strip().casefold().lstrip("x*× ")
            text = _IN.sub("", text)
            if self.is_of_thousands:
                text = _MILES.sub("tsd ", text)
            for pattern, written in _THOUSANDS:
                text = pattern.sub(written, text)
            start = "" if text[:1].isdigit() else "1 "
            read = read_quantity(start + text, field, ".")
            if text and read and read.number in _SCALES and (read.number != 1 or read.name):
                return read
        return None

    @property
    def is_of_kilometres(self) -> bool:
        """Whether its own words, not those in brackets, tell kilometres."""
        return self.has_word(words("kilometres"))

    @property
    def is_of_thousands(self) -> bool:
        """Whether ``miles`` and ``mil`` in it, or beside its values, mean thousands.

        Examples
        --------
        >>> ColumnName.of("Km (miles)").is_of_thousands, ColumnName.of("Miles").is_of_thousands
        (True, False)
        """
        return self.is_of_kilometres or self.has_word(words("iberian"))

    @property
    def is_of_tens(self) -> bool:
        """Whether it is Swedish and tells ``mil``, ten kilometres.

        Examples
        --------
        >>> ColumnName.of("Mätarställning (mil)").is_of_tens, ColumnName.of("Km (mil)").is_of_tens
        (True, False)
        """
        is_swedish = self.plain == "miltal" or self.has_word(words("swedish"))
        is_told = self.plain == "miltal" or "mil" in {*self.words, *map(plain_name, self.notes)}
        return is_swedish and is_told and not self.is_of_thousands

    @property
    def has_miles(self) -> bool:
        """Whether it has the word ``miles`` or ``mil``, which may mean thousands."""
        return any(
            _MILES.match(_IN.sub("", text.strip().casefold()))
            for text in (*self.notes, *self.words)
        )

    def _endings(self) -> Iterator[str]:
        for start in range(max(len(self.words) - 3, 0), len(self.words)):
            yield " ".join(self.words[start:])

    def _without_units(self, field: str) -> Iterator[str]:
        for end in range(len(self.words) - 1, 0, -1):
            rest = [word for word in self.words[end:] if word not in _LINKS]
            if rest and read_quantity("1 " + " ".join(rest), field, ".") is None:
                return
            yield "".join(self.words[:end])


def field_levels(name: ColumnName) -> dict[str, tuple[int, int]]:
    """Return the fields that a name may name, each with :meth:`ColumnName.level`."""
    every = {field: name.level(field) for field in (PRICE, *FIELDS, CAR_ID)}
    return {field: found for field, found in every.items() if found[0]}


def currency_of_language(columns: Mapping[str, ColumnName]) -> str:
    """Return the currency of most listings in the language of the columns; empty if not known."""
    found = {name.plain for name in columns.values()}
    for currency, listed in tables()["languages"].items():
        if found & {*map(plain_name, listed.split())}:
            return str(currency)
    return ""


def _is_long(name: str) -> bool:
    return len(name) >= (_SHORTEST_PART if name.isascii() else 2 + (ord(name[0]) < 0x2E80) * 3)
