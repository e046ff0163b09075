"""Which of two models is nearer to what cars cost, told such that one may look every day.

Errors are absolute log errors, |ln(observed / price)|, of the same cars; with their signs they are
residuals. What is asked is the
relative difference of their means: −0.03 where the challenger's is 3 % smaller than the champion's.

The interval is an asymptotic confidence sequence, one-sided at each end (Waudby-Smith, Arbour,
Sinha, Kennedy and Ramdas, "Time-uniform central limit theory and asymptotic confidence sequences",
Annals of Statistics 52(6), 2024; the mixture of half a normal distribution, Robbins 1970). It holds
at all times of looking together, where an ordinary interval holds at one that was set before.

What makes it hold here:

- A step is some days, whatever comes in on them: the errors of one day's cars may hang together,
  and where the market's level lasts, those of a week. A step counts once it is over, and does not
  change any more.
- Where the level lasts longer than a step, steps hang together too. What of their differences is
  the level's is told apart: each step's mean residual tells its level, and the signs of its cars'
  residuals how much a level moves the difference. For the upper end, by which a challenger is
  promoted, that part counts for more: as much as if levels were an autoregression, with a
  correlation half a standard error above the one that is seen (few steps cannot show that they are
  independent), and as if the level, where it stands aside in all steps together, could go back as
  far as it can be taken to move. The rest counts for as much more as its own correlation says.
- The lower end, by which a challenger is dropped and a version that won goes back, takes steps as
  independent. It is wrong more often where levels last, but what it leads to is safe: the older
  model stays, or comes back. A bad one has to go soon.
- An error counts :data:`LARGEST` at most, so that no price that is none decides. A price that is
  odd makes both errors large, and their difference is never above that of the two prices.
- Steps are few at first: the bound of the normal distribution is widened to that of Student's t.
- A step of many cars draws the mean to itself, so that too little is left of its distance: each
  step is held against the mean of all others (a jackknife).
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
"""Steps, as many as they count, below which nothing is known."""
_CLOSEST: Final = 0.97
"""The largest correlation of neighbouring steps that is reckoned with."""
_UNSURE: Final = 0.5
"""Standard errors by which the correlation of levels may be larger than is seen."""
_MOST_ASIDE: Final = 4.0
"""Times the level's own variance that what stands aside adds to it at most."""
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
        that was asked, ``low`` where steps are independent of each other. Infinite where there
        are too few steps; ``high`` also where they hang together too much.
    """

    cars: int
    days: int
    ours: float
    theirs: float
    value: float
    low: float
    high: float


class Interval(NamedTuple):
    """Relative difference and the ends of its interval."""

    value: Floats
    low: Floats
    high: Floats


class Sums(NamedTuple):
    """What there is of the cars of each step, the steps on the last axis.

    Attributes
    ----------
    cars : how many there are.
    ours, theirs : sums of their errors, by challenger and champion.
    levels : sum of their residuals, each the mean of both models'.
    slopes : by how much ``ours`` less ``theirs`` grows with the level.
    """

    cars: Floats
    ours: Floats
    theirs: Floats
    levels: Floats
    slopes: Floats


def residuals_of(observed: Floats, prices: Floats) -> Floats:
    """Return ln(observed / price), at most :data:`LARGEST` in size.

    Examples
    --------
    >>> residuals_of(np.array([100.0, 100.0]), np.array([110.0, 1.0])).round(4).tolist()
    [-0.0953, 0.6931]
    """
    return np.clip(np.log(observed / prices), -LARGEST, LARGEST)


def sums_of(ours: Floats, theirs: Floats, steps: npt.NDArray[np.int_], count: int) -> Sums:
    """Add up the cars of each of so many steps.

    Parameters
    ----------
    ours, theirs : residuals of challenger and champion, as :func:`residuals_of` has them.
    steps : of each car, from 0.
    """
    slopes = [np.where(np.abs(one) < LARGEST, np.sign(one), 0.0) for one in (ours, theirs)]
    values = (
        np.ones(len(steps)),
        *(np.abs(ours), np.abs(theirs), (ours + theirs) / 2, slopes[0] - slopes[1]),
    )
    return Sums(*(np.bincount(steps, one, count).astype(np.float64) for one in values))


def step_of(day: datetime.date, step: int) -> int:
    """Return the number of the step that a day is in."""
    return (day - _EPOCH).days // step


def end_of_steps(today: datetime.date, step: int) -> datetime.date:
    """Return the first day of the step that is not over.

    Examples
    --------
    >>> end_of_steps(datetime.date(2025, 7, 2), 7)
    datetime.date(2025, 6, 26)
    """
    return _EPOCH + datetime.timedelta(days=step * step_of(today, step))


def difference_of(
    ours: Floats, theirs: Floats, days: npt.NDArray[np.datetime64], level: float, step: int = 1
) -> Difference:
    """Compare the errors of challenger and champion.

    Parameters
    ----------
    ours, theirs : residuals of both, as :func:`residuals_of` has them; n pairs.
    days : the day of each pair, in any order.
    level : how likely an end of the interval may be wrong at any time, such as 0.05.
    step : the number of days that count as one.
    """
    numbers = days.astype("datetime64[D]").astype(np.int64)
    found, codes = np.unique(numbers // step, return_inverse=True)
    count = len(np.unique(numbers))
    if not count:
        return Difference(0, 0, math.nan, math.nan, math.nan, -math.inf, math.inf)
    sums = sums_of(ours, theirs, codes, len(found))
    value, low, high = map(float, interval_of(sums, level, step))
    our_mean, their_mean = float(np.abs(ours).mean()), float(np.abs(theirs).mean())
    return Difference(len(codes), count, our_mean, their_mean, value, low, high)


def interval_of(sums: Sums, level: float, step: int = 1) -> Interval:
    """Return what is told after some steps of so many days.

    Steps are taken as independent for the lower end, and as hanging together for the upper one.
    """
    steps, sum_theirs = sums.ours.shape[-1], sums.theirs.sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = sums.ours.sum(axis=-1) / sum_theirs
        # How far each step is from the mean of all others; their own mean is 0.
        share = sums.theirs / sum_theirs[..., None]
        apart = (sums.ours - ratio[..., None] * sums.theirs) / (1 - share)
        squares = (apart**2).sum(axis=-1)

        def half(more: Floats, fewer: Floats) -> Floats:
            """Return the distance of an end.

            Its squares count for so many times more, and so many steps for one.
            """
            independent = steps / fewer
            error = np.sqrt(squares * more * (steps - 1) / steps) / sum_theirs
            found = bounds_of(steps, level, step, independent) * error
            return np.where((independent < _FEWEST) | np.isnan(found), math.inf, found)

        value, one = ratio - 1, np.ones_like(ratio)
        fewer, more = (np.maximum(found / squares, 1.0) for found in together(apart, sums))
        low, high = value - half(one, one), value + half(more, fewer)
    return Interval(value, low, high)


def together(apart: Floats, sums: Sums) -> tuple[Floats, Floats]:
    """Return what the squares of independent steps would be whose mean scatters as much.

    Where the level goes up and down about where it stands; and where it may go back besides.

    Parameters
    ----------
    apart : of each step, how far its difference is from that of all.
    """
    cars = sums.cars.sum(axis=-1)
    slope, stand = (one.sum(axis=-1) / cars for one in (sums.slopes, sums.levels))
    level = sums.levels - stand[..., None] * sums.cars
    by_level = slope[..., None] * level
    rest = apart - by_level
    squares = (by_level**2).sum(axis=-1)
    counted = np.where(squares > 0, squares * times_together(level, _UNSURE), 0.0)
    aside = ((stand[..., None] * sums.cars) ** 2).sum(axis=-1) / (level**2).sum(axis=-1)
    going_back = np.where(squares > 0, counted * np.minimum(aside, _MOST_ASIDE), 0.0)
    found = counted + (rest**2).sum(axis=-1) * times_together(rest)
    return found, found + going_back


def times_together(values: Floats, unsure: float = 0.0) -> Floats:
    """Return how many times the variance of a mean is that of independent steps' mean.

    As in an autoregression with the correlation of neighbouring steps.

    Parameters
    ----------
    values : of each step, with a mean of 0, the steps on the last axis. Their correlation is
        seen too small where they are few (Marriott and Pope 1954), which is put right.
    unsure : standard errors by which it may be larger still.

    Examples
    --------
    >>> to_and_fro, once = [1.0, -1.0] * 8, [1.0] * 8 + [-1.0] * 8
    >>> times_together(np.array([to_and_fro, once])).round(1).tolist()
    [1.0, 65.7]
    """
    steps = values.shape[-1]
    products = (values[..., 1:] * values[..., :-1]).sum(axis=-1)
    seen = products / (values**2).sum(axis=-1)
    likely = seen + (1 + 3 * np.maximum(seen, 0.0)) / steps
    reckoned = np.clip(likely + unsure / math.sqrt(steps), 0.0, _CLOSEST)
    return np.asarray((1 + reckoned) / (1 - reckoned), dtype=np.float64)


def bounds_of(
    steps: int | npt.NDArray[np.int_],
    level: float,
    step: int = 1,
    independent: Floats | None = None,
) -> Floats:
    """Return how many standard errors each end is away after a number of steps.

    The chance that a mean of 0 is ever as far away on that side is ``level``.

    Parameters
    ----------
    step : days of a step.
    independent : as how many independent ones the steps count; default: as many as they are.

    Examples
    --------
    >>> bounds_of(np.array([14, 30, 180]), 0.05).round(2).tolist()
    [3.41, 3.0, 2.97]
    """
    from scipy.stats import norm, t

    asked = -2 * math.log(2 * level)
    rho_squared = step * (asked + math.log(asked) + 1) / _SHARPEST
    time = np.asarray(steps) * rho_squared
    normal = np.sqrt(2 * (1 + 1 / time) * np.log1p(np.sqrt(time + 1) / (2 * level)))
    freedom = np.maximum((steps if independent is None else independent) - 1, 1)
    return np.asarray(t.isf(norm.sf(normal), freedom), dtype=np.float64)
