"""What one price costs, alone and among many, and what tree evaluators alone cost.

Listings change from call to call. Every figure is the fastest of several rounds: what the machine's
other work adds is not part of it.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any, Final

import numpy as np
from bodies import sample_listings
from rich.console import Console
from rich.table import Table

from carprice.arrays import quiet
from carprice.components.ingest import ingest
from carprice.components.train import train
from carprice.components.transform import transform
from carprice.components.workspace import Workspace
from carprice.model import PriceModel
from carprice.model.booster import Booster, Joined
from carprice.model.encoder import Matrix
from carprice.sample.market import generate
from carprice.schema import Listing
from carprice.settings import IngestSettings, TrainSettings

ROWS: Final = 5000
SEED: Final = 7
ROUNDS: Final = 9
CALLS: Final = 2000
COLUMNS: Final = 60

Evaluator = Callable[[Matrix], Any]


def microseconds(call: Callable[[Any], Any], arguments: Sequence[Any], calls: int) -> float:
    """Return what a call costs, in the fastest of all rounds over changing arguments."""
    best = float("inf")
    for _ in range(ROUNDS):
        chosen = [argument for argument, _ in zip(cycle(arguments), range(calls), strict=False)]
        start = time.perf_counter()
        for argument in chosen:
            call(argument)
        best = min(best, time.perf_counter() - start)
    return 1e6 * best / calls


def train_on_sample(folder: Path) -> Path:
    """Train on the sample market with the default parameters; return the model folder."""
    source, workspace = folder / "sample.parquet", Workspace(folder)
    generate(ROWS, SEED).to_parquet(source, index=False)
    ingest(IngestSettings(source=str(source)), workspace, quiet)
    transform(workspace)
    train(TrainSettings(), workspace, quiet)
    return workspace.model


def prices(model: PriceModel) -> dict[str, float]:
    """Return what one whole price costs, by way of computing it."""
    listings = [vars(Listing.model_validate(given)) for given in sample_listings()]
    pricer = model.pricer
    many = [listing for listing, _ in zip(cycle(listings), range(CALLS), strict=False)]
    together = microseconds(lambda some: [*pricer.value_all(some)], [many], 1)
    return {
        "Pricer.value": microseconds(pricer.value, listings, CALLS),
        f"Pricer.value_all, of {CALLS:,} listings": together / CALLS,
    }


def evaluators(trees: int, depth: int) -> dict[str, float | str]:
    """Return what trees of a size cost for one row of changing numbers, by who evaluates them."""
    import xgboost  # noqa: PLC0415 (after carprice, which sets how its threads wait)

    drawn = np.random.default_rng(SEED).normal(size=(CALLS, COLUMNS)).astype(np.float32)
    target = np.sin(drawn[:, 0]) + 0.3 * drawn[:, 1] * drawn[:, 2]
    fitted = xgboost.XGBRegressor(n_estimators=trees, max_depth=depth, n_jobs=1, base_score=0.0)
    booster = Booster.of(fitted.fit(drawn, target), COLUMNS)
    alone = fitted.get_booster()
    row = np.zeros((1, COLUMNS), dtype=np.float32)
    bound = Joined(booster).bound_to(row)

    def in_place(given: Matrix) -> None:
        row[:] = given
        bound()

    rows = [drawn[[place]] for place in range(CALLS)]
    found: dict[str, float | str] = {
        "ONNX Runtime": microseconds(booster.predict, rows, CALLS),
        "ONNX Runtime, bound to the row": microseconds(in_place, rows, CALLS),
        "XGBoost inplace_predict": microseconds(alone.inplace_predict, rows, CALLS // 10),
    }
    compiled = by_treelite(alone)
    found["treelite gtil"] = (
        microseconds(compiled, rows, CALLS // 10) if compiled else "pip install treelite"
    )
    return found


def by_treelite(trees: Any) -> Evaluator | None:
    """Return treelite's evaluator of the trees, if treelite is there."""
    try:
        import treelite  # noqa: PLC0415
    except ImportError:
        return None
    model = treelite.frontend.from_xgboost(trees)
    return lambda row: treelite.gtil.predict(model, row, nthread=1)


def table_of(title: str, figures: Mapping[str, float | str]) -> Table:
    """Return one row a way."""
    table = Table(title=title, title_justify="left")
    table.add_column("")
    table.add_column("µs", justify="right")
    for name, figure in figures.items():
        table.add_row(name, figure if isinstance(figure, str) else f"{figure:,.1f}")
    return table


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--model", type=Path, metavar="FOLDER", help="a model folder (default: one of the sample)"
    )
    parser.add_argument("--trees", type=int, default=150, help="of the evaluators (%(default)s)")
    parser.add_argument("--depth", type=int, default=4, help="of the evaluators (%(default)s)")
    return parser.parse_args()


def main() -> None:
    """Run from the command line."""
    options, console = read_options(), Console(highlight=False)
    with Console(stderr=True).status("") as status, tempfile.TemporaryDirectory() as folder:
        if options.model is None:
            status.update("training a model on the sample market")
        model = PriceModel.load(options.model or train_on_sample(Path(folder)))
        status.update("pricing")
        console.print(table_of("One price", prices(model)))
        status.update("evaluating trees")
        title = f"{options.trees} trees of depth {options.depth} on {COLUMNS} columns, one row"
        console.print(table_of(title, evaluators(options.trees, options.depth)))


if __name__ == "__main__":
    main()
