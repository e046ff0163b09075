"""Compare a candidate with the production model: on the same rows and folds, and in time."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from carprice.arrays import Floats
from carprice.listings.frames import as_columns
from carprice.metrics import price_metrics
from carprice.model import PriceModel
from carprice.model.pricer import Pricer
from carprice.schema import FIELDS, KINDS, PRICE, FieldKind

_FOLDS: Final = 10
_FEWEST_OF_FOLD: Final = 5
_FEWEST_UNSEEN: Final = 100
_TIMED: Final = 20
_ROUNDS: Final = 50

Digests = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Pair:
    """Two models on the same rows; figures come in pairs, the candidate's first.

    Attributes
    ----------
    rows : how many rows both were scored on.
    fold_mape : MAPE in each fold of them, per cent.
    microseconds : time of a single prediction.
    note : a remark on the rows, such as how many were left out; may be empty.
    """

    rows: int
    fold_mape: tuple[Sequence[float], Sequence[float]]
    microseconds: tuple[float, float]
    note: str


def car_digests(listings: pd.DataFrame) -> Digests:
    """Return a number for each of n listings that names the car, whatever its price and date."""
    numbers = (FieldKind.NUMBER, FieldKind.INTEGER)
    columns = {
        field: listings[field].astype(np.float64)
        if KINDS[field] in numbers
        else listings[field].astype(object).where(listings[field].notna(), "")
        for field in FIELDS
        if KINDS[field] is not FieldKind.DATE
    }
    digests = pd.util.hash_pandas_object(pd.DataFrame(columns), index=False)
    return np.asarray(digests, dtype=np.uint64)


def compare(
    candidate: PriceModel, champion: PriceModel, test: pd.DataFrame, learned: Digests | None
) -> Pair:
    """Score two models on the same test rows, in pairs of folds, and time them.

    Parameters
    ----------
    test : the candidate's test listings.
    learned : :func:`car_digests` of the listings that the champion learned from, which are left
        out, since it knows their prices; None where they are not known.
    """
    rows, note = _fair_rows(test, learned)
    folds = _folds(len(rows))
    actual = rows[PRICE].to_numpy(dtype=np.float64)
    columns = as_columns(rows)
    first, second = (
        _mape_of_folds(actual, model.predict(columns).price, folds)
        for model in (candidate, champion)
    )
    return Pair(len(rows), (first, second), time_both(candidate, champion, rows), note)


def time_both(
    candidate: PriceModel, champion: PriceModel, rows: pd.DataFrame
) -> tuple[float, float]:
    """Return the microseconds of a single prediction of two models, measured in turns.

    The quickest of many short rounds counts, for other work of the machine only adds time.
    """
    cars = _single_cars(rows.head(_TIMED))
    pricers = (candidate.pricer, champion.pricer)
    rounds = [[_seconds(pricer, cars) for pricer in pricers] for _ in range(_ROUNDS)]
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


def _folds(rows: int) -> list[npt.NDArray[np.intp]]:
    """Return the rows of each fold, drawn at random; the same for the same number of rows."""
    count = max(1, min(_FOLDS, rows // _FEWEST_OF_FOLD))
    return np.array_split(np.random.default_rng(0).permutation(rows), count)


def _mape_of_folds(
    actual: Floats, predicted: Floats, folds: Sequence[npt.NDArray[np.intp]]
) -> list[float]:
    return [price_metrics(actual[fold], predicted[fold])["mape"] for fold in folds]


def _single_cars(rows: pd.DataFrame) -> list[dict[str, Any]]:
    columns = as_columns(rows)
    return [
        {field: _single(field, values[row]) for field, values in columns.items()}
        for row in range(len(rows))
    ]


def _single(field: str, value: Any) -> Any:
    """Return a value as a listing of the service has it."""
    if value is None or value != value:  # noqa: PLR0124 - NaN and NaT
        return None
    if KINDS[field] is FieldKind.DATE:
        return value.astype(object)
    return tuple(value.split("|")) if KINDS[field] is FieldKind.EQUIPMENT else value


def _seconds(pricer: Pricer, cars: Sequence[dict[str, Any]]) -> float:
    start = time.perf_counter()
    for car in cars:
        pricer.value(car)
    return time.perf_counter() - start
