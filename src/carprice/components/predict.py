"""Predict: score any source with a model, in chunks, into one file."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol, TextIO

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from carprice.errors import InputError
from carprice.estimator.answers import answers
from carprice.files import writing
from carprice.listings.column_map import map_chunks
from carprice.listings.sources import read_chunks
from carprice.model import PriceModel
from carprice.schema import PRICE_NAMES
from carprice.settings import IngestSettings

Progress = Callable[[int], None]


class _Writer(Protocol):
    def write(self, frame: pd.DataFrame) -> None: ...

    def close(self) -> None: ...


def predict(
    model: PriceModel,
    settings: IngestSettings,
    source: str,
    target: Path,
    confidence: float,
    progress: Progress,
) -> tuple[int, int]:
    """Price every row of a source; return how many rows were read, and how many got a price.

    The output has the source's own columns, in their order, and ``predictedPrice``, ``priceLow``,
    ``priceHigh``, ``warnings`` and ``problem``; a row that cannot be priced says why.

    Raises
    ------
    InputError
        If the source cannot be read, or the target's ending is not .csv, .parquet or .jsonl.
    """
    open_writer = _WRITERS.get(target.suffix.lower())
    if open_writer is None:
        raise InputError(f"--out {target}: the ending must be one of {', '.join(_WRITERS)}")
    rows = with_price = 0
    with writing(target) as path:
        writer = open_writer(path)
        try:
            chunks = read_chunks(settings, source=source)
            for chunk, mapped in map_chunks(chunks, settings, price_required=False):
                priced = answers(model, mapped.frame, confidence)
                raw = chunk.frame.drop(columns=[*priced], errors="ignore")
                writer.write(pd.concat([raw, priced], axis=1))
                rows += len(priced)
                with_price += int(priced[PRICE_NAMES[0]].notna().sum())
                progress(rows)
        finally:
            writer.close()
    return rows, with_price


class _CsvWriter:
    def __init__(self, path: Path) -> None:
        self._file: TextIO = path.open("w", encoding="utf-8", newline="")
        self._header = True

    def write(self, frame: pd.DataFrame) -> None:
        frame.to_csv(
            self._file,
            index=False,
            header=self._header,
            quoting=csv.QUOTE_MINIMAL,
            lineterminator="\n",
        )
        self._header = False

    def close(self) -> None:
        self._file.close()


class _JsonLinesWriter:
    def __init__(self, path: Path) -> None:
        self._file: TextIO = path.open("w", encoding="utf-8", newline="\n")

    def write(self, frame: pd.DataFrame) -> None:
        frame.to_json(self._file, orient="records", lines=True, force_ascii=False)

    def close(self) -> None:
        self._file.close()


class _ParquetWriter:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: Any = None

    def write(self, frame: pd.DataFrame) -> None:
        table = pa.Table.from_pandas(frame, preserve_index=False)
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, table.schema)
        try:
            table = table.cast(self._writer.schema)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise InputError(
                f"{self._path.name}: a column changes its kind within the source ({error}); write "
                ".csv or .jsonl instead"
            ) from None
        self._writer.write_table(table)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


_WRITERS: Final[dict[str, Callable[[Path], _Writer]]] = {
    ".csv": _CsvWriter,
    ".jsonl": _JsonLinesWriter,
    ".parquet": _ParquetWriter,
}
