"""A model fitted and measured fold by fold. This is what runs in a process of its own."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from carprice.arrays import Progress
from carprice.errors import InputError
from carprice.experiments.candidates import ComparedModel, Metric
from carprice.experiments.data import Data
from carprice.experiments.time_limit import WorkFailed, run_with_time_limit
from carprice.listings.believed import believed_rows
from carprice.listings.frames import read_features, trust_of
from carprice.listings.market import Market
from carprice.metrics import price_metrics
from carprice.settings import TrainSettings

Rows = npt.NDArray[np.intp]
FEWEST_ROWS: Final = 10
"""Listings that a fold must have."""
_QUICK_TRAIN: Final = {"folds": 3}


@dataclass(frozen=True)
class CrossValidation:
    """How every model of an experiment is measured.

    Attributes
    ----------
    train : parameters of the package's own model; its seed is that of folds and algorithms.
    quick : whether to fit fewer trees, and the package's own model on fewer inner folds.
    seconds : the longest time that all folds of a model may take.
    """

    train: TrainSettings
    folds: int
    quick: bool
    metric: str
    seconds: float

    @property
    def train_used(self) -> TrainSettings:
        """The parameters of the package's own model, as it is fitted."""
        return self.train.model_copy(update=_QUICK_TRAIN) if self.quick else self.train

    @property
    def params(self) -> dict[str, Any]:
        """What MLflow shows of it."""
        return {
            "folds": self.folds,
            "seed": self.train.seed,
            "quick": self.quick,
            "metric": self.metric,
            "seconds_per_candidate": self.seconds,
        }

    def parameters(self, model: ComparedModel) -> dict[str, Any]:
        """Return the parameters of a model's algorithm."""
        content = self.train_used.model_dump()
        if model.algorithm == "hedonic":
            return {"hedonic": content["hedonic"]}
        if model.tuned:
            return {"choices": model.choices(quick=self.quick)}
        return content if model.algorithm == "carprice" else model.parameters(quick=self.quick)

    def measure(
        self, model: ComparedModel, data: Data, progress: Progress, place: str
    ) -> Iterator[dict[str, float]]:
        """Yield the figures of each fold, measured in a process of its own.

        Parameters
        ----------
        progress : is told of each fold after ``place``.

        Raises
        ------
        WorkFailed
            If a fit fails, its process dies, or the time is up.
        """
        progress(f"{place}, fold 1 of {self.folds}")
        task = (model, data.file, data.market, self)
        measured = run_with_time_limit(measure_folds, task, self.seconds)
        for following, figures in enumerate(measured, start=2):
            yield figures
            progress(f"{place}, fold {min(following, self.folds)} of {self.folds}")


def shuffled_folds(
    rows: int, count: int, seed: int, cars: Rows | None = None
) -> list[tuple[Rows, Rows]]:
    """Return the rows to learn from and to price, for each of ``count`` shuffled folds.

    The same rows, cars, count and seed give the same folds, in any process.

    Parameters
    ----------
    cars : the number of each row's car, whose rows are in one fold; None where every row is
        another car.

    Raises
    ------
    InputError
        If there are too few cars for so many folds.

    Examples
    --------
    >>> [(len(learned), len(priced)) for learned, priced in shuffled_folds(50, 3, seed=0)]
    [(33, 17), (33, 17), (34, 16)]
    """
    names, cars = np.unique(np.arange(rows) if cars is None else cars, return_inverse=True)
    number, what = len(names), "training listings" if len(names) == rows else "different cars"
    if number < FEWEST_ROWS * count:
        raise InputError(
            f"{number} {what} are too few for {count} folds of {FEWEST_ROWS} or more; "
            f"give --folds {max(number // FEWEST_ROWS, 2)}, or more listings"
        )
    from sklearn.model_selection import KFold

    split = KFold(count, shuffle=True, random_state=seed).split(np.empty(number))
    held_out = (np.isin(cars, priced) for _, priced in split)
    return [(np.flatnonzero(~one), np.flatnonzero(one)) for one in held_out]


def measure_folds(
    model: ComparedModel, file: Path, market: Market, how: CrossValidation
) -> Iterator[dict[str, float]]:
    """Fit on all but one fold and price that fold, for each fold in turn; yield its figures.

    The figures are of the rows whose price ingest believes; all others may be learned from.

    Parameters
    ----------
    file : features and target, as :func:`carprice.listings.frames.write_features` writes them.

    Raises
    ------
    WorkFailed
        If an error is no finite number.
    """
    from carprice.experiments.estimators import fit  # here alone: the parent needs no scikit-learn

    features, log_price = read_features(file)
    folds = shuffled_folds(len(log_price), how.folds, how.train.seed, features.cars)
    trust = trust_of(file)
    are_believed = trust is not None and bool((trust == 1).all())  # as ingest.junk: believe has it
    for learned, rows in folds:
        priced = rows if trust is None else rows[believed_rows(trust[rows])]
        start = time.perf_counter()
        known = features.take(learned)
        predict = fit(
            *(model, known, log_price[learned], market, how.train_used),
            quick=how.quick,
            trust=np.ones(len(learned)) if are_believed else None,
        )
        fitted = time.perf_counter()
        predicted = predict(features.take(priced))
        ended = time.perf_counter()
        figures = price_metrics(np.exp(log_price[priced]), predicted)
        for name in Metric:
            if not np.isfinite(figures[name]):
                raise WorkFailed(f"no finite error: {name} is {figures[name]:g}")
        yield {**figures, "fit_seconds": fitted - start, "predict_seconds": ended - fitted}
