"""Whether prices move with the listing dates, and whether these dates can be real.

Cars of one make, model, variant, *model year* and distance are compared month by month. With real
dates such a car gets cheaper with every month, by what a year of age costs plus or minus what the
market does. If it does not, the market has risen by just that much, or the dates are invented.
"""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import chi2, linregress

from carprice.arrays import Floats
from carprice.listings.features import Features
from carprice.listings.noise import less_group_mean, like_cars

_FEWEST_ROWS: Final = 200
_FEWEST_MONTHS: Final = 3
_FEWEST_IN_MONTH: Final = 30
_FEWEST_PAIRED: Final = 100
_SHORTEST_DAYS: Final = 60
_CERTAIN: Final = 0.001
_MOVES: Final = 0.02
_AGEING_SEEN: Final = 0.5
_DAYS_PER_YEAR: Final = 365.25
_TWO_SIDED_95: Final = 1.96


class DriftVerdict(StrEnum):
    """What the listing dates tell of the prices."""

    NO_DATES = "no dates"
    TOO_FEW = "too few to tell"
    NO_DRIFT = "no drift"
    STEADY = "steady"
    DRIFT = "drift"


@dataclass(frozen=True)
class Drift:
    """How prices move over the dates.

    Attributes
    ----------
    dated : number of rows with a date.
    first, last : dates of the first and last listing, as ISO 8601.
    months : of each month with thirty rows or more: ``years``, the mean time since the first
        listing; ``rows`` and ``median``, the number of listings and their median price; ``level``
        and ``error``, the mean of ln(price) less that of like cars in all months, and its standard
        error.
    slope, slope_error : yearly change of ln(price) of cars of one model year, and its standard
        error.
    loss : fall of ln(price) with a year of age among like cars; None where it is not known.
    p_value : of a χ² test that the months do not differ.
    explained : share of the residuals' variance that the month explains.
    apart : standard deviation of the months around the trend, without that of chance.
    evenness : variance of the daily counts divided by their mean; 1 for dates drawn at random.
    newer : how much newer the listed cars get in a year of dates, in model years.
    """

    verdict: DriftVerdict
    dated: int
    first: str = ""
    last: str = ""
    months: pd.DataFrame = field(default_factory=pd.DataFrame, compare=False)
    slope: float = 0.0
    slope_error: float = 0.0
    loss: float | None = None
    p_value: float = 1.0
    explained: float = 0.0
    apart: float = 0.0
    evenness: float = 0.0
    newer: float = 0.0

    @property
    def is_known(self) -> bool:
        """Whether the dates tell anything."""
        return self.verdict not in (DriftVerdict.NO_DATES, DriftVerdict.TOO_FEW)

    @property
    def market(self) -> float | None:
        """Yearly change of ln(price) at the same age: what the market itself does."""
        return None if self.loss is None else self.slope + self.loss

    @property
    def between(self) -> tuple[float, float]:
        """The 95 % interval of the slope."""
        reach = _TWO_SIDED_95 * self.slope_error
        return self.slope - reach, self.slope + reach


def find_drift(
    days: npt.NDArray[np.datetime64],
    year: Floats,
    price: Floats,
    apart: Floats | None,
    loss: float | None,
) -> Drift:
    """Tell whether and how prices move over the dates.

    Parameters
    ----------
    days : dates of n listings; NaT where unknown.
    year, price : their model years and prices.
    apart : ln(price) of each less that of like cars, whatever their dates; None where not known.
    loss : fall of ln(price) with a year of age; None where not known.
    """
    known = ~np.isnat(days)
    days = days[known].astype("datetime64[D]")
    if not len(days):
        return Drift(DriftVerdict.NO_DATES, 0)
    first, last = days.min(), days.max()
    seen = Drift(DriftVerdict.TOO_FEW, len(days), str(first), str(last))
    if apart is None or len(days) < _FEWEST_ROWS or (last - first).astype(int) < _SHORTEST_DAYS:
        return seen
    since = (days - first).astype(np.intp)
    years, left = since / _DAYS_PER_YEAR, apart[known] - apart[known].mean()
    months = _by_month(days, years, price[known], left)
    if len(months) < _FEWEST_MONTHS:
        return seen
    trend, counts = linregress(years, left), np.bincount(since)
    p_value, explained = _by_chance(months, left)
    around = (months["level"] - trend.slope * months["years"]).var()
    drift = replace(
        seen,
        months=months,
        slope=float(trend.slope),
        slope_error=float(trend.stderr),
        loss=loss,
        p_value=p_value,
        explained=explained,
        apart=float(np.sqrt(max(around - (months["error"] ** 2).mean(), 0.0))),
        evenness=float(counts.var() / counts.mean()),
        newer=float(linregress(years, year[known]).slope),
    )
    return replace(drift, verdict=_verdict(drift))


def loss_per_year(features: Features, log_price: Floats) -> float | None:
    """Return how much ln(price) falls with a year of age among like cars of equal distance.

    The coefficient of age in a regression of ln(price) on age and the square root of the distance
    within groups of one model, variant and powertrain. None where too few cars share a group.
    """
    age, distance = features.numbers["age"], np.sqrt(features.numbers["odometer"])
    groups, known = like_cars(features, ("litres",)), np.isfinite(distance)
    if known.sum() < _FEWEST_PAIRED:
        known, distance = np.ones(len(groups), dtype=bool), np.zeros(len(groups))
    _, group = np.unique(groups[known], return_inverse=True)
    design = np.column_stack([less_group_mean(one[known], group) for one in (age, distance)])
    if (np.abs(design[:, 0]) > 0).sum() < _FEWEST_PAIRED:
        return None
    worth, *_ = np.linalg.lstsq(design, less_group_mean(log_price[known], group), rcond=None)
    return -float(worth[0])


def _verdict(drift: Drift) -> DriftVerdict:
    loss, reach = drift.loss or 0.0, _TWO_SIDED_95 * drift.slope_error
    still = max(_MOVES, _AGEING_SEEN * loss)
    if abs(drift.slope) + reach < still and drift.p_value > _CERTAIN:
        return DriftVerdict.NO_DRIFT
    trend_moves = abs(drift.slope + loss) >= _MOVES and abs(drift.slope + loss) > reach
    months_move = drift.apart >= _MOVES and drift.p_value < _CERTAIN
    return DriftVerdict.DRIFT if trend_moves or months_move else DriftVerdict.STEADY


def _by_month(
    days: npt.NDArray[np.datetime64], years: Floats, price: Floats, left: Floats
) -> pd.DataFrame:
    listings = pd.DataFrame({"years": years, "price": price, "left": left})
    months = listings.groupby(pd.DatetimeIndex(days).to_period("M")).agg(
        years=("years", "mean"),
        rows=("left", "size"),
        median=("price", "median"),
        level=("left", "mean"),
        error=("left", "sem"),
    )
    return months[months["rows"] >= _FEWEST_IN_MONTH]


def _by_chance(months: pd.DataFrame, left: Floats) -> tuple[float, float]:
    """Return the p-value that the months do not differ, and what share they explain."""
    rows, level, error = months["rows"], months["level"], months["error"]
    if not error.all():
        return 1.0, 0.0
    weight = error**-2.0
    statistic = weight @ (level - np.average(level, weights=weight)) ** 2
    return float(chi2.sf(statistic, len(months) - 1)), float(rows @ level**2 / (left @ left))
