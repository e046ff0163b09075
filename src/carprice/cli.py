"""The command line. Each command imports what it needs when it runs, so that --help is quick."""

import dataclasses
import datetime
import json
import os
import socket
import subprocess
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from carprice.errors import CarpriceError, InputError, RefusedError
from carprice.settings import Settings, load_settings
from carprice.terminal import console, figures_table, say, step, table
from carprice.workspace import Workspace, read_json

if TYPE_CHECKING:
    from carprice.components.register import Registration
    from carprice.registry import Registry

app = typer.Typer(
    help=(
        "Used-car valuation: learn prices from listings, keep the models in a registry, serve "
        "them.\n\nStart with `carprice up`. Exit codes: 0 done, 1 refused or failed, 2 bad input "
        "or configuration."
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_SERVE, _PIPELINE, _REGISTRY = "Serve and score", "Pipeline", "Registry"

Params = Annotated[
    Path, typer.Option("--params", "-p", help="Params file; see examples/ and params.yaml.")
]
Workdir = Annotated[
    Path, typer.Option("--workdir", "-w", help="Folder that data, models and reports go to.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
Why = Annotated[str, typer.Option("--why", help="Reason, kept with the version.")]
Port = Annotated[
    int, typer.Option("--port", envvar="PORT", min=1, max=65535, help="Port to listen on.")
]
Host = Annotated[str, typer.Option("--host", help="Address to listen on; 0.0.0.0 for all.")]
Confidence = Annotated[
    float, typer.Option("--confidence", min=0.5, max=0.99, help="Confidence of the range.")
]
_PARAMS, _WORKDIR, _HOST, _PORT = Path("params.yaml"), Path(), "127.0.0.1", 8000
_LOCAL = ("0.0.0.0", "127.0.0.1")  # noqa: S104


class SampleFormat(StrEnum):
    """Endings that ``carprice sample`` can write."""

    CSV = ".csv"
    PARQUET = ".parquet"


@app.command(rich_help_panel=_SERVE)
def up(host: Host = _HOST, port: Port = _PORT) -> None:
    """Do it all: run the pipeline, promote the first model, start the service.

    Run in the project's folder. What is up to date is reused, so that a second start takes seconds.
    """
    settings, workspace = load_settings(_PARAMS), Workspace(_WORKDIR)
    _reproduce_until_evaluated()
    from carprice.registry import PRODUCTION, Registry, promote

    registration = _register(settings, workspace)
    registry = Registry(_uri(settings, workspace), settings.register_.name)
    production = registry.at(PRODUCTION)
    if production is None:
        production = promote(registry, _now(), "first model, promoted by `carprice up`")
        say(f"Version {production.number} is the first model, and now in production.")
    elif registration.accepted and registration.version != production.number:
        say(
            f"Version {registration.version} waits in staging; production stays version "
            f"{production.number} until `carprice promote`."
        )
    market = read_json(workspace.market, made_by="ingest")
    figures = read_json(workspace.metrics, made_by="evaluate")
    figures_table(f"Model version {registration.version}", figures, market["currency"])
    _serve(settings, workspace, host, port, wait=True)


@app.command(rich_help_panel=_SERVE)
def serve(
    params: Params = _PARAMS,
    workdir: Workdir = _WORKDIR,
    host: Host = _HOST,
    port: Port = _PORT,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes to serve with.")] = 1,
) -> None:
    """Start the service with the production model of the registry.

    Without a production model it answers 503 and keeps asking the registry. What it allows is set
    by environment variables, see docs/service.md.
    """
    _serve(load_settings(params), Workspace(workdir), host, port, workers=workers)


@app.command("api-key", rich_help_panel=_SERVE)
def api_key(
    name: Annotated[str, typer.Argument(help="Who it is for: letters, digits, dots, dashes.")],
) -> None:
    """Make an API key: prints the key, to hand over, and its entry for CARPRICE_API_KEYS."""
    from api.keys import entry, new_key

    key = new_key()
    line = entry(name, key)
    typer.echo(f"key: {key}\nentry: {line}")


@app.command(rich_help_panel=_SERVE)
def predict(
    source: Annotated[str, typer.Argument(help="Listings: a path, glob, s3://…, https://… …")],
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write: .csv, .parquet, .jsonl")],
    params: Params = _PARAMS,
    workdir: Workdir = _WORKDIR,
    model: Annotated[
        Path | None, typer.Option("--model", help="Model folder; default: the production model.")
    ] = None,
    confidence: Confidence = 0.9,
) -> None:
    """Price every row of a source, by the column map of the params file."""
    from carprice.components.predict import predict as predict_source
    from carprice.model import PriceModel
    from carprice.registry import Registry, production_version

    settings, workspace = load_settings(params), Workspace(workdir)
    with step("predict") as progress:
        if model is None:
            progress("fetching the production model")
            registry = Registry(_uri(settings, workspace), settings.register_.name)
            model = registry.fetch(production_version(registry), workspace.model_cache)
        rows, priced = predict_source(
            PriceModel.load(model),
            settings.ingest,
            source,
            out,
            confidence,
            lambda rows: progress(f"{rows:,} rows"),
        )
    say(f"{priced:,} of {rows:,} rows priced into {out}.")


@app.command(rich_help_panel=_PIPELINE)
def run(
    params: Params = _PARAMS,
    workdir: Workdir = _WORKDIR,
    source: Annotated[
        str | None, typer.Option("--source", help="Listings, instead of ingest.source.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run all five stages in any folder, without DVC, and print the figures."""
    settings = load_settings(params, source=source)
    from carprice.pipeline import run as run_stages

    outcome = run_stages(settings, Workspace(workdir), _now(), step)
    if as_json:
        registration = dataclasses.asdict(outcome.registration)
        typer.echo(json.dumps({**outcome.figures, "registration": registration}, indent=2))
        return
    figures_table("Figures of the test rows", outcome.figures, settings.ingest.units.currency)
    _say_registration(outcome.registration)


@app.command(rich_help_panel=_PIPELINE)
def ingest(params: Params = _PARAMS, workdir: Workdir = _WORKDIR) -> None:
    """Stage 1: read, clean and split the listings."""
    settings = load_settings(params)
    from carprice.components.ingest import ingest as ingest_source

    with step("ingest") as progress:
        report = ingest_source(settings.ingest, Workspace(workdir), progress)
    say(
        f"ingest: {report['rows_kept']:,} of {report['rows_read']:,} rows kept; "
        f"see {Workspace(workdir).data_card}"
    )


@app.command(rich_help_panel=_PIPELINE)
def transform(workdir: Workdir = _WORKDIR) -> None:
    """Stage 2: turn listings into features and the target, ln(price)."""
    from carprice.components.transform import transform as transform_listings

    with step("transform"):
        rows = transform_listings(Workspace(workdir))
    say(f"transform: {rows:,} rows")


@app.command(rich_help_panel=_PIPELINE)
def train(params: Params = _PARAMS, workdir: Workdir = _WORKDIR) -> None:
    """Stage 3: fit the model and write its folder."""
    settings = load_settings(params)
    from carprice.components.train import train as train_model

    with step("train") as progress:
        model = train_model(settings.train, Workspace(workdir), progress)
    say(f"train: cross-validated MAPE {model.metrics['mape']:.2f} %")


@app.command(rich_help_panel=_PIPELINE)
def evaluate(workdir: Workdir = _WORKDIR) -> None:
    """Stage 4: measure the model on the test rows, write figures and plots."""
    from carprice.components.evaluate import evaluate as evaluate_model

    with step("evaluate") as progress:
        figures = evaluate_model(Workspace(workdir), progress)
    say(f"evaluate: MAPE {figures['mape']:.2f} %, ranges cover {figures['coverage']:.1f} %")


@app.command(rich_help_panel=_PIPELINE)
def register(params: Params = _PARAMS, workdir: Workdir = _WORKDIR) -> None:
    """Stage 5: register the model; alias `staging` if the gate accepts it.

    The only stage with an outside effect. The same model registered again makes no second version.
    """
    _register(load_settings(params), Workspace(workdir))


@app.command(rich_help_panel=_PIPELINE)
def sample(
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write: .csv or .parquet")],
    rows: Annotated[int, typer.Option("--rows", min=1, help="Number of rows.")] = 10_000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed, same rows.")] = 7,
    with_truth: Annotated[
        bool, typer.Option("--with-truth", help="Add the true price, column truePrice.")
    ] = False,
) -> None:
    """Write the embedded synthetic market; see docs/sample-market.md."""
    ending = out.suffix.lower()
    if ending not in {*SampleFormat}:
        raise InputError(f"--out {out}: the ending must be .csv or .parquet")
    from carprice.atomic import writing
    from carprice.sample_market import generate

    with step("sample") as progress:
        progress(f"{rows:,} rows")
        frame = generate(rows, seed, with_truth=with_truth)
        with writing(out) as path:
            if ending == SampleFormat.CSV:
                frame.to_csv(path, index=False, lineterminator="\n")
            else:
                frame.to_parquet(path, index=False)
    say(f"{rows:,} rows in {out}")


@app.command(rich_help_panel=_REGISTRY)
def promote(
    params: Params = _PARAMS, workdir: Workdir = _WORKDIR, why: Why = "promoted by hand"
) -> None:
    """Make the staging version the production model; exit 1 with the reason if there is none."""
    from carprice.registry import promote as promote_staging

    version = promote_staging(_registry(params, workdir), _now(), why)
    say(f"Version {version.number} is in production.")


@app.command(rich_help_panel=_REGISTRY)
def rollback(
    params: Params = _PARAMS, workdir: Workdir = _WORKDIR, why: Why = "rolled back by hand"
) -> None:
    """Bring the previous production version back; exit 1 if there is none."""
    from carprice.registry import rollback as roll_back

    version = roll_back(_registry(params, workdir), _now(), why)
    say(f"Version {version.number} is in production again.")


@app.command(rich_help_panel=_REGISTRY)
def status(params: Params = _PARAMS, workdir: Workdir = _WORKDIR, as_json: AsJson = False) -> None:
    """Show which versions there are, which is where since when, and their figures."""
    registry = _registry(params, workdir)
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


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _uri(settings: Settings, workspace: Workspace) -> str:
    from carprice.tracking import tracking_uri

    return tracking_uri(workspace.root, settings.tracking.uri)


def _registry(params: Path, workdir: Path) -> "Registry":
    settings = load_settings(params)
    from carprice.registry import Registry

    return Registry(_uri(settings, Workspace(workdir)), settings.register_.name)


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


def _register(settings: Settings, workspace: Workspace) -> "Registration":
    from carprice.components.register import register as register_model

    with step("register") as progress:
        registration = register_model(settings, workspace, _now(), progress)
    _say_registration(registration)
    return registration


def _say_registration(registration: "Registration") -> None:
    is_new = "is new" if registration.is_new else "is already there"
    verdict = "accepted it" if registration.accepted else "refused it"
    say(f"register: version {registration.version} {is_new}; the gate {verdict}")
    if not registration.accepted:
        for reason in registration.reasons:
            say(f"  {reason}")


def _serve(
    settings: Settings,
    workspace: Workspace,
    host: str,
    port: int,
    *,
    workers: int = 1,
    wait: bool = False,
) -> None:
    """Run the service until it is stopped; with ``wait``, load the model before it starts."""
    import asyncio

    from api.app import create_app
    from api.server import run as run_server
    from api.serving import fetch_production
    from api.settings import ServiceSettings
    from carprice.schema import example_listing

    _check_port_is_free(host, port)
    service = ServiceSettings.from_environment(
        tracking_uri=_uri(settings, workspace),
        model_name=settings.register_.name,
        model_cache=workspace.model_cache,
    )
    served = asyncio.run(fetch_production(service)) if wait else None
    address = f"http://{'localhost' if host in _LOCAL else host}:{port}"
    body = json.dumps(example_listing(), separators=(",", ":"))
    say(f"\nService at {address}, its pages at {address}/docs. Try:\n")
    say(f"curl -s {address}/predict -H 'Content-Type: application/json' -d '{body}'\n")
    if workers == 1:
        run_server(create_app(service, served), host, port)
        return
    os.environ["MLFLOW_TRACKING_URI"] = service.tracking_uri
    os.environ["CARPRICE_MODEL_NAME"] = service.model_name
    os.environ["CARPRICE_MODEL_CACHE"] = str(service.model_cache)
    run_server("api.main:app", host, port, workers)


def _check_port_is_free(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            reason = error.strerror or str(error)
            raise RefusedError(
                f"cannot listen on {host}:{port}: {reason.lower()}; choose another with --port"
            ) from None


def main() -> None:
    """Run the command line: one clear line and an exit code for what a person can act on."""
    try:
        app()
    except CarpriceError as error:
        console.print(f"carprice: {error}", style="red", markup=False, soft_wrap=True)
        raise SystemExit(error.exit_code) from None


if __name__ == "__main__":
    main()
