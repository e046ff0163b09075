"""Which of two models is nearer to what cars cost, told such that one may look every day.

Errors are absolute log errors, |ln(observed / price)|, of the same cars. What is asked is the
relative difference of their means: −0.03 where the challenger's is 3 % smaller than the champion's.

The interval is an asymptotic confidence sequence, one-sided at each end (Waudby-Smith, Arbour,
Sinha, Kennedy and Ramdas, "Time-uniform central limit theory and asymptotic confidence sequences",
Annals of Statistics 52(6), 2024; the mixture of half a normal distribution, Robbins 1970). It holds
at all times of looking together, where an ordinary interval holds at one that was set before.

What makes it hold here:

- A step is some days, whatever comes in on them: the errors of one day's cars may hang together,
  and where the market's level lasts, those of a week. A step counts once it is over.
- An error counts :data:`LARGEST` at most, so that no price that is none decides. A price that is
  odd makes both errors large, and their difference is never above that of the two prices.
- Steps are few at first: the bound of the normal distribution is widened to that of Student's t.
"""

import datetime
import math
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from carprice.arrays import Floats

LARGEST: Final = math.log(2)
"""The largest absolute log error that counts: a price twice, or half, what was observed."""
_SHARPEST: Final = 30
"""Days after which the interval is narrowest for its level."""
_FEWEST: Final = 3
_EPOCH: Final = datetime.date(1970, 1, 1)
"""The day at which the first step begins; numpy counts days from it."""


@dataclass(frozen=True)
class Difference:
    """How the errors of a challenger differ from those of the champion.

    Attributes
    ----------
    cars, days : how many pairs there are, and of how many days.
    ours, theirs : mean errors of challenger and champion.
    value : the relative difference, −0.03 where the challenger's are 3 % smaller.
    low, high : the ends of its interval; each is right at all times together with the confidence
        that was asked. Infinite where there are too few days.
    """

    cars: int
    days: int
    ours: float
    theirs: float
    value: float
    low: float
    high: float


class Looks(NamedTuple):
    """Relative difference and ends of the interval after each step, on the last axis."""

    value: Floats
    low: Floats
    high: Floats


def errors_of(observed: Floats, prices: Floats) -> Floats:
    """Return the absolute log errors of prices, at most :data:`LARGEST`.

    Examples
    --------
    >>> errors_of(np.array([100.0, 100.0]), np.array([110.0, 1.0])).round(4).tolist()
    [0.0953, 0.6931]
    """
    return np.minimum(np.abs(np.log(observed / prices)), LARGEST)


def end_of_steps(today: datetime.date, step: int) -> datetime.date:
    """Return the first day of the step that is not over.

    Examples
    --------
    >>> end_of_steps(datetime.date(2025, 7, 2), 7)
    datetime.date(2025, 6, 26)
    """
    return today - datetime.timedelta(days=(today - _EPOCH).days % step)


def difference_of(
    ours: Floats, theirs: Floats, days: npt.NDArray[np.datetime64], level: float, step: int = 1
) -> Difference:
    """Compare the errors of challenger and champion.

    Parameters
    ----------
    ours, theirs : errors of both, as :func:`errors_of` has them; n pairs.
    days : the day of each pair, in any order.
    level : how likely an end of the interval may be wrong at any time, such as 0.05.
    step : the number of days that count as one.
    """
    numbers = days.astype("datetime64[D]").astype(np.int64)
    _, codes = np.unique(numbers // step, return_inverse=True)
    count = len(np.unique(numbers))
    if not count:
        return Difference(0, 0, math.nan, math.nan, math.nan, -math.inf, math.inf)
    ours_by_step, theirs_by_step = (
        np.bincount(codes, one).astype(np.float64) for one in (ours, theirs)
    )
    looks = looks_at(ours_by_step, theirs_by_step, level, step)
    value, low, high = (float(one[-1]) for one in looks)
    return Difference(len(codes), count, float(ours.mean()), float(theirs.mean()), value, low, high)


def looks_at(ours: Floats, theirs: Floats, level: float, step: int = 1) -> Looks:
    """Return what is told after each step of so many days.

    Parameters
    ----------
    ours, theirs : sums of each step's errors, the steps on the last axis.
    """
    sum_ours, sum_theirs = np.cumsum(ours, axis=-1), np.cumsum(theirs, axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = sum_ours / sum_theirs
        # The sum of the squares of each step's ours - ratio * theirs, whose mean is 0.
        squares = (
            np.cumsum(ours**2, axis=-1)
            - 2 * ratio * np.cumsum(ours * theirs, axis=-1)
            + ratio**2 * np.cumsum(theirs**2, axis=-1)
        )
        steps = np.arange(1, ours.shape[-1] + 1)
        deviation = np.sqrt(np.maximum(squares, 0.0) / np.maximum(steps - 1, 1))
        half = bounds_of(steps, level, step) * np.sqrt(steps) * deviation / sum_theirs
    value = ratio - 1
    half = np.where((steps < _FEWEST) | np.isnan(half), math.inf, half)
    return Looks(value, value - half, value + half)


def bounds_of(steps: npt.NDArray[np.int_], level: float, step: int = 1) -> Floats:
    """Return how many standard errors each end is away after each number of steps.

    The chance that a mean of 0 is ever as far away on that side is ``level``.

    Examples
    --------
    >>> bounds_of(np.array([14, 30, 180]), 0.05).round(2).tolist()
    [3.41, 3.0, 2.97]
    """
    from scipy.stats import norm, t

    asked = -2 * math.log(2 * level)
    rho_squared = step * (asked + math.log(asked) + 1) / _SHARPEST
    time = steps * rho_squared
    normal = np.sqrt(2 * (1 + 1 / time) * np.log1p(np.sqrt(time + 1) / (2 * level)))
    widened = t.isf(norm.sf(normal), np.maximum(steps - 1, 1))
    return np.asarray(widened, dtype=np.float64)
