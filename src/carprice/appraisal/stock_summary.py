"""Sum up a stock: cars and the median price to market, in all, by make, age band and price band."""

import datetime
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any, Final, NamedTuple

from carprice.appraisal.snapshots import supply
from carprice.model.intervals import AGE_BANDS
from carprice.model.pricer import cents

MEDIANS: Final = ("medianAskingPrice", "medianPredictedPrice", "medianPriceToMarket")
COLUMNS: Final = ("by", "group", "cars", "asked", *MEDIANS)
"""What each row of a summary has."""
_STEPS: Final = (1, 2, 5, 10)


class Figures(NamedTuple):
    """What a car that has a price is summed up by.

    Attributes
    ----------
    age : in years.
    asking : None where no price is asked.
    days : for how long it is listed; None where that is not known.
    last : the day of the last snapshot that has it; None where it has no history.
    gone : whether the newest snapshot lacks it; then it counts to the supply alone.
    """

    make: str
    age: float
    asking: float | None
    predicted: float
    days: int | None = None
    last: datetime.date | None = None
    gone: bool = False


def summary_of(cars: Sequence[Figures], days: Sequence[datetime.date]) -> list[dict[str, Any]]:
    """Return a row for all cars, each make, each age band and each band of predicted prices.

    By the price asked, cars that are asked too much for would be in the dear bands.

    Parameters
    ----------
    days : of snapshots, ascending; empty where there are none.

    Returns
    -------
    list of dict
        Each with :data:`COLUMNS`; with ``medianDaysListed`` where that is known of any car; of
        snapshots with ``gone`` and ``supplyDays``. None is what is not known.
    """
    groups: Mapping[str, Callable[[Figures], str]] = {
        "all": lambda _: "",
        "make": lambda one: one.make,
        "age": lambda one: _age_band(one.age),
        "price": lambda one: price_band(one.predicted),
    }
    has_days = any(one.days is not None for one in cars)
    rows = []
    for by, name_of in groups.items():
        of_group: dict[str, list[Figures]] = defaultdict(list)
        for one in cars:
            of_group[name_of(one)].append(one)
        for name in _ordered(by, of_group):
            own = of_group[name]
            if not all(one.gone for one in own):
                rows.append({"by": by, "group": name, **_figures(own, days, has_days=has_days)})
    return rows


def price_band(price: float) -> str:
    """Return the band of a price, between 1, 2 and 5 times powers of ten.

    Examples
    --------
    >>> price_band(420_000), price_band(500_000), price_band(0.7)
    ('200,000–500,000', '500,000–1,000,000', '0.5–1')
    """
    power = 10.0 ** math.floor(math.log10(price))
    if power > price:  # the logarithm of 999.9999999999999 is 3.0
        power /= 10
    low = max(step for step in _STEPS if step * power <= price)
    high = _STEPS[_STEPS.index(low) + 1] if low < _STEPS[-1] else 2 * low
    form = ",.0f" if power >= 1 else ".6g"
    return "–".join(format(step * power, form) for step in (low, high))


def _age_band(age: float) -> str:
    return next(name for name, oldest in AGE_BANDS.items() if age <= oldest)


def _ordered(by: str, groups: Mapping[str, Sequence[Figures]]) -> list[str]:
    """Return the names of groups: makes by their cars, bands in ascending order."""
    if by == "make":
        return sorted(groups, key=lambda name: (-sum(not one.gone for one in groups[name]), name))
    if by == "age":
        return [name for name in AGE_BANDS if name in groups]
    return sorted(groups, key=lambda name: float(name.partition("–")[0].replace(",", "") or 0))


def _figures(
    own: Sequence[Figures], days: Sequence[datetime.date], *, has_days: bool
) -> dict[str, Any]:
    here = [one for one in own if not one.gone]
    asked = [(one.asking, one.predicted) for one in here if one.asking is not None]
    medians = (
        _median([asking for asking, _ in asked], cents),
        _median([one.predicted for one in here], cents),
        _median([asking / predicted for asking, predicted in asked], lambda one: round(one, 4)),
    )
    found = {"cars": len(here), "asked": len(asked), **dict(zip(MEDIANS, medians, strict=True))}
    if has_days:
        listed = [one.days for one in here if one.days is not None]
        found["medianDaysListed"] = _median(listed, lambda one: round(one, 1))
    if days:
        lasts = supply([one.last for one in own if one.last is not None], days)
        found["gone"] = sum(one.gone for one in own)
        found["supplyDays"] = None if lasts.days is None else round(lasts.days, 1)
    return found


def _median(values: Sequence[float], rounded: Callable[[float], float]) -> float | None:
    return rounded(float(median(values))) if values else None
