"""The look at the data as a command."""

from pathlib import Path
from typing import Annotated

import typer

from carprice.cli.app import PARAMS, PIPELINE, Params, app
from carprice.cli.terminal import say, step
from carprice.components.workspace import Workspace
from carprice.settings import load_settings


@app.command("eda", rich_help_panel=PIPELINE)
def look_at_the_data(
    params: Params = PARAMS,
    source: Annotated[
        str | None, typer.Option("--source", help="Listings, instead of ingest.source.")
    ] = None,
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

    with step("eda") as progress:
        findings = write_report(settings, out, progress, Workspace(Path()).snapshot)
    for one in advise(findings):
        if one.severity is not Severity.NOTE:
            say(f"  {one.severity.value}: {one.title}")
    say(f"eda: {findings.rows_kept:,} of {findings.rows_read:,} rows kept; see {out}")
