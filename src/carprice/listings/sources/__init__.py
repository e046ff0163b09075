"""Read raw rows from files, S3, web addresses, databases or the embedded sample, chunk by chunk."""

import contextlib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Final

import pandas as pd

from carprice.errors import InputError
from carprice.listings.sources.chunks import Chunk, scheme_of, slices
from carprice.listings.sources.copies import kept_in_parts
from carprice.listings.sources.databases import database_chunks
from carprice.listings.sources.formats import LocalFile, reader_for
from carprice.listings.sources.locations import File, locate, names_of_copies
from carprice.settings import IngestSettings

__all__ = ["SAMPLE", "Chunk", "read_chunks"]

SAMPLE: Final = "sample"


def read_chunks(
    settings: IngestSettings,
    *,
    chunk_rows: int = 200_000,
    source: str | None = None,
    keep: Path | None = None,
    passed_over: Path | None = None,
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
    keep
        An empty folder for a copy of the source: its files, byte for byte, or Parquet files with
        the rows of a database or the sample. Files are copied before they are read.
    passed_over
        A folder, such as the last run's copy, whose files a pattern does not match unless the
        pattern starts inside it.

    Raises
    ------
    InputError
        While iterating, if something cannot be found or read.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
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
    if not origin.strip():
        raise InputError(
            "ingest.source is empty; name a path, an address or sample, or set the variable in it"
        )
    scheme = scheme_of(origin)
    if origin != SAMPLE and scheme in (None, "file", "s3", "http", "https"):
        yield from _file_chunks(locate(origin, scheme, passed_over), settings, chunk_rows, keep)
        return
    if origin == SAMPLE:
        chunks = _sample_chunks(settings, chunk_rows)
    else:
        chunks = database_chunks(origin, settings, chunk_rows)
    yield from chunks if keep is None else kept_in_parts(chunks, keep)


def _sample_chunks(settings: IngestSettings, chunk_rows: int) -> Generator[Chunk, None, None]:
    from carprice.sample.market import generate

    frame = generate(settings.sample.rows, settings.sample.seed)
    for part in slices(frame, chunk_rows):
        yield Chunk(part, "", SAMPLE)


def _file_chunks(
    files: list[File], settings: IngestSettings, chunk_rows: int, keep: Path | None
) -> Iterator[Chunk]:
    for file, name in zip(files, names_of_copies(files), strict=True):
        yield from _read_file(file, None if keep is None else keep / name, settings, chunk_rows)


def _read_file(
    file: File, copy: Path | None, settings: IngestSettings, chunk_rows: int
) -> Iterator[Chunk]:
    reader, gzipped = reader_for(file.name, file.label)
    with file.opened(copy) as path:
        local = LocalFile(path, file.label, gzipped)
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
