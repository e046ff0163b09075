"""Small made-up files as people have them, what must be said of each, and what mends it."""

import io
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from openpyxl import Workbook

from carprice.arrays import quiet
from carprice.components.ingest import ingest
from carprice.components.workspace import Workspace
from carprice.errors import InputError
from carprice.listings.mapping import propose_params
from carprice.listings.reading import clean_source, read_source
from carprice.settings import IngestSettings

HEADER = ("make", "model", "year", "odometer", "price")
MODELS = (("Kia", "Rio"), ("Ford", "Focus"), ("Skoda", "Octavia"), ("Fiat", "Panda"))
CARS: Sequence[Sequence[Any]] = [
    (*MODELS[n % 4], 2005 + n % 17, 20_000 + 2_111 * n, 250_000 + 9_157 * n) for n in range(80)
]
"""80 cars that differ: make, model, year, odometer, price."""


@dataclass(frozen=True)
class OddFile:
    """A file that is refused with one line until the line's remedy is followed.

    Attributes
    ----------
    content : the file.
    message : what is said, word for word; ``{file}`` stands for its path, and … for what differs
        between versions of a library.
    remedy : what the message says to do: keys of ``ingest`` in params.yaml, or another file.
    ingest : keys of ``ingest`` that are there already.
    name : the file's name.
    rows : how many of the cars are kept once the remedy is followed.
    reads : what each row then has, by field; None where it is missing.
    """

    content: str | bytes
    message: str
    remedy: Mapping[str, Any] | str | bytes
    ingest: Mapping[str, Any] = field(default_factory=dict)
    name: str = "cars.csv"
    rows: int = len(CARS)
    reads: Mapping[str, Sequence[Any]] = field(default_factory=dict)


def check(odd: OddFile, folder: Path) -> dict[str, Any]:
    """Read an odd file, follow its remedy, read it again; return the report of the second time."""
    file = folder / odd.name
    _write(file, odd.content)
    with pytest.raises(InputError) as refused:
        _ingest(file, odd.ingest)
    words = odd.message.format(file=file)
    said = str(refused.value)
    assert said == words or re.fullmatch(".*".join(map(re.escape, words.split("…"))), said), said
    keys: Mapping[str, Any] = {}
    if isinstance(odd.remedy, str | bytes):
        _write(file, odd.remedy)
    else:
        keys = odd.remedy
    report = _ingest(file, {**odd.ingest, **keys})
    assert report["rows_kept"] == odd.rows
    for name, values in odd.reads.items():
        expected = [math.nan if value is None else value for value in values]
        found = read(file, {**odd.ingest, **keys})[0][name]
        assert found == pytest.approx(expected, rel=1e-9, nan_ok=True)
    return report


def check_map(odd: OddFile, folder: Path, *, is_refused: bool = False) -> None:
    """Read an odd file by what `carprice map` proposes, or see it refused in the same words."""
    file = folder / odd.name
    _write(file, odd.content)
    if is_refused:
        with pytest.raises(InputError) as refused:
            propose_params(str(file), quiet)
        assert str(refused.value) == odd.message.format(file=file)
        return
    proposed, _, missing = propose_params(str(file), quiet)
    assert missing == []
    assert _ingest(file, yaml.safe_load(proposed)["ingest"])["rows_kept"] == odd.rows


def read(file: Path, keys: Mapping[str, Any]) -> tuple[dict[str, list[Any]], tuple[str, ...]]:
    """Return what each row of a file has, by field, and what was assumed."""
    settings = IngestSettings.model_validate({"source": str(file), **keys})
    source = read_source(settings, quiet)
    doubts = clean_source(source, settings).doubts
    found = {name: source.frame[name].tolist() for name in source.frame}
    return found, (*source.notes, *doubts)


def text(
    rows: Iterable[Sequence[Any]] = CARS,
    header: Sequence[str] = HEADER,
    separator: str = ",",
    above: str = "",
) -> str:
    """Return a CSV file: lines above the header, the header where there is one, the rows."""
    lines = [header, *rows] if header else rows
    return above + "".join(separator.join(map(str, line)) + "\n" for line in lines)


def changed(column: str, change: Callable[[Any], Any]) -> list[Sequence[Any]]:
    """Return the cars with each value of a column changed."""
    place = HEADER.index(column)
    return [(*car[:place], change(car[place]), *car[place + 1 :]) for car in CARS]


def workbook(*sheets: tuple[str, Iterable[Sequence[Any]]], merged: Sequence[str] = ()) -> bytes:
    """Return an Excel file: the rows of each sheet, and what is merged in the first."""
    book, content = Workbook(), io.BytesIO()
    book.remove(book.active)
    for title, rows in sheets:
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(list(row))
    for cells in merged:
        book.worksheets[0].merge_cells(cells)
    book.save(content)
    return content.getvalue()


def _write(file: Path, content: str | bytes) -> None:
    file.write_bytes(content.encode() if isinstance(content, str) else content)


def _ingest(file: Path, keys: Mapping[str, Any]) -> dict[str, Any]:
    settings = IngestSettings.model_validate({"source": str(file), **keys})
    return ingest(settings, Workspace(file.parent / "work"), quiet)
