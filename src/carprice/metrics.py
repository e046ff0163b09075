"""Figures of a price model: how far off, how often near, how even, and whether the ranges hold.

COD, PRD and PRB are those of assessors: Standard on Ratio Studies, International Association of
Assessing Officers (IAAO), April 2013, sections 9.1 and 9.2.7. Assessed values are predicted prices,
and prices asked stand in for those that cars are sold for.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from carprice.arrays import Floats

_TENTHS: Final = 10
_FEWEST_FOR_BIAS: Final = 3
_SHUFFLES: Final = 20


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


def equity_metrics(actual: Floats, predicted: Floats) -> dict[str, float]:
    """Return how even prices are, and whether dear and cheap cars are priced alike.

    Returns
    -------
    dict
        ``median_ratio`` of predicted to actual; ``cod``, the coefficient of dispersion: the mean
        distance of the ratios from their median, in per cent of it; ``prd``, the price-related
        differential: the mean ratio over that of the sums, above 1 where dear cars are priced lower
        than cheap ones, beside what is asked; ``prb``, the price-related bias: by how much of the
        median the ratio rises where a car is worth twice as much, with its 95 % interval
        ``prb_low`` to ``prb_high``. The bias is left out where it cannot be told: of fewer than
        three cars, or of cars of one worth.

    Examples
    --------
    >>> figures = equity_metrics(np.array([50.0, 100, 200]), np.array([60.0, 100, 180]))
    >>> round(figures["cod"], 2), round(figures["prd"], 4), round(figures["prb"], 2)
    (10.0, 1.0637, -0.17)
    """
    ratio = predicted / actual
    median = float(np.median(ratio))
    return {
        "median_ratio": median,
        "cod": float(100 * np.mean(np.abs(ratio - median)) / median),
        "prd": float(ratio.mean() / (predicted.sum() / actual.sum())),
        **_price_related_bias(ratio / median - 1, np.log2(_worth(actual, predicted))),
    }


def _worth(actual: Floats, predicted: Floats) -> Floats:
    """Return what cars are worth by both, half the price asked and half the model's at its median.

    By the price asked alone, every model with errors prices dear cars too low: among them are those
    that are asked too much for.
    """
    return 0.5 * (actual + predicted / np.median(predicted / actual))


def _price_related_bias(off: Floats, doublings: Floats) -> dict[str, float]:
    """Return the slope of a least-squares line, with its 95 % interval."""
    rows, spread = len(off), float(np.sum((doublings - doublings.mean()) ** 2))
    if rows < _FEWEST_FOR_BIAS or spread < rows * 1e-12:
        return {}
    from scipy.special import stdtrit

    slope = float(np.sum((doublings - doublings.mean()) * off)) / spread
    left = off - off.mean() - slope * (doublings - doublings.mean())
    error = float(np.sqrt(np.sum(left**2) / (rows - 2) / spread))
    reach = float(stdtrit(rows - 2, 0.975)) * error
    return {"prb": slope, "prb_low": slope - reach, "prb_high": slope + reach}


def equity_of_even_errors(actual: Floats, predicted: Floats) -> dict[str, float]:
    """Return the PRD and PRB of a model of the same errors, none of which hangs on the price.

    They are not 1 and 0: a model that says what such cars are asked for on average leaves all that
    single ones are asked more or less in the ratio and in the price asked, too. Means over
    shuffled errors, by a fixed seed; the PRB is left out where it cannot be told.

    Examples
    --------
    >>> cheap, dear = np.array([80.0, 125.0]), np.array([800.0, 1250.0])
    >>> even = equity_of_even_errors(np.r_[cheap, dear], np.array([100.0, 100, 1000, 1000]))
    >>> even["prd"] > 1, even["prb"] < 0
    (True, True)
    """
    random, errors = np.random.default_rng(0), actual / predicted
    shuffled = (predicted * random.permutation(errors) for _ in range(_SHUFFLES))
    found = [equity_metrics(each, predicted) for each in shuffled]
    return {
        name: float(np.mean([one[name] for one in found]))
        for name in ("prd", "prb")
        if all(name in one for one in found)
    }


def vertical_equity(actual: Floats, predicted: Floats) -> dict[str, dict[str, float]]:
    """Return rows, worth, median ratio and COD of each tenth of the cars by what they are worth.

    ``from`` and ``to`` are the least and the largest worth in a tenth: the mean of the price asked
    and of the predicted one over the median ratio, as in the price-related bias. Fewer than ten
    cars make fewer parts.

    Examples
    --------
    >>> worth = np.arange(1.0, 21.0)
    >>> table = vertical_equity(worth, worth * 1.1)
    >>> [*table][:2], {name: round(one, 2) for name, one in table["10"].items()}
    (['01', '02'], {'rows': 2, 'from': 19.0, 'to': 20.0, 'median_ratio': 1.1, 'cod': 0.0})
    """
    if not len(actual):
        return {}
    worth = _worth(actual, predicted)
    edges = np.quantile(worth, np.arange(1, _TENTHS) / _TENTHS)
    tenths = np.searchsorted(edges, worth, side="right")
    table = {}
    for tenth in np.unique(tenths):
        rows = np.flatnonzero(tenths == tenth)
        figures = equity_metrics(actual[rows], predicted[rows])
        table[f"{tenth + 1:02d}"] = {
            "rows": len(rows),
            "from": float(worth[rows].min()),
            "to": float(worth[rows].max()),
            **{name: figures[name] for name in ("median_ratio", "cod")},
        }
    return table


def bias_beyond_doubt(figures: Mapping[str, float]) -> float:
    """Return the size of the price-related bias that its interval leaves no doubt of.

    It is the end of the interval that is nearer to 0, and 0 where that lies inside.

    Examples
    --------
    >>> bias_beyond_doubt({"prb_low": -0.09, "prb_high": -0.03})
    0.03
    >>> bias_beyond_doubt({"prb_low": -0.02, "prb_high": 0.04})
    0.0
    """
    return max(figures["prb_low"], -figures["prb_high"], 0.0)


def by_segment(
    segments: Sequence[str], actual: Floats, predicted: Floats, low: Floats, high: Floats
) -> dict[str, dict[str, float]]:
    """Return rows, errors, evenness and coverage of each segment, by its name in sorted order.

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
            **equity_metrics(actual[rows], predicted[rows]),
        }
    return figures
