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
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from carprice.errors import CorruptModelError, InputError, RefusedError
from carprice.evaluation.gate import failed_reasons
from carprice.redaction import redact
from carprice.registry.versions import PREVIOUS, PRODUCTION, STAGING, WITHDRAWN, Registry, Version
from carprice.settings import RegisterSettings


class Happening(StrEnum):
    """Kinds of events, in the order in which those of one moment are listed."""

    REGISTERED = "registered"
    ACCEPTED = "accepted by the gate"
    REFUSED = "refused by the gate"
    STAGED = "staged again"
    TESTS_PASSED = "passed the model tests"
    TESTS_FAILED = "failed the model tests"
    NOT_PROMOTED = "not promoted"
    ROLLED_BACK = "rolled back"
    REPLACED = "replaced"
    PROMOTED = "promoted"
    RESTORED = "restored"


_EVENT: Final = "event."
_STAMP: Final = "%Y%m%dT%H%M%S.%fZ"
_LONGEST: Final = 1500
_SINCE: Final = f"{PRODUCTION}_since"


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


def champion_of(production: Version | None) -> str:
    """Return the text of the tag ``gate_champion``: the digest of the model in production."""
    return production.digest if production else "none"


def event_tag(what: Happening, now: datetime.datetime, why: str = "") -> dict[str, str]:
    """Return the tag that tells of an event; the user of this process is who did it."""
    told = why if len(why) <= _LONGEST else f"{why[:_LONGEST]}…"
    content = json.dumps({"what": what, "by": _user(), "why": told}, ensure_ascii=False)
    key = _EVENT + now.astimezone(datetime.UTC).strftime(_STAMP) + "." + what.replace(" ", "_")
    return {key: content}


def record(
    registry: Registry, number: int, what: Happening, now: datetime.datetime, why: str = ""
) -> None:
    """Write an event into a tag of the version that it happened to."""
    registry.tag(number, event_tag(what, now, why))


def history(registry: Registry) -> list[Event]:
    """Return all events of all versions, the oldest first."""
    events = [event for version in registry.versions() for event in _events(version)]
    order = list(Happening)
    return sorted(events, key=lambda event: (event.time, order.index(event.what)))


def _events(version: Version) -> Iterator[Event]:
    """Yield the events in a version's tags; a tag that holds something else is passed over."""
    for key, content in version.tags.items():
        stamp = key.removeprefix(_EVENT).rpartition(".")[0]
        with contextlib.suppress(ValueError, TypeError, KeyError):
            time = datetime.datetime.strptime(stamp, _STAMP).replace(tzinfo=datetime.UTC)
            told = json.loads(content)
            what = Happening(told["what"])
            yield Event(time, version.number, what, told["by"], told["why"])


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
    """Write the result of the model tests, their limits and the tested digest into tags."""
    verdict, what = "passed", Happening.TESTS_PASSED
    if failures:
        verdict, what = "failed", Happening.TESTS_FAILED
    limits = limits_of(settings or RegisterSettings())
    registry.tag(version.number, {"tests": "failed", "tests_digest": version.digest})
    registry.tag(version.number, {"tests_limits": limits, "tests": verdict})
    record(registry, version.number, what, now, "; ".join(failures))


def promote(
    registry: Registry,
    now: datetime.datetime,
    why: str,
    settings: RegisterSettings | None = None,
) -> Version:
    """Point ``production`` at the staging version, and ``previous`` at the one it replaces.

    The version in production is returned, also where that was the staging one already. Of two
    promotions at once the later one to write stands, and the other is told so.

    Parameters
    ----------
    settings : the limits in force, which have to be those that the version was judged and tested
        by; None: whatever they were.

    Raises
    ------
    RefusedError
        If no version is in staging, or the one that is may not go to production: the gate did
        not accept it beside what is in production now, its very digest did not pass the model
        tests, or its bytes are not those that were registered.
    """
    candidate, current = staged_version(registry), registry.at(PRODUCTION)
    if current is not None and current.number == candidate.number:
        _finish_promotion(registry, candidate, now, why)
        return candidate
    objections = [
        *_objections_of_the_gate(candidate, current, settings),
        *_objections_of_the_tests(registry, candidate, settings),
    ]
    if objections:
        told = "; ".join(objections)
        record(registry, candidate.number, Happening.NOT_PROMOTED, now, told)
        raise RefusedError(
            f"version {candidate.number} of {registry.name} does not go to production: {told}"
        )
    _put_in_production(registry, candidate, current, now)
    record(registry, candidate.number, Happening.PROMOTED, now, why)
    return candidate


def _finish_promotion(
    registry: Registry, version: Version, now: datetime.datetime, why: str
) -> None:
    """Write the record that a killed promotion is missing."""
    if objections := _objections_of_the_tests(registry, version, None):
        raise RefusedError(
            f"version {version.number} of {registry.name} is in production, but "
            f"{'; '.join(objections)}; `carprice rollback` brings an earlier one back"
        )
    if not {event.what for event in _events(version)} & {Happening.PROMOTED, Happening.RESTORED}:
        record(registry, version.number, Happening.PROMOTED, now, why)


def rollback(
    registry: Registry, now: datetime.datetime, why: str, to: int | None = None
) -> Version:
    """Bring an earlier production version back: the one before, or the one of a number.

    The version that goes is withdrawn: the pipeline does not stage it again, and only a rollback
    to its number brings it back.

    Raises
    ------
    RefusedError
        If that version was never in production, or its bytes are not those that were registered.
    """
    current = registry.at(PRODUCTION)
    if current is None:
        raise RefusedError(_no_earlier(registry))
    earlier = _before(registry, current) if to is None else registry.numbered(to)
    if to is not None and _SINCE not in earlier.tags:
        raise RefusedError(
            f"version {to} of {registry.name} was never in production; new versions go there by "
            "`carprice promote`"
        )
    if damage := damage_of(registry, earlier):
        raise RefusedError(f"version {earlier.number} cannot be brought back: {damage}")
    if earlier.number == current.number:
        return current
    _withdraw(registry, current, now, why)
    if earlier.withdrawn:
        registry.untag(earlier.number, WITHDRAWN)
    _put_in_production(registry, earlier, current, now)
    record(registry, earlier.number, Happening.RESTORED, now, why)
    return earlier


def _before(registry: Registry, current: Version) -> Version:
    """Return the last earlier production version that was not rolled back."""
    previous = registry.at(PREVIOUS)
    if previous is not None and previous.number != current.number and not previous.withdrawn:
        return previous
    others = [one for one in registry.versions() if _SINCE in one.tags]
    others = [one for one in others if one.number != current.number]
    if not others:
        raise RefusedError(_no_earlier(registry))
    last = max(others, key=lambda one: (not one.withdrawn, one.tags[_SINCE], one.number))
    if last.withdrawn:
        raise RefusedError(
            f"{_no_earlier(registry)}: version {last.number} was {last.withdrawn}; `carprice "
            f"rollback --to {last.number}` brings it back all the same"
        )
    return last


def _no_earlier(registry: Registry) -> str:
    return (
        f"registry {redact(registry.uri)} knows no earlier production version of "
        f"{registry.name} to go back to"
    )


def _withdraw(registry: Registry, version: Version, now: datetime.datetime, why: str) -> None:
    """Mark a version as rolled back, so that ``promote`` refuses it.

    The mark comes before the aliases move: if the process dies in between, it is there already.
    """
    registry.tag(version.number, {WITHDRAWN: f"rolled back on {now:%Y-%m-%d}: {why}"[:_LONGEST]})
    staged = registry.at(STAGING)
    if staged is not None and staged.number == version.number:
        registry.clear(STAGING)
    record(registry, version.number, Happening.ROLLED_BACK, now, why)


def _put_in_production(
    registry: Registry, version: Version, current: Version | None, now: datetime.datetime
) -> None:
    meanwhile = registry.at(PRODUCTION)
    if champion_of(meanwhile) not in (champion_of(current), version.digest):
        raise RefusedError(
            f"production of {registry.name} changed to {_named(meanwhile)} in the meantime; run "
            "`carprice register` and try again"
        )
    if current is not None:
        registry.point(PREVIOUS, current.number, now)
    registry.point(PRODUCTION, version.number, now)
    stands = registry.at(PRODUCTION)
    if stands is None or stands.number != version.number:
        raise RefusedError(
            f"version {version.number} of {registry.name} was in production for a moment only: "
            f"somebody else put {_named(stands)} there at the same time; see `carprice history`"
        )
    if current is not None:
        why = f"by version {version.number}"
        record(registry, current.number, Happening.REPLACED, now, why)


def _named(version: Version | None) -> str:
    return "none" if version is None else f"version {version.number}"


def _objections_of_the_gate(
    candidate: Version, current: Version | None, settings: RegisterSettings | None
) -> list[str]:
    """Return why the gate's decision does not allow a promotion; empty if it does."""
    tags, again = candidate.tags, "run `carprice register` again"
    if candidate.withdrawn:
        return [f"it was {candidate.withdrawn}; `carprice rollback --to` brings it back"]
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
    tags, problem = version.tags, ""
    if tags.get("tests") == "failed":
        problem = "it failed the model tests"
    elif tags.get("tests") != "passed":
        problem = "it has not been through the model tests"
    elif tags.get("tests_digest") != version.digest:
        problem = "it passed the model tests with another digest"
    elif settings and tags.get("tests_limits") != limits_of(settings):
        problem = "it passed the model tests by other limits than those in force"
    told = f"{problem}; run `carprice test-model`" if problem else ""
    return [*filter(None, (told, damage_of(registry, version)))]


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
