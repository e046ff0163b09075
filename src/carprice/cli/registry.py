"""Commands about the registered models."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from carprice.cli.app import (
    PARAMS,
    REGISTRY,
    WORKDIR,
    AsJson,
    Params,
    Workdir,
    app,
    now,
    open_registry,
)
from carprice.cli.terminal import say, step, table
from carprice.components.workspace import Workspace
from carprice.errors import RefusedError
from carprice.settings import RegisterSettings, load_settings

if TYPE_CHECKING:
    from carprice.model_tests.results import ModelTestResults
    from carprice.registry.versions import Registry, Version

Why = Annotated[str, typer.Option("--why", help="Reason, kept with the version.")]


@app.command("test-model", rich_help_panel=REGISTRY)
def run_tests(
    alias: Annotated[
        str, typer.Option("--alias", help="Which version: the one under this alias.")
    ] = "staging",
    number: Annotated[
        int | None, typer.Option("--version", min=1, help="Which version, instead of an alias.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder of the results; default: reports/model-tests."),
    ] = None,
    params: Params = PARAMS,
    workdir: Workdir = WORKDIR,
) -> None:
    """Test a version as it is downloaded from the registry; `promote` asks for that.

    Its bytes, the service with it in a clean process, its signature, what a car buyer takes for
    granted, its figures on the test set, and that MLflow's clients are told the same. Exit 1 if a
    test fails.
    """
    settings, workspace = load_settings(params), Workspace(workdir)
    registry, out = open_registry(settings, workspace), out or workspace.model_tests
    from carprice.model_tests.run import JUNIT, version_to_test

    version = version_to_test(registry, alias, number)
    results = test_version(registry, version, settings.register_, workspace, out)
    rows = [(one.title, one.status.value, one.message) for one in results.by_suite()]
    table(f"Tests of version {version.number} of {registry.name}", ("test", "", "found"), rows)
    if results.failures:
        first, *others = results.failures
        more = f"; also {', '.join(one.title for one in others)}" if others else ""
        raise RefusedError(
            f"version {version.number} does not pass {len(results.failures)} of "
            f"{len(results.every)} model tests: {first.title}: {first.message}{more}; see "
            f"{out / JUNIT}"
        )
    warned = f", {len(results.warnings)} with a warning" if results.warnings else ""
    say(f"Version {version.number} passed all {len(results.every)} tests{warned}; see {out}")


@app.command(rich_help_panel=REGISTRY)
def promote(
    params: Params = PARAMS, workdir: Workdir = WORKDIR, why: Why = "promoted by hand"
) -> None:
    """Make the staging version the production model, if it passed the model tests.

    Exit 1 with the reasons if there is none, the gate or a test speaks against it, or its bytes
    are not those that were tested.
    """
    from carprice.registry.promotion import promote as promote_staging

    settings = load_settings(params)
    registry = open_registry(settings, Workspace(workdir))
    version = promote_staging(registry, now(), why, settings.register_, say)
    say(f"Version {version.number} is in production.")


@app.command(rich_help_panel=REGISTRY)
def rollback(
    params: Params = PARAMS,
    workdir: Workdir = WORKDIR,
    to: Annotated[
        int | None,
        typer.Option("--to", min=1, help="Version; default: the one in production before."),
    ] = None,
    why: Why = "rolled back by hand",
) -> None:
    """Bring an earlier production version back; exit 1 if there is none.

    The version that goes is withdrawn: the pipeline does not stage it again, only
    `carprice rollback --to` brings it back.
    """
    from carprice.registry.promotion import rollback as roll_back

    registry = open_registry(load_settings(params), Workspace(workdir))
    version = roll_back(registry, now(), why, to, say)
    say(f"Version {version.number} is in production again.")


@app.command(rich_help_panel=REGISTRY)
def history(params: Params = PARAMS, workdir: Workdir = WORKDIR, as_json: AsJson = False) -> None:
    """Show what happened to the versions: when, what, by whom and why; the oldest first."""
    from carprice.registry.promotion import history as events_of

    registry = open_registry(load_settings(params), Workspace(workdir))
    events = events_of(registry)
    if as_json:
        typer.echo(json.dumps([event.to_json() for event in events], indent=2, ensure_ascii=False))
        return
    rows = [
        (f"{event.time:%Y-%m-%d %H:%M:%S}", str(event.version), event.what, event.by, event.why)
        for event in events
    ]
    header = ("time (UTC)", "version", "what", "by", "why")
    table(f"History of {registry.name}", header, rows)
    if not events:
        say("Nothing happened yet; run `carprice up` or `dvc repro`.")


@app.command(rich_help_panel=REGISTRY)
def status(params: Params = PARAMS, workdir: Workdir = WORKDIR, as_json: AsJson = False) -> None:
    """Show which versions there are, which is where since when, and their figures."""
    from carprice.registry.intents import intents
    from carprice.registry.record import Record, promotion_key

    registry = open_registry(load_settings(params), Workspace(workdir))
    versions = registry.versions()
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(version) for version in versions], indent=2))
        return
    rows = [
        (
            str(version.number),
            "\n".join(version.aliases),
            "\n".join(version.tags.get(f"{alias}_since", "?")[:16] for alias in version.aliases),
            version.tags.get("gate", "?"),
            version.tags.get("tests", "not run"),
            *(version.tags.get(name, "?") for name in ("mape", "within_10", "coverage")),
        )
        for version in versions
    ]
    header = ("no.", "where", "since (UTC)", "gate", "tests", "MAPE", "±10 %", "covers")
    table(f"{registry.name} in the registry", header, rows)
    if not versions:
        say("No version is registered; run `carprice up` or `dvc repro`.")
    for version in versions:
        told = Record(registry.name, str(version.number), version.digest, version.tags)
        if "production" in version.aliases and (objection := told.objection(promotion_key())):
            say(f"Version {version.number} is in production, but {objection}.")
    for intent in intents(registry):
        say(f"The {intent.told} is under way, or was broken off; the next command finishes it.")


def test_version(
    registry: "Registry",
    version: "Version",
    settings: RegisterSettings,
    workspace: Workspace,
    out: Path,
) -> "ModelTestResults":
    """Run the model tests of a version."""
    from carprice.model_tests.run import run_model_tests

    with step("test-model") as progress:
        return run_model_tests(registry, version, workspace, settings, out, now(), progress)
