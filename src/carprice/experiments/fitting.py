"""A candidate fitted and measured fold by fold. This is what runs in a process of its own."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from carprice.experiments.candidates import Candidate
from carprice.experiments.estimators import fit
from carprice.experiments.folds import shuffled_folds
from carprice.experiments.limits import Failed
from carprice.experiments.ranking import METRICS
from carprice.listings.frames import read_features
from carprice.listings.market import Market
from carprice.metrics import price_metrics
from carprice.settings import TrainSettings


@dataclass(frozen=True)
class Task:
    """What a process needs to know to fit a candidate.

    Attributes
    ----------
    file : features and target, as :func:`carprice.listings.frames.write_features` writes them.
    train : parameters of the package's own model, and the seed of folds and algorithms.
    folds : their number.
    """

    candidate: Candidate
    file: Path
    market: Market
    train: TrainSettings
    folds: int
    quick: bool


def measure_folds(task: Task) -> Iterator[dict[str, float]]:
    """Fit on all but one fold and price that, for each fold in turn.

    Yields
    ------
    dict
        What :func:`carprice.metrics.price_metrics` says of the fold, ``fit_seconds``, and
        ``predict_seconds`` for all rows of the fold.

    Raises
    ------
    Failed
        If an error is no finite number.
    """
    features, log_price = read_features(task.file)
    for learned, priced in shuffled_folds(len(log_price), task.folds, task.train.seed):
        start = time.perf_counter()
        predict = fit(
            task.candidate,
            features.take(learned),
            log_price[learned],
            task.market,
            task.train,
            quick=task.quick,
        )
        fitted = time.perf_counter()
        told = predict(features.take(priced))
        ended = time.perf_counter()
        figures = price_metrics(np.exp(log_price[priced]), told)
        _refuse_not_finite(figures)
        yield {
            **figures,
            "fit_seconds": fitted - start,
            "predict_seconds": ended - fitted,
        }


def _refuse_not_finite(figures: Mapping[str, float]) -> None:
    for name in METRICS:
        if not np.isfinite(figures[name]):
            raise Failed(f"no finite error: {name} is {figures[name]:g}", 0.0)
