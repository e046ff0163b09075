"""Figures of a price model: how far off, how often near, and whether the ranges hold."""

from collections.abc import Sequence

import numpy as np

from carprice.arrays import Floats


def price_metrics(actual: Floats, predicted: Floats) -> dict[str, float]:
    """Return the error figures of n positive prices.

    Returns
    -------
    dict
        ``mape`` and ``mdape`` (mean and median of |predicted/actual - 1|) and ``within_10`` (share
        of prices off by 10 % at most), all in per cent; ``rmsle``, the root mean square of
        ln(1 + predicted) - ln(1 + actual); ``mae`` and ``rmse`` in currency; ``r2`` of the price,
        where all prices are equal 1 for a perfect prediction, else 0.

    Examples
    --------
    >>> figures = price_metrics(np.array([100.0, 200, 400]), np.array([105.0, 180, 500]))
    >>> round(figures["mape"], 2), round(figures["mdape"], 2), round(figures["within_10"], 2)
    (13.33, 10.0, 66.67)
    """
    error = predicted - actual
    relative = np.abs(error) / actual
    spread = float(np.sum((actual - actual.mean()) ** 2))
    return {
        "mape": float(100 * relative.mean()),
        "mdape": float(100 * np.median(relative)),
        "within_10": float(100 * np.mean(np.round(relative, 12) <= 0.1)),
        "rmsle": float(np.sqrt(np.mean((np.log1p(predicted) - np.log1p(actual)) ** 2))),
        "mae": float(np.abs(error).mean()),
        "rmse": float(np.sqrt(np.mean(error**2))),
        "r2": float(1 - np.sum(error**2) / spread) if spread else float(not error.any()),
    }


def range_metrics(actual: Floats, predicted: Floats, low: Floats, high: Floats) -> dict[str, float]:
    """Return the share of prices inside their range, and the ranges' widths, all in per cent.

    Examples
    --------
    >>> one = np.array([100.0, 100.0])
    >>> range_metrics(one, one, np.array([90.0, 110.0]), np.array([110.0, 120.0]))
    {'coverage': 50.0, 'mean_width': 15.0, 'median_width': 15.0}
    """
    width = 100 * (high - low) / predicted
    return {
        "coverage": float(100 * np.mean((low <= actual) & (actual <= high))),
        "mean_width": float(width.mean()),
        "median_width": float(np.median(width)),
    }


def by_segment(
    segments: Sequence[str], actual: Floats, predicted: Floats, low: Floats, high: Floats
) -> dict[str, dict[str, float]]:
    """Return rows, errors and coverage of each segment, by its name in sorted order.

    Examples
    --------
    >>> x = np.array([100.0, 100.0, 100.0])
    >>> [(name, f["rows"]) for name, f in by_segment(["b", "a", "b"], x, x, x, x).items()]
    [('a', 1), ('b', 2)]
    """
    names = np.array(segments)
    figures = {}
    for name in np.unique(names):
        rows = np.flatnonzero(names == name)
        errors = price_metrics(actual[rows], predicted[rows])
        ranges = range_metrics(actual[rows], predicted[rows], low[rows], high[rows])
        figures[str(name)] = {
            "rows": len(rows),
            **{figure: errors[figure] for figure in ("mape", "mdape", "within_10")},
            "coverage": ranges["coverage"],
        }
    return figures
