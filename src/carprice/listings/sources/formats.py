"""Read files by format: CSV, Excel, Parquet, JSON and JSON lines, with gzip or without.

CSV columns are read as text, with pandas' usual marks of a missing value: a type guessed per chunk
could make one column a number here and a text there, and ``001`` or ``1.10`` would lose characters.
The column rules parse numbers and dates. All other formats keep the types they store.

CSV, Parquet and JSON lines need memory for one chunk, Excel and JSON arrays for the whole file.
"""

import codecs
import contextlib
import csv
import functools
import gzip
import io
import itertools
import json
import re
import statistics
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final, TextIO, cast

import pandas as pd

from carprice.errors import CarpriceError, InputError, LayoutError
from carprice.listings.cells import with_categories
from carprice.listings.sources.chunks import Frames, one_line, slices
from carprice.listings.sources.encodings import refuse_mojibake, undecodable
from carprice.listings.sources.headers import (
    NUMBER,
    ROWS_LOOKED_AT,
    Row,
    as_row,
    find_header,
    known_names,
    refuse_repeated,
    with_names,
)
from carprice.listings.sources.limits import (
    check_text,
    check_workbook,
    refuse_columns,
    refuse_long_texts,
    refuse_many_cells,
    refuse_unpacked,
    rows_at_once,
)
from carprice.settings import IngestSettings

_SEPARATORS: Final = (",", ";", "\t", "|")
_NAMED_SEPARATOR: Final = re.compile('"?sep=(.)"?', re.IGNORECASE)
_LINES_LOOKED_AT: Final = 40
_LINE_BREAK: Final = re.compile(r"\r\n|\r|\n")
_LOOKED_AT: Final = 1000
_MOST: Final = 0.8
_FIELDS_OF_LISTINGS: Final = 3
_ROWS_COMPARED: Final = 5
_NAMES_SHOWN: Final = 3
_CELL_SHOWN: Final = 40
_SHOWN: Final = 20
_FEWEST_SIGNS: Final = 2
_FORMATS: Final = ".csv, .tsv, .xlsx, .xls, .parquet, .jsonl, .ndjson or .json (also with .gz)"
_ZIP: Final = b"PK\x03\x04"
_OLD_EXCEL: Final = b"\xd0\xcf\x11\xe0"
_SIGNATURES: Final = {
    b"\x1f\x8b": "gzip (ending .gz)",
    _ZIP: "a ZIP archive, such as Excel (ending .xlsx)",
    _OLD_EXCEL: "old or encrypted Excel (ending .xls)",
    b"PAR1": "Parquet (ending .parquet)",
}

_START: Final = 512
_HALF_LETTER: Final = re.compile(r"\\u[dD][89a-fA-F]")
_LARGEST_OBJECT: Final = 50_000_000
_BLANKS: Final = b" \t\r\n"
_ARCHIVES: Final = (".zip", ".7z", ".rar", ".tar", ".tgz", ".bz2", ".xz", ".zst")


@dataclass(frozen=True)
class LocalFile:
    """A file on this machine.

    Attributes
    ----------
    label : its name for messages.
    most_rows : how many of its rows are wanted; None for all.
    coded, rows : see :func:`carprice.listings.sources.read_chunks`.
    """

    path: Path
    label: str
    gzipped: bool
    most_rows: int | None = None
    coded: bool = False
    rows: range | None = None

    def open(self) -> IO[bytes]:
        """Open the file for reading, decompressed."""
        if self.gzipped:
            return cast(IO[bytes], gzip.open(self.path, "rb"))
        return self.path.open("rb")

    def check_size(self, *, has_lines: bool = True) -> bool:
        """Refuse a text file with more to a line or in all than a table has; see check_text."""
        packed = self.path.stat().st_size if self.gzipped else None
        with self.open() as stream:
            return check_text(stream, self.label, packed, has_lines=has_lines)

    @contextlib.contextmanager
    def open_text(self, encoding: str) -> Iterator[TextIO]:
        """Open the file for reading as text."""
        with self.open() as raw, io.TextIOWrapper(raw, encoding=encoding, newline="") as text:
            yield text


_Reader = Callable[[LocalFile, IngestSettings, int], Frames]


def reader_for(name: str, label: str) -> tuple[_Reader, bool]:
    """Return the reader for a file's ending, and whether the file is compressed by gzip."""
    name = name.lower()
    gzipped = name.endswith(".gz")
    ending = PurePosixPath(name.removesuffix(".gz")).suffix
    if ending == ".parquet" and gzipped:
        raise InputError(f"{label}: Parquet is compressed inside; unpack it with gunzip first")
    if ending not in _READERS:
        if ending in _ARCHIVES:
            raise InputError(f"{label} is an archive; unpack it first, and name the file in it")
        found = f"the unknown ending {ending!r}" if ending else "no ending"
        raise InputError(f"{label} has {found}; the format is told by {_FORMATS}")
    return _READERS[ending], gzipped


@contextlib.contextmanager
def _text_errors(file: LocalFile, settings: IngestSettings) -> Iterator[None]:
    try:
        yield
    except UnicodeError:
        with file.open() as stream:
            raise undecodable(stream, file.label, settings.encoding) from None
    except LookupError:
        raise InputError(
            f"ingest.encoding {settings.encoding!r} is not known; write utf-8-sig, cp1252, utf-16…"
        ) from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(
            f"{file.label} is not a whole gzip file ({one_line(error)}); "
            "export it again, or correct its ending"
        ) from None
    except OSError as error:
        raise InputError(f"{file.label} cannot be opened: {error.strerror or error}") from None


def _refuse_other_format(file: LocalFile, wanted: str) -> None:
    with file.open() as stream:
        start = stream.read(_START)
    if told := _document(start):
        raise InputError(f"{file.label} is not {wanted}: it is {told}")
    for signature, kind in _SIGNATURES.items():
        if start.startswith(signature):
            raise InputError(f"{file.label} is not {wanted}: it is {kind}; correct its name")
    if start[:4] == bytes(4):
        raise InputError(
            f"{file.label} is not {wanted}: it begins with zero bytes, as a broken copy does; copy "
            "or export it again"
        )


def _document(start: bytes) -> str:
    """Return what a file is that holds no table, and what to do; empty if it may hold one."""
    if start.lstrip(codecs.BOM_UTF8 + _BLANKS).lower().startswith((b"<!doctype html", b"<html")):
        return (
            "a web page (HTML), as of a login, an error or an export for Excel; download the file "
            "itself, or open it in a spreadsheet and save it as .xlsx or .csv"
        )
    return "a PDF; name a table" if start.startswith(b"%PDF") else ""


def _read_csv(file: LocalFile, settings: IngestSettings, chunk_rows: int) -> Frames:
    with _text_errors(file, settings):
        _refuse_other_format(file, "a text file")
        may_have_breaks = file.check_size() and len(settings.separator or ",") == 1
        with file.open() as stream:
            refuse_mojibake(stream, file.label, settings.encoding)
        separator, above, has_header, columns = _csv_layout(file, settings)
        line_of = functools.partial(_line_of_quote, file, settings.encoding, separator, above)
        with _csv_errors(file, separator, line_of):
            reader = pd.read_csv(
                file.path,
                sep=separator,
                engine="c" if len(separator) == 1 and separator.isascii() else "python",
                encoding=settings.encoding,
                compression="gzip" if file.gzipped else None,
                dtype=object if file.coded else str,
                index_col=False,
                header=0 if has_header else None,
                skiprows=above,
                chunksize=rows_at_once(chunk_rows, columns),
            )
        with reader:
            while (frame := _next_rows(reader, file, separator, line_of)) is not None:
                if may_have_breaks and (cell := _cell_with_rows(frame, separator)):
                    raise _open_quote(file.label, line_of(cell))
                frame = with_categories(frame) if file.coded else frame
                yield frame if has_header else with_names(frame)


def _cell_with_rows(frame: pd.DataFrame, separator: str) -> str | None:
    """Return a cell that holds whole rows, as one does whose quote is not closed; None if none.

    A text of several lines is no such cell: its lines have no numbers where the rows have them.
    """
    width = frame.shape[1]
    numbers = None
    for place in range(width if width > 1 else 0):
        cells = frame.iloc[:, place]
        has_break = functools.partial(cells.str.contains, regex=False, na=False)
        long = cells[has_break("\n") | has_break("\r")]
        long = [cell for cell in long if cell.count(separator) >= width - 1]
        if not long:
            continue
        if numbers is None:
            numbers = [of for of in range(width) if _has_numbers(frame.iloc[:_LOOKED_AT, of])]
        for cell in long:
            first, *others = (line.split(separator) for line in cell.splitlines())
            if others and place < min(
                len(others[0]), width - 1
            ):  # the rest of its row, and the next one's start
                others.append([*others[0][:place], "", *first[1:]])
            wanted = [of for of in numbers if of != place]
            if any(_is_row(line, width, wanted) for line in others):
                return str(cell)
    return None


def _has_numbers(cells: pd.Series) -> bool:
    return bool(cells.dropna().str.strip().str.fullmatch(NUMBER).mean() > _MOST)


def _is_row(cells: Sequence[str], width: int, numbers: Sequence[int]) -> bool:
    """Whether cells are as many as a row has, with numbers or nothing where rows have numbers."""
    if len(cells) != width:
        return False
    filled = [cell for of in numbers if (cell := cells[of].strip())]
    fit = sum(bool(NUMBER.fullmatch(cell)) for cell in filled)
    return not numbers or (2 * fit > len(numbers) and len(filled) - fit <= len(numbers) // 4)


def _line_of_quote(
    file: LocalFile, encoding: str, separator: str, above: int, cell: str | None = None
) -> int:
    """Return the line, from 1, in which a cell begins; that of the last cell if none is given."""
    line = found = above + 1
    with file.open_text(encoding) as text, contextlib.suppress(csv.Error):
        reader = csv.reader(itertools.islice(text, above, None), delimiter=separator)
        for record in reader:
            begin, line = line, above + reader.line_num + 1
            place = record.index(cell) if cell in record else len(record) - 1
            found = begin + sum(len(_LINE_BREAK.findall(one)) for one in record[:place])
            if cell in record:
                return found
        return found
    return line  # of a cell that is too long for csv


def _open_quote(label: str, line: int) -> InputError:
    return InputError(
        f"{label}: a cell of line {line} begins with a quote that is not closed in it, so that the "
        "rows below belong to the cell; close the quote at the end of the cell, or take it out"
    )


def _next_rows(
    reader: Any, file: LocalFile, separator: str, line_of: Callable[[], int]
) -> pd.DataFrame | None:
    with _csv_errors(file, separator, line_of):
        return next(reader, None)


@contextlib.contextmanager
def _csv_errors(file: LocalFile, separator: str, line_of: Callable[[], int]) -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            yield
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        reason = one_line(error).removeprefix("Error tokenizing data. C error: ")
        if reason.startswith("EOF inside string"):
            raise _open_quote(file.label, line_of()) from None
        raise InputError(
            f"{file.label} has rows that do not fit its header ({reason}; separator "
            f"{separator!r}); correct the row, or set ingest.separator"
        ) from None
    except pd.errors.EmptyDataError:
        raise InputError(f"{file.label} is empty; name another source") from None
    except UnicodeError:
        raise
    except ValueError as error:
        raise InputError(
            f"{file.label} cannot be read with the separator {separator!r} ({one_line(error)}); "
            "correct ingest.separator"
        ) from None


def _csv_layout(file: LocalFile, settings: IngestSettings) -> tuple[str, int, bool, int]:
    """Return a file's separator, its lines before the header, whether it has one, and its width."""
    with file.open_text(settings.encoding) as text:
        lines = list(itertools.islice(text, (settings.header_row or 1) + _LINES_LOOKED_AT))
    if not any(map(str.strip, lines)):
        raise InputError(f"{file.label} is empty; export it again or name another source")
    refuse_many_cells(file.label, lines, _SEPARATORS)
    separator = settings.separator
    start = next(place for place, line in enumerate(lines) if line.strip())
    if named := _NAMED_SEPARATOR.fullmatch(lines[start].rstrip("\r\n")):
        # What Excel writes and reads: the separator, above the header.
        separator, start = separator or named[1], start + 1
    start = max(start, (settings.header_row or 1) - 1)
    filled = [line for line in lines[start:] if line.strip()]
    if not filled:
        raise InputError(
            f"{file.label} has no row below line {start}; correct ingest.header_row, which counts "
            "from 1, or name another source"
        )
    separator = separator or _find_separator(filled)
    rows = _csv_rows(lines, start, separator)
    columns = max((len(row.cells) for row in rows), default=1)
    refuse_columns(file.label, columns)
    if settings.header_row is None:
        _refuse_one_cell(rows, separator, file.label)
    header = find_header(rows, settings, file.label)
    names = next((row.cells for row in rows if row.number == header), ())
    broken = [name for name in names if "\n" in name or "\r" in name]
    if broken and any(separator in name or NUMBER.fullmatch(name) for name in (*broken, *names)):
        raise _open_quote(file.label, header)
    return separator, header - 1 if header else start, bool(header), columns


def _refuse_one_cell(rows: Sequence[Row], separator: str, label: str) -> None:
    """Refuse rows that are one cell each, as another separator or quotes around rows make them."""
    if len(rows) < _FEWEST_SIGNS or any(len(row.cells) > 1 for row in rows[1:]):
        return
    cells = [row.cells[0] for row in rows]
    signs = Counter(re.findall(r"[^\w\s]+| +", cells[0])) if len(rows[0].cells) == 1 else {}
    signs = {separator: len(rows[0].cells) - 1, **signs}
    for sign, count in sorted(signs.items(), key=lambda one: -one[1]):
        alike = sum(cell.count(sign) == count for cell in cells[1:])
        if count < _FEWEST_SIGNS or alike <= _MOST * len(cells[1:]):
            continue
        if sign == separator:
            raise InputError(
                f"{label} has rows that are one cell each, in quotes as a whole "
                f"({cells[1][:_CELL_SHOWN]!r}); take these quotes out, or export it again"
            )
        setting = sign if len(sign) == 1 else re.escape(sign)
        raise LayoutError(
            f"{label} has rows that are one cell each, such as {cells[0][:_CELL_SHOWN]!r}, where "
            f"the separator is {separator!r}; set ingest.separator: {setting!r}",
            {"separator": setting},
        )


def _csv_rows(lines: list[str], start: int, separator: str) -> list[Row]:
    """Return the first rows from a line on that hold anything, each with its line, from 1."""
    if len(separator) > 1:
        cells = (re.split(separator, line.rstrip("\r\n")) for line in lines[start:])
        return [as_row(start + number, row) for number, row in enumerate(cells, 1) if any(row)]
    rows, reader, number = [], csv.reader(lines[start:], delimiter=separator), start + 1
    with contextlib.suppress(csv.Error):
        for record in reader:
            row = as_row(number, record)
            number = start + reader.line_num + 1
            if row.filled:
                rows.append(row)
    return rows


def _find_separator(lines: Sequence[str]) -> str:
    """Return the sign that parts the first of some lines, or where it parts no other, the others.

    A title above the header may hold a comma, and no separator.
    """
    header, *others = ({sign: _count_fields(line, sign) for sign in _SEPARATORS} for line in lines)
    rest = {sign: statistics.median_low([row[sign] for row in others] or [1]) for sign in header}
    first, most = (max(_SEPARATORS, key=fields.__getitem__) for fields in (header, rest))
    return most if rest[first] == 1 < rest[most] else first


def _count_fields(line: str, separator: str) -> int:
    try:
        return len(next(csv.reader([line], delimiter=separator)))
    except csv.Error:  # a field longer than csv.field_size_limit
        return 1


def _first_sign(file: LocalFile, encoding: str) -> str:
    """Return the first sign of a text that is no blank; empty if there is none."""
    with file.open_text(encoding) as text:
        while block := text.read(_START):
            if start := block.lstrip():
                return start[0]
    return ""


def _read_json(
    file: LocalFile, settings: IngestSettings, chunk_rows: int, *, may_be_array: bool = False
) -> Frames:
    with _text_errors(file, settings):
        _refuse_other_format(file, "a text file")
        file.check_size(has_lines=False)
        with file.open() as stream:
            refuse_mojibake(stream, file.label, settings.encoding)
        is_array = may_be_array and _first_sign(file, settings.encoding) == "["
        if may_be_array and not is_array:
            _refuse_one_object(file, settings.encoding)
        if not is_array:
            file.check_size()
        read = _json_array if is_array else _json_lines
        names: dict[str, None] = {}
        for row in itertools.islice(read(file, settings.encoding), file.most_rows):
            names |= dict.fromkeys(row)
            refuse_columns(file.label, len(names))
        rows = read(file, settings.encoding)
        while part := list(itertools.islice(rows, rows_at_once(chunk_rows, len(names)))):
            yield pd.DataFrame.from_records(part, columns=list(names)).astype(object)


def _refuse_one_object(file: LocalFile, encoding: str) -> None:
    """Refuse a JSON file that is one object: its rows, or its columns, are inside.

    Of a large file the reader of its lines says that they are not one object each.
    """
    with file.open_text(encoding) as text:
        start = text.read(_LARGEST_OBJECT)
    first, _, rest = start.lstrip().partition("\n")
    if len(start) == _LARGEST_OBJECT or (first.rstrip().endswith("}") and rest.strip()):
        return  # one object a line, or too large to be looked into
    try:
        whole = json.loads(start)
    except (ValueError, RecursionError):
        return  # whoever reads the lines says where
    if not isinstance(whole, dict):
        return
    inside = {name: value for name, value in whole.items() if isinstance(value, list | dict)}
    rows = [name for name, value in inside.items() if _holds_rows(value)]
    needed = "it needs an array of objects, or one object a line"
    if len(rows) == 1:
        raise InputError(
            f"{file.label} is one object, with its rows in {rows[0]!r}; write that array alone "
            f"into the file: {needed}"
        )
    if 2 * len(inside) > len(whole):
        raise InputError(
            f"{file.label} is one object, of {', '.join(map(repr, [*whole][:_NAMES_SHOWN]))} …; "
            f"{needed}, as pandas writes by to_json(orient='records')"
        )


def _holds_rows(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)


def _json_lines(file: LocalFile, encoding: str) -> Iterator[dict[str, Any]]:
    unique = functools.partial(_unique, file.label)
    with file.open_text(encoding) as text:
        for number, line in enumerate(text, start=1):
            if not line.strip():
                continue
            try:
                row = _loads(line, unique)
            except (ValueError, RecursionError) as error:
                raise InputError(
                    f"{file.label} line {number} is not JSON "
                    f"({_not_json(error, has_lines=True)}); each line needs one whole object"
                ) from None
            yield _json_object(row, f"{file.label} line {number}")


def _json_array(file: LocalFile, encoding: str) -> Iterator[dict[str, Any]]:
    unique = functools.partial(_unique, file.label)
    with file.open_text(encoding) as text:
        try:
            rows = _loads(text.read(), unique)
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"{file.label} is not JSON ({_not_json(error, has_lines=False)}); it needs an "
                "array of objects, or one object a line"
            ) from None
    for number, row in enumerate(rows, start=1):
        yield _json_object(row, f"{file.label} item {number}")


def _loads(text: str, unique: Callable[[list[tuple[str, Any]]], dict[str, Any]]) -> Any:
    """Read JSON; half of a letter, as of a text that was cut in two, becomes a question mark."""
    content = json.loads(text, object_pairs_hook=unique)
    if _HALF_LETTER.search(text):
        content = json.loads(json.dumps(content, ensure_ascii=False).encode("utf-8", "replace"))
    return content


def _not_json(error: ValueError | RecursionError, *, has_lines: bool) -> str:
    if isinstance(error, json.JSONDecodeError):
        line = "" if has_lines else f"line {error.lineno}, "
        return f"{error.msg} at {line}column {error.colno}"
    return "it is nested too deeply" if isinstance(error, RecursionError) else one_line(error)


def _unique(label: str, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        refuse_repeated((name for name, _ in pairs), label)
    return row


def _json_object(row: object, place: str) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise InputError(
            f"{place} holds {type(row).__name__} {str(row)[:40]!r}; each row needs to be "
            'an object, such as {"make": "Kia"}'
        )
    return row


def _read_parquet(file: LocalFile, _: IngestSettings, chunk_rows: int) -> Frames:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file.path) as table:
            names = table.schema_arrow.names
            flat = [one.name for one in table.schema_arrow if not pa.types.is_nested(one.type)]
            _check_parquet(table.metadata, file)
            refuse_repeated(names, file.label)
        with pq.ParquetFile(file.path, read_dictionary=flat) as table:
            most = rows_at_once(chunk_rows, len(names))
            for part in _parts_of_parquet(table, most, file.rows):
                part.validate(full=True)
                whole = _spelt_out(part, file.label)
                texts = _bytes_as_text(whole, file.label)
                yield texts.to_pandas(integer_object_nulls=True, ignore_metadata=True)
    except (CarpriceError, MemoryError):
        raise
    except Exception as error:  # pyarrow raises anything for values that are not of their type
        raise InputError(
            f"{file.label} is not a whole Parquet file ({one_line(error)}); "
            "export it again, or correct its ending"
        ) from None


def rows_of_pieces(path: Path, chunk_rows: int) -> list[range]:
    """Return the rows of a Parquet file's chunks; none if it has none or is not whole."""
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as table:
            content = table.metadata
            _check_parquet(content, LocalFile(path, str(path), gzipped=False))
            most = rows_at_once(chunk_rows, len(table.schema_arrow.names))
            groups = map(content.row_group, range(content.num_row_groups))
            last = sum(min(group.num_rows, group.column(0).num_values) for group in groups)
    except (InputError, IndexError, OSError, ValueError):  # the file's reader tells what is wrong
        return []
    return [range(first, min(first + most, last)) for first in range(0, last, most)]


def _parts_of_parquet(table: Any, most: int, rows: range | None) -> Iterator[Any]:
    """Yield Arrow tables of a Parquet file, or of some rows: none has rows of two row groups."""
    import pyarrow as pa

    if rows is None:
        yield from (pa.Table.from_batches([one]) for one in table.iter_batches(batch_size=most))
        return
    first, content = 0, table.metadata
    for group in range(content.num_row_groups):
        last = first + content.row_group(group).num_rows
        wanted = range(max(first, rows.start), min(last, rows.stop))
        if wanted:
            batches = []
            for batch in table.iter_batches(batch_size=most, row_groups=[group]):
                skipped = min(max(wanted.start - first, 0), len(batch))
                if skipped < len(batch):  # even an empty slice holds the memory of its batch
                    batches.append(batch.slice(skipped, wanted.stop - first - skipped))
                first += len(batch)
                if first >= wanted.stop:
                    break
            yield pa.Table.from_batches(batches)
        first = last


def _check_parquet(content: Any, file: LocalFile) -> None:
    """Refuse a Parquet file that is far larger unpacked, by what it says of its columns."""
    refuse_columns(file.label, content.num_columns)
    groups = map(content.row_group, range(content.num_row_groups))
    parts = [group.column(place) for group in groups for place in range(content.num_columns)]
    unpacked = sum(part.total_uncompressed_size for part in parts)
    cells = sum(part.num_values for part in parts)
    refuse_unpacked(file.label, file.path.stat().st_size, max(unpacked, cells))


def _spelt_out(table: Any, label: str) -> Any:
    """Return an Arrow table with the texts of its columns, of which Parquet keeps each once."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for place, column in enumerate(table.schema):
        if pa.types.is_dictionary(column.type) and not pa.types.is_nested(column.type.value_type):
            values = column.type.value_type
            chunks = table.column(place).chunks
            if pa.types.is_string(values) or pa.types.is_binary(values):
                lengths = (pc.binary_length(one.dictionary).take(one.indices) for one in chunks)
                refuse_long_texts(
                    label, column.name, sum(pc.sum(one).as_py() or 0 for one in lengths)
                )
            table = table.set_column(place, column.name, table.column(place).cast(values))
    return table


def _bytes_as_text(table: Any, label: str) -> Any:
    """Return an Arrow table with its columns of bytes, which some tools write for text, as text."""
    import pyarrow as pa

    for place, column in enumerate(table.schema):
        if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
            try:
                texts = table.column(place).cast(pa.large_string())
            except pa.ArrowInvalid:
                raise InputError(
                    f"{label}: the column {column.name!r} holds bytes that are no UTF-8 text; "
                    "write it as text"
                ) from None
            table = table.set_column(place, column.name, texts)
    return table


def _read_excel(file: LocalFile, settings: IngestSettings, chunk_rows: int) -> Frames:
    with _text_errors(file, settings):
        file.check_size(has_lines=False)
        with file.open() as stream:
            content = io.BytesIO(stream.read())
    _refuse_no_workbook(file, content.getvalue()[:_START])
    try:
        if content.getvalue().startswith(_ZIP):
            check_workbook(content, file.label)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="openpyxl")
            with pd.ExcelFile(content) as book:
                _sheet_exists(book, settings.sheet, file.label)
                if "sheet" not in settings.model_fields_set:
                    _refuse_other_sheets(book, known_names(settings), file.label)
                header = find_header(_sheet_rows(book, settings.sheet), settings, file.label)
                names = header - 1 if header else None
                frame = pd.read_excel(
                    book,
                    sheet_name=settings.sheet,
                    header=names,
                    dtype=object,
                    nrows=file.most_rows,
                )
    except ImportError as error:
        package = getattr(error, "name", None) or "xlrd"
        raise InputError(
            f"{file.label}: this Excel format needs the package {package}; pip install {package}, "
            "or save it as .xlsx or .csv"
        ) from None
    except CarpriceError:
        raise
    except Exception as error:  # openpyxl raises anything for a file that is not as it expects
        if "Passed header" in str(error):
            raise InputError(
                f"{file.label} has no row {settings.header_row} in the sheet {settings.sheet!r}; "
                "correct ingest.header_row, which counts from 1"
            ) from None
        raise InputError(
            f"{file.label} is not a readable Excel file ({one_line(error)}); save it again "
            "without a password, or correct its ending"
        ) from None
    frame = frame if header else with_names(frame)
    yield from slices(frame.dropna(how="all"), chunk_rows)


def _refuse_no_workbook(file: LocalFile, start: bytes) -> None:
    """Refuse a file that has an ending of Excel's and is no workbook, or an encrypted one."""
    if told := _document(start):
        raise InputError(f"{file.label} is not an Excel file: it is {told}")
    if start.startswith(_OLD_EXCEL) and file.label.lower().removesuffix(".gz").endswith(".xlsx"):
        raise InputError(
            f"{file.label} is encrypted, or old Excel; save it again as .xlsx without a password"
        )
    if start and not start.startswith((_ZIP, _OLD_EXCEL)) and _is_text(start):
        raise InputError(
            f"{file.label} is not an Excel file: it begins with {start.decode()[:_SHOWN]!r}; "
            "correct its ending"
        )


def _is_text(start: bytes) -> bool:
    with contextlib.suppress(UnicodeError):
        return start[:_SHOWN].decode().isprintable() or b"\n" in start[:_SHOWN]
    return False


def is_workbook(name: str) -> bool:
    """Whether a file's name has the ending of an Excel file."""
    return PurePosixPath(name.lower().removesuffix(".gz")).suffix in (".xlsx", ".xls")


def sheet_names(file: LocalFile) -> list[str]:
    """Return the names of a workbook's sheets; none if it cannot be read."""
    with contextlib.suppress(Exception):
        file.check_size(has_lines=False)
        with file.open() as stream:
            content = io.BytesIO(stream.read())
        if content.getvalue().startswith(_ZIP):
            check_workbook(content, file.label)
        with pd.ExcelFile(content) as book:
            return [str(sheet) for sheet in book.sheet_names]
    return []  # whoever reads it says why


def _sheet_rows(book: pd.ExcelFile, sheet: str | int) -> list[Row]:
    """Return the first rows of a sheet that hold anything."""
    frame = pd.read_excel(book, sheet_name=sheet, header=None, nrows=ROWS_LOOKED_AT, dtype=object)
    rows = (as_row(number, cells) for number, cells in enumerate(frame.to_numpy(), start=1))
    return [row for row in rows if row.filled]


def _refuse_other_sheets(book: pd.ExcelFile, known: frozenset[str], label: str) -> None:
    """Refuse a workbook whose first sheet is not the only one with listings."""
    if len(book.sheet_names) < 2:
        return
    first, *others = [str(name) for name in book.sheet_names]
    rows = {sheet: _sheet_rows(book, sheet) for sheet in (first, *others)}
    names = {sheet: _names(some) for sheet, some in rows.items()}
    listings = [sheet for sheet in names if len(known & names[sheet]) >= _FIELDS_OF_LISTINGS]
    if first not in listings and listings:
        raise LayoutError(
            f"{label}: the sheet {first!r} has no listings, {_listed(listings)} has; set "
            f"ingest.sheet: {listings[0]}",
            *({"sheet": sheet} for sheet in listings),
        )
    alike = [
        sheet
        for sheet in others
        if sheet in listings
        or _are_alike(names, first, sheet)
        or _have_one_shape(rows[first], rows[sheet])
    ]
    if alike:
        raise LayoutError(
            f"{label} has listings on the sheets {_listed([first, *alike])}, of which one is read; "
            f"set ingest.sheet, such as sheet: {first}, or save each as a file of its own and give "
            "a pattern such as *.csv",
            *({"sheet": sheet} for sheet in (first, *alike)),
        )


def _names(rows: Sequence[Row]) -> frozenset[str]:
    """Return the cells of the first rows that are text, where there is a row below them."""
    texts = (cell for row in rows[:-1] if not row.has_numbers for cell in row.cells)
    return frozenset(filter(None, texts))


def _are_alike(names: Mapping[str, frozenset[str]], one: str, other: str) -> bool:
    shared = names[one] & names[other]
    return len(shared) >= _FIELDS_OF_LISTINGS and 2 * len(shared) > len(names[one])


def _have_one_shape(one: Sequence[Row], other: Sequence[Row]) -> bool:
    """Whether the last of two sheets' first rows have texts and numbers in the same places.

    A sheet without a header, or with one in another language, may go on with the listings.
    """
    shapes = [
        {
            tuple(bool(NUMBER.fullmatch(cell)) if cell else None for cell in row.cells)
            for row in rows
        }
        for rows in (one[-_ROWS_COMPARED:], other[-_ROWS_COMPARED:])
    ]
    return any(
        sum(of is True for of in shape) >= _FIELDS_OF_LISTINGS and False in shape
        for shape in shapes[0] & shapes[1]
    )


def _listed(names: Sequence[str]) -> str:
    return " and ".join(map(repr, names))


def _sheet_exists(book: pd.ExcelFile, sheet: str | int, label: str) -> None:
    names = book.sheet_names
    known = sheet in names if isinstance(sheet, str) else 0 <= sheet < len(names)
    if not known:
        raise InputError(
            f"{label} has no sheet {sheet!r}; set ingest.sheet to one of {', '.join(names)}"
        )


_READERS: Final[dict[str, _Reader]] = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".jsonl": _read_json,
    ".ndjson": _read_json,
    ".json": functools.partial(_read_json, may_be_array=True),
    ".parquet": _read_parquet,
    ".xlsx": _read_excel,
    ".xls": _read_excel,
}
