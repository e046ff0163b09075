"""Whether prices move with the listing dates, and whether these dates can be real.

Cars of one make, model, variant, *model year* and distance are compared month by month. With real
dates such a car gets cheaper with every month, by what a year of age costs plus or minus what the
market does. If it does not, the market has risen by just that much, or the dates are invented.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import numpy as np
import numpy.typing as npt

from carprice.arrays import Floats

FEWEST_ROWS: Final = 200
FEWEST_MONTHS: Final = 3
_FEWEST_IN_MONTH: Final = 30
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
class Month:
    """The listings of one month.

    Attributes
    ----------
    name : such as ``2024-11``.
    years : mean time since the first listing, in years.
    rows, median : number of listings, and their median price.
    level, error : mean of ln(price) less that of like cars in all months, and its standard error.
    """

    name: str
    years: float
    rows: int
    median: float
    level: float
    error: float


@dataclass(frozen=True)
class Drift:
    """How prices move over the dates.

    Attributes
    ----------
    dated : number of rows with a date.
    first, last : dates of the first and last listing, as ISO 8601.
    months : those with thirty rows or more.
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
    months: tuple[Month, ...] = ()
    slope: float = 0.0
    slope_error: float = 0.0
    loss: float | None = None
    p_value: float = 1.0
    explained: float = 0.0
    apart: float = 0.0
    evenness: float = 0.0
    newer: float = 0.0

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
    dated = int(known.sum())
    if not dated:
        return Drift(DriftVerdict.NO_DATES, 0)
    days = days[known].astype("datetime64[D]")
    first, last = days.min(), days.max()
    seen = Drift(DriftVerdict.TOO_FEW, dated, str(first), str(last))
    time = (days - first).astype(np.float64) / _DAYS_PER_YEAR
    if apart is None or dated < FEWEST_ROWS or (last - first).astype(int) < _SHORTEST_DAYS:
        return seen
    left = apart[known] - apart[known].mean()
    months = _months(days, time, price[known], left)
    if len(months) < FEWEST_MONTHS:
        return replace(seen, months=tuple(months))
    slope, slope_error = _trend(time, left)
    p_value, explained = _by_chance(months, left)
    counts = np.bincount((days - first).astype(np.intp))
    newer, _ = _trend(time, year[known] - year[known].mean())
    moved = _moved(months, slope)
    return replace(
        seen,
        verdict=_verdict(slope, slope_error, loss, p_value, moved),
        months=tuple(months),
        slope=slope,
        slope_error=slope_error,
        loss=loss,
        p_value=p_value,
        explained=explained,
        apart=moved,
        evenness=float(counts.var() / counts.mean()),
        newer=newer,
    )


def _verdict(
    slope: float, slope_error: float, loss: float | None, p_value: float, moved: float
) -> DriftVerdict:
    still = max(_MOVES, _AGEING_SEEN * (loss or 0.0))
    if abs(slope) + _TWO_SIDED_95 * slope_error < still and p_value > _CERTAIN:
        return DriftVerdict.NO_DRIFT
    market = slope + (loss or 0.0)
    certain = abs(market) > _TWO_SIDED_95 * slope_error
    if (certain and abs(market) >= _MOVES) or (moved >= _MOVES and p_value < _CERTAIN):
        return DriftVerdict.DRIFT
    return DriftVerdict.STEADY


def _months(
    days: npt.NDArray[np.datetime64], time: Floats, price: Floats, left: Floats
) -> list[Month]:
    names, codes = np.unique(days.astype("datetime64[M]"), return_inverse=True)
    found = []
    for place, name in enumerate(names):
        rows = np.flatnonzero(codes == place)
        if len(rows) >= _FEWEST_IN_MONTH:
            found.append(
                Month(
                    str(name),
                    float(time[rows].mean()),
                    len(rows),
                    float(np.median(price[rows])),
                    float(left[rows].mean()),
                    float(left[rows].std(ddof=1) / np.sqrt(len(rows))),
                )
            )
    return found


def _trend(time: Floats, values: Floats) -> tuple[float, float]:
    """Return the slope of an ordinary least-squares line, and its standard error."""
    centred = time - time.mean()
    spread = float(centred @ centred)
    if not spread:
        return 0.0, 0.0
    slope = float(centred @ values) / spread
    rest = values - values.mean() - slope * centred
    return slope, float(np.sqrt(rest @ rest / max(len(values) - 2, 1) / spread))


def _by_chance(months: list[Month], left: Floats) -> tuple[float, float]:
    from scipy.stats import chi2

    rows = np.array([month.rows for month in months], dtype=np.float64)
    level = np.array([month.level for month in months])
    error = np.array([month.error for month in months])
    if not error.all():
        return 1.0, 0.0
    weight = error**-2.0
    around = float(weight @ level / weight.sum())
    statistic = float(weight @ (level - around) ** 2)
    explained = float(rows @ level**2) / float(left @ left)
    return float(chi2.sf(statistic, len(months) - 1)), explained


def _moved(months: list[Month], slope: float) -> float:
    """Return the standard deviation of the months around the trend, without that of chance."""
    time = np.array([month.years for month in months])
    level = np.array([month.level for month in months]) - slope * time
    error = np.array([month.error for month in months])
    return float(np.sqrt(max(level.var(ddof=1) - float(np.mean(error**2)), 0.0)))
