"""Models measured one after the other on the same folds, ranked, drawn and kept in MLflow."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from carprice import __version__
from carprice.arrays import Progress
from carprice.errors import RefusedError
from carprice.experiments.candidates import EXTRA, ComparedModel
from carprice.experiments.data import Data
from carprice.experiments.fitting import CrossValidation, shuffled_folds
from carprice.experiments.pictures import draw_error_and_time, draw_ranking
from carprice.experiments.ranking import (
    Result,
    choices_table,
    folds_table,
    rank,
    ranking_table,
)
from carprice.experiments.time_limit import WorkFailed
from carprice.experiments.tracked import ParentRun, Reporting, open_parent
from carprice.files import writing
from carprice.registry.tracking import flatten

BASELINE: Final = "baseline"
COMPARISON: Final = "comparison"


@dataclass(frozen=True)
class Plan:
    """Which models are compared, and how. The same plan goes on where it was interrupted.

    Attributes
    ----------
    experiment : its name in MLflow.
    """

    experiment: str
    models: tuple[ComparedModel, ...]
    how: CrossValidation

    def digest(self, data: Data) -> str:
        """Return what names the plan on these data: all but the time limit and the metric."""
        how = self.how
        content = {
            "version": __version__,
            "experiment": self.experiment,
            "data": [data.market.data_digest, len(data.log_price)],
            "candidates": {one.name: how.parameters(one) for one in self.models},
            "folds": [how.folds, how.train.seed],
            "quick": how.quick,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def params(self) -> dict[str, Any]:
        """Return what MLflow shows of how models are measured."""
        return {
            "folds": self.how.folds,
            "seed": self.how.train.seed,
            "quick": self.how.quick,
            "seconds_per_candidate": self.how.seconds,
        }


@dataclass(frozen=True)
class ComparisonReport:
    """What a comparison found.

    Attributes
    ----------
    results : of every model, in the order of the plan.
    ranking, choices : see :mod:`carprice.experiments.ranking`.
    files : tables and pictures that were written.
    resumed : whether a part of it was done by an earlier call.
    """

    results: tuple[Result, ...]
    ranking: pd.DataFrame
    choices: pd.DataFrame
    files: tuple[Path, ...]
    resumed: bool


def compare_models(plan: Plan, data: Data, to: Reporting) -> ComparisonReport:
    """Measure the models of a plan, write tables and pictures, and log it all to MLflow.

    Raises
    ------
    InputError
        If there are too few listings for so many folds.
    RefusedError
        If MLflow does not answer, no model could be measured, or on Ctrl-C, after which the same
        plan goes on from there.
    """
    how, metric = plan.how, plan.how.metric
    shuffled_folds(len(data.log_price), how.folds, how.train.seed)
    params = {
        "source": data.source,
        "rows": len(data.log_price),
        "metric": metric,
        "candidates": len(plan.models),
        **plan.params(),
    }
    parent = open_parent(
        to, plan.experiment, plan.experiment, data, plan=plan.digest(data), params=params
    )
    results = _measure_all(plan, data, parent, to)
    to.progress("tables and pictures")
    tables = {
        "ranking": ranking_table(results, metric),
        "folds": folds_table(results),
        "choices": choices_table(results, metric),
    }
    files = (*to.write(tables), *_draw(results, metric, data, to.out))
    ranked = rank(results, metric)
    figures = {
        f"best_{metric}": ranked[0].result.mean(metric),
        "finished": float(len(ranked)),
        "failed": float(len(results) - len(ranked)),
        "as_good_as_the_best": float(sum(one.is_as_good for one in ranked)),
    }
    parent.log(figures, tables, files, _note(tables["ranking"], plan, data))
    parent.finish()
    return ComparisonReport(
        tuple(results), tables["ranking"], tables["choices"], files, parent.resumed
    )


def _measure_all(plan: Plan, data: Data, parent: ParentRun, to: Reporting) -> list[Result]:
    """Measure every model; results of nested runs that finished before are taken from there."""
    known = parent.finished() if parent.resumed else {}
    parent.kill(*parent.running())
    results: list[Result] = []
    for number, model in enumerate(plan.models, start=1):
        if model.name in known:
            results.append(Result(model, tuple(known[model.name])))
            continue
        place = f"{number} of {len(plan.models)}: {model.name}"
        params = {
            **asdict(model),
            **plan.params(),
            **flatten(plan.how.parameters(model), "parameters."),
        }
        run = parent.begin(model.name, params)
        try:
            result = measure(model, plan.how, data, place, to.progress)
        except KeyboardInterrupt:
            parent.kill(run, parent.id)
            raise RefusedError(
                f"interrupted after {len(results)} of {len(plan.models)} candidates; the same "
                "command goes on from there"
            ) from None
        tags = {"reason": result.reason} if result.reason else {}
        parent.end(run, result, tags, failed=bool(result.reason))
        results.append(result)
        to.done(f"{place}: {result.in_short(plan.how.metric)}")
    if all(one.reason for one in results):
        parent.kill(parent.id)
        reasons = "; ".join(f"{one.name}: {one.reason}" for one in results)
        raise RefusedError(f"no candidate came to an end: {reasons}")
    return results


def measure(
    model: ComparedModel, how: CrossValidation, data: Data, place: str, progress: Progress
) -> Result:
    """Measure a model on every fold; where that fails, the result has the reason."""
    if not model.is_installed:
        return Result(model, (), f"{model.algorithm} is not installed; {EXTRA}")
    folds: list[dict[str, float]] = []
    progress(f"{place}, fold 1 of {how.folds}")
    try:
        for figures in how.measure(model, data):
            folds.append(figures)
            progress(f"{place}, fold {min(len(folds) + 1, how.folds)} of {how.folds}")
    except WorkFailed as failure:
        return Result(model, tuple(folds), f"{failure} (fold {len(folds) + 1} of {how.folds})")
    return Result(model, tuple(folds))


def _draw(results: Sequence[Result], metric: str, data: Data, out: Path) -> list[Path]:
    pictures = {
        out / "error_and_time.png": draw_error_and_time,
        out / "behind_the_best.png": draw_ranking,
    }
    for file, draw in pictures.items():
        with writing(file) as path:
            draw(rank(results, metric), metric, data.market.currency, path)
    return [*pictures]


def _note(ranking: pd.DataFrame, plan: Plan, data: Data) -> str:
    """Return the ranking as Markdown, which MLflow's pages show as the run's description."""
    metric = plan.how.metric
    lines = [
        f"{len(data.log_price):,} listings of `{data.source}`, {plan.how.folds} shuffled folds of "
        f"seed {plan.how.train.seed}, the same for all. Mean {metric} over the folds ± standard "
        "error; **=** marks what the folds cannot tell from the best (corrected resampled t-test, "
        "95 %).",
        "",
        f"| | candidate | {metric} | behind the best | fit, s | |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in ranking.to_dict("records"):
        if row["reason"]:
            lines.append(f"| | {row['candidate']} | | | | {row['reason']} |")
        else:
            mark = "=" if row["as_good_as_the_best"] else ""
            lines.append(
                f"| {row['place']:.0f} | {row['candidate']} "
                f"| {row[metric]:.4g} ± {row[f'{metric}_se']:.2g} "
                f"| {row[f'{metric}_behind']:.3g} | {row['fit_seconds']:.2g} | {mark} |"
            )
    return "\n".join(lines)
