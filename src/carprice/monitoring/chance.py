"""What chance alone makes of figures: p-values, corrections for many of them, intervals."""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.random import Generator
from scipy.special import bdtrik, betainc, betaincinv, stdtr, stdtrit

from carprice.arrays import Floats

CONFIDENCE: Final = 0.95
"""Of all intervals that are told."""
DRAWS: Final = 9_999
_ENOUGH: Final = 20
_TURN: Final = 100

Interval = tuple[float, float]


def certain(p_values: Sequence[float], level: float) -> list[bool]:
    """Return which of some p-values stand together at a level, by Holm's step-down rule.

    The chance that any of them is wrong is the level at most, however they hang together.

    Examples
    --------
    >>> certain([0.04, 0.001, 0.02], 0.05), certain([0.03, 0.03], 0.05)
    ([True, True, True], [False, False])
    """
    found = [False] * len(p_values)
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    for place, one in enumerate(order):
        if p_values[one] * (len(p_values) - place) > level:
            break
        found[one] = True
    return found


def beyond(estimate: float, error: float, tolerance: float, rows: int) -> float:
    """Return the p-value of "what is estimated is at most the tolerance away from 0".

    By Student's t, two-sided.

    Parameters
    ----------
    error : standard error of the estimate, which is of so many rows.
    """
    if error <= 0:
        return float(abs(estimate) <= tolerance)
    away, degrees = abs(estimate), max(rows - 1, 1)
    both = stdtr(degrees, (tolerance - away) / error) + stdtr(degrees, -(tolerance + away) / error)
    return float(min(both, 1.0))


def reach(error: float, rows: int) -> float:
    """Return half the width of the interval of an estimate of so many rows."""
    return float(stdtrit(max(rows - 1, 1), (1 + CONFIDENCE) / 2)) * error


def share_interval(hits: int, rows: int) -> Interval:
    """Return the exact interval of a share, by Clopper and Pearson.

    Examples
    --------
    >>> tuple(round(end, 3) for end in share_interval(9, 10))
    (0.555, 0.997)
    """
    tail = (1 - CONFIDENCE) / 2
    low = float(betaincinv(hits, rows - hits + 1, tail)) if hits else 0.0
    high = float(betaincinv(hits + 1, rows - hits, 1 - tail)) if hits < rows else 1.0
    return low, high


def median_interval(values: Floats) -> Interval:
    """Return the interval of a median, by the ranks between which it lies whatever the values.

    Examples
    --------
    >>> median_interval(np.arange(1, 102.0))
    (41.0, 61.0)
    """
    ordered, rows = np.sort(values), len(values)
    below = max(math.ceil(bdtrik((1 - CONFIDENCE) / 2, rows, 0.5)), 1)
    return float(ordered[below - 1]), float(ordered[rows - below])


def share_above(hits: int, rows: int, limit: float) -> float:
    """Return the p-value of "the share is at most the limit", exact."""
    return float(betainc(hits, rows - hits + 1, limit)) if hits else 1.0


def permuted(now: Floats, before: Floats, random: Generator) -> tuple[float, int]:
    """Return the p-value of "both are draws of one mix", and the cell that differs most.

    The statistic is the largest of all cells' differences in standard errors. What chance makes of
    it is drawn: all cars are put together, and as many as now are taken out again. Drawing ends
    where enough draws are above (Besag and Clifford 1991), and at :data:`DRAWS`.

    Parameters
    ----------
    now, before : numbers of cars by cell, of the same cells.
    """
    both = (now + before).astype(np.int64)
    rows, total = int(now.sum()), int(both.sum())
    if not 0 < rows < total:
        return 1.0, 0
    expected = both * (rows / total)
    error = np.sqrt(np.maximum(expected * (1 - both / total) * (1 - rows / total), 1e-12))
    apart = np.abs(now - expected) / error
    worst = int(np.argmax(apart))
    above = drawn = 0
    while above < _ENOUGH and drawn < DRAWS:
        size = min(max(_TURN, drawn), DRAWS - drawn)
        draws = random.multivariate_hypergeometric(both, rows, size=size, method="marginals")
        found = (np.abs(draws - expected) / error).max(axis=1) >= apart[worst] - 1e-9
        above, drawn = above + int(found.sum()), drawn + size
    return (above + 1) / (drawn + 1), worst
