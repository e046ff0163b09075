"""What the prediction log costs: /predict with and without it, in turns.

Two services with one model run on one core, of which one keeps the log; wrk asks them from another
core, one after the other, again and again. What else the machine does lowers rates, but hardly
changes the time on the core for a request, which Linux tells. All threads of the service count, and
that the log's files are made.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq
import wrk
from bodies import compact_json, sample_listings, write_bodies
from command import report, run
from one_price import train_on_sample
from rich.console import Console
from rich.table import Table
from servers import Cores, Server, ServerError, clean_environment, free_port, pinned, running

from carprice.arrays import Progress

MOST: Final = 1.05
CONNECTIONS: Final = 16
NOWHERE: Final = "http://127.0.0.1:9"
WITHOUT, WITH = "without the log", "with the log"


@dataclass
class Measured:
    """What one service did, one element a turn."""

    rates: list[float] = field(default_factory=list)
    core_us: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    answers: int = 0


@dataclass
class Findings:
    """Both services, and how many of the answers are in the log."""

    services: dict[str, Measured]
    logged: int = 0

    def ratio(self, figure: str) -> float:
        """Return the median over the turns of a figure with the log to that without."""
        pairs = (getattr(self.services[name], figure) for name in (WITH, WITHOUT))
        return float(statistics.median(a / b for a, b in zip(*pairs, strict=True)))


def measure(folder: Path, progress: Progress, options: argparse.Namespace) -> Findings:
    """Start both services, and ask them in turns."""
    model = options.model
    if model is None:
        progress("training a model on the sample market")
        model = train_on_sample(folder)
    texts = [compact_json(listing) for listing in sample_listings()]
    bodies, log = write_bodies(folder / "bodies.jsonl", texts), folder / "log"
    cores, findings = Cores.of_this_machine(), Findings({WITHOUT: Measured(), WITH: Measured()})
    with ExitStack() as stack:
        servers = {}
        for name in findings.services:
            progress(f"starting the service {name}")
            port = free_port()
            given = {
                "MLFLOW_TRACKING_URI": NOWHERE,
                "CARPRICE_BAKED_MODEL": str(model.resolve()),
                "CARPRICE_MODEL_CACHE": str(folder / "cache"),
                "CARPRICE_PREDICTION_LOG": str(log) if name == WITH else "",
                "CARPRICE_PREDICTION_LOG_BYTES": str(options.file_bytes),
            }
            command = [sys.executable, "-m", "api", "--host", "127.0.0.1", "--port", str(port)]
            environment = clean_environment(given)
            server = stack.enter_context(
                running(command, port, folder, environment, cores.server, keep_output=False)
            )
            server.wait_for_answer("/predict", texts[0])
            findings.services[name].answers = 1
            servers[name] = server
        with pinned(cores.load):
            for turn in range(options.turns + 1):
                for name in [*servers][:: 1 if turn % 2 else -1]:
                    progress(f"turn {turn} of {options.turns}: {name}")
                    _ask(servers[name], bodies, options.seconds, findings.services[name], turn)
        findings.logged = _logged(servers[WITH], log, findings.services[WITH].answers)
    return findings


def _ask(server: Server, bodies: Path, seconds: int, measured: Measured, turn: int) -> None:
    before = server.core_us()
    load = wrk.drive(server.port, "/predict", bodies, CONNECTIONS, seconds)
    time.sleep(0.5)  # the log's last rows are written a moment later
    if load.errors:
        raise ServerError(f"{load.refused} answers are errors, {load.broken} requests broke")
    measured.answers += load.requests
    if turn:  # the first is to warm up
        measured.rates.append(load.rate)
        measured.p99_ms.append(load.p99_ms)
        measured.core_us.append((server.core_us() - before) / load.requests)


def _logged(server: Server, log: Path, answers: int) -> int:
    """Stop a service, and return how many rows its log has.

    wrk ends while some requests are under way, so that there are a few rows more than answers.
    """
    server.finish()
    files = sorted(log.glob("*.parquet"))
    rows = sum(int(pq.read_metadata(path).num_rows) for path in files)
    if rows < answers:
        raise ServerError(f"the log has {rows:,} rows of {answers:,} answers")
    return rows


def table_of(findings: Findings) -> Table:
    """Return one row a service, and one of the ratios."""
    table = Table(title=f"/predict, {CONNECTIONS} connections", title_justify="left")
    table.add_column("")
    for name in ("req/s", "core µs a request", "p99 ms"):
        table.add_column(name, justify="right")
    figures = ("rates", "core_us", "p99_ms")
    for name, one in findings.services.items():
        medians = (statistics.median(getattr(one, figure)) for figure in figures)
        table.add_row(name, *(f"{each:,.1f}" for each in medians))
    table.add_row("ratio", *(f"{findings.ratio(figure):.3f}" for figure in figures))
    return table


def content_of(findings: Findings) -> dict[str, Any]:
    """Return all figures."""
    services = {name: vars(one) for name, one in findings.services.items()}
    ratios = {figure: findings.ratio(figure) for figure in ("rates", "core_us", "p99_ms")}
    return {"services": services, "ratios": ratios, "logged": findings.logged}


def read_options(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"exit codes: 0 done, 1 a request takes more than {MOST:g} times the time on the "
        "core, or an answer is not in the log, 2 cannot run here",
    )
    parser.add_argument("--model", type=Path, help="model folder; default: train on the sample")
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--seconds", type=int, default=5, help="of each turn")
    parser.add_argument("--file-bytes", type=int, default=16 * 1024 * 1024)
    parser.add_argument("--json", metavar="OUT", help="write the figures to this file as well")
    return parser.parse_args(given)


def main() -> int:
    """Measure and print; return the exit code."""
    options = read_options()

    def work(folder: Path, progress: Progress) -> Findings:
        return measure(folder, progress, options)

    findings = run(work, None if wrk.is_installed() else wrk.MISSING)

    def show(console: Console) -> None:
        console.print(table_of(findings))
        console.print(f"{findings.logged:,} rows of {findings.services[WITH].answers:,} answers")

    report(content_of(findings), options.json, show)
    return int(findings.ratio("core_us") > MOST)


if __name__ == "__main__":
    sys.exit(main())
