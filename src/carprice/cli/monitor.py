"""The command that looks at the model in use."""

import datetime
import json
import warnings
from collections.abc import Sequence
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
    now,
    open_registry,
    production_folder,
    working,
)
from carprice.cli.pipeline import say_registration
from carprice.cli.registry import test_version
from carprice.cli.terminal import console, say, step
from carprice.components.workspace import Workspace
from carprice.errors import CarpriceWarning, InputError
from carprice.monitoring.words import plain
from carprice.settings import Settings, load_settings

if TYPE_CHECKING:
    import pandas as pd

    from carprice.monitoring.checks import Level, Monitored
    from carprice.registry.versions import Registry, Version

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
    act: Annotated[
        bool,
        typer.Option(
            "--act",
            help="Where the verdict is retrain: run the pipeline, gate and model tests; the new "
            "model is the challenger.",
        ),
    ] = False,
    recalibrate: Annotated[
        bool,
        typer.Option(
            "--recalibrate",
            help="Register the model with a level and ranges that fit what was observed, as a "
            "candidate.",
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

    Exit codes: 0 fine, 3 a person should look, 4 retrain; 1 failed, 2 bad input.
    """
    if act and (recalibrate or model is not None):
        other = "--recalibrate" if recalibrate else "--model"
        raise InputError(f"--act decides about the model in production; leave out {other}")
    settings, workspace = load_settings(params), Workspace(workdir)
    from carprice.components import monitor as component
    from carprice.files import check_writable
    from carprice.monitoring.last_run import to_json

    days = (since and since.date(), until and until.date())
    places = component.places_of(settings.monitor, log, outcomes, listings, days)
    if evidently is not None:
        from carprice.components.evidently_report import check_target

        check_target(evidently, places.log)
    check_writable(workspace.monitoring, workspace.monitoring_page)
    against = ""
    with step("monitor") as progress, warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", CarpriceWarning)
        folder = model or production_folder(settings, workspace, progress)
        loaded = load_model(folder, settings, workspace, progress)
        looked = component.look_at(loaded, settings, places, progress)
        component.write_found(looked.monitored, workspace, made := now())
        if evidently is not None:
            from carprice.components.evidently_report import write_report

            against = write_report(loaded, looked.log, workspace, evidently, progress)
    _say_warnings(told)
    if as_json:
        typer.echo(json.dumps(to_json(looked.monitored, made), indent=2, ensure_ascii=False))
    else:
        _say_found(looked.monitored)
    if evidently is not None:
        say(f"Evidently's report, compared with {against}: {evidently}.")
    say(f"monitor: see {workspace.monitoring_page}")
    if act:
        _act(looked.monitored, settings, workspace, params)
    if recalibrate:
        _recalibrate(folder, looked.observations, settings, workspace)
    raise typer.Exit(int(looked.monitored.level))


def _act(monitored: "Monitored", settings: Settings, workspace: Workspace, params: Path) -> None:
    """Do what the verdict asks for, and say what came of it."""
    from carprice.components.retraining import act

    registry = open_registry(settings, workspace)

    def failures(registry: "Registry", version: "Version") -> list[str]:
        out = workspace.model_tests
        results = test_version(registry, version, settings.register_, workspace, out)
        return [f"{one.title}: {one.message}" for one in results.failures]

    acted = act(monitored, settings, registry, workspace, params, now, failures, step)
    say(f"monitor: {plain(acted.why)}")


def _recalibrate(
    folder: Path, observations: "pd.DataFrame", settings: Settings, workspace: Workspace
) -> None:
    """Register the model with a correction, and say what it does and what the gate made of it."""
    from carprice.components.recalibrate import recalibrate

    with working(workspace, "monitor --recalibrate"), step("recalibrate") as progress:
        made = recalibrate(folder, observations, settings, workspace, now(), progress)
    say(f"recalibrate: {made.told}")
    say_registration(made.registration)


def _say_warnings(told: "Sequence[warnings.WarningMessage]") -> None:
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
