"""A registry that means harm, or is broken: it has one model in production, and one vice."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from web import serving

ALIAS = "/api/2.0/mlflow/registered-models/alias"
PLACE = "/api/2.0/mlflow/model-versions/get-download-uri"
RUN = "/api/2.0/mlflow/runs/get"
LOGGED_MODELS = "/api/2.0/mlflow/logged-models/"
MODEL = "/api/2.0/mlflow/registered-models/get"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"


@dataclass
class HostileRegistry:
    """What the server answers, and what it was asked and sent.

    Attributes
    ----------
    folder, digest : the model folder in production, and the digest that its tag says.
    place : where the registry says that the files are.
    leads_to : where it says that those of any run, logged model and model "evil" are.
    names : names of files that are listed beside those of the folder.
    vice : what the server does instead of a plain answer, by the end of the path.
    """

    folder: Path
    digest: str
    version: str = "4"
    place: str = "mlflow-artifacts:/1/models/m-1/artifacts"
    leads_to: str = "mlflow-artifacts:/1/run/artifacts"
    names: tuple[str, ...] = ()
    vice: Mapping[str, Callable[["Answering"], None]] = field(default_factory=dict)
    url: str = ""
    sent: int = 0
    asked: list[tuple[str, Message]] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)

    @property
    def logins(self) -> list[str]:
        """The logins that it got."""
        return [login for _, headers in self.asked if (login := headers.get("Authorization"))]

    def answer(self, path: str) -> bytes:
        """Return what an MLflow server answers."""
        parts = urlsplit(path)
        if parts.path == ALIAS:
            tags = [{"key": "digest", "value": self.digest}]
            return _json({"model_version": {"version": self.version, "tags": tags}})
        if parts.path == MODEL:
            return _json({"registered_model": {}})
        if parts.path == PLACE:
            is_evil = "name=evil" in parts.query
            return _json({"artifact_uri": self.leads_to if is_evil else self.place})
        if parts.path.startswith((RUN, LOGGED_MODELS)):
            found = {"info": {"artifact_uri": self.leads_to}, "data": {}}
            return _json({"run" if parts.path == RUN else "model": found})
        if parts.path == ARTIFACTS:
            asked = parse_qs(parts.query)["path"][0]
            is_above = asked.endswith("/data")
            own = ["candidate"] if is_above else [one.name for one in self.folder.iterdir()]
            names = own if is_above else [*own, *self.names]
            return _json({"files": [{"path": name, "is_dir": is_above} for name in names]})
        return (self.folder / parts.path.rpartition("/")[2]).read_bytes()


class Answering(BaseHTTPRequestHandler):
    """Answers one request."""

    def __init__(self, *arguments: Any, registry: HostileRegistry) -> None:
        self.registry = registry
        super().__init__(*arguments)

    def do_GET(self) -> None:
        registry = self.registry
        registry.asked.append((self.path, self.headers))
        path = urlsplit(self.path).path
        own = (vice for end, vice in registry.vice.items() if path.endswith(end))
        with suppress(OSError):
            if vice := next(own, None):
                vice(self)
            else:
                self.whole(registry.answer(self.path))

    do_POST = do_GET  # noqa: N815

    def head(self, status: int = 200, **headers: str) -> None:
        """Send the head of an answer."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def whole(self, body: bytes) -> None:
        """Send a whole answer."""
        self.head(Content_Length=str(len(body)))
        self.wfile.write(body)


def endless(what: Answering) -> None:
    """Send bytes for ever."""
    what.head()
    what.wfile.write(b'{"model_version": "')
    while not what.registry.done.is_set():
        what.registry.sent += what.wfile.write(b"0" * 1_000_000)


def half(what: Answering) -> None:
    """Send the first half of an answer."""
    body = what.registry.answer(what.path)
    what.head(Content_Length=str(len(body)))
    what.wfile.write(body[: len(body) // 2])
    what.close_connection = True


def drip(what: Answering) -> None:
    """Send a byte now and then."""
    what.head()
    while not what.registry.done.wait(0.1):
        what.wfile.write(b" ")
        what.wfile.flush()


def silent(what: Answering) -> None:
    """Say nothing."""
    what.registry.done.wait()


def deep(what: Answering) -> None:
    """Send lists in lists."""
    what.whole(b"[" * 900_000)


def saying(body: bytes) -> Callable[[Answering], None]:
    """Return what sends this body."""
    return lambda what: what.whole(body)


def redirecting(address: str) -> Callable[[Answering], None]:
    """Return what sends on to another address; to itself where that is empty."""

    def answer(what: Answering) -> None:
        what.head(302, Location=address or what.path, Content_Length="0")

    return answer


@contextmanager
def hostile_registry(registry: HostileRegistry) -> Iterator[HostileRegistry]:
    """Run it until the block ends."""
    with serving(Answering, registry=registry) as registry.url:
        try:
            yield registry
        finally:
            registry.done.set()
            time.sleep(0.05)


def _json(content: Any) -> bytes:
    return json.dumps(content).encode()
