"""Which candidates the gate lets into production, beside the gate that it replaces.

A production model is trained, then candidates: ones as good (another seed of training) and worse
ones (part of the prices shuffled, part of the rows left out). Each is judged as `carprice register`
judges it, and by the gate of the system that this one replaces: R² of at least 0, and a MAPE below
production's on the whole test set.
"""

import argparse
import json
import math
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from carprice.arrays import quiet
from carprice.components.ingest import ingest
from carprice.components.train import train
from carprice.components.transform import transform
from carprice.components.workspace import Workspace
from carprice.evaluation.champion import score_pair
from carprice.evaluation.gate import Pair
from carprice.listings.frames import as_columns
from carprice.metrics import price_metrics
from carprice.model import PriceModel
from carprice.schema import PRICE
from carprice.settings import Settings, TrainSettings, load_settings

console = Console()
Change = Callable[[pd.DataFrame], pd.DataFrame]


@dataclass(frozen=True)
class Case:
    """A candidate: what becomes of the training rows, the seed, and whether it is as good."""

    name: str
    change: Change
    seed: int
    is_as_good: bool


def shuffled(share: float) -> Change:
    """Return a change that shuffles the prices of a share of the rows."""

    def change(features: pd.DataFrame) -> pd.DataFrame:
        rng = np.random.default_rng(0)
        rows = rng.choice(len(features), int(share * len(features)), replace=False)
        target = features["ln_price"].to_numpy(copy=True)
        target[rows] = target[rng.permutation(rows)]
        return features.assign(ln_price=target)

    return change


def kept(share: float) -> Change:
    """Return a change that keeps a share of the rows, chosen at random."""
    return lambda features: features.sample(frac=share, random_state=0).reset_index(drop=True)


def as_they_are(features: pd.DataFrame) -> pd.DataFrame:
    """Change nothing."""
    return features


WORSE: Final = (
    Case("3 % of the prices shuffled", shuffled(0.03), 0, False),
    Case("10 % of the prices shuffled", shuffled(0.1), 0, False),
    Case("all prices shuffled", shuffled(1.0), 0, False),
    Case("a third of the rows", kept(1 / 3), 0, False),
    Case("a tenth of the rows", kept(0.1), 0, False),
)


def trained(case: Case, workspace: Workspace, settings: TrainSettings, target: Path) -> PriceModel:
    """Train a candidate on the changed rows; the rows are put back afterwards."""
    original = workspace.train_features.read_bytes()
    try:
        features = case.change(pd.read_parquet(workspace.train_features))
        features.to_parquet(workspace.train_features, index=False)
        train(settings.model_copy(update={"seed": case.seed}), workspace, quiet)
        workspace.model.rename(target)
    finally:
        workspace.train_features.write_bytes(original)
    return PriceModel.load(target)


def differences(pair: Pair) -> tuple[float, float]:
    """Return mean and standard error of the relative differences of MAPE, fold by fold, in %."""
    found = [100 * (own / other - 1) for own, other in zip(*pair.fold_mape, strict=True)]
    return statistics.fmean(found), statistics.stdev(found) / len(found) ** 0.5


def error_without_pairs(pair: Pair) -> float:
    """Return the standard error that the same difference has where folds are not paired, in %."""
    squares = [
        (statistics.stdev(mape) / statistics.fmean(mape)) ** 2 / len(mape)
        for mape in pair.fold_mape
    ]
    return 100 * math.sqrt(sum(squares))


def measured(settings: Settings, folder: Path, seeds: int) -> list[dict[str, object]]:
    """Train the candidates, ``seeds`` of them on unchanged rows; judge each beside production."""
    workspace = Workspace(folder)
    ingest(settings.ingest, workspace, quiet)
    transform(workspace)
    test = pd.read_parquet(workspace.test_listings)
    actual = test[PRICE].to_numpy(dtype=np.float64)
    nobody = np.array([], dtype=np.uint64)
    first = Case("production", as_they_are, 0, True)
    production = trained(first, workspace, settings.train, folder / "production")
    figures = price_metrics(actual, production.predict(as_columns(test)).price)
    rows = []
    good = [Case(f"seed {seed}", as_they_are, seed, True) for seed in range(1, seeds + 1)]
    cases = [*good, *WORSE]
    for number, case in enumerate(cases):
        print(f"{case.name} ({number + 1} of {len(cases)})", file=sys.stderr)  # noqa: T201
        model = trained(case, workspace, settings.train, folder / f"candidate-{number}")
        own = price_metrics(actual, model.predict(as_columns(test)).price)
        pair = score_pair(model, production, test, nobody)
        mean, error = differences(pair)
        margin = 100 * settings.register_.gate.champion_margin
        rows.append(
            {
                "candidate": case.name,
                "is_as_good": case.is_as_good,
                "mape": own["mape"],
                "difference": mean,
                "error": error,
                "error_without_pairs": error_without_pairs(pair),
                "accepted": mean <= margin,
                "by_r2_and_mape": own["r2"] >= 0 and own["mape"] < figures["mape"],
                "by_r2": own["r2"] >= 0,
                "time_ratio": pair.microseconds[0] / pair.microseconds[1],
            }
        )
    return rows


def show(rows: list[dict[str, object]]) -> None:
    """Print the table and the ratios."""
    table = Table(title="Candidates beside production", title_justify="left")
    header = ("candidate", "MAPE %", "Δ in pairs %", "± not paired", "time", "gate", "R² ≥ 0")
    for name in (*header, "R² ≥ 0, MAPE below"):
        table.add_column(name, justify="left" if name == "candidate" else "right")
    for row in rows:
        verdicts = (row["accepted"], row["by_r2"], row["by_r2_and_mape"])
        table.add_row(
            str(row["candidate"]),
            f"{row['mape']:.2f}",
            f"{row['difference']:+.2f} ± {row['error']:.2f}",
            f"{row['error_without_pairs']:.2f}",
            f"{row['time_ratio']:.2f}",
            *("accepts" if verdict else "refuses" for verdict in verdicts),
        )
    console.print(table)
    ratios = [float(str(row["error_without_pairs"])) / float(str(row["error"])) for row in rows]
    console.print(f"Noise without pairs is {statistics.median(ratios):.1f} times that in pairs.")
    for key, name in (
        ("accepted", "this gate"),
        ("by_r2", "R² ≥ 0"),
        ("by_r2_and_mape", "R² ≥ 0 and MAPE below production's"),
    ):
        right = sum(row[key] == row["is_as_good"] for row in rows)
        console.print(f"{name}: right about {right} of {len(rows)}")


def main() -> None:
    """Run as a program."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--params", type=Path, help="params file; default: the embedded sample")
    parser.add_argument("--source", help="listings, instead of the file's")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    parser.add_argument("--seeds", type=int, default=5, help="candidates on all rows (%(default)s)")
    options = parser.parse_args()
    settings = load_settings(options.params, options.source) if options.params else Settings()
    with tempfile.TemporaryDirectory(prefix="carprice-") as folder:
        rows = measured(settings, Path(folder), options.seeds)
    show(rows)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
