"""Candidates fitted one after the other on the same folds, each in a process of its own."""

import datetime
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from carprice import __version__
from carprice.arrays import Progress
from carprice.errors import RefusedError
from carprice.experiments.candidates import EXTRA, Candidate
from carprice.experiments.data import Data
from carprice.experiments.fitting import Task, measure_folds
from carprice.experiments.limits import Failed, Limits, run_limited
from carprice.experiments.ranking import FIGURES, Result
from carprice.experiments.tracked import ParentRun
from carprice.registry.tracking import flatten
from carprice.settings import TrainSettings

_OWN_MODELS: Final = ("hedonic", "carprice")
_QUICK_TRAIN: Final = {"folds": 3}


@dataclass(frozen=True)
class Plan:
    """What is to be done. The same plan again goes on where it was left.

    Attributes
    ----------
    experiment : its name in MLflow.
    folds : number of folds that every candidate is measured on.
    train : parameters of the package's own model; its seed is that of folds and algorithms.
    metric : the error that candidates are ranked by; it is no part of the plan's digest.
    """

    experiment: str
    candidates: tuple[Candidate, ...]
    folds: int
    train: TrainSettings
    quick: bool
    limits: Limits
    metric: str = "mape"

    def digest(self, data: Data) -> str:
        """Return what names the plan on these data."""
        content = {
            "version": __version__,
            "experiment": self.experiment,
            "data": [data.market.data_digest, len(data.log_price)],
            "candidates": {
                one.name: params_of(one, self.train, quick=self.quick) for one in self.candidates
            },
            "folds": [self.folds, self.train.seed],
            "quick": self.quick,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def quick_train(train: TrainSettings, *, quick: bool) -> TrainSettings:
    """Return the model's parameters, with fewer inner folds where it is to be quick."""
    return train.model_copy(update=_QUICK_TRAIN) if quick else train


def params_of(candidate: Candidate, train: TrainSettings, *, quick: bool) -> dict[str, Any]:
    """Return the parameters of a candidate's algorithm."""
    if candidate.algorithm not in _OWN_MODELS:
        return candidate.parameters(quick=quick)
    content = quick_train(train, quick=quick).model_dump()
    return {"hedonic": content["hedonic"]} if candidate.algorithm == "hedonic" else content


def run_candidates(
    plan: Plan, data: Data, parent: ParentRun, progress: Progress, done: Progress
) -> list[Result]:
    """Measure every candidate; what failed is a result too, with its reason.

    Results of nested runs that finished before are taken from there.

    Parameters
    ----------
    done : is told of each candidate that was measured or failed.

    Raises
    ------
    RefusedError
        If not one candidate came to an end, and on Ctrl-C, after which the same plan goes on from
        there.
    """
    known = parent.finished() if parent.resumed else {}
    results: list[Result] = []
    for number, candidate in enumerate(plan.candidates, start=1):
        place = f"{number} of {len(plan.candidates)}: {candidate.name}"
        if candidate.name in known:
            results.append(_remembered(candidate, known[candidate.name]))
            continue
        try:
            results.append(_tracked(candidate, plan, data, parent, place, progress))
            done(f"{place}: {_in_short(results[-1], plan.metric)}")
        except KeyboardInterrupt:
            parent.kill(parent.id)
            raise RefusedError(
                f"interrupted after {len(results)} of {len(plan.candidates)} candidates; the same "
                "command goes on from there"
            ) from None
    if all(one.reason for one in results):
        parent.kill(parent.id)
        told = "; ".join(f"{one.name}: {one.reason}" for one in results)
        raise RefusedError(f"no candidate came to an end: {told}")
    return results


def _in_short(result: Result, metric: str) -> str:
    return result.reason or f"{metric} {result.mean(metric):,.4g}"


def _remembered(candidate: Candidate, content: dict[str, Any]) -> Result:
    return Result(candidate, tuple(content["folds"]), content["megabytes"])


def _tracked(
    candidate: Candidate,
    plan: Plan,
    data: Data,
    parent: ParentRun,
    place: str,
    progress: Progress,
) -> Result:
    params = {
        **asdict(candidate),
        "folds": plan.folds,
        "seed": plan.train.seed,
        "quick": plan.quick,
        "seconds_per_candidate": plan.limits.seconds,
        "megabytes_per_candidate": plan.limits.megabytes,
        **flatten(params_of(candidate, plan.train, quick=plan.quick), "parameters."),
    }
    run = parent.begin(candidate.name, params)
    try:
        result = measure(candidate, plan, data, lambda fold: progress(f"{place}, {fold}"))
    except KeyboardInterrupt:
        parent.kill(run)
        raise
    parent.end(
        run,
        figures_of(result),
        result=None if result.reason else result.to_json(),
        failed=result.reason,
    )
    return result


def measure(candidate: Candidate, plan: Plan, data: Data, progress: Progress) -> Result:
    """Fit and price every fold in a process of its own, within the plan's limits."""
    if not candidate.is_installed:
        reason = f"{candidate.algorithm} is not installed; {EXTRA}"
        return Result(candidate, (), 0.0, reason)
    task = Task(
        candidate,
        data.file,
        data.market,
        quick_train(plan.train, quick=plan.quick),
        plan.folds,
        plan.quick,
    )
    folds: list[dict[str, float]] = []
    megabytes = 0.0
    progress(f"fold 1 of {plan.folds}")
    try:
        for step in run_limited(measure_folds, (task,), plan.limits):
            folds.append(step.content)
            megabytes = step.megabytes
            progress(f"fold {min(len(folds) + 1, plan.folds)} of {plan.folds}")
    except Failed as failure:
        reason = f"{failure} (fold {len(folds) + 1} of {plan.folds})"
        return Result(candidate, tuple(folds), failure.megabytes, reason)
    return Result(candidate, tuple(folds), megabytes)


def figures_of(result: Result) -> dict[str, float | Sequence[float]]:
    """Return what MLflow keeps of a result: of each figure the folds, their mean and its error."""
    figures: dict[str, float | Sequence[float]] = {}
    names = (*FIGURES, "fit_seconds", "predict_seconds")
    if result.folds:
        figures |= {f"fold_{name}": result.values(name).tolist() for name in names}
    if not result.reason:
        figures |= {name: result.mean(name) for name in names}
        figures |= {f"{name}_se": result.standard_error(name) for name in FIGURES}
    return {**figures, "peak_megabytes": result.megabytes}


def tags_of(data: Data) -> dict[str, str]:
    """Return the tags that name the data."""
    return {"data_digest": data.market.data_digest, "raw_digest": data.raw_digest}


def run_name(what: str, source: str, now: datetime.datetime) -> str:
    """Return a name that a person finds the run by.

    Examples
    --------
    >>> run_name("compare", "data/raw/cars.csv", datetime.datetime(2025, 7, 1, 12, 5))
    'compare cars.csv 2025-07-01 12:05'
    """
    last = source.rstrip("/").rpartition("/")[2] or source
    return f"{what} {last} {now:%Y-%m-%d %H:%M}"
