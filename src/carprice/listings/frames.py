"""Between pandas and the model: data frames of listings as columns, features as Parquet files."""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from carprice.arrays import Coded, Codes, Columns, Floats, picked
from carprice.listings.believed import PRICE_TRUST
from carprice.listings.cars import CAR, cars_of
from carprice.listings.cells import with_texts
from carprice.listings.features import NUMBERS, TEXTS, Features, Reading, parse
from carprice.listings.market import Market
from carprice.schema import (
    KINDS,
    LIST_PRICE,
    NUMERIC,
    FieldKind,
    kind_of,
    name_in_requests,
    own_numbers,
    own_of,
    own_texts,
)

_TARGET = "ln_price"
_DIGEST = "data_digest"
_EQUIPMENT = "equipment"
_MANY_ROWS = 200_000
"""Texts of more rows stay codes: so many are only counted, or learned from by their codes."""
_ROWS_OF_A_GROUP = 1024 * 1024
"""What pandas writes, too."""


def parse_listings(
    listings: pd.DataFrame,
    market: Market,
    pick: Callable[[Sequence[str], Codes], Any] = picked,
) -> Features:
    """Return the features of cleaned listings of a market, each with the car that it is of.

    ``pick`` is that of :func:`carprice.listings.features.parse`.
    """
    reading = Reading(own=own_of(listings.columns))
    day, unit = market.valuation_date, market.distance_unit
    columns = _columns(listings, coded=True)
    return replace(parse(columns, day, unit, reading, pick), cars=cars_of(listings))


def as_columns(listings: pd.DataFrame) -> Columns:
    """Return listings as the model takes them: values by field name, None or NaN where missing.

    Own columns have their own names, as in requests; ``own_of(listings.columns)`` has their kinds.
    """
    return _columns(listings, coded=False)


def _columns(listings: pd.DataFrame, *, coded: bool) -> Columns:
    columns: dict[str, Sequence[Any] | npt.NDArray[Any]] = {}
    for field in (*KINDS, *own_of(listings.columns)):
        if field == LIST_PRICE and field not in listings:  # listings kept of before
            continue
        kind, values = kind_of(field), listings[field]
        if values.isna().all():
            continue
        if kind in NUMERIC:
            columns[name_in_requests(field)] = values.to_numpy(dtype=np.float64)
        elif kind is FieldKind.DATE:
            columns[field] = values.to_numpy(dtype="datetime64[D]")
        elif isinstance(values.dtype, pd.StringDtype | pd.CategoricalDtype):
            codes, different = pd.factorize(values)
            texts = Coded([*different, None], np.where(codes < 0, len(different), codes))
            columns[name_in_requests(field)] = texts if coded else picked(texts.values, texts.codes)
        else:
            texts = values.astype(object).where(values.notna(), None)
            columns[name_in_requests(field)] = texts.tolist()
    return columns


def read_listings(path: Path) -> pd.DataFrame:
    """Read what :func:`write_listings` wrote, texts as categories."""
    schema = pq.read_schema(path)
    texts = [one.name for one in schema if pa.types.is_string(one.type)]
    return pq.read_table(path, read_dictionary=texts).to_pandas()


def write_listings(path: Path, listings: pd.DataFrame) -> None:
    """Write listings as Parquet."""
    known = sorted({int(listings[name].notna().to_numpy().argmax()) for name in listings})
    columns = {str(name): pa.array(listings[name], from_pandas=True) for name in listings}
    _write(path, columns, with_texts(listings.iloc[known]))


def _write(path: Path, columns: Mapping[str, pa.Array], like: pd.DataFrame) -> None:
    """Write columns as pandas writes those of a table like them.

    No more rows than a row group has are held as texts at once.
    """
    written = io.BytesIO()
    like.to_parquet(written, index=False)
    schema = pa.Table.from_pandas(like, preserve_index=False).schema
    schema = schema.with_metadata(pq.read_schema(written).metadata)
    rows = len(next(iter(columns.values())))
    with pq.ParquetWriter(path, schema) as writer:
        for first in range(0, rows, _ROWS_OF_A_GROUP):
            parts = (columns[one.name].slice(first, _ROWS_OF_A_GROUP) for one in schema)
            arrays = [part.cast(one.type) for part, one in zip(parts, schema, strict=True)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def write_features(
    path: Path,
    features: Features,
    log_price: Floats,
    data_digest: str = "",
    trust: Floats | None = None,
) -> None:
    """Write features and the target, ln(price), as Parquet; with the listings' digest.

    ``trust`` tells how far each price is believed, 0 to 1.
    """
    columns: dict[str, Any] = {**features.texts, **features.numbers}
    columns[_EQUIPMENT] = features.equipment
    if features.cars is not None:
        columns[CAR] = features.cars
    if trust is not None:
        columns[PRICE_TRUST] = trust
    columns[_TARGET] = log_price
    first = pd.DataFrame({name: values[:1] for name, values in columns.items()})
    first.attrs = {_DIGEST: data_digest}
    _write(path, {name: _array(values) for name, values in columns.items()}, first)


def _array(values: Sequence[Any] | npt.NDArray[Any]) -> pa.Array:
    if not isinstance(values, Coded):
        return pa.array(values, from_pandas=True)
    codes = values.codes.astype(np.int32)
    return pa.DictionaryArray.from_arrays(codes, pa.array(values.values, pa.large_string()))


def data_digest_of(path: Path) -> str:
    """Return the digest of the listings that a file's features are of; empty if it is not told."""
    return str(pd.read_parquet(path, columns=[]).attrs.get(_DIGEST, ""))


def trust_of(path: Path) -> Floats | None:
    """Return how far each price of a file of features is believed; None if it is not told."""
    if PRICE_TRUST not in pq.read_schema(path).names:
        return None
    trust = pd.read_parquet(path, columns=[PRICE_TRUST])[PRICE_TRUST]
    return np.asarray(trust, dtype=np.float64)


def read_features(path: Path) -> tuple[Features, Floats]:
    """Read what :func:`write_features` wrote."""
    columns = pq.read_schema(path).names
    texts = (*TEXTS, *own_texts(columns), _EQUIPMENT)
    table = pq.read_table(path, read_dictionary=[*texts])

    def floats(name: str) -> Floats:
        return np.asarray(table[name].to_numpy(), dtype=np.float64)

    read = {name: _texts(table[name]) for name in texts}
    equipment = read.pop(_EQUIPMENT)
    numbers = {name: floats(name) for name in (*NUMBERS, *own_numbers(columns))}
    cars = cars_of(table.select([CAR]).to_pandas()) if CAR in columns else None
    return Features(read, numbers, equipment, cars), floats(_TARGET)


def _texts(column: pa.ChunkedArray) -> Any:
    """Return a column of texts; rows of one text share it."""
    coded = column.unify_dictionaries().combine_chunks()
    pick = Coded if len(coded) > _MANY_ROWS else picked
    return pick(coded.dictionary.to_pylist(), coded.indices.to_numpy())
