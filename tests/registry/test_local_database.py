"""A registry that is a SQLite file: what is wrong with it is said, and nothing of a login."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from carprice.errors import RefusedError
from carprice.registry import local_database
from carprice.registry.tracking import connect

NEW_ONE = (
    "bring it back from a backup, or move it away: the next `carprice run` or `carprice up` makes "
    "a new registry, without the versions of the old one"
)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_database, "_WAIT_SECONDS", 0.1)


@pytest.fixture
def locked(tmp_path: Path, empty_database: Path) -> Iterator[Path]:
    path = Path(shutil.copy(empty_database, tmp_path / "mlflow.db"))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    yield path
    other.close()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (
            lambda path: path.mkdir(),
            "cannot be opened, for {path} is a folder; move it away, or name another registry "
            "with MLFLOW_TRACKING_URI or tracking.uri",
        ),
        (
            lambda path: path.write_bytes(b"make,model\n" * 99),
            f"is no SQLite database; {NEW_ONE}",
        ),
        (
            lambda path: path.write_bytes(path.with_name("good.db").read_bytes()[:90_000]),
            f"is damaged (database disk image is malformed); {NEW_ONE}",
        ),
    ],
    ids=["folder", "text", "cut off"],
)
def test_a_file_that_is_no_registry_is_told(
    spoil: Callable[[Path], object], words: str, tmp_path: Path, empty_database: Path
) -> None:
    shutil.copy(empty_database, tmp_path / "good.db")
    path = tmp_path / "mlflow.db"
    spoil(path)
    with pytest.raises(RefusedError) as refused:
        connect(f"sqlite:///{path}")
    assert str(refused.value) == f"MLflow at sqlite:///{path} {words.format(path=path)}"


def test_what_another_program_locks_is_told(locked: Path) -> None:
    with pytest.raises(RefusedError) as refused:
        connect(f"sqlite:///{locked}")
    told = "is locked by another program; end that program, or wait for it, and run this again"
    assert str(refused.value) == f"MLflow at sqlite:///{locked} {told}"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (sqlite3.OperationalError("database or disk is full"), "the disk is full; free some"),
        (sqlite3.OperationalError("disk I/O error"), "the disk is full, or fails; free some"),
        (sqlite3.OperationalError("attempt to write a readonly database"), "let this user write"),
        (
            sqlite3.OperationalError("unable to open database file"),
            "let this user read and write both",
        ),
        (OSError(28, "No space left on device", "a/b"), "cannot write a/b: no space left"),
        (ValueError("1 failed: [Errno 13] Permission denied: 'a/b'"), "cannot write a/b: permiss"),
        (ValueError("odd"), "did not do what was asked: odd; check MLFLOW_TRACKING_URI and"),
    ],
    ids=str,
)
def test_what_the_database_says_is_put_as_what_to_do(error: Exception, words: str) -> None:
    assert words in local_database.problem_of(error)
    assert "login" not in local_database.problem_of(error)
