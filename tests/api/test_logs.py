"""The log's way out: a pipe that nobody reads, a full disk, a reader that went."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from asking import BARE
from delivery import free_port

from api.logs import Outlet

DROPPED = "lines of the log were dropped"
LONG = f"/{'x' * 50_000}"


class Reader:
    """Reads a pipe to its end, once it is told to."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._content = b""
        self._thread = threading.Thread(target=self._read)

    def begin(self) -> None:
        self._thread.start()

    def _read(self) -> None:
        while piece := os.read(self._pipe, 1 << 20):
            self._content += piece

    def lines(self) -> list[dict[str, Any]]:
        self._thread.join(60)
        return [json.loads(line) for line in self._content.splitlines()]


@contextmanager
def unread(model: Path, folder: Path, *options: str) -> Iterator[tuple[Any, httpx.Client, Reader]]:
    """Run a service whose standard output and error are a pipe of 4 KB that nobody reads."""
    out, into = os.pipe()
    fcntl.fcntl(into, fcntl.F_SETPIPE_SZ, 4096)
    port = free_port()
    command = [sys.executable, "-m", "api", "--host", "127.0.0.1", "--port", str(port), *options]
    environment = {
        **os.environ,
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
        "CARPRICE_BAKED_MODEL": str(model),
        "CARPRICE_DRAIN_SECONDS": "0",
    }
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=into, stderr=into, start_new_session=True
    )
    os.close(into)
    reader = Reader(out)
    address = f"http://127.0.0.1:{port}"
    try:
        with httpx.Client(base_url=address, timeout=30, trust_env=False) as client:
            deadline = time.monotonic() + 90
            while not is_ready(client):
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
            yield process, client, reader
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(out)


def is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/ready").status_code == 200
    except httpx.HTTPError:
        return False


def told_of(lines: list[dict[str, Any]]) -> int:
    """Return how many lines of the log the log says were dropped."""
    told = [line["message"] for line in lines if DROPPED in line.get("message", "")]
    return sum(int(one.partition(" ")[0].replace(",", "")) for one in told)


@pytest.mark.parametrize("options", [(), ("--workers", "2")], ids=["one process", "two workers"])
def test_a_log_that_nobody_reads_stops_neither_the_service_nor_its_end(
    finished: Any, tmp_path: Path, options: tuple[str, ...]
) -> None:
    with unread(finished[0].model, tmp_path, *options) as (process, client, _):
        for _ in range(100):
            assert client.post("/predict", json=BARE).status_code == 200
            assert client.get("/live").status_code == 200
        assert client.get("/metrics").status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(25) == 0


def test_what_does_not_fit_is_dropped_counted_and_told(finished: Any, tmp_path: Path) -> None:
    with unread(finished[0].model, tmp_path) as (process, client, reader):
        for _ in range(220):
            assert client.get(LONG).status_code == 404
        assert client.get("/live").status_code == 200
        counted = client.get("/metrics").text
        reader.begin()
        process.send_signal(signal.SIGTERM)
        assert process.wait(25) == 0
        lines = reader.lines()
    (count,) = [
        line for line in counted.splitlines() if line.startswith("carprice_log_lines_dropped_total")
    ]
    dropped = int(float(count.rpartition(" ")[2]))
    assert dropped > 0
    assert sum(line.get("path") == LONG for line in lines) == 220 - dropped
    assert told_of(lines) == dropped
    assert lines[-1]["message"].startswith("Finished server process")


def test_the_last_lines_of_workers_are_written(start: Any) -> None:
    with start("--workers", "2") as server:
        assert server.post("/predict", BARE)[0] == 200
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(25) == 0
        messages = [
            json.loads(line).get("message", "") for line in server.log.read_text().splitlines()
        ]
    assert sum(message.startswith("Finished server process") for message in messages) == 2
    assert messages[-1].startswith("Stopping parent process")


def test_a_log_on_a_full_disk_or_whose_reader_went_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out, into = os.pipe()
    with os.fdopen(into, "w") as broken, Path("/dev/full").open("w") as full:
        os.close(out)
        for stream in (broken, full):
            monkeypatch.setattr(sys, "stdout", stream)
            outlet = Outlet()
            outlet.write(b"a\nb\n", 2)
            outlet.flush(30)
            assert (outlet.take_dropped(), outlet.take_dropped()) == (2, 0)


@pytest.mark.parametrize("is_blocking", [True, False])
def test_lines_stay_whole_and_in_order(monkeypatch: pytest.MonkeyPatch, is_blocking: bool) -> None:
    out, into = os.pipe()
    os.set_blocking(into, is_blocking)
    reader = Reader(out)
    with os.fdopen(into, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        outlet = Outlet(most=300_000)
        sent = [{"n": n, "text": "x" * (n * 37 % 9000)} for n in range(400)]
        for one in sent:
            outlet.write(json.dumps(one).encode() + b"\n")
        begun = time.monotonic()
        outlet.flush(0.2)  # the pipe is full
        outlet.flush_unless_stalled()
        assert time.monotonic() - begun < 20
        reader.begin()
        outlet.flush(30)
        for one in sent[:50]:
            outlet.write(json.dumps(one).encode() + b"\n")
        outlet.flush(30)
        dropped = outlet.take_dropped()
        monkeypatch.undo()
    lines = reader.lines()
    os.close(out)
    kept = [line for line in lines if "n" in line]
    assert dropped > 0
    assert len(kept) == 400 - dropped + 50
    numbers = [line["n"] for line in kept]
    assert numbers == [*sorted(numbers[:-50]), *range(50)]
    assert all(line == sent[line["n"]] for line in kept)
    assert told_of(lines) == dropped
