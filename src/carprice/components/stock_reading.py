"""Read a stock, or its snapshots, in chunks, as ``carprice predict`` reads listings."""

import datetime
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import pandas as pd

from carprice.arrays import Progress
from carprice.components.listings_to_price import listings_to_price
from carprice.errors import InputError
from carprice.listings.column_map import MappedChunk
from carprice.listings.sources.chunks import Chunk, nearest
from carprice.model import PriceModel
from carprice.schema import ASKING_PRICE, CAR_ID, PRICE, PRICE_ALIASES, alias, column_name
from carprice.settings import ColumnRule, IngestSettings

_DAY: Final = re.compile(
    r"(?<!\d)((?:19|20)\d\d)([-_.]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])(?!\d)"
)
_WRITE_DAY: Final = (
    "write it into the file's name, such as stock-2025-06-30.csv, or give all its rows one day in "
    "listedOn"
)


@dataclass(frozen=True)
class Part:
    """A chunk of a source.

    Attributes
    ----------
    chunk, mapped : its rows as they came, and as fields of listings.
    problems : why a mapped row cannot be priced; empty where it can.
    named_day : the day that the file's name tells; None if it tells none.
    days : the day of each mapped row, that of the file's name or the listing's own; None where it
        is not known.
    ids : what names the car of each mapped row; None where nothing does.
    asking : the price asked for it; NaN where none above 0 is known.
    """

    chunk: Chunk
    mapped: MappedChunk
    problems: pd.Series
    named_day: datetime.date | None
    days: list[datetime.date | None]
    ids: list[str | None]
    asking: pd.Series

    @classmethod
    def of(cls, chunk: Chunk, mapped: MappedChunk, problems: pd.Series) -> "Part":
        """Find days, names and prices of a chunk that was read."""
        frame, named_day = mapped.frame, day_in_name(chunk.label)
        rows = len(frame)
        ids = [one if isinstance(one, str) else None for one in frame.get(CAR_ID, [None] * rows)]
        asking = frame.get(PRICE, pd.Series(np.nan, frame.index))
        own = days_of(frame["listed_on"])
        days: list[datetime.date | None] = [named_day] * rows if named_day else own
        return cls(chunk, mapped, problems, named_day, days, ids, asking.where(asking > 0))


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
    days = _snapshot_days(parts)
    return StockRead(tuple(parts), days, (*notes, *_oddities(parts, days, settings)))


def day_in_name(label: str) -> datetime.date | None:
    """Return the last day that the name of a file tells.

    Examples
    --------
    >>> day_in_name("shop/stock-2025-06-30.csv"), day_in_name("20250630.xlsx")
    (datetime.date(2025, 6, 30), datetime.date(2025, 6, 30))
    >>> day_in_name("stock-2025-06-31.csv"), day_in_name("2025-06-30/stock.csv")
    (None, None)
    """
    for found in reversed([*_DAY.finditer(re.split(r"[/\\]", label)[-1])]):
        try:
            return datetime.date(int(found[1]), int(found[3]), int(found[4]))
        except ValueError:  # 31 June
            continue
    return None


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


def _snapshot_days(parts: Sequence[Part]) -> tuple[datetime.date, ...]:
    """Return the days of the snapshots, ascending; empty where there is one stock alone."""
    by_file: dict[str, list[Part]] = {}
    for part in parts:
        by_file.setdefault(part.chunk.label, []).append(part)
    has_ids = all(CAR_ID in part.mapped.frame for part in parts)
    if len(by_file) == 1:
        is_one = not has_ids or parts[0].named_day is not None or not _look_like_snapshots(parts)
        return () if is_one else _ascending(parts)
    if not has_ids:
        raise InputError(
            f"{len(by_file)} files are snapshots of one stock, and nothing tells which listings "
            "are of one car; name the column that does with --id COLUMN"
        )
    for label, own in by_file.items():
        days = {day for part in own for day in part.days}
        if own[0].named_day is None and (len(days) > 1 or None in days):
            raise InputError(f"{label}: of several snapshots each needs a day; {_WRITE_DAY}")
    return _ascending(parts)


def _seen_again(parts: Sequence[Part]) -> int:
    """Return how many cars stand on several days."""
    of_car: dict[str, set[datetime.date]] = {}
    for part in parts:
        for car, day in zip(part.ids, part.days, strict=True):
            if car is not None and day is not None:
                of_car.setdefault(car, set()).add(day)
    return sum(len(days) > 1 for days in of_car.values())


def _look_like_snapshots(parts: Sequence[Part]) -> bool:
    """Whether the days of one file are those of snapshots, and not the days cars were listed on.

    Of two snapshots in a row most cars are the same: in all, and in the newest two.
    """
    by_day: dict[datetime.date, set[str]] = {}
    for part in parts:
        for car, day in zip(part.ids, part.days, strict=True):
            if car is not None and day is not None:
                by_day.setdefault(day, set()).add(car)
    in_order = [by_day[day] for day in sorted(by_day)]
    shared = [len(before & after) for before, after in pairwise(in_order)]
    larger = [max(len(before), len(after)) for before, after in pairwise(in_order)]
    return bool(shared) and all(
        2 * same >= cars for same, cars in ((sum(shared), sum(larger)), (shared[-1], larger[-1]))
    )


def _ascending(parts: Sequence[Part]) -> tuple[datetime.date, ...]:
    return tuple(sorted({day for part in parts for day in part.days if day is not None}))


def _oddities(
    parts: Sequence[Part], days: Sequence[datetime.date], settings: IngestSettings
) -> Iterator[str]:
    """Tell what speaks against the figures."""
    if not any(PRICE in part.mapped.frame for part in parts):
        rule = settings.columns.get(PRICE, PRICE)
        usual = (*PRICE_ALIASES, alias(ASKING_PRICE))
        named = rule.columns if isinstance(rule, ColumnRule) else usual
        yield (
            f"nothing is asked for these cars: there is no column {' or '.join(named)}, so that "
            "there is no price to market; name it in ingest.columns.price"
        )
    if not days:
        if parts[0].named_day is None and (again := _seen_again(parts)):
            yield (
                f"of the cars {again:,} stand on several days of listedOn, and most on one: the "
                "file is read as one stock, with all of its rows; if its days are those of "
                "snapshots, write each into a file that has its day in its name"
            )
        return
    seen: set[tuple[str, datetime.date]] = set()
    without = twice = 0
    for part in parts:
        for car, day in zip(part.ids, part.days, strict=True):
            if car is None or day is None:
                without += 1
            else:
                twice += (car, day) in seen
                seen.add((car, day))
    if without:
        yield f"{without:,} rows have no day, or nothing that names their car; they have no history"
    if twice:
        yield (
            f"{twice:,} rows repeat a car of the same day; if these are other cars, --id names "
            "a column that does not tell them apart"
        )
