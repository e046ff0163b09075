"""A set of candidates measured, ranked, drawn and kept: the experiments baseline and comparison."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from carprice.arrays import Progress
from carprice.experiments.data import Data
from carprice.experiments.folds import shuffled_folds
from carprice.experiments.pictures import draw_error_and_time, draw_ranking
from carprice.experiments.race import Plan, run_candidates, run_name, tags_of
from carprice.experiments.ranking import (
    Result,
    choices_table,
    folds_table,
    rank,
    ranking_table,
)
from carprice.experiments.tracked import Clock, open_parent
from carprice.files import writing
from carprice.registry.provenance import git_tags

BASELINE = "baseline"
COMPARISON = "comparison"


@dataclass(frozen=True)
class Outcome:
    """What an experiment came to.

    Attributes
    ----------
    results : of every candidate, in the order of the plan.
    ranking, choices : see :mod:`carprice.experiments.ranking`.
    files : tables and pictures that were written.
    resumed : whether a part of it was done by an earlier call.
    """

    results: tuple[Result, ...]
    ranking: pd.DataFrame
    choices: pd.DataFrame
    files: tuple[Path, ...]
    resumed: bool


def hold(
    plan: Plan,
    data: Data,
    *,
    uri: str,
    workdir: Path,
    out: Path,
    clock: Clock,
    progress: Progress,
    done: Progress,
) -> Outcome:
    """Measure the candidates of a plan, write tables and pictures, and log it all to MLflow.

    Parameters
    ----------
    uri : of the MLflow server or database.
    workdir : below which a local database keeps its artifacts.
    out : folder for tables and pictures.
    done : is told of each candidate that was measured or failed.

    Raises
    ------
    InputError
        If there are too few listings for so many folds.
    RefusedError
        If MLflow does not answer, no candidate came to an end, or another process does the same.
    """
    shuffled_folds(len(data.log_price), plan.folds, plan.train.seed)
    parent = open_parent(
        uri,
        plan.experiment,
        workdir,
        name=run_name(plan.experiment, data.source, clock()),
        plan=plan.digest(data),
        params=_params(plan, data),
        tags={**tags_of(data), **git_tags(Path())},
        now=clock,
    )
    results = run_candidates(plan, data, parent, progress, done)
    progress("tables and pictures")
    tables = {
        "ranking": ranking_table(results, plan.metric),
        "folds": folds_table(results),
        "choices": choices_table(results, plan.metric),
    }
    files = [*_write(tables, out), *_draw(results, plan.metric, data, out)]
    parent.log(_figures(results, plan.metric), tables, files, note(tables["ranking"], plan, data))
    parent.finish()
    return Outcome(
        tuple(results), tables["ranking"], tables["choices"], tuple(files), parent.resumed
    )


def _params(plan: Plan, data: Data) -> dict[str, Any]:
    return {
        "source": data.source,
        "rows": len(data.log_price),
        "folds": plan.folds,
        "seed": plan.train.seed,
        "metric": plan.metric,
        "quick": plan.quick,
        "candidates": len(plan.candidates),
        "seconds_per_candidate": plan.limits.seconds,
        "megabytes_per_candidate": plan.limits.megabytes,
    }


def _figures(results: Sequence[Result], metric: str) -> dict[str, float | Sequence[float]]:
    ranked = rank(results, metric)
    return {
        f"best_{metric}": ranked[0].result.mean(metric),
        "finished": float(len(ranked)),
        "failed": float(len(results) - len(ranked)),
        "as_good_as_the_best": float(sum(one.is_as_good for one in ranked)),
    }


def _write(tables: dict[str, pd.DataFrame], out: Path) -> list[Path]:
    files = []
    for name, table in tables.items():
        if len(table):
            with writing(out / f"{name}.csv") as path:
                table.to_csv(path, index=False, lineterminator="\n")
            files.append(out / f"{name}.csv")
    return files


def _draw(results: Sequence[Result], metric: str, data: Data, out: Path) -> list[Path]:
    ranked = rank(results, metric)
    files = [out / "error_and_time.png", out / "behind_the_best.png"]
    with writing(files[0]) as path:
        draw_error_and_time(ranked, metric, data.market.currency, path)
    with writing(files[1]) as path:
        draw_ranking(ranked, metric, data.market.currency, path)
    return files


def note(ranking: pd.DataFrame, plan: Plan, data: Data) -> str:
    """Return the ranking as Markdown, which MLflow's pages show as the run's description."""
    metric = plan.metric
    lines = [
        f"{len(data.log_price):,} listings of `{data.source}`, {plan.folds} shuffled folds of seed "
        f"{plan.train.seed}, the same for all. Mean {metric} over the folds ± standard error; "
        f"**=** marks what the folds cannot tell from the best (corrected resampled t-test, 95 %).",
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
