"""Where the time of one ``POST /predict`` goes, in a process without sockets.

The server's protocol is given the bytes of 1,000 different requests in turn, as 16 connections
would. First the core's time is measured for each, then a profile tells its parts: each function
counts to the part that its file is of, each of Python's own to the part of who calls it. Another
commit's service is profiled where PYTHONPATH names its folders.
"""

import argparse
import asyncio
import cProfile
import logging
import os
import pstats
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

import uvloop
from bodies import compact_json, sample_listings
from one_price import train_on_sample
from rich.console import Console
from rich.table import Table
from uvicorn.config import Config
from uvicorn.server import ServerState

CONNECTIONS: Final = 16
ROUNDS: Final = 9
NOWHERE: Final = "http://127.0.0.1:9"
HEAD: Final = (
    "POST /predict HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nContent-Type: application/json\r\n"
    "Content-Length: {}\r\n\r\n{}"
)
PARTS: Final = {
    "trees": ("onnxruntime", "carprice/model/booster"),
    "reading the body": ("api/parsing", "api/json_reader", "carprice/schema", "pydantic"),
    "price": ("carprice/",),
    "log and counters": ("api/logs", "api/counters", "prometheus_client"),
    "frameworks": ("fastapi/", "starlette/"),
    "HTTP": ("uvicorn/", "api/connections", "asyncio/"),
    "routes, limits and answer": ("api/",),
}
"""The parts of a request, by what the names of their files hold: the first that fits counts."""


class Wire(asyncio.Transport):
    """Takes answers, and knows whether the last one came."""

    def __init__(self) -> None:
        super().__init__(
            {"peername": ("127.0.0.1", 5000), "sockname": ("127.0.0.1", 8000), "socket": None}
        )
        self.answers = 0

    def write(self, data: Any) -> None:
        """Count the ends of answers."""
        self.answers += bytes(data).endswith(b"}")

    def is_closing(self) -> bool:
        """Never."""
        return False

    def get_write_buffer_size(self) -> int:
        """Return 0: all is read at once."""
        return 0


async def ask(count: int, requests: list[bytes], protocols: list[Any], wires: list[Wire]) -> None:
    """Send so many requests, each connection's next one when all are answered."""
    for place in range(0, count, len(protocols)):
        before = sum(wire.answers for wire in wires)
        for turn, protocol in enumerate(protocols):
            protocol.data_received(requests[(place + turn) % len(requests)])
        while sum(wire.answers for wire in wires) < before + len(wires):
            await asyncio.sleep(0)
        await asyncio.sleep(0)  # what ends after the answer


async def measure(count: int, requests: list[bytes]) -> tuple[list[float], pstats.Stats]:
    """Return the microseconds of a request in each round, and a profile of one more."""
    from api.connections import LimitedProtocol  # noqa: PLC0415 - reads the environment
    from api.main import app  # noqa: PLC0415

    logging.disable()
    state: dict[str, Any] = {}
    events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    has_begun = asyncio.Event()

    async def told(_: Any) -> None:
        has_begun.set()

    scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": state}
    life = asyncio.create_task(app(scope, events.get, told))
    await events.put({"type": "lifespan.startup"})
    await has_begun.wait()
    while app.state.service.keeper.served is None:
        await asyncio.sleep(0.05)
    options: dict[str, Any] = {"proxy_headers": False, "access_log": False, "ws": "none"}
    config, server = Config(app, http=LimitedProtocol, log_config=None, **options), ServerState()
    config.load()
    protocols, wires = [], [Wire() for _ in range(CONNECTIONS)]
    for wire in wires:
        protocol = LimitedProtocol(config=config, server_state=server, app_state=dict(state))
        protocol.connection_made(wire)
        protocols.append(protocol)
    await ask(2 * len(requests), requests, protocols, wires)
    rounds = []
    for _ in range(ROUNDS):
        began = time.thread_time()
        await ask(count, requests, protocols, wires)
        rounds.append((time.thread_time() - began) / count * 1e6)
    profile = cProfile.Profile(time.thread_time)
    profile.runcall(lambda: None)
    profile.enable()
    await ask(count, requests, protocols, wires)
    profile.disable()
    await events.put({"type": "lifespan.shutdown"})
    await life
    return rounds, pstats.Stats(profile)


def part_of(file: str) -> str:
    """Return the part that a function's file is of; empty for Python's own."""
    return next((part for part, names in PARTS.items() if any(map(file.__contains__, names))), "")


def parts_of(stats: pstats.Stats) -> Counter[str]:
    """Return the profiled seconds of each part."""
    seconds: Counter[str] = Counter()
    for (file, _, name), (_, _, own, _, callers) in stats.stats.items():  # type: ignore[attr-defined]
        part = part_of(file) or part_of(name)
        if part:
            seconds[part] += own
        else:
            for (caller, _, _), times in callers.items():
                seconds[part_of(caller) or "this benchmark"] += times[2]
    return seconds


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="model folder; default: train on the sample")
    parser.add_argument("--requests", type=int, default=4000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        model = options.model or train_on_sample(Path(scratch))
        os.environ |= {
            "MLFLOW_TRACKING_URI": NOWHERE,
            "CARPRICE_BAKED_MODEL": str(model.resolve()),
            "CARPRICE_MODEL_CACHE": f"{scratch}/cache",
        }
        texts = map(compact_json, sample_listings())
        requests = [HEAD.format(len(text), text).encode() for text in texts]
        lines = os.dup(1)
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - where the access log goes
            os.dup2(nowhere.fileno(), 1)
        rounds, stats = uvloop.run(measure(options.requests, requests))
        os.dup2(lines, 1)
    seconds = parts_of(stats)
    del seconds["this benchmark"]
    typical = statistics.median(rounds)
    table = Table(title=f"one request: {typical:.0f} µs, least {min(rounds):.0f}, of which")
    table.add_column("part")
    table.add_column("%", justify="right")
    table.add_column("µs", justify="right")
    for part, own in seconds.most_common():
        share = own / seconds.total()
        table.add_row(part, f"{100 * share:.0f}", f"{typical * share:.0f}")
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
