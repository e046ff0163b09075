"""The Parquet files of the prediction log: their columns, how they are made, and where they lie."""

import datetime
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from pydantic_core import from_json

from carprice.monitoring import records
from carprice.monitoring.journal import BETWEEN, LOG_FILE, Found, read_journal, stamp
from carprice.monitoring.s3 import open_store
from carprice.schema import FIELDS, FieldKind, kind_of

if TYPE_CHECKING:
    import pyarrow as pa

_CHUNK: Final = 400
_PIECE_BYTES: Final = 4 * 1024 * 1024
_OTHERS: Final = (b"\t", b"[", b"{")
"""With these begin lines that are not plain; a tab is nowhere else, JSON escapes it."""
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


_DIFFERENT: Final = frozenset(
    (
        *(records.QUOTE_ID, records.ANSWERED_AT, records.MILLISECONDS),
        *(records.PRICE, records.LOW, records.HIGH),
    )
)
"""Columns whose values are different in each row."""


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
            pq.write_table(
                table,
                part,
                compression="zstd",
                use_dictionary=[name for name in table.column_names if name not in _DIFFERENT],
                write_statistics=[records.ANSWERED_AT],
            )
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
    tables: list[pa.Table] = []
    unreadable = (pa.ArrowException, ValueError, TypeError, OverflowError)
    for piece in _pieces(found.content):
        plain, lines = _parted(piece)
        if plain:
            try:
                tables.append(_plain(plain, found.columns, schema))
            except unreadable:
                lines += plain.split(b"\n")
        for place in range(0, len(lines), _CHUNK):
            some = lines[place : place + _CHUNK]
            try:
                tables.append(_parsed(some, found.columns, schema))
            except unreadable:
                before = len(tables)
                for line in some:
                    with suppress(*unreadable):
                        tables.append(_parsed([line], found.columns, schema))
                lost += len(some) - (len(tables) - before)
            sleep(_BREATH_SECONDS)  # requests are answered meanwhile
    return pa.concat_tables(tables) if tables else schema.empty_table(), lost


def _pieces(content: bytes) -> Iterator[bytes]:
    """Yield whole lines together, without the end of the last."""
    begin = 0
    while begin < len(content):
        end = content.find(b"\n", begin + _PIECE_BYTES)
        end = len(content) - 1 if end < 0 else end
        yield content[begin:end]
        begin = end + 1


def _parted(piece: bytes) -> tuple[bytes, list[bytes]]:
    """Return the plain lines, and the others."""
    if not piece.startswith(_OTHERS) and b"\t" not in piece:
        return piece, []
    lines = piece.split(b"\n")
    plain = b"\n".join([line for line in lines if not line.startswith(_OTHERS)])
    return plain, [line for line in lines if line.startswith(_OTHERS)]


def _plain(lines: bytes, columns: tuple[str, ...], schema: "pa.Schema") -> "pa.Table":
    """Return rows of plain lines as columns; an error if one of them is damaged."""
    import pyarrow as pa
    from pyarrow import compute, csv

    if b"\0" in lines:
        raise ValueError("the disk has lost something")
    kinds = {
        field.name: pa.string()
        if pa.types.is_list(field.type)
        else pa.int64()
        if pa.types.is_timestamp(field.type)
        else field.type
        for field in schema
    }
    table = csv.read_csv(
        pa.BufferReader(lines),
        csv.ReadOptions(use_threads=False, column_names=columns),
        csv.ParseOptions(double_quote=False, ignore_empty_lines=False),
        csv.ConvertOptions(
            column_types=kinds,
            include_columns=schema.names,
            include_missing_columns=True,
            null_values=["null"],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    texts = [
        one for one, field in zip(table.columns, schema, strict=True) if _is_quoted(field.type)
    ]
    quotes = 2 * sum(len(one) - one.null_count for one in texts)
    codes = np.frombuffer(lines, np.uint8)  # counts them in a fifth of the time that bytes takes
    ends, found = (np.count_nonzero(codes == ord(one)) for one in ("\n", '"'))
    if table.num_rows != ends + 1 or found != quotes:
        raise ValueError("an open quote has joined lines, or a text has lost one of its quotes")
    if compute.any(compute.match_substring(table[records.MODEL_VERSION], '"')).as_py():
        raise ValueError("a line begins with the rest of another")
    for place, field in enumerate(schema):
        if pa.types.is_list(field.type):
            names = compute.list_slice(compute.split_pattern(table[place], BETWEEN), 1)
            table = table.set_column(place, field, names)
    return table.cast(schema)


def _is_quoted(kind: "pa.DataType") -> bool:
    """Whether a plain line has quotes around values of a kind; there are no others in it."""
    import pyarrow as pa

    asked = (pa.types.is_string, pa.types.is_list, pa.types.is_date)
    return any(is_one(kind) for is_one in asked)


def _parsed(lines: list[bytes], columns: tuple[str, ...], schema: "pa.Schema") -> "pa.Table":
    """Return rows as columns; an error if one of them is damaged."""
    import pyarrow as pa

    arrays = [line if line.startswith(_OTHERS) else b"[%b]" % line for line in lines]
    rows = from_json(b"[%b]" % b",".join(arrays))
    if len(rows) != len(lines):
        raise ValueError("a line is no row")
    if isinstance(rows[0], dict):  # a journal of before
        rows = [[row.get(name) for name in columns] for row in rows]
    values = [*zip(*rows, strict=True)]
    if len(values) < len(columns):
        raise ValueError("a value is missing")
    found, none = dict(zip(columns, values, strict=False)), (None,) * len(rows)
    read = []
    for field in schema:
        cells, is_day = found.get(field.name, none), pa.types.is_date(field.type)
        if pa.types.is_list(field.type):
            cells = (*map(_names, cells),)
        array = pa.array(cells, pa.string() if is_day else field.type)
        read.append(array.cast(field.type) if is_day else array)
    return pa.table(read, schema=schema)


def _names(cell: Any) -> Any:
    """Return the list that a plain line has as a text."""
    return cell.split(BETWEEN)[1:] if isinstance(cell, str) else cell


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
