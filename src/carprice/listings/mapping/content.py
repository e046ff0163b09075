"""What the values of a column are, whatever its name: makes, fuels, flags, titles of cars."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import pandas as pd

from carprice.listings.cells import Cells, as_text
from carprice.listings.mapping.names import ColumnName, tables
from carprice.listings.own import FLAGS
from carprice.listings.synonyms import SYNONYMS, canonical, folded

_MOST_VALUES: Final = 3000
_WORDS: Final = re.compile(r"[^\W\d_]{3,}")
_YEAR_FIRST: Final = re.compile(r"^(?:19|20)\d\d\s+")
_ALSO: Final = frozenset({"gas", "other", "others", "unknown"})
"""Values of a category that are no name of one kind."""
_LONGEST_MAKE: Final = 3
CATEGORIES: Final = {
    "transmission_type": "transmission",
    "fuel_type": "fuel",
    "body_type": "body",
    "drive": "drive",
}
"""The fields whose values have a table of synonyms, and its name."""


def _listed(table: str) -> list[list[str]]:
    return [line.strip().split(", ") for line in tables()[table].splitlines() if line.strip()]


MAKES: Final = {folded(name): line[0] for line in _listed("makes") for name in line}
"""Each spelling of a make, folded, and the make's usual name."""
PHRASES: Final = tuple(name for line in _listed("models") for name in line)
"""Names of models of several words."""


@dataclass(frozen=True)
class Column:
    """A column of the first rows.

    Attributes
    ----------
    name : its name.
    raw : its cells, without empty ones.
    """

    name: ColumnName
    raw: pd.Series

    @cached_property
    def values(self) -> list[tuple[Any, int]]:
        """Its distinct values, and in how many rows each is; the most frequent of many."""
        cells = Cells.of(self.raw)
        pairs = zip(cells.values, cells.rows().tolist(), strict=True)
        return sorted(pairs, key=lambda pair: -pair[1])[:_MOST_VALUES]

    @cached_property
    def texts(self) -> list[tuple[str, int]]:
        """Its distinct values as texts, and in how many rows each is."""
        return [(as_text(value), rows) for value, rows in self.values]

    def share(self, test: Callable[[str], object]) -> float:
        """Return in what share of the rows a test of the text is true."""
        total = sum(rows for _, rows in self.texts)
        return sum(rows for text, rows in self.texts if test(text)) / total if total else 0.0

    @cached_property
    def numeric(self) -> float:
        """The share of rows that are digits and signs alone."""
        return self.share(lambda text: text and not any(map(str.isalpha, text)))

    @cached_property
    def makes(self) -> float:
        """The share of rows that are a make which is known."""
        return self.share(lambda text: folded(text) in MAKES)

    @cached_property
    def titles(self) -> float:
        """The share of rows that start with a make which is known, and go on."""
        return self.share(lambda text: 0 < len(make_at_start(_without_year(text))) < len(text))

    @cached_property
    def has_year_first(self) -> bool:
        """Whether its texts start with a year."""
        return self.share(lambda text: _without_year(text) != text) > 0.5

    @cached_property
    def words(self) -> float:
        """The median number of words of a distinct value."""
        return float(np.median([len(text.split()) for text, _ in self.texts])) if self.texts else 0

    def known(self, field: str) -> float:
        """Return the share of rows with a usual word for a fuel, a gearbox, a body or a drive."""
        category = CATEGORIES[field]
        return self.share(lambda text: is_known(category, text))

    def known_words(self, field: str) -> tuple[str, ...]:
        """Return the usual words for a fuel, a gearbox … that stand inside the texts."""
        category = CATEGORIES[field]
        words = {word for text, _ in self.texts for word in _WORDS.findall(text)}
        return tuple(sorted(word for word in words if is_known(category, word)))

    @cached_property
    def is_flag(self) -> bool:
        """Whether all its values mean yes or no."""
        known = {FLAGS.get(text.lower()) for text, _ in self.texts[:5]}
        return len(self.values) <= 4 and 1.0 in known and None not in known


def nested(frame: pd.DataFrame) -> list[str]:
    """Return the columns whose cells hold objects, which no rule reads."""
    first = {str(name): frame[name].dropna().head(1).tolist() for name in frame}
    return [name for name, cells in first.items() if cells and _has_objects(cells[0])]


def of_objects(names: Sequence[str]) -> str:
    """Return what to do about columns of objects."""
    return (
        f"{', '.join(names)}: these columns hold objects, which no rule reads; write what is in "
        "them into columns of their own, as pandas.json_normalize does"
    )


def _has_objects(value: object) -> bool:
    is_list = isinstance(value, list | np.ndarray) and len(value) > 0
    return isinstance(value, dict) or (is_list and isinstance(value[0], dict))  # type: ignore[index]


def share_of_one_make(make: Column, column: Column) -> float:
    """Return the share of rows whose value stands beside one make, as models do, and trims less."""
    values = column.raw.astype(str)
    pairs = pd.DataFrame({"make": make.raw.astype(str), "value": values}).dropna()
    counts = pairs.groupby("value")["make"].agg(lambda of: of.value_counts().iloc[0])
    return float(counts.sum() / len(pairs)) if len(pairs) else 0.0


def _without_year(text: str) -> str:
    return _YEAR_FIRST.sub("", text)


def is_known(category: str, text: str) -> bool:
    """Whether a text is a usual word for a fuel, a gearbox, a body or a drive."""
    return text.lower() in _ALSO or canonical(category, text.lower()) in SYNONYMS[category]


def make_at_start(text: str) -> str:
    """Return the words of the make that a text starts with; empty if none is known.

    Examples
    --------
    >>> make_at_start("Land Rover Discovery"), make_at_start("大众高尔夫"), make_at_start("Car")
    ('Land Rover', '大众', '')
    """
    words = text.split()
    for count in range(min(_LONGEST_MAKE, len(words)), 0, -1):
        start = " ".join(words[:count])
        if folded(start) in MAKES:
            return start
    if text[:1] > "\u2e80":
        for length in range(min(8, len(text)), 1, -1):
            if folded(text[:length]) in MAKES:
                return text[:length]
    return ""
