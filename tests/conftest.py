import datetime
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from carprice.settings import Settings
from carprice.workspace import Workspace

if TYPE_CHECKING:
    from carprice.pipeline import Outcome

# Threads of several test runs that share few cores spin while they wait for each other: a fit
# of two seconds then takes a minute. Set before the first import of a library that reads it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parent.parent
NOW = datetime.datetime(2025, 7, 1, 12, 0, tzinfo=datetime.UTC)
SMALL = {
    "ingest": {"source": "sample", "sample": {"rows": 2000, "seed": 7}},
    "train": {"folds": 3, "booster": {"n_estimators": 60, "max_depth": 4, "learning_rate": 0.1}},
}


@contextmanager
def silent_step(_: str) -> Iterator:
    yield lambda _: None


@pytest.fixture(autouse=True)
def _no_tracking_server_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="session")
def small_settings() -> Settings:
    return Settings.model_validate(SMALL)


@pytest.fixture(scope="session")
def finished(
    tmp_path_factory: pytest.TempPathFactory, small_settings: Settings
) -> "tuple[Workspace, Outcome]":
    """A finished run of all stages on a small sample, with its own local registry. Read only."""
    from carprice.pipeline import run

    os.environ.pop("MLFLOW_TRACKING_URI", None)
    workspace = Workspace(tmp_path_factory.mktemp("finished"))
    return workspace, run(small_settings, workspace, NOW, silent_step)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real listings; tests that need it are skipped where it is missing."""
    folder = Path(os.environ.get("CARPRICE_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real listings: {folder} does not exist (set CARPRICE_DATA)")
    return folder


def database(workspace: Workspace) -> str:
    """Return a workspace's own registry.

    ``tracking_uri`` would do, but MLflow leaves the last address in the environment that it reads.
    """
    return f"sqlite:///{(workspace.root / 'mlflow.db').as_posix()}"


@pytest.fixture(scope="session")
def promoted(
    tmp_path_factory: pytest.TempPathFactory, finished: "tuple[Workspace, Outcome]"
) -> Workspace:
    """A copy of the finished run whose version 1 is in production. Read only."""
    from carprice.registry import Registry, promote

    workspace = Workspace(tmp_path_factory.mktemp("promoted") / "workspace")
    shutil.copytree(finished[0].root, workspace.root)
    promote(Registry(database(workspace), "used-car-price"), NOW, "for the tests")
    return workspace


def retouched(folder: Path, target: Path, mark: int = 1) -> Path:
    """Save a model such that it prices alike and has another digest."""
    from carprice.model import PriceModel

    model = PriceModel.load(folder)
    replace(model, metrics={**model.metrics, "mark": mark}).save(target)
    return target


@pytest.fixture(scope="session")
def registry_address() -> Callable[[Workspace], str]:
    return database


@pytest.fixture(scope="session")
def another_model() -> Callable[..., Path]:
    return retouched


@dataclass(frozen=True)
class Server:
    """A running server of a test."""

    url: str
    port: int
    process: "subprocess.Popen[bytes]"
    log: Path

    def get(self, path: str) -> tuple[int, str]:
        """Return status and body of a GET."""
        return self._ask(urllib.request.Request(self.url + path))  # noqa: S310

    def post(self, path: str, content: Any) -> tuple[int, Any]:
        """Return status and JSON of a POST."""
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data, headers)  # noqa: S310
        status, body = self._ask(request)
        return status, json.loads(body)

    def _ask(self, request: urllib.request.Request) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()


def find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(
    command: Sequence[str],
    folder: Path,
    ready: str = "/",
    environment: Mapping[str, str] | None = None,
    deadline: float = 180,
) -> Iterator[Server]:
    """Run a server in a folder until the block ends; ``{port}`` in the command is a free port.

    The block starts when GET ``ready`` answers 200.
    """
    port = find_free_port()
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    log = folder / f"server-{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [part.format(port=port) for part in command],
            cwd=folder,
            env={**os.environ, "PATH": path, **(environment or {})},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server = Server(f"http://127.0.0.1:{port}", port, process, log)
    try:
        _wait_until_ready(server, ready, time.monotonic() + deadline)
        yield server
    finally:
        _stop(process)


def _wait_until_ready(server: Server, ready: str, deadline: float) -> None:
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            break
        with suppress(OSError):
            if server.get(ready)[0] == 200:
                return
        time.sleep(0.1)
    pytest.fail(f"{server.process.args} did not get ready:\n{server.log.read_text()[-3000:]}")


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """Stop a server and the workers that it started."""
    for request, patience in ((signal.SIGTERM, 15), (signal.SIGKILL, 15)):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, request)
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience)
            break
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture(scope="session")
def serve() -> Callable[..., AbstractContextManager[Server]]:
    return running


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real MLflow server over HTTP, with its own database and artifact store."""
    folder = tmp_path_factory.mktemp("mlflow-server")
    command = [
        *(sys.executable, "-m", "mlflow", "server"),
        *("--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"),
        *("--artifacts-destination", str(folder / "artifacts"), "--serve-artifacts"),
        *("--host", "127.0.0.1", "--port", "{port}", "--workers", "1"),
    ]
    environment = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    with running(command, folder, "/health", environment) as server:
        yield server


def put_in_registry(uri: str, name: str, folder: Path, scratch: Path) -> int:
    """Register a model folder under a name and return its version."""
    from carprice.model_folder import folder_digest
    from carprice.registry import Registry
    from carprice.tracking import start_run

    registry = Registry(uri, name)
    with start_run(uri, "test", scratch, params={}, tags={}):
        return registry.log_version(folder, {"digest": folder_digest(folder)}).number


@pytest.fixture(scope="session")
def register() -> Callable[[str, str, Path, Path], int]:
    return put_in_registry


def of_newer_format(folder: Path, target: Path) -> Path:
    """Copy a model folder such that its format alone is one that nothing here can read."""
    import hashlib

    shutil.copytree(folder, target)
    manifest = json.loads((target / "model.json").read_text(encoding="utf-8"))
    del manifest["checksum"]
    manifest["format_version"] = 99
    text = json.dumps(manifest, indent=2, sort_keys=True) + "\n"
    manifest["checksum"] = hashlib.sha256(text.encode()).hexdigest()
    text = json.dumps(manifest, indent=2, sort_keys=True) + "\n"
    (target / "model.json").write_text(text, encoding="utf-8")
    return target


@pytest.fixture(scope="session")
def newer_model() -> Callable[[Path, Path], Path]:
    return of_newer_format


@contextmanager
def filled_up(folder: Path) -> Iterator[Path]:
    """Give a folder on a disk of its own that has room for nothing but a few bytes."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("a full disk needs leave to mount one")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    with filled_up(tmp_path / "disk") as folder:
        yield folder
