"""Ranges and level that keep up without training again: recalibrated beside as it was, by month.

A model learns from a market's listings up to a month. From there on, month by month, a correction
is learned from all that was listed after that month and before the one that is priced, and both
models are measured on that: what the 90 % range covers, MAPE, the mean size and the mean of
ln(price / price asked). Nothing of a month is known before it is priced. The first month after
training has nothing to learn from, and is not shown. Of a car that comes again the last listing
counts, and cars that the model learned from do not.

With `--shift`, the sample market's prices are all multiplied from one day on, and what the
correction learns of them is printed beside what was done.

How many months the range covers 88 to 92 % of is told, and how many are further from 90 % than
chance makes of so many cars: 1.96 binomial standard errors of the month, which the table has. Cars
of a month are not independent of each other, so that this is rather too little.

The exit code is 1 where the recalibrated range covers less than 88 % or more than 92 % of all
months together, or the learned shift is more than a point from the injected one.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from carprice.arrays import quiet
from carprice.components.ingest import ingest
from carprice.components.workspace import Workspace, read_json
from carprice.errors import RefusedError
from carprice.experiments.backtest import train_to
from carprice.listings.believed import believed
from carprice.listings.market import Market
from carprice.model import PriceModel
from carprice.model.correction import HeldOut
from carprice.monitoring.recalibration import Seen, correction_of, held_out_figures, seen_prices
from carprice.monitoring.records import LISTED, OBSERVED_ON, OBSERVED_PRICE, SOURCE
from carprice.schema import PRICE
from carprice.settings import MonitorSettings, Settings, load_settings

console = Console(width=120)
ASKED: Final = (88.0, 92.0)
MEANT: Final = 90.0
SURE: Final = 1.96
NEAR: Final = 0.01


def main() -> int:
    """Walk over the months of a market, or inject a shift; print the tables and judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--params", type=Path, default=Path("examples/nz.yaml"))
    parser.add_argument("--trained-to", default="2024-10", help="last month that is learned from")
    parser.add_argument("--folds", type=int, help="inner folds of the model; default: the params'")
    parser.add_argument("--shift", type=float, help="of ln(price), injected into the sample market")
    parser.add_argument("--rows", type=int, default=10_000, help="of the sample market")
    options = parser.parse_args()
    settings = Settings() if options.shift is not None else load_settings(options.params)
    if options.folds:
        train = settings.train.model_copy(update={"folds": options.folds})
        settings = settings.model_copy(update={"train": train})
    with tempfile.TemporaryDirectory() as folder:
        if options.shift is not None:
            return injected(settings, Workspace(Path(folder)), options.shift, options.rows)
        return walk(settings, Workspace(Path(folder)), pd.Period(options.trained_to, "M"))


def walk(settings: Settings, workspace: Workspace, trained_to: pd.Period) -> int:
    """Learn a correction before each month, and measure it on that month."""
    listings = read(settings, workspace)
    month = listings["listed_on"].dt.to_period("M")
    model = train(settings, workspace, listings[month <= trained_to])
    how = MonitorSettings()
    seen = priced(model, listings[month > trained_to], how)
    months = pd.PeriodIndex(seen.day, freq="M")
    rows: list[tuple[str, HeldOut, float]] = []
    for one in months.unique().sort_values()[1:]:
        try:
            correction = correction_of(seen.take(np.flatnonzero(months < one)), how.recalibrate)
        except RefusedError as error:
            console.print(f"{one}: {error}")
            continue
        now = seen.take(np.flatnonzero(months == one))
        rows.append((str(one), held_out_figures(now, correction), correction.shift))
    console.print(
        f"{int((month <= trained_to).sum()):,} listings up to {trained_to} were learned from"
    )
    covered = show(rows)
    return 0 if ASKED[0] <= covered <= ASKED[1] else 1


def injected(settings: Settings, workspace: Workspace, shift: float, rows: int) -> int:
    """Move all prices of half of the sample market, and learn the shift of them."""
    sample = settings.ingest.sample.model_copy(update={"rows": rows})
    whole = settings.ingest.model_copy(update={"sample": sample})
    listings = read(settings.model_copy(update={"ingest": whole}), workspace)
    half = np.arange(len(listings)) % 2 == 0
    model = train(settings, workspace, listings[half])
    later = listings[~half].copy()
    days = pd.Timestamp(model.market.valuation_date) + pd.to_timedelta(
        np.arange(len(later)) * 90 // len(later), unit="D"
    )
    # The cars are as old as they were: a year is no matter of ninety days.
    later["year"] += days.year.to_numpy() - later["listed_on"].dt.year.to_numpy()
    later["listed_on"] = days
    how = MonitorSettings()
    plain = correction_of(priced(model, later, how), how.recalibrate)
    later[PRICE] *= np.exp(shift)
    found = correction_of(priced(model, later, how), how.recalibrate)
    if found.held_out is not None:
        show([("newest third", found.held_out, found.shift)])
    learned = found.shift - plain.shift
    console.print(
        f"injected {shift:+.4f}, learned {learned:+.4f} beside {plain.shift:+.4f} of none"
    )
    return 0 if abs(learned - shift) <= NEAR else 1


def read(settings: Settings, workspace: Workspace) -> pd.DataFrame:
    """Return all listings of a source that have a date, the oldest first."""
    ingest(settings.ingest, workspace, quiet)
    paths = (workspace.train_listings, workspace.test_listings)
    listings = pd.concat([pd.read_parquet(path) for path in paths], ignore_index=True)
    return listings.sort_values("listed_on", kind="stable", ignore_index=True)


def train(settings: Settings, workspace: Workspace, learned: pd.DataFrame) -> PriceModel:
    """Train on the given listings as of the last of them."""
    market = Market.from_json(read_json(workspace.market, made_by="ingest"))
    return train_to(learned, market, settings.train, quiet)


def priced(model: PriceModel, listings: pd.DataFrame, how: MonitorSettings) -> Seen:
    """Return listings as prices that were seen, as fresh ones are."""
    rows = believed(listings)
    seen = {SOURCE: LISTED, OBSERVED_PRICE: rows[PRICE], OBSERVED_ON: rows["listed_on"]}
    return seen_prices(model, rows.drop(columns=PRICE).assign(**seen), how)


def show(rows: list[tuple[str, HeldOut, float]]) -> float:
    """Print figures by month, as it was → recalibrated; return what the ranges cover in all."""
    names = ("coverage", "mape", "error", "bias")
    table = Table(title="as trained → recalibrated")
    covers = ("90 % range covers", "± by chance")
    for name in ("month", "cars", *covers, "MAPE %", "mean |ln|, %", "bias %", "shift"):
        table.add_column(name, no_wrap=True)
    cars = np.array([one.rows for _, one, _ in rows])
    for month, one, shift in rows:
        pairs = (getattr(one, name) for name in names)
        covered, *told = (f"{before:.1f} → {after:.1f}" for before, after in pairs)
        chance = f"{chance_of(one.rows):.1f}"
        table.add_row(month, f"{one.rows:,}", covered, chance, *told, f"{shift:+.3f}")
    means = [
        [float(np.average([getattr(one, name)[side] for _, one, _ in rows], weights=cars))
         for side in (0, 1)]
        for name in names
    ]  # fmt: skip
    covered, *told = (f"{before:.1f} → {after:.1f}" for before, after in means)
    table.add_row("all", f"{cars.sum():,}", covered, f"{chance_of(cars.sum()):.1f}", *told, "")
    console.print(table)
    for side, name in enumerate(("as trained", "recalibrated")):
        console.print(
            f"{name}: {months_in_words([(m, one.rows, one.coverage[side]) for m, one, _ in rows])}"
        )
    return means[0][1]


def chance_of(cars: int) -> float:
    """Return how far from 90 % chance takes what is covered of so many cars, at 95 %."""
    return SURE * float(np.sqrt(MEANT * (100 - MEANT) / cars))


def months_in_words(covered: list[tuple[str, int, float]]) -> str:
    """Tell how many months are inside of what was asked for, and which differ by more than chance.

    Parameters
    ----------
    covered : month, number of cars, and the per cent of them that the 90 % range covers.
    """
    inside = sum(ASKED[0] <= share <= ASKED[1] for _, _, share in covered)
    beyond = [month for month, cars, share in covered if abs(share - MEANT) > chance_of(cars)]
    mean = float(np.mean([abs(share - MEANT) for _, _, share in covered]))
    return (
        f"{inside} of {len(covered)} months within {ASKED[0]:g}–{ASKED[1]:g} %, {mean:.1f} points "
        f"from 90 % in the mean; further off than chance: {', '.join(beyond) or 'none'}"
    )


if __name__ == "__main__":
    sys.exit(main())
