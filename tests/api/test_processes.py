import http.client
import json
import signal
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest

BARE = {"make": "Hyundai", "model": "Creta", "year": 2018, "odometer": 61000}
BODY = json.dumps(BARE).encode()
JSON = {"Content-Type": "application/json"}
PATIENCE = 2.0

Start = Callable[..., AbstractContextManager[Any]]


@pytest.fixture(scope="module")
def clients() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as threads:
        yield threads


def ask_until(port: int, is_over: Callable[[], bool]) -> Counter[int | str]:
    """Ask for prices over kept connections, a new one where the server closed the last."""
    found: Counter[int | str] = Counter()
    connection: http.client.HTTPConnection | None = None
    while not is_over():
        connection = connection or http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            connection.request("POST", "/predict", BODY, JSON)
            answer = connection.getresponse()
            answer.read()
            found[answer.status] += 1
        except OSError as error:
            found[type(error).__name__] += 1
            connection.close()
            connection = None
            continue
        if answer.will_close:
            connection.close()
            connection = None
    if connection is not None:
        connection.close()
    return found


def test_sigterm_under_load_fails_no_request(start: Start, clients: ThreadPoolExecutor) -> None:
    with start(CARPRICE_DRAIN_SECONDS="2") as server:
        over = threading.Event()
        asking = [clients.submit(ask_until, server.port, over.is_set) for _ in range(6)]
        time.sleep(1)
        server.process.send_signal(signal.SIGTERM)
        terminated = time.monotonic()
        while server.get("/ready")[0] != 503:
            assert time.monotonic() - terminated < 0.5, "not ready at once"
        assert json.loads(server.get("/")[1])["status"] == "draining"
        assert server.get("/live")[0] == 200
        time.sleep(1)  # as long as a load balancer's health check takes to notice
        over.set()
        found = sum((one.result() for one in asking), Counter())
        assert server.process.wait(25) == 0
        assert time.monotonic() - terminated < 25
    assert set(found) == {200}
    assert found[200] > 100


def test_a_client_that_never_stops_asking_cannot_keep_it_alive(
    start: Start, clients: ThreadPoolExecutor
) -> None:
    with start() as server:
        gone = threading.Event()
        asking = [clients.submit(ask_until, server.port, gone.is_set) for _ in range(2)]
        time.sleep(0.5)
        server.process.send_signal(signal.SIGTERM)
        try:
            assert server.process.wait(25) == 0
        finally:
            gone.set()
        found = sum((one.result() for one in asking), Counter())
    assert found[200] > 100


def test_a_second_sigterm_stops_at_once(start: Start) -> None:
    with start(CARPRICE_DRAIN_SECONDS="15") as server:
        server.process.send_signal(signal.SIGTERM)
        while server.get("/ready")[0] != 503:
            time.sleep(0.01)
        time.sleep(1.1)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(5) == 0


def test_a_batch_in_flight_is_finished(start: Start, clients: ThreadPoolExecutor) -> None:
    with start() as server:
        batch = clients.submit(server.post, "/predict/batch", {"listings": [BARE] * 8000})
        time.sleep(0.15)
        server.process.send_signal(signal.SIGTERM)
        status, content = batch.result()
        assert (status, content["priced"]) == (200, 8000)
        assert server.process.wait(25) == 0


def test_half_open_connections_hold_nobody_up_and_are_closed(start: Start) -> None:
    with start(CARPRICE_BODY_SECONDS=str(PATIENCE)) as server, ExitStack() as stack:
        half_open = []
        for number in range(200):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            client.sendall(b"" if number % 4 == 0 else b"POST /predict HTTP/1.1\r\nHost: a\r\nX-")
            half_open.append(client)
        begun = time.monotonic()
        for _ in range(200):
            assert server.post("/predict", BARE)[0] == 200
        assert server.get("/")[0] == 200
        assert time.monotonic() - begun < 60
        for client in half_open:
            client.settimeout(PATIENCE + 30)
            assert client.recv(1000) == b""


def test_a_body_that_does_not_come_is_given_up(start: Start) -> None:
    with start(CARPRICE_BODY_SECONDS=str(PATIENCE)) as server:
        head = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(head + b"Content-Length: 100\r\n\r\n{")
            client.settimeout(PATIENCE + 30)
            answer = b"".join(iter(lambda: client.recv(10_000), b""))
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"urn:carprice:problem:request-too-slow" in answer
    assert b"did not arrive within 2 seconds" in answer


def test_the_counters_of_several_workers_add_up(start: Start) -> None:
    answered = 'carprice_requests_total{method="POST",path="/predict",status="200"}'
    with start("--workers", "2") as server:
        ready, deadline = 0, time.monotonic() + 60
        while ready < 30:  # in a row: so both workers are
            ready = ready + 1 if server.get("/ready")[0] == 200 else 0
            assert time.monotonic() < deadline
        for _ in range(40):
            assert server.post("/predict", BARE)[0] == 200
        time.sleep(0.2)  # each worker counts its requests some milliseconds later
        texts = [server.get("/metrics")[1] for _ in range(6)]
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(25) == 0
    for text in texts:
        assert f"{answered} 40.0" in text.splitlines()
        assert "carprice_model_info{" in text


def test_the_log_is_one_object_a_line(start: Start) -> None:
    with start() as server:
        for _ in range(3):
            assert server.post("/predict", BARE)[0] == 200
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(25) == 0
        lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    asked = [line for line in lines if line["logger"] == "carprice.access"]
    assert [line["path"] for line in asked] == ["/predict"] * 3
    assert {"time", "level", "logger"} <= set.intersection(*map(set, lines))


def test_a_setting_that_is_not_allowed_is_told_in_one_line(tmp_path: Path) -> None:
    import os
    import subprocess

    done = subprocess.run(
        [sys.executable, "-m", "api"],
        env={**os.environ, "CARPRICE_API_KEYS": "<s3cret>"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("carprice: CARPRICE_API_KEYS, entry 1: is not name:hash")
    assert "s3cret" not in done.stderr + done.stdout
