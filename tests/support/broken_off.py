"""Registries whose writes are counted, and commands that are broken off after one of them."""

import datetime
import functools
import os
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST

from carprice.errors import RefusedError
from carprice.registry.promotion import champion_of, promote, record_tests, rollback
from carprice.registry.versions import Registry

NAME = "cars"
NOW = datetime.datetime(2025, 7, 1, 12, 0, tzinfo=datetime.UTC)
WRITES = re.compile(r"(set|delete|create)_(registered_model|model_version)|log_artifact")
_SOURCE = "s3://nowhere/model"
Command = Callable[[Registry], object]
EVERYWHERE = bool(os.environ.get("CARPRICE_EVERY_WRITE"))
"""Whether each case is tried at real registries too, after each write; that takes minutes."""


class Killed(BaseException):
    """Ends a command in its middle, as SIGKILL would."""


class Watched:
    """MLflow's client, every write of which is counted and announced."""

    def __init__(self, client: Any, before: Callable[[int], None], after: Callable[[int], None]):
        self.client, self.before, self.after, self.count = client, before, after, 0

    def __getattr__(self, name: str) -> Any:
        call = getattr(self.client, name)
        if not WRITES.match(name):
            return call

        @functools.wraps(call)
        def counted(*values: Any, **options: Any) -> Any:
            self.count += 1
            number = self.count
            self.before(number)
            answer = call(*values, **options)
            self.after(number)
            return answer

        return counted


class Memory:
    """As much of MLflow's client as a registered model takes, in memory."""

    def __init__(self) -> None:
        self.tags: dict[str, str] = {}
        self.aliases: dict[str, int] = {}
        self.versions: dict[int, Any] = {}
        self.last = 0

    def create_registered_model(self, _: str) -> None:
        pass

    def create_model_version(
        self, _: str, _source: str, run_id: str = "", tags: Mapping[str, str] | None = None
    ) -> Any:
        self.last += 1
        made = SimpleNamespace(version=self.last, tags=dict(tags or {}), run_id=run_id)
        self.versions[self.last] = made
        return made

    def search_model_versions(self, _: str) -> Any:
        class Page(list[Any]):
            token = None

        return Page(deepcopy(one) for one in self.versions.values())

    def get_registered_model(self, _: str) -> Any:
        return deepcopy(SimpleNamespace(aliases=self.aliases, tags=self.tags))

    def search_registered_models(self, _: str) -> list[Any]:
        return [self.get_registered_model("")]

    def get_model_version_by_alias(self, _: str, alias: str) -> Any:
        if alias not in self.aliases:
            raise MlflowException("no such alias", RESOURCE_DOES_NOT_EXIST)
        return deepcopy(self.versions[self.aliases[alias]])

    def log_artifact(self, run: str, path: str, folder: str) -> None:
        pass

    def delete_model_version(self, _: str, number: str) -> None:
        del self.versions[int(number)]
        self.aliases = {name: one for name, one in self.aliases.items() if one != int(number)}

    def set_model_version_tag(self, _: str, number: str, key: str, value: str) -> None:
        self.versions[int(number)].tags[key] = value

    def delete_model_version_tag(self, _: str, number: str, key: str) -> None:
        self.versions[int(number)].tags.pop(key, None)

    def set_registered_model_tag(self, _: str, key: str, value: str) -> None:
        self.tags[key] = value

    def delete_registered_model_tag(self, _: str, key: str) -> None:
        self.tags.pop(key, None)

    def set_registered_model_alias(self, _: str, alias: str, number: str) -> None:
        self.aliases[alias] = int(number)

    def delete_registered_model_alias(self, _: str, alias: str) -> None:
        self.aliases.pop(alias, None)


@dataclass
class Bench:
    """A registry that is put back into one state for each case."""

    registry: Registry
    database: Path | None = None
    saved: Any = None
    client: Any = field(init=False)
    _saves: int = 0

    def __post_init__(self) -> None:
        self.client = self.registry._client

    def save(self) -> None:
        """Note the state that each case begins with."""
        if self.database is None:
            self.saved = deepcopy(self.client)
        else:
            self._saves += 1
            place = self.database.with_suffix(f".saved{self._saves}")
            self.saved = shutil.copy(self.database, place)

    def restore(self) -> None:
        """Go back to the state that was noted; a server may have the database open."""
        if self.database is None:
            self.client.__dict__.update(deepcopy(self.saved.__dict__))
            return
        with (
            closing(sqlite3.connect(self.saved)) as saved,
            closing(sqlite3.connect(self.database, timeout=30)) as live,
        ):
            saved.backup(live)

    @contextmanager
    def watched(
        self,
        before: Callable[[int], None] = lambda _: None,
        after: Callable[[int], None] = lambda _: None,
    ) -> Iterator[Watched]:
        """Have all writes of the block counted."""
        watched: Any = Watched(self.client, before, after)
        self.registry._client = watched
        try:
            yield watched
        finally:
            self.registry._client = self.client

    @contextmanager
    def unwatched(self) -> Iterator[None]:
        """Count no writes of the block."""
        watched, self.registry._client = self.registry._client, self.client
        try:
            yield
        finally:
            self.registry._client = watched

    def writes(self, command: Command) -> int:
        """Return how often a command writes."""
        self.restore()
        with self.watched() as watched:
            command(self.registry)
        return watched.count

    def killed_after(self, number: int, command: Command) -> None:
        """Run a command that ends after one of its writes, unless it comes to its end before."""

        def kill(count: int) -> None:
            if count == number:
                raise Killed

        with self.watched(after=kill), suppress(Killed):
            command(self.registry)

    def run(self, command: Command) -> bool:
        """Run a command; return whether it did what it was asked."""
        try:
            command(self.registry)
        except RefusedError:
            return False
        return True

    def state(self) -> Any:
        """Return aliases and tags without times, and without the record of refusals."""
        aliases: dict[str, int] = {}
        versions = {}
        for one in self.registry.versions():
            aliases |= dict.fromkeys(one.aliases, one.number)
            tags = set()
            for key, value in one.tags.items():
                if key.startswith("event."):
                    tags.add((re.sub(r"^event\.\w+\.\w+\.", "event.", key), value))
                elif key.endswith("_since"):
                    tags.add((key, "some time"))
                else:
                    tags.add((key, value))
            versions[one.number] = {one for one in tags if "not_promoted" not in one[0]}
        return aliases, versions, self.registry.model_tags()

    @property
    def withdrawn(self) -> list[int]:
        """The numbers of versions that were rolled back."""
        return [one.number for one in self.registry.versions() if one.withdrawn]


def digest(number: int) -> str:
    """Return a made-up digest."""
    return f"{number:064d}"


def add(registry: Registry, model: int) -> int:
    """Register a version of a made-up model, as the gate leaves it, with its tests run."""
    tags = {
        "digest": digest(model),
        "files": "{}",
        "gate": "accepted",
        "gate_champion": champion_of(registry.at("production")),
    }
    made = registry._client.create_model_version(NAME, _SOURCE, tags=tags)
    version = registry.numbered(int(made.version))
    record_tests(registry, version, (), NOW)
    return version.number


def furnish(client: Any) -> None:
    """Have 2 in production, 3 rolled back, 4 of the bytes of 2, and 5 in staging.

    It is done in memory, and written as it is in the end.
    """
    memory = Memory()
    registry = memory_registry(memory)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("carprice.registry.promotion.damage_of", lambda *_: "")
        for model in (1, 2, 3):
            registry.point("staging", add(registry, model), NOW)
            promote(registry, NOW + datetime.timedelta(minutes=model), f"model {model}")
        rollback(registry, NOW + datetime.timedelta(minutes=4), "too dear")
    add(registry, 2)
    registry.point("staging", add(registry, 5), NOW + datetime.timedelta(minutes=5))
    client.create_registered_model(NAME)
    for version in memory.versions.values():
        client.create_model_version(NAME, _SOURCE, tags=version.tags)
    for alias, number in memory.aliases.items():
        client.set_registered_model_alias(NAME, alias, str(number))


def memory_registry(memory: Any = None) -> Registry:
    """Return a registry in memory."""
    registry: Any = Registry.__new__(Registry)
    registry.uri, registry.name = "http://memory", NAME
    registry._client = Memory() if memory is None else memory
    made: Registry = registry
    return made


def steps(bench: Bench) -> int:
    """Return how many writes to go on by."""
    return 1 if bench.database is None or EVERYWHERE else 5


def cases(every: Sequence[Any], some: Any) -> list[Any]:
    """Return all cases in memory, and that one of real registries, which take their time."""
    real = [
        pytest.param(kind, *case, marks=pytest.mark.slow)
        for kind in ("database", "server")
        for case in (every if EVERYWHERE else [some])
    ]
    return [("memory", *case) for case in every] + real
