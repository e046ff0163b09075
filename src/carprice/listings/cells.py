"""The distinct values of a column: each is read once, however many rows hold it."""

import functools
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import pandas as pd

from carprice.arrays import Floats

UNREADABLE: Final = object()
"""Marks a value that is not of its field's kind."""


def as_text(value: object) -> str:
    """Return a value as a person writes it: single spaces, no decimals of a whole number.

    Letters are composed: files write é as one sign or as two.
    """
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    text = " ".join(str(value).split())
    return text if text.isascii() else unicodedata.normalize("NFC", text)


@dataclass(frozen=True)
class Cells:
    """The distinct values of a column of n rows.

    Attributes
    ----------
    values : each value once; None where it is empty.
    codes : the place of each row's value; -1 for an empty cell. ``int64``, shape (n,).
    """

    values: list[Any]
    codes: np.ndarray

    @classmethod
    def of(cls, raw: pd.Series, prepare: Callable[[Any], Any] | None = None) -> Self:
        """Find the distinct values, and prepare each of them."""
        if pd.api.types.is_bool_dtype(raw.dtype):
            raw = raw.astype(object)
        try:
            codes, values = pd.factorize(raw)
        except TypeError:
            codes, values = pd.factorize(raw.map(_hashable).astype(object))
        different = np.asarray(values, dtype=object).tolist()
        return cls([*map(prepare, different)] if prepare else different, codes)

    @functools.cached_property
    def digits(self) -> Floats | None:
        """The values as numbers, where all are texts of digits alone."""
        if not all(isinstance(one, str) and one.isascii() and one.isdigit() for one in self.values):
            return None
        return np.array([*map(float, self.values)]) if self.values else None

    def rows(self) -> np.ndarray:
        """Return in how many rows each value stands."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.values))

    def read(self, reader: Callable[[Any], Any], missing: Any) -> tuple[np.ndarray, np.ndarray]:
        """Read each value; return what each row holds, and which cells cannot be read."""
        return self.spread([None if one is None else reader(one) for one in self.values], missing)

    def spread(self, read: Sequence[Any], missing: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return what each row holds, given what each value was read as; and what was not read."""
        # One more place than values: the code of an empty cell is -1.
        found = np.full(len(read) + 1, missing)
        bad = np.zeros(len(read) + 1, dtype=bool)
        for place, value in enumerate(read):
            if value is UNREADABLE:
                bad[place] = True
            elif value is not None:
                found[place] = value
        return found[self.codes], bad[self.codes]


def _hashable(value: object) -> object:
    if isinstance(value, list | tuple | set | np.ndarray):
        return tuple(as_text(item) for item in value)
    return str(value) if isinstance(value, dict) else value


def categories(codes: np.ndarray, texts: Sequence[Any]) -> pd.Categorical:
    """Return a column of texts; -1 is the code of a missing one."""
    return pd.Categorical.from_codes(codes, pd.Index(texts, dtype=object), validate=False)


def with_categories(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table of texts and numbers whose texts are categories: each is held once."""
    places = range(frame.shape[1])
    columns = {place: _as_categories(frame.iloc[:, place]) for place in places}
    return pd.DataFrame(columns, frame.index, copy=False).set_axis(frame.columns, axis=1)


def with_texts(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table with its categories as texts; None where one is missing.

    Some rows of a table have its categories, all of them: what is kept or sent of them has texts,
    or :func:`with_own_categories`.
    """
    found = frame.copy(deep=False)
    for name, column in frame.items():
        if isinstance(column.dtype, pd.CategoricalDtype):
            texts = np.where(column.isna(), None, column.to_numpy(dtype=object))
            found[name] = pd.Series(texts, frame.index, dtype=object)
    return found


def with_own_categories(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose categories are those of its rows, to be sent."""
    found = frame.copy(deep=False)
    for name, column in frame.items():
        if isinstance(column.dtype, pd.CategoricalDtype):
            found[name] = column.cat.remove_unused_categories()
    return found


def stacked(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """Return the rows of tables of the same columns as one table; the tables are used up.

    So no more than one column is held twice.
    """
    columns = {}
    for name in frames[0].columns:
        parts = [frame.pop(name) for frame in frames]
        if isinstance(parts[0].dtype, pd.CategoricalDtype):
            columns[name] = pd.api.types.union_categoricals(parts)
        else:
            columns[name] = np.concatenate([part.to_numpy() for part in parts])
    return pd.DataFrame(columns, copy=False)


def _as_categories(column: pd.Series) -> pd.Series:
    if not pd.api.types.is_string_dtype(column.dtype):
        return column
    return pd.Series(categories(*pd.factorize(column.to_numpy(dtype=object))), column.index)
