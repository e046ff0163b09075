"""Experiments as commands: baselines, a comparison, and the tuning of the model."""

import inspect
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from carprice.arrays import quiet
from carprice.cli.app import (
    PARAMS,
    WORKDIR,
    AsJson,
    Params,
    Workdir,
    app,
    log_in,
    now,
    registry_uri,
)
from carprice.cli.terminal import console, say, step, table
from carprice.components.workspace import Workspace
from carprice.experiments.candidates import BASELINES, COMPARED, ComparedModel, Metric, choose
from carprice.experiments.search_space import Pruner, Sampler, require_optuna, space_of
from carprice.settings import Settings, load_settings

if TYPE_CHECKING:
    from carprice.experiments.data import Data
    from carprice.experiments.fitting import CrossValidation
    from carprice.experiments.ranking import Result
    from carprice.experiments.tracked import Reporting
    from carprice.experiments.tuning_report import Search, TuningReport

EXPERIMENTS: Final = "Experiments"
experiments = typer.Typer(
    help=(
        "Why the model is what it is: tracked experiments beside the pipeline.\n\nAll use the "
        "pipeline's training rows, cleaning, features and metrics on the same folds, go on where "
        "they were interrupted, and leave tables and pictures in reports/experiments/ and in "
        "MLflow.\n\nStart with `carprice experiments baseline --quick`."
    ),
    no_args_is_help=True,
)
app.add_typer(experiments, name="experiments", rich_help_panel=EXPERIMENTS)

_QUICK_ROWS: Final = 10_000
_FOLDS: Final = 5
_TRIALS: Final = 100
_QUICK_TRIALS: Final = 15
_QUICK_TIMEOUT: Final = 360.0
_QUICK_HELP: Final = f"For a first look: {_QUICK_ROWS:,} rows at most, fewer trees and inner folds."
_ROWS_HELP: Final = (
    "At most so many training rows, chosen at random by train.seed. Default: all, "
    f"{_QUICK_ROWS:,} with --quick."
)
_OUT_HELP: Final = "Folder for tables and pictures. Default: reports/experiments/… in the workdir."


@dataclass(frozen=True)
class _Options:
    """The options that all experiments share."""

    params: Params = PARAMS
    source: Annotated[
        str | None,
        typer.Option(
            "--source", "-s", help="Listings, instead of the params file's ingest.source."
        ),
    ] = None
    workdir: Workdir = WORKDIR
    quick: Annotated[bool, typer.Option("--quick", help=_QUICK_HELP)] = False
    rows: Annotated[int | None, typer.Option(min=100, show_default=False, help=_ROWS_HELP)] = None
    folds: Annotated[
        int,
        typer.Option(min=2, max=50, help="Shuffled folds, the same for all; seed: train.seed."),
    ] = _FOLDS
    metric: Annotated[Metric, typer.Option(help="Error that decides.")] = Metric.MAPE
    seconds_per_candidate: Annotated[
        float, typer.Option(min=1, help="Time for all folds of one candidate or trial.")
    ] = 900.0
    out: Annotated[Path | None, typer.Option("--out", "-o", show_default=False, help=_OUT_HELP)] = (
        None
    )

    def folder(self, experiment: str) -> Path:
        return self.out or self.workdir / "reports" / "experiments" / experiment

    def settings(self) -> Settings:
        settings = load_settings(self.params, source=self.source)
        log_in(settings, Workspace(self.workdir))
        return settings

    def cross_validation(self, settings: Settings) -> "CrossValidation":
        from carprice.experiments.fitting import CrossValidation

        return CrossValidation(
            settings.train, self.folds, self.quick, self.metric, self.seconds_per_candidate
        )

    @contextmanager
    def running(
        self, experiment: str, settings: Settings, *, all_rows: bool = False
    ) -> "Iterator[tuple[Data, Reporting]]":
        """Read the listings, and show how far the experiment is until the block ends."""
        from carprice.experiments.data import read_data
        from carprice.experiments.tracked import Reporting

        workspace = Workspace(self.workdir)
        with (
            step(experiment) as progress,
            tempfile.TemporaryDirectory(prefix="carprice-") as folder,
        ):
            most = self.rows or (_QUICK_ROWS if self.quick else None)
            data = read_data(
                settings, Path(folder), progress, most, workspace.snapshot, all_rows=all_rows
            )
            if data.junk:
                say(
                    f"{data.junk:,} of {len(data.log_price):,} prices look like no car's price: "
                    "all candidates may learn from them, and no error is of them."
                )
            if len(data.makes) == 1:
                say(
                    f"All {len(data.log_price):,} listings are of one make ({data.makes[0]}): what "
                    "is found holds for it alone."
                )
            yield (
                data,
                Reporting(
                    uri=registry_uri(settings, workspace),
                    workdir=self.workdir,
                    out=self.folder(experiment),
                    clock=now,
                    progress=progress,
                    done=quiet if console.is_terminal else say,
                    say=say,
                ),
            )


def _experiment(command: Callable[..., None]) -> Callable[..., None]:
    """Register a command whose first argument is made of the options that all share."""
    shared = inspect.signature(_Options).parameters
    _, *own = inspect.signature(command).parameters.values()

    def run(**given: Any) -> None:
        command(_Options(**{name: given.pop(name) for name in shared}), **given)

    run.__signature__ = inspect.Signature([*shared.values(), *own])  # type: ignore[attr-defined]
    experiments.command(command.__name__, help=inspect.getdoc(command))(run)
    return command


Only = Annotated[
    list[str] | None,
    typer.Option(help="An algorithm, a candidate's name or a pattern of names; may be repeated."),
]


@_experiment
def baseline(options: _Options, only: Only = None) -> None:
    """Measure simple baselines: medians, a linear model, XGBoost with its own defaults.

    A model that does not beat these is not worth its cost.

    MLflow experiment: baseline.
    """
    from carprice.experiments.comparison import BASELINE

    _compare(options, BASELINE, BASELINES, only)


@_experiment
def compare(
    options: _Options,
    only: Only = None,
    all_rows: Annotated[
        bool,
        typer.Option(
            "--all-rows",
            help="The pipeline's test rows too: for a last comparison, by which nothing is chosen.",
        ),
    ] = False,
) -> None:
    """Compare algorithms × target × encoding of categories × imputation on the same folds.

    Ridge, random forest, XGBoost, LightGBM, CatBoost, the reference system's pipeline
    (`reference`), the hedonic ridge alone (`hedonic`) and the model of the params file
    (`carprice`). Names are algorithm/target/encoding/imputation: `--only lightgbm --only
    'xgboost/log/*'` takes some of them. One that fails, or runs out of time, is a row with its
    reason.

    LightGBM and CatBoost come with the package's extra `experiments`.

    MLflow experiment: comparison.
    """
    from carprice.experiments.comparison import COMPARISON

    _compare(options, COMPARISON, COMPARED, only, all_rows=all_rows)


def _compare(
    options: _Options,
    experiment: str,
    known: Sequence[ComparedModel],
    only: list[str] | None,
    *,
    all_rows: bool = False,
) -> None:
    settings = options.settings()
    from carprice.experiments.comparison import compare_models

    models = choose(known, only or [])
    how = options.cross_validation(settings)
    with options.running(experiment, settings, all_rows=all_rows) as (data, to):
        results, resumed = compare_models(experiment, models, how, data, to)
    if resumed:
        say("Went on from where the same experiment was left.")
    _show_ranking(results, options.metric, settings.ingest.units.currency)
    say(f"{experiment}: tables and pictures in {options.folder(experiment)}, runs in MLflow.")


def _show_ranking(results: "Sequence[Result]", metric: str, currency: str) -> None:
    """Print the ranking, what failed and why, and what the log of the price changes."""
    from carprice.experiments.pictures import title_of
    from carprice.experiments.ranking import Difference, choices_table, ranking_rows

    error = title_of(metric, currency)
    table(
        "Mean over the folds ± standard error; behind the best ± 95 %, = where not told from it",
        ("candidate", error, "behind the best", "±10 %", "fit s"),
        ranking_rows(results, metric),
    )
    if failed := [(one.name, one.reason) for one in results if one.reason]:
        table("Failed", ("candidate", "reason"), failed)
    changes = [
        (
            row["all_else"].replace("/raw", ""),
            str(Difference(row["change"], row["low"], row["high"])),
            "" if row["distinct"] else "=",
        )
        for row in choices_table(results, metric).to_dict("records")
        if row["choice"] == "target"
    ]
    if changes:
        header = ("all else", "change ± 95 %", "")
        table(f"Log price instead of raw, change of {error}", header, changes)


@_experiment
def tune(
    options: _Options,
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="Tune booster or a single key such as train.booster.direct.max_depth; may be "
            "repeated. Default: all.",
        ),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(
            min=1,
            show_default=False,
            help="Total trials of the study, by all processes. "
            f"Default: {_TRIALS}, {_QUICK_TRIALS} with --quick.",
        ),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            min=0,
            show_default=False,
            help="Seconds after which this process starts no more trials. "
            f"Default: none, {_QUICK_TIMEOUT:g} with --quick.",
        ),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            show_default=False,
            help="Database of the study, such as postgresql+psycopg://… Default: optuna.db in the "
            "workdir.",
        ),
    ] = None,
    study: Annotated[
        str | None,
        typer.Option(
            show_default=False,
            help="Name of the study. Default: made of the source, the data and the options.",
        ),
    ] = None,
    sampler: Annotated[Sampler, typer.Option(help="How the next values are chosen.")] = Sampler.TPE,
    pruner: Annotated[
        Pruner, typer.Option(help="When a trial is given up before its last fold.")
    ] = Pruner.MEDIAN,
    write: Annotated[
        bool,
        typer.Option("--write", help="Write the best values into the params file; see below."),
    ] = False,
) -> None:
    """Tune the params file's model: the parameters of both ensembles of trees, with Optuna.

    The first trial has the present values. Run the same command in several terminals, or on several
    machines with one `--storage`, and they share the study; run it again after it was interrupted
    or with more `--trials`, and it goes on. A study of another search space, or of other data or
    folds, is refused: give another `--study`.

    `--write` changes nothing in the params file but the tuned keys, and nothing at all where the
    present values were not measured; `dvc repro` then trains with the new ones.

    Needs the package's extra `experiments`.

    MLflow experiment: tuning.
    """
    settings = options.settings()
    require_optuna()
    from carprice.experiments.params_file import check_writable, write_values
    from carprice.experiments.studies import storage_url
    from carprice.experiments.tuning import TUNING
    from carprice.experiments.tuning import tune as tune_model
    from carprice.experiments.tuning_report import Search

    search = Search(
        space_of(only or []),
        options.cross_validation(settings),
        trials or (_QUICK_TRIALS if options.quick else _TRIALS),
        timeout if timeout is not None or not options.quick else _QUICK_TIMEOUT,
    )
    if write:
        search.refuse_values_outside()
        check_writable(options.params, search.present)
    database = storage or storage_url(options.workdir)
    with options.running(TUNING, settings) as (data, to):
        report = tune_model(
            search, data, to, storage=database, name=study, sampler=sampler, pruner=pruner
        )
    _show_study(report, search)
    say(f"tune: tables and pictures in {options.folder(TUNING)}, runs in MLflow.")
    if write:
        report.refuse_unmeasured()
        if changed := write_values(options.params, report.best):
            say(f"{options.params}: {len(changed)} values are trial {report.best_number}'s now.")
        else:
            say(f"{options.params} has the best values already.")


@experiments.command()
def backtest(
    params: Params = PARAMS,
    source: Annotated[
        str | None,
        typer.Option(
            "--source", "-s", help="Listings, instead of the params file's ingest.source."
        ),
    ] = None,
    workdir: Workdir = WORKDIR,
    origins: Annotated[
        int, typer.Option(min=1, max=60, help="How many models are trained, to months' ends.")
    ] = 6,
    horizon: Annotated[
        int, typer.Option(min=1, max=36, help="How many months after its last each one prices.")
    ] = 6,
    quick: Annotated[bool, typer.Option("--quick", help=_QUICK_HELP)] = False,
    rows: Annotated[
        int | None,
        typer.Option(
            min=100,
            show_default=False,
            help="At most so many dated listings, chosen at random by train.seed. Default: all, "
            f"{_QUICK_ROWS:,} with --quick.",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", show_default=False, help=_OUT_HELP)] = (
        None
    ),
    as_json: AsJson = False,
) -> None:
    """Measure how the error grows with a model's age: train to a month, price the months after it.

    Of the listings that have dates, the pipeline's test rows too. Cars that a model learned from
    are left out of what it is tried on. Takes as many trainings as there are origins; goes on where
    it was interrupted.

    Also writes reports/backtest.json, which the gate and the model card read.

    MLflow experiment: backtest.
    """
    options = _Options(params=params, source=source, workdir=workdir, quick=quick, out=out)
    settings = options.settings()
    from carprice.experiments.backtest import BACKTEST, plan_backtest, run_backtest, shown_rows

    how, every = options.cross_validation(settings), replace(options, quick=False)
    with every.running(BACKTEST, settings, all_rows=True) as (data, to):
        to.progress("dates")
        most = rows or (_QUICK_ROWS if quick else None)
        plan = plan_backtest(data, origins, horizon, most, settings.train)
        if plan.undated:
            say(f"{plan.undated:,} listings without a date are left out.")
        if plan.doubts:
            say(f"No drift over the dates: are they real? {plan.doubts}")
        report = Workspace(workdir).backtest
        content, resumed = run_backtest(plan, how, data, to, report)
    if resumed:
        say("Went on from where the same experiment was left.")
    if as_json:
        typer.echo(json.dumps(content, indent=2))
        return
    table(
        f"By months after the last one learned from; mean of {len(plan.origins)} origins ± 95 %",
        ("month", "MAPE %", "MdAPE %", "bias %", "90 % range covers", "cars"),
        shown_rows(content),
    )
    say(
        f"{BACKTEST}: {report}; tables and a picture in {options.folder(BACKTEST)}, runs in MLflow."
    )


def _show_study(report: "TuningReport", search: "Search") -> None:
    """Print how the best trial compares with the present values, and both."""
    counts, metric = report.counts, search.how.metric
    if report.resumed:
        say("Went on with the trials that the study had.")
    say(f"Study {report.name}: {counts['counted']} of {search.trials} trials.")
    if counts["others"]:
        say(f"{counts['others']} more are being run by other processes.")
    figures = [(f"best, trial {report.best_number}", report.best_result.told(metric))]
    if report.present_result:
        figures.append(("present values", report.present_result.told(metric)))
    if report.gain:
        mark = "" if report.gain.is_distinct else " ="
        figures.append(("gain ± 95 %", f"{report.gain}{mark}"))
    states = {"measured on all folds": "complete", "pruned": "pruned", "failed": "fail"}
    figures += [(name, str(counts[state])) for name, state in states.items()]
    table("Trials", ("", metric), figures)
    rows = [
        (name.removeprefix("train."), f"{report.present[name]:g}", f"{value:g}")
        for name, value in report.best.items()
    ]
    table("Values", ("parameter", "present", "best"), rows)
