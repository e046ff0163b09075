"""Measure a model on test listings: errors, ranges, segments, naive errors and noise floor."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import pandas as pd

from carprice.arrays import Columns, Floats
from carprice.listings.believed import believed, believed_of
from carprice.listings.cars import cars_of, first_of_each_car
from carprice.listings.frames import as_columns
from carprice.listings.noise import NoiseFloor, noise_floor
from carprice.metrics import (
    by_segment,
    equity_metrics,
    equity_of_even_errors,
    price_metrics,
    range_metrics,
    vertical_equity,
)
from carprice.model import DEFAULT_CONFIDENCE, PriceModel, Prices
from carprice.model.intervals import AGE_BANDS, age_bands
from carprice.schema import PRICE

FEWEST_TEST_CARS: Final = 300
"""Test cars from which on they alone tell how good a model is."""
_DECILES: Final = 10
_FOLDS: Final = 5
_NEWEST: Final = {"tenth": 0.9, "quarter": 0.75}
_CARS_OF_MODEL: Final = {"0": 0, "1-4": 4, "5-19": 19, "20-99": 99, "100 or more": np.inf}

Predict = Callable[[Columns, float], Prices]
"""Prices listings given by column, with ranges of a confidence."""
Segments = Mapping[str, Mapping[str, Mapping[str, float]]]


@dataclass(frozen=True)
class Measurement:
    """The prices of n cars by a model that did not learn from them, and their errors; per cent.

    These are the test cars, one listing of each. Where they are fewer than
    :data:`FEWEST_TEST_CARS`, the training cars follow, with their cross-validated prices.

    Attributes
    ----------
    actual, prices : prices asked, and the model's with their ranges.
    overall : errors, evenness (COD, PRD, PRB), coverage and widths of all cars.
    margin : what chance may make of MAPE and coverage of so many cars: 1.96 standard errors.
    test : the same as ``overall`` of the test cars alone.
    held_out : number of training cars among the n.
    naive : errors and evenness of :func:`naive_prices`.
    segments : kind of segment → its name → rows, errors, coverage and evenness.
    equity : tenth of the cars, by what they are worth → rows, median ratio and COD.
    even_errors : PRD and PRB that the same errors would have if none hung on the price.
    noise : the noise floor: what like cars differ by, as the error of a model.
    junk : number of test listings whose price is not believed; they are in no other figure.
    every : the same as ``test``, of all test rows: those whose price is not believed, too.
    newest : ``tenth`` and ``quarter`` → the mean of ln(price / price asked) of so many test cars,
        those that were listed last; empty where listings have no dates.
    """

    actual: Floats
    prices: Prices
    overall: Mapping[str, float]
    margin: Mapping[str, float]
    test: Mapping[str, float]
    held_out: int
    naive: Mapping[str, float]
    segments: Segments
    equity: Mapping[str, Mapping[str, float]]
    even_errors: Mapping[str, float]
    noise: NoiseFloor
    junk: int
    every: Mapping[str, float]
    newest: Mapping[str, float] = field(default_factory=dict)


def measure(
    model: PriceModel,
    train: pd.DataFrame,
    test: pd.DataFrame,
    predict: Predict | None = None,
) -> Measurement:
    """Price the test listings as the service would, and measure those whose price is believed.

    Parameters
    ----------
    train : the model's training listings, for naive prices, cars of a model, and the noise floor.
    predict : takes the place of the model's own.
    """
    predict = predict or model.predict
    train, test = of_their_days(train, model), of_their_days(test, model)
    listings = believed(pd.concat([train, test], ignore_index=True))
    parsed = replace(model.parse(as_columns(listings)), cars=cars_of(listings))
    noise = noise_floor(parsed, np.log(listings[PRICE].to_numpy(dtype=np.float64)))
    learned, cars = first_of_each_car(train), believed(first_of_each_car(test))
    prices = predict(as_columns(cars), DEFAULT_CONFIDENCE)
    tested = every = _figures(_prices_of(cars), prices)
    junk, is_learned = int(len(test) - len(believed(test))), believed_of(learned)
    if junk:
        every = _figures(_prices_of(test), predict(as_columns(test), DEFAULT_CONFIDENCE))
    naive = naive_prices(learned.iloc[is_learned], cars)
    held_out = 0
    if (
        len(cars) < FEWEST_TEST_CARS
        and model.held_out is not None
        and len(model.held_out.price) == len(learned)
    ):
        learned, known = learned.iloc[is_learned], model.held_out.take(is_learned)
        held_out = len(learned)
        both = zip(vars(prices).values(), vars(known).values(), strict=True)
        prices = Prices(*map(np.concatenate, both))
        naive = np.concatenate([naive, _naive_held_out(learned)])
        cars = pd.concat([cars, learned])
    texts, actual = model.parse(as_columns(learned)).texts["model"], _prices_of(cars)
    features = model.parse(as_columns(cars))
    bands = np.array(list(AGE_BANDS))[age_bands(features.numbers["age"])].tolist()
    models, of_test = features.texts["model"], len(cars) - held_out
    common = cars_of_model(texts, models[:of_test])
    common += cars_of_model(texts, models[of_test:], less=1)

    def figures_of(names: Sequence[str]) -> Mapping[str, Mapping[str, float]]:
        return by_segment(names, actual, prices.price, prices.low, prices.high)

    by_band, by_count = figures_of(bands), figures_of(common)
    return Measurement(
        actual,
        prices,
        _figures(actual, prices),
        _margins(actual, prices),
        tested,
        held_out,
        price_metrics(actual, naive) | equity_metrics(actual, naive),
        {
            "age_band": {band: by_band[band] for band in AGE_BANDS if band in by_band},
            "price_decile": figures_of(_deciles(actual)),
            "make": figures_of(features.texts["make"]),
            "cars_of_model": {name: by_count[name] for name in _CARS_OF_MODEL if name in by_count},
        },
        vertical_equity(actual, prices.price),
        equity_of_even_errors(actual, prices.price),
        noise,
        junk,
        every,
        _bias_of_newest(
            features.numbers["listed"][:of_test], np.log(prices.price / actual)[:of_test]
        ),
    )


def of_their_days(listings: pd.DataFrame, model: PriceModel) -> pd.DataFrame:
    """Return listings of a model's own data such that it prices each as of the day that it is of.

    A correction is for the market since, and for cars without a date, which are asked for now. Test
    listings without one are of the valuation date.
    """
    if model.correction is None:
        return listings
    day = pd.Timestamp(model.market.valuation_date)
    return listings.assign(listed_on=listings["listed_on"].fillna(day))


def _bias_of_newest(listed: Floats, error: Floats) -> dict[str, float]:
    """Return the mean error of ln(price) of the newest tenth and quarter; none without dates.

    Examples
    --------
    >>> _bias_of_newest(np.array([-0.3, -0.2, -0.1, 0.0]), np.array([0.0, 0.0, 0.0, 0.5]))
    {'tenth': 0.5, 'quarter': 0.5}
    """
    if np.ptp(listed) == 0:
        return {}
    edges = {name: np.quantile(listed, share) for name, share in _NEWEST.items()}
    return {name: float(error[listed >= edge].mean()) for name, edge in edges.items()}


def _prices_of(listings: pd.DataFrame) -> Floats:
    return np.asarray(listings[PRICE], dtype=np.float64)


def _figures(actual: Floats, prices: Prices) -> dict[str, float]:
    errors = price_metrics(actual, prices.price) | equity_metrics(actual, prices.price)
    return errors | range_metrics(actual, prices.price, prices.low, prices.high)


def _margins(actual: Floats, prices: Prices) -> dict[str, float]:
    """Return 1.96 standard errors of MAPE and coverage."""
    errors = {
        "mape": np.abs(prices.price - actual) / actual,
        "coverage": (prices.low <= actual) & (actual <= prices.high),
    }
    each = 100 * 1.96 / math.sqrt(len(actual))
    return {name: float(each * values.std()) for name, values in errors.items()}


def cars_of_model(learned: Sequence[str], models: Sequence[str], less: int = 0) -> list[str]:
    """Return the class of each car's number of training cars of the same model.

    Parameters
    ----------
    less : cars that are not counted: a training car is none of the others.

    Examples
    --------
    >>> cars_of_model(["kia|rio"] * 7, ["kia|rio", "kia|soul"])
    ['5-19', '0']
    """
    counts = Counter(learned)
    return [
        next(name for name, most in _CARS_OF_MODEL.items() if counts[model] - less <= most)
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


def _naive_held_out(learned: pd.DataFrame) -> Floats:
    """Return the naive prices of training cars, each from four fifths of the others."""
    found, parts = np.empty(len(learned)), np.arange(len(learned)) % _FOLDS
    for part in range(_FOLDS):
        found[parts == part] = naive_prices(learned[parts != part], learned[parts == part])
    return found


def _deciles(actual: Floats) -> list[str]:
    edges = np.quantile(actual, np.arange(1, _DECILES) / _DECILES)
    return [f"{decile + 1:02d}" for decile in np.searchsorted(edges, actual, side="right")]
