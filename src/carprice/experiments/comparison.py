"""Models measured one after the other on the same folds, ranked, drawn and kept in MLflow."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

from carprice import __version__
from carprice.arrays import Progress
from carprice.errors import RefusedError
from carprice.experiments import ranking
from carprice.experiments.candidates import EXTRA, ComparedModel
from carprice.experiments.data import Data
from carprice.experiments.fitting import CrossValidation, shuffled_folds
from carprice.experiments.pictures import draw_error_and_time, draw_ranking
from carprice.experiments.ranking import Result
from carprice.experiments.time_limit import WorkFailed
from carprice.experiments.tracked import ParentRun, Reporting, open_parent, plan_digest
from carprice.files import writing
from carprice.settings import flatten

BASELINE: Final = "baseline"
COMPARISON: Final = "comparison"


def plan_of(
    experiment: str, models: Sequence[ComparedModel], how: CrossValidation, data: Data
) -> str:
    """Return what names a comparison: all but the time limit and the metric."""
    plan = {
        "version": __version__,
        "experiment": experiment,
        "data": [data.market.data_digest, len(data.log_price), data.has_all_rows],
        "candidates": {one.name: how.parameters(one) for one in models},
        "folds": [how.folds, how.train.seed],
        "quick": how.quick,
    }
    return plan_digest(plan)


def compare_models(
    experiment: str,
    models: Sequence[ComparedModel],
    how: CrossValidation,
    data: Data,
    to: Reporting,
) -> tuple[list[Result], bool]:
    """Measure models, write tables and pictures, and log it all to MLflow.

    Return the result of every model, and whether this went on where an earlier call, on the same
    data and with the same models and parameters, was interrupted.

    Parameters
    ----------
    experiment : its name in MLflow.

    Raises
    ------
    InputError
        If there are too few listings for so many folds.
    RefusedError
        If MLflow does not answer, no model could be measured, or on Ctrl-C.
    """
    metric = how.metric
    shuffled_folds(len(data.log_price), how.folds, how.train.seed, data.features.cars)
    plan, params = plan_of(experiment, models, how, data), {"candidates": len(models), **how.params}
    parent = open_parent(to, experiment, experiment, data, plan=plan, params=params)
    results = _measure_all(models, how, data, parent, to)
    to.progress("tables and pictures")
    tables = {
        "ranking": ranking.ranking_table(results, metric),
        "folds": ranking.folds_table(results),
        "choices": ranking.choices_table(results, metric),
    }
    ranked = ranking.rank(results, metric)
    files = to.write(tables)
    for name, draw in (("error_and_time", draw_error_and_time), ("behind_the_best", draw_ranking)):
        files.append(to.out / f"{name}.png")
        with writing(files[-1]) as path:
            draw(ranked, metric, data.market.currency, path)
    figures = {
        f"best_{metric}": ranked[0][0].mean(metric),
        "finished": float(len(ranked)),
        "failed": float(len(results) - len(ranked)),
        "as_good_as_the_best": float(sum(not behind.is_distinct for _, behind in ranked)),
    }
    parent.log(figures, tables, files, _note(results, how, data))
    parent.finish()
    return results, parent.resumed


def _measure_all(
    models: Sequence[ComparedModel],
    how: CrossValidation,
    data: Data,
    parent: ParentRun,
    to: Reporting,
) -> list[Result]:
    """Measure every model; results of nested runs that finished before are taken from there."""
    known = parent.finished() if parent.resumed else {}
    parent.kill_running()
    results: list[Result] = []
    for number, model in enumerate(models, start=1):
        if model.name in known:
            results.append(Result(model, known[model.name]))
            continue
        place = f"{number} of {len(models)}: {model.name}"
        parameters = flatten(how.parameters(model), "parameters.")
        run = parent.begin(model.name, {**asdict(model), **how.params, **parameters})
        try:
            result = measure(model, how, data, place, to.progress)
        except KeyboardInterrupt:
            parent.kill(run, parent.id)
            raise RefusedError(
                f"interrupted after {len(results)} of {len(models)} candidates; the same "
                "command goes on from there"
            ) from None
        parent.end(run, result, "failed" if result.reason else "complete")
        results.append(result)
        to.done(f"{place}: {result.in_short(how.metric)}")
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
    try:
        for figures in how.measure(model, data, progress, place):
            folds.append(figures)  # noqa: PERF402 (those before a failure are kept)
    except WorkFailed as failure:
        return Result(model, tuple(folds), f"{failure} (fold {len(folds) + 1} of {how.folds})")
    return Result(model, tuple(folds))


def _note(results: Sequence[Result], how: CrossValidation, data: Data) -> str:
    """Return the ranking as Markdown, which MLflow's pages show as the run's description."""
    metric = how.metric
    rows = [
        *enumerate(ranking.ranking_rows(results, metric), start=1),
        *(("", (one.name, one.reason, "", "", "")) for one in results if one.reason),
    ]
    junk = ""
    if data.junk:
        junk = f" No error is of the {data.junk:,} prices that look like no car's (`ingest.junk`)."
    lines = [
        f"{len(data.log_price):,} listings of `{data.source}`, {how.folds} shuffled folds of "
        f"seed {how.train.seed}, the same for all. Mean {metric} over the folds ± standard "
        "error; behind the best ± 95 %; **=** marks what the folds cannot tell from the best "
        f"(corrected resampled t-test).{junk}",
        "",
        f"| | candidate | {metric} | behind the best | within 10 % | fit, s |",
        "| --- | --- | --- | --- | --- | --- |",
        *(f"| {' | '.join((str(place), *row))} |" for place, row in rows),
    ]
    return "\n".join(lines)
