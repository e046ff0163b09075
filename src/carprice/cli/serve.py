"""Commands that serve and score."""

import errno
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from carprice.cli.app import (
    PARAMS,
    SERVE,
    WORKDIR,
    OnCluster,
    Params,
    Workdir,
    app,
    load_model,
    log_in,
    now,
    open_registry,
    registry_uri,
    working,
)
from carprice.cli.pipeline import register_candidate
from carprice.cli.registry import test_version
from carprice.cli.terminal import figures_table, say, say_assumed, step
from carprice.components.workspace import Workspace, read_json
from carprice.errors import InputError, RefusedError
from carprice.schema import CONFIDENCE_RANGE, DEFAULT_CONFIDENCE
from carprice.settings import Settings, load_settings

if TYPE_CHECKING:
    from api.service_settings import ServiceSettings
    from carprice.registry.versions import Registry

Port = Annotated[
    int, typer.Option("--port", envvar="PORT", min=1, max=65535, help="Port to listen on.")
]
Host = Annotated[
    str,
    typer.Option(
        "--host",
        callback=lambda host: host.strip("[]"),
        help="Address to listen on; 0.0.0.0 for all, :: for all of IPv6.",
    ),
]
RootPath = Annotated[
    str,
    typer.Option(
        "--root-path", envvar="CARPRICE_ROOT_PATH", help="Prefix of a reverse proxy, such as /cars."
    ),
]
_LOW, _HIGH = CONFIDENCE_RANGE
Confidence = Annotated[
    float, typer.Option("--confidence", min=_LOW, max=_HIGH, help="Confidence of the range.")
]
_HOST, _PORT = "127.0.0.1", 8000
_LOCAL = ("0.0.0.0", "127.0.0.1", "::", "::1")  # noqa: S104


@app.command(rich_help_panel=SERVE)
def up(host: Host = _HOST, port: Port = _PORT, root_path: RootPath = "") -> None:
    """Do it all: run the pipeline, promote the first model, start the service.

    Run in the project's folder. What is up to date is reused, so that a second start takes seconds.
    """
    settings, workspace = load_settings(PARAMS), Workspace(WORKDIR)
    _service_settings(settings, workspace, root_path)
    _check_port_is_free(host, port)
    log_in(settings, workspace)
    with working(workspace, "up"):
        _run_pipeline(settings, workspace)
    _serve(settings, workspace, host, port, root_path, wait=True)


@app.command(rich_help_panel=SERVE)
def serve(
    params: Params = PARAMS,
    workdir: Workdir = WORKDIR,
    host: Host = _HOST,
    port: Port = _PORT,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes to serve with.")] = 1,
    root_path: RootPath = "",
) -> None:
    """Start the service with the production model of the registry.

    Without a production model it answers 503 and keeps asking the registry. What it allows is set
    by environment variables, see docs/service.md.
    """
    _serve(load_settings(params), Workspace(workdir), host, port, root_path, workers=workers)


@app.command("api-key", rich_help_panel=SERVE)
def api_key(
    name: Annotated[str, typer.Argument(help="Who it is for: letters, digits, dots, dashes.")],
) -> None:
    """Make an API key: prints the key, to hand over, and its entry for CARPRICE_API_KEYS."""
    from api.keys import entry, new_key

    key = new_key()
    line = entry(name, key)
    typer.echo(f"key: {key}\nentry: {line}")


@app.command(rich_help_panel=SERVE)
def predict(
    source: Annotated[str, typer.Argument(help="Listings: a path, glob, s3://…, https://… …")],
    out: Annotated[
        str,
        typer.Option(
            "--out",
            "-o",
            help="File to write: .csv, .parquet, .jsonl; or a folder of parts: s3://…, or its name "
            "and /",
        ),
    ],
    params: Params = PARAMS,
    workdir: Workdir = WORKDIR,
    model: Annotated[
        Path | None, typer.Option("--model", help="Model folder; default: the production model.")
    ] = None,
    confidence: Confidence = DEFAULT_CONFIDENCE,
    cluster: OnCluster = None,
) -> None:
    """Price every row of a source, by the column map of the params file.

    Into a folder, each file of the source becomes a Parquet part, a large Parquet file of this
    machine several; started again, the command keeps the parts that are finished. Only so a
    cluster helps: see docs/scale.md.
    """
    from carprice.components.cluster import opened
    from carprice.components.predict import check_target
    from carprice.components.predict import predict as predict_source
    from carprice.components.predict_parts import check_folder, is_folder, predict_parts

    settings, workspace = load_settings(params, cluster=cluster), Workspace(workdir)
    if is_folder(out):
        check_folder(out, source)
        with step("predict") as progress:
            loaded = load_model(model, settings, workspace, progress)
            with opened(settings.compute) as runs:
                done = predict_parts(
                    runs, loaded, settings.ingest, source, out, confidence, progress
                )
    else:
        if cluster not in (None, "local"):
            raise InputError(f"--cluster writes a folder of parts: --out {out}/")
        check_target(Path(out), source)
        with step("predict") as progress:
            loaded = load_model(model, settings, workspace, progress)
            done = predict_source(loaded, settings.ingest, source, Path(out), confidence, progress)
    say_assumed(done.notes)
    rows, priced = done.rows, done.with_price
    rest = "" if priced == rows else "; the column problem says why not the others"
    say(f"{priced:,} of {rows:,} rows priced into {out}{rest}.")


def _run_pipeline(settings: Settings, workspace: Workspace) -> None:
    """Run what changed, register the model, and promote it if it is the first."""
    _reproduce_until_evaluated()
    from carprice.registry.versions import PRODUCTION

    registration = register_candidate(settings, workspace)
    registry = open_registry(settings, workspace)
    production = registry.at(PRODUCTION)
    if production is None:
        _promote_first(registry, settings, workspace)
    elif registration.accepted and registration.version != production.number:
        say(
            f"Version {registration.version} waits in staging; production stays version "
            f"{production.number} until `carprice test-model` and `carprice promote`."
        )
    market = read_json(workspace.market, made_by="ingest")
    figures = read_json(workspace.metrics, made_by="evaluate")
    figures_table(f"Model version {registration.version}", figures, market["currency"])


def _promote_first(registry: "Registry", settings: Settings, workspace: Workspace) -> None:
    from carprice.registry.promotion import promote, staged_version

    register, out = settings.register_, workspace.model_tests
    results = test_version(registry, staged_version(registry), register, workspace, out)
    passed = len(results.every) - len(results.failures)
    say(f"test-model: {passed} of {len(results.every)} tests passed; see {out}")
    why = "first model, promoted by `carprice up`"
    promoted = promote(registry, now(), why, register, say)
    say(f"Version {promoted.number} is the first model, and now in production.")


def _reproduce_until_evaluated() -> None:
    if not Path("dvc.yaml").is_file():
        raise InputError(
            "dvc.yaml is not in this folder; run `carprice up` in the project's folder, or "
            "`carprice run` anywhere"
        )
    here = Path.cwd()
    if not any((folder / ".git").exists() for folder in (here, *here.parents)):
        raise InputError(f"{here} is not a git repository, which DVC needs; run `git init` first")
    say("Running the pipeline; stages that are up to date are skipped.")
    beside_python = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": os.pathsep.join([beside_python, os.environ["PATH"]])}
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "repro", "evaluate"],
        stdout=sys.stderr,
        env=environment,
        check=False,
    )
    if done.returncode:
        raise RefusedError("the pipeline failed; the lines above say why")


def _serve(
    settings: Settings,
    workspace: Workspace,
    host: str,
    port: int,
    root_path: str,
    *,
    workers: int = 1,
    wait: bool = False,
) -> None:
    """Run the service until it is stopped; with ``wait``, load the model before it starts."""
    from api.app import create_app
    from api.keeper import fetch_production
    from api.server import run as run_server
    from carprice.schema import example_listing

    _check_port_is_free(host, port)
    service = _service_settings(settings, workspace, root_path)
    served = fetch_production(service) if wait else None
    address = f"http://{_shown(host)}:{port}{service.root_path}"
    body = json.dumps(example_listing(), separators=(",", ":"))
    say(f"\nService at {address}, its pages at {address}/docs. Try:\n")
    say(f"curl -s {address}/predict -H 'Content-Type: application/json' -d '{body}'\n")
    if workers == 1:
        run_server(create_app(service, served), host, port)
        return
    os.environ["MLFLOW_TRACKING_URI"] = service.tracking_uri
    os.environ["CARPRICE_MODEL_NAME"] = service.model_name
    os.environ["CARPRICE_MODEL_CACHE"] = str(service.model_cache)
    os.environ["CARPRICE_ROOT_PATH"] = service.root_path
    run_server("api.main:app", host, port, workers)


def _service_settings(
    settings: Settings, workspace: Workspace, root_path: str
) -> "ServiceSettings":
    from api.service_settings import ServiceSettings

    return ServiceSettings.from_environment(
        tracking_uri=registry_uri(settings, workspace),
        model_name=settings.register_.name,
        model_cache=workspace.model_cache,
        root_path=root_path,
    )


def _shown(host: str) -> str:
    """Return a host as an address holds it: one of IPv6 in brackets."""
    if host in _LOCAL:
        return "[::1]" if ":" in host else "localhost"
    return _bracketed(host)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _check_port_is_free(host: str, port: int) -> None:
    """Find out now, and not after the training, that there is no listening there."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        other = "--port" if error.errno in (errno.EADDRINUSE, errno.EACCES) else "--host"
        raise RefusedError(
            f"cannot listen on {_bracketed(host)}:{port}: {reason}; choose another with {other}"
        ) from None
