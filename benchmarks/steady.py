"""An HTTP client that sends requests at a constant rate, whatever the answers take.

Run by load.py in its own process. Latencies are counted from the moment a request was due, so that
a stall of the service shows in every request that it delays. Prints its figures as JSON.
"""

import argparse
import asyncio
import json
import sys
from array import array
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import uvloop

_TICK_SECONDS: Final = 0.001
_LAST_ANSWERS_SECONDS: Final = 10.0
_RETRY_SECONDS: Final = 0.1
_OK: Final = b"200"
_HEAD_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length:"


@dataclass
class Tally:
    """What came of the requests: their latencies, and the errors by kind."""

    latencies: "array[float]" = field(default_factory=lambda: array("d"))
    errors: dict[str, int] = field(default_factory=dict)

    def count(self, error: str) -> None:
        """Count one request that got no good answer."""
        self.errors[error] = self.errors.get(error, 0) + 1


class Connection(asyncio.Protocol):
    """One kept-alive connection, with at most one request under way."""

    def __init__(self, client: "Client") -> None:
        self._client = client
        self._transport: Any = None
        self._received = b""
        self._due: float | None = None

    @property
    def is_busy(self) -> bool:
        """Whether an answer is awaited."""
        return self._due is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for a first request."""
        self._transport = transport
        self._client.on_free(self)

    def send(self, request: bytes, due: float) -> None:
        """Send a request that was due at a moment."""
        self._due = due
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Count the answer once it is complete."""
        self._received += data
        head_end = self._received.find(_HEAD_END)
        if head_end < 0:
            return
        head = self._received[:head_end].lower()
        place = head.find(_LENGTH)
        if place < 0:
            self._client.tally.count("an answer without a length")
            self._transport.abort()
            return
        length = int(head[place + len(_LENGTH) :].split(b"\r\n", 1)[0])
        if len(self._received) < head_end + len(_HEAD_END) + length:
            return
        status = head[9:12]
        if status == _OK:
            self._client.tally.latencies.append(perf_counter() - (self._due or 0.0))
        else:
            self._client.tally.count(f"status {status.decode()}")
        self._received, self._due = b"", None
        self._client.on_free(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Count the request that it breaks, if one was under way, and connect again."""
        if self.is_busy:
            self._client.tally.count("connection lost")
            self._due = None
        self._client.on_lost(self)


class Client:
    """Sends requests over some connections at a rate, or as fast as answers come."""

    def __init__(
        self, port: int, requests: Iterator[bytes], connections: int, rate: float | None
    ) -> None:
        self.tally = Tally()
        self._port = port
        self._requests = requests
        self._connections = connections
        self._rate = rate
        self._free: list[Connection] = []
        self._all: set[Connection] = set()
        self._waiting: deque[float] = deque()
        self._is_running = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, seconds: float) -> dict[str, Any]:
        """Send for so long, wait for the last answers, and return the figures."""
        self._is_running = True
        start = perf_counter()
        for _ in range(self._connections):
            self._connect()
        scheduled = 0
        while (elapsed := perf_counter() - start) < seconds:
            if self._rate is not None:
                while scheduled < int(elapsed * self._rate):
                    self._send(start + scheduled / self._rate)
                    scheduled += 1
            await asyncio.sleep(_TICK_SECONDS)
        self._is_running = False
        answered = len(self.tally.latencies)
        self._waiting.clear()
        await self._wait_for_last_answers()
        return self._figures(answered / seconds)

    def on_free(self, connection: Connection) -> None:
        """Give a connection its next request, or note that it has none."""
        self._all.add(connection)
        if self._waiting:
            connection.send(next(self._requests), self._waiting.popleft())
        elif self._is_running and self._rate is None:
            connection.send(next(self._requests), perf_counter())
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

    def _connect(self) -> None:
        task = asyncio.get_running_loop().create_task(self._connect_until_done())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect_until_done(self) -> None:
        loop = asyncio.get_running_loop()
        while self._is_running:
            try:
                await loop.create_connection(lambda: Connection(self), "127.0.0.1", self._port)
            except OSError:
                self.tally.count("connection refused")
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                return

    async def _wait_for_last_answers(self) -> None:
        deadline = perf_counter() + _LAST_ANSWERS_SECONDS
        while any(one.is_busy for one in self._all) and perf_counter() < deadline:
            await asyncio.sleep(_TICK_SECONDS)
        for _ in filter(lambda one: one.is_busy, self._all):
            self.tally.count("no answer")

    def _figures(self, rate: float) -> dict[str, Any]:
        latencies = sorted(self.tally.latencies)
        answers = len(latencies)
        return {
            "answers": answers,
            "rate": rate,
            "p50_ms": 1e3 * latencies[answers // 2] if answers else None,
            "p99_ms": 1e3 * latencies[answers * 99 // 100] if answers else None,
            "errors": self.tally.errors,
        }


def encode(path: str, body: str) -> bytes:
    """Return a whole HTTP request."""
    content = body.encode()
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(content)}\r\n\r\n"
    ).encode() + content


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("path")
    parser.add_argument("bodies", type=Path, help="file with one body a line, sent in turn")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rate", type=float, help="requests a second (default: all that it can)")
    options = parser.parse_args()
    bodies = options.bodies.read_text(encoding="utf-8").splitlines()
    requests = cycle([encode(options.path, body) for body in bodies])
    client = Client(options.port, requests, options.connections, options.rate)
    sys.stdout.write(json.dumps(uvloop.run(client.run(options.seconds))) + "\n")


if __name__ == "__main__":
    main()
