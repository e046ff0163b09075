"""How much junk prices harm carprice and other models: errors on clean rows, by share of junk.

Of the training prices a share is replaced by junk of five kinds, in turns: placeholders that are
small (1, 111, 1234) or large (9999 … 99999999), the price of a part (0.5–8 %), a rate of leasing
(a 36th to a 72nd), and one zero too many or too few. Each model learns from the same rows, and is
measured on the clean prices of the fold that it did not see.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.table import Table

from carprice.arrays import Floats, quiet
from carprice.experiments.candidates import COMPARED, choose
from carprice.experiments.data import read_data
from carprice.experiments.estimators import fit
from carprice.experiments.fitting import shuffled_folds
from carprice.metrics import price_metrics
from carprice.settings import Settings, load_settings

console = Console()
MODELS: Final = (
    "carprice/log",
    "xgboost/log/native/*",
    "lightgbm/log/native/none",
    "catboost/log/native/*",
)
SMALL: Final = (1, 111, 1234)
LARGE: Final = (9999, 99_999, 999_999, 9_999_999, 99_999_999, 11_111_111, 12_345_678)
KINDS: Final[tuple[Callable[[np.random.Generator, float], float], ...]] = (
    lambda rng, _: rng.choice(SMALL),
    lambda rng, _: rng.choice(LARGE),
    lambda rng, price: price * rng.uniform(0.005, 0.08),
    lambda rng, price: price / rng.uniform(36, 72),
    lambda rng, price: price * rng.choice([0.1, 10]),
)
"""Kinds of junk in the place of a car's price."""


def contaminated(log_price: Floats, share: float, seed: int = 0) -> Floats:
    """Return ln(price) of n rows, a share of which is replaced by junk of all kinds."""
    rng, found = np.random.default_rng(seed), log_price.copy()
    rows = rng.permutation(len(found))[: round(share * len(found))].tolist()
    for place, row in enumerate(rows):
        junk = KINDS[place % len(KINDS)]
        found[row] = np.log(junk(rng, float(np.exp(log_price[row]))))
    return found


def measured(settings: Settings, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield the errors of each model, share of junk and fold; per cent."""
    models = [one for one in choose(COMPARED, options.only) if one.is_installed]
    with tempfile.TemporaryDirectory(prefix="carprice-") as folder:
        data = read_data(settings, Path(folder), quiet, options.rows)
    train, rows = settings.train, len(data.log_price)
    folds = shuffled_folds(rows, 5, train.seed, data.features.cars)[: options.folds]
    for fold, (learned, priced) in enumerate(folds):
        known, others = data.features.take(learned), data.features.take(priced)
        for share in (0.0, *options.shares):
            prices = contaminated(data.log_price[learned], share)
            for model in models:
                price = fit(model, known, prices, data.market, train, quick=options.quick)
                errors = price_metrics(np.exp(data.log_price[priced]), price(others))
                found = {name: errors[name] for name in ("mape", "mdape")}
                yield {"model": model.name, "share": share, "fold": fold, **found}


def means(rows: list[dict[str, Any]], model: str, share: float) -> dict[str, float]:
    """Return a model's mean errors over the folds, at a share of junk."""
    own = [row for row in rows if row["model"] == model and row["share"] == share]
    return {name: float(np.mean([row[name] for row in own])) for name in ("mape", "mdape")}


def show(rows: list[dict[str, Any]]) -> None:
    """Print the mean errors of each model by the share of junk, beside those without any."""
    table = Table(title="Errors on clean prices, %; in brackets, times those without junk")
    for name in ("model", "junk", "MAPE", "MdAPE"):
        table.add_column(name, justify="left" if name == "model" else "right")
    for model in dict.fromkeys(row["model"] for row in rows):
        clean = means(rows, model, 0.0)
        for share in dict.fromkeys(row["share"] for row in rows):
            own = means(rows, model, share)
            errors = (f"{own[name]:.2f} ({own[name] / clean[name]:.3f})" for name in own)
            table.add_row(model, f"{100 * share:g} %", *errors)
    console.print(table)


def main() -> None:
    """Run as a program."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--params", type=Path, help="params file; default: the embedded sample")
    parser.add_argument("--source", help="listings, instead of the file's")
    parser.add_argument("--rows", type=int, help="take so many listings at random")
    parser.add_argument("--folds", type=int, default=5, help="of five (%(default)s)")
    parser.add_argument(
        "--shares", type=float, nargs="+", default=[0.05, 0.1, 0.2], help="of junk (%(default)s)"
    )
    parser.add_argument(
        "--only", nargs="+", default=MODELS, help="names of candidates, or patterns"
    )
    parser.add_argument("--quick", action="store_true", help="fewer trees in the other models")
    parser.add_argument("--json", type=Path, help="write the figures of each fold there too")
    options = parser.parse_args()
    settings = load_settings(options.params, options.source) if options.params else Settings()
    rows = list(measured(settings, options))
    show(rows)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
