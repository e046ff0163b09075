"""The command that looks at the model in use."""

import datetime
import json
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.text import Text

from carprice.cli.app import (
    IN_USE,
    PARAMS,
    WORKDIR,
    AsJson,
    Params,
    Workdir,
    app,
    load_model,
    log_in,
    now,
    open_registry,
)
from carprice.cli.registry import test_version
from carprice.cli.terminal import console, say, step
from carprice.components.workspace import Workspace
from carprice.errors import CarpriceError, CarpriceWarning, InputError, RefusedError
from carprice.monitoring.words import plain
from carprice.settings import load_settings

if TYPE_CHECKING:
    import pandas as pd

    from carprice.monitoring.checks import Level, Monitored
    from carprice.registry.versions import Registry, Version
    from carprice.settings import Settings

_STYLES: Final = {"fine": "green", "look": "yellow", "retrain": "bold red"}

Log = Annotated[
    str | None,
    typer.Option(
        "--log",
        help="Prediction log: a folder or s3://…; default: CARPRICE_PREDICTION_LOG, then "
        "monitor.log.",
    ),
]
Outcomes = Annotated[
    str | None,
    typer.Option(
        "--outcomes",
        help="Outcomes: a folder or a database; default: CARPRICE_OUTCOMES, then "
        "monitor.outcomes, then beside the log.",
    ),
]
Listings = Annotated[
    str | None,
    typer.Option("--listings", metavar="SOURCE", help="Fresh listings, read as ingest.source is."),
]


@app.command(rich_help_panel=IN_USE)
def monitor(
    log: Log = None,
    outcomes: Outcomes = None,
    listings: Listings = None,
    since: Annotated[
        datetime.datetime | None,
        typer.Option("--since", formats=["%Y-%m-%d"], metavar="DAY", help="First day (UTC)."),
    ] = None,
    until: Annotated[
        datetime.datetime | None,
        typer.Option("--until", formats=["%Y-%m-%d"], metavar="DAY", help="Last day (UTC)."),
    ] = None,
    model: Annotated[
        Path | None, typer.Option("--model", help="Model folder; default: the production model.")
    ] = None,
    evidently: Annotated[
        Path | None,
        typer.Option(
            "--evidently",
            metavar="FILE",
            help="Write Evidently's report of data drift, too: .html; needs carprice[evidently].",
        ),
    ] = None,
    publish: Annotated[
        str | None,
        typer.Option(
            "--publish",
            metavar="S3",
            help="Copy monitoring.json to s3://…, too, where services read it: their "
            "CARPRICE_MONITORING.",
        ),
    ] = None,
    does_act: Annotated[
        bool,
        typer.Option(
            "--act", help="Where the verdict is retrain: train again; the new model challenges."
        ),
    ] = False,
    does_recalibrate: Annotated[
        bool,
        typer.Option(
            "--recalibrate",
            help="Register the model with a correction learned from the prices that were seen.",
        ),
    ] = False,
    params: Params = PARAMS,
    workdir: Workdir = WORKDIR,
    as_json: AsJson = False,
) -> None:
    """Look at the model in use: at what comes in, at the market, and at what the model says.

    Reads the prediction log, what cars sold for and, where they are named, fresh listings; tells
    a market that moved, another mix of cars and a model that decays apart. Writes
    reports/monitoring.html and reports/monitoring.json; docs/monitoring.md explains each check.

    With --act, the verdict retrain trains again on what ingest.source holds now; what the gate
    and the model tests let pass is the challenger, and production stays as it is. See
    docs/promotion.md for the cool-down and the yearly budget.

    With --recalibrate, a correction of level and ranges is learned from the prices that were seen,
    whatever the verdict is: the same model with it becomes a new version, which the gate judges and
    the model tests test; docs/model.md tells what it does.

    Exit codes: 0 fine, 3 a person should look, 4 retrain; 1 failed, 2 bad input.
    """
    settings, workspace = load_settings(params), Workspace(workdir)
    from carprice.components import monitor as component
    from carprice.files import check_writable
    from carprice.monitoring.last_run import to_json

    if does_act and does_recalibrate:
        raise InputError("--act trains again, and --recalibrate does instead of it; leave one out")
    if does_act and model is not None:
        raise InputError("--act is of the production model; leave --model out")
    if does_act or does_recalibrate:
        log_in(settings, workspace)
    days = (since and since.date(), until and until.date())
    places = component.places_of(settings.monitor, log, outcomes, listings, days)
    if publish is not None:
        component.check_published(publish)
    if evidently is not None:
        from carprice.components.evidently_report import check_target

        check_target(evidently, places.log)
    check_writable(workspace.monitoring, workspace.monitoring_page)
    against = ""
    with step("monitor") as progress, warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", CarpriceWarning)
        loaded = load_model(model, settings, workspace, progress)
        made, backtest = now(), workspace.backtest
        looked = component.look_at(loaded, settings, places, progress, made, backtest)
        component.write_found(looked.monitored, workspace, made)
        if evidently is not None:
            from carprice.components.evidently_report import write_report

            against = write_report(loaded, looked.log, workspace, evidently, progress)
    say_warnings(told)
    if as_json:
        typer.echo(json.dumps(to_json(looked.monitored, made), indent=2, ensure_ascii=False))
    else:
        _say_found(looked.monitored)
    if evidently is not None:
        say(f"Evidently's report, compared with {against}: {evidently}.")
    say(f"monitor: see {workspace.monitoring_page}")
    unpublished = publish and _publish(workspace, publish)
    if does_act:
        _act(looked.monitored, settings, workspace, params)
    if does_recalibrate:
        _recalibrate(model, looked.observations, settings, workspace)
    if unpublished:
        raise unpublished
    raise typer.Exit(int(looked.monitored.level))


def _publish(workspace: Workspace, address: str) -> CarpriceError | None:
    """Publish what was found; return what is in the way, which stops nothing that follows."""
    from carprice.components.monitor import publish

    try:
        publish(workspace, address)
    except CarpriceError as error:
        return error
    return None


def _act(monitored: "Monitored", settings: "Settings", workspace: Workspace, params: Path) -> None:
    """Do what the verdict asks for, and say what became of it."""
    from carprice.components.retraining import act

    registry, tested = open_registry(settings, workspace), partial(_tested, settings, workspace)
    done = act(monitored, settings, registry, workspace, params, now, tested, step)
    if done.what is None:
        say(f"act: {done.why}")
    else:
        say(f"act: version {done.version}: {done.what}; {done.why}")


def _recalibrate(
    folder: Path | None, observations: "pd.DataFrame", settings: "Settings", workspace: Workspace
) -> None:
    """Register the model with a correction of the prices that were seen, and test it."""
    from carprice.components.folder_lock import only_command
    from carprice.components.recalibrate import recalibrate
    from carprice.evaluation.gate import failed_reasons
    from carprice.registry.versions import production_version

    registry = open_registry(settings, workspace)
    with only_command(workspace.root, "carprice monitor --recalibrate", now()):
        with step("recalibrate") as progress:
            if folder is None:
                folder = registry.fetch(production_version(registry), workspace.model_cache)
            done = recalibrate(folder, observations, settings, workspace, now(), progress)
        made = done.registration
        say(f"recalibrate: {done.told}")
        if not made.accepted:
            raise RefusedError(
                f"version {made.version}, recalibrated, is not staged: "
                f"{failed_reasons(made.reasons) or made.reasons[0]}"
            )
        if failed := _tested(settings, workspace, registry, registry.numbered(made.version)):
            raise RefusedError(f"version {made.version}, recalibrated: {'; '.join(failed)}")
    say(f"recalibrate: version {made.version} is staged and tested; `carprice promote` is next")


def _tested(
    settings: "Settings", workspace: Workspace, registry: "Registry", version: "Version"
) -> list[str]:
    """Test a version; return what failed."""
    results = test_version(registry, version, settings.register_, workspace, workspace.model_tests)
    return [f"{one.title}: {one.message}" for one in results.failures]


def say_warnings(told: "Sequence[warnings.WarningMessage]") -> None:
    """Print what was passed over."""
    for one in told:
        if issubclass(one.category, CarpriceWarning):
            say(f"  {plain(one.message)}")


def _say_found(monitored: "Monitored") -> None:
    """Print a line for each check, then the verdict and what led to it."""
    for check in monitored.checks:
        _say_level(check.level, check.told)
    _say_level(monitored.level, f"{monitored.cause.value}")
    for sentence in monitored.why:
        say(f"  {plain(sentence)}")


def _say_level(level: "Level", text: str) -> None:
    word = level.name.lower()
    line = Text.assemble((f"{word:8}", _STYLES[word]), plain(text))
    console.print(line, soft_wrap=True)
