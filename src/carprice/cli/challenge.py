"""Commands about the challenger: a version that is tried beside production."""

import json
import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from carprice.cli.app import (
    IN_USE,
    PARAMS,
    WORKDIR,
    AsJson,
    Params,
    Workdir,
    app,
    now,
    open_registry,
)
from carprice.cli.monitor import Listings, Log, Outcomes, say_warnings
from carprice.cli.terminal import say, step, table
from carprice.components.workspace import Workspace
from carprice.errors import CarpriceWarning, InputError
from carprice.settings import Settings, load_settings

if TYPE_CHECKING:
    from carprice.components.challenge import Contest
    from carprice.monitoring.sequential import Difference

commands = typer.Typer(
    help="Try a version beside production, and let outcomes decide.", no_args_is_help=True
)
app.add_typer(commands, name="challenge", rich_help_panel=IN_USE)

_NOTHING: Final = (
    "No version challenges production, and none is watched; see `carprice challenge start`."
)


@commands.command()
def start(
    version: Annotated[
        int | None, typer.Argument(min=1, help="Version that challenges production.")
    ] = None,
    staged: Annotated[
        bool, typer.Option("--staged", help="The staging version, instead of a number.")
    ] = False,
    why: Annotated[
        str, typer.Option("--why", help="Reason, kept with the version.")
    ] = "set by hand",
    params: Params = PARAMS,
    workdir: Workdir = WORKDIR,
) -> None:
    """Let a version challenge production; exit 1 unless it might be promoted.

    The gate accepted it beside the present production model, and it passed the model tests. A
    challenger that is there already gives way.
    """
    from carprice.registry.challenge import start as start_challenge

    if staged == (version is not None):
        raise InputError("name a version, or --staged: `carprice challenge start 7`")
    settings = load_settings(params)
    registry = open_registry(settings, Workspace(workdir))
    found = start_challenge(registry, now(), why, version, settings.register_, say)
    say(f"Version {found.number} challenges production.")


@commands.command()
def status(
    log: Log = None,
    outcomes: Outcomes = None,
    listings: Listings = None,
    params: Params = PARAMS,
    workdir: Workdir = WORKDIR,
    as_json: AsJson = False,
) -> None:
    """Show how challenger and production compare by outcomes and fresh listings."""
    settings, workspace = load_settings(params), Workspace(workdir)
    found = _contests(settings, workspace, (log, outcomes, listings))
    if as_json:
        typer.echo(json.dumps([one.to_json() for one in found], indent=2, ensure_ascii=False))
        return
    for contest in found:
        _show(contest, settings.challenge.level)
    if not found:
        say(_NOTHING)


@commands.command()
def decide(
    act: Annotated[bool, typer.Option("--act", help="Do it: promote, drop, or roll back.")] = False,
    log: Log = None,
    outcomes: Outcomes = None,
    listings: Listings = None,
    params: Params = PARAMS,
    workdir: Workdir = WORKDIR,
    as_json: AsJson = False,
) -> None:
    """Say whether to promote, drop or wait for the challenger; with --act, do it.

    A version that a challenge brought to production is watched beside the one before it, and
    rolled back where it proves worse.

    Exit 0: wait; 3: drop, or roll back; 4: promote. With --act, 0 when it is done.
    """
    from carprice.components.challenge import act as act_on
    from carprice.components.challenge import next_of, settle

    settings, workspace = load_settings(params), Workspace(workdir)
    if act:
        settle(open_registry(settings, workspace), say)
    found = _contests(settings, workspace, (log, outcomes, listings))
    first = next_of(found)
    if as_json:
        typer.echo(json.dumps([one.to_json() for one in found], indent=2, ensure_ascii=False))
    for one in found:
        say(f"Version {one.newer.number}: {one.decision.step}; {one.decision.why}.")
    if not found:
        say(_NOTHING)
    if first is None:
        return
    if not act:
        raise SystemExit(first.decision.step.exit_code)
    say(act_on(open_registry(settings, workspace), first, settings, now(), say))


def _contests(
    settings: Settings, workspace: Workspace, named: tuple[str | None, str | None, str | None]
) -> "list[Contest]":
    from carprice.components.challenge import Evidence, contests
    from carprice.components.monitor import places_of, read_seen
    from carprice.monitoring.outcomes import Outcome, OutcomeStore
    from carprice.monitoring.pairs import settled

    def counted(store: OutcomeStore) -> list[Outcome]:
        return settled(store.told(), settings.challenge.step_days)

    with step("challenge") as progress, warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", CarpriceWarning)

        def evidence() -> Evidence:
            places = places_of(settings.monitor, *named)
            return Evidence(*read_seen(settings, places, progress, counted))

        registry = open_registry(settings, workspace)
        found = contests(registry, settings, workspace.model_cache, evidence, now(), progress)
    say_warnings(told)
    return found


def _show(contest: "Contest", level: float) -> None:
    newer, older = contest.newer.number, contest.older.number
    what = "watched beside" if contest.is_watch else "challenges"
    rows = [
        _row("all", contest.found),
        *(_row(name, one) for name, one in contest.by_source.items()),
    ]
    header = (
        "seen",
        "cars",
        "days",
        f"error of {newer}",
        f"of {older}",
        "difference",
        "from",
        "to",
    )
    title = f"Version {newer} {what} version {older} since {contest.since:%Y-%m-%d}"
    table(title, header, rows)
    for why, count in contest.left_out.items():
        say(f"  {count:,} left out: {why}")
    for note in contest.notes:
        say(f"  {note}")
    served = contest.served
    if served.answers:
        times = f"{_told(served.milliseconds)} ms, the other's {_told(served.beside)} ms"
        told = f"{served.answers:,} answers, {served.problems:,} problems; a price takes {times}"
        say(f"  in the service: {told}")
    say(
        f"  each end holds with {100 * (1 - level):g} % at all times of looking, the lower one "
        "where steps are independent; errors are mean absolute log errors"
    )
    say(f"{contest.decision.step}: {contest.decision.why}")


def _row(name: str, one: "Difference") -> Sequence[str]:
    shares = (
        f"{100 * value:.2f} %" if math.isfinite(value) else "?" for value in (one.ours, one.theirs)
    )
    ends = (
        f"{100 * end:+.1f} %" if math.isfinite(end) else "?"
        for end in (one.value, one.low, one.high)
    )
    return (name, f"{one.cars:,}", f"{one.days:,}", *shares, *ends)


def _told(value: float) -> str:
    return f"{value:.1f}" if math.isfinite(value) else "?"
