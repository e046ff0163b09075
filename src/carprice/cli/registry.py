"""Commands about the registered models."""

import dataclasses
import json
from typing import Annotated

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
from carprice.terminal import say, table

Why = Annotated[str, typer.Option("--why", help="Reason, kept with the version.")]


@app.command(rich_help_panel=REGISTRY)
def promote(
    params: Params = PARAMS, workdir: Workdir = WORKDIR, why: Why = "promoted by hand"
) -> None:
    """Make the staging version the production model; exit 1 with the reason if there is none."""
    from carprice.registry import promote as promote_staging

    version = promote_staging(open_registry(params, workdir), now(), why)
    say(f"Version {version.number} is in production.")


@app.command(rich_help_panel=REGISTRY)
def rollback(
    params: Params = PARAMS, workdir: Workdir = WORKDIR, why: Why = "rolled back by hand"
) -> None:
    """Bring the previous production version back; exit 1 if there is none."""
    from carprice.registry import rollback as roll_back

    version = roll_back(open_registry(params, workdir), now(), why)
    say(f"Version {version.number} is in production again.")


@app.command(rich_help_panel=REGISTRY)
def status(params: Params = PARAMS, workdir: Workdir = WORKDIR, as_json: AsJson = False) -> None:
    """Show which versions there are, which is where since when, and their figures."""
    registry = open_registry(params, workdir)
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
            *(version.tags.get(name, "?") for name in ("mape", "within_10", "coverage")),
        )
        for version in versions
    ]
    header = ("no.", "where", "since (UTC)", "gate", "MAPE", "±10 %", "covers")
    table(f"{registry.name} in the registry", header, rows)
    if not versions:
        say("No version is registered; run `carprice up` or `dvc repro`.")
