"""Commands about what cars sold for."""

import datetime
import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from carprice.cli.app import IN_USE, PARAMS, AsJson, Params, app, now
from carprice.cli.terminal import say, step, table
from carprice.errors import InputError
from carprice.monitoring.places import log_and_outcomes
from carprice.settings import MonitorSettings, Settings, load_settings

if TYPE_CHECKING:
    from carprice.monitoring.outcomes import Outcome

_PART: Final = 10_000
outcomes = typer.Typer(
    help=(
        "What cars sold for, which the monitoring compares with what the service had said.\n\nThey "
        "are kept in CARPRICE_OUTCOMES, or monitor.outcomes of params.yaml: a folder, or the URL "
        "of a database; else beside the prediction log where that is a folder. A URL with a "
        "password belongs into the environment, not into a command."
    ),
    no_args_is_help=True,
)
app.add_typer(outcomes, name="outcomes", rich_help_panel=IN_USE)


@outcomes.command()
def add(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE", help="CSV, Parquet, JSON lines, Excel; also s3://…"),
    ],
    to: Annotated[
        str, typer.Option("--to", metavar="URL", help="Folder or database that keeps them.")
    ] = "",
    params: Params = PARAMS,
    as_json: AsJson = False,
) -> None:
    """Keep what became of cars: of a quote, or of a listing.

    Columns: quoteId or the fields of a listing; soldPrice, soldOn (a day such as
    2025-06-14), kind (sold, the default, offered, or withdrawn, which needs no
    price), revision. All rows are kept, or none where one is wrong. What is told
    again counts once; another outcome of the same quote or listing is a
    correction: that of the highest revision counts, of equal ones the last, and
    the others are kept.

    carprice outcomes add sold.csv --to /var/lib/carprice/log
    """
    from carprice.monitoring.outcome_files import read_outcome_files
    from carprice.monitoring.outcomes import Added, OutcomeStore

    settings = _settings(params)
    store = OutcomeStore(_location(to, settings.monitor))
    with step("outcomes") as progress:
        progress("reading")
        read = read_outcome_files(files, settings.ingest, settings.ingest.own)
        added, moment = Added(), now()
        for start in range(0, len(read.outcomes), _PART):
            progress(f"keeping {start:,} of {len(read.outcomes):,}")
            added += store.add(read.outcomes[start : start + _PART], moment)
    store.close()
    if as_json:
        typer.echo(json.dumps({**asdict(added), "ignoredColumns": [*read.ignored]}))
        return
    if read.ignored:
        say(f"  not read: {', '.join(read.ignored)}")
    say(
        f"{len(read.outcomes):,} outcomes in {store.label}: {added.new:,} new, "
        f"{added.repeated:,} told before, {added.corrections:,} corrections"
    )


@outcomes.command()
def show(
    quote: Annotated[
        str, typer.Option("--quote", metavar="ID", help="Tell all that was told of this quote.")
    ] = "",
    kept: Annotated[
        str, typer.Option("--from", metavar="URL", help="Folder or database that keeps them.")
    ] = "",
    params: Params = PARAMS,
    as_json: AsJson = False,
) -> None:
    """Tell how many outcomes there are by kind and month, or all that was told of a quote."""
    from carprice.monitoring.outcomes import OutcomeStore

    store = OutcomeStore(_location(kept, _settings(params).monitor))
    found = store.history(quote) if quote else store.latest()
    store.close()
    if quote:
        _show_history(quote, found, as_json=as_json)
        return
    counts = Counter((str(one.kind), f"{one.sold_on:%Y-%m}") for one in found)
    if as_json:
        told: dict[str, Any] = {}
        for (kind, month), count in sorted(counts.items()):
            told.setdefault(kind, {})[month] = count
        typer.echo(json.dumps(told, indent=2))
        return
    rows = [(kind, month, f"{count:,}") for (kind, month), count in sorted(counts.items())]
    table(f"Outcomes in {store.label}", ("kind", "month", "cars"), rows)


@outcomes.command()
def forget(
    before: Annotated[
        datetime.datetime,
        typer.Option("--before", formats=["%Y-%m-%d"], metavar="DAY", help="A day (UTC)."),
    ],
    act: Annotated[bool, typer.Option("--act", help="Do it.")] = False,
    kept: Annotated[
        str, typer.Option("--from", metavar="URL", help="Folder or database that keeps them.")
    ] = "",
    params: Params = PARAMS,
) -> None:
    """Say of what nothing was told since a day; with --act, delete it.

    What is told of a quote or a car goes as a whole, history too, or stays as a
    whole. Told again, it is new.
    """
    from carprice.monitoring.outcomes import OutcomeStore

    store = OutcomeStore(_location(kept, _settings(params).monitor))
    found = store.forget(before.date(), act=act)
    store.close()
    done = "are deleted" if act else "would be deleted; nothing was done without --act"
    say(f"{found:,} outcomes in {store.label} {done}")


def _show_history(quote: str, found: "list[Outcome]", *, as_json: bool) -> None:
    if not found:
        raise InputError(f"nothing was told of the quote {quote}; give an id as it was answered")
    if as_json:
        typer.echo(json.dumps([one.to_json() for one in found], indent=2, ensure_ascii=False))
        return
    rows = [
        (
            f"{one.received_at:%Y-%m-%d %H:%M}",
            str(one.kind),
            "–" if one.sold_price is None else f"{one.sold_price:,.2f}",
            one.sold_on.isoformat(),
        )
        for one in found
    ]
    table(f"Quote {quote}: the last one counts", ("told at (UTC)", "kind", "price", "day"), rows)


def _settings(params: Path) -> Settings:
    """Return the settings; the usual ones, where there is no params file."""
    return Settings() if params == PARAMS and not params.exists() else load_settings(params)


def _location(given: str, settings: MonitorSettings) -> str:
    """Return where outcomes are kept: as it is given, as the environment or params.yaml says."""
    _, location = log_and_outcomes(settings, outcomes=given)
    if not location:
        raise InputError(
            "it is not known where outcomes are kept; set CARPRICE_OUTCOMES, or monitor.outcomes "
            "in params.yaml, to a folder or a database, or name it in the command"
        )
    return location
