"""Leave out rows that are no listings to learn from, by the values of the source's own columns."""

import difflib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final, Literal

import numpy as np
import pandas as pd

from carprice.errors import InputError
from carprice.listings.cells import Cells, as_text
from carprice.listings.sources.chunks import Chunk, nearest
from carprice.listings.values import replacer
from carprice.schema import column_name
from carprice.settings import RowSettings, Value

_ALIKE: Final = 0.8
_VALUES_SHOWN: Final = 10
_MOST_VALUES: Final = 10_000


class RowFilter:
    """Says which rows of a source are left out by ``ingest.rows``, chunk by chunk.

    Attributes
    ----------
    left_out : number of rows left out, by reason; each is counted under its first reason.
    """

    def __init__(self, settings: RowSettings, *, all_columns: bool = True) -> None:
        """Prepare; without ``all_columns``, a column that a file lacks leaves nothing out."""
        self.left_out: Counter[str] = Counter()
        self._all_columns = all_columns
        self._rows = 0
        self._columns = [
            *(_Column("keep", name, values) for name, values in settings.keep.items()),
            *(_Column("drop", name, values) for name, values in settings.drop.items()),
        ]

    def reasons(self, chunk: Chunk, label: str) -> pd.Series:
        """Return why rows of a chunk are left out: texts, with the index of these rows.

        It is an InputError if the chunk lacks a column.
        """
        frame = chunk.frame
        names = [*map(column_name, frame.columns)]
        why = np.full(len(frame), None, dtype=object)
        for column in self._columns:
            if column.name in names:
                raw = frame.iloc[:, names.index(column.name)]
                out = column.leaves_out(raw) & pd.isna(why)
                self.left_out[column.reason] += int(out.sum())
                why[out] = [
                    f"{column.reason} is {'empty' if pd.isna(value) else repr(as_text(value))}"
                    for value in raw.to_numpy(dtype=object)[out]
                ]
            elif self._all_columns:
                raise InputError(
                    f"{label} has no column {column.name!r}, which ingest.rows.{column.key} names; "
                    f"correct the name or take it out; the file's columns are "
                    f"{nearest(column.name, names)}"
                )
        self._rows += len(frame)
        reasons = pd.Series(why, frame.index, dtype=object)
        return reasons[reasons.notna()]

    def plus(self, later: "RowFilter") -> None:
        """Add what another found in the chunks after this one's."""
        self.left_out.update(later.left_out)
        self._rows += later._rows
        for column, other in zip(self._columns, later._columns, strict=True):
            column.plus(other)

    def notes(self, label: str) -> Iterator[str]:
        """Yield what to know once all rows have been seen: values that occur nowhere.

        It is an InputError if such a value looks misspelt, or if no row is left.
        """
        for column in self._columns:
            for value in column.unmet():
                where = f"ingest.rows.{column.key}.{column.name}"
                if meant := column.nearly(value):
                    raise InputError(
                        f"{label}: {value!r} of {where} occurs nowhere, and {meant!r} does; "
                        "correct it, or take it out"
                    )
                shown = "an empty cell" if value is None else repr(value)
                yield f"{where}: {shown} occurs nowhere; the values are {column.values_told()}"
        if self._rows and self._rows == self.left_out.total():
            told = ", ".join(f"{rows:,} {why}" for why, rows in self.left_out.items() if rows)
            values = "; ".join(
                f"the values of {one.name} are {one.values_told()}" for one in self._columns
            )
            raise InputError(
                f"{label}: ingest.rows leaves none of {self._rows:,} rows ({told}); {values}"
            )


class _Column:
    """One column of ``keep`` or ``drop``: its values, those that were met, and all that it has."""

    def __init__(self, key: Literal["keep", "drop"], name: str, values: tuple[Value, ...]) -> None:
        self.key, self.name = key, column_name(name)
        self.reason = f"left out by ingest.rows.{key}: {self.name}"
        self._values = values
        self._met: set[int] = set()
        self._has: Counter[str] = Counter()
        places = {value: _Place(n) for n, value in enumerate(values) if value is not None}
        self._find: Callable[[object], object] = replacer(places)

    def leaves_out(self, raw: pd.Series) -> np.ndarray:
        """Return which of n cells say that their row is left out."""
        cells = Cells.of(raw)
        places = [self._place(value) for value in cells.values]
        for value, rows in zip(cells.values, cells.rows().tolist(), strict=True):
            text = "" if value is None else as_text(value)
            if text in self._has or len(self._has) < _MOST_VALUES:
                self._has[text] += rows
        empty = int((cells.codes < 0).sum())
        self._has[""] += empty
        places.append(self._place(None))  # the code of an empty cell is -1
        met = {places[code] for code in np.unique(cells.codes).tolist()} - {None}
        self._met |= {place for place in met if place is not None}
        is_listed = np.array([place is not None for place in places])[cells.codes]
        return np.asarray(~is_listed if self.key == "keep" else is_listed)

    def plus(self, later: "_Column") -> None:
        """Add what another found in the cells after these."""
        self._met |= later._met
        for text, rows in later._has.items():
            if text in self._has or len(self._has) < _MOST_VALUES:
                self._has[text] += rows

    def unmet(self) -> list[Value]:
        """Return the values that no cell has."""
        return [value for n, value in enumerate(self._values) if n not in self._met]

    def nearly(self, value: Value) -> str | None:
        """Return a text of the column that a value may be meant for."""
        if not isinstance(value, str):
            return None
        listed = {as_text(one).casefold() for one in self._values}
        texts = {
            text.casefold(): text
            for text in self._has
            if text and not text[0].isdigit() and text.casefold() not in listed
        }
        close = difflib.get_close_matches(value.casefold(), texts, n=1, cutoff=_ALIKE)
        return texts[close[0]] if close else None

    def values_told(self) -> str:
        """Write the commonest values and how many rows have each."""
        common = [(text, rows) for text, rows in self._has.most_common() if rows]
        shown = ", ".join(
            f"{repr(text) if text else 'empty'} ({rows:,})" for text, rows in common[:_VALUES_SHOWN]
        )
        rest = len(common) - _VALUES_SHOWN
        return shown + (f" and {rest} more" if rest > 0 else "")

    def _place(self, value: Any) -> int | None:
        if value is None or as_text(value) == "":
            return self._values.index(None) if None in self._values else None
        found = self._find(value)
        return found.number if isinstance(found, _Place) else None


class _Place:
    """The place of a value in the list of a column."""

    def __init__(self, number: int) -> None:
        self.number = number
