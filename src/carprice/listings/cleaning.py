"""Clean mapped rows, so that a model can learn from them, and count what is rejected or repaired.

A row is rejected only if its price means nothing: an exact duplicate, a car without make, model or
year, an impossible year or price. Any other impossible value is made missing, and the row is kept.
"""

import datetime
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import pandas as pd

from carprice.errors import InputError
from carprice.listings.market import is_impossible, odometer_limits
from carprice.schema import KINDS, NUMERIC, PRICE, REQUIRED_OF_A_ROW, bounds, kind_of, own_of

_SMALLEST_YEAR_SHARE: Final = 0.005
_LONGEST_GAP_YEARS: Final = 10
_DATED_SHARE: Final = 0.999
_PRICE_SPREAD: Final = (1 / 100, 1000.0)
"""Default price limits, as factors of the median price."""


@dataclass
class Counts:
    """Rows rejected and values repaired, by reason."""

    rejected: Counter[str] = field(default_factory=Counter)
    repaired: Counter[str] = field(default_factory=Counter)


def find_valuation_date(frame: pd.DataFrame) -> datetime.date:
    """Return the day that the data's prices are for.

    With listing dates, their 99.9 % quantile. Without any, the end of the newest model year that at
    least 0.5 % of the rows have and that lies at most ten years after the next older such year: one
    car of the year 2060 does not move it. It is an InputError if no row has a year.
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
    """Return the limits of a believable price: a hundredth to a thousand times the median."""
    median = float(price[price > 0].median())
    return _PRICE_SPREAD[0] * median, _PRICE_SPREAD[1] * median


def clean(
    frame: pd.DataFrame,
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
    listed = frame["listed_on"].dt.year.fillna(valuation_date.year)
    odometer, age = frame["odometer"], listed - frame["year"]
    impossible = is_impossible(odometer, age, odometer_limits(distance_unit))
    frame = _made_missing(frame, "odometer", impossible, "impossible", counts)
    for name in (*KINDS, *own_of(frame.columns)):
        if kind_of(name) in NUMERIC:
            low, high = bounds(name)
            outside = (frame[name] < low) | (frame[name] > high)
            frame = _made_missing(frame, name, outside, f"outside {low:g}–{high:g}", counts)
    return frame.reset_index(drop=True)


def _reasons(
    frame: pd.DataFrame, valuation_date: datetime.date, price_range: tuple[float, float]
) -> dict[str, pd.Series]:
    """Return which rows to reject, by reason; a row is counted under its first reason only."""
    (low, high), (oldest, _) = price_range, bounds("year")
    newest = valuation_date.year + 1
    price, year = frame[PRICE], frame["year"]
    return {
        "price missing or unreadable": price.isna(),
        f"price below {low:g}": price < low,
        f"price above {high:g}": price > high,
        **{f"{name} missing or unreadable": frame[name].isna() for name in REQUIRED_OF_A_ROW},
        f"year before {oldest:g}": year < oldest,
        f"year after {newest}": year > newest,
    }


def _reject(frame: pd.DataFrame, reasons: dict[str, pd.Series], counts: Counts) -> pd.DataFrame:
    keep = pd.Series(True, frame.index)
    for reason, mask in reasons.items():
        if hit := int((mask & keep).sum()):
            counts.rejected[reason] += hit
        keep &= ~mask
    return frame.loc[keep]


def _made_missing(
    frame: pd.DataFrame, name: str, mask: pd.Series, reason: str, counts: Counts
) -> pd.DataFrame:
    if not mask.any():
        return frame
    counts.repaired[f"{name} {reason}, made missing"] += int(mask.sum())
    return frame.assign(**{name: frame[name].mask(mask)})
