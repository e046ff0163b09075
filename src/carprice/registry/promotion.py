"""What goes into production, what comes back, and the record of who did it, when and why.

Every event is a tag of the version that it is about, so that the record lies with the models.
"""

import contextlib
import datetime
import getpass
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter

from carprice.arrays import Progress, quiet
from carprice.errors import CorruptModelError, InputError, RefusedError
from carprice.evaluation.gate import failed_reasons
from carprice.redaction import redact
from carprice.registry.intents import Intent, Kind, announced, intents, retract
from carprice.registry.record import (
    PROMOTION_SIGNATURE,
    REPLACED,
    SINCE,
    Record,
    promotion_key,
)
from carprice.registry.versions import (
    CHALLENGER,
    PREVIOUS,
    PRODUCTION,
    STAGING,
    WITHDRAWN,
    Registry,
    Version,
)
from carprice.settings import RegisterSettings


class Happening(StrEnum):
    """Kinds of events, in the order in which those of one moment are listed."""

    RETRAINING = "retraining began"
    NOT_RETRAINED = "not retrained"
    REGISTERED = "registered"
    ACCEPTED = "accepted by the gate"
    REFUSED = "refused by the gate"
    STAGED = "staged again"
    TESTS_PASSED = "passed the model tests"
    TESTS_FAILED = "failed the model tests"
    CHALLENGING = "challenger"
    NOT_CHALLENGING = "not challenger"
    NOT_PROMOTED = "not promoted"
    CHALLENGER_DROPPED = "challenger dropped"
    ROLLED_BACK = "rolled back"
    REPLACED = "replaced"
    PROMOTED = "promoted"
    RESTORED = "restored"


_COMES_BY: Final = {Kind.PROMOTION: Happening.PROMOTED, Kind.ROLLBACK: Happening.RESTORED}
_EVENT: Final = "event."
_STAMP: Final = "%Y%m%dT%H%M%S.%fZ"
_LONGEST: Final = 1500


@dataclass(frozen=True)
class Event:
    """Something that happened to a version: when (UTC), what, by whom and why."""

    time: datetime.datetime
    version: int
    what: Happening
    by: str
    why: str

    def to_json(self) -> dict[str, Any]:
        """Return the event as JSON has it."""
        return {**asdict(self), "time": self.time.isoformat(timespec="seconds")}


@dataclass(frozen=True)
class _Told:
    """What the tag of an event holds."""

    what: Happening
    by: str
    why: str


_TOLD: Final = TypeAdapter(_Told)


def champion_of(production: Version | None) -> str:
    """Return the text of the tag ``gate_champion``: the digest of the model in production."""
    return production.digest if production else "none"


def event_tag(
    what: Happening, now: datetime.datetime, why: str = "", by: str = ""
) -> dict[str, str]:
    """Return the tag that tells of an event; who did it is by default this process's user."""
    told = {"what": what, "by": by or _user(), "why": _shortened(why)}
    content = json.dumps(told, ensure_ascii=False)
    key = _EVENT + now.astimezone(datetime.UTC).strftime(_STAMP) + "." + what.replace(" ", "_")
    return {key: content}


def _shortened(why: str) -> str:
    return why if len(why) <= _LONGEST else f"{why[:_LONGEST]}…"


def record(
    registry: Registry, number: int, what: Happening, now: datetime.datetime, why: str = ""
) -> None:
    """Write an event into a tag of the version that it happened to."""
    registry.tag(number, event_tag(what, now, why))


def history(registry: Registry) -> list[Event]:
    """Return all events of all versions, the oldest first."""
    events = [event for version in registry.versions() for event in events_of(version)]
    order = list(Happening)
    return sorted(events, key=lambda event: (event.time, order.index(event.what)))


def events_of(version: Version) -> Iterator[Event]:
    """Yield the events in a version's tags; a tag that holds something else is passed over."""
    for key, content in version.tags.items():
        stamp = key.removeprefix(_EVENT).rpartition(".")[0]
        with contextlib.suppress(ValueError):
            time = datetime.datetime.strptime(stamp, _STAMP).replace(tzinfo=datetime.UTC)
            told = _TOLD.validate_json(content, strict=True)
            yield Event(time, version.number, told.what, told.by, told.why)


def limits_of(settings: RegisterSettings) -> str:
    """Return the text of the tag ``tests_limits``: all limits of gate and model tests."""
    return settings.model_dump_json(exclude={"name"})


def record_tests(
    registry: Registry,
    version: Version,
    failures: Sequence[str],
    now: datetime.datetime,
    settings: RegisterSettings | None = None,
) -> None:
    """Write the result of the model tests, their limits and the tested digest into tags.

    A failure is written first and a success last: broken off anywhere, the tags never say of the
    tests what is not so.
    """
    limits, passed = limits_of(settings or RegisterSettings()), {"tests": "passed"}
    basis = {"tests_digest": version.digest, "tests_limits": limits}
    if failures:
        registry.tag(version.number, {"tests": "failed", **basis})
        record(registry, version.number, Happening.TESTS_FAILED, now, "; ".join(failures))
    else:
        signed = _record(registry, version).signed_tests(promotion_key(), limits)
        registry.tag(version.number, {**basis, **signed, **passed})
        record(registry, version.number, Happening.TESTS_PASSED, now)


def promote(
    registry: Registry,
    now: datetime.datetime,
    why: str,
    settings: RegisterSettings | None = None,
    say: Progress = quiet,
    number: int | None = None,
) -> Version:
    """Point ``production`` at the staging version, and ``previous`` at the one it replaces.

    The version in production is returned, also where that was the staging one already. What was
    broken off before is finished first.

    Parameters
    ----------
    settings : the limits in force, which have to be those that the version was judged and tested
        by; None: whatever they were.
    say : is told what was finished.
    number : the version to promote in place of the staging one; the same is asked of it.

    Raises
    ------
    RefusedError
        If no version is in staging, or the one that is may not go to production: the gate did
        not accept it beside what is in production now, its very digest did not pass the model
        tests, or its bytes are not those that were registered. Or if somebody else is at it.
    """
    finish(registry, say)
    candidate = staged_version(registry) if number is None else registry.numbered(number)
    current = registry.at(PRODUCTION)
    if current is not None and current.number == candidate.number:
        _complete_record(registry, candidate, now, why)
        return candidate
    if objections := objections_to(registry, candidate, current, settings):
        told = "; ".join(objections)
        record(registry, candidate.number, Happening.NOT_PROMOTED, now, told)
        raise RefusedError(
            f"version {candidate.number} of {registry.name} does not go to production: {told}"
        )
    _carry_out(registry, _intent(Kind.PROMOTION, registry, current, candidate, now, why))
    return candidate


def objections_to(
    registry: Registry,
    candidate: Version,
    current: Version | None,
    settings: RegisterSettings | None,
) -> list[str]:
    """Return why a version may not go to production beside the one there; empty if it may."""
    return [
        *_objections_of_the_gate(registry, candidate, current, settings),
        *_objections_of_the_tests(registry, candidate, settings),
    ]


def _complete_record(
    registry: Registry, version: Version, now: datetime.datetime, why: str
) -> None:
    """Write the record that is missing where an older carprice was killed, or the alias set."""
    objections = _objections_of_the_tests(registry, version, None)
    if withdrawn := why_withdrawn(registry.versions(), version):
        objections.append(f"it was {withdrawn}")
    is_recorded = SINCE in version.tags and any(
        event.what in (Happening.PROMOTED, Happening.RESTORED) for event in events_of(version)
    )
    if not is_recorded and not version.accepted:
        objections.append(f"the gate did not accept it ({_why_refused(version)})")
    if objections:
        raise RefusedError(
            f"version {version.number} of {registry.name} is in production, but "
            f"{'; '.join(objections)}; `carprice rollback` brings an earlier one back"
        )
    if any(one.version == version.number for one in intents(registry)):
        return  # another process is at it
    since = version.tags.get(SINCE, "") if is_recorded else now.isoformat(timespec="seconds")
    if not is_recorded:
        registry.tag(version.number, {SINCE: since})
        record(registry, version.number, Happening.PROMOTED, now, why)
    told, key = _record(registry, version), promotion_key()
    if key and not told.is_promotion_signed(key):
        registry.tag(version.number, told.signed_promotion(key, since))


def rollback(
    registry: Registry,
    now: datetime.datetime,
    why: str,
    to: int | None = None,
    say: Progress = quiet,
    only: int | None = None,
) -> Version:
    """Bring an earlier production version back: the one before, or the one of a number.

    The version that goes is withdrawn, with all others of its digest: the pipeline does not stage
    them again, and only a rollback to a number brings them back. Where the version in production
    was deleted, none is withdrawn.

    A rollback that was broken off is finished; it is not gone back any further then.

    Parameters
    ----------
    only : the version that is to go; nothing is done where another one is in production.

    Raises
    ------
    RefusedError
        If that version was never in production, or its bytes are not those that were registered.
        Or if production is not what it was at the start, or somebody else is at it.
    """
    at_first = registry.at(PRODUCTION)
    finished = finish(registry, say)
    current = registry.at(PRODUCTION)
    if current is not None and any(
        one.kind is Kind.ROLLBACK and one.version == current.number and to in (None, one.version)
        for one in finished
    ):
        return current
    if champion_of(current) != champion_of(at_first):
        raise RefusedError(
            f"production of {registry.name} is {_named(current)} since what was broken off is "
            "finished; run `carprice rollback` again if that is to go"
        )
    if only is not None and _number(current) != only:
        raise RefusedError(
            f"production of {registry.name} is {_named(current)} and not version {only} any more; "
            "nothing was rolled back"
        )
    versions = registry.versions()
    earlier = _before(registry, versions, current) if to is None else registry.numbered(to)
    if to is not None and SINCE not in earlier.tags:
        raise RefusedError(
            f"version {to} of {registry.name} was never in production; new versions go there by "
            "`carprice promote`"
        )
    if damage := _unsigned(registry, earlier) or damage_of(registry, earlier):
        raise RefusedError(f"version {earlier.number} cannot be brought back: {damage}")
    if current is None or earlier.number != current.number:
        _carry_out(registry, _intent(Kind.ROLLBACK, registry, current, earlier, now, why))
    return earlier


def _unsigned(registry: Registry, version: Version) -> str:
    """Return why no signature speaks for an earlier version; empty without a key."""
    key, told = promotion_key(), _record(registry, version)
    if not key or told.is_promotion_signed(key) or not told.objection_to_tests(key):
        return ""
    return f"{told.objection_to_tests(key)}; run `carprice test-model --version {version.number}`"


def _record(registry: Registry, version: Version) -> Record:
    return Record(registry.name, str(version.number), version.digest, version.tags)


def _before(registry: Registry, versions: Sequence[Version], current: Version | None) -> Version:
    """Return the last earlier production version, of other bytes, that was not rolled back."""

    def is_other(one: Version) -> bool:
        return current is None or (one.number != current.number and not _are_twins(one, current))

    previous = registry.at(PREVIOUS)
    if previous and is_other(previous) and not why_withdrawn(versions, previous):
        return previous
    others = [one for one in versions if SINCE in one.tags and is_other(one)]
    if not others:
        raise RefusedError(_no_earlier(registry))

    def order(one: Version) -> tuple[bool, str, int]:
        return not why_withdrawn(versions, one), one.tags[SINCE], one.number

    last = max(others, key=order)
    if withdrawn := why_withdrawn(versions, last):
        raise RefusedError(
            f"{_no_earlier(registry)}: version {last.number} was {withdrawn}; `carprice "
            f"rollback --to {last.number}` brings it back all the same"
        )
    return last


def _no_earlier(registry: Registry) -> str:
    return (
        f"registry {redact(registry.uri)} knows no earlier production version of "
        f"{registry.name} to go back to"
    )


def _are_twins(one: Version, other: Version) -> bool:
    """Whether two versions are of the same bytes."""
    return one.digest != "" and one.digest == other.digest


def _twins(versions: Sequence[Version], version: Version) -> list[Version]:
    """Return a version and all others of its digest."""
    return [one for one in versions if one.number == version.number or _are_twins(one, version)]


def why_withdrawn(versions: Sequence[Version], version: Version) -> str:
    """Return why a version, or another one of its digest, was rolled back; empty if none was."""
    own = next((one.withdrawn for one in versions if one.number == version.number), "")
    others = (
        f"{one.withdrawn} as version {one.number}, of the same bytes"
        for one in _twins(versions, version)
        if one.withdrawn
    )
    return own or next(others, "")


def _intent(
    kind: Kind,
    registry: Registry,
    current: Version | None,
    version: Version,
    now: datetime.datetime,
    why: str,
) -> Intent:
    moment = now.astimezone(datetime.UTC)
    there, previous = _number(current), _number(registry.at(PREVIOUS))
    intent = Intent(
        kind, there, version.number, previous, moment.isoformat(), _user(), _shortened(why)
    )
    since = moment.isoformat(timespec="seconds")
    signed = _record(registry, version).signed_promotion(promotion_key(), since)
    return replace(intent, signature=signed.get(PROMOTION_SIGNATURE, ""))


def finish(registry: Registry, say: Progress = quiet) -> list[Intent]:
    """Finish every promotion and rollback that was broken off; return them, the oldest first.

    One that production has gone on from in another way, or whose version may not be there any more,
    is given up.
    """
    finished = []
    for intent in intents(registry):
        if intent.is_live:
            continue
        if problem := _cannot_be_finished(registry, intent):
            _give_up(registry, intent)
            say(f"The {intent.told} was broken off, and is given up: {problem}.")
        else:
            _carry_out(registry, intent.taken_over())
            finished.append(intent)
            say(f"The {intent.told} was broken off; it is finished now.")
        retract(registry, intent)
    return finished


def _cannot_be_finished(registry: Registry, intent: Intent) -> str:
    """Return why an intent that was broken off must not be carried out; empty if it may."""
    standing, versions = registry.at(PRODUCTION), registry.versions()
    version = next((one for one in versions if one.number == intent.version), None)
    if version is None:
        return f"there is no version {intent.version} any more"
    if standing is not None and standing.number == intent.version:
        return ""
    if standing is not None and standing.number != intent.current:
        return f"{_named(standing)} is in production meanwhile"
    return _tags_against(registry, intent, versions, version) or damage_of(registry, version)


def _tags_against(
    registry: Registry, intent: Intent, versions: Sequence[Version], version: Version
) -> str:
    """Return what the tags say against a version that an intent names; empty if nothing."""
    if intent.kind is Kind.ROLLBACK:
        return _unsigned(registry, version)
    if withdrawn := why_withdrawn(versions, version):
        return f"it was {withdrawn}"
    if not version.accepted:
        return f"the gate did not accept it ({_why_refused(version)})"
    return _problem_of_the_tests(registry, version, None)


def _give_up(registry: Registry, intent: Intent) -> None:
    """Take back what a promotion wrote that did not get to the alias."""
    if intent.kind is Kind.ROLLBACK:
        return
    standing, versions = registry.at(PRODUCTION), {one.number: one for one in registry.versions()}
    since = intent.now.isoformat(timespec="seconds")
    if standing is not None and standing.number == intent.current:
        if intent.previous in versions:
            registry.point(PREVIOUS, intent.previous, intent.now)
        else:
            registry.clear(PREVIOUS)
        if standing.tags.get(REPLACED) == since:
            registry.untag(standing.number, REPLACED)
    version = versions.get(intent.version)
    if version and version.tags.get(SINCE) == since:
        registry.untag(version.number, SINCE)


def _carry_out(registry: Registry, intent: Intent) -> None:
    """Do what an intent says, unless production changes meanwhile.

    Every write is the same whoever writes it, and as often as it is written.
    """
    with announced(registry, intent) as agreed:
        meanwhile, versions = registry.at(PRODUCTION), registry.versions()
        numbers = {one.number: one for one in versions}
        is_there = intent.version in numbers
        if not is_there or _number(meanwhile) not in (intent.current, intent.version, None):
            retract(registry, intent)
            changed = (
                f"production of {registry.name} changed to {_named(meanwhile)}"
                if is_there
                else f"version {intent.version} of {registry.name} was deleted"
            )
            raise RefusedError(f"{changed} in the meantime; run `carprice register` and try again")
        current, version = numbers.get(intent.current or 0), numbers[intent.version]
        is_moved = _number(meanwhile) == version.number
        done = {one.what for one in events_of(version)}
        if is_moved and agreed == intent and _COMES_BY[intent.kind] in done:
            return  # another process has done all of it
        if not is_moved and (told := _tags_against(registry, intent, versions, version)):
            retract(registry, intent)
            raise RefusedError(
                f"version {version.number} of {registry.name} does not go to production: {told}"
            )
        if agreed.kind is Kind.ROLLBACK:
            if current and not _are_twins(current, version):
                _withdraw(registry, _twins(versions, current), current, agreed)
            for twin in _twins(versions, version):
                if twin.withdrawn:
                    registry.untag(twin.number, WITHDRAWN)
        _put_in_production(registry, version, current, agreed, intent)


def _withdraw(
    registry: Registry, twins: Sequence[Version], version: Version, intent: Intent
) -> None:
    """Mark all versions of a digest as rolled back, so that ``promote`` refuses them.

    The mark comes before the aliases move: if the process dies in between, it is there already.
    """
    mark = f"rolled back on {intent.now:%Y-%m-%d}: {intent.why}"[:_LONGEST]
    for twin in twins:
        registry.tag(twin.number, {WITHDRAWN: mark})
    for alias in (STAGING, CHALLENGER):
        found = registry.at(alias)
        if found is not None and found.number in [twin.number for twin in twins]:
            registry.clear(alias)
    _record_of(registry, version.number, Happening.ROLLED_BACK, intent, intent.why)


def _put_in_production(
    registry: Registry, version: Version, current: Version | None, agreed: Intent, mine: Intent
) -> None:
    if current is not None:
        registry.point(PREVIOUS, current.number, agreed.now)
    if not any(one.token == mine.token for one in intents(registry)):
        raise RefusedError(
            f"somebody else took the {mine.told} for broken off and finished it; see "
            "`carprice history`"
        )
    if agreed.signature:
        registry.tag(version.number, {PROMOTION_SIGNATURE: agreed.signature})
    registry.point(PRODUCTION, version.number, agreed.now)
    stands = registry.at(PRODUCTION)
    if stands is None or stands.number != version.number:
        retract(registry, mine)
        raise RefusedError(
            f"version {version.number} of {registry.name} was in production for a moment only: "
            f"somebody else put {_named(stands)} there at the same time; see `carprice history`"
        )
    if current is not None:
        why = f"by version {version.number}"
        _record_of(registry, current.number, Happening.REPLACED, agreed, why)
    _record_of(registry, version.number, _COMES_BY[agreed.kind], agreed, agreed.why)


def _record_of(registry: Registry, number: int, what: Happening, intent: Intent, why: str) -> None:
    registry.tag(number, event_tag(what, intent.now, why, intent.by))


def _number(version: Version | None) -> int | None:
    return None if version is None else version.number


def _named(version: Version | None) -> str:
    return "none" if version is None else f"version {version.number}"


def _objections_of_the_gate(
    registry: Registry,
    candidate: Version,
    current: Version | None,
    settings: RegisterSettings | None,
) -> list[str]:
    """Return why the gate's decision does not allow a promotion; empty if it does."""
    tags, again = candidate.tags, "run `carprice register` again"
    if withdrawn := why_withdrawn(registry.versions(), candidate):
        return [f"it was {withdrawn}; `carprice rollback --to` brings it back"]
    if not candidate.accepted:
        return [f"the gate did not accept it ({_why_refused(candidate)})"]
    if tags.get("gate_champion") != champion_of(current):
        there = f"version {current.number}" if current else "nothing"
        return [
            f"the gate compared it with another production model than {there}, which is there "
            f"now; {again}"
        ]
    if settings and tags.get("gate_thresholds") != settings.gate.model_dump_json():
        return [f"the gate judged it by other thresholds than those in force; {again}"]
    return []


def _objections_of_the_tests(
    registry: Registry, version: Version, settings: RegisterSettings | None
) -> list[str]:
    """Return why the model tests or the bytes do not allow a promotion; empty if they do."""
    problem = _problem_of_the_tests(registry, version, settings)
    told = f"{problem}; run `carprice test-model`" if problem else ""
    return [*filter(None, (told, damage_of(registry, version)))]


def _problem_of_the_tests(
    registry: Registry, version: Version, settings: RegisterSettings | None
) -> str:
    """Return what the tags say against a version's model tests; empty if they passed."""
    problem = _record(registry, version).objection_to_tests(promotion_key())
    if not problem and settings and version.tags.get("tests_limits") != limits_of(settings):
        return "it passed the model tests by other limits than those in force"
    return problem


def damage_of(registry: Registry, version: Version) -> str:
    """Return what is wrong with a version's bytes in the registry; empty if nothing is."""
    with tempfile.TemporaryDirectory(prefix="carprice-") as scratch:
        try:
            registry.verified(version, registry.download(version, Path(scratch)))
        except (CorruptModelError, InputError) as error:
            return str(error)
    return ""


def staged_version(registry: Registry) -> Version:
    """Return the version in staging.

    Raises
    ------
    RefusedError
        If there is none; the message says what became of the newest version.
    """
    staged = registry.at(STAGING)
    if staged is not None:
        return staged
    newest = next(iter(registry.versions()), None)
    if newest is None:
        reason = "run the pipeline first: dvc repro, or carprice run"
    elif newest.withdrawn:
        reason = f"version {newest.number} was {newest.withdrawn}"
    elif not newest.accepted:
        reason = f"the gate refused version {newest.number}: {_why_refused(newest)}"
    else:
        reason = "run `carprice register` on the candidate once more"
    raise RefusedError(
        f"registry {redact(registry.uri)} has no staging version of {registry.name}; {reason}"
    )


def _why_refused(version: Version) -> str:
    return failed_reasons(version.gate_reasons) or "it was never judged"


def _user() -> str:
    if actor := os.environ.get("GITHUB_ACTOR"):
        return f"{actor} in GitHub run {os.environ.get('GITHUB_RUN_ID', '?')}"
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "unknown"
