"""A chunk of raw rows, and helpers of the readers of files and databases."""

import contextlib
import difflib
import re
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from carprice.errors import InputError
from carprice.listings.sources.headers import refuse_repeated
from carprice.schema import column_name

Frames = Generator[pd.DataFrame, None, None]

_COLUMNS_NAMED: Final = 20


@dataclass(frozen=True)
class Chunk:
    """Consecutive raw rows of one file, query or sample.

    Attributes
    ----------
    frame : the rows; the index counts the rows of the file from 0.
    filename : the file's name without folder and endings; empty for SQL and the sample.
    label : the source's path or address for messages, without secrets.
    """

    frame: pd.DataFrame
    filename: str
    label: str = ""


Chunks = Generator[Chunk, None, None]


def scheme_of(source: str) -> str | None:
    """Return the scheme of an address, in lower case; None for a path, on Windows too."""
    found = re.match(r"([A-Za-z][A-Za-z0-9+.\-]+)://", source)
    return found[1].lower() if found else None


def as_chunks(frames: Frames, filename: str, label: str, if_empty: str, first: int = 0) -> Chunks:
    """Yield frames as chunks with rows numbered from the first; an InputError if there is none."""
    count = first
    with contextlib.closing(frames):
        for frame in frames:
            names = [column_name(name) for name in frame.columns]
            refuse_repeated(names, label)
            frame.columns = pd.Index(names, dtype=object)
            frame.index = pd.RangeIndex(count, count + len(frame))
            count += len(frame)
            if len(frame):
                yield Chunk(frame, filename, label)
    if count == first:
        raise InputError(if_empty)


def slices(frame: pd.DataFrame, rows: int) -> Frames:
    """Cut a frame into parts of at most ``rows`` rows."""
    for first in range(0, len(frame), rows):
        yield frame.iloc[first : first + rows]


def one_line(error: object) -> str:
    """Return the first line of an error's text, or its kind where it has none."""
    return " ".join(str(error).split("\n")[0].split()) or type(error).__name__


def nearest(wanted: str, columns: Iterable[str]) -> str:
    """Write the names of columns, those first that are most like a name that is not there."""
    known = list(columns)
    by_case = {name.lower(): name for name in known}
    close = difflib.get_close_matches(wanted.lower(), by_case, n=len(by_case) or 1, cutoff=0.5)
    shown = [*dict.fromkeys([*(by_case[name] for name in close), *known])]
    rest = len(shown) - _COLUMNS_NAMED
    return ", ".join(shown[:_COLUMNS_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def kept_in_parts(chunks: Chunks, folder: Path) -> Iterator[Chunk]:
    """Yield the chunks unchanged, and write each to a numbered Parquet file in the folder."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with contextlib.closing(chunks):
        for number, chunk in enumerate(chunks, start=1):
            # Arrow's own table holds no version of pandas, so that the bytes outlive an upgrade.
            table = pa.table({str(name): _array(chunk.frame[name]) for name in chunk.frame})
            pq.write_table(table, folder / f"part-{number:06}.parquet")
            yield chunk


def _array(column: pd.Series) -> Any:
    """Return a column as Arrow stores it; what is no number, date, text or list becomes text."""
    import pyarrow as pa

    with contextlib.suppress(pa.ArrowException, OverflowError, TypeError, ValueError):
        array = pa.array(column, from_pandas=True)
        kind = array.type.value_type if pa.types.is_list(array.type) else array.type
        if not pa.types.is_nested(kind) and not isinstance(kind, pa.BaseExtensionType):
            return array
    return pa.array(column.astype(object).map(_text, na_action="ignore"), from_pandas=True)


def _text(value: object) -> str:
    """Return a value as text; what UTF-8 cannot hold is escaped."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).encode("utf-8", "backslashreplace").decode()
