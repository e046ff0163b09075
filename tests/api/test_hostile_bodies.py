"""Bodies within the limits that are made to cost much: a running service refuses them quickly."""

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from asking import BARE

from carprice.schema import FIELDS, alias

MEBIBYTE = 2**20
LISTING_BYTES = 65_000
BATCH_BYTES = MEBIBYTE
ROWS = 10_000
TIMES = 30
ALLOWED = 64 * MEBIBYTE
"""What ten thousand problems and a warm service may take beside a multiple of the body."""
LONGEST_GAP = 5.0
INFER = "/v2/models/used-car-price/infer"
BARE_OPEN = json.dumps(BARE).encode()[:-1]
COLUMNS = json.dumps([*BARE]).encode()
HEADER = ",".join(BARE).encode() + b"\n"
FULL_HEADER = ",".join(map(alias, FIELDS)).encode() + b"\n"
TENSORS = json.dumps(
    [
        {"name": name, "shape": [1], "datatype": datatype, "data": [BARE[name]]}
        for name, datatype in (
            ("make", "BYTES"),
            ("model", "BYTES"),
            ("year", "INT64"),
            ("odometer", "FP64"),
        )
    ]
).encode()


def array(size: int, element: bytes) -> bytes:
    return b"[" + b",".join([element] * (size // (len(element) + 1))) + b"]"


def numbered(size: int, pattern: str) -> bytes:
    return ",".join(pattern % number for number in range(size // len(pattern % 10**6))).encode()


VALUES: dict[str, Callable[[int], bytes]] = {
    "ones": lambda size: array(size, b"1"),
    "nulls": lambda size: array(size, b"null"),
    "texts": lambda size: b"[" + numbered(size, '"%d"') + b"]",
    "empty arrays": lambda size: array(size, b"[]"),
    "small objects": lambda size: array(size, b'{"a":1}'),
    "arrays of ones": lambda size: array(size, array(1000, b"1")),
    "keys": lambda size: b"{" + numbered(size, '"%d":1') + b"}",
    "objects": lambda size: b"{" + numbered(size, '"%d":{"a":{}}') + b"}",
    "repeated keys": lambda size: b"{" + array(size, b'"a":1')[1:-1] + b"}",
    "nested arrays": lambda size: b"[" * (size // 2) + b"]" * (size // 2),
    "nested objects": lambda size: b'{"a":' * (size // 6) + b"1" + b"}" * (size // 6),
    "wide and nested": lambda size: (b"[" + b"1," * 70_000) * (size // 140_001),
    "text": lambda size: b'"' + b"a" * size + b'"',
    "escapes": lambda size: b'"' + rb"\u00e9" * (size // 6) + b'"',
    "wide signs": lambda size: '"{}"'.format("\U0001f600" * (size // 4)).encode(),
    "digits": lambda size: b"9" * size,
    "decimals": lambda size: b"0." + b"1" * size,
    "never closed": lambda size: b"[" + b"1," * (size // 2),
}
LISTING_PLACES: dict[str, tuple[bytes, bytes]] = {
    "the body": (b"", b""),
    "features": (BARE_OPEN + b',"features":', b"}"),
    "make": (b'{"make":', b"}"),
    "ownership": (BARE_OPEN + b',"ownership":', b"}"),
    "an unknown field": (BARE_OPEN + b',"wheels":', b"}"),
}
BATCH_PLACES: dict[str, tuple[bytes, bytes]] = {
    "the body": (b"", b""),
    "listings": (b'{"listings":', b"}"),
    "a row": (b'{"listings":[', b"]}"),
    "features": (b'{"listings":[' + BARE_OPEN + b',"features":', b"}]}"),
}
FRAME_PLACES: dict[str, tuple[bytes, bytes]] = {
    "the body": (b"", b""),
    "columns": (b'{"dataframe_split":{"data":[],"columns":', b"}}"),
    "data": (b'{"dataframe_split":{"columns":' + COLUMNS + b',"data":', b"}}"),
    "a cell": (b'{"columns":' + COLUMNS + b',"data":[["Kia","Rio",2018,', b"]]}"),
    "dataframe_records": (b'{"dataframe_records":', b"}"),
    "instances": (b'{"instances":[' + BARE_OPEN + b',"features":', b"}]}"),
    "inputs": (b'{"inputs":{"make":["Kia"],"model":["Rio"],"year":', b"}}"),
    "params": (b'{"dataframe_records":[],"params":', b"}"),
}
TENSOR_PLACES: dict[str, tuple[bytes, bytes]] = {
    "the body": (b"", b""),
    "inputs": (b'{"inputs":', b"}"),
    "outputs": (b'{"inputs":' + TENSORS + b',"outputs":', b"}"),
    "parameters": (b'{"inputs":' + TENSORS + b',"parameters":', b"}"),
    "data": (b'{"inputs":[{"name":"make","shape":[1],"datatype":"BYTES","data":', b"}]}"),
    "shape": (b'{"inputs":[{"name":"make","datatype":"BYTES","data":[],"shape":', b"}]}"),
    "name": (b'{"inputs":[{"shape":[1],"datatype":"BYTES","data":[],"name":', b"}]}"),
    "an unknown field": (b'{"inputs":' + TENSORS + b',"more":', b"}"),
}
TABLES: dict[str, Callable[[int], bytes]] = {
    "cells of a row": lambda size: HEADER + b"ab," * (size // 3),
    "columns": lambda size: b"ab," * (size // 3),
    "empty columns": lambda size: b"," * size,
    "empty lines": lambda size: HEADER + b"\n" * size,
    "empty old lines": lambda size: HEADER + b"\r" * size,
    "a quoted cell": lambda size: HEADER + b'"' + b"a" * size,
    "a quoted cell of lines": lambda size: HEADER + b'"' + b"\n" * size,
    "quoted cells of lines": lambda size: HEADER + b'"\n",' * (size // 4),
    "quotes": lambda size: HEADER + b'"' * size,
    "a cell": lambda size: HEADER + b"a" * size,
    "no text": lambda size: HEADER + b"\xe9" * size,
    "short rows": lambda size: HEADER + b"a\n" * (size // 2),
}
BOTH_FORMS = (("/predict/batch", "text/csv"), ("/invocations", "text/csv"))
MANY_WRONG = {
    "wrong in every field": b'{"make":[1],"model":{"a":[]},"year":"a","odometer":"b","seats":"c"}',
    "unknown fields": b"{" + b",".join(b'"field%d":1' % number for number in range(12)) + b"}",
    "unknown fields twice": b'{"field":1,"field":2,"fields":3}',
    "features of numbers": BARE_OPEN + b',"features":' + array(160, b"1") + b"}",
    "nothing": b"{}",
    "numbers": b"1",
}


@dataclass
class Answers:
    """What ``GET /live`` was answered meanwhile: how often, and the longest wait for one."""

    count: int = 0
    longest: float = 0.0
    done: threading.Event = field(default_factory=threading.Event)

    def ask(self, port: int) -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
            while not self.done.is_set():
                begun = time.monotonic()
                connection.request("GET", "/live")
                answer = connection.getresponse()
                answer.read()
                assert answer.status == 200
                self.count += 1
                self.longest = max(self.longest, time.monotonic() - begun)
                time.sleep(0.002)


@pytest.fixture(scope="module")
def attacked(start: Callable[..., AbstractContextManager[Any]]) -> Iterator[Any]:
    with start() as server:
        for path, body in (("/predict", BARE), ("/predict/batch", {"listings": [BARE] * 1000})):
            assert server.post(path, body)[0] == 200
        yield server


@contextmanager
def others_asking(server: Any) -> Iterator[Answers]:
    answers = Answers()
    asking = threading.Thread(target=answers.ask, args=[server.port])
    asking.start()
    try:
        yield answers
    finally:
        answers.done.set()
        asking.join()
    assert answers.count > 0
    assert answers.longest < LONGEST_GAP


def memory(server: Any, name: str) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.split(f"{name}:")[1].split()[0]) * 1024


def send(server: Any, path: str, body: bytes, kind: str = "application/json") -> tuple[int, Any]:
    """Send a body; fail if the service took much more memory for it than it is long."""
    Path(f"/proc/{server.process.pid}/clear_refs").write_text("5")  # begin the peak anew
    before = memory(server, "VmRSS")
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)) as connection:
        connection.request("POST", path, body, {"Content-Type": kind})
        answer = connection.getresponse()
        content = json.loads(answer.read())
    assert memory(server, "VmHWM") - before < TIMES * len(body) + ALLOWED
    if answer.status != 200:
        assert answer.getheader("Content-Type") == "application/problem+json"
        assert len(json.dumps(content)) < 20_000
    return answer.status, content


def refused(
    server: Any, path: str, bodies: dict[str, bytes], kind: str = "application/json"
) -> None:
    wrong = {}
    with others_asking(server):
        for name, body in bodies.items():
            status, content = send(server, path, body, kind)
            if not (400 <= status < 500 or content.get("priced") == 0):
                wrong[name] = status
    assert wrong == {}


def bodies_of(places: dict[str, tuple[bytes, bytes]], value: str, size: int) -> dict[str, bytes]:
    filled = VALUES[value](size)
    return {place: before + filled + after for place, (before, after) in places.items()}


@pytest.mark.parametrize("value", VALUES)
def test_a_listing_of_64_kb(attacked: Any, value: str) -> None:
    bodies = bodies_of(LISTING_PLACES, value, LISTING_BYTES - 200)
    for path in ("/predict", "/appraise", "/explain"):
        refused(attacked, path, bodies)


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize(
    ("path", "places"),
    [("/predict/batch", BATCH_PLACES), ("/invocations", FRAME_PLACES), (INFER, TENSOR_PLACES)],
    ids=["batch", "invocations", "infer"],
)
def test_a_long_body(
    attacked: Any, path: str, places: dict[str, tuple[bytes, bytes]], value: str
) -> None:
    refused(attacked, path, bodies_of(places, value, BATCH_BYTES))


@pytest.mark.parametrize(("path", "kind"), BOTH_FORMS)
def test_a_long_table(attacked: Any, path: str, kind: str) -> None:
    refused(attacked, path, {name: table(BATCH_BYTES) for name, table in TABLES.items()}, kind)


@pytest.mark.parametrize("row", MANY_WRONG)
def test_rows_that_are_all_wrong_get_their_problems(attacked: Any, row: str) -> None:
    rows = array((len(MANY_WRONG[row]) + 1) * ROWS, MANY_WRONG[row])
    with others_asking(attacked):
        status, content = send(attacked, "/predict/batch", b'{"listings":' + rows + b"}")
        assert (status, content["priced"], len(content["rows"])) == (200, 0, ROWS)
        assert {one["problem"]["status"] for one in content["rows"]} == {422}
        assert send(attacked, "/invocations", rows)[0] == 422


def test_a_table_that_is_wrong_in_every_cell(attacked: Any) -> None:
    table = FULL_HEADER + (b",".join([b"x" * 9] * len(FIELDS)) + b"\n") * ROWS
    with others_asking(attacked):
        status, content = send(attacked, "/predict/batch", table, "text/csv")
        assert (status, content["priced"], len(content["rows"])) == (200, 0, ROWS)
        assert send(attacked, "/invocations", table, "text/csv")[0] == 422
