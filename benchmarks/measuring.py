"""Measures services one at a time: first answer, rate, latencies and memory."""

import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import wrk
from bodies import write_bodies
from sample_registry import MODEL, MODEL_URI
from servers import Cores, Server, ServerError, ask, clean_environment, pinned
from services import CARPRICE, SERVICES, Place, started

from carprice.arrays import Progress

CONNECTIONS: Final = (1, 16)
"""Latencies are compared at the first, rates at the last."""
CHECKED_LISTINGS: Final = 20
TOLERANCE: Final = 1e-6
COLD, WARM = "cold", "warm"
"""Starts without and with the model in carprice's cache, and what is compared with each."""

_WARM_UP_SECONDS: Final = 1
_DOWNLOAD: Final = (
    "import sys, mlflow; mlflow.artifacts.download_artifacts(sys.argv[1], dst_path=sys.argv[2])"
)


@dataclass
class Measured:
    """What was measured of one service, one element a repeat.

    Attributes
    ----------
    ready : seconds from the start to the first price, by what the start found (``COLD``, ``WARM``).
    loads : what wrk told, by connections.
    core_us : microseconds on a core for a request, by connections.
    resident : bytes after the load.
    """

    ready: dict[str, list[float]] = field(default_factory=dict)
    loads: dict[int, list[wrk.Load]] = field(default_factory=dict)
    core_us: dict[int, list[float]] = field(default_factory=dict)
    resident: list[int] = field(default_factory=list)

    def median(self, figure: str, connections: int) -> float:
        """Return the median of ``rate``, ``p50_ms``, ``p99_ms`` or ``core_us``."""
        if figure == "core_us":
            return statistics.median(self.core_us[connections])
        return statistics.median(float(getattr(load, figure)) for load in self.loads[connections])

    def start(self, found: str = COLD) -> float:
        """Return the median of the seconds to the first price."""
        return statistics.median(self.ready[found])

    @property
    def megabytes(self) -> float:
        """Median of the resident memory."""
        return statistics.median(self.resident) / 1e6

    @property
    def is_complete(self) -> bool:
        """Whether there is a figure of each kind."""
        return bool(self.resident)


@dataclass
class Measurements:
    """All that a run brought.

    Attributes
    ----------
    services : the figures by service.
    registry : seconds that the registry itself takes to answer what a start asks it.
    problems : errors, each as one line; any makes the run fail.
    skipped : why services were left out.
    """

    services: dict[str, Measured] = field(default_factory=dict)
    registry: dict[str, list[float]] = field(default_factory=lambda: {COLD: [], WARM: []})
    problems: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    def registry_answer(self, found: str) -> float:
        """Return the median of the registry's own seconds."""
        return statistics.median(self.registry[found])

    def has(self, *names: str) -> bool:
        """Return whether these services were measured."""
        return all(name in self.services and self.services[name].is_complete for name in names)


@dataclass(frozen=True)
class Bench:
    """What all measurements share.

    Attributes
    ----------
    texts : the listings' bodies by service, as JSON.
    prices : what the first listings must be priced at.
    progress : told what is being done.
    """

    place: Place
    cores: Cores
    seconds: int
    texts: Mapping[str, Sequence[str]]
    progress: Progress
    prices: list[float] = field(default_factory=list)

    def bodies(self, name: str) -> Path:
        """Return the file of a service's bodies, written on first use."""
        path = self.place.scratch / f"bodies-{name.replace(' ', '-')}.jsonl"
        return path if path.exists() else write_bodies(path, self.texts[name])

    def started(self, name: str) -> AbstractContextManager[tuple[Server, float]]:
        """Run a service until the block ends; give it and its seconds to the first price."""
        return started(name, self.place, self.cores.server, self.texts[name][0])

    def ask_prices(self, name: str, server: Server) -> list[float]:
        """Return the prices that a running service answers for the first listings."""
        service, prices = SERVICES[name], []
        assert service.price is not None  # noqa: S101
        for body in self.texts[name][:CHECKED_LISTINGS]:
            status, answer = server.ask(service.path, body)
            if status != HTTPStatus.OK:
                raise ServerError(f"answers {status} to {body}: {answer}")
            prices.append(service.price(answer))
        return prices

    def check_prices(self, name: str, server: Server) -> None:
        """Raise an error unless a service prices as carprice does."""
        if SERVICES[name].price is None:
            return
        prices = self.ask_prices(name, server)
        for found, expected in zip(prices, self.prices, strict=True):
            if not abs(found / expected - 1) <= TOLERANCE:
                raise ServerError(f"answers the price {found}, carprice {expected}")


def learn_prices(bench: Bench) -> None:
    """Ask carprice what the first listings are worth."""
    bench.progress("asking carprice for the prices that all must answer")
    with bench.started(CARPRICE) as (server, _):
        bench.prices[:] = bench.ask_prices(CARPRICE, server)


def measure_service(bench: Bench, name: str, findings: Measurements) -> None:
    """Start a service once, load it, and add the figures to the findings."""
    measured = findings.services.setdefault(name, Measured())
    keeps_models = SERVICES[name].cache is not None
    if keeps_models:
        measure_cold_start(bench, name, measured)
    with bench.started(name) as (server, seconds):
        found = WARM if keeps_models else COLD
        measured.ready.setdefault(found, []).append(seconds)
        bench.check_prices(name, server)
        path, bodies = SERVICES[name].path, bench.bodies(name)
        wrk.drive(server.port, path, bodies, CONNECTIONS[-1], _WARM_UP_SECONDS)
        for connections in CONNECTIONS:
            bench.progress(f"{name}: {connections} connections")
            before = server.core_us()
            load = wrk.drive(server.port, path, bodies, connections, bench.seconds)
            core_us = (server.core_us() - before) / max(load.requests, 1)
            measured.loads.setdefault(connections, []).append(load)
            measured.core_us.setdefault(connections, []).append(core_us)
            if load.errors:
                findings.problems.append(
                    f"{name}, {connections} connections: {load.refused} answers with an error "
                    f"status and {load.broken} broken requests beside {load.requests} answers"
                )
        measured.resident.append(server.resident_bytes())


def measure_cold_start(bench: Bench, name: str, measured: Measured) -> None:
    """Start carprice with an empty model cache, which the next start then finds filled."""
    kept = SERVICES[name].cache
    assert kept is not None  # noqa: S101 - the caller looked
    cache = kept(bench.place)
    if cache.exists():
        cache.rename(bench.place.scratch / f"used-{time.monotonic_ns()}")
    with bench.started(name) as (_, seconds):
        measured.ready.setdefault(COLD, []).append(seconds)


def measure_registry(bench: Bench, findings: Measurements) -> None:
    """Time what the registry itself takes, with no service in between.

    Warm: one GET of the production alias. Cold: a fresh process on the servers' core that
    downloads the production model with MLflow's client and does nothing else.
    """
    bench.progress("the registry's own answers")
    path = f"/api/2.0/mlflow/registered-models/alias?name={MODEL}&alias=production"
    start = time.monotonic()
    status, answer = ask(urlsplit(bench.place.registry).port or 0, path)
    findings.registry[WARM].append(time.monotonic() - start)
    if status != HTTPStatus.OK:
        raise ServerError(f"the registry answers {status} to {path}: {answer}")
    target = bench.place.scratch / f"download-{time.monotonic_ns()}"
    target.mkdir()
    environment = clean_environment({"MLFLOW_TRACKING_URI": bench.place.registry})
    command = [sys.executable, "-c", _DOWNLOAD, MODEL_URI, str(target)]
    with pinned(bench.cores.server):
        start = time.monotonic()
        subprocess.run(command, check=True, env=environment, capture_output=True)
        findings.registry[COLD].append(time.monotonic() - start)
