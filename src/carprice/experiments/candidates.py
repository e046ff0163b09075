"""The models of the comparison: algorithm, target, encoding of categories, imputation.

A table to read. Only combinations that make sense are in it: a ridge has no order to follow in
ordinal codes, and only gradient boosting takes categories as they are.
"""

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any, Final

from carprice.errors import InputError

EXTRA: Final = "pip install 'carprice[experiments]'"
OWN: Final = "own"
"""Encoding or imputation that belongs to the algorithm."""
_OF_EXTRA: Final = ("catboost", "lightgbm")
"""Algorithms whose package is one of the extra's."""

_TREES: Final = {"n_estimators": 900, "learning_rate": 0.03}
_SAMPLED: Final = {"subsample": 0.8, "colsample_bytree": 0.5}
_LEAVES: Final = {"num_leaves": 31, "min_child_samples": 10, "cat_smooth": 10, "cat_l2": 10}
PARAMETERS: Final[Mapping[str, Mapping[str, Any]]] = {
    "ridge": {"alpha": 1.0},
    # The pipeline of the reference system: some fields of a listing, and no care.
    "reference": {"n_estimators": 300},
    "forest": {"n_estimators": 200, "min_samples_leaf": 2, "max_features": 0.33},
    "xgboost": {**_TREES, **_SAMPLED, "max_depth": 6, "min_child_weight": 5},
    "lightgbm": {**_TREES, **_SAMPLED, "subsample_freq": 1, **_LEAVES},
    "catboost": {"iterations": 900, "learning_rate": 0.06, "depth": 6, "l2_leaf_reg": 3},
}
"""Parameters of the algorithms for which neither their library's nor params.yaml's are taken."""
TUNED: Final[Mapping[str, Sequence[Mapping[str, Any]]]] = {
    "xgboost": ({"max_depth": 6}, {"max_depth": 9}, {"max_depth": 9, "min_child_weight": 20}),
    "lightgbm": ({"num_leaves": 31}, {"num_leaves": 95}, {"num_leaves": 95, "cat_smooth": 50}),
    "catboost": ({"depth": 6}, {"depth": 8}, {"depth": 8, "l2_leaf_reg": 10}),
}
"""What a tuned candidate chooses among, with the number of trees, on a fifth of its own rows."""
MOST_TREES: Final = 5_000
PATIENCE: Final = 100
"""Trees at most of a tuned candidate, and how many without gain end its search."""
QUICK: Final[Mapping[str, Mapping[str, Any]]] = {
    "forest": {"n_estimators": 60},
    "xgboost": {"n_estimators": 300, "learning_rate": 0.08},
    "lightgbm": {"n_estimators": 300, "learning_rate": 0.08},
    "catboost": {"iterations": 250, "learning_rate": 0.15},
}
"""What ``--quick`` changes of them."""


class Metric(StrEnum):
    """Errors that candidates and trials are ranked by; the smaller, the better."""

    MAPE = "mape"
    MDAPE = "mdape"
    RMSLE = "rmsle"
    MAE = "mae"
    RMSE = "rmse"


@dataclass(frozen=True)
class ComparedModel:
    """A model that experiments compare: an algorithm, and what its input and target are made into.

    Attributes
    ----------
    target : what is learned: ``raw`` price or ``log`` price.
    tuned : whether parameters and number of trees are chosen on a fifth of the rows learned from.
    encoding : of categories: ``one-hot``, ``ordinal``, ``target`` (their mean target, cross-fitted
        on the training rows), ``native`` (as the algorithm takes categories) or ``own``.
    imputation : of unknown numbers: ``mean``, ``median``, ``none`` or ``own``.
    """

    algorithm: str
    target: str = "log"
    encoding: str = OWN
    imputation: str = OWN
    tuned: bool = False

    @property
    def name(self) -> str:
        """The choices, joined by slashes.

        Examples
        --------
        >>> ComparedModel("ridge", "raw", "one-hot", "mean").name, ComparedModel("hedonic").name
        ('ridge/raw/one-hot/mean', 'hedonic/log')
        """
        choices = (self.algorithm, self.target, self.encoding, self.imputation)
        name = "/".join(choice for choice in choices if choice != OWN)
        return f"{name}/tuned" if self.tuned else name

    @property
    def is_installed(self) -> bool:
        """Whether the package that it needs can be imported."""
        return (
            self.algorithm not in _OF_EXTRA or importlib.util.find_spec(self.algorithm) is not None
        )

    def parameters(self, *, quick: bool) -> dict[str, Any]:
        """Return the algorithm's parameters."""
        changed = QUICK.get(self.algorithm, {}) if quick else {}
        return {**PARAMETERS.get(self.algorithm, {}), **changed}

    def choices(self, *, quick: bool) -> list[dict[str, Any]]:
        """Return the parameters that a tuned candidate chooses among."""
        base, sets = self.parameters(quick=quick), TUNED[self.algorithm]
        return [{**base, **changed} for changed in (sets[:1] if quick else sets)]


BASELINES: Final = (
    ComparedModel("median", "raw"),
    ComparedModel("model-median", "raw"),
    ComparedModel("linear", "raw", "one-hot", "median"),
    ComparedModel("xgboost-default", "raw", "one-hot", "none"),
)

COMPARED: Final = (
    ComparedModel("hedonic"),
    ComparedModel("carprice"),
    ComparedModel("ridge", "raw", "one-hot", "median"),
    ComparedModel("ridge", "log", "one-hot", "median"),
    ComparedModel("ridge", "log", "one-hot", "mean"),
    ComparedModel("ridge", "log", "target", "median"),
    ComparedModel("reference", "raw", "one-hot", "none"),
    ComparedModel("reference", "log", "one-hot", "none"),
    ComparedModel("forest", "raw", "ordinal", "none"),
    ComparedModel("forest", "log", "ordinal", "none"),
    ComparedModel("forest", "log", "ordinal", "median"),
    ComparedModel("forest", "log", "target", "none"),
    ComparedModel("xgboost", "raw", "one-hot", "none"),
    ComparedModel("xgboost", "log", "one-hot", "none"),
    ComparedModel("xgboost", "log", "one-hot", "mean"),
    ComparedModel("xgboost", "log", "one-hot", "median"),
    ComparedModel("xgboost", "log", "ordinal", "none"),
    ComparedModel("xgboost", "log", "target", "none"),
    ComparedModel("xgboost", "raw", "native", "none"),
    ComparedModel("xgboost", "log", "native", "none"),
    ComparedModel("lightgbm", "raw", "native", "none"),
    ComparedModel("lightgbm", "log", "native", "none"),
    ComparedModel("lightgbm", "log", "native", "median"),
    ComparedModel("lightgbm", "log", "ordinal", "none"),
    ComparedModel("lightgbm", "log", "target", "none"),
    ComparedModel("catboost", "raw", "native", "none"),
    ComparedModel("catboost", "log", "native", "none"),
    ComparedModel("catboost", "log", "ordinal", "none"),
    ComparedModel("xgboost", "log", "native", "none", tuned=True),
    ComparedModel("lightgbm", "log", "native", "none", tuned=True),
    ComparedModel("catboost", "log", "native", "none", tuned=True),
)


def choose(table: Sequence[ComparedModel], wanted: Sequence[str]) -> tuple[ComparedModel, ...]:
    """Return the candidates of an algorithm, a name or a pattern of names; all without any.

    Raises
    ------
    InputError
        If one of the names fits nothing.

    Examples
    --------
    >>> [one.name for one in choose(COMPARED, ["hedonic", "ridge/raw/*"])]
    ['hedonic/log', 'ridge/raw/one-hot/median']
    """

    def fits(one: ComparedModel, pattern: str) -> bool:
        return one.algorithm == pattern or fnmatchcase(one.name, pattern)

    for pattern in wanted:
        if not any(fits(one, pattern) for one in table):
            algorithms = ", ".join(dict.fromkeys(one.algorithm for one in table))
            raise InputError(
                f"--only {pattern!r} fits no candidate; the algorithms are {algorithms}, and a "
                f"candidate's name is like {table[-1].name!r}"
            )
    return tuple(one for one in table if not wanted or any(fits(one, each) for each in wanted))
