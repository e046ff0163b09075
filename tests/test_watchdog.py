import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

TESTS = Path(__file__).parent
INNER = """
import json, sys, time
from pathlib import Path
import psutil

def test_servers_run(s3, serve, tmp_path):
    service = [sys.executable, "-m", "api", "--port", "{port}", "--workers", "2"]
    address = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
    with serve(service, tmp_path, "/live", address):
        started = [one.pid for one in psutil.Process().children(recursive=True)]
        Path("started.part").write_text(json.dumps(started))
        Path("started.part").rename("started.json")
        time.sleep(600)
"""


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends processes in another way")
@pytest.mark.parametrize(
    ("end", "options"),
    [
        pytest.param(signal.SIGTERM, (), id="terminated"),
        pytest.param(signal.SIGKILL, ("-p", "xdist", "-n", "1"), id="killed, with xdist"),
    ],
)
def test_a_run_that_is_ended_leaves_no_server_behind(
    tmp_path: Path, end: signal.Signals, options: tuple[str, ...]
) -> None:
    (tmp_path / "test_inner.py").write_text(INNER)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    outer = ("PYTEST_", "OMP_")
    environment = {key: text for key, text in os.environ.items() if not key.startswith(outer)}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # others take seconds to load
    environment["PYTHONPATH"] = os.pathsep.join([str(TESTS), str(TESTS / "support")])
    command = [sys.executable, "-m", "pytest", "-p", "conftest", "-p", "no:cacheprovider", *options]
    with (tmp_path / "log").open("wb") as log:
        run = subprocess.Popen(
            [*command, f"--basetemp={tmp_path / 'inner'}", "test_inner.py"],
            cwd=tmp_path,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        started = tmp_path / "started.json"
        deadline = time.monotonic() + 400
        while not started.exists():
            assert run.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.1)
        pids = json.loads(started.read_text())
        assert len(pids) >= 5  # the watchdog or the worker, the store, the service and its workers
        assert all(is_running(pid) for pid in pids)
        run.send_signal(end)
        run.wait(60)
        deadline = time.monotonic() + 60
        while any(is_running(pid) for pid in pids):
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        run.kill()  # then its own watchdog ends the rest
        run.wait()
