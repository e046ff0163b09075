"""A check of what stands outside the project: its data remote and its registry."""

import json
import os
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from carprice.cli.app import (
    PARAMS,
    WORKDIR,
    AsJson,
    Params,
    Workdir,
    app,
    open_registry,
    registry_uri,
)
from carprice.cli.terminal import table
from carprice.components.workspace import Workspace
from carprice.errors import CarpriceError, InputError, RefusedError
from carprice.redaction import redact
from carprice.settings import load_settings

setup = typer.Typer(
    help="Check what stands outside the project: the data remote and the registry.",
    no_args_is_help=True,
)
app.add_typer(setup, name="setup", rich_help_panel="Setup")


@setup.command()
def check(
    params: Params = PARAMS,
    workdir: Workdir = WORKDIR,
    shared: Annotated[
        bool, typer.Option("--shared", help="Refuse a registry of this machine alone.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check the params file, the data remote and the registry; exit 1 if one is not in order."""
    # A server that hangs is found out in seconds, where a run would rather wait.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    findings: list[dict[str, Any]] = []
    for name, ask in (
        ("params file", partial(_check_params, params)),
        ("data remote", _check_data_remote),
        ("registry", partial(_check_registry, params, workdir, shared=shared)),
    ):
        try:
            findings.append({"name": name, "ok": True, "detail": ask()})
        except CarpriceError as error:
            findings.append({"name": name, "ok": False, "detail": str(error)})
    if as_json:
        typer.echo(json.dumps(findings, indent=2))
    else:
        rows = [(one["name"], "ok" if one["ok"] else "NOT OK", one["detail"]) for one in findings]
        table("Setup", ("what", "is", "found, or what to do"), rows)
    if not all(one["ok"] for one in findings):
        raise typer.Exit(RefusedError.exit_code)


def _check_params(params: Path) -> str:
    settings = load_settings(params)
    return f"{params}, source {redact(settings.ingest.source)}"


def _check_data_remote() -> str:
    from carprice.listings.dvc_remote import SET_IT, default_remote, project_root, reach

    found = default_remote(project_root())
    if found is None:
        raise InputError(f"no data remote is set; {SET_IT}")
    if not found.url.startswith("s3://"):
        return f"{redact(found.url)}, not asked, for it is not S3"
    reach(found)
    return found.url


def _check_registry(params: Path, workdir: Path, *, shared: bool) -> str:
    from carprice.registry.tracking import is_local

    settings, workspace = load_settings(params), Workspace(workdir)
    uri = registry_uri(settings, workspace)
    if shared and is_local(uri):  # not opened, for that would make it
        raise InputError(
            f"{redact(uri)} is a registry of this machine alone; set MLFLOW_TRACKING_URI, or "
            f"tracking.dagshub in {params}, to one that others use too"
        )
    registry = open_registry(settings, workspace)
    return f"{redact(uri)}, {len(registry.versions())} versions of {registry.name}"
