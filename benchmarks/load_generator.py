"""A load generator: POSTs bodies in turn, at a constant rate or as fast as answers come.

Latencies are counted from the moment a request was due, so that a stall of the service shows in
every request that it delays. It ends after ``--seconds``, else at SIGTERM, and prints its figures
as JSON. With ``--notes`` each request is also one line of JSON in a file: when it was due (seconds
since 1970), seconds until its end, status (0: no answer), X-Model-Version, and what was wrong.
"""

import argparse
import asyncio
import json
import signal
import sys
import time
from array import array
from collections import Counter, deque
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import IO, Any, Final

import httptools
import uvloop

_TICK_SECONDS: Final = 0.001
_RETRY_SECONDS: Final = 0.1


class Connection(asyncio.Protocol):
    """One kept-alive connection, with at most one request under way."""

    def __init__(self, generator: "LoadGenerator") -> None:
        self._generator = generator
        self._transport: Any = None
        self._expect_answer()
        self.due: float | None = None
        """When the request under way was due, by the clock of ``time.time``."""

    def _expect_answer(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._version, self._body = "", b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for a first request."""
        self._transport = transport
        self._generator.on_free(self)

    def send(self, request: bytes, due: float) -> None:
        """Send a request that was due at a moment."""
        self.due = due
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Read a part of an answer."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.give_up("no HTTP")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep the version of the model that answered."""
        if name.lower() == b"x-model-version":
            self._version = value.decode()

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body."""
        self._body += body

    def on_message_complete(self) -> None:
        """Note the whole answer; the connection is free again.

        Without a request it is the server's word that it closes an idle connection.
        """
        status, keeps = self._parser.get_status_code(), self._parser.should_keep_alive()
        problem = "" if status != 200 or _has_price(self._body) else "no price"
        self._end(status, problem)
        self._expect_answer()
        if keeps:
            self._generator.on_free(self)
        else:
            self._transport.close()

    def give_up(self, problem: str) -> None:
        """Count the request under way as one without an answer, and close."""
        self._end(0, problem)
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Count the request that it breaks, if one was under way, and connect again."""
        self._end(0, "connection lost")
        self._generator.on_lost(self)

    def _end(self, status: int, problem: str) -> None:
        if self.due is not None:
            self._generator.note(self.due, status, self._version, problem)
            self.due = None


def _has_price(body: bytes) -> bool:
    try:
        price = json.loads(body)["predictedPrice"]
    except (ValueError, KeyError, TypeError):
        return False
    return isinstance(price, int | float) and price > 0


class LoadGenerator:
    """Sends requests over some connections at a rate; without one, as fast as answers come.

    Parameters
    ----------
    timeout : seconds from the moment a request was due, after which it has failed.
    notes : open file that gets a line a request.
    """

    def __init__(
        self,
        port: int,
        requests: Iterator[bytes],
        *,
        host: str = "127.0.0.1",
        connections: int = 16,
        rate: float | None = None,
        timeout: float = 10.0,
        notes: IO[str] | None = None,
    ) -> None:
        self._address, self._requests = (host, port), requests
        self._connections, self._rate, self._timeout = connections, rate, timeout
        self._notes = notes
        self._latencies = array("d")
        self._errors: Counter[str] = Counter()
        self._all: set[Connection] = set()
        self._free: list[Connection] = []
        self._waiting: deque[float] = deque()
        self._is_running = True
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, seconds: float) -> dict[str, Any]:
        """Send for so long or until :meth:`stop`, wait for the last answers; return the figures."""
        start = time.time()
        for _ in range(self._connections):
            self._connect()
        scheduled = 0
        while self._is_running and (elapsed := time.time() - start) < seconds:
            while self._rate is not None and scheduled < elapsed * self._rate:
                self._send(start + scheduled / self._rate)
                scheduled += 1
            self._end_late_requests()
            await asyncio.sleep(_TICK_SECONDS)
        self._is_running = False
        answered, seconds = len(self._latencies), time.time() - start
        self._waiting.clear()
        while any(one.due is not None for one in self._all):
            self._end_late_requests()
            await asyncio.sleep(_TICK_SECONDS)
        return self._figures(answered / seconds)

    def stop(self) -> None:
        """Send no more."""
        self._is_running = False

    def note(self, due: float, status: int, version: str, problem: str) -> None:
        """Count what became of a request."""
        seconds = time.time() - due
        if status == 200 and not problem:
            self._latencies.append(seconds)
        else:
            self._errors[problem or f"status {status}"] += 1
        if self._notes is not None:
            line = [round(due, 4), round(seconds, 5), status, version, problem]
            self._notes.write(json.dumps(line) + "\n")

    def on_free(self, connection: Connection) -> None:
        """Give a connection its next request, or note that it has none."""
        self._all.add(connection)
        if self._waiting:
            connection.send(next(self._requests), self._waiting.popleft())
        elif self._is_running and self._rate is None:
            connection.send(next(self._requests), time.time())
        else:
            self._free.append(connection)

    def on_lost(self, connection: Connection) -> None:
        """Replace a lost connection."""
        self._all.discard(connection)
        if connection in self._free:
            self._free.remove(connection)
        if self._is_running:
            self._connect()

    def _send(self, due: float) -> None:
        if self._free:
            self._free.pop().send(next(self._requests), due)
        else:
            self._waiting.append(due)

    def _end_late_requests(self) -> None:
        latest = time.time() - self._timeout
        while self._waiting and self._waiting[0] < latest:
            self.note(self._waiting.popleft(), 0, "", "no answer in time")
        for one in [one for one in self._all if one.due is not None and one.due < latest]:
            one.give_up("no answer in time")

    def _connect(self) -> None:
        task = asyncio.get_running_loop().create_task(self._connect_until_done())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect_until_done(self) -> None:
        loop = asyncio.get_running_loop()
        while self._is_running:
            try:
                await loop.create_connection(lambda: Connection(self), *self._address)
            except OSError:
                self._errors["connection refused"] += 1
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                return

    def _figures(self, rate: float) -> dict[str, Any]:
        latencies = sorted(self._latencies)
        answers = len(latencies)
        return {
            "answers": answers,
            "rate": rate,
            "p50_ms": 1e3 * latencies[answers // 2] if answers else None,
            "p99_ms": 1e3 * latencies[answers * 99 // 100] if answers else None,
            "errors": dict(self._errors),
        }


def encode(host: str, path: str, body: str) -> bytes:
    """Return a whole HTTP request."""
    content = body.encode()
    return (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(content)}\r\n\r\n"
    ).encode() + content


async def run(generator: LoadGenerator, seconds: float) -> dict[str, Any]:
    """Run a generator; SIGTERM ends it early."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, generator.stop)
    return await generator.run(seconds)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("path")
    parser.add_argument("bodies", type=Path, help="file with one body a line, sent in turn")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--rate", type=float, help="requests a second (default: all that it can)")
    parser.add_argument("--timeout", type=float, default=10.0, help="seconds (%(default)s)")
    parser.add_argument("--notes", type=Path, help="file that gets a line of JSON a request")
    given = parser.parse_args()
    bodies = given.bodies.read_text(encoding="utf-8").splitlines()
    requests = cycle([encode(given.host, given.path, body) for body in bodies])
    notes = given.notes.open("w", encoding="utf-8", buffering=1) if given.notes else None
    generator = LoadGenerator(
        given.port,
        requests,
        host=given.host,
        connections=given.connections,
        rate=given.rate,
        timeout=given.timeout,
        notes=notes,
    )
    sys.stdout.write(json.dumps(uvloop.run(run(generator, given.seconds))) + "\n")


if __name__ == "__main__":
    main()
