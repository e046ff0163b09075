"""Whether prices move with the listing dates, and whether those dates can be real.

Cars are compared at the same make, model, variant, *model year* and distance, month by month. Where
dates are real, such a car loses what a year of age costs, give or take what the market does. Where
it loses nothing, the market has risen by just that much, or the dates are invented.
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
    """What the dates say."""

    NO_DATES = "no dates"
    TOO_FEW = "too few to tell"
    NO_DRIFT = "no drift"
    STEADY = "steady"
    DRIFT = "drift"


@dataclass(frozen=True)
class Month:
    """One month's listings: rows, median price, and ln(price) of like cars against all months."""

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
    dated : rows with a date.
    first, last : days of the first and last listing.
    months : of thirty rows or more each.
    slope, slope_error : change of ln(price) of a car of one model year, per year, and its standard
        error.
    loss : fall of ln(price) with a year of age among like cars; None where it is not known.
    p_value : how probable it is that months differ so much by chance alone (χ² of the months'
        means against their mean).
    explained : share of what age, distance and the rest leave open that the month explains.
    apart : standard deviation of the months around the trend, less what chance makes.
    evenness : variance of the daily counts by their mean; 1 where dates are thrown like dice.
    newer : model years by which the listed cars get newer in a year of dates.
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
        """What the market itself does in a year: the change at the same age, of ln(price)."""
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
    days : of the listings, n rows; NaT where unknown.
    year : model years.
    price : prices.
    apart : ln(price) less what other cars of the same model year say, dates apart; None where it is
        not known.
    loss : see :class:`Drift`.
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
    """Return the standard deviation of the months around the trend that chance does not make."""
    time = np.array([month.years for month in months])
    level = np.array([month.level for month in months]) - slope * time
    error = np.array([month.error for month in months])
    return float(np.sqrt(max(level.var(ddof=1) - float(np.mean(error**2)), 0.0)))
