"""What clients may send and leave unread, against what the service takes: with real processes."""

import json
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path
from typing import Any, Self

import pytest
from asking import BARE, wait_until

PATIENCE = 2.0
BUDGET = 16 * 1024 * 1024
MEGABYTE = 1024 * 1024
HEAD = b"POST %s HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
GOOD = json.dumps(BARE).encode()
BATCH = b"/predict/batch"

Start = Callable[..., AbstractContextManager[Any]]


@pytest.fixture(scope="module")
def server(start: Start) -> Iterator[Any]:
    """A service of little patience and few bytes for bodies."""
    settings = {
        "CARPRICE_BODY_SECONDS": str(PATIENCE),
        "CARPRICE_RECEIVING_BYTES": str(BUDGET),
        "CARPRICE_BATCH_QUEUE": "30",
    }
    with start(**settings) as server:
        yield server


class Client:
    """One connection to a service."""

    def __init__(self, server: Any) -> None:
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=60)
        self.incoming = self.socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.incoming.close()
        self.socket.close()

    def send(self, *parts: bytes) -> Self:
        """Send as much as the other side takes."""
        with suppress(ConnectionError):
            for part in parts:
                self.socket.sendall(part)
        return self

    def ask(self, path: bytes, body: bytes) -> Self:
        return self.send(HEAD % path + b"Content-Length: %d\r\n\r\n" % len(body), body)

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Read one answer; the connection may stay open."""
        status = int(self.incoming.readline().split()[1])
        lines = iter(lambda: self.incoming.readline().decode().strip(), "")
        headers = {name.lower(): value for name, _, value in (one.partition(": ") for one in lines)}
        return status, headers, self.incoming.read(int(headers["content-length"]))

    def refusal(self) -> tuple[int, str]:
        """Read an answer that is a problem, and the connection's end."""
        status, headers, body = self.answer()
        assert headers["content-type"] == "application/problem+json"
        assert headers["connection"] == "close"
        assert headers["x-request-id"]
        assert headers["x-content-type-options"] == "nosniff"
        if status == 429:
            assert int(headers["retry-after"]) > 0
        problem = json.loads(body)
        assert problem["status"] == status
        assert self.incoming.read() == b""
        return status, problem["type"].removeprefix("urn:carprice:problem:")


def memory(server: Any) -> int:
    """Return the resident bytes of a service."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return 1024 * int(status.partition("VmRSS:")[2].split()[0])


def is_well(server: Any) -> bool:
    return bool(server.post("/predict", BARE)[0] == 200)


def endless(start: bytes, part: bytes) -> list[bytes]:
    return [start, *[part] * (8 * MEGABYTE // len(part))]


CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
HEADS = {
    "one header": endless(HEAD % b"/predict" + b"X-A: ", b"a" * 50_000),
    "a header's name": endless(HEAD % b"/predict", b"a" * 50_000),
    "many headers": endless(HEAD % b"/predict", b"X-A: a\r\n" * 5000),
    "small headers": [HEAD % b"/predict", *[b"a:b\r\n"] * 300],
    "small trailers": [CHUNKED % b"/predict" + b"2\r\n{}\r\n0\r\n", *[b"a:b\r\n"] * 300],
    "a path": endless(b"GET /", b"a" * 50_000),
    "a query": endless(b"POST /predict?", b"a=1&" * 10_000),
    "no request at all": endless(b"", b"\r\n" * 20_000),
    "trailers": endless(CHUNKED % b"/predict" + b"2\r\n{}\r\n0\r\n", b"X-A: a\r\n" * 5000),
    "a chunk's extension": endless(CHUNKED % b"/predict" + b"2;a=", b"a" * 50_000),
    "chunks of a byte": endless(CHUNKED % BATCH, b"1\r\n \r\n" * 5000),
    "a second request": endless(b"GET /live HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\nX-A:", b"a" * 50_000),
}


@pytest.mark.parametrize("kind", HEADS)
def test_more_than_64_kb_beside_a_body_are_refused_while_they_come(server: Any, kind: str) -> None:
    before = memory(server)
    with Client(server) as client:
        client.send(*HEADS[kind])
        if kind == "a second request":
            assert client.answer()[0] == 200
        assert client.refusal() == (431, "head-too-large")
    assert memory(server) < before + 4 * MEGABYTE
    assert is_well(server)


def test_a_head_just_within_the_limit_and_a_body_in_usual_chunks_are_read(server: Any) -> None:
    head = HEAD % b"/predict" + b"Content-Length: %d\r\n" % len(GOOD)
    fill = 64 * 1024 - len(head) - len(b"X-A: \r\n\r\n")
    rows = b",".join([GOOD] * 2000)
    lines = b'{"listings":[' + rows + b"]}"
    chunks = [lines[start : start + 100] for start in range(0, len(lines), 100)]
    with Client(server) as client:
        for _ in range(2):
            client.send(head + b"X-A: " + b"a" * fill + b"\r\n\r\n" + GOOD)
            assert client.answer()[0] == 200
        client.send(CHUNKED % BATCH, *(b"%x\r\n%b\r\n" % (len(one), one) for one in chunks))
        assert json.loads(client.send(b"0\r\n\r\n").answer()[2])["priced"] == 2000
        client.send(head + b"X-A: " + b"a" * (fill + 1) + b"\r\n\r\n" + GOOD)
        assert client.refusal() == (431, "head-too-large")


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 400,
        b"HELLO\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET nowhere HTTP/1.1\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
        HEAD % b"/predict" + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        HEAD % b"/predict" + b"Content-Length: -1\r\n\r\n{}",
        CHUNKED % b"/predict" + b"no size\r\n",
        CHUNKED % BATCH + b"2\r\n{}??",
    ],
)
def test_what_is_no_http_is_told_so_in_problem_details(server: Any, sent: bytes) -> None:
    with Client(server) as client:
        assert client.send(sent).refusal() == (400, "bad-request")
    assert is_well(server)


def test_a_request_whose_body_comes_after_another_request_is_read(server: Any) -> None:
    rows = b'{"listings":[' + b",".join([GOOD] * 40) + b"]}"
    first = HEAD % b"/predict" + b"Content-Length: %d\r\n\r\n" % len(GOOD) + GOOD
    second = HEAD % BATCH + b"Content-Length: %d\r\n\r\n" % len(rows) + rows
    with Client(server) as client:
        for _ in range(3):
            client.send(first + second + first)
            assert [client.answer()[0] for _ in range(3)] == [200, 200, 200]


def test_requests_that_nobody_waited_for_are_not_kept(server: Any) -> None:
    """Each answer makes room for some of them, and no more are read meanwhile."""
    count = 20_000
    request = b"GET /live HTTP/1.1\r\nX-A: " + b"a" * 1000 + b"\r\n\r\n"
    before = memory(server)
    with Client(server) as client, ThreadPoolExecutor(1) as thread:
        sending = thread.submit(client.send, *[request * 100] * (count // 100))
        assert {client.answer()[0] for _ in range(count)} == {200}
        sending.result()
        assert memory(server) < before + 8 * MEGABYTE


@pytest.mark.parametrize(
    ("request_of", "status"),
    [
        (b"GET /live?" + b"%%a1=&" * 10_000, 422),
        (b"GET /static-offline-docs/" + b"a/" * 20_000, 404),
        (b'GET /live HTTP/1.1\r\nCookie: a="' + b"\\a" * 30_000 + b'"', 200),
        (b"POST /predict HTTP/1.1\r\nContent-Length: " + b"0" * 5000 + b"2", 400),
    ],
    ids=["query", "path", "cookie", "length"],
)
def test_a_long_part_of_a_head_costs_no_time(server: Any, request_of: bytes, status: int) -> None:
    """Each took a second or more of the interpreter, or was an error of ours."""
    ends = b"" if b" HTTP/1.1" in request_of else b" HTTP/1.1"
    with Client(server) as client:
        client.send(request_of + ends + b"\r\n\r\n{}")
        assert client.answer()[0] == status
    assert "an error of ours" not in server.log.read_text(encoding="utf-8")
    assert is_well(server)


def test_requests_that_wait_for_no_answer_are_answered_in_their_order(server: Any) -> None:
    count = 6000
    paths = [b"/live" if number % 3 else b"/nowhere" for number in range(count)]
    before = memory(server)
    with Client(server) as client, ThreadPoolExecutor(1) as thread:
        sending = thread.submit(
            client.send, b"".join(b"GET %b HTTP/1.1\r\n\r\n" % path for path in paths), b"huh?\r\n"
        )
        statuses = [client.answer()[0] for _ in range(count)]
        sending.result()
        assert client.refusal() == (400, "bad-request")
    assert statuses == [200 if number % 3 else 404 for number in range(count)]
    assert memory(server) < before + 8 * MEGABYTE


def test_a_refused_client_that_sends_on_reads_why(server: Any) -> None:
    for path, size, status in (
        (b"/predict", 5 * MEGABYTE, 413),
        (BATCH, 15 * MEGABYTE, 413),
        (b"/nowhere", 5 * MEGABYTE, 404),
    ):
        with Client(server) as client:
            client.send(HEAD % path + b"Content-Length: %d\r\n\r\n" % size)
            time.sleep(0.1)
            client.send(b" " * size)
            assert client.answer()[0] == status
            if status == 404:  # and may ask on, its body having been taken
                assert client.ask(b"/predict", GOOD).answer()[0] == 200


def test_a_body_that_nobody_wants_is_not_taken_for_ever(server: Any) -> None:
    for path in (BATCH, b"/nowhere"):
        with Client(server) as client:
            client.send(HEAD % path + b"Content-Length: 1000000000\r\n\r\n")
            with pytest.raises(ConnectionError):
                client.socket.sendall(b" " * 100 * MEGABYTE)
    with Client(server) as client:  # nor waited for
        client.send(HEAD % b"/nowhere" + b"Content-Length: 100\r\n\r\n")
        assert client.answer()[0] == 404
        with suppress(ConnectionError):
            assert client.incoming.read() == b""


def test_nothing_is_asked_for_that_there_is_no_room_for(server: Any) -> None:
    expecting = HEAD + b"Content-Length: %d\r\nExpect: 100-continue\r\n\r\n"
    with Client(server) as client:
        client.send(expecting % (BATCH, 11 * MEGABYTE))
        assert client.refusal() == (413, "request-too-large")
    with Client(server) as first, Client(server) as second, Client(server) as third:
        for one in (first, second):
            one.send(expecting % (BATCH, 8 * MEGABYTE))
            assert one.incoming.readline() == b"HTTP/1.1 100 Continue\r\n"
            assert one.incoming.readline() == b"\r\n"
        third.send(expecting % (BATCH, 8 * MEGABYTE))
        assert third.refusal() == (429, "too-many-requests")
        assert is_well(server)
        for one in (first, second):
            assert one.refusal() == (408, "request-too-slow")


def test_many_large_bodies_at_once_are_answered_or_told_to_come_back(server: Any) -> None:
    body = b'{"listings":[' + b" " * (5 * MEGABYTE) + b"]}"
    before = memory(server)

    def upload(_: int) -> int:
        with Client(server) as client:
            status, headers, _ = client.ask(BATCH, body).answer()
            assert status != 429 or int(headers["retry-after"]) > 0
            return status

    with ThreadPoolExecutor(60) as threads:
        sending = threads.map(upload, range(60))
        peak = 0
        for _ in range(20):
            assert is_well(server)
            peak = max(peak, memory(server))
        statuses = Counter(sending)
    assert {200, 429} <= set(statuses) <= {200, 408, 429}
    assert peak < before + 150 * MEGABYTE
    with Client(server) as client:
        assert client.ask(BATCH, body).answer()[0] == 200


@pytest.mark.parametrize("end", ["reset", "silence"])
def test_what_a_broken_upload_took_is_given_back(start: Start, end: str) -> None:
    settings = {"CARPRICE_BODY_SECONDS": "3", "CARPRICE_BATCH_QUEUE": "0"}
    batch = b'{"listings":[%b]}' % b",".join([GOOD] * 100)

    def ask() -> tuple[int, bytes]:
        with Client(server) as third:
            status, _, body = third.ask(BATCH, batch).answer()
        return status, body

    with start(**settings) as server, ExitStack() as clients:
        first, second = (clients.enter_context(Client(server)) for _ in range(2))
        first.send(CHUNKED % BATCH, b"5\r\n{    \r\n")
        time.sleep(0.3)
        assert second.ask(BATCH, b" " * MEGABYTE).refusal() == (429, "too-many-requests")
        if end == "reset":
            first.__exit__()
        else:
            assert first.refusal() == (408, "request-too-slow")
        wait_until(lambda: ask()[0] != 429)
        status, body = ask()
        assert (status, json.loads(body)["priced"]) == (200, 100)


def test_an_answer_that_nobody_reads_is_given_up_with_its_place(start: Start) -> None:
    settings = {"CARPRICE_BODY_SECONDS": "2", "CARPRICE_BATCH_QUEUE": "0"}
    many, few = (b'{"listings":[%b]}' % b",".join([row] * 9000) for row in (b"{}", GOOD))
    with start(**settings) as server, Client(server) as deaf:
        deaf.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.ask(BATCH, many)
        time.sleep(0.1)
        statuses = []
        while 200 not in statuses:
            with Client(server) as client:
                statuses.append(client.ask(BATCH, few).answer()[0])
            assert len(statuses) < 300, statuses
            time.sleep(0.1)
        assert 429 in statuses
        with suppress(ConnectionError):
            assert len(deaf.incoming.read()) < 4 * MEGABYTE


def test_a_page_may_read_why_its_head_was_refused(start: Start) -> None:
    with start(CARPRICE_CORS_ORIGINS="https://shop.example, https://two.example") as server:
        for origin, shown in ((b"https://two.example", True), (b"https://evil.example", False)):
            with Client(server) as client:
                client.send(HEAD % b"/predict" + b"Origin: " + origin + b"\r\n", b"a:b\r\n" * 300)
                status, headers, _ = client.answer()
            assert status == 431
            assert (headers.get("access-control-allow-origin") == origin.decode()) is shown
