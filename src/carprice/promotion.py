"""What goes into production, what comes back, and the record of who did it, when and why.

Every event is a tag of the version that it is about, so that the record lies with the models.
"""

import datetime
import getpass
import json
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from carprice.errors import CorruptModelError, InputError, RefusedError
from carprice.redaction import redact
from carprice.registry import PREVIOUS, PRODUCTION, STAGING, WITHDRAWN, Registry, Version

REGISTERED: Final = "registered"
ACCEPTED: Final = "accepted by the gate"
REFUSED: Final = "refused by the gate"
STAGED: Final = "staged again"
TESTS_PASSED: Final = "passed the model tests"
TESTS_FAILED: Final = "failed the model tests"
PROMOTED: Final = "promoted"
NOT_PROMOTED: Final = "not promoted"
REPLACED: Final = "replaced"
RESTORED: Final = "restored"

_EVENT: Final = "event."
_STAMP: Final = "%Y%m%dT%H%M%S.%fZ"
_LONGEST: Final = 1500


@dataclass(frozen=True)
class Event:
    """Something that happened to a version: when (UTC), what, by whom and why."""

    time: datetime.datetime
    version: int
    what: str
    by: str
    why: str

    def to_json(self) -> dict[str, Any]:
        """Return the event as JSON has it."""
        return {**asdict(self), "time": self.time.isoformat(timespec="seconds")}


def champion_of(production: Version | None) -> str:
    """Return what the gate compared with, as the tag ``gate_champion`` says it."""
    return production.digest if production else "none"


def record(
    registry: Registry, number: int, what: str, now: datetime.datetime, why: str = ""
) -> None:
    """Leave a record of an event with a version."""
    told = why if len(why) <= _LONGEST else f"{why[:_LONGEST]}…"
    content = json.dumps({"what": what, "by": _user(), "why": told}, ensure_ascii=False)
    key = _EVENT + now.astimezone(datetime.UTC).strftime(_STAMP) + "." + what.replace(" ", "_")
    registry.tag(number, {key: content})


def history(registry: Registry) -> list[Event]:
    """Return all events of all versions, the oldest first."""
    events = []
    for version in registry.versions():
        for key, content in version.tags.items():
            if key.startswith(_EVENT):
                stamp = key.removeprefix(_EVENT).rpartition(".")[0]
                time = datetime.datetime.strptime(stamp, _STAMP).replace(tzinfo=datetime.UTC)
                events.append(Event(time, version.number, **json.loads(content)))
    return sorted(events, key=lambda event: event.time)


def record_tests(
    registry: Registry, version: Version, failures: tuple[str, ...], now: datetime.datetime
) -> None:
    """Note of a version's very digest whether it passed the model tests."""
    verdict = "failed" if failures else "passed"
    registry.tag(version.number, {"tests": verdict, "tests_digest": version.digest})
    what = TESTS_FAILED if failures else TESTS_PASSED
    record(registry, version.number, what, now, "; ".join(failures))


def promote(registry: Registry, now: datetime.datetime, why: str) -> Version:
    """Point ``production`` at the staging version, and ``previous`` at the one it replaces.

    The version in production is returned, also where that was the staging one already. Of two
    promotions at once the later one to write stands, and the other is told so.

    Raises
    ------
    RefusedError
        If no version is in staging, or the one that is may not go to production: the gate did
        not accept it beside what is in production now, its very digest did not pass the model
        tests, or its bytes are not those that were registered.
    """
    candidate = staged_version(registry)
    current = registry.at(PRODUCTION)
    if current is not None and current.number == candidate.number:
        return current
    reasons = _objections(registry, candidate, current)
    if reasons:
        told = "; ".join(reasons)
        record(registry, candidate.number, NOT_PROMOTED, now, told)
        raise RefusedError(
            f"version {candidate.number} of {registry.name} does not go to production: {told}"
        )
    _put_in_production(registry, candidate, current, now)
    record(registry, candidate.number, PROMOTED, now, why)
    return candidate


def rollback(
    registry: Registry, now: datetime.datetime, why: str, to: int | None = None
) -> Version:
    """Bring an earlier production version back: the previous one, or the one of a number.

    The version that goes is withdrawn: the pipeline does not stage it again, only a rollback
    brings it back.

    Raises
    ------
    RefusedError
        If that version was never in production, or its bytes are not those that were registered.
    """
    current = registry.at(PRODUCTION)
    earlier = registry.at(PREVIOUS) if to is None else _once_in_production(registry, to)
    if earlier is None or current is None or (to is None and earlier.number == current.number):
        raise RefusedError(
            f"registry {redact(registry.uri)} knows no earlier production version of "
            f"{registry.name} to go back to"
        )
    if earlier.number == current.number:
        return current
    if damage := damage_of(registry, earlier):
        raise RefusedError(f"version {earlier.number} cannot be brought back: {damage}")
    _put_in_production(registry, earlier, current, now)
    if earlier.withdrawn:
        registry.untag(earlier.number, WITHDRAWN)
    record(registry, earlier.number, RESTORED, now, why)
    _withdraw(registry, current, now, why)
    return earlier


def _withdraw(registry: Registry, version: Version, now: datetime.datetime, why: str) -> None:
    """Keep a version that was rolled back from going to production by itself once more."""
    staged = registry.at(STAGING)
    if staged is not None and staged.number == version.number:
        registry.clear(STAGING)
    told = f"rolled back on {now:%Y-%m-%d}: {why}"
    registry.tag(version.number, {WITHDRAWN: told[:_LONGEST]})


def _put_in_production(
    registry: Registry, version: Version, current: Version | None, now: datetime.datetime
) -> None:
    if current is not None:
        registry.point(PREVIOUS, current.number, now)
    registry.point(PRODUCTION, version.number, now)
    stands = registry.at(PRODUCTION)
    if stands is None or stands.number != version.number:
        number = "none" if stands is None else f"version {stands.number}"
        raise RefusedError(
            f"version {version.number} of {registry.name} was in production for a moment only: "
            f"somebody else put {number} there at the same time; see `carprice history`"
        )
    if current is not None:
        record(registry, current.number, REPLACED, now, f"by version {version.number}")


def _objections(registry: Registry, candidate: Version, current: Version | None) -> list[str]:
    """Return what speaks against a promotion."""
    tags = candidate.tags
    reasons = []
    if candidate.withdrawn:
        reasons.append(f"it was {candidate.withdrawn}; `carprice rollback --to` brings it back")
    if not candidate.accepted:
        told = tags.get("gate_reasons", "it was never judged")
        reasons.append(f"the gate did not accept it ({told})")
    elif tags.get("gate_champion") != champion_of(current):
        now_there = f"version {current.number}" if current else "nothing"
        reasons.append(
            f"the gate compared it with another production model than {now_there}, which is there "
            "now; run `carprice register` again"
        )
    if tags.get("tests") != "passed" or tags.get("tests_digest") != candidate.digest:
        state = {"failed": "failed the model tests"}.get(tags.get("tests", ""), "")
        if tags.get("tests") == "passed":
            state = "passed the model tests with another digest"
        reasons.append(
            f"it {state or 'has not been through the model tests'}; run `carprice test-model`"
        )
    damage = damage_of(registry, candidate)
    return [*reasons, damage] if damage else reasons


def damage_of(registry: Registry, version: Version) -> str:
    """Return what is wrong with a version's bytes in the registry; empty if nothing is."""
    with tempfile.TemporaryDirectory(prefix="carprice-") as scratch:
        try:
            registry.verified(version, registry.download(version, Path(scratch)))
        except (CorruptModelError, InputError) as error:
            return str(error)
    return ""


def _once_in_production(registry: Registry, number: int) -> Version:
    found = next((one for one in registry.versions() if one.number == number), None)
    if found is None:
        raise RefusedError(f"{registry.name} has no version {number}; see `carprice status`")
    if f"{PRODUCTION}_since" not in found.tags:
        raise RefusedError(
            f"version {number} of {registry.name} was never in production; new versions go there "
            "by `carprice promote`"
        )
    return found


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
    message = f"registry {redact(registry.uri)} has no staging version of {registry.name}"
    versions = registry.versions()
    if not versions:
        raise RefusedError(f"{message}; run the pipeline first: dvc repro, or carprice run")
    newest = versions[0]
    if newest.withdrawn:
        raise RefusedError(f"{message}; version {newest.number} was {newest.withdrawn}")
    if not newest.accepted:
        told = newest.tags.get("gate_reasons", "it was never judged")
        raise RefusedError(f"{message}; the gate refused version {newest.number}: {told}")
    raise RefusedError(f"{message}; run `carprice register` on the candidate once more")


def _user() -> str:
    if actor := os.environ.get("GITHUB_ACTOR"):
        return f"{actor} in GitHub run {os.environ.get('GITHUB_RUN_ID', '?')}"
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
