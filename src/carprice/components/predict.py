"""Predict: score any source with a model, in chunks, into one file."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from carprice.arrays import Progress
from carprice.components.listings_to_price import listings_to_price
from carprice.errors import InputError
from carprice.evaluation.pricing import answers, with_defaults, with_left_out
from carprice.files import check_writable, writing
from carprice.listings.column_map import MappedChunk
from carprice.listings.sources import is_read
from carprice.model import PriceModel
from carprice.schema import PRICE_NAMES
from carprice.settings import IngestSettings


class Priced(NamedTuple):
    """What :func:`predict` did.

    Attributes
    ----------
    rows, with_price : number of rows that were read, and of those that got a price.
    notes : what was assumed of how the numbers are written.
    """

    rows: int
    with_price: int
    notes: tuple[str, ...]


def predict(
    model: PriceModel,
    settings: IngestSettings,
    source: str,
    target: Path,
    confidence: float,
    progress: Progress,
) -> Priced:
    """Price every row of a source.

    The output has the source's own columns, in their order, and ``predictedPrice``, ``priceLow``,
    ``priceHigh``, ``warnings`` and ``problem``; a row that cannot be priced says why, in the words
    of the service, and so does one that ``ingest.rows`` leaves out. Without a column for the
    odometer (``odometer: null``) none is needed.

    Raises
    ------
    InputError
        If the source, or too much of a field, cannot be read, another column tells that distances,
        engines or power are in another unit, or the target's ending is not .csv, .parquet or
        .jsonl.
    """
    write, settings = _writer(target), settings.with_own(model.own)
    rows = with_price = 0
    notes: tuple[str, ...] = ()

    def priced_chunks() -> Iterator[pd.DataFrame]:
        nonlocal rows, with_price, notes
        for chunk, mapped, problems in listings_to_price(model, settings, [source], asks=False):
            priced = with_prices(model, chunk.frame, mapped, problems, confidence)
            yield priced
            rows += len(priced)
            notes = mapped.notes
            with_price += int(priced[PRICE_NAMES[0]].notna().sum())
            progress(f"{rows:,} rows")

    with writing(target) as path:
        write(path, priced_chunks())
    return Priced(rows, with_price, notes)


def with_prices(
    model: PriceModel,
    raw: pd.DataFrame,
    mapped: MappedChunk,
    problems: pd.Series,
    confidence: float,
) -> pd.DataFrame:
    """Return the raw rows of a chunk with their prices, warnings and problems."""
    priced = answers(model, mapped.frame, problems, confidence)
    priced = with_left_out(with_defaults(priced, mapped.defaulted), mapped.left_out)
    return pd.concat([raw.drop(columns=[*priced], errors="ignore"), priced], axis=1)


def check_target(target: Path, source: str) -> None:
    """Find out before any work that prices cannot be written to a file; see :func:`predict`.

    Raises
    ------
    InputError
        If the file is the source, too, or a local source is not there.
    """
    _writer(target)
    check_writable(target)
    if is_read(target, source):
        raise InputError(f"--out {target} is read as the source, too; name another file")


def _writer(target: Path) -> Callable[[Path, Iterator[pd.DataFrame]], None]:
    write = _WRITERS.get(target.suffix.lower())
    if write is None and not target.is_dir():
        raise InputError(f"--out {target}: the ending must be one of {', '.join(_WRITERS)}")
    return write or _write_csv


def _write_csv(path: Path, chunks: Iterator[pd.DataFrame]) -> None:
    for number, chunk in enumerate(chunks):
        chunk.to_csv(path, mode="a", header=not number, index=False, lineterminator="\n")


def _write_json_lines(path: Path, chunks: Iterator[pd.DataFrame]) -> None:
    for chunk in chunks:
        chunk.to_json(path, mode="a", orient="records", lines=True, force_ascii=False)


def write_parquet(
    path: Path,
    chunks: Iterator[pd.DataFrame],
    notes: Callable[[], Mapping[str, str]] = dict,
) -> None:
    """Write chunks to a Parquet file, and in its metadata the notes that are had at the end."""
    tables = (pa.Table.from_pandas(chunk, preserve_index=False) for chunk in chunks)
    first = next(tables)
    # A text that the first chunk lacks in all rows has no kind yet.
    kinds = [f.with_type(pa.string()) if pa.types.is_null(f.type) else f for f in first.schema]
    schema = pa.schema(kinds, first.schema.metadata)
    with pq.ParquetWriter(path, schema) as writer:
        for table in itertools.chain([first], tables):
            try:
                writer.write_table(table.cast(schema))
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                raise InputError(
                    f"{path.name}: a column changes its kind within the source ({error}); write "
                    ".csv or .jsonl instead"
                ) from None
        writer.add_key_value_metadata(notes())


_WRITERS: Final[dict[str, Callable[[Path, Iterator[pd.DataFrame]], None]]] = {
    ".csv": _write_csv,
    ".jsonl": _write_json_lines,
    ".parquet": write_parquet,
}
