"""carprice's service under attack: each hostile form at its limits, while good clients ask on.

The service runs on one core with its default settings; `hostile.py` attacks it from another, and
good clients ask for 50 prices a second. Needs Linux.
"""

import argparse
import dataclasses
import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bodies import compact_json, sample_listings, write_bodies
from command import Parser, report, run
from hostile import FORMS, NO_ANSWER
from rich.console import Console
from rich.table import Table
from servers import Cores, Server, clean_environment, free_port, running
from services import CARPRICE_OPTIONS

from carprice.arrays import Progress
from carprice.components.ingest import ingest
from carprice.components.train import train
from carprice.components.transform import transform
from carprice.components.workspace import Workspace
from carprice.settings import Settings

SETTINGS: Final = Settings.model_validate(
    {
        "ingest": {"source": "sample", "sample": {"rows": 1500, "seed": 7}},
        "train": {"folds": 2, "booster": {"n_estimators": 50, "max_depth": 3}},
    }
)
RATE: Final = 50.0
UPLOADS: Final = "uploads"
MANY: Final = {UPLOADS: 200, "slow head": 200, "slow body": 40, "unread answers": 20}
"""Connections of those forms that need more than two."""
MIXED: Final = "all mixed"
MOST_STALL_MS: Final = 50.0
MOST_MEGABYTES: Final = 400.0
MOST_GROWTH: Final = 1.2
MOST_P99_MS: Final = 300.0
MOST_MIXED_P99_MS: Final = 150.0
_HERE: Final = Path(__file__).resolve().parent
_CALM_SECONDS: Final = 1.0
_REST_SECONDS: Final = 30.0
_LAST_SECONDS: Final = 90.0
_PROBE_SECONDS: Final = 0.005
_EPILOG: Final = (
    "example: python benchmarks/abuse.py --mixed 300 --beside ../before\n"
    "exit codes: 0 done, 1 a bound is missed, 2 cannot run here"
)


@dataclass
class Suffered:
    """What one form did to a service.

    Attributes
    ----------
    stall_ms : the longest that ``GET /live`` took.
    before, peak, after : megabytes of the service: before, at most, and when it is over.
    p50_ms, p99_ms, failures : of the good clients; None where none was answered.
    statuses : of the hostile requests.
    """

    service: str
    form: str
    stall_ms: float = 0.0
    before: float = 0.0
    peak: float = 0.0
    after: float = 0.0
    p50_ms: float | None = None
    p99_ms: float | None = None
    failures: int = 0
    statuses: dict[str, int] = field(default_factory=dict)

    @property
    def faults(self) -> int:
        """Hostile requests that were answered with 5xx."""
        return sum(count for status, count in self.statuses.items() if status.startswith("5"))

    def missed(self) -> list[str]:
        """Return the bounds that are missed, each as one line."""
        p99 = float("inf") if self.p99_ms is None else self.p99_ms
        most = MOST_MIXED_P99_MS if self.form == MIXED else MOST_P99_MS
        most_stall = most if self.form in (UPLOADS, MIXED) else MOST_STALL_MS
        bounds = {
            f"a stall of {self.stall_ms:.0f} ms": self.stall_ms > most_stall,
            f"{self.peak:.0f} MB": self.peak > MOST_MEGABYTES,
            f"{self.before:.0f} MB before, {self.after:.0f} after": self.after
            > MOST_GROWTH * self.before,
            f"good p99 of {p99:.0f} ms": p99 > most,
            f"{self.failures} good requests failed": self.failures > 0,
            f"{self.faults} answers of 5xx": self.faults > 0,
        }
        return [f"{self.form}: {told}" for told, is_missed in bounds.items() if is_missed]


class Prober:
    """Asks for ``/live`` all the time; the longest answer is the longest stall."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self.longest = 0.0

    def __enter__(self) -> "Prober":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _ask(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_LAST_SECONDS)
        while not self._done.wait(_PROBE_SECONDS):
            begun = time.monotonic()
            try:
                connection.request("GET", "/live")
                connection.getresponse().read()
            except (OSError, http.client.HTTPException):
                connection.close()
            self.longest = max(self.longest, time.monotonic() - begun)
        connection.close()


def megabytes(server: Server, name: str) -> float:
    """Return a memory figure of the service's process, such as ``VmRSS``."""
    with suppress(OSError, IndexError):
        status = Path(f"/proc/{server.process.pid}/status").read_text(encoding="utf-8")
        return int(status.partition(f"{name}:")[2].split()[0]) * 1024 / 1e6
    return 0.0


@dataclass(frozen=True)
class Place:
    """Where services run: the model that they serve, good bodies, and the core."""

    model: Path
    bodies: Path
    scratch: Path
    cores: Cores


@contextmanager
def started(place: Place, checkout: Path) -> Iterator[Server]:
    """Run the service of a checkout until the block ends."""
    port = free_port()
    variables = {
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
        "CARPRICE_BAKED_MODEL": str(place.model),
        "CARPRICE_MODEL_CACHE": str(place.scratch / "cache"),
        "CARPRICE_START_SECONDS": "1",
        "PYTHONPATH": os.pathsep.join([str(checkout), str(checkout / "src")]),
    }
    command = [sys.executable, *CARPRICE_OPTIONS, str(port)]
    environment = clean_environment(variables)
    core = place.cores.server
    with running(command, port, place.scratch, environment, core, keep_output=False) as server:
        body = place.bodies.read_text(encoding="utf-8").partition("\n")[0]
        for _ in range(50):
            server.wait_for_answer("/predict", body)
        yield server


def attacked(server: Server, place: Place, found: Suffered, seconds: float, *options: str) -> None:
    """Attack a service for so long while good clients ask it."""
    ask = [sys.executable, str(_HERE / "load_generator.py"), str(server.port), "/predict"]
    good = [*ask, str(place.bodies), "--rate", str(RATE), "--connections", "4", "--timeout", "60"]
    hostile = [sys.executable, str(_HERE / "hostile.py"), str(server.port), *options]
    with Prober(server.port) as prober, subprocess.Popen(good, stdout=subprocess.PIPE) as clients:
        time.sleep(_CALM_SECONDS)
        found.before = megabytes(server, "VmRSS")
        told = b"{}"
        with suppress(subprocess.TimeoutExpired):
            told = subprocess.run(
                [*hostile, "--seconds", str(seconds)],
                stdout=subprocess.PIPE,
                timeout=seconds + _LAST_SECONDS,
                check=False,
            ).stdout
        clients.terminate()
        figures = json.loads(clients.communicate()[0] or b"{}")
    found.stall_ms = 1e3 * prober.longest
    found.p50_ms, found.p99_ms = figures.get("p50_ms"), figures.get("p99_ms")
    found.failures = sum(figures.get("errors", {"no answer": 1}).values())
    found.statuses = dict(sum(map(Counter, json.loads(told or b"{}").values()), Counter[str]()))
    found.peak = megabytes(server, "VmHWM")
    found.after = megabytes(server, "VmRSS")


def measure(options: argparse.Namespace, scratch: Path, progress: Progress) -> list[Suffered]:
    """Attack this service, and the one beside, by each form and by all of them."""
    cores = Cores.of_this_machine()
    texts = [compact_json(listing) for listing in sample_listings(200)]
    progress("training a model on the sample market")
    workspace = Workspace(scratch / "work")
    ingest(SETTINGS.ingest, workspace, progress)
    transform(workspace)
    train(SETTINGS.train, workspace, progress)
    place = Place(workspace.model, write_bodies(scratch / "bodies.jsonl", texts), scratch, cores)
    if cores.are_two:
        os.sched_setaffinity(0, {cores.load})
    checkouts = {"carprice": _HERE.parent}
    if options.beside is not None:
        checkouts = {"beside": options.beside, **checkouts}
    found = []
    for form in options.only or FORMS:
        for name, checkout in checkouts.items():
            progress(f"{form}: {name}")
            one = Suffered(name, form)
            with started(place, checkout) as server:
                threads = str(MANY.get(form, 2))
                attacked(server, place, one, options.seconds, form, "--threads", threads)
                _wait_for_memory(server, one)
            found.append(one)
    if options.mixed:
        for name, checkout in checkouts.items():
            progress(f"{MIXED}: {name}")
            one = Suffered(name, MIXED)
            with started(place, checkout) as server:
                pause = ("--threads", "11", "--pause", "0.5")
                # What the first attacks leave is kept for the next; what matters is that it stays.
                attacked(server, place, one, options.mixed / 10, *pause)
                attacked(server, place, one, options.mixed, *pause)
                _wait_for_memory(server, one)
            found.append(one)
    return found


def _wait_for_memory(server: Server, found: Suffered) -> None:
    """Look until the memory is back, for 30 s at most."""
    until = time.monotonic() + _REST_SECONDS
    while found.after > MOST_GROWTH * found.before and time.monotonic() < until:
        time.sleep(0.5)
        found.after = megabytes(server, "VmRSS")


def result_table(found: list[Suffered], title: str) -> Table:
    """Return one row a form and service."""
    table = Table(title=title, title_justify="left")
    table.add_column("hostile form", no_wrap=True)
    table.add_column("service", no_wrap=True)
    for name in ("stall ms", "MB before", "peak", "after", "good p50 ms", "p99 ms", "failed"):
        table.add_column(name, justify="right")
    table.add_column("hostile answers")
    for one in found:
        latencies = ("–" if ms is None else f"{ms:,.1f}" for ms in (one.p50_ms, one.p99_ms))
        memory = (f"{size:,.0f}" for size in (one.before, one.peak, one.after))
        answers = ", ".join(f"{count} × {status}" for status, count in sorted(one.statuses.items()))
        table.add_row(
            *(one.form, one.service, f"{one.stall_ms:,.0f}", *memory, *latencies),
            *(str(one.failures), answers or NO_ANSWER),
        )
    return table


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(__doc__, _EPILOG)
    parser.add_argument(
        "--seconds", type=float, default=5.0, help="of each form (default: %(default)g)"
    )
    parser.add_argument(
        "--mixed", type=float, default=0.0, metavar="SECONDS", help="of all forms in turn at last"
    )
    parser.add_argument(
        "--only", action="append", choices=FORMS, help="this form; may be given more than once"
    )
    parser.add_argument(
        "--beside", type=Path, metavar="CHECKOUT", help="attack this checkout's service too"
    )
    options = parser.read()
    if options.beside is not None and not (options.beside / "api").is_dir():
        parser.error(f"--beside: {options.beside} has no folder api; name a checkout of carprice")
    return options


def main() -> int:
    """Run from the command line."""
    options = read_options()
    title = f"{RATE:g} good requests a second; {Cores.of_this_machine()}"
    found = run(lambda scratch, progress: measure(options, scratch, progress))
    missed = [line for one in found if one.service == "carprice" for line in one.missed()]

    def show(out: Console) -> None:
        out.print(result_table(found, title))
        for line in missed:
            out.print(f"FAIL  {line}", markup=False, soft_wrap=True)

    content: Mapping[str, Any] = {"forms": [*map(dataclasses.asdict, found)], "missed": missed}
    report(content, options.json, show)
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
