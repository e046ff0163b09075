"""What tests send the service, and how they read its refusals."""

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from carprice.model_tests.documented import Asked, documented

BARE = {"make": "Hyundai", "model": "Creta", "year": 2018, "odometer": 61000}
FULL = {**BARE, "variant": "SX 1.6 CRDI", "fuelType": "Diesel", "features": ["Bluetooth", "Tpms"]}


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait for what comes about within 90 seconds, or fail."""
    deadline = time.monotonic() + 90
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def post(client: Any, path: str, content: object, **headers: str) -> Any:
    """Send bytes, or anything else as JSON."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return client.post(path, content=body, headers={"Content-Type": "application/json", **headers})


def refused(answer: Any, status: int, kind: str) -> Any:
    """Return a problem's content if it is the one expected."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    content = answer.json()
    assert (content["status"], content["type"]) == (status, f"urn:carprice:problem:{kind}")
    assert content["title"]
    assert content["detail"]
    return content


METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
PAGES = (
    "/app",
    "/docs",
    "/redoc",
    "/openapi.json",
    "/metrics",
    "/v2/",
    "/nowhere",
    "/docs/nowhere",
)


def ask_every_route(request: Callable[..., Any]) -> None:
    """Ask a ready service for all that its document names; only the examples must get a 200."""
    document = request("GET", "/openapi.json").json()
    right = {"name": "used-car-price", "version": request("GET", "/model").json()["version"]}
    examples = [*documented(document, right)]
    assert {path.format_map(right) for path in document["paths"]} == {one.path for one in examples}
    paths = {one.path for one in examples} | {*PAGES}
    for name, version in (("another", right["version"]), ("a/b", ""), ("%00", "%ff"), ("é", "٣")):
        parameters = {"name": name, "version": version}
        paths |= {path.format_map(parameters) for path in document["paths"]}
    bodies = {(one.body, one.media_type) for one in examples} | {
        *((b"{", kind) for kind in ("application/json", "text/csv", "text/plain")),
        *((b"[]", None), (b"\xff", "application/json"), (b"null", "application/json")),
    }
    odd = [
        *(Asked(method, path) for path in paths for method in METHODS),
        *(Asked(method, f"{path}?confidence=x&a=%00") for path in paths for method in METHODS),
        *(Asked("POST", path, *body) for path in paths for body in bodies),
    ]
    for one in examples:
        assert request(**one.sent()).status_code == 200, one
    failed = [one for one in odd if request(**one.sent()).status_code >= 500]
    assert not failed


def prices_of(client: Any, rows: list[dict[str, Any]], **query: Any) -> list[dict[str, Any]]:
    """Return what ``POST /predict`` answers to each listing alone."""
    return [client.post("/predict", json=row, params=query).json() for row in rows]


@dataclass
class Traffic:
    """Clients that go on asking for prices over kept connections, and what they were answered."""

    port: int
    statuses: Counter[int | str] = field(default_factory=Counter)
    versions: set[str] = field(default_factory=set)

    @contextmanager
    def flowing(self, clients: int = 2, pause: float = 0.02) -> Iterator[None]:
        done = threading.Event()
        with ThreadPoolExecutor(clients) as threads:
            asking = [threads.submit(self._ask, done, pause) for _ in range(clients)]
            try:
                yield
            finally:
                done.set()
        for one in asking:
            one.result()

    def _ask(self, done: threading.Event, pause: float) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        body, headers = json.dumps(BARE), {"Content-Type": "application/json"}
        while not done.wait(pause):
            try:
                connection.request("POST", "/predict", body, headers)
                answer = connection.getresponse()
                content = json.loads(answer.read())
                self.statuses[answer.status] += 1
                self.versions.add(content.get("modelVersion", ""))
            except (OSError, http.client.HTTPException) as error:
                self.statuses[repr(error)] += 1
                connection.close()
        connection.close()


def processes_with(words: str) -> list[str]:
    """Return the command lines of all processes in which the words are."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return [command for command in found if words in command]
