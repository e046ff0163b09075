"""The files of a registered model, from wherever the registry says that they are.

What a registry says is not trusted: how many files there are, their names and their sizes are
checked, and no other server gets the registry's login.
"""

import json
import posixpath
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from carprice.errors import CorruptModelError, RefusedError
from carprice.model_folder import LARGEST_FILE, LARGEST_FOLDER, MOST_FILES
from carprice.redaction import redact
from carprice.registry import logins

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.store.artifact.artifact_repo import ArtifactRepository

ENDPOINT: Final = "/api/2.0/mlflow-artifacts/artifacts"
LARGEST_ANSWER: Final = 1_000_000
FILE_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")
_DEEPEST: Final = 3
_MOST_STEPS: Final = 3
_SECONDS: Final = 900.0
_LOGGED_MODEL: Final = re.compile(r"models:/(m-[A-Za-z0-9]+)/?")
_RUN: Final = re.compile(r"runs:/([A-Za-z0-9]+)/(.+)")
_INDIRECT: Final = ("models", "runs")
_WEB: Final = ("http", "https", "mlflow-artifacts")


def place_of(client: "MlflowClient", uri: str, place: str) -> str:
    """Return where artifacts lie, by an address that needs no further question.

    MLflow's client would ask further by itself, and send the login to any server that it is told.

    Raises
    ------
    RefusedError
        If the registry does not lead to such an address.
    """
    for _ in range(_MOST_STEPS):
        if model := _LOGGED_MODEL.fullmatch(place):
            place = str(client.get_logged_model(model[1]).artifact_location)
        elif run := _RUN.fullmatch(place):
            place = posixpath.join(str(client.get_run(run[1]).info.artifact_uri), run[2])
        elif logins.split(place).scheme in _INDIRECT:
            break
        else:
            return place
    raise RefusedError(
        f"MLflow at {redact(uri)} names no place of a model's files, but {redact(place)[:200]!r}"
    )


def download(uri: str, address: str, place: str, folder: Path) -> Path:
    """Download the artifacts at a place into an empty folder, and return it.

    Parameters
    ----------
    uri : the registry's address.
    address : the same as MLflow's client is given it.

    Raises
    ------
    RefusedError
        If the place is on another server than the registry.
    CorruptModelError
        If there are more files, or more bytes, than any model has, or odd names.
    """
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    logins.refuse_another_server(uri, place)
    if logins.split(place).scheme in _WEB:
        _Served(uri, address, place).save(folder)
        return folder
    repository = get_artifact_repository(place)
    if _has_files(repository, place):
        repository.download_artifacts("", str(folder))  # type: ignore[no-untyped-call]
    return folder


def download_file(uri: str, address: str, place: str, path: str, folder: Path) -> Path | None:
    """Download one file of the artifacts at a place; None where there is none of that path.

    Raises
    ------
    RefusedError
        If the place is on another server than the registry.
    CorruptModelError
        If the file is larger than any of a model.
    """
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    logins.refuse_another_server(uri, place)
    if logins.split(place).scheme in _WEB:
        return _Served(uri, address, place).save_file(path, folder)
    repository = get_artifact_repository(place)
    for one in repository.list_artifacts(posixpath.dirname(path)):
        if one.path == path:
            _Limits(place).add(path, int(one.file_size or 0))
            return Path(repository.download_artifacts(path, str(folder)))  # type: ignore[no-untyped-call]
    return None


def refuse_other_servers() -> None:
    """Have MLflow's client use no artifacts, to read or to write, on another server than its own.

    It looks up here what reads and writes them, whatever has led it to their address.
    """
    from mlflow.store.artifact.artifact_repository_registry import (
        get_registered_artifact_repositories,
    )

    known: dict[str, Any] = get_registered_artifact_repositories()
    for scheme in _WEB:
        if not isinstance(known[scheme], _Guarded):
            known[scheme] = _Guarded(known[scheme])


@dataclass(frozen=True)
class _Guarded:
    """Makes what reads and writes artifacts at a web address, unless that is another server's."""

    make: Callable[..., "ArtifactRepository"]

    def __call__(self, place: str, **addresses: str | None) -> "ArtifactRepository":
        from mlflow import get_tracking_uri

        logins.refuse_another_server(addresses.get("tracking_uri") or get_tracking_uri(), place)
        return self.make(place, **addresses)


def _has_files(repository: "ArtifactRepository", place: str) -> bool:
    """Whether a store with a login of its own, such as S3, has files; no more than a model has."""
    limits, waiting, has_files = _Limits(place), [""], False
    while waiting:
        path = waiting.pop()
        for one in repository.list_artifacts(path or None):
            if one.path in (path, "."):
                continue
            limits.count(one.path.rpartition("/")[2], one.path.count("/"))
            if one.is_dir:
                waiting.append(one.path)
            else:
                limits.add(one.path, int(one.file_size or 0))
                has_files = True
    return has_files


class _Limits:
    """Counts files and bytes, and refuses what no model has."""

    def __init__(self, place: str) -> None:
        self._place, self._files, self._bytes = redact(place), 0, 0

    @property
    def left(self) -> int:
        """Bytes that the next file may have."""
        return min(LARGEST_FILE, LARGEST_FOLDER - self._bytes)

    def count(self, name: str, depth: int) -> None:
        """Count a file or folder."""
        self._files += 1
        if not FILE_NAME.fullmatch(name) or depth > _DEEPEST:
            raise CorruptModelError(
                f"{self._place} lists a file {name[:100]!r}, which no model has; register the "
                "model again"
            )
        if self._files > 2 * MOST_FILES:
            raise CorruptModelError(
                f"{self._place} lists more than {2 * MOST_FILES} files, which no model has; "
                "register the model again"
            )

    def add(self, path: str, size: int) -> None:
        """Count the bytes of a file."""
        if size > self.left:
            raise CorruptModelError(
                f"{path} at {self._place} is larger than any file of a model; register the model "
                "again"
            )
        self._bytes += size


class _Served:
    """Artifacts that the registry's own server hands out, asked for by MLflow's client."""

    def __init__(self, uri: str, address: str, place: str) -> None:
        self._uri, self._place = uri, place
        self._limits, self._until = _Limits(place), time.monotonic() + _SECONDS
        parts = logins.split(place)
        if parts.scheme == "mlflow-artifacts":
            self._root, self._server = parts.path.strip("/"), address.rstrip("/")
            return
        before, found, after = parts.path.partition(ENDPOINT)
        if not found:
            raise RefusedError(
                f"MLflow at {redact(uri)} keeps the model's files at {redact(place)}, which is no "
                "address of an MLflow server's artifacts"
            )
        netloc = logins.split(address).netloc  # with the login, where it has one
        self._root = after.strip("/")
        self._server = parts._replace(netloc=netloc, path=before, query="", fragment="").geturl()

    def save(self, folder: Path) -> None:
        """Write all files, each below a listed name, into a folder; list them all before."""
        waiting: list[str] = [""]
        files: list[str] = []
        while waiting:
            path = waiting.pop()
            for name, is_folder in self._listed(path):
                inner = posixpath.join(path, name)
                self._limits.count(name, inner.count("/"))
                (waiting if is_folder else files).append(inner)
        for path in files:
            self._save(path, folder)

    def save_file(self, path: str, folder: Path) -> Path | None:
        """Write one file, below its path, into a folder; None where it is not listed."""
        parent, _, name = path.rpartition("/")
        return self._save(path, folder) if (name, False) in self._listed(parent) else None

    def _save(self, path: str, folder: Path) -> Path:
        content = self._read(f"/{posixpath.join(self._root, path)}", {}, self._limits.left)
        self._limits.add(path, len(content))
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
        return folder / path

    def _listed(self, path: str) -> Iterator[tuple[str, bool]]:
        asked = {"path": posixpath.join(self._root, path) if path else self._root}
        try:
            files = json.loads(self._read("", asked, LARGEST_ANSWER)).get("files", [])
            found = [(str(one["path"]), bool(one["is_dir"])) for one in files]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise RefusedError(
                f"MLflow at {redact(self._uri)} does not tell the files of a model as an MLflow "
                "server does; check MLFLOW_TRACKING_URI"
            ) from None
        for told, is_folder in found:
            if told.startswith("/") or ".." in told.split("/"):
                self._limits.count(told, 0)
            yield told.rpartition("/")[2], is_folder

    def _read(self, path: str, query: dict[str, str], most: int) -> bytes:
        from mlflow.utils.credentials import get_default_host_creds
        from mlflow.utils.rest_utils import http_request

        login: Any = get_default_host_creds(self._server)  # type: ignore[no-untyped-call]
        more = {"params": query} if query else {}
        reply = http_request(login, f"{ENDPOINT}{path}", "GET", stream=True, **more)  # type: ignore[no-untyped-call]
        content = bytearray()
        with reply:
            reply.raise_for_status()
            for chunk in reply.iter_content(65536):
                content += chunk
                if len(content) > most:
                    raise CorruptModelError(
                        f"{path or 'the list of files'} at {redact(self._place)} is larger than "
                        "any of a model; register the model again"
                    )
                if time.monotonic() > self._until:
                    raise RefusedError(
                        f"MLflow at {redact(self._uri)} took more than {_SECONDS:g} s for the "
                        "files of a model"
                    )
        return bytes(content)
