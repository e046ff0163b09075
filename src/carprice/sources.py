"""Read raw rows from files, S3, web addresses, databases or the embedded sample, chunk by chunk.

CSV columns are read as text, with pandas' usual marks of a missing value: a type guessed per chunk
could make one column a number here and a text there, and ``001`` or ``1.10`` would lose characters.
The column rules parse numbers and dates. All other formats keep the types they store.

CSV, Parquet, JSON lines and SQL need memory for one chunk, Excel and JSON arrays for the whole
file. Remote files are first copied, in blocks, to a temporary file that lives while it is read.
"""

import base64
import contextlib
import csv
import gzip
import io
import itertools
import json
import re
import shutil
import tempfile
import urllib.error
import urllib.parse
import urllib.request
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final, cast

import pandas as pd

from carprice.columns import auto_columns
from carprice.errors import InputError
from carprice.schema import alias
from carprice.settings import IngestSettings

SAMPLE: Final = "sample"

_SEPARATORS: Final = (",", ";", "\t", "|")
_FORMATS: Final = ".csv, .tsv, .xlsx, .xls, .parquet, .jsonl, .ndjson or .json (also with .gz)"
_HTTP_TIMEOUT: Final = 60
_BLOCK: Final = 1 << 20
_SIGNATURES: Final = {
    b"\x1f\x8b": "gzip (ending .gz)",
    b"PK\x03\x04": "a ZIP archive, such as Excel (ending .xlsx)",
    b"\xd0\xcf\x11\xe0": "old or encrypted Excel (ending .xls)",
    b"PAR1": "Parquet (ending .parquet)",
}


@dataclass(frozen=True)
class Chunk:
    """Raw rows that stand one after another in one source.

    Parameters
    ----------
    frame
        The rows as they are; the index counts the rows of the file from 0.
    filename
        The file's name without folder and without any ending, empty for SQL and the sample.
    label
        The source as messages may show it: its path or address without secrets.
    """

    frame: pd.DataFrame
    filename: str
    label: str = ""


@dataclass(frozen=True)
class _File:
    name: str
    label: str
    opened: Callable[[], AbstractContextManager[Path]]


@dataclass(frozen=True)
class _Local:
    path: Path
    label: str
    gzipped: bool

    def open(self) -> IO[bytes]:
        if self.gzipped:
            return cast(IO[bytes], gzip.open(self.path, "rb"))
        return self.path.open("rb")


_Reader = Callable[[_Local, IngestSettings, int], Generator[pd.DataFrame, None, None]]


def redact(source: str) -> str:
    """Hide the passwords and tokens of an address, so that it may be shown.

    Examples
    --------
    >>> redact("postgresql+psycopg://ann:s3cret@db.example.com/cars")
    'postgresql+psycopg://ann:***@db.example.com/cars'
    >>> redact("https://example.com/cars.csv?day=7&X-Amz-Signature=abc")
    'https://example.com/cars.csv?day=7&X-Amz-Signature=***'
    >>> redact("data/cars.csv")
    'data/cars.csv'
    """
    hidden = re.sub(r"(://[^:/@?#\s]*):\S*@", r"\1:***@", source)
    hidden = re.sub(r"(https?://)[^:/@?#\s]+@", r"\1***@", hidden)
    return re.sub(
        r"(?i)([?&;][^=&#]*(?:token|key|secret|sig|pass|pwd|auth|cred)[^=&#]*=)[^&#\s]*",
        r"\1***",
        hidden,
    )


def read_chunks(
    settings: IngestSettings, *, chunk_rows: int = 200_000, source: str | None = None
) -> Iterator[Chunk]:
    r"""Read the rows of a source in order, at most ``chunk_rows`` at a time.

    Parameters
    ----------
    settings
        Says the source and how its files are written.
    chunk_rows
        Largest number of rows of a chunk.
    source
        Read this instead of ``settings.source``: a path, a pattern such as ``data/*.csv``,
        ``s3://…`` (patterns too), ``http(s)://…``, a SQLAlchemy URL, or ``sample``.

    Raises
    ------
    InputError
        On the first ``next``, or later, if something cannot be found or read.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "shop.csv")
    ...     _ = path.write_text("make;year\nFord;2015\nKia;2019\n")
    ...     chunks = list(read_chunks(IngestSettings(), source=str(path), chunk_rows=1))
    >>> [(chunk.filename, chunk.frame["make"].tolist()) for chunk in chunks]
    [('shop', ['Ford']), ('shop', ['Kia'])]
    """
    if chunk_rows < 1:
        raise ValueError(f"chunk_rows must be at least 1, is {chunk_rows}")
    origin = settings.source if source is None else source
    scheme = _scheme(origin)
    if origin == SAMPLE:
        yield from _sample_chunks(settings, chunk_rows)
    elif scheme in (None, "file", "s3", "http", "https"):
        yield from _file_chunks(_locate(origin, scheme), settings, chunk_rows)
    else:
        yield from _database_chunks(origin, settings, chunk_rows)


def _scheme(source: str) -> str | None:
    found = re.match(r"([A-Za-z][A-Za-z0-9+.\-]+)://", source)
    return found[1].lower() if found else None


def _is_pattern(text: str) -> bool:
    return any(sign in text for sign in "*?[")


def _slices(frame: pd.DataFrame, rows: int) -> Iterator[pd.DataFrame]:
    for first in range(0, len(frame), rows):
        yield frame.iloc[first : first + rows]


def _sample_chunks(settings: IngestSettings, chunk_rows: int) -> Iterator[Chunk]:
    from carprice.sample_market import generate

    frame = generate(settings.sample.rows, settings.sample.seed)
    for part in _slices(frame, chunk_rows):
        yield Chunk(part, "", SAMPLE)


def _file_chunks(
    files: Iterable[_File], settings: IngestSettings, chunk_rows: int
) -> Iterator[Chunk]:
    first: tuple[str, dict[str, tuple[str, ...]]] | None = None
    for file in files:
        columns: dict[str, tuple[str, ...]] | None = None
        for chunk in _read_file(file, settings, chunk_rows):
            if columns is None:
                columns = auto_columns(chunk.frame.columns, settings)
                first = first or (file.label, columns)
                _same_fields(first, (file.label, columns))
            yield chunk


def _same_fields(
    first: tuple[str, dict[str, tuple[str, ...]]], other: tuple[str, dict[str, tuple[str, ...]]]
) -> None:
    for (full, columns), (lacking, found) in ((first, other), (other, first)):
        for field, names in columns.items():
            missing = [] if found.get(field) else list(names[:1])
            if field == "features":
                missing = [name for name in names if name not in found.get(field, ())]
            if missing:
                raise InputError(
                    f"{lacking} has no column {missing[0]!r} (field {alias(field)}), which {full} "
                    "has; files that are read together need the same fields: rename the column, "
                    f"or switch the field off with '{alias(field)}: null' in ingest.columns"
                )


def _read_file(file: _File, settings: IngestSettings, chunk_rows: int) -> Iterator[Chunk]:
    reader, gzipped = _reader_for(file)
    with file.opened() as path:
        local = _Local(path, file.label, gzipped)
        if path.stat().st_size == 0:
            raise InputError(f"{file.label} is empty; export it again or name another source")
        count = 0
        frames = reader(local, settings, chunk_rows)
        with contextlib.closing(frames):
            for frame in frames:
                names = [str(name).strip() for name in frame.columns]
                frame.columns = pd.Index(names, dtype=object)
                frame.index = pd.RangeIndex(count, count + len(frame))
                count += len(frame)
                if len(frame):
                    yield Chunk(frame, file.name.partition(".")[0], file.label)
    if count == 0:
        raise InputError(f"{file.label} has no rows below its header; name a file that holds cars")


def _reader_for(file: _File) -> tuple[_Reader, bool]:
    name = file.name.lower()
    gzipped = name.endswith(".gz")
    ending = PurePosixPath(name.removesuffix(".gz")).suffix
    if ending == ".parquet" and gzipped:
        raise InputError(f"{file.label}: Parquet is compressed inside; unpack it with gunzip first")
    if ending not in _READERS:
        found = f"the unknown ending {ending!r}" if ending else "no ending"
        raise InputError(f"{file.label} has {found}; the format is told by {_FORMATS}")
    return _READERS[ending], gzipped


def _locate(origin: str, scheme: str | None) -> Iterator[_File]:
    if scheme == "s3":
        yield from _s3_files(origin)
    elif scheme in ("http", "https"):
        yield _web_file(origin)
    elif scheme == "file":
        path = urllib.request.url2pathname(urllib.parse.urlsplit(origin).path)
        yield from _local_files(path)
    else:
        yield from _local_files(origin)


def _local_files(origin: str) -> Iterator[_File]:
    path = Path(origin).expanduser()
    if _is_pattern(origin) and not path.exists():
        matches = _glob(path)
        if not matches:
            raise InputError(f"no file matches {origin}; correct ingest.source")
    elif path.is_dir():
        raise InputError(
            f"{origin} is a folder; name a file in it, or a pattern such as {path / '*.csv'}"
        )
    elif not path.exists():
        raise InputError(
            f"file {origin} does not exist; correct ingest.source (relative paths start "
            "in the working folder)"
        )
    else:
        matches = [path]
    for match in matches:
        yield _File(match.name, str(match), lambda match=match: contextlib.nullcontext(match))  # type: ignore[misc]


def _glob(path: Path) -> list[Path]:
    fixed = list(itertools.takewhile(lambda part: not _is_pattern(part), path.parts))
    pattern = "/".join(path.parts[len(fixed) :])
    found = Path(*fixed).glob(pattern)
    return sorted(file for file in found if file.is_file() and not file.name.startswith("."))


@contextlib.contextmanager
def _downloaded(name: str, fetch: Callable[[Path], None]) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="carprice-") as folder:
        path = Path(folder, "download" + "".join(PurePosixPath(name).suffixes[-2:]))
        fetch(path)
        yield path


@contextlib.contextmanager
def _s3_errors(label: str) -> Iterator[None]:
    from botocore.exceptions import (
        BotoCoreError,
        NoCredentialsError,
    )

    try:
        yield
    except NoCredentialsError:
        raise InputError(
            f"{label} needs AWS credentials and none were found; run 'aws configure', or set "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role"
        ) from None
    except PermissionError as error:
        raise InputError(
            f"{label}: access denied ({_one_line(error)}); the AWS credentials in use need "
            "s3:GetObject and s3:ListBucket for it"
        ) from None
    except (BotoCoreError, OSError) as error:
        raise InputError(
            f"{label} cannot be read from S3: {_one_line(error)}; check the address, the region "
            "and AWS_ENDPOINT_URL"
        ) from None


def _s3_files(origin: str) -> Iterator[_File]:
    import fsspec

    label = redact(origin)
    path = origin.partition("://")[2]
    bucket, _, key = path.partition("/")
    if not bucket or not key:
        raise InputError(f"{label} names no file; write s3://bucket/folder/cars.csv")
    with _s3_errors(label):
        store = fsspec.filesystem("s3", skip_instance_cache=True, use_listings_cache=False)
        if _is_pattern(path):
            found = store.glob(path, detail=True)
            keys = sorted(name for name, info in found.items() if info["type"] == "file")
        else:
            keys = [path] if _s3_kind(store, path, label) == "file" else []
        if not keys:
            _s3_bucket_exists(store, bucket)
            raise InputError(f"no object matches {label}; correct ingest.source")
    for name in keys:
        yield _s3_file(store, name)


def _s3_kind(store: Any, path: str, label: str) -> str:
    bucket = path.partition("/")[0]
    try:
        kind = str(store.info(path)["type"])
    except FileNotFoundError:
        _s3_bucket_exists(store, bucket)
        raise InputError(f"{label} does not exist; correct the key in ingest.source") from None
    if kind == "directory":
        raise InputError(f"{label} is a folder; name a file in it, or a pattern such as *.csv")
    return kind


def _s3_bucket_exists(store: Any, bucket: str) -> None:
    if not store.exists(bucket):
        raise InputError(
            f"the S3 bucket {bucket!r} does not exist; correct ingest.source, or the account "
            "and region in use"
        )


def _s3_file(store: Any, name: str) -> _File:
    label = f"s3://{name}"

    def fetch(path: Path) -> None:
        with _s3_errors(label):
            store.get_file(name, str(path))

    return _File(PurePosixPath(name).name, label, lambda: _downloaded(name, fetch))


def _web_file(origin: str) -> _File:
    parts = urllib.parse.urlsplit(origin)
    name = PurePosixPath(urllib.parse.unquote(parts.path)).name
    label = redact(origin)
    return _File(name, label, lambda: _downloaded(name, lambda path: _download(origin, path)))


def _request(origin: str) -> urllib.request.Request:
    parts = urllib.parse.urlsplit(origin)
    login, _, host = parts.netloc.rpartition("@")
    headers = {"User-Agent": "carprice"}
    if login:
        plain = urllib.parse.unquote(login if ":" in login else f"{login}:")
        headers["Authorization"] = "Basic " + base64.b64encode(plain.encode()).decode()
    path = urllib.parse.quote(parts.path, safe="/%:@!$&'()*+,;=~-._")
    return urllib.request.Request(  # noqa: S310
        parts._replace(netloc=host, path=path, fragment="").geturl(), headers=headers
    )


def _download(origin: str, path: Path) -> None:
    label = redact(origin)
    try:
        with (
            urllib.request.urlopen(_request(origin), timeout=_HTTP_TIMEOUT) as answer,  # noqa: S310
            path.open("wb") as file,
        ):
            shutil.copyfileobj(answer, file, _BLOCK)
            expected = answer.headers.get("Content-Length")
    except urllib.error.HTTPError as error:
        error.close()
        raise InputError(
            f"{label} answered HTTP status {error.code} ({error.reason}); check the address and "
            "that it may be read without further login"
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise InputError(f"{label} cannot be reached: {_one_line(reason)}") from None
    if expected is not None and path.stat().st_size != int(expected):
        raise InputError(
            f"{label} broke off after {path.stat().st_size} of {expected} bytes; try again"
        )


def _one_line(error: object) -> str:
    return " ".join(str(error).split("\n")[0].split()) or type(error).__name__


@contextlib.contextmanager
def _text_errors(file: _Local, settings: IngestSettings) -> Iterator[None]:
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
            f"{file.label} is not a whole gzip file ({_one_line(error)}); "
            "export it again, or correct its ending"
        ) from None
    except OSError as error:
        raise InputError(f"{file.label} cannot be opened: {error.strerror or error}") from None


def _refuse_other_format(file: _Local, wanted: str) -> None:
    with file.open() as stream:
        start = stream.read(4)
    for signature, kind in _SIGNATURES.items():
        if start.startswith(signature):
            raise InputError(f"{file.label} is not {wanted}: it is {kind}; correct its name")


def _read_csv(
    file: _Local, settings: IngestSettings, chunk_rows: int
) -> Generator[pd.DataFrame, None, None]:
    with _text_errors(file, settings):
        _refuse_other_format(file, "a text file")
        separator = settings.separator or _find_separator(file, settings.encoding)
    with _text_errors(file, settings):
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


def _next_rows(reader: Any, file: _Local, separator: str) -> pd.DataFrame | None:
    with _csv_errors(file, separator):
        return next(reader, None)


@contextlib.contextmanager
def _csv_errors(file: _Local, separator: str) -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            yield
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        reason = _one_line(error).removeprefix("Error tokenizing data. C error: ")
        raise InputError(
            f"{file.label} has rows that do not fit its header ({reason}; separator "
            f"{separator!r}); correct the row, or set ingest.separator"
        ) from None
    except pd.errors.EmptyDataError:
        raise InputError(f"{file.label} is empty; name another source") from None


def _find_separator(file: _Local, encoding: str) -> str:
    with file.open() as raw, io.TextIOWrapper(raw, encoding=encoding, newline="") as text:
        header = next((line for line in text if line.strip()), "")
    if not header:
        raise InputError(f"{file.label} is empty; export it again or name another source")
    fields = {sign: len(next(csv.reader([header], delimiter=sign))) for sign in _SEPARATORS}
    best = max(_SEPARATORS, key=lambda sign: fields[sign])
    return best if fields[best] > 1 else ","


def _read_json_lines(
    file: _Local, settings: IngestSettings, chunk_rows: int
) -> Generator[pd.DataFrame, None, None]:
    with _text_errors(file, settings):
        _refuse_other_format(file, "a text file")
        names = dict.fromkeys(name for row in _json_rows(file, settings) for name in row)
        rows = _json_rows(file, settings)
        while part := list(itertools.islice(rows, chunk_rows)):
            yield pd.DataFrame.from_records(part, columns=list(names)).astype(object)


def _json_rows(file: _Local, settings: IngestSettings) -> Iterator[dict[str, Any]]:
    with file.open() as raw, io.TextIOWrapper(raw, encoding=settings.encoding) as text:
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


def _json_object(row: object, place: str) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise InputError(
            f"{place} holds {type(row).__name__} {str(row)[:40]!r}; each row needs to be "
            'an object, such as {"make": "Kia"}'
        )
    return row


def _read_json(
    file: _Local, settings: IngestSettings, chunk_rows: int
) -> Generator[pd.DataFrame, None, None]:
    with _text_errors(file, settings):
        _refuse_other_format(file, "a text file")
        with file.open() as raw, io.TextIOWrapper(raw, encoding=settings.encoding) as text:
            start = next((line.strip() for line in text if line.strip()), "")
            if start.startswith("["):
                text.seek(0)
                frame = _json_array(text.read(), file.label)
            else:
                frame = None
    if frame is None:
        yield from _read_json_lines(file, settings, chunk_rows)
    else:
        yield from _slices(frame, chunk_rows)


def _json_array(text: str, label: str) -> pd.DataFrame:
    try:
        rows = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(
            f"{label} is not JSON ({error.msg} at line {error.lineno}, column {error.colno}); "
            "it needs an array of objects, or one object a line"
        ) from None
    checked = [_json_object(row, f"{label} item {n}") for n, row in enumerate(rows, start=1)]
    names = dict.fromkeys(name for row in checked for name in row)
    return pd.DataFrame.from_records(checked, columns=list(names)).astype(object)


def _read_parquet(
    file: _Local,
    settings: IngestSettings,  # noqa: ARG001
    chunk_rows: int,
) -> Generator[pd.DataFrame, None, None]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file.path) as table:
            for batch in table.iter_batches(batch_size=chunk_rows):
                yield batch.to_pandas(integer_object_nulls=True, ignore_metadata=True)
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"{file.label} is not a whole Parquet file ({_one_line(error)}); "
            "export it again, or correct its ending"
        ) from None


def _read_excel(
    file: _Local, settings: IngestSettings, chunk_rows: int
) -> Generator[pd.DataFrame, None, None]:
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
            f"{file.label} is not a readable Excel file ({_one_line(error)}); save it again "
            "without a password, or correct its ending"
        ) from None
    yield from _slices(frame.dropna(how="all"), chunk_rows)


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
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
    ".json": _read_json,
    ".parquet": _read_parquet,
    ".xlsx": _read_excel,
    ".xls": _read_excel,
}


@contextlib.contextmanager
def _database_errors(origin: str) -> Iterator[None]:
    label = redact(origin)
    scheme = _scheme(origin)
    try:
        from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
    except ImportError:
        raise InputError(f"{label} needs SQLAlchemy; pip install 'carprice[sql]'") from None
    try:
        yield
    except NoSuchModuleError:
        raise InputError(
            f"{label}: {scheme}:// is neither a file store nor an installed database; sources are "
            "a path, s3://, https://, a SQLAlchemy URL (pip install 'carprice[sql]') or sample"
        ) from None
    except ModuleNotFoundError as error:
        raise InputError(
            f"{label} needs the database driver {error.name}; pip install 'carprice[sql]' "
            f"for PostgreSQL (postgresql+psycopg://), else pip install {error.name}"
        ) from None
    except ArgumentError:
        raise InputError(
            f"{label} is not a SQLAlchemy URL; write dialect+driver://user:password@host/database"
        ) from None
    except SQLAlchemyError as error:
        reason = _one_line(getattr(error, "orig", None) or error)
        raise InputError(f"{label}: the database refused: {_scrub(reason, origin)}") from None


def _scrub(text: str, origin: str) -> str:
    text = text.replace(origin, redact(origin))
    login = re.search(r"://[^:/@?#\s]*:(\S*)@", origin)
    secrets = {login[1], urllib.parse.unquote(login[1])} - {""} if login else set()
    for secret in secrets:
        text = text.replace(secret, "***")
    return text


def _database_chunks(origin: str, settings: IngestSettings, chunk_rows: int) -> Iterator[Chunk]:
    label = redact(origin)
    with _database_errors(origin):
        from sqlalchemy import create_engine

        engine = create_engine(origin)
        if not settings.query:
            raise InputError(
                f"{label} is a database; put the SELECT that reads the listings into ingest.query"
            )
        _database_exists(engine.url, label)
        try:
            yield from _query_chunks(engine, settings.query, label, chunk_rows)
        finally:
            engine.dispose()


def _database_exists(url: Any, label: str) -> None:
    """SQLite would make a new, empty database of a misspelt name."""
    name = url.database
    if url.get_backend_name() != "sqlite" or not name or name.startswith((":", "file:")):
        return
    if not Path(name).is_file():
        raise InputError(f"{label}: the database file {name} does not exist; correct ingest.source")


def _query_chunks(engine: Any, query: str, label: str, chunk_rows: int) -> Iterator[Chunk]:
    with engine.connect() as connection:
        options = {"stream_results": True, "yield_per": chunk_rows, "no_parameters": True}
        result = connection.execution_options(**options).exec_driver_sql(query)
        if not result.returns_rows:
            raise InputError(f"{label}: ingest.query returns no rows; it needs to be a SELECT")
        names = [str(name).strip() for name in result.keys()]  # noqa: SIM118
        repeated = [name for name, count in Counter(names).items() if count > 1]
        if repeated:
            raise InputError(
                f"{label}: ingest.query returns the column {repeated[0]!r} twice; "
                "name each column once, with AS"
            )
        count = 0
        for part in result.partitions(chunk_rows):
            rows = [tuple(row) for row in part]
            index = pd.RangeIndex(count, count + len(rows))
            count += len(rows)
            yield Chunk(pd.DataFrame(rows, index, names, dtype=object), "", label)
        if count == 0:
            raise InputError(f"{label}: ingest.query returned no rows; check its conditions")
