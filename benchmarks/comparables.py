"""Comparables: how near their prices come on held-out cars, and what a million listings cost.

The error of the weighted adjusted price is told by the effective number of comparables, beside
that of the model on the same cars. Then the folder of a model that keeps many listings of the
sample market is written; it is loaded, with and without them, in processes of their own.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from bodies import sample_listings
from rich.console import Console
from rich.table import Table

from carprice.appraisal.comparables import COUNT, comparables_of
from carprice.arrays import Floats, quiet
from carprice.components.ingest import ingest
from carprice.components.train import train
from carprice.components.transform import transform
from carprice.components.workspace import Workspace
from carprice.listings.believed import believed
from carprice.listings.features import listings_of
from carprice.listings.frames import as_columns
from carprice.metrics import price_metrics
from carprice.model import PriceModel
from carprice.model.car import CarReader
from carprice.model.listing_store import ListingStore
from carprice.model.worth import RidgeLookups
from carprice.sample.market import generate
from carprice.schema import FIELDS, PRICE, Listing, alias
from carprice.settings import Settings, load_settings

CUTS: Final = (0.0, 1.5, 3.0, 5.0, 7.0, 9.0, 10.0)
"""Ends of the bands of the effective number."""
MOST_MEGABYTES: Final = 100
MOST_MILLISECONDS: Final = 2
ROUNDS: Final = 5
KEPT: Final = "kept"
SEED: Final = 13
console = Console()


def trained(settings: Settings, workspace: Workspace) -> PriceModel:
    """Run the stages up to training; return the model as it is loaded."""
    ingest(settings.ingest, workspace, quiet)
    transform(workspace)
    train(settings.train, workspace, quiet)
    return PriceModel.load(workspace.model)


def held_out(workspace: Workspace, most: int) -> tuple[list[dict[str, Any]], Floats]:
    """Return test listings whose price is believed, and their prices."""
    table = believed(pd.read_parquet(workspace.test_listings)).iloc[:most]
    return [*listings_of(as_columns(table))], table[PRICE].to_numpy(dtype=np.float64)


def errors(
    model: PriceModel, cars: Sequence[dict[str, Any]], prices: Floats
) -> Iterator[dict[str, Any]]:
    """Yield the errors of comparables and model by bands of the effective number."""
    found = [comparables_of(model, car) for car in cars]
    effective = np.array([one.effective for one in found])
    adjusted = np.array([one.adjusted_price or np.nan for one in found])
    own = model.pricer.prices(cars).price
    bands = [(low, high, (effective > low) & (effective <= high)) for low, high in pairwise(CUTS)]
    for low, high, inside in [*bands, (0.0, np.inf, effective > 0)]:
        if inside.any():
            yield {
                "effective": f"{low:g}–{high:g}" if high < np.inf else "all",
                "cars": int(inside.sum()),
                "comparables": price_metrics(prices[inside], adjusted[inside])["mape"],
                "model": price_metrics(prices[inside], own[inside])["mape"],
            }


def keep(model: PriceModel, rows: int) -> PriceModel:
    """Return the model with so many listings of the sample market."""
    table = generate(rows + rows // 50, SEED)
    is_car = table["year"].between(1990, model.market.valuation_date.year)
    table = table[is_car & (table["listingPrice"] > 0)].iloc[:rows]
    fields = {field: table[alias(field)] for field in FIELDS if alias(field) in table}
    logs, trust = np.log(table["listingPrice"].to_numpy(dtype=np.float64)), np.ones(rows)
    features = model.parse({field: column.tolist() for field, column in fields.items()})
    cars, ridge = CarReader(model.defaults), RidgeLookups(model.hedonic)
    return replace(model, listings=ListingStore.fit(features, logs, trust, cars, ridge))


def milliseconds(call: Callable[[Any], Any], arguments: Sequence[Any]) -> tuple[Floats, Floats]:
    """Return what each call costs the first time, and in the fastest of some later rounds."""
    taken = np.empty((ROUNDS + 1, len(arguments)))
    for turn in range(ROUNDS + 1):
        for place, argument in enumerate(arguments):
            start = time.perf_counter()
            call(argument)
            taken[turn, place] = time.perf_counter() - start
    return 1e3 * taken[0], 1e3 * taken[1:].min(axis=0)


def loaded(folder: Path, asked: int) -> dict[str, float]:
    """Load a model folder; return the seconds and megabytes of that, and what a search takes."""
    cars = [vars(Listing.model_validate(given)) for given in sample_listings(asked)]
    before, start = resident(), time.perf_counter()
    model = PriceModel.load(folder)
    told = {"seconds": time.perf_counter() - start, "megabytes": resident() - before}
    if (neighbours := model.neighbours) is None:
        return told
    subjects = [model.pricer.subject(car) for car in cars]
    first, whole = milliseconds(lambda one: comparables_of(model, one), cars)
    _, search = milliseconds(lambda one: neighbours.near(one, COUNT + 1), subjects)
    for name, times in (("search", search), ("whole", whole), ("whole, first", first)):
        told |= {f"{name} p{share}": float(np.percentile(times, share)) for share in (50, 99)}
    return told


def resident() -> float:
    """Return the megabytes of memory that this process has."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1e3


def apart(folder: Path, asked: int) -> dict[str, float]:
    """Run :func:`loaded` in a fresh process."""
    command = [sys.executable, __file__, "--loaded", str(folder), "--asked", str(asked)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def main() -> None:
    """Run as a program; the exit code is 1 where a folder is too large or a search too slow."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--params", type=Path, help="params file; default: the embedded sample")
    parser.add_argument("--source", help="listings, instead of the file's")
    parser.add_argument("--cars", type=int, default=10_000, help="held-out cars (%(default)s)")
    parser.add_argument(
        "--listings", type=int, nargs="*", default=[100_000, 1_000_000], help="kept (%(default)s)"
    )
    parser.add_argument(
        "--asked", type=int, default=1_000, help="cars whose searches are timed (%(default)s)"
    )
    parser.add_argument("--json", type=Path, help="write the figures there too")
    parser.add_argument(
        "--folder", type=Path, help="new folder for the model with the last number of listings"
    )
    parser.add_argument("--loaded", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.loaded:
        print(json.dumps(loaded(options.loaded, options.asked)))  # noqa: T201
        return
    settings = load_settings(options.params, options.source) if options.params else Settings()
    with tempfile.TemporaryDirectory(prefix="carprice-") as scratch:
        workspace = Workspace(Path(scratch))
        model = trained(settings, workspace)
        by_number = [*errors(model, *held_out(workspace, options.cars))]
        show_errors(by_number)
        costs = [cost(model, rows, Path(scratch), options.asked) for rows in options.listings]
        if options.folder:
            shutil.copytree(Path(scratch) / KEPT, options.folder)
    if costs:
        show_costs(costs)
    if options.json:
        content = {"errors": by_number, "costs": costs}
        options.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    is_dear = any(
        one["folder MB"] >= MOST_MEGABYTES or one["search p50"] >= MOST_MILLISECONDS
        for one in costs
    )
    sys.exit(1 if is_dear else 0)


def cost(model: PriceModel, rows: int, scratch: Path, asked: int) -> dict[str, float]:
    """Return what so many listings of the sample take, in the folder, in memory and in time."""
    folder, bare = scratch / KEPT, scratch / "bare"
    start = time.perf_counter()
    keep(model, rows).save(folder)
    made = time.perf_counter() - start
    replace(model, listings=None).save(bare)
    without, figures = apart(bare, asked), apart(folder, asked)
    sizes = {path.name: path.stat().st_size / 1e6 for path in folder.iterdir()}
    return {
        "listings": rows,
        "made s": made,
        "listings.bin MB": sizes["listings.bin"],
        "listings.json MB": sizes["listings.json"],
        "folder MB": sum(sizes.values()),
        "load s": figures.pop("seconds"),
        "load s without": without["seconds"],
        "memory MB": figures.pop("megabytes") - without["megabytes"],
        **figures,
    }


def show_errors(rows: Sequence[dict[str, Any]]) -> None:
    """Print the errors by the effective number."""
    table = Table(title="MAPE on held-out cars, %, by the effective number of comparables")
    for name in rows[0]:
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            *(f"{one:.2f}" if isinstance(one, float) else str(one) for one in row.values())
        )
    console.print(table)


def show_costs(rows: Sequence[dict[str, float]]) -> None:
    """Print what so many listings cost; milliseconds for a search, and for the whole answer."""
    table = Table(title="What kept listings of the sample market cost; searches in ms")
    table.add_column("")
    for row in rows:
        table.add_column(f"{row['listings']:,}", justify="right")
    for name in [*rows[0]][1:]:
        table.add_row(name, *(f"{row[name]:.2f}" for row in rows))
    console.print(table)


if __name__ == "__main__":
    main()
