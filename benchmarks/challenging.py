"""How often a challenger is promoted or dropped when the outcomes are looked at every day.

Two models are trained: on the sample's training cars, and on a part of them with another seed. Days
of outcomes are drawn from their errors of the test cars, pairs as they are, so that tails and
correlation are those of two real models. A half of the pairs, at random, is turned around: both
errors change places and signs. So the two are equally good by construction, each as far from the
other as before. One of them prices all cars a little lower, as one that was trained later may, and
all cars of one day sell dearer or cheaper together: so the differences of a day hang together. A
challenger that is worse or better has its errors multiplied by 1.03 or 0.97.

Six ways to decide are looked at: that of `carprice challenge` with its step of some days, the same
with steps of one day, with steps that are taken as independent of each other, and with cars that
are, betting with each car, and the t-test that is repeated every day. Outcomes may be told some
days after the sale (``--late``), and count in the step in which they are told; the last three ways
have them at once nevertheless. Versions that won, equal or worse, are watched for
``challenge.watch_days``.
"""

import argparse
import json
import math
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from scipy.signal import lfilter
from scipy.stats import t as student

from carprice.arrays import Floats, quiet
from carprice.components.ingest import ingest
from carprice.components.train import train
from carprice.components.transform import transform
from carprice.components.workspace import Workspace
from carprice.listings.frames import as_columns
from carprice.model import PriceModel
from carprice.monitoring.challenge import Decision, Served, Step, decide, watch
from carprice.monitoring.sequential import (
    LARGEST,
    Difference,
    Interval,
    Sums,
    bounds_of,
    interval_of,
    sums_of,
)
from carprice.schema import PRICE
from carprice.settings import ChallengeSettings, Settings, load_settings

console = Console()
FACTORS: Final = {"worse, +3 %": 1.03, "equal": 1.0, "better, −3 %": 0.97}
WON: Final = {"equal": 1.0, "worse, +5 %": 1.05, "worse, +10 %": 1.1, "worse, +20 %": 1.2}
WATCH: Final = "watch of what won"
_PART: Final = 0.7
_WIDEST: Final = 0.25
_FEW: Final = 2
"""Steps of which nothing is told."""
_FOUND: Final = 0.8
"""Share of the better challengers that are to be promoted."""


class Pairs(NamedTuple):
    """ln(observed / price) of the same cars by champion and challenger."""

    champion: Floats
    challenger: Floats


class Days(NamedTuple):
    """Residuals of each run, day and outcome, and how many days after the sale it is told."""

    ours: Floats
    theirs: Floats
    told_after: Floats


Figures = dict[str, Any]
Looked = tuple[Floats, Floats]
"""Both ends of the interval after each day, by run."""
Method = Callable[[Days, ChallengeSettings], Looked]
Look = Callable[[Sums, float, int], Interval]
"""What is told of both models' sums by run and step, at a level, of steps of so many days."""


def trained_pairs(settings: Settings, folder: Path) -> Pairs:
    """Train two models and return their errors of the test cars."""
    workspace = Workspace(folder)
    ingest(settings.ingest, workspace, quiet)
    transform(workspace)
    test = pd.read_parquet(workspace.test_listings)
    features = pd.read_parquet(workspace.train_features)
    part = features.sample(frac=_PART, random_state=1).reset_index(drop=True)
    part.attrs = features.attrs
    observed, found = test[PRICE].to_numpy(dtype=np.float64), []
    for seed, rows in enumerate((features, part)):
        rows.to_parquet(workspace.train_features, index=False)
        train(settings.train.model_copy(update={"seed": seed}), workspace, quiet)
        model = PriceModel.load(workspace.model)
        found.append(np.log(observed / model.predict(as_columns(test)).price))
    return Pairs(*found)


def drawn(
    pairs: Pairs, factor: float, options: argparse.Namespace, seed: int, days: int | None = None
) -> Days:
    """Draw outcomes of each run and day."""
    rng = np.random.default_rng(seed)
    shape = (options.runs, days or options.days, options.outcomes)
    taken = rng.integers(len(pairs.champion), size=shape)
    theirs, ours = pairs.champion[taken], pairs.challenger[taken]
    turned = rng.random(shape) < 0.5
    theirs, ours = np.where(turned, -ours, theirs), np.where(turned, -theirs, ours)
    kept = options.lasting  # an autoregression whose standard deviation is that of each day
    steps = rng.normal(0.0, options.shock * np.sqrt(1 - kept**2), (*shape[:2], 1))
    steps[:, 0] /= np.sqrt(1 - kept**2)
    level = options.stand + lfilter([1.0], [1.0, -kept], steps, axis=1)
    ours, theirs = factor * (ours + level + options.apart / 2), theirs + level - options.apart / 2
    ours, theirs = (np.clip(one, -LARGEST, LARGEST) for one in (ours, theirs))
    return Days(ours, theirs, np.floor(rng.exponential(options.late, shape)))


def summed(days: Days, step: int) -> Sums:
    """Add up the cars of each run and step: that in which each was told."""
    runs, count = days.ours.shape[:2]
    told_on = np.arange(count)[:, None] + days.told_after.astype(int)
    steps = np.minimum(told_on, count) // step  # what is told later is in no step
    cells = np.arange(runs)[:, None, None] * (count // step + 1) + steps
    number = runs * (count // step + 1)
    found = sums_of(days.ours.ravel(), days.theirs.ravel(), cells.ravel(), number)
    return Sums(*(one.reshape(runs, -1)[:, :-1] for one in found))


def looked(
    sums: Sums, look: Callable[[Sums], Interval], at_once: int, count: int, each: int
) -> Looked:
    """Look at all steps so far, whenever so many more of them are over.

    Parameters
    ----------
    count, each : how many days there are, and after how many of them there is a look.
    """
    shape = len(sums.ours), count
    low, high = np.full(shape, -np.inf), np.full(shape, np.inf)
    for number in range(1, sums.ours.shape[1] // at_once + 1):
        found = look(Sums(*(one[:, : number * at_once] for one in sums)))
        low[:, number * each - 1], high[:, number * each - 1] = found.low, found.high
    return low, high


def as_independent(sums: Sums, level: float, step: int) -> Interval:
    """Return the interval where steps are taken as independent of each other."""
    ours, theirs = sums.ours, sums.theirs
    steps, sum_theirs = ours.shape[1], theirs.sum(axis=1)
    ratio = ours.sum(axis=1) / sum_theirs
    squares = ((ours - ratio[:, None] * theirs) ** 2).sum(axis=1)
    deviation = np.sqrt(squares / max(steps - 1, 1) * steps)
    half = bounds_of(steps, level, step) * deviation / sum_theirs if steps > _FEW else np.inf
    return Interval(ratio - 1, ratio - 1 - half, ratio - 1 + half)


def by_steps(days: Days, level: float, step: int, interval: Look = interval_of) -> Looked:
    """Decide by all steps that are over."""

    def look(sums: Sums) -> Interval:
        return interval(sums, level, step)

    return looked(summed(days, step), look, 1, days.ours.shape[1], step)


def by_limits(days: Days, limits: ChallengeSettings) -> Looked:
    """Decide as `carprice challenge` does."""
    return by_steps(days, limits.level, limits.step_days)


def by_day(days: Days, limits: ChallengeSettings) -> Looked:
    """Decide so with `challenge.step_days: 1`."""
    return by_steps(days, limits.level, 1)


def by_independent(days: Days, limits: ChallengeSettings) -> Looked:
    """Decide so as if steps were independent of each other."""
    return by_steps(days, limits.level, limits.step_days, as_independent)


def _each_car(days: Days) -> tuple[Floats, Floats, slice]:
    """Return the errors of outcomes one after another, and which of them are a day's last."""
    runs, _, outcomes = days.ours.shape
    ours, theirs = (np.abs(one).reshape(runs, -1) for one in (days.ours, days.theirs))
    return ours, theirs, slice(outcomes - 1, None, outcomes)


def by_car(days: Days, limits: ChallengeSettings) -> Looked:
    """Decide as if each car were independent of all others."""
    ours, theirs, _ = _each_car(days)
    _, count, outcomes = days.ours.shape
    one, none = np.ones_like(ours), np.zeros_like(ours)
    look = partial(as_independent, level=limits.level, step=1)
    return looked(Sums(one, ours, theirs, none, none), look, outcomes, count, 1)


def peeked(days: Days, limits: ChallengeSettings) -> Looked:
    """Decide by a paired t-test of the differences, as if each day were the only one."""
    ours, theirs, last = _each_car(days)
    difference, count = ours - theirs, np.arange(1, ours.shape[1] + 1)
    mean = np.cumsum(difference, axis=1) / count
    squares = np.cumsum(difference**2, axis=1) / count - mean**2
    half = student.isf(limits.level, np.maximum(count - 1, 1)) * np.sqrt(
        squares / np.maximum(count - 1, 1)
    )
    return (mean - half)[:, last], (mean + half)[:, last]


def betting(days: Days, limits: ChallengeSettings) -> Looked:
    """Decide by money that is won by betting on each car's difference, cut at ±0.25.

    The stake comes from mean and variance of the days before (Waudby-Smith and Ramdas, "Estimating
    means of bounded random variables by betting", JRSS B 86(1), 2024). Who bets that the challenger
    is better multiplies the money by 1/level by luck in a share ``level`` of cases at most. There
    is no interval: an end is −1 or 1 where that side has won, and NaN before.
    """
    ours, theirs, last = _each_car(days)
    difference = np.clip(ours - theirs, -_WIDEST, _WIDEST)
    runs, count, outcomes = *difference.shape, days.ours.shape[2]
    before = np.arange(count) // outcomes * outcomes

    def until(values: Floats) -> Floats:
        return np.concatenate([np.zeros((runs, 1)), np.cumsum(values, axis=1)], axis=1)[:, before]

    mean = until(difference) / np.maximum(before, 1)
    spread = np.maximum(until(difference**2) / np.maximum(before, 1), 1e-6)
    stake = np.clip(mean / spread, -0.5 / _WIDEST, 0.5 / _WIDEST)
    worse, better = (
        np.maximum.accumulate(np.cumsum(np.log1p(one * difference), axis=1), axis=1)[:, last]
        >= -np.log(limits.level)
        for one in (np.maximum(stake, 0), np.minimum(stake, 0))
    )
    return np.where(worse, 1.0, np.nan), np.where(better, -1.0, np.nan)


METHODS: Final[dict[str, Method]] = {
    "carprice challenge": by_limits,
    "the same, by days": by_day,
    "steps as independent": by_independent,
    "cars as independent": by_car,
    "betting": betting,
    "t-test, peeked at": peeked,
}


def judged(looked: Looked, look: Callable[[Difference, int], Decision], outcomes: int) -> Figures:
    """Return what became of the runs; each ends at the first day on which there is a decision."""
    ends: list[tuple[Step, int]] = []
    for low, high in zip(*looked, strict=True):
        step, day = Step.WAIT, 0
        while step is Step.WAIT and day < len(low):
            lower, upper, day = float(low[day]), float(high[day]), day + 1
            found = Difference(day * outcomes, day, math.nan, math.nan, math.nan, lower, upper)
            step = look(found, day).step
        ends.append((step, day))
    days = [day for step, day in ends if step in {Step.PROMOTE, Step.GO_BACK}]
    shares = {
        name: sum(one is step for one, _ in ends) / len(ends)
        for name, step in (
            ("promoted", Step.PROMOTE),
            ("dropped", Step.DROP),
            ("back", Step.GO_BACK),
            ("out of time", Step.WAIT),
        )
    }
    median = float(np.median(days)) if days else None
    return {**shares, "days": median, "outcomes": median and median * outcomes}


def measured(
    pairs: Pairs, limits: ChallengeSettings, options: argparse.Namespace
) -> tuple[Figures, list[Figures]]:
    """Return what is known of the pairs, and the figures of each method and challenger."""
    ours, theirs = (np.minimum(np.abs(one), LARGEST) for one in (pairs.challenger, pairs.champion))
    found: Figures = {
        "cars": len(ours),
        "mean_error": float(theirs.mean()),
        "correlation_of_residuals": float(np.corrcoef(*pairs)[0, 1]),
        "correlation_of_errors": float(np.corrcoef(ours, theirs)[0, 1]),
        "deviation_of_differences": float((ours - theirs).std()),
        "bounds": dict(
            zip((14, 30, 180), bounds_of(np.array([14, 30, 180]), limits.level), strict=True)
        ),
    }

    def challenged(found: Difference, day: int) -> Decision:
        return decide(found, Served(), limits, day)

    rows = []
    for number, (name, factor) in enumerate(FACTORS.items()):
        days = drawn(pairs, factor, options, options.seed + number)
        for method, look in METHODS.items():
            what = judged(look(days, limits), challenged, options.outcomes)
            rows.append({"challenger": name, "method": method, **what})
    for number, (name, factor) in enumerate(WON.items(), start=len(FACTORS)):
        days = drawn(pairs, factor, options, options.seed + number, limits.watch_days)
        what = judged(by_limits(days, limits), lambda one, _: watch(one, limits), options.outcomes)
        rows.append({"challenger": name, "method": WATCH, **what})
    return found, rows


def show(found: Figures, rows: list[Figures], options: argparse.Namespace) -> None:
    """Print the table."""
    console.print(
        f"{found['cars']} test cars: mean error {found['mean_error']:.4f}, standard deviation of "
        f"the differences {found['deviation_of_differences']:.4f}, correlation of the errors "
        f"{found['correlation_of_errors']:.3f}, of the residuals "
        f"{found['correlation_of_residuals']:.3f}"
    )
    title = (
        f"{options.runs} runs, {options.outcomes} outcomes a day for {options.days} days, a day's "
        f"level ± {100 * options.shock:g} %, levels {100 * options.apart:g} % apart, "
        f"told {options.late:g} days late"
    )
    table = Table(title=title, title_justify="left")
    shown = ("promoted", "dropped", "back", "out of time")
    header = ("method", "challenger", *(f"{name} %" for name in shown), "median outcomes")
    for name in header:
        table.add_column(name, justify="left" if name in header[:2] else "right")
    for row in sorted(rows, key=lambda one: [*METHODS, WATCH].index(one["method"])):
        shares = (f"{100 * row[name]:.1f}" for name in shown)
        outcomes = "" if row["outcomes"] is None else f"{row['outcomes']:,.0f}"
        table.add_row(row["method"], row["challenger"], *shares, outcomes)
    console.print(table)


def main() -> None:
    """Run as a program; exit 1 where what is no better is promoted too often, or a better one not.

    Too often is above ``challenge.level``; of the better ones, four of five are to be promoted.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--params", type=Path, help="params file; default: the embedded sample")
    parser.add_argument("--source", help="listings, instead of the file's")
    parser.add_argument("--runs", type=int, default=200, help="of each challenger (%(default)s)")
    parser.add_argument("--days", type=int, default=180, help="of looking (%(default)s)")
    parser.add_argument("--outcomes", type=int, default=50, help="a day (%(default)s)")
    parser.add_argument("--shock", type=float, default=0.02, help="of a day, in ln (%(default)s)")
    parser.add_argument("--lasting", type=float, default=0.0, help="of a day's level (%(default)s)")
    parser.add_argument("--apart", type=float, default=0.02, help="levels, in ln (%(default)s)")
    parser.add_argument(
        "--stand",
        type=float,
        default=0.0,
        help="of the level, in ln; at minus half of --apart the challenger's is right, and what is "
        "called equal is better (%(default)s)",
    )
    parser.add_argument("--late", type=float, default=0.0, help="mean days (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the draws (%(default)s)")
    parser.add_argument("--pairs", type=Path, help="keep the errors of the two models there")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args()
    settings = load_settings(options.params, options.source) if options.params else Settings()
    limits = settings.challenge.model_copy(update={"longest_days": options.days + 1})
    if options.pairs and options.pairs.exists():
        pairs = Pairs(*np.load(options.pairs))
    else:
        with tempfile.TemporaryDirectory(prefix="carprice-") as folder:
            pairs = trained_pairs(settings, Path(folder))
        if options.pairs:
            np.save(options.pairs, np.stack(pairs))
    found, rows = measured(pairs, limits, options)
    show(found, rows, options)
    if options.json:
        options.json.write_text(
            json.dumps({**found, "rows": rows}, indent=2) + "\n", encoding="utf-8"
        )
    *wrong, better = (row["promoted"] for row in rows if row["method"] == "carprice challenge")
    raise SystemExit(max(wrong) > limits.level or better < _FOUND)


if __name__ == "__main__":
    main()
