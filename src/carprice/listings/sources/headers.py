"""Which row of a table of cells names its columns, and what keeps a row from being a header."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import pandas as pd

from carprice.errors import InputError, LayoutError
from carprice.schema import PRICE, column_name, names_of
from carprice.settings import IngestSettings

ROWS_LOOKED_AT: Final = 20
NUMBER: Final = re.compile(r"[^\w\s]?\s*\d[\d.,'\s]*\s*[^\w\s]?|\d{1,4}([-/.]\d{1,4}){2}.*")
_SHOWN: Final = 40


@dataclass(frozen=True)
class Row:
    """One row of a file.

    Attributes
    ----------
    number : its line in the file, or its row in the sheet, counted from 1.
    cells : its values as text without spaces around them; "" for an empty one.
    """

    number: int
    cells: tuple[str, ...]

    @property
    def filled(self) -> int:
        """The number of cells that are not empty."""
        return sum(map(bool, self.cells))

    @property
    def has_numbers(self) -> bool:
        """Whether any cell is a number or a date of digits."""
        return any(NUMBER.fullmatch(cell) for cell in self.cells)


def as_row(number: int, cells: Iterable[object]) -> Row:
    """Return a row of any values; None and NaN are empty."""
    texts = ("" if pd.isna(cell) else str(cell).strip() for cell in cells)
    return Row(number, tuple(texts))


def known_names(settings: IngestSettings) -> frozenset[str]:
    """Return the names of columns that the settings or the fields' own names speak of."""
    names = {name for field in (*settings.fields, PRICE) for name in names_of(field)}
    for rule in settings.columns.values():
        if rule is not None:
            names |= {*rule.columns}
    names |= {*map(column_name, (*settings.rows.keep, *settings.rows.drop))}
    return frozenset(names - {""})


def with_names(frame: pd.DataFrame) -> pd.DataFrame:
    """Name the columns of a table without a header.

    Examples
    --------
    >>> list(with_names(pd.DataFrame([["Kia", 2019]])).columns)
    ['column 1', 'column 2']
    """
    names = [f"column {place}" for place in range(1, frame.shape[1] + 1)]
    return frame.set_axis(names, axis=1)


def find_header(rows: Sequence[Row], settings: IngestSettings, label: str) -> int:
    """Return the number of the row that names the columns; 0 if the file has no such row.

    Parameters
    ----------
    rows : the first rows, those without any value left out.
    label : the file, for messages.

    Raises
    ------
    InputError
        If ``ingest.header_row`` is not given and the first row looks like no header, or if a name
        stands twice in the header.
    """
    given = settings.header_row
    if given == 0 or not rows:
        return given or 0
    if given is None:
        _refuse_no_header(rows, known_names(settings), label)
        number = rows[0].number
    else:
        number = given
    refuse_repeated(next((row.cells for row in rows if row.number == number), ()), label)
    return number


def refuse_repeated(names: Iterable[str], label: str) -> None:
    """Raise an InputError if two columns have one name."""
    for name, count in Counter(filter(None, names)).items():
        if count > 1:
            raise InputError(
                f"{label} has {count} columns of the name {name!r}; rename all but one, so that "
                "it is sure which of them is read"
            )


def _refuse_no_header(rows: Sequence[Row], known: frozenset[str], label: str) -> None:
    first, rest = rows[0], rows[1:]
    widest = max(row.filled for row in rows)
    if not known.intersection(first.cells):
        if 2 * first.filled <= widest and widest >= 3:
            _refuse_title(first, rest, widest, label)
        if sum(bool(NUMBER.fullmatch(cell)) for cell in first.cells) >= min(2, len(first.cells)):
            raise LayoutError(
                f"{label} has no header: its first row is {_shown(first)}; set "
                "ingest.header_row: 0, and name its columns 'column 1', 'column 2' and so on in "
                "ingest.columns, such as make: column 1",
                {"header_row": 0},
            )
    _refuse_spread(first, rest, label)


def _refuse_title(first: Row, rest: Sequence[Row], widest: int, label: str) -> None:
    start = f"{label} has no header in row {first.number}, which is {_shown(first)}"
    for row in rest:
        if 2 * row.filled > widest and not row.has_numbers:
            raise LayoutError(
                f"{start}; row {row.number} looks like it ({_shown(row)}): set "
                f"ingest.header_row: {row.number}",
                {"header_row": row.number},
            )
    raise InputError(
        f"{start}; set ingest.header_row to the row that names the columns, counted from 1, or to "
        "0 if there is none"
    )


def _refuse_spread(first: Row, rest: Sequence[Row], label: str) -> None:
    """Refuse a header of two rows, as merged cells make it."""
    if len(rest) < 2 or rest[0].has_numbers or not any(row.has_numbers for row in rest[1:]):
        return
    second = rest[0]
    cells = first.cells + ("",) * (len(second.cells) - len(first.cells))
    below = [name for above, name in zip(cells, second.cells, strict=False) if name and not above]
    if not below:
        return
    start = (
        f"{label} has a header of two rows ({_shown(first)} and {_shown(second)}), as merged cells "
        "make it; "
    )
    if second.filled >= max(row.filled for row in rest):
        raise LayoutError(
            f"{start}set ingest.header_row: {second.number}", {"header_row": second.number}
        )
    raise InputError(
        f"{start}write the names into one row of the file, one above each column, or set "
        f"ingest.header_row to {first.number} or {second.number} if that row alone will do"
    )


def _shown(row: Row) -> str:
    text = ", ".join(filter(None, row.cells))
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
