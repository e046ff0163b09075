"""Compared models in order of their mean error, and which are as good as the best."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any, Final

import numpy as np
import pandas as pd

from carprice.arrays import Floats
from carprice.experiments.candidates import ComparedModel

CONFIDENCE: Final = 0.95
FIGURES: Final = ("mape", "mdape", "within_10", "rmsle", "mae", "rmse", "r2")
TIMES: Final = ("fit_seconds", "predict_seconds")
LEVELS: Final = ("raw", "log", "one-hot", "ordinal", "target", "native", "none", "mean", "median")
"""Choices, the plain ones first."""
CHOICES: Final = ("target", "encoding", "imputation")


@dataclass(frozen=True)
class Result:
    """The figures of a model on each fold that was measured.

    Attributes
    ----------
    reason : why the model failed or was given up; empty where it was not.
    """

    model: ComparedModel
    folds: tuple[Mapping[str, float], ...]
    reason: str = ""

    @property
    def name(self) -> str:
        """The model's name."""
        return self.model.name

    def values(self, figure: str) -> Floats:
        """Return a figure of each fold."""
        return np.array([fold[figure] for fold in self.folds])

    def mean(self, figure: str) -> float:
        """Return the mean of a figure over the folds."""
        return float(self.values(figure).mean())

    def standard_error(self, figure: str) -> float:
        """Return the standard error of that mean."""
        values = self.values(figure)
        return float(values.std(ddof=1) / np.sqrt(len(values)))

    def summary(self) -> dict[str, float]:
        """Return the mean of each figure with its standard error, and the mean times."""
        summary: dict[str, float] = {}
        for name in FIGURES:
            summary |= {name: self.mean(name), f"{name}_se": self.standard_error(name)}
        return summary | {name: self.mean(name) for name in TIMES}

    def in_short(self, metric: str) -> str:
        """Return the mean error, or why there is none, in a few words."""
        return self.reason or f"{metric} {self.mean(metric):,.4g}"

    def told(self, metric: str) -> str:
        """Return the mean error ± its standard error."""
        return f"{self.mean(metric):,.4g} ± {self.standard_error(metric):.2g}"


@dataclass(frozen=True)
class Difference:
    """A mean difference of two models over the same folds, and its 95 % interval.

    Examples
    --------
    >>> print(Difference(1.062, 0.592, 1.532), "|", Difference(12345.6, 11556.6, 13134.6))
    +1.06 ± 0.47 | +12,346 ± 789
    >>> print(Difference(-0.0123, -0.0168, -0.0078), "|", Difference(1.0, 1.0, 1.0))
    -0.0123 ± 0.0045 | +1 ± 0
    """

    mean: float
    low: float
    high: float

    @property
    def is_distinct(self) -> bool:
        """Whether the folds tell the two apart: the interval leaves out zero."""
        return not self.low <= 0 <= self.high

    def __str__(self) -> str:
        """Return the difference and half its interval, both to the second digit of that."""
        half = (self.high - self.low) / 2
        decimals = max(0, 1 - math.floor(math.log10(half))) if half else 0
        return f"{self.mean:+,.{decimals}f} ± {half:,.{decimals}f}"


def paired_difference(one: Floats, other: Floats) -> Difference:
    """Return how much larger ``one`` is than ``other``, fold by fold.

    The interval is of the corrected resampled t-test (Nadeau & Bengio 2003, Machine Learning 52:
    239–281): folds share most of their training rows, so that the variance of the mean is
    (1/k + rows priced / rows learned from) · s², and not s²/k; with k folds, the share is 1/(k-1).

    Examples
    --------
    >>> difference = paired_difference(np.array([12.0, 13, 14]), np.array([11.0, 11.8, 13.2]))
    >>> round(difference.mean, 2), round(difference.low, 2), round(difference.high, 2)
    (1.0, 0.21, 1.79)
    """
    from scipy.stats import t

    apart = one - other
    count = len(apart)
    spread = apart.std(ddof=1) * np.sqrt(1 / count + 1 / (count - 1))
    half = float(t.ppf((1 + CONFIDENCE) / 2, count - 1) * spread)
    mean = float(apart.mean())
    return Difference(mean, mean - half, mean + half)


Ranking = Sequence[tuple[Result, Difference]]
"""Results, the best first, each with what it lacks to the best: zero for the best itself."""


def rank(results: Sequence[Result], metric: str) -> Ranking:
    """Return the ranking of the results that did not fail."""
    whole = sorted((one for one in results if not one.reason), key=lambda one: one.mean(metric))
    return [(one, paired_difference(one.values(metric), whole[0].values(metric))) for one in whole]


def ranking_rows(results: Sequence[Result], metric: str) -> list[tuple[str, ...]]:
    """Return the ranking for people: name, error, behind the best, within 10 %, seconds of a fit.

    An equals sign marks those that the folds cannot tell from the best.
    """
    return [
        (
            one.name,
            one.told(metric),
            f"{behind}{'' if behind.is_distinct else ' ='}" if place else "",
            f"{one.mean('within_10'):.1f}",
            f"{one.mean('fit_seconds'):.2g}",
        )
        for place, (one, behind) in enumerate(rank(results, metric))
    ]


def ranking_table(results: Sequence[Result], metric: str) -> pd.DataFrame:
    """Return one row a model, the best first, those that failed last with their reason."""

    def choices(result: Result) -> dict[str, Any]:
        return {"candidate": result.name, **asdict(result.model), "folds": len(result.folds)}

    ranked = rank(results, metric)
    best = ranked[0][0].values(metric) if ranked else np.array([])
    rows = [
        {
            "place": place,
            **choices(one),
            "as_good_as_the_best": not behind.is_distinct,
            f"{metric}_behind": behind.mean,
            f"{metric}_behind_low": behind.low,
            f"{metric}_behind_high": behind.high,
            "folds_behind": int(np.sum(one.values(metric) > best)),
            **one.summary(),
            "reason": "",
        }
        for place, (one, behind) in enumerate(ranked, start=1)
    ]
    failed = [{**choices(one), "reason": one.reason} for one in results if one.reason]
    return pd.DataFrame(rows + failed)


def folds_table(results: Sequence[Result]) -> pd.DataFrame:
    """Return one row a model and fold, with all its figures."""
    return pd.DataFrame(
        [
            {"candidate": one.name, "fold": number, **fold}
            for one in results
            for number, fold in enumerate(one.folds, start=1)
        ]
    )


def choices_table(results: Sequence[Result], metric: str) -> pd.DataFrame:
    """Return what each single choice changes: pairs of models that are alike in all else.

    ``change`` is the second's error less the first's, fold by fold: below zero, the second choice
    is the better one.
    """
    rows = []
    for pair in combinations([one for one in results if not one.reason], 2):
        one, other = (result.model for result in pair)
        differing = [name for name in CHOICES if getattr(one, name) != getattr(other, name)]
        if (one.algorithm, one.tuned) != (other.algorithm, other.tuned) or len(differing) != 1:
            continue
        (choice,) = differing
        levels = {str(getattr(result.model, choice)): result for result in pair}
        first, second = sorted(levels, key=LEVELS.index)
        change = paired_difference(levels[second].values(metric), levels[first].values(metric))
        interval = (change.mean, change.low, change.high, change.is_distinct)
        rows.append((one.algorithm, choice, first, second, levels[first].name, *interval))
    columns = ("algorithm", "choice", "first", "second", "all_else", "change", "low", "high")
    return pd.DataFrame(rows, columns=[*columns, "distinct"])
