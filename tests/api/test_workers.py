"""Several workers: on a full disk, beside other users' folders, and when they die."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from asking import BARE, wait_until

from api import counters
from api.counters import FILE_SIZES, SHARED_FOLDER
from api.workers import Watch

DELETED = "/metrics tells of one worker alone: the files of this worker in the folder "
NOT_SHARED = "/metrics tells of one worker alone: the folder "


def workers_of(server: Any) -> list[int]:
    children = psutil.Process(server.process.pid).children()
    return [one.pid for one in children if "spawn_main" in " ".join(one.cmdline())]


def test_on_a_full_disk_workers_serve_and_say_that_they_count_alone(
    start: Any, full_disk: Path
) -> None:
    with start("--workers", "2", TMPDIR=str(full_disk)) as server:
        first = workers_of(server)
        for _ in range(20):
            assert server.post("/predict", BARE)[0] == 200
            assert server.get("/live")[0] == 200
        status, text = server.get("/metrics")
        assert (status, "carprice_requests_total{" in text) == (200, True)
        assert workers_of(server) == first
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(25) == 0
        log = server.log.read_text()
    assert log.count(NOT_SHARED) == 2
    assert "No space left on device" in log
    assert "Worker " not in log
    assert list(full_disk.rglob("*.db")) == []


@pytest.fixture
def roomy_disk(full_disk: Path) -> Path:
    """A disk with room for what two workers count, and no more."""
    room = 2 * sum(FILE_SIZES.values()) + 200_000
    remount = ["mount", "-o", f"remount,size={room}", str(full_disk)]
    if subprocess.run(remount, check=False).returncode:
        pytest.skip("a disk of a known size needs leave to mount one")
    return full_disk


def test_a_disk_that_fills_up_later_ends_no_worker(start: Any, roomy_disk: Path) -> None:
    with start("--workers", "2", TMPDIR=str(roomy_disk)) as server:
        first = workers_of(server)
        with pytest.raises(OSError, match="No space left"):
            (roomy_disk / "x").write_bytes(bytes(10_000_000))
        for path in ("/model", "/vocabulary", "/docs", "/v2", "/nowhere", "/openapi.json"):
            for ask in (server.get, lambda path: server.post(path, BARE)):
                for _ in range(4):
                    assert ask(path)[0] < 500
        assert 'path="/v2"' in server.get("/metrics")[1]
        assert workers_of(server) == first
        assert NOT_SHARED not in server.log.read_text()


def test_the_files_have_room_for_all_that_is_ever_counted(tmp_path: Path) -> None:
    program = """
from itertools import product
from api.app import create_app
from api.counters import Metrics
from api.gateway import _METHODS
from api.problems import Kind
from api.service_settings import ServiceSettings
app = create_app(ServiceSettings(tracking_uri="http://127.0.0.1:9"))
metrics = app.state.service.metrics
paths = {*app.openapi()["paths"], "/v2/", "/metrics", "/docs", "/redoc", "/openapi.json"}
paths |= {"/static-offline-docs", "/app", "unmatched"}
statuses = {200, 206, 304, 400, 431, 499, *(kind.status for kind in Kind)}
for path, method, status in product(paths, {*_METHODS, "other"}, statuses):
    if method == "GET" or status in (200, 401, 404, 405, 429, 499):
        metrics.answered(path, method, status, 1)
        metrics.took(path, 1.0)
metrics.in_flight.set(1)
metrics.registry_failed("")
metrics.priced_together([])
"""
    environment = {**os.environ, SHARED_FOLDER: str(tmp_path)}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
    files = {path.name.rpartition("_")[0]: path.stat().st_size for path in tmp_path.iterdir()}
    assert files == FILE_SIZES


def test_metrics_go_on_where_a_cleaner_takes_the_shared_files(tmp_path: Path) -> None:
    program = """
import os, pathlib
from api.counters import Metrics
folder = pathlib.Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
metrics = Metrics()
def told():
    metrics.answered("/predict", "POST", 200, 1)
    text = metrics.exposition(None, "")[0].decode()
    print(next(line[-3:] for line in text.splitlines() if line.startswith("carprice_requests_to")))
told()
for path in folder.iterdir():
    path.unlink()
told()
folder.rmdir()
told()
"""
    shared = tmp_path / "shared"
    shared.mkdir()
    environment = {**os.environ, SHARED_FOLDER: str(shared)}
    run = subprocess.run(
        [sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True
    )
    assert run.stdout.split() == ["1.0", "2.0", "3.0"]
    assert run.stderr.count(DELETED) == 1


def test_no_folder_of_another_user_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    folder = counters._private_folder()
    assert (folder.parent, folder.stat().st_mode & 0o777) == (tmp_path, 0o700)
    assert folder.name != f"carprice-metrics-{os.getppid()}"
    assert counters._private_folder() == folder
    folder.chmod(0o755)
    with pytest.raises(PermissionError, match="not a folder of this user alone"):
        counters._private_folder()
    folder.rmdir()
    (tmp_path / "theirs").mkdir(mode=0o700)
    folder.symlink_to(tmp_path / "theirs")
    with pytest.raises(PermissionError, match="not a folder of this user alone"):
        counters._private_folder()
    folder.unlink()
    folder.write_text("")
    with pytest.raises(FileExistsError):
        counters._private_folder()
    folder.unlink()
    folder.mkdir(mode=0o700)
    monkeypatch.setattr("os.getuid", lambda: folder.stat().st_uid + 1)
    with pytest.raises(PermissionError, match="not a folder of this user alone"):
        counters._private_folder()


def test_workers_of_uvicorn_share_a_folder_that_nobody_could_make_before(
    serve: Any, finished: Any, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "uvicorn", "api.main:app", "--workers", "2"]
    environment = {
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
        "CARPRICE_BAKED_MODEL": str(finished[0].model),
        "CARPRICE_DRAIN_SECONDS": "0",
        "TMPDIR": str(tmp_path),
    }
    with serve([*command, "--port", "{port}"], tmp_path, "/", environment) as server:
        (shared,) = tmp_path.glob("carprice-metrics-*")
        assert shared.name != f"carprice-metrics-{server.process.pid}"
        wait_until(lambda: len([*shared.glob("counter_*.db")]) == 2)
        wait_until(lambda: server.log.read_text().count("serving the model of the image") == 2)
        for _ in range(20):
            assert server.post("/predict", BARE)[0] == 200
        counted = 'carprice_requests_total{method="POST",path="/predict",status="200"} 20.0'
        wait_until(lambda: counted in server.get("/metrics")[1])


def test_a_worker_that_dies_is_told_and_another_takes_its_place(start: Any) -> None:
    with start("--workers", "2") as server:
        victim, other = workers_of(server)
        os.kill(victim, signal.SIGBUS)
        wait_until(lambda: f"Worker {victim} was ended by SIGBUS" in server.log.read_text())
        wait_until(lambda: server.log.read_text().count("Serving version") == 3)
        assert other in workers_of(server)
        assert "Fatal Python error: Bus error" in server.log.read_text()


def test_where_no_worker_can_start_the_service_ends_and_says_why(
    tmp_path: Path,
) -> None:
    """As after a change of the environment's settings, which the parent does not read again."""
    program = """
import os
from api import server
os.environ["CARPRICE_RATE_LIMIT"] = "5"  # for each key, of which there is none
server.run("api.main:app", "127.0.0.1", 0, 2)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "MLFLOW_TRACKING_URI": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 3
    assert "The service cannot start: CARPRICE_RATE_LIMIT is for each API key" in done.stdout
    assert "ended with exit code 3; another could not start either" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_workers_that_die_again_and_again_are_started_at_growing_pauses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, started = [1000.0], []
    monkeypatch.setattr("api.workers.time", SimpleNamespace(monotonic=lambda: clock[0]))
    watch = Watch()

    def dead(number: int) -> Any:
        return [SimpleNamespace(pid=number, process=SimpleNamespace(exitcode=-7))]

    for number in range(8):
        begun = clock[0]
        while not watch._may_start(dead(number)):
            clock[0] += 0.5
        started.append(clock[0] - begun)
    assert started == [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    clock[0] += 100
    assert watch._may_start(dead(9))
    assert not watch.gave_up
