"""Read a stock, or its snapshots, in chunks, as ``carprice predict`` reads listings."""

import datetime
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from carprice.appraisal.sheets import Sheet, oddities, snapshot_days
from carprice.arrays import Progress
from carprice.components.listings_to_price import listings_to_price
from carprice.errors import InputError
from carprice.listings.column_map import MappedChunk
from carprice.listings.problems import WrongField
from carprice.listings.sources.chunks import Chunk, nearest
from carprice.model import PriceModel
from carprice.schema import (
    ASKING_PRICE,
    CAR_ID,
    MOST_ASKED,
    PRICE,
    PRICE_ALIASES,
    alias,
    column_name,
)
from carprice.settings import ColumnRule, IngestSettings


@dataclass(frozen=True)
class Part:
    """A chunk of a source.

    Attributes
    ----------
    chunk, mapped : its rows as they came, and as fields of listings.
    problems : why a mapped row cannot be priced, be it for what is asked; empty where it can.
    sheet : names, days and prices of the mapped rows.
    asking : the prices, too; NaN where none is known that can be one.
    """

    chunk: Chunk
    mapped: MappedChunk
    problems: pd.Series
    sheet: Sheet
    asking: pd.Series

    @classmethod
    def of(cls, chunk: Chunk, mapped: MappedChunk, problems: pd.Series) -> "Part":
        """Find days, names and prices of a chunk that was read."""
        frame = mapped.frame
        rows = len(frame)
        ids = [one if isinstance(one, str) else None for one in frame.get(CAR_ID, [None] * rows)]
        asking = frame.get(PRICE, pd.Series(np.nan, frame.index))
        odd = _odd_prices(mapped)
        problems = problems.copy()
        for row, told in odd.items():
            problems[row] = "; ".join(filter(None, (problems[row], told)))
        asking = asking.drop([*odd]).reindex(frame.index)
        prices = [None if np.isnan(price) else price for price in asking.tolist()]
        sheet = Sheet.of(chunk.label, ids, days_of(frame["listed_on"]), prices)
        return cls(chunk, mapped, problems, sheet, asking)


def _odd_prices(mapped: MappedChunk) -> dict[Any, str]:
    """Return by row why a price asked is none, as the service tells it of a row."""
    if PRICE not in mapped.frame:
        return {}
    price, name = mapped.frame[PRICE], alias(ASKING_PRICE)
    unread = mapped.raw_unreadable.get(PRICE, pd.Series(dtype=object))
    odd = price[(price <= 0) | (price > MOST_ASKED)]
    wrong = f"the price asked must be above 0 and at most {MOST_ASKED:,.0f}"
    return {
        row: str(WrongField(name, "the price asked cannot be read", value))
        for row, value in unread.items()
    } | {row: f"{name}: {wrong} (found {value:.15g})" for row, value in odd.items()}


@dataclass(frozen=True)
class StockRead:
    """A stock as it was read.

    Attributes
    ----------
    days : of the snapshots, ascending; empty where the source is one stock and no snapshots.
    notes : what was assumed of how the numbers are written, and what is odd.
    """

    parts: tuple[Part, ...]
    days: tuple[datetime.date, ...]
    notes: tuple[str, ...]


def read_stock(
    model: PriceModel,
    settings: IngestSettings,
    sources: Sequence[str],
    car_id: str | None,
    progress: Progress,
) -> StockRead:
    """Read all rows of all sources.

    Parameters
    ----------
    car_id : the column that names cars; None for that of ``settings.columns``, if it is there.

    Raises
    ------
    InputError
        If something, or too much of a field or of the prices asked, cannot be read, a file has
        no price asked while another has, or there are snapshots of no known day, or without what
        names a car.
    """
    if car_id is not None:
        rule = ColumnRule.model_validate({"from": car_id})
        settings = settings.model_copy(update={"columns": {**settings.columns, CAR_ID: rule}})
    parts, notes, rows = list[Part](), tuple[str, ...](), 0
    for chunk, mapped, problems in listings_to_price(model, settings, sources, asks=True):
        if car_id is not None and CAR_ID not in mapped.frame:
            columns = nearest(car_id, map(column_name, chunk.frame.columns))
            raise InputError(
                f"{chunk.label} has no column {car_id!r}, which --id names; the file's columns are "
                f"{columns}"
            )
        parts.append(Part.of(chunk, mapped, problems))
        rows += len(chunk.frame)
        notes = mapped.notes
        progress(f"{rows:,} rows read")
    _refuse_missing_price(parts)
    sheets = [part.sheet for part in parts]
    has_ids = all(CAR_ID in part.mapped.frame for part in parts)
    days = snapshot_days(sheets, "with --id COLUMN", has_ids=has_ids)
    odd = (*_lacking_prices(parts, settings), *oddities(sheets, days))
    return StockRead(tuple(parts), days, (*notes, *odd))


def days_of(column: pd.Series) -> list[datetime.date | None]:
    """Return dates as days; None where there is none."""
    days: list[Any] = column.to_numpy().astype("datetime64[D]").tolist()
    return days


def _refuse_missing_price(parts: Sequence[Part]) -> None:
    """Raise an InputError if ``ingest.columns.price`` names a column that only some files have."""
    full = next((part for part in parts if PRICE in part.mapped.frame), None)
    lacking = next((part for part in parts if PRICE not in part.mapped.frame), None)
    if full and lacking:
        names = " or ".join(map(repr, full.mapped.origin[PRICE]))
        raise InputError(
            f"{lacking.chunk.label} has no column {names}, in which {full.chunk.label} has the "
            "price asked; rename the column, or give all files no price with 'price: null' in "
            "ingest.columns"
        )


def _lacking_prices(parts: Sequence[Part], settings: IngestSettings) -> Iterator[str]:
    """Tell that nothing is asked for any car."""
    if not any(PRICE in part.mapped.frame for part in parts):
        rule = settings.columns.get(PRICE, PRICE)
        usual = (*PRICE_ALIASES, alias(ASKING_PRICE))
        named = rule.columns if isinstance(rule, ColumnRule) else usual
        yield (
            f"nothing is asked for these cars: there is no column {' or '.join(named)}, so that "
            "there is no price to market; name it in ingest.columns.price"
        )
