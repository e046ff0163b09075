"""Conformal price ranges, calibrated per age band on out-of-fold residuals.

Split-conformal quantiles on the log scale (Vovk et al. 2005; Lei et al. 2018), one pair per age
band (Mondrian conformal): with n residuals the upper limit at confidence c is the
⌈(n + 1)(1 + c)/2⌉-th smallest, the lower one mirrors it, so each side misses (1 - c)/2.
The range always holds the price itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from carprice.features import Floats

AGE_BANDS: Final = {"0-3": 3.5, "4-6": 6.5, "7-9": 9.5, "10+": np.inf}
"""Upper edge of each age band, in years."""
CONFIDENCES: Final = tuple(round(0.5 + step / 100, 2) for step in range(50))
_SMALLEST_BAND: Final = 50


def age_bands(age: Floats) -> npt.NDArray[np.intp]:
    """Return the position of each age in :data:`AGE_BANDS`.

    Examples
    --------
    >>> age_bands(np.array([0.0, 3, 4, 9, 10, 40])).tolist()
    [0, 0, 1, 2, 3, 3]
    """
    return np.searchsorted(np.array(list(AGE_BANDS.values())), age)


@dataclass(frozen=True)
class ConformalRanges:
    """Log-scale offsets of the range by age band (rows) and confidence (columns)."""

    low: Floats
    high: Floats

    @classmethod
    def fit(cls, residual: Floats, age: Floats) -> Self:
        """Calibrate on out-of-fold residuals ln(price) - prediction.

        A band of fewer than 50 rows is given the offsets of all rows.
        """
        bands = age_bands(age)
        offsets = []
        for band in range(len(AGE_BANDS)):
            own = residual[bands == band]
            offsets.append(_offsets(own if len(own) >= _SMALLEST_BAND else residual))
        low, high = zip(*offsets, strict=True)
        return cls(np.array(low), np.array(high))

    def offsets(self, age: Floats, confidence: float) -> tuple[Floats, Floats]:
        """Return the log-scale offsets below and above the price for each row.

        Raises
        ------
        ValueError
            If the confidence is outside 0.5–0.99.
        """
        if not CONFIDENCES[0] <= confidence <= CONFIDENCES[-1]:
            raise ValueError(f"confidence is {confidence}; it must be from 0.5 to 0.99")
        bands = age_bands(age)
        by_band = [
            [np.interp(confidence, CONFIDENCES, row) for row in side]
            for side in (self.low, self.high)
        ]
        low, high = np.array(by_band)
        return low[bands], high[bands]

    def to_json(self) -> dict[str, Any]:
        """Return the offsets as plain JSON values."""
        return {"low": self.low.tolist(), "high": self.high.tolist()}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        return cls(np.array(content["low"]), np.array(content["high"]))


def _offsets(residual: Floats) -> tuple[Floats, Floats]:
    ordered = np.sort(residual)
    rows = len(ordered)
    rank = np.ceil((rows + 1) * (1 + np.array(CONFIDENCES)) / 2).astype(np.intp)
    upper = np.minimum(rank, rows) - 1
    return np.minimum(ordered[rows - 1 - upper], 0.0), np.maximum(ordered[upper], 0.0)
