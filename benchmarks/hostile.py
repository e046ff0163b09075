"""Clients that mean no good: each form of attack on the service, again and again.

It ends after ``--seconds`` and prints as JSON how many requests of each form were answered with
which status; ``none`` is a connection that was cut off before an answer.
"""

import argparse
import functools
import gzip
import json
import os
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from itertools import cycle, repeat
from typing import Final

_LISTING: Final = '{"make":"Hyundai","model":"Creta","year":2018,"odometer":61000'
_BODY_BYTES: Final = 10 * 1024 * 1024 - 1024
_PREDICT_BYTES: Final = 64 * 1024 - 1024
_PART_BYTES: Final = 256 * 1024
_PATIENCE: Final = 19
"""Real attackers have machines of their own, and take no time from those who measure."""
_ANSWER_SECONDS: Final = 60.0
BATCH: Final = "/predict/batch"
INVOCATIONS: Final = "/invocations"
INFER: Final = "/v2/models/used-car-price/infer"
NO_ANSWER: Final = "none"

Parts = Iterable[bytes]


@functools.cache
def filled(start: str, part: str, end: str, size: int = _BODY_BYTES) -> bytes:
    """Return a text that repeats a part until it has about so many bytes."""
    count = (size - len(start) - len(end)) // len(part)
    return (start + (part * count)[:-1] + end).encode()


@functools.cache
def numbered(start: str, part: str, end: str, count: int) -> bytes:
    """Return a text that repeats a part with numbers."""
    return (start + ",".join(part.format(number) for number in range(count)) + end).encode()


@functools.cache
def _packed() -> bytes:
    return gzip.compress(b" " * _BODY_BYTES)


def head(path: str, *headers: str) -> bytes:
    """Return a request's head without its end."""
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: a", *headers, ""]).encode()


def post(path: str, body: bytes, kind: str = "application/json", *headers: str) -> Parts:
    """Return a request with a body."""
    length = f"Content-Length: {len(body)}"
    yield head(path, f"Content-Type: {kind}", length, *headers) + b"\r\n"
    for start in range(0, len(body), _PART_BYTES):
        yield body[start : start + _PART_BYTES]


def slowly(parts: Parts, seconds: float) -> Parts:
    """Wait before each part."""
    for part in parts:
        yield part
        time.sleep(seconds)


def _rows(part: str, size: int = _BODY_BYTES) -> bytes:
    return filled('{"listings":[', part, "]}", size)


_CHUNKED: Final = (
    head(BATCH, "Content-Type: application/json", "Transfer-Encoding: chunked") + b"\r\n"
)
_ENDLESS: Final = b"a" * _PART_BYTES
_HEADERS: Final = b"X-A: a\r\n" * 30_000
_LISTED: Final = f'{_LISTING},"features":['
FORMS: Final[Mapping[str, Callable[[], Parts]]] = {
    "endless head": lambda: [head("/predict") + b"X-A: ", *repeat(_ENDLESS, 360)],
    "many headers": lambda: [head("/predict"), *repeat(_HEADERS, 360)],
    "slow head": lambda: slowly([head("/predict"), *repeat(b"X-A: a\r\n", 20)], 1.0),
    "slow body": lambda: slowly(post(BATCH, _rows("  ")), 1.0),
    "trailers": lambda: [_CHUNKED + b"0\r\n", *repeat(_HEADERS, 40)],
    "chunks of a byte": lambda: [_CHUNKED, *repeat(b"1\r\n \r\n" * 40_000, 40)],
    "requests at once": lambda: [b"GET /live HTTP/1.1\r\n\r\n" * 5_000],
    "no HTTP": lambda: [b"\x16\x03\x01" * 1_000],
    "uploads": lambda: post(BATCH, _rows("  ")),
    "unread answers": lambda: post(BATCH, _rows("{},", 30_000)),
    "features": lambda: post(BATCH, filled(f'{{"listings":[{_LISTED}', "1,", "]}]}")),
    "rows of numbers": lambda: post(BATCH, _rows("1,")),
    "800,000 keys": lambda: post(
        INVOCATIONS, numbered('{"columns":{', '"k{}":0', '},"data":[]}', 800_000)
    ),
    "columns": lambda: post(
        INVOCATIONS, filled('{"dataframe_split":{"columns":[', '"a",', '],"data":[[1]]}}')
    ),
    "infer inputs": lambda: post(INFER, filled('{"inputs":[', "1,", "]}")),
    "infer outputs": lambda: post(INFER, filled('{"inputs":[],"outputs":[', "1,", "]}")),
    "64 KB listing": lambda: post("/predict", filled(_LISTED, "1,", "]}", _PREDICT_BYTES)),
    "5,000 keys": lambda: post("/predict", numbered(f"{_LISTING},", '"k{}":0', "}", 5_000)),
    "deep nesting": lambda: post(BATCH, filled('{"listings":', "[", "")),
    "repeated keys": lambda: post(BATCH, filled('{"listings":[{', '"a":1,', "}]}")),
    "a million cells": lambda: post(
        BATCH, filled("make,model,year,odometer\n", "a,", "\n"), "text/csv"
    ),
    "gzip": lambda: post(BATCH, _packed(), "application/json", "Content-Encoding: gzip"),
}
"""What each form sends over one connection."""
UNREAD: Final = "unread answers"


def attack(port: int, parts: Parts, *, reads: bool, until: float) -> str:
    """Send the parts over a new connection; return the answer's status."""
    answer = b""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port)) as client:
        client.settimeout(_ANSWER_SECONDS)
        with suppress(ConnectionError):
            for part in parts:
                client.sendall(part)
        if not reads:
            client.settimeout(max(until - time.time(), 0.1))
            with suppress(TimeoutError):
                while client.send(b"\r\n"):
                    time.sleep(0.5)
        while b"\r\n" not in answer and (came := client.recv(4096)):
            answer += came
    return answer.split(b" ")[1].decode() if answer.startswith(b"HTTP/1.1 ") else NO_ANSWER


def run(
    port: int, names: list[str], threads: int, seconds: float, pause: float
) -> dict[str, dict[str, int]]:
    """Attack from some threads in turn; return the statuses of each form."""
    found: dict[str, Counter[str]] = {name: Counter() for name in names}
    until = time.time() + seconds

    def go(first: int) -> None:
        turn = cycle(names[first:] + names[:first])
        while time.time() < until:
            name = next(turn)
            found[name][attack(port, FORMS[name](), reads=name != UNREAD, until=until)] += 1
            time.sleep(pause)

    starts = [number * len(names) // threads for number in range(threads)]
    workers = [threading.Thread(target=go, args=(start,), daemon=True) for start in starts]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(max(until + _ANSWER_SECONDS - time.time(), 0.0))
    return {name: dict(counts) for name, counts in found.items()}


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("forms", nargs="*", help="names (default: all of them in turn)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--pause", type=float, default=0.0, help="seconds between two requests")
    given = parser.parse_args()
    os.nice(_PATIENCE)
    names = given.forms or [*FORMS]
    found = run(given.port, names, given.threads, given.seconds, given.pause)
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
