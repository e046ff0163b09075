"""Evaluate: the model folder on the test rows → figures, plot tables and one picture."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

import numpy as np
import pandas as pd

from carprice.atomic import replacing, writing
from carprice.features import Floats
from carprice.frames import as_columns
from carprice.metrics import by_segment, price_metrics, range_metrics
from carprice.model import DEFAULT_CONFIDENCE, PriceModel, Prices
from carprice.model.intervals import AGE_BANDS, age_bands
from carprice.noise import noise_floor
from carprice.pictures import draw_evaluation
from carprice.schema import PRICE
from carprice.workspace import Workspace, need, write_json

_POINTS: Final = 2000
_MAKES: Final = 15
_COLUMNS: Final = 20
_DECILES: Final = 10
_FEWEST_OF_MAKE: Final = 30
_CARS_OF_MODEL: Final = {"0": 0, "1-4": 4, "5-19": 19, "20-99": 99, "100 or more": np.inf}

Figures = dict[str, Any]


def evaluate(workspace: Workspace, progress: Callable[[str], None]) -> Figures:
    """Price the test rows as the service would, and write metrics, plot tables and a picture."""
    progress("pricing the test rows")
    model = PriceModel.load(need(workspace.model, made_by="train"))
    train = pd.read_parquet(need(workspace.train_listings, made_by="ingest"))
    test = pd.read_parquet(need(workspace.test_listings, made_by="ingest"))
    listings = pd.concat([train, test], ignore_index=True)
    parsed, rows = model.parse(as_columns(listings)), np.arange(len(listings))
    learned, features = parsed.take(rows[: len(train)]), parsed.take(rows[len(train) :])
    prices = model.predict_features(features, DEFAULT_CONFIDENCE)
    actual = test[PRICE].to_numpy(dtype=np.float64)
    bands = np.array(list(AGE_BANDS))[age_bands(features.numbers["age"])]
    by_band = segment_figures(bands, actual, prices)
    segments = {
        "age_band": {band: by_band[band] for band in AGE_BANDS if band in by_band},
        "price_decile": segment_figures(_deciles(actual), actual, prices),
        "make": segment_figures(features.texts["make"], actual, prices),
        "cars_of_model": segment_figures(
            cars_of_model(learned.texts["model"], features.texts["model"]), actual, prices
        ),
    }
    floor = noise_floor(parsed, np.log(listings[PRICE].to_numpy(dtype=np.float64)))
    figures = {
        **error_figures(actual, prices),
        "confidence": DEFAULT_CONFIDENCE,
        "rows_train": len(train),
        "rows_test": len(test),
        "naive": price_metrics(actual, naive_prices(train, test)),
        "cross_validated": model.metrics,
        "noise_floor": {name: one for name, one in asdict(floor).items() if one is not None},
        "by": {
            **segments,
            "make": {
                make: one
                for make, one in segments["make"].items()
                if one["rows"] >= _FEWEST_OF_MAKE
            },
        },
    }
    progress("drawing")
    tables = plot_tables(actual, prices, segments, model.importance)
    with replacing(workspace.plots) as folder:
        for name, table in tables.items():
            table.to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")
    with writing(workspace.picture) as path:
        draw_evaluation(tables, figures, model.market.currency, path)
    write_json(workspace.metrics, figures)
    return figures


def error_figures(actual: Floats, prices: Prices) -> dict[str, float]:
    """Return errors, coverage and widths of predictions against the prices asked."""
    return {
        **price_metrics(actual, prices.price),
        **range_metrics(actual, prices.price, prices.low, prices.high),
    }


def segment_figures(names: Any, actual: Floats, prices: Prices) -> dict[str, dict[str, float]]:
    """Return the figures of each segment."""
    return by_segment(names, actual, prices.price, prices.low, prices.high)


def cars_of_model(learned: Sequence[str], models: Sequence[str]) -> list[str]:
    """Return how many cars of each row's model were learned from, in classes.

    Examples
    --------
    >>> cars_of_model(["kia|rio"] * 7, ["kia|rio", "kia|soul"])
    ['5-19', '0']
    """
    counts = Counter(learned)
    return [
        next(name for name, most in _CARS_OF_MODEL.items() if counts[model] <= most)
        for model in models
    ]


def naive_prices(train: pd.DataFrame, test: pd.DataFrame) -> Floats:
    """Return what knowing only each model's median price says; its make's, or all's, if unseen."""
    by_model = train.groupby(["make", "model"])[PRICE].median()
    by_make = train.groupby("make")[PRICE].median()
    keys = pd.MultiIndex.from_frame(test[["make", "model"]])
    own = pd.Series(by_model.reindex(keys).to_numpy(), index=test.index)
    make = test["make"].map(by_make)
    naive = own.fillna(make).fillna(train[PRICE].median())
    return np.asarray(naive, dtype=np.float64)


def plot_tables(
    actual: Floats,
    prices: Prices,
    segments: Mapping[str, Mapping[str, Mapping[str, float]]],
    importance: Mapping[str, float],
) -> dict[str, pd.DataFrame]:
    """Return the tables behind the plots, by the name of their file."""
    shown = np.random.default_rng(0).permutation(len(actual))[:_POINTS]
    makes = sorted(segments["make"].items(), key=lambda item: -item[1]["rows"])[:_MAKES]
    weights = sorted(importance.items(), key=lambda item: -item[1])[:_COLUMNS]
    return {
        "predictions": pd.DataFrame(
            {"actual": actual[shown], "predicted": np.round(prices.price[shown], 2)}
        ),
        "error_by_price_decile": _segment_table("decile", segments["price_decile"]),
        "error_by_age_band": _segment_table("age_band", segments["age_band"]),
        "error_by_make": _segment_table("make", dict(makes)),
        "coverage_by_age_band": _segment_table("age_band", segments["age_band"], "coverage"),
        "importance": pd.DataFrame(weights, columns=["feature", "gain"]),
    }


def _segment_table(
    name: str, figures: Mapping[str, Mapping[str, float]], *columns: str
) -> pd.DataFrame:
    picked = ("rows", *(columns or ("mape", "mdape", "within_10")))
    return pd.DataFrame(
        [
            {name: segment, **{column: one[column] for column in picked}}
            for segment, one in figures.items()
        ]
    )


def _deciles(actual: Floats) -> list[str]:
    edges = np.quantile(actual, np.arange(1, _DECILES) / _DECILES)
    return [f"{decile + 1:02d}" for decile in np.searchsorted(edges, actual, side="right")]
