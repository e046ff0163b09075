"""Two ensembles of trees, and how much of each: a correction of the ridge, and a second opinion.

Residual trees learn what the ridge leaves of ln(price). Direct trees learn ln(price) itself, and
know make, model and variant only by what the ridge of other rows says of them. The price is

    ln p = (1 - share) (ridge + residual trees) + share (mean + direct trees),

with the share that has the smallest out-of-fold error (a stacked regression, Breiman 1996).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import numpy as np

from carprice.arrays import Codes, Each, Floats, Progress, in_turn
from carprice.model.booster import Booster, Part, cross_fit, fit_all, fit_beside
from carprice.model.encoder import Encoder, Matrix

if TYPE_CHECKING:
    from xgboost import XGBRegressor

    from carprice.settings import BoosterSettings, TrainSettings

T = TypeVar("T")
_Fit: TypeAlias = "Callable[[], XGBRegressor]"
_FOLDS: Final = 5
_SHARES: Final = np.arange(17) / 20
_FEW_CARS: Final = 6_000
_MANY_CARS: Final = 24_000
_COMMON: Final = {"subsample": 0.7}
_RESIDUAL: Final = {"n_estimators": 500, "min_child_weight": 8, "reg_lambda": 3}
_DIRECT: Final = {"n_estimators": 300, "min_child_weight": 5, "reg_lambda": 1}


def parameters_of(
    settings: "BoosterSettings", cars: float
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return XGBoost's parameters of the residual trees and of the direct trees.

    What the settings leave open goes by the number of cars: up to 6,000 shallow trees and small
    steps, from 24,000 on deep ones and large steps, and in between by its logarithm.

    Examples
    --------
    >>> from carprice.settings import BoosterSettings
    >>> for cars in (300, 12_000, 1_000_000):
    ...     both = parameters_of(BoosterSettings(), cars)
    ...     [(one["max_depth"], round(one["learning_rate"], 3)) for one in both]
    [(4, 0.03), (6, 0.05)]
    [(6, 0.049), (7, 0.063)]
    [(7, 0.08), (8, 0.08)]
    """
    many = math.log(max(cars, 1) / _FEW_CARS) / math.log(_MANY_CARS / _FEW_CARS)
    many = min(max(many, 0.0), 1.0)
    residual = {
        "max_depth": round(4 + 3 * many),
        "learning_rate": 0.03 * (0.08 / 0.03) ** many,
        "colsample_bytree": 0.4 + 0.1 * many,
    }
    direct = {
        "max_depth": round(6 + 2 * many),
        "learning_rate": 0.05 * (0.08 / 0.05) ** many,
        "colsample_bytree": 0.4,
    }
    both = settings.given()
    return (
        _COMMON | _RESIDUAL | residual | both | settings.residual.given(),
        _COMMON | _DIRECT | direct | both | settings.direct.given(),
    )


@dataclass(frozen=True)
class TreeData:
    """What trees are fitted to, one entry a row.

    Attributes
    ----------
    matrix : rows × columns of :class:`carprice.model.encoder.TreeRows`.
    ridge : out-of-fold ln(price) of the ridge.
    cars : one part of the row's car: what it counts.
    tails : how much a row counts for the residual trees beside that.
    folds : the fold of the row in the ridge, from 0.
    """

    matrix: Matrix
    log_price: Floats
    ridge: Floats
    cars: Floats
    tails: Floats
    folds: Codes

    @property
    def tree_folds(self) -> Codes:
        """The folds that cross-fit trees: at most five, each of whole folds of the ridge."""
        return self.folds % _FOLDS


@dataclass(frozen=True)
class Blend:
    """What was fitted.

    Attributes
    ----------
    booster : both ensembles in one: (1 - share) × residual trees + share × direct trees.
    share : of the direct trees in ln(price).
    held_out : out-of-fold ln(price) of the rows by which trees are chosen.
    importance : each column's share of the trees' total gain, weighted as the price is.
    """

    booster: Booster
    share: float
    held_out: Floats
    importance: dict[str, float]


def fit_trees(
    data: TreeData,
    some: Codes,
    others: Codes | None,
    start: float,
    encoder: Encoder,
    settings: "TrainSettings",
    progress: Progress,
    each: Each | None = None,
) -> Blend:
    """Fit both ensembles, and choose the numbers of their trees and the share.

    Parameters
    ----------
    some : the rows by which the numbers of trees and the share are chosen.
    others : the rows that are learned from, none of a car of the former ones; None where trees
        without each fold of these choose, and then all rows are learned from.
    start : the ln(price) that the direct trees start from.
    each : a cluster's, for a fit on each worker; None to fit one after another here.
    """
    columns = data.matrix.shape[1]
    parameters = parameters_of(settings.booster, data.cars.sum())
    mean = np.full(len(data.log_price), start)

    def choose_residual() -> tuple[_Fit, Floats]:
        progress("residual trees")
        return _fit(
            *(data, some, others, data.ridge, data.cars * data.tails),
            *(encoder, encoder.residual, parameters[0], settings, each),
        )

    def choose_direct() -> tuple[_Fit, Floats]:
        progress("direct trees")
        return _fit(
            *(data, some, others, mean, data.cars),
            *(encoder, encoder.direct, parameters[1], settings, each),
        )

    (residual, corrected), (direct, opinion) = _called([choose_residual, choose_direct], each)
    share = best_share(data.log_price[some], corrected, opinion, data.cars[some])
    of_each = (1 - share, residual, encoder.residual), (share, direct, encoder.direct)
    kept = [one for one in of_each if one[0]]
    fitted = _called([fit for _, fit, _ in kept], each)
    parts = [
        Part(trees, factor, places) for trees, (factor, _, places) in zip(fitted, kept, strict=True)
    ]
    importance = np.zeros(columns)
    for part in parts:
        importance[[*part.places]] += part.factor * part.trees.feature_importances_
    return Blend(
        booster=Booster.sum_of(parts, columns),
        share=share,
        held_out=(1 - share) * corrected + share * opinion,
        importance=dict(zip(encoder.columns, importance.tolist(), strict=True)),
    )


def _called(functions: "Sequence[Callable[[], T]]", each: Each | None) -> list[T]:
    """Return what functions return; they wait beside each other for a cluster, or compute here."""
    if each is None:
        return [function() for function in functions]
    pool = ThreadPoolExecutor()
    try:
        return [*pool.map(lambda function: function(), functions)]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _fit(
    data: TreeData,
    some: Codes,
    others: Codes | None,
    base: Floats,
    weights: Floats,
    encoder: Encoder,
    places: Sequence[int],
    parameters: Mapping[str, Any],
    settings: "TrainSettings",
    each: Each | None,
) -> tuple[_Fit, Floats]:
    """Find how many trees tell best what ``base`` leaves of ln(price).

    Returns
    -------
    tuple
        What fits the trees, and the held-out ln(price) of some rows.
    """
    matrix, seed, run = np.ascontiguousarray(data.matrix[:, places]), settings.seed, each or in_turn
    target = data.log_price - base
    directions = [encoder.directions[place] for place in places]
    if others is not None:
        given = (matrix, target, weights, some, parameters, settings.patience, seed, directions)
        ((trees, told),) = run(fit_beside, [others], *given)
        return (lambda: trees), base[some] + told
    found = cross_fit(
        *(matrix[some], target[some], data.tree_folds[some], parameters, settings.patience, seed),
        directions=directions,
        weights=weights[some],
        each=each,
    )

    def fit() -> "XGBRegressor":
        chosen = {**parameters, "n_estimators": found.n_estimators}
        (trees,) = run(fit_all, [chosen], matrix, target, weights, seed, directions)
        return trees

    return fit, base[some] + found.held_out


def best_share(log_price: Floats, corrected: Floats, direct: Floats, cars: Floats) -> float:
    """Return the share of a second opinion with which ln(price) is closest on average.

    Examples
    --------
    >>> truth, cars = np.zeros(2), np.ones(2)
    >>> best_share(truth, np.array([0.1, -0.1]), np.array([-0.3, 0.3]), cars)
    0.25
    """
    errors = [
        np.average(np.abs((1 - share) * corrected + share * direct - log_price), weights=cars)
        for share in _SHARES
    ]
    return float(_SHARES[np.argmin(errors)])
