"""Scales and round numbers of charts that are drawn as inline SVG."""

import math
from dataclasses import dataclass
from typing import Final

_STEPS: Final = (1.0, 2.0, 2.5, 5.0, 10.0, 20.0)
_MOST_TICKS: Final = 5


@dataclass(frozen=True)
class Scale:
    """Brings values to a place between two ends."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the place of a value.

        Examples
        --------
        >>> Scale(0, 10, 100, 200)(2.5)
        125.0
        """
        share = (value - self.low) / ((self.high - self.low) or 1.0)
        return round(self.start + share * (self.end - self.start), 1)


def ticks(low: float, high: float, least: float = 0.0) -> list[float]:
    """Return a few round numbers, ``least`` apart, from below the lowest to above the highest.

    Examples
    --------
    >>> ticks(0, 5), ticks(148_000, 894_000)
    ([0.0, 2.0, 4.0, 6.0], [0.0, 200000.0, 400000.0, 600000.0, 800000.0, 1000000.0])
    """
    span = (high - low) or abs(high) or 1.0
    size = 10.0 ** math.floor(math.log10(span / _MOST_TICKS))
    steps = (size * one for one in _STEPS if size * one * _MOST_TICKS >= span * 1.2)
    step = max(next(steps), least)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [place * step for place in range(first, last + 1)]
