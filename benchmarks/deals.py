"""How often labels of asking prices are given, how firm they are, and whether percentiles hold.

The cars of a market are parted into folds. For each fold two models learn, each from another random
nine tenths of the other folds' cars, and judge the asking prices of the fold. Printed are the share
of each label in each age band beside its nominal one, how many labels differ between both models
(with other cuts, too), the share of the prices up to each percentile, and for what reasons there
is no label. The exit code is 1 where a share is off by more than 2 points, or more than 5 % differ.
"""

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from rich.console import Console
from rich.table import Table

from carprice.appraisal.deal import LABELS, Deal, JudgedValuation, value_all_with_deals
from carprice.arrays import Codes, Floats, quiet
from carprice.components.ingest import ingest
from carprice.components.workspace import Workspace, read_json
from carprice.listings.believed import PRICE_TRUST, believed_rows
from carprice.listings.cars import cars_of
from carprice.listings.features import listings_of
from carprice.listings.frames import as_columns, parse_listings
from carprice.listings.market import Market
from carprice.model import PriceModel
from carprice.model.intervals import AGE_BANDS, age_bands
from carprice.schema import PRICE
from carprice.settings import Settings, TrainSettings, load_settings

console = Console()
PERCENTILES: Final = (10.0, 25.0, 50.0, 75.0, 90.0)
MOST_OFF: Final = 2.0
MOST_FLIPS: Final = 5.0
OTHER_CUTS: Final = (
    *((10.0, 25.0, 75.0, 90.0), (5.0, 20.0, 80.0, 95.0), (5.0, 10.0, 90.0, 95.0)),
    *((2.5, 10.0, 90.0, 97.5), (2.0, 5.0, 95.0, 98.0), (1.0, 5.0, 95.0, 99.0)),
)


@dataclass(frozen=True)
class Judged:
    """What both models say of the held-out listings, one after another.

    Attributes
    ----------
    bands : the age band of each listing.
    deals : for both models, one for each listing.
    prices : the asking prices.
    seen : for some training listings, whether the model that saw them says so.
    """

    bands: Codes
    deals: tuple[list[Deal], list[Deal]]
    prices: Floats
    seen: list[bool]


def deals_of(model: PriceModel, listings: pd.DataFrame) -> list[Deal]:
    """Judge the asking prices of listings."""
    prices = listings[PRICE].to_numpy(dtype=np.float64).tolist()
    judged = value_all_with_deals(model, listings_of(as_columns(listings)), prices)
    return [one.deal for one in judged if isinstance(one, JudgedValuation)]


def judge(
    listings: pd.DataFrame, market: Market, train: TrainSettings, folds: int, most: int
) -> Judged:
    """Judge the listings of the first folds by models that did not see their cars."""
    features = parse_listings(listings, market)
    cars, rng = features.car_codes(), np.random.default_rng(train.seed)
    log_price = np.log(listings[PRICE].to_numpy(dtype=np.float64))
    trust = np.ones(len(listings))
    if PRICE_TRUST in listings:
        trust = listings[PRICE_TRUST].to_numpy(dtype=np.float64)
    believed = np.zeros(len(listings), dtype=bool)
    believed[believed_rows(trust)] = True
    fold = (rng.permutation(cars.max() + 1) % folds)[cars]
    bands: list[npt.NDArray[np.intp]] = []
    prices: list[Floats] = []
    deals: tuple[list[Deal], list[Deal]] = ([], [])
    seen: list[bool] = []
    for number in range(min(folds, most)):
        held_out = np.flatnonzero((fold == number) & believed)
        for judged in deals:
            print(f"fold {number + 1}, a model", file=sys.stderr)  # noqa: T201
            left_out = (rng.permutation(cars.max() + 1) % 10)[cars] == 0
            rows = np.flatnonzero((fold != number) & ~left_out)
            model = PriceModel.fit(
                features.take(rows), log_price[rows], market, train, trust=trust[rows]
            )
            judged.extend(deals_of(model, listings.iloc[held_out]))
            some = rows[believed[rows]][:500]
            seen += [
                deal.reason is not None and deal.reason.kind == "learned_from"
                for deal in deals_of(model, listings.iloc[some])
            ]
        bands.append(age_bands(features.numbers["age"][held_out]))
        prices.append(np.exp(log_price[held_out]))
    return Judged(np.concatenate(bands), deals, np.concatenate(prices), seen)


def percentiles_of(deals: Sequence[Deal]) -> Floats:
    """Return the percentiles; NaN where there is none."""
    return np.array([np.nan if one.percentile is None else one.percentile for one in deals])


def shares(judged: Judged, cuts: Sequence[float]) -> dict[str, dict[str, float]]:
    """Return the share of each label, in %, among the labels of each age band."""
    labels = np.array([one.label for one in (*judged.deals[0], *judged.deals[1])])
    bands, given = np.tile(judged.bands, 2), labels != "none"
    nominal = np.diff([0.0, *cuts, 100.0])
    found = {"nominal": dict(zip(LABELS, nominal.tolist(), strict=True))}
    for place, band in enumerate(AGE_BANDS):
        own = labels[given & (bands == place)]
        found[band] = {label: 100 * float((own == label).mean()) for label in LABELS}
    return found


def flips(judged: Judged) -> float:
    """Return how many labels differ between both models, in %; none is one of them."""
    pairs = zip(*judged.deals, strict=True)
    return 100 * float(np.mean([one.label != other.label for one, other in pairs]))


def apart(judged: Judged) -> dict[str, float]:
    """Return how far both models' predicted prices are apart, in %."""
    one, other = (
        np.log(judged.prices - np.array([deal.difference for deal in deals]))
        for deals in judged.deals
    )
    off = 100 * np.abs(one - other)
    return {"median": float(np.median(off)), "root mean square": float(np.sqrt(np.mean(off**2)))}


def flips_with(judged: Judged, cuts: Sequence[float]) -> float:
    """Return how many would differ with other cuts, of the listings that both models judge."""
    both = [
        (one.percentile, other.percentile)
        for one, other in zip(*judged.deals, strict=True)
        if "none" not in (one.label, other.label)
    ]
    places = np.searchsorted(np.array(cuts), np.array(both))
    return 100 * float(np.mean(places[:, 0] != places[:, 1]))


def up_to(judged: Judged) -> dict[str, dict[str, float]]:
    """Return the share of the prices up to each percentile, in %, of all and by age band."""
    found = np.concatenate([*map(percentiles_of, judged.deals)])
    bands = np.tile(judged.bands, 2)
    groups = {"all": bands >= 0, **{name: bands == n for n, name in enumerate(AGE_BANDS)}}
    return {
        name: {
            f"{level:g}": 100 * float((found[rows & ~np.isnan(found)] <= level).mean())
            for level in PERCENTILES
        }
        for name, rows in groups.items()
    }


def reasons(judged: Judged) -> dict[str, float]:
    """Return for which reasons there is no label, in % of the listings."""
    every = [*judged.deals[0], *judged.deals[1]]
    counts = Counter(deal.reason.kind for deal in every if deal.reason is not None)
    return {kind: 100 * count / len(every) for kind, count in counts.most_common()}


def report_of(judged: Judged, cuts: Sequence[float]) -> dict[str, object]:
    """Return all figures as plain JSON values."""
    return {
        "listings": len(judged.bands),
        "by_band": np.bincount(judged.bands, minlength=len(AGE_BANDS)).tolist(),
        "shares": shares(judged, cuts),
        "apart": apart(judged),
        "flips": flips(judged),
        "flips_by_cuts": {
            "/".join(f"{cut:g}" for cut in other): flips_with(judged, other) for other in OTHER_CUTS
        },
        "up_to": up_to(judged),
        "reasons": reasons(judged),
        "seen": 100 * float(np.mean(judged.seen)),
    }


def show(title: str, columns: Sequence[str], rows: dict[str, dict[str, float]]) -> None:
    """Print a table of figures."""
    table = Table("", *columns, title=title)
    for name, row in rows.items():
        table.add_row(name, *(f"{row[column]:.1f}" for column in columns))
    console.print(table)


def main() -> int:
    """Judge, print the tables, and tell whether all is within the limits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--params", type=Path, help="default: the sample market")
    parser.add_argument("--source", help="in place of the params file's")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--most-folds", type=int, default=100, help="judge fewer of them")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    options = parser.parse_args()
    settings = load_settings(options.params, options.source) if options.params else Settings()
    # Published figures of one market count every row as a car; here no model may see a car again.
    once = settings.ingest.model_copy(update={"repeats": "latest"})
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder))
        ingest(once, workspace, quiet)
        market = Market.from_json(read_json(workspace.market, made_by="ingest"))
        parts = (workspace.train_listings, workspace.test_listings)
        listings = pd.concat([*map(pd.read_parquet, parts)], ignore_index=True)
    judged = judge(listings, market, settings.train, options.folds, options.most_folds)
    cuts = settings.train.deal.cuts
    report = report_of(judged, cuts)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1))
    label_shares, percentiles = shares(judged, cuts), up_to(judged)
    rows, cars = len(judged.bands), cars_of(listings)
    number = len(listings) if cars is None else cars.max() + 1
    show(f"Labels of {rows:,} held-out listings ({number:,} cars), %", LABELS, label_shares)
    show("Prices up to the percentile, %", [f"{one:g}" for one in PERCENTILES], percentiles)
    console.print(f"Labels that differ between two models: {flips(judged):.1f} %; by cuts:")
    console.print(report["flips_by_cuts"])
    console.print("Predicted prices of both, % apart:", report["apart"])
    console.print("No label, % of the held-out listings:", reasons(judged))
    console.print(f"Training listings that are known again: {report['seen']:.1f} %")
    nominal = label_shares["nominal"]
    off = [
        f"{label} at {band} years"
        for band, found in label_shares.items()
        for label in LABELS
        if abs(found[label] - nominal[label]) > MOST_OFF
    ]
    off += [
        f"percentile {level}"
        for level, share in percentiles["all"].items()
        if abs(share - float(level)) > MOST_OFF
    ]
    if off:
        console.print(f"off by more than {MOST_OFF:g} points: {', '.join(off)}")
    return 1 if off or flips(judged) > MOST_FLIPS else 0


if __name__ == "__main__":
    sys.exit(main())
