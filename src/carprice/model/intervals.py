"""Conformal price ranges: residuals divided by a local scale, calibrated per age band.

Normalised split-conformal prediction (Lei et al. 2018, sec. 5.2) within groups (Mondrian; Vovk et
al. 2005): out-of-fold residuals ln(price) - prediction are divided by their local scale, the size
that a model of them expects. With n of them in an age band, the upper end at confidence c is the
⌈(n + 1)(1 + c)/2⌉-th smallest; the lower end mirrors it, so that (1 - c)/2 of the prices lie beyond
each. The predicted price always lies in the range.

The ends of all ranges are quantiles of ln(price) up to 25 % and from 75 % on; the quantiles between
are kept beside them, so that any asking price has its place among those that are expected.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from carprice.arrays import Codes, Floats
from carprice.schema import CONFIDENCE_RANGE, DEFAULT_CONFIDENCE

AGE_BANDS: Final = {"0-3": 3.5, "4-6": 6.5, "7-9": 9.5, "10+": np.inf}
"""Upper edge of each age band, in years."""
CONFIDENCES: Final = tuple(round(CONFIDENCE_RANGE[0] + step / 100, 2) for step in range(50))
MIDDLE: Final = tuple(round(0.25 + step / 100, 2) for step in range(1, 50))
"""Shares of the prices below the quantiles that lie within all ranges."""
LEVELS: Final = np.array(
    [
        *((1 - confidence) / 2 for confidence in reversed(CONFIDENCES)),
        *MIDDLE,
        *((1 + confidence) / 2 for confidence in CONFIDENCES),
    ]
)
"""Shares of the prices below the points of a :class:`Distribution`."""
_DEVIATIONS: Final = np.array([NormalDist().inv_cdf((1 + c) / 2) for c in CONFIDENCES])
_USUAL: Final = [int(np.argmin(np.abs(LEVELS - share))) for share in (0.05, 0.95)]
"""Places of the ends of the range at 90 %."""
_TAIL: Final = 4  # the place of the fivefold share of that beyond the last point
_EDGES: Final = list(AGE_BANDS.values())
_SMALLEST_BAND: Final = 50
_ROUNDING: Final = 1e-6


def age_bands(age: Floats) -> npt.NDArray[np.intp]:
    """Return the position of each age in :data:`AGE_BANDS`.

    Examples
    --------
    >>> age_bands(np.array([0, 3.5, 3.6, 6, 9, 10, 40])).tolist()
    [0, 0, 1, 1, 2, 3, 3]
    """
    return np.searchsorted(np.array(_EDGES), age)


class RangeOffsets(NamedTuple):
    """The ends of ranges at one confidence, in local scales for each age band.

    ``deviations`` is the same end for a normal distribution, in standard deviations.
    """

    low: list[float]
    high: list[float]
    deviations: float

    def of(self, scale: float, age: float, open_variance: float = 0.0) -> tuple[float, float]:
        """Return what to add to ln(price) for the lower and the upper end of a car's range.

        Parameters
        ----------
        scale : the local scale, of ln(price).
        age : in years.
        open_variance : of ln(price), for what is not known of the car; it widens the range.
        """
        band = bisect_left(_EDGES, age)
        unknown = self.deviations * math.sqrt(open_variance)
        low, high = self.low[band] * scale, self.high[band] * scale
        return -math.hypot(low, unknown), math.hypot(high, unknown)


@dataclass(frozen=True)
class Distribution:
    """The distribution of a car's ln(price): its quantiles at :data:`LEVELS`."""

    points: Floats

    @property
    def width(self) -> float:
        """The upper end of the range at 90 %, less its lower end."""
        low, high = self.points[_USUAL]
        return float(high - low)

    def percentile(self, log_price: float) -> float:
        """Return which share of the prices lies below one, from 0 to 100.

        Beyond the ends of the widest range the rest falls off exponentially, as it does within.

        Examples
        --------
        >>> even = Distribution(LEVELS)
        >>> [round(even.percentile(share), 2) for share in (-1.0, 0.0, 0.3, 0.9, 2.0)]
        [0.0, 0.33, 30.0, 90.0, 100.0]
        """
        points, least = self.points, float(LEVELS[0])
        if log_price < points[0]:
            share = least * _beyond(points[0] - log_price, points[_TAIL] - points[0])
        elif log_price > points[-1]:
            share = 1 - least * _beyond(log_price - points[-1], points[-1] - points[-1 - _TAIL])
        else:
            share = float(np.interp(log_price, points, LEVELS))
        return 100 * share


def _beyond(far: float, width: float) -> float:
    """Return the part of a tail that lies beyond, by the width in which it falls to a fifth."""
    return math.exp(-far * math.log(5) / width) if width > 0 else 0.0


@dataclass(frozen=True)
class ConformalRanges:
    """Offsets in local scales: for each age band, one for each of :data:`CONFIDENCES`.

    ``middle`` has one for each of :data:`MIDDLE`; it is None in model folders of before.
    """

    low: list[list[float]]
    high: list[list[float]]
    middle: list[list[float]] | None = None

    @classmethod
    def fit(
        cls, residual: Floats, scale: Floats, age: Floats, weights: Floats | None = None
    ) -> Self:
        """Calibrate on out-of-fold residuals and their local scales, n rows.

        A band of fewer than 50 cars gets the offsets of all.

        Parameters
        ----------
        weights : one part of each row's car; those of a car sum to 1. Each row is a car if None.
        """
        weights = np.ones(len(age)) if weights is None else weights
        scaled, bands, everywhere = residual / scale, age_bands(age), np.ones(len(age), dtype=bool)
        offsets = []
        for band in range(len(AGE_BANDS)):
            own = bands == band
            own = own if weights[own].sum() > _SMALLEST_BAND - 0.5 else everywhere
            offsets.append(_offsets(scaled[own], weights[own]))
        low, high, middle = zip(*offsets, strict=True)
        return cls([*low], [*high], [*middle])

    @classmethod
    def held_out(
        cls,
        residual: Floats,
        scale: Floats,
        age: Floats,
        weights: Floats,
        folds: Codes,
    ) -> tuple[Floats, Floats]:
        """Return what to add to ln(price) for the ends of each row's range, by the other folds.

        Parameters
        ----------
        folds : the fold of each row, from 0.
        """
        ends, bands = np.empty((2, len(age))), age_bands(age)
        for fold in range(int(folds.max()) + 1):
            own, others = folds == fold, folds != fold
            fitted = cls.fit(residual[others], scale[others], age[others], weights[others])
            offsets = fitted.at(DEFAULT_CONFIDENCE)
            both = np.array([offsets.low, offsets.high])
            ends[:, own] = both[:, bands[own]] * scale[own]
        return ends[0], ends[1]

    def at(self, confidence: float) -> RangeOffsets:
        """Return the offsets at a confidence; outside 0.5–0.99 it is a ValueError."""
        least, most = CONFIDENCE_RANGE
        if not least <= confidence <= most:
            raise ValueError(f"confidence is {confidence}; it must be from {least} to {most}")
        low, high = (
            [float(np.interp(confidence, CONFIDENCES, offsets)) for offsets in side]
            for side in (self.low, self.high)
        )
        return RangeOffsets(low, high, NormalDist().inv_cdf((1 + confidence) / 2))

    def around(
        self,
        log_price: float,
        scale: float,
        age: float,
        open_variance: float = 0.0,
        market: tuple[Sequence[float], Sequence[float]] | None = None,
    ) -> Distribution | None:
        """Return the distribution whose quantiles the ends of a car's ranges are.

        None in model folders of before.

        Parameters
        ----------
        log_price : as predicted.
        scale, age, open_variance : see :meth:`RangeOffsets.of`.
        market : ends of the ranges of the market's own ln(price), which those of the car hold.
        """
        if self.middle is None:
            return None
        band = bisect_left(_EDGES, age)
        unknown = _DEVIATIONS * math.sqrt(open_variance)
        low, high = (np.array(side[band]) * scale for side in (self.low, self.high))
        bottom, top = log_price - np.hypot(low, unknown), log_price + np.hypot(high, unknown)
        if market is not None:
            bottom, top = np.minimum(bottom, market[0]), np.maximum(top, market[1])
        # What is open widens the middle as it does the narrowest range.
        first, last = float(low[0]), float(high[0])
        between = np.minimum(np.maximum(np.array(self.middle[band]) * scale, first), last)
        part = (between - first) / (last - first) if last > first else np.array(MIDDLE) * 2 - 0.5
        middle = bottom[0] + part * (top[0] - bottom[0])
        points = np.concatenate([bottom[::-1], middle, top])
        return Distribution(np.maximum.accumulate(points))


def _offsets(scaled: Floats, weights: Floats) -> tuple[list[float], list[float], list[float]]:
    order = np.argsort(scaled, kind="stable")
    ordered, cars = scaled[order], weights[order]
    outer, middle = (1 + np.array(CONFIDENCES)) / 2, np.array(MIDDLE)

    def end(values: Floats, counts: Floats, levels: Floats) -> Floats:
        """Return the first of sorted values up to which there are as many cars as the rank."""
        rank = np.ceil((cars.sum() + 1) * levels - _ROUNDING)
        up_to = np.cumsum(counts) + _ROUNDING
        return np.asarray(values[np.minimum(np.searchsorted(up_to, rank), len(values) - 1)])

    low = np.minimum(-end(-ordered[::-1], cars[::-1], outer), 0.0)
    high = np.maximum(end(ordered, cars, outer), 0.0)
    between = np.clip(end(ordered, cars, middle), low[0], high[0])
    return low.tolist(), high.tolist(), between.tolist()
