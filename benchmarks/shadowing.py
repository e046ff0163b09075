"""What a challenger costs: memory of the service, and time of a price, without one and with one.

A service without a challenger and some with one (a copy of the production model under another
digest) run at the same time; each in turn is sent requests at a constant rate, several rounds of
it, each begun by another service; the medians count. What else a machine does changes the time that
a service was on a core less than what clients wait. Needs Linux.
"""

import argparse
import dataclasses
import datetime
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import psutil
from bodies import compact_json, sample_listings, write_bodies
from command import Parser, report, run
from rich.console import Console
from rich.table import Table
from sample_registry import MODEL, sample_registry
from servers import Cores, Server, ServerError, clean_environment, free_port, running
from services import CARPRICE_OPTIONS

from carprice.arrays import Progress
from carprice.model import PriceModel
from carprice.model_folder import folder_digest
from carprice.registry.tracking import start_run
from carprice.registry.versions import CHALLENGER, PRODUCTION, Registry

MODES: Final[Mapping[str, Mapping[str, str]]] = {
    "off": {},
    "shadow, share 0": {"CARPRICE_CHALLENGER": "shadow", "CARPRICE_SHADOW_SHARE": "0"},
    "shadow, share 0.1": {"CARPRICE_CHALLENGER": "shadow", "CARPRICE_SHADOW_SHARE": "0.1"},
    "shadow, share 1": {"CARPRICE_CHALLENGER": "shadow", "CARPRICE_SHADOW_SHARE": "1"},
    "canary, share 0.05": {"CARPRICE_CHALLENGER": "canary", "CARPRICE_CANARY_SHARE": "0.05"},
}
_CLIENT: Final = Path(__file__).with_name("load_generator.py")
_CONNECTIONS: Final = 4
_PATIENCE_SECONDS: Final = 120.0
_EPILOG: Final = "example: python benchmarks/shadowing.py --rate 100 --seconds 5 --rounds 3"


@dataclass
class Figures:
    """What was measured of one service, one element a round; times in milliseconds.

    Attributes
    ----------
    core_ms : that the service was on a core, for each answer.
    """

    core_ms: list[float] = field(default_factory=list)
    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    answers: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    before_mb: float = 0.0
    after_mb: float = 0.0

    def add(self, told: Mapping[str, Any], core_seconds: float) -> None:
        """Add what the client tells of one round, and for how long the service was on a core."""
        self.core_ms.append(1000 * core_seconds / max(told["answers"], 1))
        self.p50_ms.append(told["p50_ms"])
        self.p99_ms.append(told["p99_ms"])
        self.answers += told["answers"]
        for kind, count in told["errors"].items():
            self.errors[kind] = self.errors.get(kind, 0) + count


def challenge(uri: str, scratch: Path) -> None:
    """Register the production model twice more, as production and as its challenger.

    Both have digests of their own, and are had from the registry by plain HTTP.
    """
    registry = Registry(uri, MODEL)
    version = registry.at(PRODUCTION)
    if version is None:
        raise ServerError("the registry has no production version; run the pipeline and promote")
    model = PriceModel.load(registry.fetch(version, scratch / "production"))
    for alias, mark in ((PRODUCTION, 1.0), (CHALLENGER, 2.0)):
        copy = scratch / f"copy-{alias}"
        dataclasses.replace(model, metrics={**model.metrics, "copy": mark}).save(copy)
        digest = folder_digest(copy)
        tags = {"digest": digest, "tests": "passed", "tests_digest": digest}
        with start_run(uri, "benchmark", scratch, params={}, tags={}):
            logged = registry.log_version(copy, tags)
        registry.point(alias, logged.number, datetime.datetime.now(datetime.UTC))


def wait_for_challenger(server: Server) -> None:
    """Wait until a service has its challenger; :class:`ServerError` if that does not come."""
    until = time.monotonic() + _PATIENCE_SECONDS
    told: Any = None
    while time.monotonic() < until:
        status, told = server.ask("/model")
        if status == HTTPStatus.OK and told["challenger"]["state"] == "prices":
            return
        time.sleep(0.1)
    raise ServerError(f"no challenger is priced with; the last answer was {told}")


def measure(options: argparse.Namespace, scratch: Path, progress: Progress) -> dict[str, Figures]:
    """Start a registry and all services, and load one after the other."""
    cores = Cores.of_this_machine()
    texts = [compact_json(listing) for listing in sample_listings()]
    bodies = write_bodies(scratch / "bodies.jsonl", texts)
    figures = {name: Figures() for name in MODES}
    with sample_registry(options.workdir, scratch, progress) as uri, ExitStack() as stack:
        progress("registering a challenger")
        challenge(uri, scratch)
        if cores.are_two:
            os.sched_setaffinity(0, {cores.load})
        servers = {}
        for name, mode in MODES.items():
            progress(f"starting: {name}")
            port = free_port()
            variables = {"MLFLOW_TRACKING_URI": uri, "CARPRICE_MODEL_CACHE": str(scratch / "cache")}
            environment = clean_environment({**variables, **mode})
            command = [sys.executable, *CARPRICE_OPTIONS, str(port)]
            serving = running(command, port, scratch, environment, cores.server, keep_output=False)
            server = servers[name] = stack.enter_context(serving)
            server.wait_for_answer("/predict", texts[0])
            if mode:
                wait_for_challenger(server)
            time.sleep(1)
            figures[name].before_mb = server.resident_bytes() / 1e6
        for turn in range(options.rounds):
            begins = turn % len(servers)
            for name, server in [*servers.items()][begins:] + [*servers.items()][:begins]:
                progress(f"round {turn + 1} of {options.rounds}: {name}")
                before = core_seconds(server)
                told = load(server, bodies, options.seconds, options.rate)
                figures[name].add(told, core_seconds(server) - before)
        for name, server in servers.items():
            figures[name].after_mb = server.resident_bytes() / 1e6
    return figures


def core_seconds(server: Server) -> float:
    """Return for how long a service was on a core, its threads that ended too."""
    times = psutil.Process(server.process.pid).cpu_times()
    return float(times.user + times.system)


def load(server: Server, bodies: Path, seconds: float, rate: float) -> dict[str, Any]:
    """Send a service requests at a constant rate; return the client's figures."""
    command = [sys.executable, str(_CLIENT), str(server.port), "/predict", str(bodies)]
    options = ["--connections", str(_CONNECTIONS), "--seconds", str(seconds), "--rate", str(rate)]
    done = subprocess.run([*command, *options], stdout=subprocess.PIPE, text=True, check=True)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def main() -> int:
    """Run from the command line."""
    parser = Parser(__doc__, _EPILOG)
    parser.add_argument(
        "--rate", type=float, default=200.0, help="requests/s (default: %(default)g)"
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="of a round of each service")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default: %(default)d)")
    options = parser.read()
    figures = run(lambda scratch, progress: measure(options, scratch, progress))
    table = Table(title=f"{options.rate:g} requests/s of /predict", title_justify="left")
    for name in (
        "challenger",
        "core ms",
        "p50 ms",
        "p99 ms",
        "MB at first",
        "MB at the end",
        "errors",
    ):
        table.add_column(name, justify="left" if name == "challenger" else "right")
    for name, one in figures.items():
        measured = (one.core_ms, one.p50_ms, one.p99_ms)
        times = (f"{statistics.median(values):.2f}" for values in measured)
        memory = (f"{value:.0f}" for value in (one.before_mb, one.after_mb))
        table.add_row(name, *times, *memory, str(sum(one.errors.values())))

    def show(out: Console) -> None:
        out.print(table)

    report({name: dataclasses.asdict(one) for name, one in figures.items()}, options.json, show)
    return int(any(one.errors for one in figures.values()))


if __name__ == "__main__":
    sys.exit(main())
