"""Experiments as commands: baselines, a comparison, and the tuning of the model."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from carprice.arrays import Progress
from carprice.cli.app import PARAMS, WORKDIR, Params, Workdir, app, log_in, now, registry_uri
from carprice.cli.experiment_tables import show_ranking, show_study
from carprice.cli.terminal import console, say, step
from carprice.components.workspace import Workspace
from carprice.experiments.studies import Pruner, Sampler
from carprice.settings import Settings, load_settings

if TYPE_CHECKING:
    from carprice.experiments.candidates import Candidate
    from carprice.experiments.data import Data

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


class Metric(StrEnum):
    """Errors that candidates and trials are ranked by."""

    MAPE = "mape"
    MDAPE = "mdape"
    RMSLE = "rmsle"
    MAE = "mae"
    RMSE = "rmse"


Source = Annotated[
    str | None,
    typer.Option("--source", "-s", help="Listings, instead of the params file's ingest.source."),
]
Quick = Annotated[
    bool,
    typer.Option(
        "--quick",
        help=f"For a first look: {_QUICK_ROWS:,} rows at most, fewer trees and inner folds.",
    ),
]
Folds = Annotated[
    int | None,
    typer.Option(
        "--folds",
        min=2,
        max=50,
        show_default=False,
        help=f"Shuffled folds, the same for all; seed: train.seed. Default: {_FOLDS}.",
    ),
]
Only = Annotated[
    list[str] | None,
    typer.Option(
        "--only", help="An algorithm, a candidate's name or a pattern of names; may be repeated."
    ),
]
Seconds = Annotated[
    float,
    typer.Option(
        "--seconds-per-candidate", min=1, help="Time for all folds of one candidate or trial."
    ),
]
Megabytes = Annotated[
    float,
    typer.Option("--megabytes-per-candidate", min=100, help="Memory that one may hold."),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        show_default=False,
        help="Folder for tables and pictures. Default: reports/experiments/… in the workdir.",
    ),
]
By = Annotated[Metric, typer.Option("--metric", help="Error that decides.")]
SECONDS: Final = 900.0
MEGABYTES: Final = 4000.0


@experiments.command()
def baseline(
    params: Params = PARAMS,
    source: Source = None,
    workdir: Workdir = WORKDIR,
    quick: Quick = False,
    folds: Folds = None,
    only: Only = None,
    metric: By = Metric.MAPE,
    seconds: Seconds = SECONDS,
    megabytes: Megabytes = MEGABYTES,
    out: Out = None,
) -> None:
    """Measure what is had without effort: medians, a linear model, XGBoost as it comes.

    A model that is to be worth its keep must beat these. MLflow experiment: baseline.
    """
    from carprice.experiments.candidates import BASELINES
    from carprice.experiments.comparison import BASELINE

    options = _Options(params, source, workdir, quick, folds, metric, seconds, megabytes, out)
    _hold(options, BASELINE, BASELINES, only)


@experiments.command()
def compare(
    params: Params = PARAMS,
    source: Source = None,
    workdir: Workdir = WORKDIR,
    quick: Quick = False,
    folds: Folds = None,
    only: Only = None,
    metric: By = Metric.MAPE,
    seconds: Seconds = SECONDS,
    megabytes: Megabytes = MEGABYTES,
    out: Out = None,
) -> None:
    """Compare algorithms × target × encoding of categories × imputation on the same folds.

    Ridge, random forest, XGBoost, LightGBM, CatBoost, the hedonic ridge alone (`hedonic`) and the
    model of the params file (`carprice`). Names are algorithm/target/encoding/imputation:
    `--only lightgbm --only 'xgboost/log/*'` takes some of them. One that fails, or runs out of
    time or memory, is a row with its reason.

    LightGBM and CatBoost: pip install 'carprice[experiments]'. MLflow experiment: comparison.
    """
    from carprice.experiments.candidates import COMPARED
    from carprice.experiments.comparison import COMPARISON

    options = _Options(params, source, workdir, quick, folds, metric, seconds, megabytes, out)
    _hold(options, COMPARISON, COMPARED, only)


@experiments.command()
def tune(
    params: Params = PARAMS,
    source: Source = None,
    workdir: Workdir = WORKDIR,
    quick: Quick = False,
    folds: Folds = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            help="Tune hedonic, booster or a single key such as train.hedonic.make; may be "
            "repeated. Default: all.",
        ),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(
            "--trials",
            min=1,
            show_default=False,
            help="Trials of the study in all, whoever ran them. "
            f"Default: {_TRIALS}, {_QUICK_TRIALS} with --quick.",
        ),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout",
            min=0,
            show_default=False,
            help="Seconds after which this process starts no more trials. "
            f"Default: none, {_QUICK_TIMEOUT:g} with --quick.",
        ),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            "--storage",
            show_default=False,
            help="Database of the study, such as postgresql+psycopg://… Default: optuna.db in the "
            "workdir.",
        ),
    ] = None,
    study: Annotated[
        str | None,
        typer.Option(
            "--study",
            show_default=False,
            help="Name of the study. Default: made of the source, the data and the options.",
        ),
    ] = None,
    sampler: Annotated[
        Sampler, typer.Option("--sampler", help="How the next values are chosen.")
    ] = Sampler.TPE,
    pruner: Annotated[
        Pruner, typer.Option("--pruner", help="When a trial is given up before its last fold.")
    ] = Pruner.MEDIAN,
    write: Annotated[
        bool,
        typer.Option("--write", help="Write the best values into the params file; see below."),
    ] = False,
    metric: By = Metric.MAPE,
    seconds: Seconds = SECONDS,
    megabytes: Megabytes = MEGABYTES,
    out: Out = None,
) -> None:
    """Tune the params file's model: the ridge's scales and the booster's parameters, with Optuna.

    The first trial has the present values. Run the same command in several terminals, or on several
    machines with one `--storage`, and they share the study; run it again after it was interrupted
    or with more `--trials`, and it goes on. A study of another search space, or of other data or
    folds, is refused: give another `--study`.

    `--write` changes nothing in the params file but the tuned keys, and nothing at all where the
    present values were not measured; `dvc repro` then trains with the new ones.

    Needs pip install 'carprice[experiments]'. MLflow experiment: tuning.
    """
    options = _Options(params, source, workdir, quick, folds, metric, seconds, megabytes, out)
    settings = options.settings()
    from carprice.experiments.studies import need_optuna, storage_url

    need_optuna()
    from carprice.experiments.limits import Limits
    from carprice.experiments.search_space import space_of
    from carprice.experiments.tuning import (
        TUNING,
        Search,
        refuse_unmeasurable,
        refuse_unmeasured,
    )
    from carprice.experiments.tuning import tune as tune_model

    search = Search(
        space_of(only or []),
        settings.train,
        options.folds_or_default,
        quick,
        metric,
        trials or (_QUICK_TRIALS if quick else _TRIALS),
        timeout if timeout is not None or not quick else _QUICK_TIMEOUT,
        Limits(seconds, megabytes),
    )
    if write:
        from carprice.experiments.params_file import check_writable
        from carprice.experiments.search_space import present_values

        refuse_unmeasurable(search.train, search.space)
        check_writable(params, present_values(search.train, search.space))
    with step(TUNING) as progress, _data(options, settings, progress) as data:
        outcome = tune_model(
            search,
            data,
            storage=storage or storage_url(workdir),
            name=study,
            sampler=sampler,
            pruner=pruner,
            uri=registry_uri(settings, Workspace(workdir)),
            workdir=workdir,
            out=options.folder(TUNING),
            clock=now,
            progress=progress,
            done=_say_without_terminal,
            tell=say,
        )
    show_study(outcome, search)
    say(f"tune: tables and pictures in {options.folder(TUNING)}, runs in MLflow.")
    if write:
        from carprice.experiments.params_file import write_values

        refuse_unmeasured(outcome)
        changed = write_values(params, outcome.best)
        if changed:
            say(f"{params}: {len(changed)} values are trial {outcome.best_number}'s now.")
        else:
            say(f"{params} has the best values already.")


@dataclass(frozen=True)
class _Options:
    """What the experiments' commands share."""

    params: Path
    source: str | None
    workdir: Path
    quick: bool
    folds: int | None
    metric: Metric
    seconds: float
    megabytes: float
    out: Path | None

    @property
    def folds_or_default(self) -> int:
        return self.folds or _FOLDS

    def folder(self, experiment: str) -> Path:
        return self.out or self.workdir / "reports" / "experiments" / experiment

    def settings(self) -> Settings:
        settings = load_settings(self.params, source=self.source)
        log_in(settings, Workspace(self.workdir))
        return settings


@contextmanager
def _data(options: _Options, settings: Settings, progress: Progress) -> "Iterator[Data]":
    from carprice.experiments.data import read_data

    with tempfile.TemporaryDirectory(prefix="carprice-") as folder:
        most = _QUICK_ROWS if options.quick else None
        data = read_data(
            settings, Path(folder), progress, most, Workspace(options.workdir).snapshot
        )
        if len(data.makes) == 1:
            say(
                f"All {len(data.log_price):,} listings are of one make ({data.makes[0]}): what is "
                "found holds for it alone."
            )
        yield data


def _say_without_terminal(text: str) -> None:
    """Print a line where no spinner tells that the work goes on, such as in CI."""
    if not console.is_terminal:
        say(text)


def _hold(
    options: _Options, experiment: str, known: "Sequence[Candidate]", only: list[str] | None
) -> None:
    settings = options.settings()
    from carprice.experiments.candidates import choose
    from carprice.experiments.comparison import hold
    from carprice.experiments.limits import Limits
    from carprice.experiments.race import Plan

    plan = Plan(
        experiment,
        choose(known, only or []),
        options.folds_or_default,
        settings.train,
        options.quick,
        Limits(options.seconds, options.megabytes),
        options.metric,
    )
    with step(experiment) as progress, _data(options, settings, progress) as data:
        outcome = hold(
            plan,
            data,
            uri=registry_uri(settings, Workspace(options.workdir)),
            workdir=options.workdir,
            out=options.folder(experiment),
            clock=now,
            progress=progress,
            done=_say_without_terminal,
        )
    show_ranking(outcome, options.metric, settings.ingest.units.currency)
    say(f"{experiment}: tables and pictures in {options.folder(experiment)}, runs in MLflow.")
