"""Ten minutes at 70 % of what carprice's service can do: errors, and growth of its memory.

The service runs alone on one core. Its maximum is measured first, then requests are sent at a
constant rate from another core, with 1,000 different listings in turn. Needs Linux.
"""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bodies import compact_json, sample_listings, write_bodies
from command import Parser, report, run
from rich.console import Console
from rich.table import Table
from sample_registry import sample_registry
from servers import Cores, Server, ServerError
from services import CARPRICE, SERVICES, Place, started

from carprice.arrays import Progress

CONNECTIONS: Final = 16
SHARE: Final = 0.70
MOST_GROWTH: Final = 1.05
LEAST_OF_RATE: Final = 0.98
"""Of the rate asked for; below it the service did not keep up."""
_WARM_UP_SECONDS: Final = 2.0
_LONGEST_FIRST_MARK_SECONDS: Final = 60.0
_CLIENT: Final = Path(__file__).with_name("load_generator.py")
_EPILOG: Final = (
    "example: python benchmarks/load.py --minutes 0.3\n"
    "exit codes: 0 done, 1 errors, a rate that was not kept or memory that grew, 2 cannot run here"
)


@dataclass(frozen=True)
class LoadResult:
    """What a run brought.

    Attributes
    ----------
    maximum : requests a second that the service answered at most.
    asked, rate : requests a second that were sent, and answered.
    answers, errors : good answers, and requests without one by what went wrong.
    resident : bytes of the service in every second of the constant load.
    mark : the second whose memory is compared with that at the end.
    """

    maximum: float
    asked: float
    rate: float
    answers: int
    errors: dict[str, int]
    p50_ms: float | None
    p99_ms: float | None
    resident: Sequence[int]
    mark: int

    @property
    def growth(self) -> float:
        """Memory at the end over that at the mark."""
        return self.resident[-1] / self.resident[min(self.mark, len(self.resident) - 1)]

    @property
    def failures(self) -> list[str]:
        """What is wrong, each as one line."""
        found = [f"{count:,} × {kind}" for kind, count in self.errors.items()]
        if self.rate < LEAST_OF_RATE * self.asked:
            found.append(f"only {self.rate:,.0f} of {self.asked:,.0f} requests/s were answered")
        if self.growth > MOST_GROWTH:
            found.append(f"memory grew by more than {MOST_GROWTH - 1:.0%}")
        return found


@dataclass(frozen=True)
class Target:
    """A running service and the bodies to send it."""

    server: Server
    bodies: Path

    def client(self, seconds: float, rate: float | None) -> "subprocess.Popen[str]":
        """Start the client; without a rate it sends all that it can."""
        path = SERVICES[CARPRICE].path
        command = [sys.executable, str(_CLIENT), str(self.server.port), path, str(self.bodies)]
        options = ["--connections", str(CONNECTIONS), "--seconds", str(seconds)]
        if rate is not None:
            options += ["--rate", str(rate)]
        return subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True)

    def load(self, seconds: float, rate: float | None) -> tuple[dict[str, Any], list[int]]:
        """Run the client to its end; return its figures and the service's memory by seconds."""
        resident = [self.server.resident_bytes()]
        start = time.monotonic()
        with self.client(seconds, rate) as client:
            try:
                while _is_running(client, start + len(resident)):
                    resident.append(self.server.resident_bytes())
                told = client.stdout.read() if client.stdout else ""
            finally:
                client.kill()
        if client.returncode != 0:
            raise ServerError(f"the client ended with exit code {client.returncode}")
        figures: dict[str, Any] = json.loads(told)
        return figures, [*resident, self.server.resident_bytes()]


def _is_running(client: "subprocess.Popen[str]", until: float) -> bool:
    """Wait until a moment, or until the client's end; return whether it still runs."""
    try:
        client.wait(max(until - time.monotonic(), 0.0))
    except subprocess.TimeoutExpired:
        return True
    return False


def run_load(target: Target, options: argparse.Namespace, progress: Progress) -> LoadResult:
    """Measure the service's maximum, then load it with a share of that."""
    progress("measuring the maximum")
    target.load(_WARM_UP_SECONDS, None)
    fastest, _ = target.load(options.maximum_seconds, None)
    maximum, seconds = fastest["rate"], 60 * options.minutes
    asked = SHARE * maximum
    if not asked:
        raise ServerError(f"carprice answered nothing: {fastest['errors']}")
    progress(f"{asked:,.0f} requests/s for {options.minutes:g} minutes")
    figures, resident = target.load(seconds, asked)
    errors = fastest["errors"].copy()
    for kind, count in figures["errors"].items():
        errors[kind] = errors.get(kind, 0) + count
    return LoadResult(
        maximum=maximum,
        asked=asked,
        rate=figures["rate"],
        answers=figures["answers"],
        errors=errors,
        p50_ms=figures["p50_ms"],
        p99_ms=figures["p99_ms"],
        resident=resident,
        mark=max(round(min(_LONGEST_FIRST_MARK_SECONDS, seconds / 10)), 1),
    )


def measure(options: argparse.Namespace, scratch: Path, progress: Progress) -> LoadResult:
    """Start a registry and the service, and load the service."""
    cores, service = Cores.of_this_machine(), SERVICES[CARPRICE]
    texts = [compact_json(service.form(listing)) for listing in sample_listings()]
    bodies = write_bodies(scratch / "bodies.jsonl", texts)
    with sample_registry(options.workdir, scratch, progress) as registry:
        if cores.are_two:
            os.sched_setaffinity(0, {cores.load})
        place = Place(registry, scratch)
        with started(CARPRICE, place, cores.server, texts[0], keep_output=False) as (server, _):
            return run_load(Target(server, bodies), options, progress)


def result_table(result: LoadResult, title: str) -> Table:
    """Return what was found, one figure a row."""
    table = Table(title=title, title_justify="left")
    table.add_column("figure")
    table.add_column("value", justify="right")
    mark = min(result.mark, len(result.resident) - 1)
    rows = {
        "maximum, requests/s": f"{result.maximum:,.0f}",
        "sent, requests/s": f"{result.asked:,.0f}",
        "answered, requests/s": f"{result.rate:,.0f}",
        "answers": f"{result.answers:,}",
        "errors": f"{sum(result.errors.values()):,}",
        "p50, ms": "" if result.p50_ms is None else f"{result.p50_ms:.2f}",
        "p99, ms": "" if result.p99_ms is None else f"{result.p99_ms:.2f}",
        f"memory after {mark} s, MB": f"{result.resident[mark] / 1e6:.1f}",
        "memory at the end, MB": f"{result.resident[-1] / 1e6:.1f}",
        f"end / after {mark} s": f"{result.growth:.3f}",
    }
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(__doc__, _EPILOG)
    parser.add_argument(
        "--minutes", type=float, default=10.0, help="at the constant rate (default: %(default)g)"
    )
    parser.add_argument(
        "--maximum-seconds",
        type=float,
        default=10.0,
        help="to measure the maximum (default: %(default)g)",
    )
    options = parser.read()
    if options.minutes <= 0 or options.maximum_seconds <= 0:
        parser.error("--minutes and --maximum-seconds must be above 0")
    return options


def main() -> int:
    """Run from the command line."""
    options = read_options()
    # Before the load is pinned to its core: this process has but one from then on.
    title = f"carprice at {SHARE:.0%} of its maximum; {Cores.of_this_machine()}"
    result = run(lambda scratch, progress: measure(options, scratch, progress))
    content = {**dataclasses.asdict(result), "growth": result.growth, "failures": result.failures}

    def show(out: Console) -> None:
        out.print(result_table(result, title))
        for failure in result.failures:
            out.print(f"FAIL  {failure}", markup=False, soft_wrap=True)

    report(content, options.json, show)
    return int(bool(result.failures))


if __name__ == "__main__":
    sys.exit(main())
