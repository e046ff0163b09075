"""Where prices are made to fall with age and distance: wherever that costs no accuracy.

Junk and collectors' cars stand at the ends of a market: old cars that were listed as of this year,
odometers of 1, cars that gain value with the years. A price that has to fall from there would be
wrong for all others. So the fall ends where it makes out-of-fold errors larger for certain; the
ages and distances of the middle half of the cars are always in it.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from scipy.optimize import isotonic_regression

from carprice.arrays import Codes, Floats

_STANDARD_ERRORS: Final = 3.0
_LEAST_COST: Final = 0.002  # of the mean error
_MIDDLE: Final = (0.25, 0.75)

Steps = tuple[int, int]
"""The first and the last step over which a price falls."""


def falling_correction(
    curve: Floats, steps: Codes, residual: Floats, weights: Floats, least: float
) -> tuple[Floats, Steps]:
    """Return what to add to a curve so that it falls, and from which to which step it then does.

    Beyond these steps the curve stays as it is. They are the widest with which the mean absolute
    error is at most 0.2 % above that of the best ones, or no more than three standard errors of the
    rows' differences; the last step is sought first, then the first.

    Parameters
    ----------
    curve : ln(price) of the average car at each step.
    steps : the step of each row.
    residual : out-of-fold ln(price) minus the known one of each row, without the correction.
    weights : how much each row counts.
    least : how much the curve falls at each step, in ln(price).
    """
    end = len(curve) - 1
    if not len(steps):
        return np.zeros_like(curve), (0, end)
    first, last = np.quantile(steps, _MIDDLE).astype(int).tolist()
    counts = np.asarray(np.bincount(steps, weights, minlength=len(curve)) + 1e-3, dtype=np.float64)

    def correction(start: int, stop: int) -> Floats:
        inside = slice(start, stop + 1)
        found = np.zeros_like(curve)
        found[inside] = _isotonic(curve[inside], counts[inside], least)
        return found

    def widest(choices: Sequence[Steps]) -> Steps:
        def errors() -> Iterator[Floats]:
            return (np.abs(residual + correction(*choice)[steps]) for choice in choices)

        means = [np.average(each, weights=weights) for each in errors()]
        best_one = correction(*choices[int(np.argmin(means))])
        best, least_error = np.abs(residual + best_one[steps]), min(means)
        for choice, each in zip(choices, errors(), strict=True):
            cost = np.average(each - best, weights=weights)
            spread = np.sqrt(np.sum((weights * (each - best - cost)) ** 2)) / weights.sum()
            if cost <= max(_STANDARD_ERRORS * spread, _LEAST_COST * least_error):
                return choice
        raise AssertionError("the best choice costs no more than itself")

    whole = correction(0, end)
    if np.abs(whole).max() < least / 100:  # it falls by itself
        return whole, (0, end)
    _, stop = widest([(0, stop) for stop in range(end, last - 1, -1)])
    range_ = widest([(start, stop) for start in range(first + 1)])
    return correction(*range_), range_


def _isotonic(curve: Floats, counts: Floats, least: float) -> Floats:
    """Return the isotonic correction with which a curve falls by ``least`` or more at each step."""
    fall = least * np.arange(len(curve))
    fitted = isotonic_regression(curve + fall, weights=counts, increasing=False).x
    return np.asarray(fitted - fall - curve)
