"""Look at the model in use: by the prediction log, by outcomes, and by fresh listings."""

import datetime
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from carprice.arrays import Progress
from carprice.components.workspace import Workspace
from carprice.errors import InputError, RefusedError
from carprice.evaluation.ageing import Ageing
from carprice.evaluation.gate import judge_age
from carprice.files import write_json, write_text
from carprice.listings.market import check_units
from carprice.listings.sources.locations import s3_errors, stored
from carprice.model import PriceModel
from carprice.monitoring.checks import Cause, Check, Level, Monitored
from carprice.monitoring.last_run import to_json
from carprice.monitoring.observations import observe, read_fresh, read_log
from carprice.monitoring.observed import days_of
from carprice.monitoring.outcomes import (
    OUTCOMES_FILE,
    Outcome,
    OutcomeStore,
)
from carprice.monitoring.page import page
from carprice.monitoring.places import LOG_VARIABLE, log_and_outcomes
from carprice.monitoring.records import ANSWER_COLUMNS, ANSWERED_AT, OBSERVED_ON
from carprice.monitoring.s3 import check_file
from carprice.monitoring.verdict import look
from carprice.redaction import redact
from carprice.schema import FIELDS
from carprice.settings import MonitorSettings, Settings

_TOLERATED = datetime.timedelta(days=1)
"""By which a day may be after today's: it is tomorrow already elsewhere."""


@dataclass(frozen=True)
class Places:
    """What a look reads; empty is nothing.

    Attributes
    ----------
    log : folder or ``s3://…`` of the prediction log.
    outcomes : SQLAlchemy URL of the outcomes, or the folder of their database.
    listings : fresh listings, whatever ``ingest.source`` may be.
    since, until : first and last day (UTC) that is looked at; None: all.
    """

    log: str = ""
    outcomes: str = ""
    listings: str = ""
    since: datetime.date | None = None
    until: datetime.date | None = None


@dataclass(frozen=True)
class Looked:
    """What was found, and the answers and observed prices that it was found in."""

    monitored: Monitored
    log: pd.DataFrame
    observations: pd.DataFrame


def places_of(
    settings: MonitorSettings,
    log: str | None = None,
    outcomes: str | None = None,
    listings: str | None = None,
    days: tuple[datetime.date | None, datetime.date | None] = (None, None),
    environment: Mapping[str, str] = os.environ,
) -> Places:
    """Return what to read: as it is given, else as the environment says, else params.yaml.

    Outcomes that are named nowhere are those beside a log that is a folder, if there are any.

    Raises
    ------
    InputError
        If there is nothing to read, or the days are in the wrong order.
    """
    since, until = days
    if since and until and since > until:
        raise InputError(f"--since {since} is after --until {until}; exchange them")
    log, found = log_and_outcomes(settings, log, outcomes, environment)
    if found == log and not (Path(found) / OUTCOMES_FILE).is_file():
        found = ""
    if not (log or found or listings):
        raise InputError(
            "there is nothing to look at; name the prediction log with --log, monitor.log in "
            f"params.yaml or {LOG_VARIABLE}, outcomes with --outcomes, or fresh listings with "
            "--listings"
        )
    return Places(log, found, listings or "", since, until)


def look_at(
    model: PriceModel,
    settings: Settings,
    places: Places,
    progress: Progress,
    now: datetime.datetime,
    backtest: Path | None = None,
) -> Looked:
    """Read what there is, as :func:`read_seen` does, and look at a model with it.

    Parameters
    ----------
    backtest : the report that its age is judged by, where ``register.gate.max_mape_of_age`` is set.

    Raises
    ------
    InputError
        As :func:`read_seen` does, and if fresh listings are of another market than the model.
    """
    units = settings.ingest.units
    if places.listings:
        check_units(
            (units.currency, units.distance),
            model.market.units,
            "fresh listings are read in {ours} (ingest.units), and the model prices in {theirs}; "
            "name the params.yaml of its market with --params, or another model with --model",
        )
    today = now.date()
    log, observations = read_seen(settings, places, progress)
    log, answers_to_come = _by(today + _TOLERATED, log, ANSWERED_AT)
    observations, to_come = _by(today + _TOLERATED, observations, OBSERVED_ON)
    left_out = {"of days to come": to_come, "answers of days to come": answers_to_come}
    monitored = look(
        model,
        log,
        observations,
        settings.monitor,
        progress,
        min(today, places.until or today),
        left_out,
    )
    limit = settings.register_.gate.max_mape_of_age
    if limit is not None:
        seen = pd.DataFrame({"listed_on": days_of(observations[OBSERVED_ON])})
        if ageing := Ageing.of(model, seen, backtest):
            monitored = with_age(monitored, ageing, limit)
    return Looked(monitored, log, observations)


def with_age(monitored: Monitored, ageing: Ageing, limit: float) -> Monitored:
    """Add what the gate would say of a model as old as the newest price that was seen.

    A person should look where the error of a backtest passes a limit at that age. Without a
    backtest of the model's data that is told, and nothing is judged.
    """
    found = judge_age(ageing, limit)
    is_old = bool(ageing.mape) and not found.passed
    told = f"{found.name}: {found.found}; may be {found.needed}"
    if not ageing.mape:
        told = f"{found.name}: {found.found}; not judged, which needs {found.needed}"
    level = Level.LOOK if is_old else Level.FINE
    check = Check("age", "model", level, told, {"months": ageing.months})
    monitored = replace(monitored, checks=[*monitored.checks, check])
    if not is_old:
        return monitored
    if monitored.level is Level.FINE:
        return replace(monitored, cause=Cause.DECAY, level=level, why=[told, *monitored.why])
    return replace(monitored, why=[*monitored.why, told])


def read_seen(
    settings: Settings,
    places: Places,
    progress: Progress,
    counted: Callable[[OutcomeStore], list[Outcome]] = OutcomeStore.latest,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the answers of the log, and the prices that were seen.

    Parameters
    ----------
    counted : which of the outcomes count.

    Raises
    ------
    InputError
        If a place is not there or cannot be read.
    CarpriceError
        If the database of outcomes does not answer.
    """
    log = _answers(places, progress)
    outcomes = [] if not places.outcomes else _outcomes(places.outcomes, progress, counted)
    fresh = None
    if places.listings:
        fresh = read_fresh(places.listings, settings.ingest, progress)
    observations = observe(log, outcomes, fresh)
    return _within(log, ANSWERED_AT, places), _within(observations, OBSERVED_ON, places)


def write_found(monitored: Monitored, workspace: Workspace, made: datetime.datetime) -> None:
    """Write ``monitoring.json`` and the page; RefusedError if the disk does not take them."""
    write_text(workspace.monitoring_page, page(monitored, made))
    write_json(workspace.monitoring, to_json(monitored, made))


def check_published(address: str) -> None:
    """Raise :class:`InputError` for what is no address of a file in S3."""
    try:
        check_file(address)
    except ValueError as error:
        raise InputError(f"--publish {error} (found {redact(address)!r})") from None


def publish(workspace: Workspace, address: str) -> None:
    """Copy ``monitoring.json`` to S3, where services read it; CarpriceError if that cannot be."""
    with s3_errors(address, RefusedError):
        store, name = stored(address)
        store.pipe_file(name, workspace.monitoring.read_bytes())


def _answers(places: Places, progress: Progress) -> pd.DataFrame:
    """Return the log to its last day: a car may be answered before the first, and sold after it."""
    if not places.log:
        return pd.DataFrame(columns=[*ANSWER_COLUMNS, *FIELDS])
    progress("reading the prediction log")
    return read_log(places.log, until=places.until)


def _outcomes(
    location: str, progress: Progress, counted: Callable[[OutcomeStore], list[Outcome]]
) -> list[Outcome]:
    progress("reading outcomes")
    store = OutcomeStore(location)
    try:
        return counted(store)
    finally:
        store.close()


def _by(last: datetime.date, table: pd.DataFrame, column: str) -> tuple[pd.DataFrame, int]:
    """Return the rows of days up to the last one, and how many others there are."""
    kept = _within(table, column, Places(until=last))
    return kept, len(table) - len(kept)


def _within(table: pd.DataFrame, column: str, places: Places) -> pd.DataFrame:
    """Return the rows of the days that are looked at."""
    if column not in table or (places.since is None and places.until is None):
        return table
    days = pd.to_datetime(table[column], utc=True)
    kept = pd.Series(True, index=table.index)
    if places.since is not None:
        kept &= days >= pd.Timestamp(places.since, tz="UTC")
    if places.until is not None:
        kept &= days < pd.Timestamp(places.until, tz="UTC") + pd.Timedelta(days=1)
    return table.loc[kept].reset_index(drop=True)
