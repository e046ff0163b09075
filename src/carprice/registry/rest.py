"""MLflow's REST interface, as much of it as a model to serve takes.

Importing MLflow and asking by its client takes 1.5 s and 100 MB, this a few milliseconds. What is
not plain (redirects, other logins, artifacts outside the server) is left to MLflow's client.

What the server says is not trusted: only the names of a model's files are asked for, and no answer
is read beyond the largest that a model needs.
"""

import contextlib
import http.client
import json
import os
import socket
import ssl
import urllib.request
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from carprice.errors import CorruptModelError, NoProductionModelError, RefusedError
from carprice.model_folder import (
    LARGEST_FILE,
    LARGEST_FOLDER,
    MANIFEST,
    MORE_PARTS,
    MOST_FILES,
    PARTS,
    check,
)
from carprice.redaction import redact
from carprice.registry import logins
from carprice.registry.artifacts import FILE_NAME, LARGEST_ANSWER
from carprice.registry.cache import Production

_SECONDS: Final = 20.0
# Ways to log in, and other headers, that only MLflow's own client knows.
_MLFLOW_ONLY: Final = (
    "MLFLOW_TRACKING_AUTH",
    "MLFLOW_TRACKING_AWS_SIGV4",
    "MLFLOW_TRACKING_CLIENT_CERT_PATH",
    "MLFLOW_WORKSPACE",
)
_NO_SUCH_MODEL: Final = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


class LeftToMlflowError(Exception):
    """Plain HTTP is not enough here; MLflow's own client shall ask."""


class HttpRegistry:
    """What is under an alias of a registered model on an MLflow server.

    ``seconds`` is how long to wait for each answer; ``tags`` are those of the version that was told
    last.

    Raises
    ------
    LeftToMlflowError
        If the address is no plain HTTP server, the environment asks for more than a login, or, of
        every method, where MLflow's client had better ask.
    CarpriceError
        If the server does not answer or refuses, has no version there, or its bytes are wrong.
    """

    def __init__(
        self, uri: str, name: str, seconds: float = _SECONDS, alias: str = "production"
    ) -> None:
        self.uri, self.name, self.alias = uri, name, alias
        self.tags: dict[str, str] = {}
        parts = logins.split(uri)
        host = parts.hostname or ""
        is_plain = parts.scheme in ("http", "https") and not any(map(os.environ.get, _MLFLOW_ONLY))
        proxies = urllib.request.getproxies()
        if not is_plain or (parts.scheme in proxies and not urllib.request.proxy_bypass(host)):
            raise LeftToMlflowError
        self._path = parts.path.rstrip("/")
        self._socket: socket.socket | None = None
        try:
            self._connection = (
                http.client.HTTPConnection(host, parts.port, timeout=seconds)
                if parts.scheme == "http"
                else http.client.HTTPSConnection(
                    host, parts.port, timeout=seconds, context=logins.tls_context()
                )
            )
        except (OSError, ValueError, http.client.HTTPException):
            raise LeftToMlflowError from None

    def version(self) -> Production:
        """Return the version under the alias."""
        answer = self._ask("mlflow/registered-models/alias", name=self.name, alias=self.alias)
        with _understanding():
            found = answer["model_version"]
            told = found.get("tags", [])
            self.tags = {str(tag["key"]): str(tag.get("value", "")) for tag in told}
            return Production(str(found["version"]), self.tags.get("digest", ""))

    def download(self, version: Production, target: Path) -> Path:
        """Write the version's model folder, checked, as ``target / digest``, and return that."""
        what = f"version {version.version} of {self.name} in {redact(self.uri)}"
        with _understanding():
            asked = {"name": self.name, "version": version.version}
            answer = self._ask("mlflow/model-versions/get-download-uri", **asked)
            place = answer["artifact_uri"]
            logins.refuse_another_server(self.uri, place)
            parts = urlsplit(place)
            if parts.scheme != "mlflow-artifacts" or parts.netloc:
                raise LeftToMlflowError
            (folder,) = self._listed(f"{parts.path.strip('/')}/data", what, are_folders=True)
            paths = self._listed(folder, what, are_folders=False)
        if MANIFEST not in paths.values():
            raise LeftToMlflowError
        if odd := {*paths.values()} - {MANIFEST, *PARTS, *MORE_PARTS}:
            raise CorruptModelError(
                f"{what} holds {min(odd)}, which is no file of a model that this carprice reads; "
                "register it again, or upgrade carprice"
            )
        written, left = target / version.digest, LARGEST_FOLDER
        written.mkdir()
        for path, name in paths.items():
            call = f"mlflow-artifacts/artifacts/{quote(path)}"
            content = self._read(call, min(LARGEST_FILE, left), f"{what}: {name}")
            (written / name).write_bytes(content)
            left -= len(content)
        check(written, version.digest, what)
        return written

    def close(self) -> None:
        """Close the connection; a thread that waits for an answer gets an error."""
        self._connection.auto_open = 0  # a thread that goes on shall not connect again
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)  # wakes a thread that waits for an answer
        self._connection.close()

    def _listed(self, path: str, what: str, *, are_folders: bool) -> dict[str, str]:
        """Return the paths and names of what is in a folder of artifacts."""
        files = list(self._ask("mlflow-artifacts/artifacts", path=path).get("files", ()))
        if len(files) > MOST_FILES:
            raise CorruptModelError(
                f"{what} holds {len(files):,} files, and no model has more than {MOST_FILES}; "
                "register it again"
            )
        found = {}
        for one in files:
            told = str(one["path"])
            name = told.rpartition("/")[2]
            if not FILE_NAME.fullmatch(name) or told.startswith("/") or ".." in told.split("/"):
                raise CorruptModelError(
                    f"{what} holds a file {told[:100]!r}, which no model has; register it again"
                )
            if one["is_dir"] is not are_folders:
                raise LeftToMlflowError
            found[f"{path}/{name}"] = name
        return found

    def _ask(self, call: str, **query: str) -> Any:
        with _understanding():
            what = f"MLflow at {redact(self.uri)}: its answer"
            return json.loads(self._read(f"{call}?{urlencode(query)}", LARGEST_ANSWER, what))

    def _read(self, call: str, most: int, what: str) -> bytes:
        """Return the body of an answer (``what``); one of more bytes than the most is refused."""
        header = logins.header(self.uri)
        try:
            try:
                self._connection.request("GET", f"{self._path}/api/2.0/{call}", headers=header)
            except ValueError:  # it shows the login
                raise LeftToMlflowError from None
            self._socket = self._connection.sock
            with self._connection.getresponse() as reply:
                if reply.status != HTTPStatus.OK:
                    raise self._refusal(reply)
                content = reply.read(most + 1)
                if len(content) > most or reply.read(1):  # which also reads to the answer's end
                    self._connection.close()
                    raise CorruptModelError(
                        f"{what} has more than {most:,} bytes, and none of a model has; register "
                        "the model again"
                    )
                if reply.length:
                    raise http.client.IncompleteRead(content, reply.length)
        except ssl.SSLCertVerificationError:
            raise LeftToMlflowError from None
        except (OSError, http.client.IncompleteRead) as error:
            told = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise RefusedError(
                f"MLflow at {redact(self.uri)} cannot be reached ({told}); check "
                "MLFLOW_TRACKING_URI and the server"
            ) from None
        except (http.client.HTTPException, AttributeError):
            raise LeftToMlflowError from None
        return content

    def _refusal(self, reply: http.client.HTTPResponse) -> Exception:
        """Return what an answer other than 200 means."""
        try:
            code = json.loads(reply.read(LARGEST_ANSWER))["error_code"]
        except (ValueError, KeyError, TypeError, RecursionError):
            code = None
        if code in _NO_SUCH_MODEL:
            return NoProductionModelError.of(redact(self.uri), self.name, self.alias)
        status = reply.status
        if status in (401, 403) and _may_know_another_login(self.uri):
            return LeftToMlflowError()
        if logins.is_dagshub(self.uri) and logins.token_variable():
            if status == HTTPStatus.UNAUTHORIZED:
                return logins.refused_token(status)
            if status == HTTPStatus.NOT_FOUND and code is None:
                return logins.missing_repository(self.uri)
        if status in (401, 403, 408, 429) or status >= 500:
            return RefusedError(
                f"MLflow at {redact(self.uri)} answers with HTTP status {status}; "
                f"{logins.remedy(self.uri)}"
            )
        return LeftToMlflowError()


@contextlib.contextmanager
def _understanding() -> Iterator[None]:
    """Leave an answer of another form than MLflow's to MLflow's client."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise LeftToMlflowError from None


def _may_know_another_login(uri: str) -> bool:
    """Whether MLflow's client may find a login in a file, and none is given otherwise."""
    files = ("~/.mlflow/credentials", os.environ.get("NETRC") or "~/.netrc", "~/_netrc")
    return not logins.header(uri) and any(Path(name).expanduser().is_file() for name in files)
