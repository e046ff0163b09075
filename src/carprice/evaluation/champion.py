"""Compare a candidate with the production model: errors on the same folds, and speed."""

from timeit import timeit
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from carprice.evaluation.gate import Pair
from carprice.listings.features import listings_of
from carprice.listings.frames import as_columns
from carprice.metrics import price_metrics
from carprice.model import PriceModel
from carprice.schema import FIELDS, KINDS, NUMERIC, PRICE, FieldKind

_FOLDS: Final = 10
_FEWEST_OF_FOLD: Final = 5
_FEWEST_UNSEEN: Final = 100
_TIMED: Final = 20
_ROUNDS: Final = 50

Digests = npt.NDArray[np.uint64]


def car_digests(listings: pd.DataFrame) -> Digests:
    """Return a hash of each of n listings that ignores its price and dates."""
    columns = {
        field: listings[field].astype(np.float64)
        if KINDS[field] in NUMERIC
        else listings[field].astype(object).where(listings[field].notna(), "")
        for field in FIELDS
        if KINDS[field] is not FieldKind.DATE
    }
    digests = pd.util.hash_pandas_object(pd.DataFrame(columns), index=False)
    return np.asarray(digests, dtype=np.uint64)


def score_pair(
    candidate: PriceModel, champion: PriceModel, test: pd.DataFrame, learned: Digests | None
) -> Pair:
    """Score two models on the same test rows, in pairs of folds, and time them.

    Parameters
    ----------
    test : the candidate's test listings.
    learned : :func:`car_digests` of the champion's training listings, which are left out of the
        test since it knows their prices; None where they are not known.
    """
    rows, note = _fair_rows(test, learned)
    count = max(1, min(_FOLDS, len(rows) // _FEWEST_OF_FOLD))
    folds = np.array_split(np.random.default_rng(0).permutation(len(rows)), count)
    actual = rows[PRICE].to_numpy(dtype=np.float64)

    def mape_of_folds(model: PriceModel) -> list[float]:
        predicted = model.predict(as_columns(rows)).price
        return [price_metrics(actual[fold], predicted[fold])["mape"] for fold in folds]

    fold_mape = mape_of_folds(candidate), mape_of_folds(champion)
    return Pair(len(rows), fold_mape, time_both(candidate, champion, rows), note)


def time_both(
    candidate: PriceModel, champion: PriceModel, rows: pd.DataFrame
) -> tuple[float, float]:
    """Return the microseconds of a single prediction of two models, measured in turns.

    The quickest of many short rounds counts: other work of the machine only adds time.
    """
    cars = [*listings_of(as_columns(rows.head(_TIMED)))]

    def seconds(model: PriceModel) -> float:
        return timeit(lambda: [model.pricer.value(car) for car in cars], number=1)

    rounds = [(seconds(candidate), seconds(champion)) for _ in range(_ROUNDS)]
    first, second = (1e6 * min(times) / len(cars) for times in zip(*rounds, strict=True))
    return first, second


def _fair_rows(test: pd.DataFrame, learned: Digests | None) -> tuple[pd.DataFrame, str]:
    if learned is None:
        return test, (
            "which cars production learned from is not known; it may know some of these rows"
        )
    unseen = test[~np.isin(car_digests(test), learned)]
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
