"""Clean mapped rows, so that a model can learn from them, and count what is rejected or repaired.

A row is rejected only if its price means nothing: an exact duplicate, a car without make, model or
year, an impossible year or price. Any other impossible value is made missing, and the row is kept.
"""

import datetime
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pandera.pandas as pa

from carprice.errors import InputError
from carprice.listings.units import plausible_odometer
from carprice.schema import KINDS, NUMERIC, PRICE, REQUIRED_OF_A_ROW, bounds, fields_of

_SMALLEST_YEAR_SHARE: Final = 0.005
_LONGEST_GAP_YEARS: Final = 10
_DATED_SHARE: Final = 0.999
_PRICE_SPREAD: Final = (1 / 100, 1000.0)
"""Default price limits, as factors of the median price."""

Mask = npt.NDArray[np.bool_]


@dataclass
class Counts:
    """Rows rejected and values repaired, by reason."""

    rejected: Counter[str] = field(default_factory=Counter)
    repaired: Counter[str] = field(default_factory=Counter)


def listing_schema() -> pa.DataFrameSchema:
    """Return the training data's schema, derived from :class:`carprice.schema.Listing`."""
    columns = {}
    for name, kind in KINDS.items():
        nullable = name not in REQUIRED_OF_A_ROW
        if kind in NUMERIC:
            low, high = bounds(name)
            checks = [pa.Check.in_range(low, high, error=f"outside {low:g}–{high:g}")]
            columns[name] = pa.Column(float, checks, nullable=nullable)
        else:
            columns[name] = pa.Column(nullable=nullable)
    columns[PRICE] = pa.Column(float, [pa.Check.gt(0, error="not above 0")], nullable=False)
    return pa.DataFrameSchema(columns, strict=True)


def drop_duplicates(frame: pd.DataFrame, row_digests: npt.NDArray[np.uint64]) -> pd.DataFrame:
    """Return the frame without the rows that repeat an earlier raw row in every column."""
    return frame.loc[~pd.Series(row_digests).duplicated().to_numpy()]


def find_valuation_date(frame: pd.DataFrame) -> datetime.date:
    """Return the day that the data's prices are for.

    With listing dates, their 99.9 % quantile. Without any, the end of the newest model year that at
    least 0.5 % of the rows have and that lies at most ten years after the next older such year: one
    car of the year 2060 does not move it.

    Raises
    ------
    InputError
        If no row has a year.
    """
    if frame["listed_on"].notna().any():
        days = frame["listed_on"].dropna()
        newest_day: datetime.date = days.quantile(_DATED_SHARE, interpolation="higher").date()
        return newest_day
    years = frame["year"]
    shares = years[years.between(*bounds("year"))].value_counts(normalize=True)
    if shares.empty:
        raise InputError("no row has a readable model year; correct ingest.columns.year")
    common = sorted(shares.index[shares >= min(_SMALLEST_YEAR_SHARE, shares.max())])
    while len(common) > 1 and common[-1] - common[-2] > _LONGEST_GAP_YEARS:
        common.pop()
    return datetime.date(int(common[-1]), 12, 31)


def default_price_range(price: pd.Series) -> tuple[float, float]:
    """Return the limits of a believable price: a hundredth to a thousand times the median.

    Examples
    --------
    >>> default_price_range(pd.Series([1.0, 9000, 9500, 9900, 1e9]))
    (95.0, 9500000.0)
    """
    median = float(price[price > 0].median())
    return _PRICE_SPREAD[0] * median, _PRICE_SPREAD[1] * median


def clean(
    frame: pd.DataFrame,
    *,
    valuation_date: datetime.date,
    price_range: tuple[float, float],
    distance_unit: str,
    counts: Counts,
) -> pd.DataFrame:
    """Reject rows and repair values that cannot be; return the listings with a new index.

    Parameters
    ----------
    frame : mapped rows, one column a field of a listing, and ``price``.
    valuation_date : rows of a model year after the next one are rejected.
    price_range : smallest and largest believable price.
    counts : is added to.
    """
    frame = _reject(frame, _reasons(frame, valuation_date, price_range), counts)
    frame = _without_impossible_odometers(frame, valuation_date, distance_unit, counts)
    return _validated(frame, counts).reset_index(drop=True)


def _reasons(
    frame: pd.DataFrame, valuation_date: datetime.date, price_range: tuple[float, float]
) -> dict[str, Mask]:
    """Return which rows to reject, by reason; a row is counted under its first reason only."""
    low, high = price_range
    price, year = frame[PRICE], frame["year"]
    newest = valuation_date.year + 1
    return {
        "price missing or unreadable": price.isna().to_numpy(),
        f"price below {low:g}": (price < low).to_numpy(),
        f"price above {high:g}": (price > high).to_numpy(),
        **{
            f"{name} missing or unreadable": frame[name].isna().to_numpy()
            for name in REQUIRED_OF_A_ROW
        },
        f"year before {bounds('year')[0]:g}": (year < bounds("year")[0]).to_numpy(),
        f"year after {newest}": (year > newest).to_numpy(),
    }


def _reject(frame: pd.DataFrame, reasons: dict[str, Mask], counts: Counts) -> pd.DataFrame:
    keep = np.ones(len(frame), dtype=bool)
    for reason, mask in reasons.items():
        hit = int((mask & keep).sum())
        if hit:
            counts.rejected[reason] += hit
        keep &= ~mask
    return frame.loc[keep]


def _without_impossible_odometers(
    frame: pd.DataFrame, valuation_date: datetime.date, distance_unit: str, counts: Counts
) -> pd.DataFrame:
    listed = frame["listed_on"].dt.year.fillna(valuation_date.year).to_numpy(dtype=np.float64)
    age = np.maximum(listed - frame["year"].to_numpy(), 0.0)
    given = frame["odometer"].to_numpy()
    plausible = plausible_odometer(given, age, distance_unit)
    lost = int((np.isnan(plausible) & ~np.isnan(given)).sum())
    if lost:
        counts.repaired["odometer impossible, made missing"] += lost
    return frame.assign(odometer=plausible)


def _validated(frame: pd.DataFrame, counts: Counts) -> pd.DataFrame:
    """Check the frame against the schema; numbers outside their bounds are made missing."""
    schema = listing_schema()
    try:
        return schema.validate(frame, lazy=True)
    except pa.errors.SchemaErrors as errors:
        repaired = frame.copy()
        for (name, check), cases in errors.failure_cases.groupby(["column", "check"]):
            if name not in fields_of(*NUMERIC) or cases["index"].isna().any():
                raise InputError(
                    f"column {name} breaks the listing's schema: {check}, found "
                    f"{cases['failure_case'].iloc[0]!r}; correct ingest.columns.{name}"
                ) from None
            repaired.loc[cases["index"], name] = np.nan
            counts.repaired[f"{name} {check}, made missing"] += len(cases)
        return schema.validate(repaired)
