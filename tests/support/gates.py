"""A gate which only a model worse than medians, or than production, does not pass."""

ANY_FIGURES = {
    "max_mape": None,
    "naive_factor": 1,
    "min_within_10": None,
    "coverage": [0, 1],
    "band_coverage": 0,
    "segment_factor": 1000,
    "latency_factor": 1000,
}
