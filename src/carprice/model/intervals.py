"""Conformal price ranges: residuals divided by a local scale, calibrated per age band.

Normalised split-conformal prediction (Lei et al. 2018, sec. 5.2) within groups (Mondrian; Vovk et
al. 2005): out-of-fold residuals ln(price) - prediction are divided by the size that a model of them
expects; with n of them in an age band, the upper limit at confidence c is the ⌈(n + 1)(1 + c)/2⌉-th
smallest, the lower one mirrors it, so each side misses (1 - c)/2. The range holds the price itself.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from statistics import NormalDist
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from carprice.arrays import Floats

AGE_BANDS: Final = {"0-3": 3.5, "4-6": 6.5, "7-9": 9.5, "10+": np.inf}
"""Upper edge of each age band, in years."""
CONFIDENCES: Final = tuple(round(0.5 + step / 100, 2) for step in range(50))
DEFAULT_CONFIDENCE: Final = 0.9
_EDGES: Final = list(AGE_BANDS.values())
_SMALLEST_BAND: Final = 50


def age_bands(age: Floats) -> npt.NDArray[np.intp]:
    """Return the position of each age in :data:`AGE_BANDS`.

    Examples
    --------
    >>> age_bands(np.array([0.0, 3, 4, 9, 10, 40])).tolist()
    [0, 0, 1, 2, 3, 3]
    """
    return np.searchsorted(np.array(_EDGES), age)


@dataclass(frozen=True)
class ConformalRanges:
    """Offsets in local scales by age band (rows) and confidence (columns)."""

    low: Floats
    high: Floats

    @classmethod
    def fit(cls, residual: Floats, scale: Floats, age: Floats) -> Self:
        """Calibrate on out-of-fold residuals and their local scales, n rows.

        A band of fewer than 50 rows is given the offsets of all rows.
        """
        scaled = residual / scale
        bands = age_bands(age)
        offsets = []
        for band in range(len(AGE_BANDS)):
            own = scaled[bands == band]
            offsets.append(_offsets(own if len(own) >= _SMALLEST_BAND else scaled))
        low, high = zip(*offsets, strict=True)
        return cls(np.array(low), np.array(high))

    def offsets(
        self, scale: float, age: float, confidence: float, open_variance: float = 0.0
    ) -> tuple[float, float]:
        """Return what is added to ln(price) for the lower and the upper end of a car's range.

        Parameters
        ----------
        scale : the error's local size.
        age : in years.
        open_variance : of ln(price), for what is not known of the car; it widens the range.

        Raises
        ------
        ValueError
            If the confidence is outside 0.5–0.99.
        """
        low, high, deviations = self._of_confidence(confidence)
        band = bisect_left(_EDGES, age)
        unknown = deviations * math.sqrt(open_variance)
        return -math.hypot(low[band] * scale, unknown), math.hypot(high[band] * scale, unknown)

    @cached_property
    def _of_confidence(self) -> Callable[[float], tuple[list[float], list[float], float]]:
        """Offsets by band and normal deviations, kept for the confidences asked for last."""

        @lru_cache(maxsize=64)
        def read(confidence: float) -> tuple[list[float], list[float], float]:
            low, high = self.by_band(confidence).tolist()
            return low, high, NormalDist().inv_cdf((1 + confidence) / 2)

        return read

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the offsets alone."""
        return {"low": self.low, "high": self.high}

    def by_band(self, confidence: float) -> Floats:
        """Return the offsets in local scales: two rows, low and high, of one value an age band.

        Raises
        ------
        ValueError
            If the confidence is outside 0.5–0.99.
        """
        if not CONFIDENCES[0] <= confidence <= CONFIDENCES[-1]:
            raise ValueError(f"confidence is {confidence}; it must be from 0.5 to 0.99")
        sides = (self.low, self.high)
        return np.array(
            [[np.interp(confidence, CONFIDENCES, row) for row in side] for side in sides]
        )

    def to_json(self) -> dict[str, Any]:
        """Return the offsets as plain JSON values."""
        return {"low": self.low.tolist(), "high": self.high.tolist()}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        return cls(np.array(content["low"]), np.array(content["high"]))


def _offsets(scaled: Floats) -> tuple[Floats, Floats]:
    ordered = np.sort(scaled)
    rows = len(ordered)
    rank = np.ceil((rows + 1) * (1 + np.array(CONFIDENCES)) / 2).astype(np.intp)
    upper = np.minimum(rank, rows) - 1
    return np.minimum(ordered[rows - 1 - upper], 0.0), np.maximum(ordered[upper], 0.0)
