"""Sum up a stock: cars and the median price to market, in all, by make, age band and price band."""

import datetime
import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import pandas as pd

from carprice.appraisal.snapshots import History, supply
from carprice.model.intervals import AGE_BANDS, age_bands
from carprice.model.pricer import cents

FIGURES: Final = ("id", "make", "age", "asking", "predicted", "days", "gone")
"""What a row of a stock is summed up by: texts and numbers, missing where they are not known."""
_STEPS: Final = (1, 2, 5, 10)


def summary_of(
    figures: pd.DataFrame, told: Mapping[str, History], days: Sequence[datetime.date]
) -> pd.DataFrame:
    """Return a row for all cars, each make, each age band and each band of predicted prices.

    By the price asked, cars that are asked too much for would be in the dear bands.

    Parameters
    ----------
    figures : :data:`FIGURES` of the cars that have a price; those that are gone count to the supply
        alone.
    told, days : histories of cars and days of snapshots; empty where there are none.

    Returns
    -------
    DataFrame
        ``by``, ``group``, ``cars``, ``asked`` (those with a price asked), ``medianAskingPrice``,
        ``medianPredictedPrice``, ``medianPriceToMarket``, ``medianDaysListed`` where it is known;
        of snapshots ``gone`` and ``supplyDays``, too.
    """
    groups = {
        "all": pd.Series("", figures.index),
        "make": figures["make"].astype(object),
        "age": pd.Series(_names_of_ages(figures["age"]), figures.index),
        "price": figures["predicted"].map(price_band),
    }
    has_days = bool(figures["days"].notna().any())
    figures_of = partial(_figures, told=told, days=days, has_days=has_days)
    rows = []
    for by, names in groups.items():
        of_group = {str(name): own for name, own in figures.groupby(names.to_numpy(), sort=False)}
        for name in _ordered(by, of_group):
            own = of_group[name]
            if (~own["gone"]).any():
                rows.append({"by": by, "group": name, **figures_of(own)})
    columns = ["by", "group", *figures_of(figures.iloc[:0])]
    return pd.DataFrame(rows, columns=columns)


def price_band(price: float) -> str:
    """Return the band of a price, between 1, 2 and 5 times powers of ten.

    Examples
    --------
    >>> price_band(420_000), price_band(500_000), price_band(0.7)
    ('200,000–500,000', '500,000–1,000,000', '0.5–1')
    """
    power = 10.0 ** math.floor(math.log10(price))
    low = max(step for step in _STEPS if step * power <= price)
    high = _STEPS[_STEPS.index(low) + 1] if low < _STEPS[-1] else 2 * low
    form = ",.0f" if power >= 1 else ".6g"
    return "–".join(format(step * power, form) for step in (low, high))


def _names_of_ages(age: pd.Series) -> Any:
    return np.array([*AGE_BANDS])[age_bands(age.to_numpy(dtype=np.float64))]


def _ordered(by: str, groups: Mapping[str, pd.DataFrame]) -> list[str]:
    """Return the names of groups: makes by their cars, bands in ascending order."""
    if by == "make":
        return sorted(groups, key=lambda name: (-int((~groups[name]["gone"]).sum()), name))
    if by == "age":
        return [name for name in AGE_BANDS if name in groups]
    return sorted(groups, key=lambda name: float(name.partition("–")[0].replace(",", "") or 0))


def _figures(
    own: pd.DataFrame,
    told: Mapping[str, History],
    days: Sequence[datetime.date],
    *,
    has_days: bool,
) -> dict[str, Any]:
    here = own[~own["gone"].astype(bool)]
    ratio = here["asking"] / here["predicted"]
    found: dict[str, Any] = {
        "cars": len(here),
        "asked": int(ratio.notna().sum()),
        "medianAskingPrice": _median_price(here["asking"]),
        "medianPredictedPrice": _median_price(here["predicted"]),
        "medianPriceToMarket": _median(ratio, 4),
    }
    if has_days:
        found["medianDaysListed"] = _median(here["days"].astype("float64"), 1)
    if days:
        lasts = supply([told[car] for car in own["id"] if car in told], days)
        found["gone"] = int(own["gone"].sum())
        found["supplyDays"] = None if lasts.days is None else round(lasts.days, 1)
    return found


def _median_price(prices: pd.Series) -> float:
    return cents(float(prices.median())) if prices.notna().any() else math.nan


def _median(values: pd.Series, digits: int) -> float:
    return round(float(values.median()), digits) if values.notna().any() else math.nan
