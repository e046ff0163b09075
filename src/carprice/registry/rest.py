"""MLflow's REST interface, as much of it as the production model takes.

Importing MLflow and asking by its client takes 1.5 s and 100 MB, this a few milliseconds. What is
not plain (redirects, other logins, artifacts outside the server) is left to MLflow's client.
"""

import contextlib
import http.client
import json
import os
import re
import socket
import ssl
import urllib.request
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, quote, urlencode, urlsplit

from carprice.errors import NoProductionModelError, RefusedError
from carprice.model_folder import MANIFEST
from carprice.redaction import redact
from carprice.registry import logins
from carprice.registry.cache import Production
from carprice.registry.tls import tls_context

_ALIAS: Final = "production"
_LARGEST_ANSWER: Final = 1_000_000
_SECONDS: Final = 20.0
# Ways to log in, and other headers, that only MLflow's own client knows.
_MLFLOW_ONLY: Final = (
    "MLFLOW_TRACKING_AUTH",
    "MLFLOW_TRACKING_AWS_SIGV4",
    "MLFLOW_TRACKING_CLIENT_CERT_PATH",
    "MLFLOW_WORKSPACE",
)
_NO_SUCH_MODEL: Final = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
_FILE_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")


class LeftToMlflowError(Exception):
    """Plain HTTP is not enough here; MLflow's own client shall ask."""


class HttpRegistry:
    """One registered model on an MLflow server; ``seconds`` is how long to wait for each answer.

    Every method raises :class:`LeftToMlflowError` where MLflow's client had better ask, and
    :class:`~carprice.errors.RefusedError` when the server does not answer or refuses.

    Raises
    ------
    LeftToMlflowError
        If the address is no plain HTTP server, or the environment asks for more than a login.
    """

    def __init__(self, uri: str, name: str, seconds: float = _SECONDS) -> None:
        self._uri, self._name = uri, name
        parts = logins.split(uri)
        if parts.scheme not in ("http", "https") or any(map(os.environ.get, _MLFLOW_ONLY)):
            raise LeftToMlflowError
        if parts.scheme in urllib.request.getproxies() and not urllib.request.proxy_bypass(
            parts.hostname or ""
        ):
            raise LeftToMlflowError
        self._path = parts.path.rstrip("/")
        try:
            self._connection = _connection(parts, seconds)
        except (OSError, ValueError, http.client.HTTPException):
            raise LeftToMlflowError from None
        self._socket: socket.socket | None = None

    def production(self) -> Production:
        """Return the production version.

        Raises
        ------
        NoProductionModelError
            If there is none.
        """
        answer = self._ask("mlflow/registered-models/alias", name=self._name, alias=_ALIAS)
        with _understanding():
            found = answer["model_version"]
            tags = {tag["key"]: tag.get("value", "") for tag in found.get("tags", [])}
            return Production(str(int(found["version"])), str(tags.get("digest", "")))

    def download(self, production: Production, target: Path) -> None:
        """Write the version's model folder, unchecked, into the folder ``target``."""
        with _understanding():
            asked = {"name": self._name, "version": production.version}
            answer = self._ask("mlflow/model-versions/get-download-uri", **asked)
            parts = urlsplit(answer["artifact_uri"])
            if parts.scheme != "mlflow-artifacts" or parts.netloc:
                raise LeftToMlflowError
            (folder,) = self._listed(f"{parts.path.strip('/')}/data", are_folders=True)
            paths = self._listed(folder, are_folders=False)
        if MANIFEST not in paths.values():
            raise LeftToMlflowError
        for path, name in paths.items():
            with self._reply(f"mlflow-artifacts/artifacts/{quote(path)}") as reply:
                content = reply.read()
            (target / name).write_bytes(content)

    def close(self) -> None:
        """End the connection, and with an error what waits for it in another thread."""
        self._connection.auto_open = 0  # a thread that goes on shall not connect again
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)  # wakes a thread that waits for an answer
        self._connection.close()

    def _listed(self, path: str, *, are_folders: bool) -> dict[str, str]:
        """Return the paths and names of what is in a folder of artifacts."""
        found = {}
        for one in self._ask("mlflow-artifacts/artifacts", path=path)["files"]:
            name = one["path"].rpartition("/")[2]
            if not _FILE_NAME.fullmatch(name) or one["is_dir"] is not are_folders:
                raise LeftToMlflowError
            found[f"{path}/{name}"] = name
        return found

    def _ask(self, call: str, **query: str) -> Any:
        with self._reply(f"{call}?{urlencode(query)}") as reply, _understanding():
            return json.loads(reply.read(_LARGEST_ANSWER))

    @contextlib.contextmanager
    def _reply(self, call: str) -> Iterator[http.client.HTTPResponse]:
        path = f"{self._path}/api/2.0/{call}"
        header = logins.header(self._uri)
        try:
            try:
                self._connection.request("GET", path, headers=header)
            except ValueError:  # it shows the login
                raise LeftToMlflowError from None
            self._socket = self._connection.sock
            reply = self._connection.getresponse()
            if reply.status != HTTPStatus.OK:
                self._judge(reply)
            yield reply
            reply.read()
        except ssl.SSLCertVerificationError:
            raise LeftToMlflowError from None
        except (OSError, http.client.IncompleteRead) as error:
            told = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise RefusedError(
                f"MLflow at {redact(self._uri)} cannot be reached ({told}); check "
                "MLFLOW_TRACKING_URI and the server"
            ) from None
        except (http.client.HTTPException, AttributeError):
            raise LeftToMlflowError from None

    def _judge(self, reply: http.client.HTTPResponse) -> None:
        """Raise what an answer other than 200 means."""
        try:
            code = json.loads(reply.read(_LARGEST_ANSWER))["error_code"]
        except (ValueError, KeyError, TypeError):
            code = None
        if code in _NO_SUCH_MODEL:
            raise NoProductionModelError.of(redact(self._uri), self._name)
        status = reply.status
        if status in (401, 403) and _may_know_another_login(self._uri):
            raise LeftToMlflowError
        if logins.is_dagshub(self._uri) and logins.token_variable():
            if status == HTTPStatus.UNAUTHORIZED:
                raise logins.refused_token(status)
            if status == HTTPStatus.NOT_FOUND and code is None:
                raise logins.missing_repository(self._uri)
        if status in (401, 403, 408, 429) or status >= 500:
            raise RefusedError(
                f"MLflow at {redact(self._uri)} answers with HTTP status {status}; "
                f"{logins.remedy(self._uri)}"
            )
        raise LeftToMlflowError


@contextlib.contextmanager
def _understanding() -> Iterator[None]:
    """Leave an answer of another form than MLflow's to MLflow's client."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError):
        raise LeftToMlflowError from None


def _may_know_another_login(uri: str) -> bool:
    """Whether MLflow's client may find a login in a file, and none is given otherwise."""
    files = ("~/.mlflow/credentials", os.environ.get("NETRC") or "~/.netrc", "~/_netrc")
    return not logins.header(uri) and any(Path(name).expanduser().is_file() for name in files)


def _connection(parts: SplitResult, seconds: float) -> http.client.HTTPConnection:
    host, port = parts.hostname or "", parts.port
    if parts.scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=seconds)
    return http.client.HTTPSConnection(host, port, timeout=seconds, context=tls_context())
