"""Compare carprice with what people would use instead, on the same folds of real listings.

Every data set is read, mapped, freed of duplicates and cleaned by carprice's own ingest; then each
peer learns from and prices the same rows. Figures are means over the folds; differences to carprice
are taken fold by fold, so that a hard fold is hard for both.
"""

import argparse
import importlib.util
import json
import pickle
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import KFold, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from xgboost import XGBRegressor

from carprice.arrays import Floats
from carprice.components.ingest import ingest
from carprice.components.workspace import Workspace, read_json
from carprice.errors import InputError
from carprice.listings.features import TEXTS, Features, parse
from carprice.listings.frames import as_columns
from carprice.listings.market import Market
from carprice.metrics import price_metrics, range_metrics
from carprice.model import PriceModel
from carprice.model.intervals import AGE_BANDS, age_bands
from carprice.schema import FEATURE_SEPARATOR, PRICE, FieldKind, fields_of
from carprice.settings import IngestSettings, SplitSettings, TrainSettings, load_settings

EXAMPLES: Final = Path(__file__).resolve().parent.parent / "examples"
OURS: Final = "carprice"
CONFIDENCES: Final = (0.5, 0.8, 0.9, 0.95)
FIGURES: Final = ("mape", "mdape", "within_10", "rmsle", "mae", "r2")
REFERENCE_TEXTS: Final = (
    "make",
    "model",
    "variant",
    "transmission_type",
    "body_type",
    "fuel_type",
    "color",
)
REFERENCE_NUMBERS: Final = ("year", "ownership", "odometer", "fitness_age")
_MOST_CATEGORIES = 20_000
_MOST_EQUIPMENT = 100
_FEWEST_EQUIPPED = 10
_AUTOGLUON_SECONDS = 600
_INSTALL = "pip install -e '.[benchmark]'"

Rows = npt.NDArray[np.intp]

EPILOG: Final = """
peers
  reference      one-hot + XGBoost of 300 trees on the raw price, the pipeline to beat
  reference-log  the same on ln(1 + price)
  xgboost-tuned  XGBoost on ln(price): all fields, native categories, equipment flags
  lightgbm       LightGBM on ln(price) and carprice's parsed features
  catboost       CatBoost on ln(price) and carprice's parsed features
  autogluon      AutoGluon best_quality, 600 s a fold, on the same; optional
  carprice       this project with its default training parameters

  LightGBM and CatBoost: pip install -e '.[benchmark]'; AutoGluon: pip install autogluon.tabular,
  ten minutes a fold. A peer that is not installed is left out.

examples
  python benchmarks/accuracy.py ../shared/data/cars24/cars24_v3.xlsx
  python benchmarks/accuracy.py examples/cardekho.yaml '../shared/data/uk/*.csv' --rows 20000
  python benchmarks/accuracy.py my_params.yaml --peers lightgbm --folds 3 --json out.json
"""


@dataclass(frozen=True)
class Data:
    """The listings of one market: as fields, as carprice's features, and their prices."""

    name: str
    listings: pd.DataFrame
    features: Features
    price: Floats
    market: Market

    @property
    def log_price(self) -> Floats:
        """ln(price)."""
        return np.log(self.price)


@dataclass(frozen=True)
class Fitted:
    """A fitted peer: ``price`` gives the prices of rows; ``size`` is in bytes."""

    price: Callable[[Rows], Floats]
    size: int
    model: Any


@dataclass
class Result:
    """One peer on one data set: figures, fit seconds and megabytes, one entry a fold."""

    figures: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in FIGURES})
    seconds: list[float] = field(default_factory=list)
    megabytes: list[float] = field(default_factory=list)

    def add(self, actual: Floats, predicted: Floats, seconds: float, size: int) -> None:
        """Add a fold."""
        one = price_metrics(actual, predicted)
        for name in FIGURES:
            self.figures[name].append(one[name])
        self.seconds.append(seconds)
        self.megabytes.append(size / 1e6)


@dataclass
class Ranges:
    """carprice's ranges of held-out rows, collected over the folds."""

    actual: list[Floats] = field(default_factory=list)
    predicted: list[Floats] = field(default_factory=list)
    band: list[npt.NDArray[np.intp]] = field(default_factory=list)
    limits: dict[float, list[tuple[Floats, Floats]]] = field(
        default_factory=lambda: {confidence: [] for confidence in CONFIDENCES}
    )

    def add(self, model: PriceModel, data: Data, rows: Rows) -> None:
        """Add a fold's held-out rows."""
        features = data.features.take(rows)
        self.actual.append(data.price[rows])
        self.band.append(age_bands(features.numbers["age"]))
        for confidence, limits in self.limits.items():
            prices = model.predict_features(features, confidence)
            limits.append((prices.low, prices.high))
        self.predicted.append(prices.price)

    def figures(self) -> dict[str, dict[str, float]]:
        """Return coverage, overall and by age band, and widths, in per cent, by confidence."""
        actual, predicted = np.concatenate(self.actual), np.concatenate(self.predicted)
        band = np.concatenate(self.band)
        table = {}
        for confidence, limits in self.limits.items():
            low, high = (np.concatenate(side) for side in zip(*limits, strict=True))
            inside = (low <= actual) & (actual <= high)
            table[f"{100 * confidence:g} %"] = {
                **range_metrics(actual, predicted, low, high),
                **{
                    name: float(100 * inside[band == number].mean())
                    for number, name in enumerate(AGE_BANDS)
                    if (band == number).any()
                },
            }
        return table


def settings_of(argument: str) -> IngestSettings:
    """Return how to read a params file's source or a data file.

    A data file that stands where an example's source stands (``cars24/cars24_v3.xlsx``) is read by
    that example; another one must have the fields' own names as its columns.
    """
    if Path(argument).suffix in (".yaml", ".yml"):
        return load_settings(Path(argument)).ingest
    place = "/".join(Path(argument).parts[-2:])
    for example in sorted(EXAMPLES.glob("*.yaml")):
        source = load_settings(example).ingest.source
        if fnmatch(place, "/".join(Path(source).parts[-2:])):
            return load_settings(example, source=argument).ingest
    return IngestSettings(source=argument)


def read_data(argument: str, limit: int | None, seed: int) -> Data:
    """Ingest with the project's own code; return the listings in the file's order."""
    split = SplitSettings()
    settings = settings_of(argument).model_copy(update={"split": split})
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder))
        try:
            ingest(settings, workspace, lambda _: None)
        except InputError as error:
            raise InputError(
                f"{error}\nA data file whose columns have other names than the fields of a listing "
                "needs a params file that maps them: give that instead; examples/ has some"
            ) from None
        parts = (workspace.train_listings, workspace.test_listings)
        listings = pd.concat([pd.read_parquet(path) for path in parts], ignore_index=True)
        market = Market.from_json(read_json(workspace.market, made_by="ingest"))
    positions = np.concatenate(
        train_test_split(
            np.arange(len(listings)), test_size=split.test_size, random_state=split.seed
        )
    )
    listings = listings.iloc[np.argsort(positions)].reset_index(drop=True)
    if limit is not None and limit < len(listings):
        some = np.sort(np.random.default_rng(seed).permutation(len(listings))[:limit])
        listings = listings.iloc[some].reset_index(drop=True)
    features = parse(as_columns(listings), market.valuation_date, market.distance_unit)
    return Data(argument, listings, features, listings[PRICE].to_numpy(dtype=np.float64), market)


def categorical(values: Sequence[str], train: Rows) -> pd.Categorical:
    """Return values as categories; those that no training row has are missing."""
    known = sorted({values[row] for row in train.tolist()} - {""})
    codes = {value: code for code, value in enumerate(known)}
    return pd.Categorical.from_codes(
        np.array([codes.get(value, -1) for value in values]), categories=range(len(known))
    )


def equipment_flags(features: Features, train: Rows) -> dict[str, Floats]:
    """Return 0/1 columns of the equipment that enough training rows have."""
    owned = [frozenset(text.split(FEATURE_SEPARATOR)) for text in features.equipment]
    counts = Counter(name for row in train.tolist() for name in owned[row] if name)
    common = [name for name, rows in counts.most_common(_MOST_EQUIPMENT) if rows > _FEWEST_EQUIPPED]
    return {
        f"equipment_{number}": np.array([name in names for names in owned], dtype=np.float64)
        for number, name in enumerate(common)
    }


def field_frame(data: Data, train: Rows) -> pd.DataFrame:
    """Return all the listing's own fields: texts as categories, numbers, equipment flags."""
    listings = data.listings
    texts = {
        name: categorical(listings[name].astype(object).fillna("").tolist(), train)
        for name in fields_of(FieldKind.TEXT)
    }
    numbers = {
        name: listings[name].to_numpy(dtype=np.float64)
        for name in fields_of(FieldKind.NUMBER, FieldKind.INTEGER)
    }
    return pd.DataFrame(
        {
            **texts,
            **numbers,
            "listed": data.features.numbers["listed"],
            **equipment_flags(data.features, train),
        }
    )


def parsed_frame(data: Data, train: Rows, *, native: bool) -> pd.DataFrame:
    """Return carprice's parsed features; texts as categories, or as they are for CatBoost."""
    texts = {
        name: values if native else categorical(values, train)
        for name, values in data.features.texts.items()
    }
    return pd.DataFrame({**texts, **data.features.numbers, **equipment_flags(data.features, train)})


def pickled(model: Any) -> int:
    """Return the bytes of a serialized model."""
    return len(pickle.dumps(model))


def fit_reference(data: Data, train: Rows, *, log: bool) -> Fitted:
    """Fit the reference system's pipeline; it quotes no price below the lowest that it learned."""
    texts = [name for name in REFERENCE_TEXTS if data.listings[name].notna().any()]
    numbers = [name for name in REFERENCE_NUMBERS if data.listings[name].notna().any()]
    frame = data.listings[texts + numbers].astype(dict.fromkeys(numbers, np.float64))
    frame[texts] = frame[texts].astype(object).fillna("missing")
    encoder = ColumnTransformer(
        [("texts", OneHotEncoder(handle_unknown="ignore", max_categories=_MOST_CATEGORIES), texts)],
        remainder="passthrough",
    )
    model = make_pipeline(encoder, XGBRegressor(n_estimators=300))
    target = np.log1p(data.price) if log else data.price
    model.fit(frame.iloc[train], target[train])

    def price(rows: Rows) -> Floats:
        predicted = np.asarray(model.predict(frame.iloc[rows]), dtype=np.float64)
        prices: Floats = np.expm1(predicted) if log else predicted
        return np.clip(prices, data.price[train].min(), None)

    return Fitted(price, pickled(model), model)


def fit_frame(model: Any, frame: pd.DataFrame, data: Data, train: Rows, **options: Any) -> Fitted:
    """Fit a regressor of ln(price) on the rows of a frame."""
    model.fit(frame.iloc[train], data.log_price[train], **options)
    return Fitted(lambda rows: np.exp(model.predict(frame.iloc[rows])), pickled(model), model)


def fit_xgboost(data: Data, train: Rows) -> Fitted:
    """Fit XGBoost with native categories."""
    model = XGBRegressor(
        n_estimators=900,
        max_depth=6,
        learning_rate=0.03,
        subsample=0.8,
        colsample_bytree=0.5,
        min_child_weight=5,
        enable_categorical=True,
    )
    return fit_frame(model, field_frame(data, train), data, train)


def fit_lightgbm(data: Data, train: Rows) -> Fitted:
    """Fit LightGBM on the parsed features."""
    from lightgbm import LGBMRegressor  # noqa: PLC0415

    model = LGBMRegressor(
        n_estimators=1200,
        num_leaves=31,
        learning_rate=0.03,
        subsample=0.8,
        subsample_freq=1,
        colsample_bytree=0.5,
        min_child_samples=10,
        cat_smooth=10,
        cat_l2=10,
        n_jobs=0,  # as many as OpenMP says, so that OMP_NUM_THREADS counts
        verbosity=-1,
    )
    return fit_frame(model, parsed_frame(data, train, native=False), data, train)


def fit_catboost(data: Data, train: Rows) -> Fitted:
    """Fit CatBoost on the parsed features."""
    from catboost import CatBoostRegressor  # noqa: PLC0415

    model = CatBoostRegressor(
        iterations=1200,
        depth=6,
        learning_rate=0.05,
        l2_leaf_reg=3,
        cat_features=list(TEXTS),
        allow_writing_files=False,
        verbose=False,
    )
    return fit_frame(model, parsed_frame(data, train, native=True), data, train)


def fit_autogluon(data: Data, train: Rows) -> Fitted:
    """Fit AutoGluon's ensemble on the parsed features."""
    from autogluon.tabular import TabularPredictor  # noqa: PLC0415

    frame = parsed_frame(data, train, native=True)
    model = TabularPredictor("ln_price", verbosity=0, path=tempfile.mkdtemp()).fit(
        frame.iloc[train].assign(ln_price=data.log_price[train]),
        presets="best_quality",
        time_limit=_AUTOGLUON_SECONDS,
    )
    return Fitted(
        lambda rows: np.exp(model.predict(frame.iloc[rows]).to_numpy(dtype=np.float64)),
        model.disk_usage(),
        model,
    )


def fit_carprice(data: Data, train: Rows) -> Fitted:
    """Fit carprice with its default parameters."""
    settings = TrainSettings()
    model = PriceModel.fit(
        data.features.take(train),
        data.log_price[train],
        data.market,
        scales=settings.hedonic.model_dump(),
        booster=settings.booster.model_dump(),
        patience=settings.patience,
        folds=settings.folds,
        seed=settings.seed,
    )
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "model")
        model.save(target)
        size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    return Fitted(lambda rows: model.predict_features(data.features.take(rows)).price, size, model)


@dataclass(frozen=True)
class Peer:
    """How a peer is fitted and which module it needs, of the extra ``benchmark`` or optional."""

    fit: Callable[[Data, Rows], Fitted]
    module: str = "xgboost"
    optional: bool = False

    @property
    def is_installed(self) -> bool:
        """Whether the module can be imported."""
        return importlib.util.find_spec(self.module) is not None


PEERS: Final = {
    OURS: Peer(fit_carprice),
    "reference": Peer(lambda data, train: fit_reference(data, train, log=False)),
    "reference-log": Peer(lambda data, train: fit_reference(data, train, log=True)),
    "xgboost-tuned": Peer(fit_xgboost),
    "lightgbm": Peer(fit_lightgbm, "lightgbm"),
    "catboost": Peer(fit_catboost, "catboost"),
    "autogluon": Peer(fit_autogluon, "autogluon", optional=True),
}


def compare(
    data: Data, peers: Sequence[str], folds: int, seed: int, step: Callable[[str], None]
) -> tuple[dict[str, Result], Ranges]:
    """Fit every installed peer on the same folds; return their results and carprice's ranges."""
    present = [name for name in peers if PEERS[name].is_installed]
    results = {name: Result() for name in present}
    ranges = Ranges()
    splits = KFold(folds, shuffle=True, random_state=seed).split(data.price)
    for number, (train, test) in enumerate(splits, start=1):
        for name in present:
            step(f"{data.name}: fold {number} of {folds}, {name}")
            start = time.perf_counter()
            fitted = PEERS[name].fit(data, train)
            seconds = time.perf_counter() - start
            results[name].add(data.price[test], fitted.price(test), seconds, fitted.size)
            if name == OURS:
                ranges.add(fitted.model, data, test)
    return results, ranges


def paired(theirs: Sequence[float], ours: Sequence[float]) -> str:
    """Return their error minus ours, mean ± standard error over folds, and our folds ahead.

    Examples
    --------
    >>> paired([12.0, 14.0], [11.0, 12.0])
    '+1.50 ± 0.50 (2/2)'
    """
    more = np.subtract(theirs, ours)
    error = more.std(ddof=1) / np.sqrt(len(more))
    return f"{more.mean():+.2f} ± {error:.2f} ({(more > 0).sum()}/{len(more)})"


def accuracy_table(
    data: Data, results: Mapping[str, Result], peers: Sequence[str], folds: int
) -> Table:
    """Return one row a peer; those that are not installed say what installs them."""
    skipped = [name for name in peers if name not in results and PEERS[name].optional]
    table = Table(
        title=f"{data.name}: {len(data.price):,} listings, {folds} folds, {data.market.currency}",
        caption="Δ: peer minus carprice, mean ± standard error of the fold-paired differences "
        "(folds in which carprice is ahead); ×: times carprice's"
        + "".join(f"\n{name} is optional, not installed and skipped" for name in skipped),
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("peer", max_width=24, overflow="fold")
    header = ("MAPE %", "MdAPE %", "±10 %", "RMSLE", "MAE", "R²", "ΔMAPE", "ΔMdAPE", "fit s", "MB")
    for name in header:
        table.add_column(name, justify="right", no_wrap=True)
    ours = results[OURS]
    for name in peers:
        if name in results:
            table.add_row(*_accuracy_row(name, results[name], ours))
        elif name not in skipped:
            table.add_row(f"{name}: not installed, {escape(_INSTALL)}")
    return table


def _accuracy_row(name: str, result: Result, ours: Result) -> Iterator[str]:
    mean = {figure: float(np.mean(values)) for figure, values in result.figures.items()}
    yield name
    yield from (f"{mean['mape']:.2f}", f"{mean['mdape']:.2f}", f"{mean['within_10']:.1f}")
    yield from (f"{mean['rmsle']:.3f}", f"{mean['mae']:,.0f}", f"{mean['r2']:.3f}")
    for figure in ("mape", "mdape"):
        yield "" if name == OURS else paired(result.figures[figure], ours.figures[figure])
    for values, own, digits in (
        (result.seconds, ours.seconds, 1),
        (result.megabytes, ours.megabytes, 2),
    ):
        ratio = "" if name == OURS else f" ({np.mean(values) / np.mean(own):.1f}×)"
        yield f"{np.mean(values):.{digits}f}{ratio}"


def range_table(figures: Mapping[str, Mapping[str, float]], bands: Mapping[str, int]) -> Table:
    """Return coverage and widths of carprice's ranges, one row a confidence."""
    table = Table(
        title="carprice's ranges of held-out listings: coverage and width, per cent",
        title_justify="left",
    )
    for name in ("confidence", "coverage", *(f"{band} years" for band in bands)):
        table.add_column(name, justify="right")
    table.add_column("mean width", justify="right")
    table.add_column("median width", justify="right")
    for confidence, one in figures.items():
        names = ("coverage", *bands, "mean_width", "median_width")
        table.add_row(confidence, *(f"{one[name]:.1f}" for name in names))
    table.add_section()
    table.add_row("rows", f"{sum(bands.values()):,}", *(f"{n:,}" for n in bands.values()), "", "")
    return table


def bands_of(data: Data) -> dict[str, int]:
    """Return the number of listings in each age band that has any."""
    rows = np.bincount(age_bands(data.features.numbers["age"]), minlength=len(AGE_BANDS))
    return {name: int(n) for name, n in zip(AGE_BANDS, rows, strict=True) if n}


def run(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Compare on every data set, print its tables, and return all figures."""
    peers = [name for name in PEERS if name in {OURS, *options.peers}]
    out = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    written = []
    for argument in options.data:
        with Progress(
            *columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True
        ) as bar:
            present = sum(PEERS[name].is_installed for name in peers)
            task = bar.add_task(f"reading {argument}", total=options.folds * present + 1)
            data = read_data(argument, options.rows, options.seed)

            def step(text: str, bar: Progress = bar, task: Any = task) -> None:
                bar.update(task, description=text, advance=1)

            results, ranges = compare(data, peers, options.folds, options.seed, step)
        figures = ranges.figures()
        out.print(accuracy_table(data, results, peers, options.folds))
        out.print(range_table(figures, bands_of(data)))
        written.append(
            {
                "data": argument,
                "rows": len(data.price),
                "folds": options.folds,
                "seed": options.seed,
                "peers": {name: asdict(result) for name, result in results.items()},
                "ranges": figures,
            }
        )
    return written


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "data",
        nargs="+",
        metavar="FILE_OR_PARAMS",
        help="a params file (.yaml, its ingest section is used), or a data file or quoted pattern "
        "of one that an example reads or whose columns have the fields' own names",
    )
    parser.add_argument("--folds", type=int, default=5, help="of KFold (default: 5)")
    parser.add_argument("--seed", type=int, default=0, help="of KFold's shuffle (default: 0)")
    parser.add_argument(
        "--peers",
        nargs="+",
        choices=PEERS,
        default=list(PEERS),
        metavar="PEER",
        help="only these, and carprice",
    )
    parser.add_argument(
        "--rows", type=int, metavar="LIMIT", help="a random subset of the clean listings"
    )
    parser.add_argument(
        "--json", type=Path, metavar="OUT", help="write every fold's figures to this file"
    )
    options = parser.parse_args()
    if options.folds < 2:
        parser.error("--folds must be at least 2")
    return options


def main() -> int:
    """Run from the command line."""
    options = read_options()
    try:
        written = run(options)
    except InputError as error:
        Console(stderr=True, highlight=False).print(str(error), markup=False, soft_wrap=True)
        return error.exit_code
    if options.json is not None:
        options.json.write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
