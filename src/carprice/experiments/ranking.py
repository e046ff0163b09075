"""Compared models in order of their mean error, and which are as good as the best."""

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
METRICS: Final = ("mape", "mdape", "rmsle", "mae", "rmse")
"""Figures that models can be ranked by; the smaller, the better."""
LEVELS: Final = ("raw", "log", "one-hot", "ordinal", "target", "native", "none", "mean", "median")
"""Choices, the plain ones first."""
FACTORS: Final = ("target", "encoding", "imputation")


@dataclass(frozen=True)
class Result:
    """The figures of a model on each fold.

    Attributes
    ----------
    folds : figures of each fold that was measured.
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

    def in_short(self, metric: str) -> str:
        """Return the mean error, or why there is none, in a few words."""
        return self.reason or f"{metric} {self.mean(metric):,.4g}"

    def figures(self) -> dict[str, float | list[float]]:
        """Return what MLflow keeps: of each figure the folds, their mean and its error."""
        names = (*FIGURES, "fit_seconds", "predict_seconds")
        figures: dict[str, float | list[float]] = {}
        if self.folds:
            figures |= {f"fold_{name}": self.values(name).tolist() for name in names}
        if not self.reason:
            figures |= {name: self.mean(name) for name in names}
            figures |= {f"{name}_se": self.standard_error(name) for name in FIGURES}
        return figures


@dataclass(frozen=True)
class Difference:
    """A mean difference of two candidates over the same folds, and its 95 % interval."""

    mean: float
    low: float
    high: float

    @property
    def is_distinct(self) -> bool:
        """Whether the folds tell the two apart: the interval leaves out zero."""
        return not self.low <= 0 <= self.high


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
    >>> difference.is_distinct
    True
    """
    from scipy.stats import t

    apart = one - other
    count = len(apart)
    spread = apart.std(ddof=1) * np.sqrt(1 / count + 1 / (count - 1))
    half = float(t.ppf((1 + CONFIDENCE) / 2, count - 1) * spread)
    mean = float(apart.mean())
    return Difference(mean, mean - half, mean + half)


@dataclass(frozen=True)
class Ranked:
    """A result at its place: ``behind`` is what it lacks to the best, None for the best itself."""

    result: Result
    behind: Difference | None

    @property
    def is_as_good(self) -> bool:
        """Whether the folds cannot tell it from the best."""
        return self.behind is None or not self.behind.is_distinct


def rank(results: Sequence[Result], metric: str) -> list[Ranked]:
    """Return the results that did not fail, the best first."""
    whole = sorted((one for one in results if not one.reason), key=lambda one: one.mean(metric))
    return [
        Ranked(
            one,
            paired_difference(one.values(metric), whole[0].values(metric)) if place else None,
        )
        for place, one in enumerate(whole)
    ]


def ranking_table(results: Sequence[Result], metric: str) -> pd.DataFrame:
    """Return one row a model, the best first, those that failed last with their reason."""
    rows = [_row(one, place, metric) for place, one in enumerate(rank(results, metric), start=1)]
    rows += [{**_choices(one), "reason": one.reason} for one in results if one.reason]
    return pd.DataFrame(rows)


def _choices(result: Result) -> dict[str, Any]:
    return {"candidate": result.name, **asdict(result.model), "folds": len(result.folds)}


def _row(ranked: Ranked, place: int, metric: str) -> dict[str, Any]:
    result, behind = ranked.result, ranked.behind or Difference(0.0, 0.0, 0.0)
    figures = {
        key: value
        for figure in FIGURES
        for key, value in (
            (figure, result.mean(figure)),
            (f"{figure}_se", result.standard_error(figure)),
        )
    }
    return {
        "place": place,
        **_choices(result),
        "as_good_as_the_best": ranked.is_as_good,
        f"{metric}_behind": behind.mean,
        f"{metric}_behind_low": behind.low,
        f"{metric}_behind_high": behind.high,
        **figures,
        "fit_seconds": result.mean("fit_seconds"),
        "predict_seconds": result.mean("predict_seconds"),
        "reason": "",
    }


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
    measured = [one for one in results if not one.reason]
    rows = [
        _change(choice, pair, metric)
        for pair in combinations(measured, 2)
        if (choice := _single_difference(pair[0].model, pair[1].model))
    ]
    columns = ("algorithm", "choice", "first", "second", "all_else", "change", "low", "high")
    return pd.DataFrame(rows, columns=[*columns, "distinct"])


def _change(choice: str, pair: tuple[Result, Result], metric: str) -> dict[str, Any]:
    def level(result: Result) -> str:
        return str(getattr(result.model, choice))

    first, second = sorted(pair, key=lambda one: LEVELS.index(level(one)))
    change = paired_difference(second.values(metric), first.values(metric))
    return {
        "algorithm": first.model.algorithm,
        "choice": choice,
        "first": level(first),
        "second": level(second),
        "all_else": first.name,
        "change": change.mean,
        "low": change.low,
        "high": change.high,
        "distinct": change.is_distinct,
    }


def _single_difference(one: ComparedModel, other: ComparedModel) -> str:
    """Return the only choice in which two models of an algorithm differ, or nothing."""
    differing = [factor for factor in FACTORS if getattr(one, factor) != getattr(other, factor)]
    return differing[0] if one.algorithm == other.algorithm and len(differing) == 1 else ""
