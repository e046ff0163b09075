"""Registrations that are broken off after each write, alone and two at once."""

import datetime
import functools
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from broken_off import EVERYWHERE, NAME, NOW, Bench, Killed, cases, steps
from mlflow import MlflowClient

from carprice.arrays import quiet
from carprice.components import register as registration
from carprice.components.register import Registration, register
from carprice.components.workspace import Workspace
from carprice.errors import CorruptModelError
from carprice.evaluation.gate import Decision
from carprice.registry.versions import Registry, Version
from carprice.settings import Settings

MODULE = "carprice.components.register"
IN_MEMORY = pytest.mark.parametrize("bench", ["memory"], indirect=True)


@dataclass
class Registering:
    """A registry, and the registration of the finished run, which is judged and logged at once."""

    bench: Bench
    settings: Settings
    workspace: Workspace
    times: Any

    def __call__(self, _: object = None) -> Registration:
        now = NOW + datetime.timedelta(minutes=next(self.times))
        return register(self.settings, self.workspace, now, quiet)


@pytest.fixture
def registering(
    bench: Bench, promoted: Workspace, small_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Registering:
    def log(*arguments: Any) -> Any:
        registry, tags = arguments[2], {**arguments[4], "files": "{}"}
        run = "run" if bench.database is None else None  # real ones have none of that name
        made = registry._client.create_model_version(NAME, "s3://nowhere/model", run, tags)
        return registry.numbered(int(made.version))

    monkeypatch.setattr(f"{MODULE}.Registry", lambda *_: bench.registry)
    monkeypatch.setattr(f"{MODULE}._judge", lambda *_: Decision(True, ()))
    monkeypatch.setattr(f"{MODULE}._log", log)
    monkeypatch.setattr(f"{MODULE}.write_json", lambda *_: None)
    monkeypatch.setattr(f"{MODULE}._is_intact", lambda *_: True)  # these models have no bytes
    bench.restore()
    return Registering(bench, small_settings, promoted, count())


def anew(_: Registry) -> None:
    """Nothing was registered before."""


def judged_beside_another(registry: Registry) -> None:
    registry.tag(6, {"gate_champion": "0" * 64})


def not_staged(registry: Registry) -> None:
    registry.clear("staging")


PREPARED: list[tuple[Callable[[Registry], None]]] = [
    (anew,),
    (judged_beside_another,),
    (not_staged,),
]


@pytest.mark.parametrize(("bench", "prepare"), cases(PREPARED, (anew,)), indirect=["bench"])
def test_a_registration_that_is_killed_after_any_write_and_run_again_ends_as_if_unbroken(
    registering: Registering, prepare: Callable[[Registry], None]
) -> None:
    bench = registering.bench
    begin = bench.saved
    if prepare is not anew:
        registering()
        prepare(bench.registry)
        bench.save()
    try:
        writes = bench.writes(registering)
        assert writes >= 4
        expected = bench.state()
        for killed in range(1, writes + 1, steps(bench)):
            for killed_again in range(0, writes + 1, 3 * steps(bench)):
                bench.restore()
                bench.killed_after(killed, registering)
                if killed_again:
                    bench.killed_after(killed_again, registering)
                registering()
                assert bench.state() == expected, (killed, killed_again)
    finally:
        bench.saved = begin


@IN_MEMORY
@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31", "soon", ""])
def test_a_moment_that_cannot_be_is_not_when_it_began(
    registering: Registering, moment: str
) -> None:
    registering()
    registering.bench.registry.tag(6, {"being_judged": moment, "gate_champion": "being judged"})
    assert registering().version == 6


def test_a_version_with_files_that_no_model_has_is_not_intact() -> None:
    def has_model(_: Version) -> bool:
        raise CorruptModelError("it has more files than any model")

    registry: Any = SimpleNamespace(uri="sqlite:///mlflow.db", has_model=has_model)
    assert not registration._is_intact(registry, Version(1, (), {"files": "{}"}))


def _array(path: Path, content: Any) -> None:
    with path.open("wb") as file:
        np.save(file, content)


def _zip(path: Path, content: Any) -> None:
    with path.open("wb") as file:
        np.savez(file, content)


def _huge(path: Path, size: int) -> None:
    with path.open("wb") as file:
        header = {"descr": "<u8", "fortran_order": False, "shape": (size,)}
        np.lib.format.write_array_header_1_0(file, header)


def _bytes(path: Path, content: bytes) -> None:
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("write", "content", "is_known"),
    [
        (_array, np.array([1, 2], np.uint64), True),
        (_array, np.array([], np.uint64), True),
        (_array, np.array([1.5, 2]), False),
        (_array, np.array(["a"]), False),
        (_array, np.array([[1], [2]], np.uint64), False),
        (_array, np.array(1, np.uint64), False),
        (_zip, np.array([1], np.uint64), False),
        (_huge, 10**15, False),
        (_huge, 10**30, False),
        (_bytes, b"PK\x03\x04", False),
        (_bytes, b"", False),
    ],
)
def test_what_tells_no_cars_that_production_learned_from_is_passed_over(
    tmp_path: Path, write: Callable[[Path, Any], None], content: Any, is_known: bool
) -> None:
    write(tmp_path / "train_cars.npy", content)
    registry: Any = SimpleNamespace(read_file=lambda *_: tmp_path / "train_cars.npy")
    found = registration._learned(registry, Version(1, (), {}), "data")
    assert (found is not None) is is_known


@IN_MEMORY
def test_two_registrations_of_one_model_at_once_end_with_one_version(
    registering: Registering,
) -> None:
    """The second one runs before each write of the first."""
    bench = registering.bench
    writes = bench.writes(registering)
    expected = bench.state()[0]
    for number in range(1, writes + 1):
        bench.restore()
        told: list[Any] = []

        def run_other(count: int, number: int = number, told: list[Any] = told) -> None:
            if count == number:
                with bench.unwatched():
                    told.append(registering())

        with bench.watched(before=run_other):
            told.append(registering())
        assert bench.state()[0] == expected, number
        assert {one.version for one in told} == {6}, number
        assert len(bench.registry.versions()) == 6, number


@IN_MEMORY
def test_the_twin_that_a_killed_registration_left_is_deleted_by_the_next(
    registering: Registering,
) -> None:
    bench = registering.bench
    before = bench.registry.versions()

    def run_other(count: int) -> None:
        if count == 1:
            with bench.unwatched():
                registering()

    def kill(count: int) -> None:
        if count == 1:
            raise Killed

    with bench.watched(before=run_other, after=kill), pytest.raises(Killed):
        registering()
    assert [one.number for one in bench.registry.versions()][:2] == [7, 6]
    again = registering()
    assert (again.version, again.is_new, again.accepted) == (6, False, True)
    assert [one.number for one in bench.registry.versions()] == [6, *(x.number for x in before)]


@pytest.mark.slow
def test_a_registration_that_is_killed_while_it_logs_leaves_no_version(
    promoted: Workspace,
    small_settings: Settings,
    another_model: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is stubbed: a run, its files and the model are logged to SQLite."""
    shutil.copytree(promoted.root, tmp_path / "project")
    workspace = Workspace(tmp_path / "project")
    model = another_model(promoted.model, tmp_path / "model", 1)
    shutil.rmtree(workspace.model)
    shutil.copytree(model, workspace.model)
    registry = Registry(f"sqlite:///{workspace.root}/mlflow.db", small_settings.register_.name)

    class Counter:
        writes = 0
        last = 0

    def counted(name: str) -> Any:
        call = getattr(MlflowClient, name)

        @functools.wraps(call)
        def write(*values: Any, **options: Any) -> Any:
            answer = call(*values, **options)
            Counter.writes += 1
            if Counter.writes == Counter.last:
                raise Killed
            return answer

        return write

    for name in dir(MlflowClient):
        if re.match(r"(create|log|set|finalize|delete|update)_", name):
            monkeypatch.setattr(MlflowClient, name, counted(name))

    def run() -> Registration:
        return register(small_settings, workspace, NOW, quiet)

    killed = 0
    step = 1 if EVERYWHERE else 6
    while True:
        killed += step
        Counter.writes, Counter.last = 0, killed
        before = [one.number for one in registry.versions()]
        try:
            made = run()
        except Killed:
            left = [one.number for one in registry.versions()]
            assert len(left) - len(before) in (0, 1)
            continue
        break
    assert killed > step
    assert (made.version, made.accepted) == (2, True)
    assert [one.number for one in registry.versions()] == [2, 1]
    staged = registry.at("staging")
    assert staged is not None
    assert staged.number == 2
    assert not {"being_judged", "being_staged"} & staged.tags.keys()
