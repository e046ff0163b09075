"""Gates of the tests."""

from typing import Any, Final

ANY_FIGURES: Final[dict[str, Any]] = {
    "max_mape": None,
    "naive_factor": 1,
    "min_within_10": None,
    "coverage": [0, 1],
    "band_coverage": 0,
    "segment_factor": 1000,
    "latency_factor": 1000,
}
"""What only a model worse than medians, or than production, does not pass."""
