"""Measure a model on test listings: errors, ranges, segments, naive errors and noise floor."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pandas as pd

from carprice.arrays import Floats
from carprice.listings.cars import cars_of
from carprice.listings.frames import as_columns
from carprice.listings.noise import NoiseFloor, noise_floor
from carprice.metrics import by_segment, price_metrics, range_metrics
from carprice.model import DEFAULT_CONFIDENCE, PriceModel, Prices
from carprice.model.intervals import AGE_BANDS, age_bands
from carprice.schema import PRICE

_DECILES: Final = 10
_CARS_OF_MODEL: Final = {"0": 0, "1-4": 4, "5-19": 19, "20-99": 99, "100 or more": np.inf}

Segments = Mapping[str, Mapping[str, Mapping[str, float]]]


@dataclass(frozen=True)
class Measurement:
    """The prices of n test listings by a model, and their errors; figures in per cent.

    Attributes
    ----------
    actual, prices : prices asked, and the model's with their ranges.
    overall : errors, coverage and widths of all rows.
    naive : errors of :func:`naive_prices`.
    segments : kind of segment → its name → rows, errors and coverage.
    noise : the noise floor: what like cars differ by, as the error of a model.
    """

    actual: Floats
    prices: Prices
    overall: Mapping[str, float]
    naive: Mapping[str, float]
    segments: Segments
    noise: NoiseFloor


def measure(model: PriceModel, train: pd.DataFrame, test: pd.DataFrame) -> Measurement:
    """Price the test listings as the service would, and measure.

    Parameters
    ----------
    train : the model's training listings, for naive prices, cars of a model, and the noise floor.
    """
    listings = pd.concat([train, test], ignore_index=True)
    parsed = replace(model.parse(as_columns(listings)), cars=cars_of(listings))
    rows = np.arange(len(listings))
    learned, features = parsed.take(rows[: len(train)]), parsed.take(rows[len(train) :])
    prices = model.predict(as_columns(test), DEFAULT_CONFIDENCE)
    actual = test[PRICE].to_numpy(dtype=np.float64)
    bands = np.array(list(AGE_BANDS))[age_bands(features.numbers["age"])].tolist()
    common = cars_of_model(learned.texts["model"], features.texts["model"])

    def figures_of(names: Sequence[str]) -> Mapping[str, Mapping[str, float]]:
        return by_segment(names, actual, prices.price, prices.low, prices.high)

    by_band, by_count = figures_of(bands), figures_of(common)
    return Measurement(
        actual,
        prices,
        {
            **price_metrics(actual, prices.price),
            **range_metrics(actual, prices.price, prices.low, prices.high),
        },
        price_metrics(actual, naive_prices(train, test)),
        {
            "age_band": {band: by_band[band] for band in AGE_BANDS if band in by_band},
            "price_decile": figures_of(_deciles(actual)),
            "make": figures_of(features.texts["make"]),
            "cars_of_model": {name: by_count[name] for name in _CARS_OF_MODEL if name in by_count},
        },
        noise_floor(parsed, np.log(listings[PRICE].to_numpy(dtype=np.float64))),
    )


def cars_of_model(learned: Sequence[str], models: Sequence[str]) -> list[str]:
    """Return the class of each row's number of training cars of the same model.

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
    """Return each test row's median training price of its model, else of its make, else of all."""
    by_model = train.groupby(["make", "model"])[PRICE].median()
    by_make = train.groupby("make")[PRICE].median()
    keys = pd.MultiIndex.from_frame(test[["make", "model"]])
    own = pd.Series(by_model.reindex(keys).to_numpy(), index=test.index)
    make = test["make"].map(by_make)
    naive = own.fillna(make).fillna(train[PRICE].median())
    return np.asarray(naive, dtype=np.float64)


def _deciles(actual: Floats) -> list[str]:
    edges = np.quantile(actual, np.arange(1, _DECILES) / _DECILES)
    return [f"{decile + 1:02d}" for decile in np.searchsorted(edges, actual, side="right")]
