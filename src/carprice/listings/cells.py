"""The distinct values of a column: each is read once, however many rows hold it."""

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import pandas as pd

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
    def of(cls, raw: pd.Series, prepare: Callable[[Any], Any] = lambda value: value) -> Self:
        """Find the distinct values, and prepare each of them."""
        if pd.api.types.is_bool_dtype(raw.dtype):
            raw = raw.astype(object)
        try:
            codes, values = pd.factorize(raw)
        except TypeError:
            codes, values = pd.factorize(raw.map(_hashable).astype(object))
        return cls([prepare(value) for value in np.asarray(values, dtype=object)], codes)

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
