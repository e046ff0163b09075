"""The Parquet files of the prediction log: their columns, how they are made, and where they lie."""

import datetime
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Any, Final

from pydantic_core import from_json

from carprice.monitoring import records
from carprice.monitoring.journal import LOG_FILE, Found, read_journal, stamp
from carprice.monitoring.s3 import open_store
from carprice.schema import FIELDS, FieldKind, kind_of

if TYPE_CHECKING:
    import pyarrow as pa

_CHUNK: Final = 400
_BREATH_SECONDS: Final = 0.001
_KINDS: Final = {
    FieldKind.NUMBER: "float64",
    FieldKind.INTEGER: "int64",
    FieldKind.DATE: "date32",
    FieldKind.EQUIPMENT: "texts",
}
_ANSWER_KINDS: Final = {
    records.ANSWERED_AT: "moment",
    records.SHADOW: "bool_",
    records.VALUATION_DATE: "date32",
    records.CAUTIONS: "texts",
    **dict.fromkeys((records.CONFIDENCE, records.PRICE, records.LOW, records.HIGH), "float64"),
    **dict.fromkeys((records.ASKING_PRICE, records.MILLISECONDS), "float64"),
}


def _columns(own: tuple[str, ...]) -> dict[str, str]:
    kinds = {name: _ANSWER_KINDS.get(name, "string") for name in records.ANSWER_COLUMNS}
    return kinds | {name: _KINDS.get(kind_of(name), "string") for name in (*FIELDS, *own)}


def _schema(own: tuple[str, ...]) -> "pa.Schema":
    import pyarrow as pa

    kinds: dict[str, Any] = {
        "texts": pa.list_(pa.string()),
        "moment": pa.timestamp("us", tz="UTC"),
    }
    simple = {
        name: getattr(pa, name)() for name in ("string", "float64", "int64", "bool_", "date32")
    }
    return pa.schema([(name, (simple | kinds)[kind]) for name, kind in _columns(own).items()])


def write_file(journal: Path, target: Path) -> tuple[int, int]:
    """Make a file of the log of a journal; return how many rows it has, and how many were lost.

    It is written aside, then renamed. A journal without rows gives none. What cannot be read of it,
    such as the line at which a process was killed, is left out.
    """
    import pyarrow.parquet as pq

    found = read_journal(journal)
    table, damaged = _table(found)
    if table.num_rows:
        part = target.with_name(f".{target.name}.part")
        try:
            part.touch(mode=0o600)
            pq.write_table(table, part, compression="zstd")
            _force_out(part)
            part.replace(target)
        except OSError:
            part.unlink(missing_ok=True)
            raise
        _force_out(target.parent)
    return table.num_rows, damaged + found.is_torn


def _table(found: Found) -> "tuple[pa.Table, int]":
    """Return the rows of a journal, and how many of them cannot be read."""
    import pyarrow as pa

    schema, lost = _schema(found.own), 0
    batches: list[pa.RecordBatch] = []
    unreadable = (pa.ArrowException, ValueError, TypeError, OverflowError)
    for place in range(0, len(found.lines), _CHUNK):
        some = found.lines[place : place + _CHUNK]
        try:
            batches.append(_parsed(some, found.columns, schema))
        except unreadable:
            before = len(batches)
            for line in some:
                with suppress(*unreadable):
                    batches.append(_parsed([line], found.columns, schema))
            lost += len(some) - (len(batches) - before)
        sleep(_BREATH_SECONDS)  # requests are answered meanwhile
    return pa.Table.from_batches(batches, schema), lost


def _parsed(lines: list[bytes], columns: tuple[str, ...], schema: "pa.Schema") -> "pa.RecordBatch":
    """Return rows as columns; an error if one of them is damaged."""
    import pyarrow as pa

    rows = from_json(b"[%b]" % b",".join(lines))
    if len(rows) != len(lines):
        raise ValueError("a line is no row")
    if isinstance(rows[0], dict):  # a journal of before
        rows = [[row.get(name) for name in columns] for row in rows]
    values = [*zip(*rows, strict=True)]
    if len(values) < len(columns):
        raise ValueError("a value is missing")
    found, none = dict(zip(columns, values, strict=False)), (None,) * len(rows)
    day, text, arrays = pa.date32(), pa.string(), []
    for field in schema:
        is_day = field.type == day
        array = pa.array(found.get(field.name, none), text if is_day else field.type)
        arrays.append(array.cast(day) if is_day else array)
    return pa.record_batch(arrays, schema=schema)


def _force_out(path: Path) -> None:
    """Have the disk hold what was written to a file or a folder."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


class Folder:
    """A log in a folder, where its files are made."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def deliver(self, path: Path) -> None:
        """Do nothing: the file is where it belongs."""

    def forget(self, age: datetime.timedelta) -> None:
        """Delete the files of the log that are older, and no others."""
        found = {}
        for path in self.folder.glob("predictions-*.parquet"):
            with suppress(FileNotFoundError):
                found[path.name] = path.stat().st_mtime
        for name in _too_old(found, age):
            (self.folder / name).unlink(missing_ok=True)


class S3Prefix:
    """A log in an S3 bucket; its files are made in a folder of this machine, and sent."""

    def __init__(self, location: str) -> None:
        self._place = location.removeprefix("s3://").rstrip("/")
        self._files: Any = None

    def deliver(self, path: Path) -> None:
        """Send a file, and delete it here; :class:`OSError` if that cannot be."""
        content = path.read_bytes()
        with self._store().open_output_stream(f"{self._place}/{path.name}") as stream:
            stream.write(content)
        path.unlink(missing_ok=True)

    def forget(self, age: datetime.timedelta) -> None:
        """Delete the files of the log that are older, and no others."""
        from pyarrow import fs

        asked = fs.FileSelector(self._place, allow_not_found=True)
        found = {
            one.base_name: one.mtime_ns / 1e9
            for one in self._store().get_file_info(asked)
            if one.is_file
        }
        for name in _too_old(found, age):
            self._store().delete_file(f"{self._place}/{name}")

    def _store(self) -> Any:
        if self._files is None:
            self._files = open_store(self._place.partition("/")[0])
        return self._files


def _too_old(found: Mapping[str, float], age: datetime.timedelta) -> list[str]:
    """Return the names of the log's files that were begun so long ago.

    Of names and when the store says that each was written. One machine with a wrong clock must not
    empty what many share: :class:`ValueError` where the newest file seems half that old.
    """
    files = {name: written for name, written in found.items() if LOG_FILE.fullmatch(name)}
    now = datetime.datetime.now(datetime.UTC)
    first_kept = f"predictions-{stamp(now - age)}"
    old = [name for name in files if name < first_kept]
    if old and now.timestamp() - max(files.values()) > age.total_seconds() / 2:
        raise ValueError(
            "by the clock of this machine, even the newest of them was written more than "
            f"{age.days / 2:g} days ago; is it right?"
        )
    return old
