"""Whether a look at a model in use tells market, mix and decay apart, and stays quiet otherwise.

On the sample market, whose true prices are known, a model is trained once. Each run draws new
cars: answers, fresh listings and sales. They are left as they are, or all prices fall by 8 %, or a
kind of car is seen twice as often, or one make's prices fall by 15 %. Printed is how often the
verdict is right, and how far the level that is told is from the true one. On nz, whose dates are
real, a model of the earlier listings is looked at quarter by quarter, beside the level of like cars
without any model; on us, whose dates are made up, a model of four fifths of the listings is, by
the rest: a random fifth, exchangeable with what was learned, which tells of false alarms alone.

The exit code is 1 where fewer than 95 % of the verdicts are right, the first quarter in which the
market is said to have moved on nz is not that in which like cars did by more than the limit, or us
is not quiet.
"""

import argparse
import json
import math
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from carprice.arrays import Floats, quiet
from carprice.components.ingest import ingest
from carprice.components.train import train
from carprice.components.transform import transform
from carprice.components.workspace import Workspace
from carprice.errors import InputError
from carprice.listings.cells import with_texts
from carprice.listings.features import Features, listings_of
from carprice.listings.frames import as_columns, parse_listings
from carprice.listings.market import Market
from carprice.listings.noise import less_group_mean, like_cars
from carprice.listings.reading import clean_source, read_source
from carprice.model import PriceModel
from carprice.monitoring import records
from carprice.monitoring.checks import Cause, Level, Monitored
from carprice.monitoring.verdict import look
from carprice.sample.market import generate
from carprice.schema import PRICE
from carprice.settings import (
    IngestSettings,
    MonitorSettings,
    Settings,
    TrainSettings,
    load_settings,
)

console, progress = Console(), Console(stderr=True)
RIGHT: Final = 0.95
LEVEL: Final = math.log(0.92)
DECAY: Final = math.log(0.85)
NEGOTIATED: Final = -0.03
"""What a sale is below the asking price, in ln(price)."""
TRUTH: Final = "number:truePrice"
PREDICTED: Final = "predicted"
KINDS: Final = ("make", "fuel_type", "transmission_type", "body_type")
"""Fields of which a value is seen twice as often."""
SHARES: Final = (0.06, 0.4)
"""Least and largest share of such a value."""
LEAST_MAKE: Final = 0.03
"""Least share of the make that decays."""
PSI: Final = 0.1
"""What is often taken for a sign of drift; it is told here for comparison."""
FIRST_SEED: Final = 10_000
REAL: Final = {"nz": "2023-10-01", "us": ""}
"""The day on which the looks begin; empty: the test listings of the params file."""
PARAMS: Final = Path(__file__).resolve().parent.parent / "examples"


def main() -> int:
    """Run the simulation and the real markets, print their tables, and judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument(
        "--cars", type=int, default=2_000, help="fresh listings, and answers, a run"
    )
    parser.add_argument(
        "--rows", type=int, default=10_000, help="listings that the model learns from"
    )
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--model", type=Path, help="a model of the sample; default: one is trained")
    parser.add_argument("--markets", nargs="*", default=["sample", *REAL])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found: dict[str, Any] = {}
    failures = []
    for market in options.markets:
        if market == "sample":
            found[market], wrong = sample_market(options)
        else:
            try:
                found[market], wrong = real_market(market, options.folds)
            except InputError as error:
                console.print(f"{market}: skipped, {error}")
                continue
        failures += wrong
    if options.json:
        options.json.write_text(json.dumps(found, indent=2), encoding="utf-8")
    for failure in failures:
        console.print(f"not as asked: {failure}")
    return 1 if failures else 0


def sample_market(options: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    """Look at one model with each drift so many times; return the shares and what is not right."""
    settings = MonitorSettings(days=1_000)
    verdicts: dict[str, list[tuple[Cause, Level]]] = {name: [] for name in CASES}
    levels: dict[str, list[float]] = {name: [] for name in CASES}
    psi: dict[str, list[tuple[float, float]]] = {name: [] for name in CASES}
    with tempfile.TemporaryDirectory() as folder:
        if options.model:
            model = PriceModel.load(options.model)
        else:
            model = trained_sample(Path(folder), options.rows, options.folds)
        for run in range(options.runs):
            random = np.random.default_rng(run)
            drawn = draw(3 * options.cars, FIRST_SEED + run, Path(folder))
            drawn[PREDICTED] = predicted(model, drawn)
            for name, (change, _) in CASES.items():
                changed = change(drawn, random)
                told = look_at(model, changed, options.cars, settings, random)
                verdicts[name].append((told.cause, told.level))
                levels[name].append(missed_level(told, changed, drawn))
                psi[name].append(stability(told))
            progress.print(f"run {run + 1} of {options.runs}")
    table = Table(
        *("drift", "asked for", "right", "level", "PSI of price", "PSI > 0.1", "verdicts"),
        title=f"{options.runs} runs each",
    )
    shares: dict[str, dict[str, Any]] = {}
    failures = []
    for name, (_, asked) in CASES.items():
        counts = Counter(in_words(one) for one in verdicts[name])
        right = float(np.mean([one == asked for one in verdicts[name]]))
        off = 100 * float(np.sqrt(np.mean(np.square(levels[name]))))
        of_price, largest = np.array(psi[name]).T
        stable = {
            "psi_of_price": float(np.median(of_price)),
            "psi_above_0.1": float(np.mean(largest > PSI)),
        }
        shares[name] = {"right": right, "verdicts": dict(counts), "level_error": off, **stable}
        words = ", ".join(f"{one}: {number}" for one, number in counts.most_common())
        of_price, above = (
            f"{stable['psi_of_price']:.3f}",
            f"{100 * stable['psi_above_0.1']:.0f} %",
        )
        table.add_row(
            name, in_words(asked), f"{100 * right:.0f} %", f"{off:.2f}", of_price, above, words
        )
        if right < RIGHT:
            failures.append(f"{name}: {100 * right:.0f} % of the verdicts are right")
    console.print(table)
    console.print(
        "level: how far the level that is told is from the true one, in points, root mean square"
    )
    return shares, failures


def stability(told: Monitored) -> tuple[float, float]:
    """Return the stability index of the predicted price among answers, and that of any field."""
    mix = next(check.values["mix"] for check in told.checks if check.name == "input_mix")
    by_field = {one["field"]: one["psi"] for one in mix}
    return by_field["price"], max(by_field.values())


def in_words(verdict: tuple[Cause, Level]) -> str:
    """Return a verdict in words."""
    return f"{verdict[0]} ({verdict[1].name.lower()})"


def trained_sample(folder: Path, rows: int, folds: int) -> PriceModel:
    """Train a model on the sample market."""
    sample = {"source": "sample", "sample": {"rows": rows, "seed": 7}}
    settings = Settings.model_validate({"ingest": sample, "train": {"folds": folds}})
    workspace = Workspace(folder)
    ingest(settings.ingest, workspace, quiet)
    transform(workspace)
    train(settings.train, workspace, quiet)
    return PriceModel.load(workspace.model)


def draw(rows: int, seed: int, folder: Path) -> pd.DataFrame:
    """Return cleaned listings of the sample market, with their true prices, in random order."""
    path = folder / "drawn.parquet"
    generate(rows + rows // 10, seed, with_truth=True).to_parquet(path, index=False)
    settings = IngestSettings.model_validate(
        {"source": str(path), "extra": {"truePrice": "number"}, "units": {"currency": "INR"}}
    )
    listings = with_texts(clean_source(read_source(settings, quiet), settings).frame)
    return listings.sample(frac=1, random_state=seed, ignore_index=True)


Change = Callable[[pd.DataFrame, np.random.Generator], pd.DataFrame]


def unchanged(drawn: pd.DataFrame, _: np.random.Generator) -> pd.DataFrame:
    """Change nothing."""
    return drawn


def moved(drawn: pd.DataFrame, _: np.random.Generator) -> pd.DataFrame:
    """Let all prices fall by 8 %."""
    return times(drawn, np.full(len(drawn), LEVEL))


def doubled(drawn: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    """Have one kind of car twice as often among the answers and listings."""
    shares = [
        (field, value, share)
        for field in KINDS
        for value, share in drawn[field].value_counts(normalize=True).items()
        if SHARES[0] <= share <= SHARES[1]
    ]
    field, value, share = shares[random.integers(len(shares))]
    own = np.flatnonzero(drawn[field] == value)
    others = np.setdiff1d(np.arange(len(drawn)), own)
    more = min(round(2 * share / (1 - 2 * share) * len(others)), len(own))
    fewer = round(more * (1 - 2 * share) / (2 * share))
    rows = random.permutation(np.concatenate([own[:more], others[:fewer]]))
    return drawn.iloc[rows].reset_index(drop=True)


def decayed(drawn: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    """Let one make's prices fall by 15 %."""
    shares = drawn["make"].value_counts(normalize=True)
    makes = shares.index[shares >= LEAST_MAKE]
    make = makes[random.integers(len(makes))]
    return times(drawn, np.where(drawn["make"] == make, DECAY, 0.0))


def times(drawn: pd.DataFrame, by: Floats) -> pd.DataFrame:
    """Move asked and true prices by so much, in ln(price)."""
    return drawn.assign(**{PRICE: drawn[PRICE] * np.exp(by), TRUTH: drawn[TRUTH] * np.exp(by)})


CASES: Final[dict[str, tuple[Change, tuple[Cause, Level]]]] = {
    "none": (unchanged, (Cause.NONE, Level.FINE)),
    "level -8 %": (moved, (Cause.MARKET, Level.RETRAIN)),
    "mix": (doubled, (Cause.MIX, Level.LOOK)),
    "one make -15 %": (decayed, (Cause.DECAY, Level.RETRAIN)),
}


def look_at(
    model: PriceModel,
    drawn: pd.DataFrame,
    cars: int,
    settings: MonitorSettings,
    random: np.random.Generator,
) -> Monitored:
    """Have the first half answered, and observe the second; a fifth of it was sold."""
    half = min(cars, len(drawn) // 2)
    answered, seen = drawn.iloc[:half], drawn.iloc[half : 2 * half]
    log = without_truth(answered).assign(
        **{
            records.ANSWERED_AT: answered["listed_on"],
            records.VALUATION_DATE: answered["listed_on"],
            records.PRICE: answered[PREDICTED],
            records.CAUTIONS: [[] for _ in range(len(answered))],
            records.SHADOW: False,
            records.PROBLEM: "",
        }
    )
    sold = random.random(len(seen)) < 0.2
    given_way = np.exp(random.normal(NEGOTIATED, 0.03, len(seen)))
    observations = without_truth(seen).assign(
        **{
            records.SOURCE: np.where(sold, records.SOLD, records.LISTED),
            records.OBSERVED_PRICE: seen[PRICE] * np.where(sold, given_way, 1.0),
            records.OBSERVED_ON: seen["listed_on"],
            records.ASKING_PRICE: np.where(sold, seen[PRICE], np.nan),
        }
    )
    return look(model, log, observations, settings)


def without_truth(drawn: pd.DataFrame) -> pd.DataFrame:
    """Return listings as whoever asks for a price has them."""
    return drawn.drop(columns=[PRICE, TRUTH, PREDICTED], errors="ignore")


def predicted(model: PriceModel, drawn: pd.DataFrame) -> Floats:
    """Return what the model says of each listing."""
    return model.pricer.prices(listings_of(as_columns(without_truth(drawn)))).price


def missed_level(told: Monitored, changed: pd.DataFrame, drawn: pd.DataFrame) -> float:
    """Return how far the level that is told is from that of true prices, in ln(price)."""
    level = next(check.values for check in told.checks if check.name == "level")
    by = math.log1p(level["without_segments_apart_percent"] / 100)
    if len(changed) != len(drawn):  # the mix alone is another
        return by
    return by - float(np.log(changed[TRUTH] / drawn[TRUTH]).median())


def real_market(name: str, folds: int) -> tuple[dict[str, Any], list[str]]:
    """Look at a model of a real market quarter by quarter."""
    settings = load_settings(PARAMS / f"{name}.yaml")
    source = settings.ingest.model_copy(update={"repeats": "latest"})
    monitor = MonitorSettings(days=92, prices="sold" if name == "nz" else "asked")
    cleaned = clean_source(read_source(source, quiet), source)
    listings = with_texts(cleaned.frame).sort_values("listed_on", kind="stable", ignore_index=True)
    units = source.units
    day = listings["listed_on"]
    if begin := REAL[name]:
        is_new = (day >= begin).to_numpy()
    else:
        is_new = np.random.default_rng(source.split.seed).random(len(day)) < source.split.test_size
    learned = listings.loc[~is_new]
    market = Market(units.currency, units.distance, learned["listed_on"].max().date(), "")
    train_settings = settings.train.model_copy(update={"folds": folds})
    model = fitted(learned, market, train_settings)
    direct = level_of_like_cars(listings, market)
    quarters = pd.PeriodIndex(day, freq="Q")
    # Like cars are compared with the newest quarter that the model has learned from.
    base_quarter = str(quarters[~is_new].max())
    base = direct[base_quarter]
    table = Table(
        *("quarter", "cars", "like cars %", "the model's index", "apart %", "like cars of it %"),
        "verdict",
        title=name,
    )
    rows: list[dict[str, Any]] = []
    for quarter in sorted(set(quarters[is_new])):
        own = listings.loc[is_new & (quarters == quarter)]
        told = look(model, pd.DataFrame(), observed(own, monitor), monitor)
        values = {one.name: one.values for one in told.checks}
        moved_by = direct[str(quarter)] - base
        first = [*values["segments_apart"]["apart"], {}][0]
        segment = first.get("segment", "")
        by = level_of_segment(listings, market, segment, base_quarter, str(quarter)) - moved_by
        one = {
            "quarter": str(quarter),
            "cars": len(own),
            "like_cars_percent": 100 * math.expm1(moved_by) if begin else None,
            "index": values["level"]["index"],
            "apart": segment,
            "apart_percent": first.get("shift_percent"),
            "like_cars_of_it_percent": None if math.isnan(by) else 100 * math.expm1(by),
            "cause": str(told.cause),
            "level": told.level.name.lower(),
            "why": list(told.why),
        }
        rows.append(one)
        figures = ("like_cars_percent", "apart_percent", "like_cars_of_it_percent")
        like, apart, same = ("" if one[key] is None else f"{one[key]:+.1f}" for key in figures)
        table.add_row(
            *(one["quarter"], f"{len(own):,}", like, f"{one['index']:.1f}"),
            *(f"{segment} {apart}", same, in_words((told.cause, told.level))),
        )
    console.print(table)
    return {"quarters": rows}, [*failures_of(name, rows, monitor)]


def fitted(learned: pd.DataFrame, market: Market, settings: TrainSettings) -> PriceModel:
    """Train a model on cleaned listings."""
    features, log_price = parse_listings(learned, market), np.log(learned[PRICE].to_numpy())
    return PriceModel.fit(features, log_price, market, settings)


def observed(listings: pd.DataFrame, settings: MonitorSettings) -> pd.DataFrame:
    """Return listings as observations: what they were sold for, or asked."""
    kind = records.SOLD if settings.prices == "sold" else records.LISTED
    return listings.assign(
        **{
            records.SOURCE: kind,
            records.OBSERVED_PRICE: listings[PRICE],
            records.OBSERVED_ON: listings["listed_on"],
        }
    )


def level_of_like_cars(listings: pd.DataFrame, market: Market) -> dict[str, float]:
    """Return ln(price) of cars of one model, powertrain, engine and age by quarter, with no model.

    Quarters and the root of the distance in a regression within groups of like cars, by Huber's
    weights.
    """
    features = parse_listings(listings, market)
    quarters = pd.PeriodIndex(listings["listed_on"], freq="Q").astype(str)
    names = sorted(set(quarters))
    groups = like_cars(features, ("age", "litres"))
    design = [(quarters == name).astype(np.float64) for name in names[1:]]
    design.append(np.sqrt(filled(features)))
    columns = np.column_stack([less_group_mean(one, groups) for one in design])
    price = less_group_mean(np.log(listings[PRICE].to_numpy(dtype=np.float64)), groups)
    weight = np.ones(len(price))
    worth = np.zeros(columns.shape[1])
    for _ in range(10):
        root = np.sqrt(weight)
        found = np.linalg.lstsq(columns * root[:, None], price * root, rcond=None)
        worth = np.asarray(found[0], dtype=np.float64)
        left = np.abs(price - columns @ worth)
        reach = 1.5 * 1.4826 * np.median(left[left > 1e-9])
        weight = np.asarray(np.minimum(1.0, reach / np.maximum(left, 1e-9)), dtype=np.float64)
    return dict(zip(names, [0.0, *worth[: len(names) - 1].tolist()], strict=True))


def level_of_segment(
    listings: pd.DataFrame, market: Market, segment: str, before: str, now: str
) -> float:
    """Return by how much the same of a segment alone moved; NaN where no text names it."""
    kind, _, name = segment.partition(" ")
    texts = parse_listings(listings, market).texts.get(kind, [])
    own = listings.iloc[[row for row, text in enumerate(texts) if text == name]]
    if own.empty:
        return math.nan
    found = level_of_like_cars(own.reset_index(drop=True), market)
    return found.get(now, math.nan) - found.get(before, math.nan)


def filled(features: Features) -> Floats:
    """Return the distances driven, unknown ones as the median."""
    odometer = features.numbers["odometer"]
    return np.asarray(np.where(np.isfinite(odometer), odometer, np.nanmedian(odometer)))


def failures_of(name: str, rows: list[dict[str, Any]], settings: MonitorSettings) -> Iterator[str]:
    """Tell what a market does not show as it should."""
    fired = [
        one["quarter"]
        for one in rows
        if one["level"] == "retrain" and one["cause"] == str(Cause.MARKET)
    ]
    if not REAL[name]:
        if loud := [one["quarter"] for one in rows if one["level"] != "fine"]:
            yield f"{name}: not quiet in {', '.join(loud)}"
        return
    limit = 100 * math.expm1(settings.level)
    due = [one["quarter"] for one in rows if abs(one["like_cars_percent"]) > limit]
    if fired[:1] != due[:1]:
        yield f"{name}: fires first in {fired[:1]}, and like cars first moved in {due[:1]}"


if __name__ == "__main__":
    sys.exit(main())
