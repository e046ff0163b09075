"""What can go wrong with the registry, against what the service does: with real processes."""

import base64
import contextlib
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from carprice.model_folder import folder_digest

ROOT = Path(__file__).resolve().parents[2]
NAME = "cars with faults"
LISTING = {"make": "Hyundai", "model": "Creta", "year": 2018, "odometer": 61000}
START_SECONDS = 20
SHORT_SECONDS = 5
GOOD, CORRUPT, NEWER, BETTER = 1, 2, 3, 4
FAULTS = {
    "down": "cannot be reached (Connection refused)",
    "hanging": f"did not answer within {SHORT_SECONDS} s",
    "slow": f"did not answer within {SHORT_SECONDS} s",
    "unauthorised": "answers with HTTP status 401",
    "corrupt": "hedonic.json is missing or not the file that was written",
    "newer": "model.json has format version 99, this carprice reads 1",
}


class Wire:
    """A way to a server that can be cut, that leads nowhere, or that lets hardly a byte through."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._stopped = threading.Event()
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.port = 0
        self.mode = "open"
        self.connect()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connect(self) -> None:
        self.mode = "open"
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._listener.settimeout(0.05)
        self.port = self._listener.getsockname()[1]
        self._cut = threading.Event()
        self._start(self._accept, self._listener, self._cut)

    def cut(self) -> None:
        self._cut.set()
        self._threads[0].join()
        self._threads.clear()
        self._listener.close()

    def close(self) -> None:
        self._stopped.set()
        self._cut.set()
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for one in (*self._sockets, self._listener):
            one.close()

    def _start(self, work: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=work, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket, cut: threading.Event) -> None:
        while not cut.is_set():
            with contextlib.suppress(TimeoutError):
                client, _ = listener.accept()
                self._sockets.append(client)
                if self.mode == "hanging":
                    continue
                server = socket.create_connection(("127.0.0.1", self._target))
                self._sockets.append(server)
                self._start(self._carry, client, server, 65536, 0.0)
                size, pause = (1, 0.2) if self.mode == "slow" else (65536, 0.0)
                self._start(self._carry, server, client, size, pause)

    def _carry(self, source: socket.socket, target: socket.socket, size: int, pause: float) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(size):
                target.sendall(data)
                self._stopped.wait(pause)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)


@dataclass(frozen=True)
class Seen:
    """An answer of a service."""

    status: int
    content: dict[str, Any]
    headers: Mapping[str, str]
    after: float = 0.0


@dataclass
class Traffic:
    """Clients that go on asking for prices."""

    port: int
    statuses: list[object] = field(default_factory=list)
    versions: set[str] = field(default_factory=set)

    @contextmanager
    def flowing(self, clients: int = 2) -> Iterator[None]:
        done = threading.Event()
        threads = [threading.Thread(target=self._ask, args=(done,)) for _ in range(clients)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            done.set()
            for thread in threads:
                thread.join()

    def _ask(self, done: threading.Event) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        body, headers = json.dumps(LISTING), {"Content-Type": "application/json"}
        while not done.wait(0.02):
            try:
                connection.request("POST", "/predict", body, headers)
                answer = connection.getresponse()
                content = json.loads(answer.read())
                self.statuses.append(answer.status)
                self.versions.add(content.get("modelVersion", ""))
            except (OSError, http.client.HTTPException) as error:
                self.statuses.append(repr(error))
                connection.close()
        connection.close()


@dataclass(frozen=True)
class Registered:
    """One registered model with its good and bad versions, and how to point at one of them."""

    url: str
    port: int
    folder: Path
    digest: str
    better: Path
    point: Callable[[int], None]


@dataclass
class Observed:
    """What each service did under one fault and after it."""

    words: str
    registered: Registered
    during: dict[str, Seen] = field(default_factory=dict)
    after: dict[str, Seen] = field(default_factory=dict)
    priced: dict[str, Seen] = field(default_factory=dict)
    logs: dict[str, str] = field(default_factory=dict)
    confirmed: str = ""
    traffic: Traffic | None = None
    left: list[str] = field(default_factory=list)


def ask(url: str, listing: Mapping[str, Any] | None = None) -> Seen:
    data = None if listing is None else json.dumps(listing).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, data, headers)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return Seen(answer.status, json.loads(answer.read()), answer.headers)
    except urllib.error.HTTPError as error:
        with error:
            return Seen(error.code, json.loads(error.read()), error.headers)


def wait_for(server: Any, is_so: Callable[[Seen], bool], since: float = 0.0) -> Seen:
    deadline = time.monotonic() + 60
    while not is_so(seen := ask(server.url)):
        assert time.monotonic() < deadline, (seen, server.log.read_text()[-3000:])
        time.sleep(0.05)
    return Seen(seen.status, seen.content, seen.headers, time.monotonic() - since)


def wait_for_log(server: Any, words: str) -> None:
    deadline = time.monotonic() + 60
    while words not in server.log.read_text():
        assert time.monotonic() < deadline, server.log.read_text()[-3000:]
        time.sleep(0.05)


def cache_of(registered: Registered, cache: Path, environment: Mapping[str, str]) -> str:
    """Make a cache as a service leaves it; return when the registry confirmed its model.

    The better model is there too, so that a swap need not wait for MLflow to start.
    """
    shutil.copytree(registered.folder, cache / registered.digest)
    shutil.copytree(registered.better, cache / folder_digest(registered.better))
    program = [
        sys.executable,
        "-m",
        "carprice.registry.fetch",
        f"--name={NAME}",
        f"--cache={cache}",
    ]
    subprocess.run(program, env={**os.environ, **environment}, check=True, capture_output=True)
    confirmed: str = json.loads((cache / f"{NAME}.json").read_text())["confirmed"]
    return confirmed


@pytest.fixture(scope="module")
def registered(
    tmp_path_factory: pytest.TempPathFactory,
    finished: Any,
    mlflow_server: Any,
    register: Callable[..., int],
    another_model: Callable[..., Path],
    newer_model: Callable[..., Path],
) -> Registered:
    from carprice.registry.versions import Registry

    folder, good = tmp_path_factory.mktemp("faults"), finished[0].model
    folders = {
        GOOD: good,
        CORRUPT: another_model(good, folder / "corrupt", 11),
        NEWER: newer_model(good, folder / "newer"),
        BETTER: another_model(good, folder / "better", 12),
    }
    for number, one in folders.items():
        assert register(mlflow_server.url, NAME, one, folder) == number
    client = Registry(mlflow_server.url, NAME)._client
    source = client.get_model_version(NAME, str(CORRUPT)).source.removeprefix("models:/")
    (path,) = mlflow_server.log.parent.rglob(f"{source}/**/hedonic.json")
    path.write_bytes(path.read_bytes()[:-1] + b" ")

    def point(number: int) -> None:
        client.set_registered_model_alias(NAME, "production", str(number))

    return Registered(
        mlflow_server.url, mlflow_server.port, good, folder_digest(good), folders[BETTER], point
    )


@pytest.fixture(scope="module")
def guarded(
    tmp_path_factory: pytest.TempPathFactory, registered: Registered, mlflow_server: Any, serve: Any
) -> Iterator[Any]:
    """The same registry behind MLflow's own logins."""
    folder, store = tmp_path_factory.mktemp("guarded"), mlflow_server.log.parent
    (folder / "auth.ini").write_text(
        "[mlflow]\ndefault_permission = READ\nadmin_username = admin\n"
        f"database_uri = sqlite:///{folder / 'auth.db'}\n"
        "admin_password = password-of-the-admin\nauth_cache_ttl_seconds = 60\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth"),
        *("--backend-store-uri", f"sqlite:///{store / 'mlflow.db'}", "--serve-artifacts"),
        *("--artifacts-destination", str(store / "artifacts"), "--workers", "1"),
        *("--host", "127.0.0.1", "--port", "{port}"),
    ]
    environment = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "<a key of the tests>",
    }
    with serve(command, folder, "/health", environment) as server:
        yield server


LOGIN = {"username": "service", "password": "<password of the service>"}


def manage(server: Any, method: str, action: str, content: Mapping[str, str]) -> None:
    """Create or delete the service's user, as the admin."""
    secret = base64.b64encode(b"admin:password-of-the-admin").decode()
    request = urllib.request.Request(  # noqa: S310
        f"{server.url}/api/2.0/mlflow/users/{action}",
        json.dumps(content).encode(),
        {"Content-Type": "application/json", "Authorization": f"Basic {secret}"},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        assert answer.status == 200


@dataclass(frozen=True)
class Fault:
    """How to bring a fault about and how to end it."""

    url: str
    begin: Callable[[], None]
    end: Callable[[], None]
    environment: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def fault_of(kind: str, registered: Registered, request: pytest.FixtureRequest) -> Iterator[Fault]:
    if kind == "unauthorised":
        server = request.getfixturevalue("guarded")
        manage(server, "POST", "create", LOGIN)
        name = {"username": LOGIN["username"]}
        yield Fault(
            server.url,
            lambda: manage(server, "DELETE", "delete", name),
            lambda: manage(server, "POST", "create", LOGIN),
            {f"MLFLOW_TRACKING_{key.upper()}": value for key, value in LOGIN.items()},
        )
        return
    if kind in ("corrupt", "newer"):
        bad = {"corrupt": CORRUPT, "newer": NEWER}[kind]
        point = registered.point
        yield Fault(registered.url, lambda: point(bad), lambda: point(GOOD))
        return
    wire = Wire(registered.port)
    try:
        if kind == "down":
            yield Fault(wire.url, wire.cut, wire.connect)
        else:
            yield Fault(
                wire.url, lambda: setattr(wire, "mode", kind), lambda: setattr(wire, "mode", "open")
            )
    finally:
        wire.close()


SERVICE = [sys.executable, "-m", "api", "--host", "127.0.0.1", "--port", "{port}"]


def variables(url: str, cache: Path, seconds: int = START_SECONDS) -> dict[str, str]:
    return {
        "MLFLOW_TRACKING_URI": url,
        "CARPRICE_MODEL_NAME": NAME,
        "CARPRICE_MODEL_CACHE": str(cache),
        "CARPRICE_START_SECONDS": str(seconds),
        "CARPRICE_DRAIN_SECONDS": "0",
        "PYTHONPATH": str(ROOT),
    }


@pytest.fixture(scope="module", params=FAULTS)
def observed(
    request: pytest.FixtureRequest,
    registered: Registered,
    serve: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Observed:
    """Four services under one fault: with a cache, with an image's model, with none, and running.

    The last looks for a new model all the time, while clients go on asking it for prices.
    """
    kind: str = request.param
    seconds = SHORT_SECONDS if kind in ("hanging", "slow") else START_SECONDS
    folder = tmp_path_factory.mktemp(kind)
    seen = Observed(FAULTS[kind], registered)
    registered.point(GOOD)
    with fault_of(kind, registered, request) as fault, ExitStack() as stack:

        def settings(state: str) -> dict[str, str]:
            return {**variables(fault.url, folder / state, seconds), **fault.environment}

        def start(state: str, **more: str) -> Any:
            environment = {**settings(state), **more}
            (folder / f"{state} works here").mkdir()
            place = (SERVICE, folder / f"{state} works here", "/live", environment)
            return stack.enter_context(serve(*place))

        for state in ("polling", "cache"):
            seen.confirmed = cache_of(registered, folder / state, settings(state))
        servers = {"polling": start("polling", CARPRICE_POLL_SECONDS="1")}
        wait_for(servers["polling"], lambda one: one.content["source"] == "registry")
        seen.traffic = Traffic(servers["polling"].port)
        with seen.traffic.flowing():
            fault.begin()
            began = time.monotonic()
            servers["cache"] = start("cache")
            servers["image"] = start("image", CARPRICE_BAKED_MODEL=str(registered.folder))
            servers["nothing"] = start("nothing")
            for state in ("cache", "image", "nothing"):
                told = wait_for(
                    servers[state], lambda one: seen.words in (one.content["detail"] or ""), began
                )
                seen.during[state] = told
                seen.priced[state] = ask(f"{servers[state].url}/predict", LISTING)
            wait_for_log(servers["polling"], seen.words)
            seen.during["polling"] = ask(servers["polling"].url)
            fault.end()
            for state in ("cache", "image", "nothing"):
                seen.after[state] = wait_for(
                    servers[state], lambda one: one.content["source"] == "registry"
                )
            registered.point(BETTER)
            seen.after["polling"] = wait_for(
                servers["polling"], lambda one: one.content["modelVersion"] == str(BETTER)
            )
            time.sleep(0.1)
        seen.logs = {state: server.log.read_text() for state, server in servers.items()}
    seen.left = children_of(folder)
    return seen


def children_of(folder: Path) -> list[str]:
    """Return the command lines of processes that still ask a registry for this test."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if "carprice.registry.fetch" in command and str(folder) in command:
                found.append(command)
    return found


def test_with_a_cache_it_starts_from_the_last_known_good_model(observed: Observed) -> None:
    told = observed.during["cache"]
    assert (told.status, told.content["status"]) == (200, "ok")
    assert (told.content["source"], told.content["modelVersion"]) == ("cache", str(GOOD))
    assert told.content["since"] == observed.confirmed
    assert "serving version 1, which the registry confirmed last 20" in told.content["detail"]
    assert observed.priced["cache"].status == 200
    assert told.after < SHORT_SECONDS + 8
    assert observed.after["cache"].content["modelVersion"] == str(GOOD)
    assert observed.after["cache"].content["since"] > observed.confirmed


def test_without_a_cache_it_starts_from_the_image(observed: Observed) -> None:
    told = observed.during["image"]
    assert (told.status, told.content["source"]) == (200, "image")
    assert told.content["modelVersion"] == observed.registered.digest[:12]
    assert observed.priced["image"].status == 200
    assert observed.after["image"].content["modelVersion"] == str(GOOD)


def test_with_neither_it_answers_503_until_the_fault_is_over(observed: Observed) -> None:
    for told in (observed.during["nothing"], observed.priced["nothing"]):
        assert told.status == 503
        assert int(told.headers["Retry-After"]) > 0
        assert observed.words in told.content["detail"]
    assert observed.during["nothing"].content["source"] is None
    assert observed.after["nothing"].status == 200
    assert observed.after["nothing"].content["modelVersion"] == str(GOOD)


def test_a_running_service_goes_on_and_then_swaps_without_dropping_a_request(
    observed: Observed,
) -> None:
    told = observed.during["polling"]
    assert (told.status, told.content["modelVersion"]) == (200, str(GOOD))
    assert observed.traffic is not None
    assert [one for one in observed.traffic.statuses if one != 200] == []
    assert len(observed.traffic.statuses) > 100
    assert observed.traffic.versions == {str(GOOD), str(BETTER)}


def test_no_log_holds_a_stack_trace_or_a_secret_and_no_child_is_left(observed: Observed) -> None:
    for log in observed.logs.values():
        assert [one for one in log.splitlines() if re.search(r"Traceback|\"trace\"", one)] == []
        assert LOGIN["password"] not in log
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
        told = ask(server.url).content
        assert (told["source"], told["modelVersion"]) == ("registry", str(GOOD))
        registered.point(BETTER)
        wait_for(server, lambda one: one.content["modelVersion"] == str(BETTER))
        assert ask(f"{server.url}/predict", LISTING).status == 200
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
    wire = Wire(registered.port)
    wire.cut()
    try:
        noted = {**json.loads(record.read_text()), "registry": wire.url}
        record.write_text(json.dumps(noted))
        environment = variables(wire.url, tmp_path / "cache")
        with serve(SERVICE, tmp_path, "/live", environment) as server:
            wait_for_log(server, "booster.onnx is missing or not the file that was written")
            assert ask(server.url).status == 503
            baked = {**environment, "CARPRICE_BAKED_MODEL": str(tmp_path / "cache")}
            with serve(SERVICE, tmp_path, "/live", baked) as other:
                wait_for_log(other, "is not a model folder: it has no model.json")
                assert ask(other.url).status == 503
    finally:
        wire.close()
