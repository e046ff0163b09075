"""Keep rows of a database or the sample as Parquet files while they are read."""

import contextlib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from carprice.listings.sources.chunks import Chunk


def kept_in_parts(chunks: Generator[Chunk, None, None], folder: Path) -> Iterator[Chunk]:
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

    try:
        array = pa.array(column, from_pandas=True)
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        return _as_text(column)
    kind = array.type.value_type if pa.types.is_list(array.type) else array.type
    is_plain = not pa.types.is_nested(kind) and not isinstance(kind, pa.BaseExtensionType)
    return array if is_plain else _as_text(column)


def _as_text(column: pd.Series) -> Any:
    import pyarrow as pa

    return pa.array(column.astype(object).map(_text, na_action="ignore"), from_pandas=True)


def _text(value: object) -> str:
    """Return a value as text; what UTF-8 cannot hold is escaped."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).encode("utf-8", "backslashreplace").decode()
