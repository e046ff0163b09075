"""What can go wrong with the registry, against what the service does: with real processes."""

import json
import re
import shutil
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests
from asking import BARE, Traffic, processes_with
from requests import Response

from carprice.model_folder import folder_digest
from carprice.registry.cache import Production, confirm
from carprice.registry.fetch import fetch

ROOT = Path(__file__).resolve().parents[2]
NAME = "cars with faults"
LOGIN = {"username": "service", "password": "<password of the service>"}
START_SECONDS = 3
GOOD, CORRUPT, NEWER, BETTER = 1, 2, 3, 4
FAULTS = {
    "down": "cannot be reached (Connection refused)",
    "hanging": f"did not answer within {START_SECONDS} s",
    "slow": f"did not answer within {START_SECONDS} s",
    "unauthorised": "answers with HTTP status 401",
    "corrupt": "hedonic.json is missing or not the file that was written",
    "newer": "model.json has format version 99, this carprice reads 1",
}


class Wire:
    """A way to a server that can be cut, that leads nowhere, or that lets hardly a byte through."""

    def __init__(self, target: int) -> None:
        self.port, self.mode = 0, "open"
        self._stopped = stopped = threading.Event()
        wire = self

        def carry(source: socket.socket, sink: socket.socket, size: int, pause: float) -> None:
            with suppress(OSError):
                while data := source.recv(size):
                    sink.sendall(data)
                    stopped.wait(pause)
            with suppress(OSError):
                sink.shutdown(socket.SHUT_WR)

        class Way(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                if wire.mode == "hanging":
                    stopped.wait()
                    return
                size, pause = (1, 0.2) if wire.mode == "slow" else (65536, 0.0)
                with socket.create_connection(("127.0.0.1", target)) as server:
                    asking = threading.Thread(target=carry, args=(self.request, server, 65536, 0.0))
                    asking.start()
                    carry(server, self.request, size, pause)
                    asking.join()

        self._way = Way
        self.connect()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connect(self) -> None:
        self._server = Listener(("127.0.0.1", self.port), self._way)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def cut(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.socket.close()

    def close(self) -> None:
        self._stopped.set()
        if self._thread.is_alive():
            self.cut()
        self._server.server_close()


class Listener(socketserver.ThreadingTCPServer):
    allow_reuse_address = True


@dataclass(frozen=True)
class Registered:
    """One registered model with its good and bad versions, and how to point at one of them."""

    url: str
    port: int
    folder: Path
    digest: str
    better: Path
    point: Callable[[int], None]
    create_user: Callable[[], None]
    delete_user: Callable[[], None]


@dataclass
class Observed:
    """What each service did under one fault and after it."""

    words: str
    registered: Registered
    traffic: Traffic
    confirmed: str
    during: dict[str, Response] = field(default_factory=dict)
    after: dict[str, Response] = field(default_factory=dict)
    priced: dict[str, Response] = field(default_factory=dict)
    logs: dict[str, str] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)


def wait_for(server: Any, is_so: Callable[[Any], bool]) -> Response:
    """Ask for the service's health until it is so."""
    deadline = time.monotonic() + 60
    while not is_so((answer := requests.get(server.url, timeout=30)).json()):
        assert time.monotonic() < deadline, (answer.text, server.log.read_text()[-3000:])
        time.sleep(0.05)
    return answer


def wait_for_log(server: Any, words: str, start: int = 0) -> None:
    wait_for(server, lambda _: words in server.log.read_text()[start:])


def cache_of(registered: Registered, cache: Path, environment: Mapping[str, str]) -> str:
    """Make a cache as a service leaves it; return when the registry confirmed its model.

    The better model is there too, so that a swap need not download it.
    """
    shutil.copytree(registered.folder, cache / registered.digest)
    shutil.copytree(registered.better, cache / folder_digest(registered.better))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        uri = environment["MLFLOW_TRACKING_URI"]
        found = fetch(uri, NAME, cache)
        confirm(uri, NAME, cache, Production(found["version"], found["digest"]))
    confirmed: str = json.loads((cache / f"{NAME}.json").read_text())["confirmed"]
    return confirmed


@pytest.fixture(scope="module")
def registered(
    tmp_path_factory: pytest.TempPathFactory,
    finished: Any,
    dagshub: Any,
    register: Callable[..., int],
    another_model: Callable[..., Path],
    newer_model: Callable[..., Path],
) -> Registered:
    """In a registry behind MLflow's own logins, as the admin."""
    from carprice.registry.versions import Registry

    server, admin = dagshub.upstream, (dagshub.user, dagshub.token)
    folder, good = tmp_path_factory.mktemp("faults"), finished[0].model
    folders = {
        GOOD: good,
        CORRUPT: another_model(good, folder / "corrupt", 11),
        NEWER: newer_model(good, folder / "newer"),
        BETTER: another_model(good, folder / "better", 12),
    }
    for number, one in folders.items():
        assert register(dagshub.behind, NAME, one, folder) == number
    client = Registry(dagshub.behind, NAME)._client
    source = client.get_model_version(NAME, str(CORRUPT)).source.removeprefix("models:/")
    (path,) = server.log.parent.rglob(f"{source}/**/hedonic.json")
    path.write_bytes(path.read_bytes()[:-1] + b" ")

    def point(number: int) -> None:
        client.set_registered_model_alias(NAME, "production", str(number))

    def manage(method: str, action: str, content: Mapping[str, str]) -> None:
        address = f"{server.url}/api/2.0/mlflow/users/{action}"
        answer = requests.request(method, address, json=content, auth=admin, timeout=30)
        assert answer.status_code == 200

    create = partial(manage, "POST", "create", LOGIN)
    delete = partial(manage, "DELETE", "delete", {"username": LOGIN["username"]})
    create()
    return Registered(
        server.url, server.port, good, folder_digest(good), folders[BETTER], point, create, delete
    )


@contextmanager
def fault(kind: str, registered: Registered, wire: Wire) -> Iterator[None]:
    """Bring a fault about until the block ends."""
    begin: Callable[[], object] = partial(setattr, wire, "mode", kind)
    end: Callable[[], object] = partial(setattr, wire, "mode", "open")
    if kind == "unauthorised":
        begin, end = registered.delete_user, registered.create_user
    elif kind in ("corrupt", "newer"):
        begin = partial(registered.point, {"corrupt": CORRUPT, "newer": NEWER}[kind])
        end = partial(registered.point, GOOD)
    elif kind == "down":
        begin, end = wire.cut, wire.connect
    begin()
    try:
        yield
    finally:
        end()


SERVICE = [sys.executable, "-m", "api", "--host", "127.0.0.1", "--port", "{port}"]


def variables(url: str, cache: Path) -> dict[str, str]:
    return {
        "MLFLOW_TRACKING_URI": url,
        **{f"MLFLOW_TRACKING_{key.upper()}": value for key, value in LOGIN.items()},
        "CARPRICE_MODEL_NAME": NAME,
        "CARPRICE_MODEL_CACHE": str(cache),
        "CARPRICE_START_SECONDS": str(START_SECONDS),
        "CARPRICE_DRAIN_SECONDS": "0",
        "PYTHONPATH": str(ROOT),
    }


@pytest.fixture(scope="module")
def polling(
    registered: Registered, serve: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Any, Wire]]:
    """A service that looks for a new model all the time, through all faults, and its wire."""
    folder = tmp_path_factory.mktemp("polling")
    registered.point(GOOD)
    with closing(Wire(registered.port)) as wire:
        environment = {**variables(wire.url, folder / "cache"), "CARPRICE_POLL_SECONDS": "0.5"}
        cache_of(registered, folder / "cache", environment)
        with serve(SERVICE, folder, "/live", environment) as server:
            yield server, wire
    assert processes_with(str(folder)) == []


@pytest.fixture(scope="module", params=FAULTS)
def observed(
    request: pytest.FixtureRequest,
    registered: Registered,
    polling: tuple[Any, Wire],
    serve: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Observed:
    """Four services under one fault: with a cache, with an image's model, with none, and running.

    Clients go on asking the last for prices.
    """
    words, folder = FAULTS[request.param], tmp_path_factory.mktemp(request.param)
    running, wire = polling
    registered.point(GOOD)
    confirmed = cache_of(registered, folder / "cache", variables(wire.url, folder / "cache"))
    wait_for(running, lambda health: health["modelVersion"] == str(GOOD))
    logged = len(running.log.read_text())
    seen = Observed(words, registered, Traffic(running.port), confirmed)
    baked = {"CARPRICE_BAKED_MODEL": str(registered.folder)}
    states: dict[str, dict[str, str]] = {"cache": {}, "image": baked, "nothing": {}}
    with ExitStack() as stack, seen.traffic.flowing(pause=0.03):

        def start(state: str) -> Any:
            work = folder / f"{state} works here"
            work.mkdir()
            environment = {**variables(wire.url, folder / state), **states[state]}
            server = stack.enter_context(serve(SERVICE, work, "/live", environment))
            seen.during[state] = wait_for(server, lambda health: words in (health["detail"] or ""))
            seen.priced[state] = requests.post(f"{server.url}/predict", json=BARE, timeout=30)
            return server

        with fault(request.param, registered, wire), ThreadPoolExecutor() as threads:
            servers = dict(zip(states, threads.map(start, states), strict=True))
            wait_for_log(running, words, logged)
            seen.during["polling"] = requests.get(running.url, timeout=30)
        for state, server in servers.items():
            seen.after[state] = wait_for(server, lambda health: health["source"] == "registry")
            server.process.terminate()  # all at the same time, for each waits for quiet first
        registered.point(BETTER)
        wait_for(running, lambda health: health["modelVersion"] == str(BETTER))
        time.sleep(0.1)
    seen.logs = {state: server.log.read_text() for state, server in servers.items()}
    seen.logs["polling"] = running.log.read_text()[logged:]
    seen.left = processes_with(str(folder))
    return seen


def test_with_a_cache_it_starts_from_the_last_known_good_model(observed: Observed) -> None:
    told = observed.during["cache"].json()
    assert (observed.during["cache"].status_code, told["status"]) == (200, "ok")
    assert (told["source"], told["modelVersion"]) == ("cache", str(GOOD))
    assert told["since"] == observed.confirmed
    assert "serving version 1, which the registry confirmed last 20" in told["detail"]
    assert observed.priced["cache"].status_code == 200
    assert observed.after["cache"].json()["modelVersion"] == str(GOOD)
    assert observed.after["cache"].json()["since"] > observed.confirmed


def test_without_a_cache_it_starts_from_the_image(observed: Observed) -> None:
    told = observed.during["image"]
    assert (told.status_code, told.json()["source"]) == (200, "image")
    assert told.json()["modelVersion"] == observed.registered.digest[:12]
    assert observed.priced["image"].status_code == 200
    assert observed.after["image"].json()["modelVersion"] == str(GOOD)


def test_with_neither_it_answers_503_until_the_fault_is_over(observed: Observed) -> None:
    for told in (observed.during["nothing"], observed.priced["nothing"]):
        assert told.status_code == 503
        assert int(told.headers["Retry-After"]) > 0
        assert observed.words in told.json()["detail"]
    assert observed.during["nothing"].json()["source"] is None
    assert observed.after["nothing"].status_code == 200
    assert observed.after["nothing"].json()["modelVersion"] == str(GOOD)


def test_a_running_service_goes_on_and_then_swaps_without_dropping_a_request(
    observed: Observed,
) -> None:
    told = observed.during["polling"]
    assert (told.status_code, told.json()["modelVersion"]) == (200, str(GOOD))
    assert set(observed.traffic.statuses) == {200}
    assert observed.traffic.statuses[200] > 100
    assert observed.traffic.versions == {str(GOOD), str(BETTER)}


def test_no_log_holds_a_stack_trace_or_a_secret_and_no_child_is_left(observed: Observed) -> None:
    for log in observed.logs.values():
        assert [one for one in log.splitlines() if re.search(r"Traceback|\"trace\"", one)] == []
        assert LOGIN["password"] not in log
        assert observed.words in log
    assert observed.left == []


def test_a_full_disk_costs_the_cache_and_not_the_start(
    registered: Registered, serve: Any, full_disk: Path
) -> None:
    registered.point(GOOD)
    temporary = full_disk.parent / "temporary"
    temporary.mkdir()
    environment = {
        **variables(registered.url, full_disk),
        "CARPRICE_POLL_SECONDS": "0.2",
        "TMPDIR": str(temporary),
    }
    with serve(SERVICE, full_disk.parent, "/", environment) as server:
        wait_for(server, lambda health: health["source"] == "registry")
        registered.point(BETTER)
        wait_for(server, lambda health: health["modelVersion"] == str(BETTER))
        assert server.post("/predict", BARE)[0] == 200
        log = server.log.read_text()
    warning = f"the model cache {full_disk} cannot be written (No space left on device)"
    assert log.count(warning) == 1
    assert "Traceback" not in log
    assert [path for path in temporary.iterdir() if path.name.startswith("carprice-model")] == []
    assert list(full_disk.iterdir()) == []


def test_a_cache_that_is_corrupt_itself_is_not_served(
    registered: Registered, serve: Any, tmp_path: Path
) -> None:
    registered.point(GOOD)
    cache_of(registered, tmp_path / "cache", variables(registered.url, tmp_path / "cache"))
    broken = tmp_path / "cache" / registered.digest / "booster.onnx"
    broken.write_bytes(broken.read_bytes() + b" ")
    record = tmp_path / "cache" / f"{NAME}.json"
    with closing(Wire(registered.port)) as wire:
        wire.cut()
        noted = {**json.loads(record.read_text()), "registry": wire.url}
        record.write_text(json.dumps(noted))
        environment = variables(wire.url, tmp_path / "cache")
        with serve(SERVICE, tmp_path, "/live", environment) as server:
            wait_for_log(server, "booster.onnx is missing or not the file that was written")
            assert server.get("/")[0] == 503
            baked = {**environment, "CARPRICE_BAKED_MODEL": str(tmp_path / "cache")}
            with serve(SERVICE, tmp_path, "/live", baked) as other:
                wait_for_log(other, "is not a model folder: it has no model.json")
                assert other.get("/")[0] == 503
