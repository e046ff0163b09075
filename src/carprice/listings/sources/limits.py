"""Refuse what a source sends or unpacks far beyond any table of cars, before it fills the memory.

The limits are no settings: what is beyond them can be read after it was fetched, unpacked or
written anew with another program, as each message says.
"""

import io
import itertools
import re
import time
import zipfile
from collections.abc import Iterable
from typing import IO, Final

from carprice.errors import InputError

MOST_SECONDS_SILENT: Final = 60
"""Until a server's answer begins, and between any two parts of it."""
_LONGEST_TRANSFER: Final = 3600
_SLOWEST: Final = 1000  # bytes a second, after the seconds that a server may be silent
_LARGEST_TRANSFER: Final = 4_000_000_000
_BY_HAND: Final = "download it with another program, and name the file"

_BLOCK: Final = 1_000_000
_LONGEST_LINE: Final = 8_000_000
_UNPACKED_ALWAYS, _MOST_TIMES_UNPACKED = 128_000_000, 100
"""A packed file may have the first number of bytes unpacked, or so many times its own."""
MOST_COLUMNS: Final = 16_384
_MOST_CELLS: Final = 20_000_000
_MOST_TEXT: Final = 1_000_000_000
_CELL: Final = re.compile(rb"""\br\s*=\s*["']([A-Za-z]{0,3})(\d{1,12})["']""")
_START_OF_CELL: Final = re.compile(rb"<(?:\w{1,20}:)?c[\s/>]")
_START_OF_ROW: Final = re.compile(rb"<(?:\w{1,20}:)?row[\s/>]")
_LONGEST_PLACE: Final = 40


class Transfer:
    """What has come of a file so far, and since when."""

    def __init__(self, label: str, expected: int | None = None) -> None:
        self._label, self._start, self.received = label, time.monotonic(), 0
        self._refuse_large(expected or 0)

    def add(self, count: int) -> None:
        """Count bytes that came; an InputError if they are too many, or came too slowly."""
        self.received += count
        self._refuse_large(self.received)
        seconds = time.monotonic() - self._start
        is_slow = seconds > MOST_SECONDS_SILENT and self.received < seconds * _SLOWEST
        if is_slow or seconds > _LONGEST_TRANSFER:
            raise InputError(
                f"{self._label} is too slow: {self.received:,} bytes in {seconds:.0f} seconds; "
                f"{_BY_HAND}"
            )

    def _refuse_large(self, count: int) -> None:
        if count > _LARGEST_TRANSFER:
            raise InputError(
                f"{self._label} sends more than {_LARGEST_TRANSFER / 1e9:g} GB; {_BY_HAND}"
            )


def refuse_unpacked(label: str, packed: int, unpacked: int) -> None:
    """Raise an InputError if a file is far larger unpacked than packed, as no table of cars is."""
    if unpacked > max(_UNPACKED_ALWAYS, _MOST_TIMES_UNPACKED * packed):
        raise InputError(
            f"{label} unpacks to more than {_MOST_TIMES_UNPACKED} times its {packed:,} bytes; look "
            "whether it is the right file, and unpack it first if so"
        )


def refuse_columns(label: str, count: int) -> None:
    """Raise an InputError if a table has more columns than Excel allows."""
    if count > MOST_COLUMNS:
        raise InputError(
            f"{label} has {count:,} columns or more, and at most {MOST_COLUMNS:,} are read; leave "
            "out those that no field needs"
        )


def refuse_long_texts(label: str, column: str, size: int) -> None:
    """Raise an InputError if the texts of some rows of a column have too many bytes together."""
    if size > _MOST_TEXT:
        raise InputError(
            f"{label}: the texts of the column {column!r} are too long, more than "
            f"{_MOST_TEXT // 1_000_000:,} MB in a part of its rows; shorten them, or leave it out"
        )


def rows_at_once(rows: int, columns: int) -> int:
    """Return how many of some rows of so many columns are read at once."""
    return max(1, min(rows, _MOST_CELLS // max(columns, 1)))


def check_text(
    stream: IO[bytes], label: str, packed: int | None, *, has_lines: bool = True
) -> bool:
    """Read a text file through once, and refuse lines without end and what is packed too tightly.

    Parameters
    ----------
    stream : the file's bytes, unpacked.
    packed : its size on disk if it is packed; else None.
    has_lines : whether each row is a line; else any line may be long.

    Returns
    -------
    Whether there is a double quote in it, without which no cell of a CSV holds a line break.

    Raises
    ------
    InputError
        If a line, or all, is too long.
    """
    size = since_break = 0
    has_quote = False
    while block := stream.read(_BLOCK):
        size += len(block)
        if packed is not None:
            refuse_unpacked(label, packed, size)
        has_quote = has_quote or b'"' in block
        last = max(block.rfind(b"\n"), block.rfind(b"\r"))
        since_break = since_break + len(block) if last < 0 else len(block) - last
        if has_lines and since_break > _LONGEST_LINE:
            raise InputError(
                f"{label} has a line of more than {_LONGEST_LINE // 1_000_000} MB; export it again "
                "with one row a line"
            )
    return has_quote


def refuse_many_cells(label: str, lines: Iterable[str], separators: Iterable[str]) -> None:
    """Raise an InputError if a line has far more separators than a table has columns."""
    for line, sign in itertools.product(lines, separators):
        if (count := line.count(sign)) > 16 * MOST_COLUMNS:
            refuse_columns(label, count)


def check_workbook(content: IO[bytes], label: str) -> None:
    """Refuse an Excel file that unpacks to too much, or whose sheets reach far beyond their cells.

    Raises
    ------
    InputError
        For such a file.
    zipfile.BadZipFile
        If it is not the kind of Excel file that is a ZIP archive.
    """
    with zipfile.ZipFile(content) as book:
        packed = content.seek(0, io.SEEK_END)
        refuse_unpacked(label, packed, sum(part.file_size for part in book.infolist()))
        for part in book.infolist():
            if not part.is_dir():
                with book.open(part) as sheet:
                    cells, rows, columns = _extent(sheet, label)
                if cells > _MOST_CELLS:
                    raise InputError(
                        f"{label} has more than {_MOST_CELLS:,} cells in a part "
                        f"({part.filename}); delete the empty ones, or save them as .csv"
                    )
                if rows * columns > max(_MOST_CELLS, 10 * cells):
                    raise InputError(
                        f"{label} has a sheet ({part.filename}) that reaches to row {rows:,}, "
                        f"column {columns:,}, with {cells:,} cells in all; delete the empty rows "
                        "and columns around the listings, or save them as .csv"
                    )


def _extent(sheet: IO[bytes], label: str) -> tuple[int, int, int]:
    """Return how many cells a sheet's XML has, and its last row and column; 0, 1, 1 of no sheet."""
    cells, since_row, last_row, last_column, rest = 0, 0, 1, b"A", b""
    is_sheet = False
    while block := sheet.read(_BLOCK):
        text = rest + block
        rest = block[-_LONGEST_PLACE:] if len(block) == _BLOCK else b""
        is_sheet = is_sheet or b"sheetData" in text
        if not is_sheet:
            continue
        rows = [found.start() for found in _START_OF_ROW.finditer(text)]
        cells += len(_START_OF_CELL.findall(text))
        of_last_row = len(_START_OF_CELL.findall(text, rows[-1] if rows else 0))
        since_row = of_last_row if rows else since_row + of_last_row
        if since_row > 2 * MOST_COLUMNS:
            refuse_columns(label, since_row)
        for found, row in _CELL.findall(text):
            column = found.upper()
            last_row = max(last_row, int(row))
            last_column = max(last_column, column, key=lambda name: (len(name), name))
    place = 0
    for letter in last_column:
        place = 26 * place + letter - ord("A") + 1
    return cells, last_row, place
