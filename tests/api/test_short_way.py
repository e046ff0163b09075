"""What is answered at once is answered the same as on the long way, through the whole service."""

import asyncio
import json
import logging
import random
import socket
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from asking import BARE, FULL, wait_until
from fastapi.testclient import TestClient
from uvicorn import Config
from uvicorn.server import ServerState

from api.connections import LimitedProtocol
from api.json_reader import parse_json
from api.keys import entry, new_key
from api.logs import OUTLET, OutletHandler
from api.parsing import PLAIN, read_listing
from api.problems import ProblemError
from api.short_way import SHORT_WAY, ShortWay
from carprice.model.pricer import Pricer

KEY = new_key()
LISTINGS: list[Any] = [
    BARE,
    FULL,
    {**FULL, "odometer": 9e6, "ownership": "Third", "listedOn": "2024-11-30"},
    {**FULL, "askingPrice": 750000, "color": 'Grün: "hell"', "engineCc": 1.2},
    {**BARE, "fuel_type": "Petrol", "features": "Bluetooth, Tpms", "seats": None},
    {**BARE, "make": "Nobody", "featureCount": 2},
    {**BARE, "year": 2019.0, "roadTax": 1e-9, "region": "a\ud83d\ude00"},
]
WRONG: list[Any] = [
    {**BARE, "year": "2018"},
    {**BARE, "yaer": 2018},
    {**BARE, "fuelType": "Petrol", "fuel_type": "Diesel"},
    {**BARE, "odometer": float("nan")},
    {**BARE, "listedOn": "2024-13-30"},
    {**BARE, "features": ["x"] * 201},
    {**BARE, "askingPrice": True},
    *([], None, "text", 7, [BARE], {}, {"listing": BARE}),
]
TYPES = (b"application/json", b"application/json; charset=utf-8", b"Application/JSON", b"")
ODD_TYPES = (b"text/plain", b"application/json; charset=latin-1")
QUERIES = ("", "confidence=0.8", "confidence=0.99")
ODD_QUERIES = ("confidence=2", "confidence=0.8&confidence=0.9", "other=1", "&", "confidence=")


@pytest.fixture(scope="module")
def keyed(client_with: Any) -> Iterator[TestClient]:
    with client_with(api_keys=entry("shop", KEY)) as client:
        yield client


def body_of(chance: random.Random) -> bytes:
    """Return a listing as JSON; some are wrong, and some no JSON."""
    content = chance.choice(LISTINGS if chance.random() < 0.6 else WRONG)
    if isinstance(content, dict):
        content = dict(chance.sample([*content.items()], len(content)))
    space = chance.choice([(",", ":"), (", ", ": "), (" ,\n", "\t: ")])
    text = json.dumps(content, ensure_ascii=chance.random() < 0.5, separators=space)
    if chance.random() < 0.25:
        place = chance.randrange(len(text))
        text = text[:place] + chance.choice(["", *'{}[]:,"1 ', '"year":2019,']) + text[place:]
    return text.encode("utf-8", "surrogatepass")


def short_of(client: TestClient) -> ShortWay:
    found = client.app_state[SHORT_WAY]
    assert isinstance(found, ShortWay)
    return found


Asked = tuple[str, list[tuple[bytes, bytes]], bytes]
"""Query, headers and body of a request."""
Answer = tuple[int, dict[str, str], bytes]


def fail(*_: object) -> None:
    raise OSError("no space left on device")


def at_once(client: TestClient, *asked: Asked) -> list[Answer | None]:
    """Return the answers of the short way to what comes together; None to what it does not take."""
    short = short_of(client)
    answers: list[list[bytes]] = []

    async def ask() -> None:
        for query, headers, body in asked:
            url = f"/predict{query and '?'}{query}".encode()
            named = short.takes(url, [*headers, (b"content-length", b"%d" % len(body))])
            answers.append([b""] if named is None else [])
            if named is not None:
                short.ask(url, named, body, "testclient", answers[-1].append, fail)
        short.answer()

    client.portal.call(ask)
    return [parts_of(answer) if answer else None for (answer,) in answers]


def parts_of(answer: bytes) -> Answer:
    """Return status, headers and body."""
    head, _, content = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    return int(status.split()[1]), dict(line.split(": ", 1) for line in lines), content


def of_a_kind(headers: Any) -> dict[str, str]:
    """Return headers without those that differ from answer to answer."""
    return {name.lower(): value for name, value in headers.items() if name != "x-request-id"}


@pytest.mark.parametrize("seed", range(4))
def test_both_ways_answer_the_same(keyed: TestClient, seed: int) -> None:
    chance, taken = random.Random(seed), 0  # noqa: S311
    requests = [any_request(chance) for _ in range(150)]
    rest = [*requests]
    found: list[Answer | None] = []
    while rest:
        count = chance.choice([1, 2, 7, 40])
        found += at_once(keyed, *rest[:count])
        del rest[:count]
    for one, (query, headers, body) in zip(found, requests, strict=True):
        long = keyed.post(f"/predict{query and '?'}{query}", content=body, headers=headers)
        kind = dict(headers).get(b"content-type")
        assert one is not None or kind in ODD_TYPES
        if one is not None:
            taken += 1
            assert one[0] == long.status_code, body
            assert of_a_kind(one[1]) == of_a_kind(long.headers)
            assert one[2] == long.content
    assert taken > 120


def any_request(chance: random.Random) -> Asked:
    is_odd = chance.random() < 0.1
    query = chance.choice(ODD_QUERIES if is_odd else QUERIES)
    kind = chance.choice(ODD_TYPES if chance.random() < 0.1 else TYPES)
    headers = [(b"content-type", kind)] if kind else []
    if chance.random() < 0.95:
        given = [(b"x-api-key", KEY.encode()), (b"authorization", f"Bearer {KEY}".encode())]
        headers.append(chance.choice(given))
    return query, headers, body_of(chance)


def test_a_crash_is_told_the_same_and_is_that_request_s_alone(
    keyed: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    price = Pricer._read

    def fail_at_fords(pricer: Pricer, listing: Any) -> Any:
        if listing["make"] == "Ford":
            raise ArithmeticError
        return price(pricer, listing)

    monkeypatch.setattr(Pricer, "_read", fail_at_fords)
    headers = [(b"x-api-key", KEY.encode())]
    bodies = [json.dumps({**BARE, "make": make}).encode() for make in ("Kia", "Ford", "Honda")]
    found = at_once(keyed, *(("", headers, body) for body in bodies))
    assert [one and one[0] for one in found] == [200, 500, 200]
    for one, body in zip(found, bodies, strict=True):
        long = keyed.post("/predict", content=body, headers=headers)
        assert one is not None
        assert (one[0], of_a_kind(one[1]), one[2]) == (
            long.status_code,
            of_a_kind(long.headers),
            long.content,
        )


class Wire(asyncio.Transport):
    """A transport that keeps what is written, or fails."""

    def __init__(self, *, fails: bool = False) -> None:
        super().__init__()
        self.written = b""
        self.is_closed = False
        self.fails = fails

    def write(self, data: Any) -> None:
        if self.fails:
            fail()
        self.written += data

    def is_closing(self) -> bool:
        return self.is_closed

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None:
        self.is_closed = True
        if self.fails:
            fail()

    def get_write_buffer_size(self) -> int:
        return 0


def test_an_answer_that_cannot_be_written_ends_its_own_connection_alone(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    config = Config(client.app, http=LimitedProtocol, log_config=None)
    config.load()
    body = json.dumps(BARE).encode()
    ask = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    wires = [Wire(), Wire(fails=True), Wire()]

    async def answer() -> None:
        for wire in wires:
            connection = LimitedProtocol(config, ServerState(), client.app_state)
            connection.connection_made(wire)
            connection.data_received(ask * 2)
        await asyncio.sleep(0)

    client.portal.call(answer)
    assert [wire.written.count(b"HTTP/1.1 200 OK") for wire in wires] == [2, 0, 2]
    assert [wire.is_closed for wire in wires] == [False, True, False]
    assert caplog.messages.count("a request failed by an error of ours") == 1


def test_a_log_that_cannot_be_written_loses_no_answer(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    handlers = [OutletHandler()]
    monkeypatch.setattr(logging, "raiseExceptions", False)
    monkeypatch.setattr(OUTLET, "write", fail)
    monkeypatch.setattr(logging.getLogger("carprice.service"), "handlers", handlers)
    found = at_once(client, *[("", [], json.dumps(BARE).encode()), ("", [], b"{}")] * 50)
    assert [one and one[0] for one in found] == [200, 422] * 50


@pytest.mark.parametrize(
    "more",
    [
        *([(name, b"x")] for name in (b"content-encoding", b"expect", b"connection", b"upgrade")),
        [(b"content-length", b"9000")],
        [(b"x-api-key", b"a"), (b"x-api-key", b"b")],
    ],
)
def test_what_is_unusual_takes_the_long_way(
    client: TestClient, more: list[tuple[bytes, bytes]]
) -> None:
    sent = [(b"content-length", b"80")] if more[0][0] != b"content-length" else []
    assert short_of(client).takes(b"/predict", [*sent, *more]) is None
    for url in (b"/predict/batch", b"/", b"/predict#a", b"/predict?" + b"a" * 1025):
        assert short_of(client).takes(url, sent) is None
    assert short_of(client).takes(b"/predict", []) is None


def test_traces_canaries_and_pages_of_other_origins_close_it(client_with: Any) -> None:
    for settings in ({"opentelemetry": True}, {"challenger": "canary"}):
        with client_with(**settings) as client:
            assert SHORT_WAY not in client.app_state
    with client_with(cors_origins="https://shop.example") as client:
        sent = [(b"content-length", b"80")]
        assert short_of(client).takes(b"/predict", sent) is not None
        assert short_of(client).takes(b"/predict", [*sent, (b"origin", b"https://a.b")]) is None


@pytest.mark.parametrize("seed", range(3))
def test_a_listing_is_read_at_once_as_it_is_read_slowly(seed: int) -> None:
    chance, read = random.Random(seed), 0  # noqa: S311
    for _ in range(700):
        body = body_of(chance)
        try:
            slow: Any = PLAIN.request.model_validate(parse_json(body))
        except (ProblemError, ValueError):
            slow = None
        try:
            quick: Any = read_listing(body)
        except ProblemError:
            quick = None
        assert quick == slow, body
        if slow is not None:
            read += 1
            assert quick.model_fields_set == slow.model_fields_set
            assert [*map(type, vars(quick).values())] == [*map(type, vars(slow).values())]
    assert read > 300


def test_answers_come_in_order_whole_or_in_parts(start: Any) -> None:
    settings = {"FORWARDED_ALLOW_IPS": "127.0.0.1"}
    body = json.dumps(BARE).encode()
    head = (
        b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\nX-Request-ID: %%s\r\n"
        b"X-Forwarded-For: 192.0.2.7\r\n\r\n" % len(body)
    )
    other = b"GET /live HTTP/1.1\r\nHost: a\r\nX-Request-ID: d\r\n\r\n"
    whole = [head % b"a" + body, head % b"b" + body]
    with (
        start(**settings) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=60) as one,
    ):
        incoming = one.makefile("rb")
        one.sendall(b"".join([*whole, head % b"c" + body[:9]]))
        first = [read_answer(incoming) for _ in whole]
        one.sendall(body[9:] + other + head % b"e" + body)
        rest = [read_answer(incoming) for _ in range(3)]
        assert [named for named, _ in (*first, *rest)] == [*"abcde"]
        contents = [content for named, content in (*first, *rest) if named != "d"]
        assert len({*contents}) == 1
        assert json.loads(contents[0])["predictedPrice"] > 0
        wait_until(lambda: server.log.read_text().count('"path":"/predict"') == 4)
        lines = [
            json.loads(line) for line in server.log.read_text().splitlines() if '"/predict"' in line
        ]
        assert {line["client"] for line in lines} == {"192.0.2.7"}
        one.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        counted = incoming.read().decode()
    assert 'carprice_requests_total{method="POST",path="/predict",status="200"} 4.0' in counted


def test_a_quiet_connection_is_closed(serve: Any, finished: Any, tmp_path: Any) -> None:
    served_by = ("--http", "api.connections:LimitedProtocol", "--timeout-keep-alive", "2")
    command = [sys.executable, "-m", "uvicorn", "api.main:app", "--port", "{port}", *served_by]
    settings = {
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
        "CARPRICE_BAKED_MODEL": str(finished[0].model),
        "CARPRICE_MODEL_CACHE": str(tmp_path / "cache"),
    }
    body = json.dumps(BARE).encode()
    ask = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    with (
        serve(command, tmp_path, "/ready", settings) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=60) as one,
    ):
        incoming = one.makefile("rb")
        one.sendall(ask * 3)  # at once, for it is closed while a busy machine lets nobody ask
        for _ in range(3):
            read_answer(incoming)
        assert incoming.read() == b""


def read_answer(incoming: Any) -> tuple[str, bytes]:
    """Return the request's id and the body of an answer of 200."""
    assert incoming.readline() == b"HTTP/1.1 200 OK\r\n"
    lines = iter(lambda: incoming.readline().decode().strip(), "")
    headers = dict(line.split(": ", 1) for line in lines)
    return headers["x-request-id"], incoming.read(int(headers["content-length"]))
