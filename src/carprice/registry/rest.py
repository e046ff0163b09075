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
from urllib.parse import quote, urlencode, urlsplit

from carprice.errors import NoProductionModelError, RefusedError
from carprice.model_folder import MANIFEST, check
from carprice.redaction import redact
from carprice.registry import logins
from carprice.registry.cache import Production

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

    Raises
    ------
    LeftToMlflowError
        If the address is no plain HTTP server, the environment asks for more than a login, or, of
        every method, where MLflow's client had better ask.
    CarpriceError
        If the server does not answer or refuses, has no production version, or its bytes are wrong.
    """

    def __init__(self, uri: str, name: str, seconds: float = _SECONDS) -> None:
        self.uri, self.name = uri, name
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

    def production(self) -> Production:
        """Return the production version."""
        answer = self._ask("mlflow/registered-models/alias", name=self.name, alias="production")
        with _understanding():
            found = answer["model_version"]
            tags = {tag["key"]: tag.get("value", "") for tag in found.get("tags", [])}
            return Production(str(found["version"]), str(tags.get("digest", "")))

    def download(self, production: Production, target: Path) -> Path:
        """Write the version's model folder, checked, as ``target / digest``, and return that."""
        with _understanding():
            asked = {"name": self.name, "version": production.version}
            answer = self._ask("mlflow/model-versions/get-download-uri", **asked)
            parts = urlsplit(answer["artifact_uri"])
            if parts.scheme != "mlflow-artifacts" or parts.netloc:
                raise LeftToMlflowError
            (folder,) = self._listed(f"{parts.path.strip('/')}/data", are_folders=True)
            paths = self._listed(folder, are_folders=False)
        if MANIFEST not in paths.values():
            raise LeftToMlflowError
        written = target / production.digest
        written.mkdir()
        for path, name in paths.items():
            content = self._read(f"mlflow-artifacts/artifacts/{quote(path)}")
            (written / name).write_bytes(content)
        what = f"version {production.version} of {self.name} in {redact(self.uri)}"
        check(written, production.digest, what)
        return written

    def close(self) -> None:
        """Close the connection; a thread that waits for an answer gets an error."""
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
        with _understanding():
            return json.loads(self._read(f"{call}?{urlencode(query)}", _LARGEST_ANSWER))

    def _read(self, call: str, most: int | None = None) -> bytes:
        """Return the body of an answer, at most so many bytes of it."""
        header = logins.header(self.uri)
        try:
            try:
                self._connection.request("GET", f"{self._path}/api/2.0/{call}", headers=header)
            except ValueError:  # it shows the login
                raise LeftToMlflowError from None
            self._socket = self._connection.sock
            reply = self._connection.getresponse()
            if reply.status != HTTPStatus.OK:
                raise self._refusal(reply)
            content = reply.read(most)
            reply.read()
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
            code = json.loads(reply.read(_LARGEST_ANSWER))["error_code"]
        except (ValueError, KeyError, TypeError):
            code = None
        if code in _NO_SUCH_MODEL:
            return NoProductionModelError.of(redact(self.uri), self.name)
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
    except (ValueError, KeyError, TypeError, AttributeError):
        raise LeftToMlflowError from None


def _may_know_another_login(uri: str) -> bool:
    """Whether MLflow's client may find a login in a file, and none is given otherwise."""
    files = ("~/.mlflow/credentials", os.environ.get("NETRC") or "~/.netrc", "~/_netrc")
    return not logins.header(uri) and any(Path(name).expanduser().is_file() for name in files)
