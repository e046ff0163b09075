"""What a promotion or rollback is about to do, written into the registry before its first change.

An intent is a tag of the registered model, and goes last. So whoever finds one whose writer is no
more finishes it first, and of two at once that want different things one stands back.
"""

import contextlib
import datetime
import json
import os
import platform
import secrets
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter

from carprice.errors import RefusedError
from carprice.registry.versions import Registry

STALE: Final = 120.0
"""Seconds after which an intent counts as broken off, wherever its writer runs."""
_KEY: Final = "intent."
_PATIENCE: Final = 10.0
_running: set[str] = set()


class Kind(StrEnum):
    """What moves the alias ``production``."""

    PROMOTION = "promotion of"
    ROLLBACK = "rollback to"


def _host() -> str:
    """Return the machine, and which of its containers, that process numbers belong to."""
    with contextlib.suppress(OSError):
        return f"{platform.node()} {Path('/proc/self/ns/pid').readlink()}"
    return platform.node()


def _birth(process: int) -> str:
    """Return when a process of this machine began; empty where it ended, or nobody can tell."""
    with contextlib.suppress(OSError):
        state, *others = Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].split()
        return "" if state in "ZX" else others[18]
    return ""


@dataclass(frozen=True)
class Intent:
    """A promotion or rollback that was begun.

    Attributes
    ----------
    current, version : which version is in production, and which one comes.
    previous : which one ``previous`` pointed at.
    moment : when it happens for the record, as ISO 8601 has it.
    signature : that of the promotion, where there is a key.
    token, begun, host, process, birth : which one this is, and who is at it.
    """

    kind: Kind
    current: int | None
    version: int
    previous: int | None
    moment: str
    by: str
    why: str
    signature: str = ""
    token: str = field(default_factory=lambda: secrets.token_hex(4))
    begun: float = field(default_factory=time.time)
    host: str = field(default_factory=_host)
    process: int = field(default_factory=os.getpid)
    birth: str = field(default_factory=lambda: _birth(os.getpid()))

    @property
    def now(self) -> datetime.datetime:
        """When it happens for the record."""
        return datetime.datetime.fromisoformat(self.moment)

    @property
    def is_live(self) -> bool:
        """Whether its writer may still be at it."""
        if abs(time.time() - self.begun) > STALE:
            return False
        if self.host != _host():
            return True
        if self.process == os.getpid():
            return self.token in _running
        return _birth(self.process) == self.birth

    @property
    def told(self) -> str:
        """Who does what, and since when."""
        begun = datetime.datetime.fromtimestamp(self.begun, datetime.UTC)
        return f"{self.kind} version {self.version} that {self.by} began at {begun:%H:%M:%S} UTC"

    def taken_over(self) -> "Intent":
        """Return the same, done by this process."""
        mine = Intent(self.kind, self.current, self.version, self.previous, "", "", "")
        return replace(mine, moment=self.moment, by=self.by, why=self.why, signature=self.signature)

    def wants_what(self, other: "Intent") -> bool:
        """Whether two want the very same; they may both do it."""
        mine, theirs = ((one.kind, one.current, one.version) for one in (self, other))
        return mine == theirs


_INTENT: Final = TypeAdapter(Intent)


def intents(registry: Registry) -> list[Intent]:
    """Return all intents of a registered model, the oldest first; what is none is passed over."""
    found = []
    for key, content in registry.model_tags().items():
        with contextlib.suppress(ValueError, OverflowError, OSError):
            if key.startswith(_KEY):
                told = _INTENT.validate_json(content, strict=True)
                intent = replace(told, token=key.removeprefix(_KEY))  # so that it can be removed
                _ = intent.now.astimezone(datetime.UTC), intent.told, intent.is_live  # all can be
                found.append(intent)
    return sorted(found, key=lambda one: (one.begun, one.token))


@contextlib.contextmanager
def announced(registry: Registry, intent: Intent) -> Iterator[Intent]:
    """Announce an intent as long as the block lasts; it stays if the block is broken off.

    The block gets the oldest of those that want the same, so that all of them write the same.

    Raises
    ------
    RefusedError
        If somebody else is at something else; of two that begin at once the later one stands back.
    """
    _running.add(intent.token)
    try:
        registry.tag_model(_KEY + intent.token, json.dumps(asdict(intent), ensure_ascii=False))
        yield _oldest_alike(registry, intent)
        retract(registry, intent)
    finally:
        _running.discard(intent.token)


def retract(registry: Registry, intent: Intent) -> None:
    """Remove an intent."""
    registry.untag_model(_KEY + intent.token)


def _oldest_alike(registry: Registry, intent: Intent) -> Intent:
    """Return the oldest intent that wants the same, when nobody is at anything else.

    Whoever goes on has written its intent before it read that no other is there: of two that do so
    at once, at least one sees the other. The older one waits for the younger one to stand back.
    """
    until = time.monotonic() + _PATIENCE
    while True:
        found = intents(registry)
        others = [one for one in found if one.is_live and not one.wants_what(intent)]
        if not others:
            return next((one for one in found if one.wants_what(intent)), intent)
        is_older = (intent.begun, intent.token) < min((one.begun, one.token) for one in others)
        if not is_older or time.monotonic() > until:
            retract(registry, intent)
            again = datetime.datetime.fromtimestamp(others[0].begun + STALE, datetime.UTC)
            raise RefusedError(
                f"nothing was changed in {registry.name}: the {others[0].told} is under way; see "
                "`carprice history`, and try again (if it was broken off on another machine, "
                f"after {again:%H:%M:%S} UTC)"
            )
        time.sleep(0.1)
