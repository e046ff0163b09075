"""Read files by format: CSV, Excel, Parquet, JSON and JSON lines, with gzip or without.

CSV columns are read as text, with pandas' usual marks of a missing value: a type guessed per chunk
could make one column a number here and a text there, and ``001`` or ``1.10`` would lose characters.
The column rules parse numbers and dates. All other formats keep the types they store.

CSV, Parquet and JSON lines need memory for one chunk, Excel and JSON arrays for the whole file.
"""

import contextlib
import csv
import functools
import gzip
import io
import itertools
import json
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final, TextIO, cast

import pandas as pd

from carprice.errors import InputError
from carprice.listings.sources.chunks import Frames, one_line, slices
from carprice.settings import IngestSettings

_SEPARATORS: Final = (",", ";", "\t", "|")
_FORMATS: Final = ".csv, .tsv, .xlsx, .xls, .parquet, .jsonl, .ndjson or .json (also with .gz)"
_SIGNATURES: Final = {
    b"\x1f\x8b": "gzip (ending .gz)",
    b"PK\x03\x04": "a ZIP archive, such as Excel (ending .xlsx)",
    b"\xd0\xcf\x11\xe0": "old or encrypted Excel (ending .xls)",
    b"PAR1": "Parquet (ending .parquet)",
}


@dataclass(frozen=True)
class LocalFile:
    """A file on this machine, with its name for messages."""

    path: Path
    label: str
    gzipped: bool

    def open(self) -> IO[bytes]:
        """Open the file for reading, decompressed."""
        if self.gzipped:
            return cast(IO[bytes], gzip.open(self.path, "rb"))
        return self.path.open("rb")

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
        found = f"the unknown ending {ending!r}" if ending else "no ending"
        raise InputError(f"{label} has {found}; the format is told by {_FORMATS}")
    return _READERS[ending], gzipped


@contextlib.contextmanager
def _text_errors(file: LocalFile, settings: IngestSettings) -> Iterator[None]:
    try:
        yield
    except UnicodeError as error:
        at = ""
        if isinstance(error, UnicodeDecodeError):
            at = f" (byte {error.object[error.start]:#04x})"
        raise InputError(
            f"{file.label} is not {settings.encoding} text{at}; set ingest.encoding, "
            "such as cp1252 or utf-16"
        ) from None
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
        start = stream.read(4)
    for signature, kind in _SIGNATURES.items():
        if start.startswith(signature):
            raise InputError(f"{file.label} is not {wanted}: it is {kind}; correct its name")


def _read_csv(file: LocalFile, settings: IngestSettings, chunk_rows: int) -> Frames:
    with _text_errors(file, settings):
        _refuse_other_format(file, "a text file")
        separator = settings.separator or _find_separator(file, settings.encoding)
        with _csv_errors(file, separator):
            reader = pd.read_csv(
                file.path,
                sep=separator,
                engine="python" if len(separator) > 1 else "c",
                encoding=settings.encoding,
                compression="gzip" if file.gzipped else None,
                dtype=str,
                index_col=False,
                chunksize=chunk_rows,
            )
        with reader:
            while (frame := _next_rows(reader, file, separator)) is not None:
                yield frame


def _next_rows(reader: Any, file: LocalFile, separator: str) -> pd.DataFrame | None:
    with _csv_errors(file, separator):
        return next(reader, None)


@contextlib.contextmanager
def _csv_errors(file: LocalFile, separator: str) -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            yield
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        reason = one_line(error).removeprefix("Error tokenizing data. C error: ")
        raise InputError(
            f"{file.label} has rows that do not fit its header ({reason}; separator "
            f"{separator!r}); correct the row, or set ingest.separator"
        ) from None
    except pd.errors.EmptyDataError:
        raise InputError(f"{file.label} is empty; name another source") from None


def _find_separator(file: LocalFile, encoding: str) -> str:
    with file.open_text(encoding) as text:
        header = _first_line(text)
    if not header:
        raise InputError(f"{file.label} is empty; export it again or name another source")
    fields = {sign: len(next(csv.reader([header], delimiter=sign))) for sign in _SEPARATORS}
    best = max(_SEPARATORS, key=lambda sign: fields[sign])
    return best if fields[best] > 1 else ","


def _first_line(text: TextIO) -> str:
    return next((line for line in text if line.strip()), "")


def _read_json(
    file: LocalFile, settings: IngestSettings, chunk_rows: int, *, may_be_array: bool = False
) -> Frames:
    with _text_errors(file, settings):
        _refuse_other_format(file, "a text file")
        with file.open_text(settings.encoding) as text:
            is_array = may_be_array and _first_line(text).lstrip().startswith("[")
        read = _json_array if is_array else _json_lines
        names = dict.fromkeys(name for row in read(file, settings.encoding) for name in row)
        rows = read(file, settings.encoding)
        while part := list(itertools.islice(rows, chunk_rows)):
            yield pd.DataFrame.from_records(part, columns=list(names)).astype(object)


def _json_lines(file: LocalFile, encoding: str) -> Iterator[dict[str, Any]]:
    with file.open_text(encoding) as text:
        for number, line in enumerate(text, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise InputError(
                    f"{file.label} line {number} is not JSON ({error.msg} at column "
                    f"{error.colno}); each line needs one whole object"
                ) from None
            yield _json_object(row, f"{file.label} line {number}")


def _json_array(file: LocalFile, encoding: str) -> Iterator[dict[str, Any]]:
    with file.open_text(encoding) as text:
        try:
            rows = json.load(text)
        except json.JSONDecodeError as error:
            raise InputError(
                f"{file.label} is not JSON ({error.msg} at line {error.lineno}, column "
                f"{error.colno}); it needs an array of objects, or one object a line"
            ) from None
    for number, row in enumerate(rows, start=1):
        yield _json_object(row, f"{file.label} item {number}")


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
            for batch in table.iter_batches(batch_size=chunk_rows):
                yield batch.to_pandas(integer_object_nulls=True, ignore_metadata=True)
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"{file.label} is not a whole Parquet file ({one_line(error)}); "
            "export it again, or correct its ending"
        ) from None


def _read_excel(file: LocalFile, settings: IngestSettings, chunk_rows: int) -> Frames:
    with _text_errors(file, settings), file.open() as stream:
        content = io.BytesIO(stream.read())
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="openpyxl")
            with pd.ExcelFile(content) as book:
                _sheet_exists(book, settings.sheet, file.label)
                frame = pd.read_excel(book, sheet_name=settings.sheet, dtype=object)
    except ImportError as error:
        package = getattr(error, "name", None) or "xlrd"
        raise InputError(
            f"{file.label}: this Excel format needs the package {package}; pip install {package}, "
            "or save it as .xlsx or .csv"
        ) from None
    except (ValueError, KeyError, OSError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(
            f"{file.label} is not a readable Excel file ({one_line(error)}); save it again "
            "without a password, or correct its ending"
        ) from None
    yield from slices(frame.dropna(how="all"), chunk_rows)


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
