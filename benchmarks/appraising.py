"""What an appraisal costs beside a price: latencies over HTTP, and the service's own seconds.

The service runs alone on one core; one client on another asks it about different listings, each
with an asking price, one after the other. Its model keeps so many listings to compare with. What
else the machine does lengthens latencies, and the time on the core less, which Linux tells: others
leave it without what its caches held. So all paths are asked in several turns, and of each path the
turn is told that took least of the core.
"""

import argparse
import http.client
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from bodies import compact_json, sample_listings
from command import report, run
from comparables import keep
from one_price import train_on_sample
from rich.console import Console
from rich.table import Table
from servers import Cores, Server, ServerError, clean_environment, free_port, pinned, running

from carprice.appraisal.appraisal import PARTS
from carprice.arrays import Progress
from carprice.model import PriceModel
from carprice.schema import Listing

NOWHERE: Final = "http://127.0.0.1:9"
MOST_P50_MS: Final = 3.0
APPRAISE: Final = "/appraise"
ASKED: Final = (0.7, 0.9, 1.0, 1.1, 1.4)
"""Asking prices, by the predicted one."""
PATHS: Final = (
    *("/predict", "/explain", APPRAISE),
    *(f"{APPRAISE}?without={name}" for name in PARTS),
    f"{APPRAISE}?without={','.join(PARTS)}",
)


@dataclass(frozen=True)
class Measured:
    """What answers of one path took, in milliseconds, and the service's own time for them."""

    path: str
    p50_ms: float
    p99_ms: float
    core_p50_ms: float
    core_ms: float
    bytes: float


def measure(server: Server, path: str, bodies: Sequence[str]) -> Measured:
    """Ask for all listings over one connection, one after the other."""
    took: list[float] = []
    on_core: list[float] = []
    sizes: list[int] = []
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)) as connection:
        for place, body in enumerate([*bodies[:50], *bodies]):
            if place == len(bodies[:50]):
                took.clear()
                on_core.clear()
                sizes.clear()
            before, begun = server.core_us(), time.perf_counter()
            connection.request("POST", path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            content = answer.read()
            took.append(1000 * (time.perf_counter() - begun))
            on_core.append((server.core_us() - before) / 1000)
            sizes.append(len(content))
            if answer.status != HTTPStatus.OK:
                raise ServerError(f"{path} answers {answer.status} to {body}: {content[:300]!r}")
    p99, core_p50 = statistics.quantiles(took, n=100)[98], statistics.median(on_core)
    core = statistics.mean(on_core)
    return Measured(path, statistics.median(took), p99, core_p50, core, statistics.mean(sizes))


def bodies_of(model: PriceModel, count: int) -> Iterator[str]:
    """Yield requests for listings, each with an asking price about its predicted one."""
    for place, listing in enumerate(sample_listings(count)):
        price = model.pricer.value(vars(Listing.model_validate(listing))).predicted_price
        yield compact_json({**listing, "askingPrice": round(price * ASKED[place % len(ASKED)])})


def measure_all(folder: Path, progress: Progress, options: argparse.Namespace) -> list[Measured]:
    """Start the service with a model, and measure each path."""
    model = options.model
    if model is None:
        progress("training a model on the sample market")
        model = train_on_sample(folder)
    if options.comparables:
        progress(f"keeping {options.comparables:,} listings to compare with")
        keep(PriceModel.load(model), options.comparables).save(folder / "kept")
        model = folder / "kept"
    bodies = [*bodies_of(PriceModel.load(model), options.listings)]
    cores, port = Cores.of_this_machine(), free_port()
    command = [sys.executable, "-m", "api", "--host", "127.0.0.1", "--port", str(port)]
    environment = clean_environment(
        {
            "MLFLOW_TRACKING_URI": NOWHERE,
            "CARPRICE_BAKED_MODEL": str(model.resolve()),
            "CARPRICE_MODEL_CACHE": str(folder / "cache"),
        }
    )
    with running(command, port, folder, environment, cores.server) as server:
        progress("starting the service")
        server.wait_for_answer("/predict", bodies[0])
        turns = []
        with pinned(cores.load):
            for turn in range(options.turns):
                progress(f"asking, turn {turn + 1} of {options.turns}")
                turns.append([measure(server, path, bodies) for path in PATHS])
    return [min(of_path, key=lambda one: one.core_p50_ms) for of_path in zip(*turns, strict=True)]


def table_of(found: Sequence[Measured]) -> Table:
    """Return one row a path."""
    table = Table(title="One listing after the other, one connection", title_justify="left")
    table.add_column("")
    for name in ("p50 ms", "p99 ms", "core p50 ms", "core mean ms", "bytes"):
        table.add_column(name, justify="right")
    for one in found:
        figures = (one.p50_ms, one.p99_ms, one.core_p50_ms, one.core_ms)
        table.add_row(one.path, *(f"{each:.2f}" for each in figures), f"{one.bytes:,.0f}")
    return table


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=(f"exit codes: 0 done, 1 if half of {APPRAISE} take {MOST_P50_MS:g} ms of the core"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--model", type=Path, metavar="FOLDER", help="a model folder (default: one of the sample)"
    )
    parser.add_argument("--listings", type=int, default=1000, help="(%(default)s)")
    parser.add_argument("--turns", type=int, default=3, help="(%(default)s)")
    parser.add_argument(
        "--comparables",
        type=int,
        default=100_000,
        help="listings that the model keeps; 0: its own (%(default)s)",
    )
    parser.add_argument("--json", nargs="?", const="-", metavar="OUT", help="figures as JSON")
    return parser.parse_args()


def main() -> None:
    """Run from the command line."""
    options = read_options()
    found = run(lambda folder, progress: measure_all(folder, progress, options))
    content: list[dict[str, Any]] = [vars(one) for one in found]

    def show(console: Console) -> None:
        console.print(table_of(found))

    report(content, options.json, show)
    appraise = next(one for one in found if one.path == APPRAISE)
    sys.exit(int(appraise.core_p50_ms >= MOST_P50_MS))


if __name__ == "__main__":
    main()
