"""MLflow's database in a file: whole or not there, its artifacts beside it wherever it stands.

MLflow takes seconds to make one, and cannot go on with one that it did not finish. The places of
artifacts in it are absolute, and stand for the folder where it was made. So it is made aside and
put in place, and its places are rewritten where it is opened in another folder: everything of
MLflow's reads it then, without a scheme or plug-in of ours.
"""

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from urllib.parse import urlsplit
from urllib.request import url2pathname

from carprice.errors import RefusedError

_FOLDER: Final = "mlartifacts"
_PLACES: Final = (
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
    ("model_versions", "source"),
)
# What MLflow writes into a new database; until the last step there is no experiment.
_WRITTEN_FIRST: Final = ("alembic_version", "workspaces")


def address_of(path: Path) -> str:
    """Return the address of a database in a file, whatever signs its folders' names have.

    Examples
    --------
    >>> path = Path("/srv/used%20cars/mlflow.db")
    >>> file_of(address_of(path)) == path
    True
    """
    name = path.as_posix()
    if not {"%", "?"} & {*name}:  # as most are, without SQLAlchemy
        return f"sqlite:///{name}"
    from sqlalchemy import URL

    return URL.create("sqlite", database=name).render_as_string(hide_password=False)


def file_of(uri: str) -> Path | None:
    """Return the file of an address ``sqlite:///…``; None for any other, and in memory.

    Examples
    --------
    >>> file_of("sqlite:////srv/cars/mlflow.db").name
    'mlflow.db'
    >>> [file_of(uri) for uri in ("sqlite://", "https://mlflow.example.org", "mlruns")]
    [None, None, None]
    """
    if not uri.startswith("sqlite"):
        return None
    from sqlalchemy import make_url

    name = make_url(uri).database
    if not name or name == ":memory:" or name.startswith("file:"):
        return None
    return Path(name).resolve()


def artifacts_of(uri: str) -> str | None:
    """Return where new artifacts go: beside a database in a file; else None."""
    path = file_of(uri)
    return None if path is None else (path.parent / _FOLDER).as_uri()


@contextlib.contextmanager
def opening(uri: str, make: Callable[[str], object]) -> Iterator[None]:
    """Hold the lock of a database in a file while it is opened, made or mended before if need be.

    Other addresses are left alone.

    Parameters
    ----------
    make : makes the database at an address.

    Raises
    ------
    RefusedError
        If it was moved and may not be changed.
    sqlite3.Error
        If it is no database, damaged, or kept by another program.
    """
    path = file_of(uri)
    if path is None or path.is_dir():
        yield
        return
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(path.parent, os.W_OK):  # where nobody may write, nothing is made
        _refuse_lost(path)
        yield
        return
    from filelock import FileLock  # the service starts without it

    with FileLock(f"{path}.lock"):
        for left in path.parent.glob(f".{path.name}-*"):  # by a killed process
            shutil.rmtree(left, ignore_errors=True)
        if _is_unfinished(path):
            _make(path, make)
        _bring_home(path)
        yield


def _is_unfinished(path: Path) -> bool:
    """Whether a database is not there, or holds nothing since its making was interrupted."""
    if not path.exists() or path.stat().st_size == 0:
        return True
    with _opened(path) as database:
        return not any(
            database.execute(f'SELECT 1 FROM "{table}" LIMIT 1').fetchone()  # noqa: S608
            for table in _tables(database)
            if table not in _WRITTEN_FIRST
        )


def _make(path: Path, make: Callable[[str], object]) -> None:
    """Make a database aside and put it in place; not over one with tables that are not MLflow's."""
    with TemporaryDirectory(
        prefix=f".{path.name}-", dir=path.parent, ignore_cleanup_errors=True
    ) as scratch:
        made, whole = Path(scratch) / "made.db", Path(scratch) / "whole.db"
        make(address_of(made))
        # A copy, since MLflow keeps its own file open.
        with _opened(made) as source, _opened(whole, "rwc") as target:
            source.backup(target)
            known = _tables(target)
        if path.exists():
            with _opened(path) as database:
                if _tables(database) - known:
                    return
        for ending in ("-journal", "-wal", "-shm"):  # of the file that is replaced
            Path(f"{path}{ending}").unlink(missing_ok=True)
        whole.replace(path)


def _tables(database: sqlite3.Connection) -> set[str]:
    names = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    return {one for (one,) in names if not one.startswith(("sqlite_", "_alembic_tmp_"))}


def _bring_home(path: Path) -> None:
    """Rewrite the places of artifacts where the database was made in another folder.

    New artifacts go to the folder beside it. Those of a run stay where they are if only they were
    not moved or copied with the database.
    """
    with _opened(path) as database, database:
        for place in _places_elsewhere(database, path):
            home = (path.parent / _FOLDER).as_uri()
            database.execute(
                "UPDATE experiments SET artifact_location = ? WHERE artifact_location = ?",
                (home, place),
            )
            for table, column in _PLACES:
                found = database.execute(
                    f"SELECT DISTINCT {column} FROM {table} "  # noqa: S608
                    f"WHERE substr({column}, 1, ?) = ?",
                    (len(place) + 1, f"{place}/"),
                ).fetchall()
                for (old,) in found:
                    new = home + old.removeprefix(place)
                    if _path(new).exists() or not _path(old).exists():
                        database.execute(
                            f"UPDATE {table} SET {column} = ? WHERE {column} = ?",  # noqa: S608
                            (new, old),
                        )


def _places_elsewhere(database: sqlite3.Connection, path: Path) -> list[str]:
    """Return where experiments keep artifacts as carprice makes them, but for beside the file."""
    home = (path.parent / _FOLDER).as_uri()
    if "experiments" not in _tables(database):
        return []
    found = database.execute(
        "SELECT DISTINCT artifact_location FROM experiments WHERE artifact_location LIKE ?",
        (f"file:///%/{_FOLDER}",),
    )
    return [place for (place,) in found if place != home]


def _refuse_lost(path: Path) -> None:
    """Refuse a database that may not be changed and tells of artifacts that are not there."""
    lost: list[Path] = []
    if path.exists():
        with contextlib.suppress(sqlite3.Error), _opened(path, "ro") as database:
            lost = [_path(place) for place in _places_elsewhere(database, path)]
    for folder in lost:
        if not folder.exists() and (path.parent / _FOLDER).exists():
            raise RefusedError(
                f"the database {path} was moved here from {folder.parent}, and the places in it "
                "cannot be changed; run `carprice status` once where it may be written to"
            )


@contextlib.contextmanager
def _opened(path: Path, mode: str = "rw") -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode={mode}", uri=True)) as database:
        yield database


def _path(uri: str) -> Path:
    return Path(url2pathname(urlsplit(uri).path))
