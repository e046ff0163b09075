import json
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing
from http.client import HTTPConnection
from typing import Any

import pytest
from asking import BARE, Traffic

PATIENCE = 2.0

Start = Callable[..., AbstractContextManager[Any]]


@pytest.fixture(scope="module", autouse=True)
def pestered(start: Start) -> Iterator[tuple[Traffic, Future[int]]]:
    """A service told to stop that clients go on asking, while the other tests run; its end."""
    with start(CARPRICE_DRAIN_SECONDS="1") as server, ThreadPoolExecutor() as threads:
        traffic = Traffic(server.port)
        with traffic.flowing(pause=0.1):
            time.sleep(0.5)
            server.process.send_signal(signal.SIGTERM)
            yield traffic, threads.submit(server.process.wait, 25)


def test_sigterm_under_load_fails_no_request(start: Start) -> None:
    with start(CARPRICE_DRAIN_SECONDS="4") as server:
        traffic = Traffic(server.port)
        with traffic.flowing(clients=6, pause=0):
            time.sleep(1)
            server.process.send_signal(signal.SIGTERM)
            while server.get("/ready")[0] != 503:  # it would not answer once it has stopped
                pass
            assert json.loads(server.get("/")[1])["status"] == "draining"
            assert server.get("/live")[0] == 200
            time.sleep(1)  # as long as a load balancer's health check takes to notice
        assert server.process.wait(25) == 0
    assert set(traffic.statuses) == {200}
    assert traffic.statuses[200] > 20


def test_a_second_sigterm_stops_at_once(start: Start) -> None:
    with start(CARPRICE_DRAIN_SECONDS="15") as server:
        server.process.send_signal(signal.SIGTERM)
        while server.get("/ready")[0] != 503:
            time.sleep(0.01)
        time.sleep(1.1)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(10) == 0


def test_a_batch_in_flight_is_finished_and_the_log_is_one_object_a_line(start: Start) -> None:
    body = json.dumps({"listings": [BARE] * 8000})
    with (
        start(CARPRICE_DRAIN_SECONDS="1") as server,
        closing(HTTPConnection("127.0.0.1", server.port, timeout=60)) as client,
    ):
        assert server.post("/predict", BARE)[0] == 200
        client.request("POST", "/predict/batch", body, {"Content-Type": "application/json"})
        server.process.send_signal(signal.SIGTERM)
        answer = client.getresponse()
        assert (answer.status, json.loads(answer.read())["priced"]) == (200, 8000)
        assert server.process.wait(25) == 0
        lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    asked = [line["path"] for line in lines if line["logger"] == "carprice.access"]
    assert asked == ["/predict", "/predict/batch"]
    assert {"time", "level", "logger"} <= set.intersection(*map(set, lines))


def test_heads_and_bodies_that_do_not_come_hold_nobody_up_and_are_given_up(start: Start) -> None:
    with start(CARPRICE_BODY_SECONDS=str(PATIENCE)) as server, ExitStack() as stack:
        half_open = []
        for number in range(200):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            client.sendall(b"" if number % 4 == 0 else b"POST /predict HTTP/1.1\r\nHost: a\r\nX-")
            half_open.append(client)
        client = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
        head = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        client.sendall(head + b"Content-Length: 100\r\n\r\n{")
        begun = time.monotonic()
        for _ in range(200):
            assert server.post("/predict", BARE)[0] == 200
        assert server.get("/")[0] == 200
        assert time.monotonic() - begun < 60
        for one in (client, *half_open):
            one.settimeout(PATIENCE + 30)
        answer = b"".join(iter(lambda: client.recv(10_000), b""))
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"urn:carprice:problem:request-too-slow" in answer
        assert b"did not arrive within 2 seconds" in answer
        for one in half_open:
            assert one.recv(1000) == b""


def test_the_counters_of_several_workers_add_up(start: Start) -> None:
    answered = 'carprice_requests_total{method="POST",path="/predict",status="200"}'
    with start("--workers", "2") as server:
        deadline = time.monotonic() + 60
        for _ in range(40):
            assert server.post("/predict", BARE)[0] == 200
        texts = [""]  # each worker counts its requests some milliseconds later
        while not all(
            f"{answered} 40.0" in text.splitlines() and "carprice_model_info{" in text
            for text in texts
        ):
            assert time.monotonic() < deadline, texts
            texts = [server.get("/metrics")[1] for _ in range(6)]
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(25) == 0


def test_a_client_that_never_stops_asking_cannot_keep_it_alive(
    pestered: tuple[Traffic, Future[int]],
) -> None:
    traffic, end = pestered
    assert end.result() == 0
    assert traffic.statuses[200] > 100
