import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from mlflow.pyfunc import load_model

from carprice.components.workspace import Workspace
from carprice.errors import RefusedError
from carprice.registry.database_file import opening
from carprice.registry.tracking import connect
from carprice.registry.versions import Registry

# As MLflow makes a database, but in no time, and as slowly as the test likes.
MAKES = """
import shutil, signal, sys
from carprice.registry.database_file import opening

signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it

def make(uri):
    path = uri.removeprefix("sqlite:///")
    with open(path, "wb") as file:
        file.write(b"half")
        print("making", flush=True)
        sys.stdin.read()
    shutil.copy(sys.argv[2], path)

with opening("sqlite:///" + sys.argv[1], make):
    print("open", flush=True)
"""


def making(database: Path, empty: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", MAKES, str(database), str(empty)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def changed(path: Path, *statements: str) -> Path:
    """Change a database by SQL."""
    with closing(sqlite3.connect(path)) as database, database:
        for statement in statements:
            database.execute(statement)
    return path


def places(path: Path) -> set[str]:
    """Return all places of artifacts of a registry's runs and models."""
    with closing(sqlite3.connect(path)) as database:
        return {
            place
            for table, column in (
                ("experiments", "artifact_location"),
                ("runs", "artifact_uri"),
                ("logged_models", "artifact_location"),
                ("model_versions", "storage_location"),
            )
            for (place,) in database.execute(f"SELECT {column} FROM {table}")  # noqa: S608
            if place.startswith("file:")
        }


@pytest.mark.parametrize("how", ["SIGINT", "SIGKILL"])
def test_a_making_that_is_stopped_leaves_no_half_database(
    how: str, tmp_path: Path, empty_database: Path
) -> None:
    path = tmp_path / "mlflow.db"
    with making(path, empty_database) as stopped:
        assert stopped.stdout is not None
        assert stopped.stdout.readline() == "making\n"
        stopped.send_signal(getattr(signal, how))
        stopped.communicate()
    assert not path.exists()
    with making(path, empty_database) as process:
        assert process.communicate("")[0] == "making\nopen\n"
    assert names(tmp_path) - {"mlflow.db.lock"} == {"mlflow.db"}
    assert connect(f"sqlite:///{path}").search_experiments()


def test_of_two_that_make_a_database_at_once_the_second_takes_the_firsts(
    tmp_path: Path, empty_database: Path
) -> None:
    path = tmp_path / "mlflow.db"
    with making(path, empty_database) as first, making(path, empty_database) as second:
        first.stdin.close()  # type: ignore[union-attr]
        second.stdin.close()  # type: ignore[union-attr]
        told = sorted(process.stdout.read() for process in (first, second))  # type: ignore[union-attr]
    assert told == ["making\nopen\n", "open\n"]


@pytest.mark.slow
def test_mlflows_own_making_may_be_interrupted(tmp_path: Path) -> None:
    program = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from carprice.registry.tracking import connect; connect(sys.argv[1])"
    )
    command = [sys.executable, "-c", program, f"sqlite:///{tmp_path}/mlflow.db"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not [*tmp_path.glob(".mlflow.db-*/made.db")]:
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
    assert process.returncode != 0
    assert names(tmp_path) <= {"mlflow.db.lock"}


UNFINISHED = (
    "DELETE FROM experiments",
    "DROP TABLE jobs",
    "CREATE TABLE _alembic_tmp_jobs (id VARCHAR(36))",
)


def test_a_database_that_was_never_finished_is_made_anew(
    tmp_path: Path, empty_database: Path
) -> None:
    path = changed(Path(shutil.copy(empty_database, tmp_path)), *UNFINISHED)
    uri = f"sqlite:///{path}"
    with opening(uri, lambda aside: shutil.copy(empty_database, aside[len("sqlite:///") :])):
        assert path.read_bytes()[:15] == b"SQLite format 3"
    assert [one.name for one in connect(uri).search_experiments()] == ["Default"]


@pytest.mark.parametrize(
    "statements",
    [
        ("CREATE TABLE cars (price REAL)", *UNFINISHED),
        (*UNFINISHED[1:], "INSERT INTO registered_models (name) VALUES ('used-car-price')"),
    ],
    ids=["a table of somebody else", "a model"],
)
def test_a_database_with_something_in_it_is_never_replaced(
    statements: tuple[str, ...], tmp_path: Path, empty_database: Path
) -> None:
    path = changed(Path(shutil.copy(empty_database, tmp_path)), *statements)
    before = path.read_bytes()
    with opening(
        f"sqlite:///{path}", lambda uri: shutil.copy(empty_database, uri[len("sqlite:///") :])
    ):
        assert path.read_bytes() == before


def test_a_database_that_another_program_keeps_is_one_line(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(shutil.copy(empty_database, tmp_path))
    opened = sqlite3.connect
    monkeypatch.setattr(
        sqlite3, "connect", lambda *what, **how: opened(*what, **{**how, "timeout": 0})
    )
    with closing(opened(path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(RefusedError, match=r"mlflow\.db .*locked"):
            connect(f"sqlite:///{path}")


def files(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_artifacts_follow_a_folder_that_is_moved_or_copied(
    promoted: Workspace,
    registry_address: Callable[[Workspace], str],
    register: Callable[..., int],
    another_model: Callable[..., Path],
    tmp_path: Path,
) -> None:
    name, original = "used-car-price", tmp_path / "a folder"
    moved, copy, alone = (tmp_path / one for one in ("moved%20?50% #1", "copy", "alone"))
    shutil.copytree(promoted.root, original)
    before = files(promoted.root)

    def production(folder: Path) -> "tuple[Registry, Any]":
        registry = Registry(registry_address(Workspace(folder)), name)
        return registry, registry.at("production")

    (tmp_path / "downloaded").mkdir()
    production(original)
    original.rename(moved)
    registry, version = production(moved)
    downloaded = registry.download(version, tmp_path / "downloaded")
    assert registry.verified(version, downloaded).is_dir()
    assert load_model(str(downloaded), suppress_warnings=True)
    assert {place.rpartition("/mlartifacts")[0] for place in places(moved / "mlflow.db")} == {
        moved.as_uri()
    }
    assert not original.exists()

    # What a copy registers, with the experiment that the original made, goes into the copy.
    shutil.copytree(moved, copy)
    (alone / "x").mkdir(parents=True)
    shutil.copy(moved / "mlflow.db", alone / "x")
    there = files(moved)
    model = another_model(moved / "models" / "candidate", tmp_path / "model")
    for folder in (copy, alone / "x"):
        assert register(registry_address(Workspace(folder)), name, model, tmp_path / "none") == 2
        registry, version = production(folder)
        assert registry.fetch(version, folder / "cache").is_dir()
        assert (folder / "mlartifacts").is_dir()
    assert files(moved) == there
    assert files(promoted.root) == before


def test_a_moved_database_that_may_not_be_changed_is_one_line(
    empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(shutil.copy(empty_database, tmp_path))
    changed(path, "UPDATE experiments SET artifact_location = 'file:///no/such/place/mlartifacts'")
    (tmp_path / "mlartifacts").mkdir()
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(RefusedError) as refused, opening(f"sqlite:///{path}", print):
        pass
    assert str(refused.value) == (
        f"the database {path} was moved here from /no/such/place, and the places in it cannot be "
        "changed; run `carprice status` once where it may be written to"
    )
