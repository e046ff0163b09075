"""Predict: score any source with a model, in chunks, into one file."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol, TextIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from carprice.errors import InputError
from carprice.files import writing
from carprice.listings.column_map import map_columns
from carprice.listings.features import listings_of
from carprice.listings.frames import as_columns
from carprice.listings.sources import read_chunks
from carprice.model import PriceModel
from carprice.schema import PRICE_NAMES, REQUIRED_OF_A_ROW
from carprice.settings import IngestSettings

Progress = Callable[[int], None]
_ADDED: Final = (*PRICE_NAMES, "warnings", "problem")


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
    rows = priced = 0
    with writing(target) as path:
        writer = open_writer(path)
        try:
            for chunk in read_chunks(settings, source=source):
                mapped = map_columns(chunk, settings, price_required=False)
                answers = _answers(model, mapped.frame, confidence)
                raw = chunk.frame.drop(columns=[*_ADDED], errors="ignore")
                writer.write(pd.concat([raw, answers], axis=1))
                rows += len(answers)
                priced += int(answers[PRICE_NAMES[0]].notna().sum())
                progress(rows)
        finally:
            writer.close()
    return rows, priced


def _answers(model: PriceModel, listings: pd.DataFrame, confidence: float) -> pd.DataFrame:
    problems = pd.Series("", index=listings.index, dtype=object)
    for field in REQUIRED_OF_A_ROW:
        problems[listings[field].isna() & (problems == "")] = f"{field} is missing or unreadable"
    good = listings.loc[problems == ""]
    answers = pd.DataFrame(index=listings.index, columns=[*_ADDED], dtype=object)
    answers["problem"], answers["warnings"] = problems, ""
    if len(good):
        valued = [*model.pricer.value_all(listings_of(as_columns(good)), confidence)]
        answers.loc[good.index, [*PRICE_NAMES]] = np.array([one.prices for one in valued])
        answers.loc[good.index, "warnings"] = [
            "; ".join(caution.message for caution in one.cautions) for one in valued
        ]
    numbers = dict.fromkeys(PRICE_NAMES, "float64")
    return answers.astype({**numbers, "warnings": "str", "problem": "str"})


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
