"""The model beside LightGBM that has the date as a feature, on the newest listings.

Both learn from the older listings of a params file whose split is by time, and price the test
listings of it, in one process. Printed are their errors, how far both are off on the newest
listings, and the ratio of the errors. The exit code is 1 where the model's RMSLE or MdAPE is above
LightGBM's.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from carprice.arrays import quiet
from carprice.components.ingest import ingest
from carprice.components.transform import transform
from carprice.components.workspace import Workspace, read_json
from carprice.experiments.candidates import COMPARED, choose
from carprice.experiments.estimators import fit
from carprice.listings.believed import believed
from carprice.listings.features import Reading, parse
from carprice.listings.frames import as_columns, read_features
from carprice.listings.market import Market
from carprice.metrics import price_metrics
from carprice.schema import PRICE, own_of
from carprice.settings import load_settings

console = Console()
MODELS: Final = ("carprice/log", "lightgbm/log/native/none")
JUDGED: Final = ("rmsle", "mdape")
NEWEST: Final = {"bias, newest tenth": 0.9, "bias, newest quarter": 0.75, "bias, all": 0.0}


def main() -> int:
    """Fit both, print the table, and judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--params", type=Path, default=Path("examples/nz.yaml"))
    parser.add_argument("--folds", type=int, help="inner folds of the model; default: the params'")
    options = parser.parse_args()
    settings = load_settings(options.params)
    if settings.ingest.split.method != "time":
        parser.error(f"{options.params} has no ingest.split.method of time")
    train_settings = settings.train
    if options.folds:
        train_settings = train_settings.model_copy(update={"folds": options.folds})
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder))
        ingest(settings.ingest, workspace, quiet)
        transform(workspace)
        learned, log_price = read_features(workspace.train_features)
        market = Market.from_json(read_json(workspace.market, made_by="ingest"))
        listings = believed(pd.read_parquet(workspace.test_listings))
        reading = Reading(own=own_of(listings.columns))
        unit = market.distance_unit
        tested = parse(as_columns(listings), market.valuation_date, unit, reading)
        target = np.log(listings[PRICE].to_numpy(dtype=np.float64))
        listed = tested.numbers["listed"]
        for model in choose(COMPARED, MODELS):
            start = time.perf_counter()
            predict = fit(model, learned, log_price, market, train_settings, quick=False)
            seconds = time.perf_counter() - start
            predicted = predict(tested)
            off = np.log(predicted) - target
            figures[model.name] = {
                **price_metrics(np.exp(target), predicted),
                **{
                    name: float(off[listed >= np.quantile(listed, share)].mean())
                    for name, share in NEWEST.items()
                },
                "seconds": seconds,
            }
    own, peer = (figures[name] for name in MODELS)
    table = Table("", *MODELS, "ratio", title=f"{len(log_price):,} older, {len(target):,} newest")
    for name in ("mape", "mdape", "within_10", "rmsle", *NEWEST, "seconds"):
        is_bias = name in NEWEST
        ratio = "" if is_bias else f"{own[name] / peer[name]:.3f}"
        table.add_row(name, *(f"{one[name]:.4g}" for one in (own, peer)), ratio)
    console.print(table)
    worse = [name for name in JUDGED if own[name] > peer[name]]
    if worse:
        console.print(f"above {MODELS[1]}: {', '.join(worse)}")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
