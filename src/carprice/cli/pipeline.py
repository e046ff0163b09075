"""The stages as commands, and what belongs to them: the look at the data, the sample, snapshots."""

import dataclasses
import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from carprice.cli.app import (
    PARAMS,
    PIPELINE,
    WORKDIR,
    AsJson,
    OnCluster,
    Params,
    Workdir,
    app,
    log_in,
    now,
    working,
)
from carprice.cli.terminal import figures_table, say, say_assumed, say_junk, step, table
from carprice.components.workspace import Workspace
from carprice.errors import InputError
from carprice.settings import ComputeSettings, Settings, load_settings

if TYPE_CHECKING:
    from carprice.components.register import Registration


Source = Annotated[str | None, typer.Option("--source", help="Listings, instead of ingest.source.")]


@app.command(rich_help_panel=PIPELINE)
def eda(
    params: Params = PARAMS,
    source: Source = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Page to write.")] = Path(
        "reports/eda.html"
    ),
) -> None:
    """Look at the listings before training: one HTML page, read as the pipeline reads them.

    What is missing, rejected, suspicious, noisy, far off or drifting, and what to know before you
    train. The page loads nothing from anywhere and shows no row of a listing.
    """
    settings = load_settings(params, source=source)
    from carprice.eda.advice import Severity, advise
    from carprice.eda.report import write_report
    from carprice.files import check_writable

    check_writable(out)
    with step("eda") as progress:
        findings = write_report(settings, out, progress, Workspace(Path()).snapshot)
    for one in advise(findings):
        if one.severity is not Severity.NOTE:
            say(f"  {one.severity.value}: {one.title}")
    say(f"eda: {findings.rows_kept:,} of {findings.rows_read:,} rows kept; see {out}")


@app.command(rich_help_panel=PIPELINE)
def run(
    params: Params = PARAMS,
    workdir: Workdir = WORKDIR,
    source: Source = None,
    cluster: OnCluster = None,
    as_json: AsJson = False,
) -> None:
    """Run all five stages in any folder, without DVC, and print the figures."""
    settings = load_settings(params, source=source, cluster=cluster)
    workspace = Workspace(workdir)
    with working(workspace, "run"):
        log_in(settings, workspace)
        from carprice.components.pipeline import run as run_stages

        outcome = run_stages(settings, workspace, now(), step)
    say_assumed(outcome.report["notes"])
    say_junk(outcome.report["junk"])
    if as_json:
        registration = dataclasses.asdict(outcome.registration)
        typer.echo(json.dumps({**outcome.figures, "registration": registration}, indent=2))
        return
    figures_table("Figures of the test rows", outcome.figures, settings.ingest.units.currency)
    say_registration(outcome.registration)


@app.command(rich_help_panel=PIPELINE)
def ingest(params: Params = PARAMS, workdir: Workdir = WORKDIR, cluster: OnCluster = None) -> None:
    """Stage 1: read, clean and split the listings."""
    settings, workspace = load_settings(params, cluster=cluster), Workspace(workdir)
    from carprice.components.cluster import opened
    from carprice.components.ingest import ingest as ingest_source

    with working(workspace, "ingest"), step("ingest") as progress, opened(settings.compute) as runs:
        report = ingest_source(settings.ingest, workspace, progress, each=runs.each)
    say_assumed(report["notes"])
    say_junk(report["junk"])
    say(
        f"ingest: {report['rows_kept']:,} of {report['rows_read']:,} rows kept; "
        f"see {Workspace(workdir).data_card}"
    )


@app.command(rich_help_panel=PIPELINE)
def transform(workdir: Workdir = WORKDIR) -> None:
    """Stage 2: turn listings into features and the target, ln(price)."""
    from carprice.components.transform import transform as transform_listings

    with working(Workspace(workdir), "transform"), step("transform"):
        rows = transform_listings(Workspace(workdir))
    say(f"transform: {rows:,} rows")


@app.command(rich_help_panel=PIPELINE)
def train(params: Params = PARAMS, workdir: Workdir = WORKDIR, cluster: OnCluster = None) -> None:
    """Stage 3: fit the model and write its folder."""
    settings, workspace = load_settings(params, cluster=cluster), Workspace(workdir)
    from carprice.components.cluster import opened
    from carprice.components.train import train as train_model

    with working(workspace, "train"), step("train") as progress, opened(settings.compute) as runs:
        model = train_model(settings.train, workspace, progress, runs.each)
    say(f"train: cross-validated MAPE {model.metrics['mape']:.2f} %")


@app.command(rich_help_panel=PIPELINE)
def evaluate(
    params: Params = PARAMS, workdir: Workdir = WORKDIR, cluster: OnCluster = None
) -> None:
    """Stage 4: measure the model on the test rows, write figures and plots."""
    workspace, compute = Workspace(workdir), ComputeSettings()
    if cluster is not None or params.exists():
        compute = load_settings(params, cluster=cluster).compute
    from carprice.components.cluster import opened
    from carprice.components.evaluate import evaluate as evaluate_model

    with working(workspace, "evaluate"), step("evaluate") as progress, opened(compute) as runs:
        figures = evaluate_model(workspace, progress, runs.predictor)
    say(f"evaluate: MAPE {figures['mape']:.2f} %, ranges cover {figures['coverage']:.1f} %")


@app.command(rich_help_panel=PIPELINE)
def register(params: Params = PARAMS, workdir: Workdir = WORKDIR) -> None:
    """Stage 5: register the model; alias `staging` if the gate accepts it.

    The only stage with an outside effect. The same model registered again makes no second version.
    """
    settings = load_settings(params)
    with working(Workspace(workdir), "register"):
        register_candidate(settings, Workspace(workdir))


@app.command(rich_help_panel=PIPELINE)
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
    if ending not in (".csv", ".parquet") and not out.is_dir():
        raise InputError(f"--out {out}: the ending must be .csv or .parquet")
    from carprice.files import check_writable, writing
    from carprice.sample.market import generate

    check_writable(out)
    with step("sample") as progress:
        progress(f"{rows:,} rows")
        frame = generate(rows, seed, with_truth=with_truth)
        with writing(out) as path:
            if ending == ".csv":
                frame.to_csv(path, index=False, lineterminator="\n")
            else:
                frame.to_parquet(path, index=False)
    say(f"{rows:,} rows in {out}")


@app.command(name="map", rich_help_panel=PIPELINE)
def map_source(
    source: Annotated[str, typer.Argument(help="A file, pattern or address of listings.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="New params file; default: standard output.")
    ] = None,
) -> None:
    """Propose a params file for listings: which column is what, and how its values are read.

    Columns are recognised by their names, in many languages, and by their values; header row,
    sheet, encoding, decimal sign and units are guessed. A comment with a question mark tells what
    to look at before `carprice run --params FILE`.
    """
    if out is not None and out.exists():
        raise InputError(f"--out {out} is there already; name a new file")
    from carprice.files import check_writable, write_text
    from carprice.listings.mapping import propose_params

    if out is not None:
        check_writable(out)
    with step("map") as progress:
        text, questions, missing = propose_params(source, progress)
    if out is None:
        typer.echo(text, nl=False)
    else:
        write_text(out, text)
    name = out or "FILE"
    if out is None:
        say(f"map: write it to a file: carprice map {shlex.quote(source)} --out {name}")
    else:
        say(f"map: {out} is written")
    if missing:
        say(f"map: no column was recognised for {', '.join(missing)}; name it in {name}")
    say(f"map: lines with a question (# ?): {questions}; then: carprice run --params {name}")


@app.command(rich_help_panel=PIPELINE)
def snapshot(
    digest: Annotated[str, typer.Argument(help="As raw_digest in the report and the tags.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="New folder to write.")],
) -> None:
    """Bring back the raw data that a run read, byte for byte, from DVC's cache or data remote."""
    from carprice.listings.dvc_remote import bring_back, project_root

    with step("snapshot"):
        files = bring_back(project_root(), digest, out)
    say(f"{files} {'file' if files == 1 else 'files'} of {digest} in {out}.")


def register_candidate(settings: Settings, workspace: Workspace) -> "Registration":
    """Run the register stage and say what came of it."""
    from carprice.components.register import register as register_model

    with step("register") as progress:
        registration = register_model(settings, workspace, now(), progress)
    say_registration(registration)
    return registration


def say_registration(registration: "Registration") -> None:
    """Tell people what the registry made of a candidate."""
    is_new = "is new" if registration.is_new else "is already there"
    if registration.checks:
        rows = [
            (check.name, check.found, check.needed, "passed" if check.passed else "FAILED")
            for check in registration.checks
        ]
        title = f"The gate on version {registration.version}"
        table(title, ("check", "found", "needs", "verdict"), rows)
    verdict = "may be staged" if registration.accepted else "is refused"
    say(f"register: version {registration.version} {is_new}, and {verdict}")
    for reason in registration.reasons:
        if reason.startswith("note") or not (registration.accepted or registration.checks):
            say(f"  {reason}")
