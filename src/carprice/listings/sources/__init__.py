"""Read raw rows from files, S3, web addresses, databases or the embedded sample, chunk by chunk."""

import contextlib
import glob
import itertools
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from carprice.errors import InputError
from carprice.listings.sources.chunks import (
    Chunk,
    Chunks,
    as_chunks,
    kept_in_parts,
    scheme_of,
    slices,
)
from carprice.listings.sources.databases import database_chunks
from carprice.listings.sources.formats import (
    LocalFile,
    is_workbook,
    reader_for,
    rows_of_pieces,
    sheet_names,
)
from carprice.listings.sources.locations import File, locate, names_of_copies
from carprice.redaction import redact
from carprice.settings import IngestSettings

__all__ = ["SAMPLE", "Chunk", "Piece", "addresses", "are_files", "copy_files", "first_chunks"]
__all__ += ["is_database", "pieces_of", "read_chunks", "sheets_of"]

SAMPLE: Final = "sample"
_FILES: Final = ("file", "s3", "http", "https")
_FEWEST_OF_A_FILE: Final = 200
_CHUNK_ROWS: Final = 200_000


class Piece(NamedTuple):
    """What is read of a source at once: a file, or some of its rows.

    Attributes
    ----------
    address : of the file; see :func:`addresses`.
    rows : None for all.
    """

    address: str
    rows: range | None = None


def read_chunks(
    settings: IngestSettings,
    *,
    chunk_rows: int = _CHUNK_ROWS,
    source: str | None = None,
    rows: range | None = None,
    keep: Path | None = None,
    passed_over: Path | None = None,
    coded: bool = False,
) -> Iterator[Chunk]:
    """Read the rows of a source in order, at most ``chunk_rows`` at a time.

    Parameters
    ----------
    settings : say the source and how its files are written.
    chunk_rows : largest number of rows of a chunk.
    source : is read instead of ``settings.source``: a path, a pattern such as ``data/*.csv``,
        ``s3://…`` (patterns too), ``http(s)://…``, a SQLAlchemy URL, or ``sample``.
    rows : of a Parquet file, those that are read; None for all.
    keep : an empty folder for a copy of the source: its files, byte for byte, or Parquet files
        with the rows of a database or the sample. Files are copied before they are read.
    passed_over : a folder, such as the last run's copy, whose files a pattern does not match
        unless the pattern starts inside it.
    coded : whether texts of CSV may come as categories, which take less time and memory.

    Raises
    ------
    InputError
        While iterating, if something cannot be found or read.
    """
    origin = settings.source if source is None else source
    if not origin.strip():
        raise InputError(
            "ingest.source is empty; name a path, an address or sample, or set the variable in it"
        )
    scheme = scheme_of(origin)
    if origin != SAMPLE and scheme in (None, *_FILES):
        files = locate(origin, scheme, passed_over)
        for file, name in zip(files, names_of_copies(files), strict=True):
            copy = None if keep is None else keep / name
            yield from _read_file(file, copy, settings, chunk_rows, coded=coded, rows=rows)
        return
    if origin == SAMPLE:
        chunks = _sample_chunks(settings, chunk_rows)
    else:
        chunks = database_chunks(origin, settings, chunk_rows)
    yield from chunks if keep is None else kept_in_parts(chunks, keep)


def is_read(path: Path, source: str) -> bool:
    """Whether a file is there and is one of those that a source on this machine reads.

    Raises
    ------
    InputError
        If the source is on this machine and there is nothing.
    """
    scheme = scheme_of(source)
    if not source.strip() or source == SAMPLE or scheme not in (None, "file"):
        return False
    files = locate(source, scheme)
    return path.exists() and any(one.path and one.path.samefile(path) for one in files)


def are_files(source: str) -> bool:
    """Whether a source is a set of files, of this machine or of S3."""
    return source != SAMPLE and scheme_of(source) in (None, "file", "s3")


def copy_files(source: str, folder: Path, passed_over: Path | None = None) -> None:
    """Copy the files of a source into an empty folder, byte for byte."""
    files = locate(source, scheme_of(source), passed_over)
    for file, name in zip(files, names_of_copies(files), strict=True):
        with file.opened(folder / name):
            pass


def addresses(source: str, passed_over: Path | None = None) -> list[str]:
    """Return an address of each file of a source, to be read from anywhere.

    Raises
    ------
    InputError
        If there is no such file, or the source is no file of this machine or of S3.
    """
    if not are_files(source):
        raise InputError(
            f"{redact(source)} is no set of files; a cluster reads a path, a pattern such as "
            "data/*.parquet or s3://…; set compute.cluster to local for other sources"
        )
    files = locate(source, scheme_of(source), passed_over)
    return [
        str(file.path.absolute()) if file.path else f"s3://{glob.escape(file.label[5:])}"
        for file in files
    ]


def pieces_of(files: Sequence[str]) -> list[Piece]:
    """Return what can be read at once of files at addresses, in their order.

    Of a Parquet file in a folder that is one chunk after another, of any other file all.
    """
    found = list[Piece]()
    for file in files:
        is_split = scheme_of(file) is None and file.lower().endswith(".parquet")
        rows = rows_of_pieces(Path(file), _CHUNK_ROWS) if is_split else []
        found += [Piece(file, some) for some in rows] or [Piece(file)]
    return found


def is_database(source: str) -> bool:
    """Whether a source is an address that is neither of files nor of a path."""
    return scheme_of(source) not in (None, *_FILES)


def first_chunks(settings: IngestSettings, rows: int) -> list[Chunk]:
    """Read the first rows of a source: of each of its files, where it has several.

    Parameters
    ----------
    rows : about how many are read of all.

    Raises
    ------
    InputError
        If something cannot be found or read; a LayoutError if other settings may read it.
    """
    scheme = scheme_of(settings.source)
    if settings.source == SAMPLE or scheme not in (None, *_FILES):
        return list(itertools.islice(read_chunks(settings, chunk_rows=rows), 1))
    files = locate(settings.source, scheme)
    of_a_file = max(rows // len(files), _FEWEST_OF_A_FILE)
    chunks: list[Chunk] = []
    for file in files:
        with contextlib.closing(_read_file(file, None, settings, of_a_file, of_a_file)) as found:
            chunks += itertools.islice(found, 1)
    return chunks


def sheets_of(settings: IngestSettings) -> list[str]:
    """Return the names of the sheets of a source's first file; none if it is no workbook."""
    scheme = scheme_of(settings.source)
    if settings.source == SAMPLE or scheme not in (None, *_FILES):
        return []
    file = locate(settings.source, scheme)[0]
    _, gzipped = reader_for(file.name, file.label)
    if not is_workbook(file.name):
        return []
    with file.opened(None) as path:
        return sheet_names(LocalFile(path, file.label, gzipped))


def _sample_chunks(settings: IngestSettings, chunk_rows: int) -> Chunks:
    from carprice.sample.market import generate

    frames = slices(generate(settings.sample.rows, settings.sample.seed), chunk_rows)
    yield from as_chunks(frames, "", SAMPLE, "the sample is empty")


def _read_file(
    file: File,
    copy: Path | None,
    settings: IngestSettings,
    chunk_rows: int,
    most_rows: int | None = None,
    *,
    coded: bool = False,
    rows: range | None = None,
) -> Generator[Chunk, None, None]:
    reader, gzipped = reader_for(file.name, file.label)
    with file.opened(copy) as path:
        if path.stat().st_size == 0:
            raise InputError(f"{file.label} is empty; export it again or name another source")
        local = LocalFile(path, file.label, gzipped, most_rows, coded, rows)
        frames = reader(local, settings, chunk_rows)
        empty = f"{file.label} has no rows below its header; name a file that holds cars"
        first = rows.start if rows else 0
        yield from as_chunks(frames, file.name.partition(".")[0], file.label, empty, first)
