"""Compare a candidate with the production model: errors on the same folds, and speed."""

from collections.abc import Callable
from timeit import timeit
from typing import Final

import numpy as np
import pandas as pd

from carprice.arrays import Columns
from carprice.evaluation.gate import Pair
from carprice.evaluation.measurement import of_their_days
from carprice.listings.believed import believed
from carprice.listings.cars import CAR, Digests, car_digests, cars_of
from carprice.listings.features import listings_of
from carprice.listings.frames import as_columns
from carprice.metrics import price_metrics
from carprice.model import PriceModel
from carprice.schema import PRICE, own_of

_FOLDS: Final = 10
_FEWEST_OF_FOLD: Final = 5
_FEWEST_UNSEEN: Final = 100
_TIMED: Final = 20
_ROUNDS: Final = 50


def learned_cars(train: pd.DataFrame) -> Digests:
    """Return what a version keeps of its training listings, so that their cars are known again."""
    return np.unique(np.concatenate(_names_of(train)))


def score_pair(
    candidate: PriceModel, champion: PriceModel, test: pd.DataFrame, learned: Digests | None
) -> Pair:
    """Score two models on the same test rows, in pairs of folds, and time them.

    Parameters
    ----------
    test : the candidate's test listings.
    learned : :func:`learned_cars` of the champion's training listings, which are left out of the
        test since it knows their prices; None where they are not known.
    """
    rows, note = _fair_rows(believed(test), learned)
    cars = cars_of(rows)
    codes = np.arange(len(rows)) if cars is None else cars
    count = max(1, min(_FOLDS, (codes.max() + 1) // _FEWEST_OF_FOLD))
    parts = np.array_split(np.random.default_rng(0).permutation(codes.max() + 1), count)
    folds = [part if cars is None else np.flatnonzero(np.isin(codes, part)) for part in parts]
    actual = rows[PRICE].to_numpy(dtype=np.float64)

    def mape_of_folds(model: PriceModel) -> list[float]:
        predicted = model.predict(_as_columns(rows, model)).price
        return [price_metrics(actual[fold], predicted[fold])["mape"] for fold in folds]

    fold_mape = mape_of_folds(candidate), mape_of_folds(champion)
    return Pair(len(rows), fold_mape, time_both(candidate, champion, rows), note)


def time_both(
    candidate: PriceModel, champion: PriceModel, rows: pd.DataFrame
) -> tuple[float, float]:
    """Return the microseconds of a single prediction of two models, measured in turns.

    The quickest of many short rounds counts: other work of the machine only adds time.
    """
    some = rows.head(_TIMED)

    def seconds(model: PriceModel) -> Callable[[], float]:
        cars = [*listings_of(_as_columns(some, model))]
        return lambda: timeit(lambda: [model.pricer.value(car) for car in cars], number=1)

    ours, theirs = map(seconds, (candidate, champion))
    rounds = [(ours(), theirs()) for _ in range(_ROUNDS)]
    first, second = (1e6 * min(times) / len(some) for times in zip(*rounds, strict=True))
    return first, second


def _as_columns(rows: pd.DataFrame, model: PriceModel) -> Columns:
    """Return listings with those own columns that a model knows, and as what it knows them."""
    known = rows.drop(columns=[*{*own_of(rows.columns)} - {*model.own}])
    return as_columns(of_their_days(known, model))


def _names_of(listings: pd.DataFrame) -> list[Digests]:
    """Return all hashes by which a car may be known.

    Versions of old have its region in them, and not every version the same own columns.
    """
    own = [listings[CAR].to_numpy(dtype=np.uint64)] if CAR in listings else []
    plain = listings.drop(columns=[*own_of(listings.columns)])
    if plain.shape[1] < listings.shape[1]:
        own.append(car_digests(listings))
    return [*own, car_digests(plain), car_digests(plain, with_region=True)]


def _fair_rows(test: pd.DataFrame, learned: Digests | None) -> tuple[pd.DataFrame, str]:
    if learned is None:
        return test, (
            "which cars production learned from is not known; it may know some of these rows"
        )
    unseen = test[~np.any([np.isin(names, learned) for names in _names_of(test)], axis=0)]
    left_out = len(test) - len(unseen)
    if not left_out:
        return test, ""
    if len(unseen) < min(_FEWEST_UNSEEN, len(test)):
        return test, (
            f"production learned from {left_out:,} of these {len(test):,} cars, which speaks for "
            "it; too few others were left to compare on"
        )
    return unseen, (
        f"{left_out:,} of {len(test):,} test rows were left out beside production, which learned "
        "from these cars"
    )
