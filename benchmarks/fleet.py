"""What a fleet of services answers, and what the registry and the prediction log take then.

Measured: what one core answers with the log on, how many bytes of the log an answer takes, what it
costs a real MLflow server to tell the version in production, and how large the model is. The rest
is arithmetic: cores behind a load balancer share nothing but the registry and the log's store.
"""

import sys
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import psutil
import pyarrow.parquet as pq
import wrk
from bodies import compact_json, sample_listings, write_bodies
from command import Parser, report, run
from rich.console import Console
from rich.table import Table
from sample_registry import MODEL, sample_registry
from servers import (
    Cores,
    ServerError,
    clean_environment,
    core_us,
    free_port,
    pinned,
    running,
)

from api.service_settings import ServiceSettings
from carprice.arrays import Progress
from carprice.registry.fetch import fetch
from carprice.registry.rest import HttpRegistry

CONNECTIONS: Final = 16
POLLS: Final = 100
WORKERS_OF_AN_INSTANCE: Final = 2
LISTINGS: Final = 5_000
"""More than a file has rows: what repeats within one takes next to nothing."""
FILE_BYTES: Final = 1024 * 1024
_MONTH: Final = 30 * 24 * 3600


@dataclass(frozen=True)
class Measured:
    """Figures of one core, one answer and one question to the registry.

    Attributes
    ----------
    rate : requests that a second of a core answers.
    log_bytes : of the log's files for an answer.
    rows_of_a_file : answers in one of :data:`FILE_BYTES`, as they count before compression.
    poll_seconds : of a core of the registry for one question.
    model_bytes : what an instance downloads of a new model.
    """

    rate: float
    log_bytes: float
    rows_of_a_file: float
    poll_seconds: float
    model_bytes: int


@dataclass(frozen=True)
class Fleet:
    """What so many cores answer, and what they ask for.

    Attributes
    ----------
    requests : a second.
    polls : questions to the registry, a second.
    registry_share : of a core of the registry.
    download_bytes : of a new model, by all instances.
    log_bytes_a_month, log_files_a_month : of the prediction log.
    """

    cores: int
    requests: float
    polls: float
    registry_share: float
    download_bytes: int
    log_bytes_a_month: float
    log_files_a_month: float

    @classmethod
    def of(cls, cores: int, measured: Measured, use: float, poll_seconds: float) -> "Fleet":
        """Return the fleet whose cores answer a share of what they can.

        Examples
        --------
        >>> one = Measured(1000, 100, rows_of_a_file=2000, poll_seconds=0.01, model_bytes=10**6)
        >>> fleet = Fleet.of(4, one, use=0.5, poll_seconds=300)
        >>> fleet.requests, fleet.download_bytes, round(fleet.polls, 3)
        (2000.0, 2000000, 0.013)
        """
        requests, rules = cores * measured.rate * use, ServiceSettings.model_fields
        rows = measured.rows_of_a_file * rules["prediction_log_bytes"].default / FILE_BYTES
        files = max(cores / rules["prediction_log_seconds"].default, requests / rows)
        return cls(
            cores=cores,
            requests=requests,
            polls=cores / poll_seconds,
            registry_share=cores / poll_seconds * measured.poll_seconds,
            download_bytes=-(-cores // WORKERS_OF_AN_INSTANCE) * measured.model_bytes,
            log_bytes_a_month=requests * measured.log_bytes * _MONTH,
            log_files_a_month=files * _MONTH,
        )


def measure(folder: Path, progress: Progress, workdir: Path | None, seconds: int) -> Measured:
    """Start a registry and a service that logs, and ask both."""
    with sample_registry(workdir, folder, progress) as uri:
        progress("asking the registry")
        (registry,) = (
            one for one in psutil.Process().children() if str(uri.rpartition(":")[2]) in
            one.cmdline()
        )  # fmt: skip
        before = core_us(registry.pid)
        for _ in range(POLLS):
            ask_version(uri)
        poll_seconds = (core_us(registry.pid) - before) / 1e6 / POLLS
        model = Path(fetch(uri, MODEL, folder / "downloaded")["folder"])
        size = sum(path.stat().st_size for path in model.iterdir())
        progress("asking a service that logs")
        figures = ask_service(folder, uri, seconds)
    return Measured(*figures, poll_seconds, size)


def ask_version(uri: str) -> None:
    """Ask which version is in production, as a service does: by a connection of its own."""
    with closing(HttpRegistry(uri, MODEL)) as registry:
        registry.version()


def ask_service(folder: Path, uri: str, seconds: int) -> tuple[float, float, float]:
    """Return the requests of a core's second, the log's bytes of an answer, a file's answers."""
    log, port, cores = folder / "log", free_port(), Cores.of_this_machine()
    environment = clean_environment(
        {
            "MLFLOW_TRACKING_URI": uri,
            "CARPRICE_MODEL_CACHE": str(folder / "cache"),
            "CARPRICE_PREDICTION_LOG": str(log),
            "CARPRICE_PREDICTION_LOG_BYTES": str(FILE_BYTES),
        }
    )
    texts = [compact_json(listing) for listing in sample_listings(LISTINGS)]
    command = [sys.executable, "-m", "api", "--host", "127.0.0.1", "--port", str(port)]
    with (
        running(command, port, folder, environment, cores.server, keep_output=False) as server,
        pinned(cores.load),
    ):
        server.wait_for_answer("/predict", texts[0])
        bodies = write_bodies(folder / "bodies.jsonl", texts)
        before = server.core_us()
        load = wrk.drive(port, "/predict", bodies, CONNECTIONS, seconds)
        if load.errors:
            raise ServerError(f"{load.refused} answers are errors, {load.broken} requests broke")
        rate = load.requests / ((server.core_us() - before) / 1e6)
        server.finish()
    files = [*log.glob("*.parquet")]
    rows = [int(pq.read_metadata(path).num_rows) for path in files]
    return rate, sum(path.stat().st_size for path in files) / sum(rows), max(rows)


def table_of(fleets: list[Fleet]) -> Table:
    """Return one row a fleet."""
    table = Table(title="A fleet, by arithmetic", title_justify="left")
    names = ("cores", "requests/s", "polls/s", "of a core of the registry", "MB at a new model")
    for name in (*names, "log, GB a month", "log, files a month"):
        table.add_column(name, justify="right")
    for one in fleets:
        table.add_row(
            *(f"{one.cores:,}", f"{one.requests:,.0f}", f"{one.polls:.2f}"),
            *(f"{one.registry_share:.2%}", f"{one.download_bytes / 1e6:,.0f}"),
            *(f"{one.log_bytes_a_month / 1e9:,.0f}", f"{one.log_files_a_month:,.0f}"),
        )
    return table


def main() -> None:
    """Run from the command line."""
    parser = Parser(__doc__, "exit codes: 0 done, 1 a service failed, 2 cannot run here")
    parser.add_argument("--cores", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument(
        "--use", type=float, default=0.5, help="of what each core can (default: %(default)s)"
    )
    parser.add_argument("--poll-seconds", type=float, default=300, help="CARPRICE_POLL_SECONDS")
    parser.add_argument("--seconds", type=int, default=5, help="of the load (default: %(default)s)")
    options = parser.read()

    def work(folder: Path, progress: Progress) -> Measured:
        return measure(folder, progress, options.workdir, options.seconds)

    found = run(work, None if wrk.is_installed() else wrk.MISSING)
    given = found, options.use, options.poll_seconds
    fleets = [Fleet.of(cores, *given) for cores in options.cores]

    def show(console: Console) -> None:
        console.print(
            f"one core answers {found.rate:,.0f} requests/s, with the log on; an answer is "
            f"{found.log_bytes:.0f} bytes of the log; a question takes "
            f"{1e3 * found.poll_seconds:.1f} ms of a core of the registry; a model is "
            f"{found.model_bytes / 1e6:.1f} MB"
        )
        console.print(table_of(fleets))

    content = {"measured": asdict(found), "fleets": [asdict(one) for one in fleets]}
    report(content, options.json, show)


if __name__ == "__main__":
    main()
