"""The cars that decide squared errors, and the prices far from what like cars cost."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from carprice.arrays import Floats
from carprice.eda.distributions import skew
from carprice.schema import PRICE

_SHOWN: Final = 10
_FAR: Final = 2.0
_CURVE: Final = 1000


@dataclass(frozen=True)
class Extreme:
    """A car with an extreme price, or with an extreme error of the hedonic ridge.

    Attributes
    ----------
    of_variance : its share of the variance of all prices.
    of_squared_error : its share of the ridge's squared error over all cars; None where the ridge
        was not fitted.
    """

    make: str
    model: str
    price: float
    of_variance: float
    of_squared_error: float | None


@dataclass(frozen=True)
class Outliers:
    """How much a few cars weigh.

    Attributes
    ----------
    dearest, cheapest : ten and five cars, the most extreme first.
    curve : share of the squared error that comes from the n cars with the largest errors, for
        n = 1, 2, … 1000; empty where the ridge was not fitted.
    largest_error : the car with the largest error; None where the ridge was not fitted.
    far_below, far_above : number of prices below half, and above twice, those of like cars.
    skew, log_skew : of the price and of its logarithm.
    """

    dearest: tuple[Extreme, ...]
    cheapest: tuple[Extreme, ...]
    curve: Floats
    largest_error: Extreme | None
    far_below: int
    far_above: int
    skew: float
    log_skew: float


def find_outliers(listings: pd.DataFrame, expected: Floats | None) -> Outliers:
    """Return how much a few cars weigh.

    Parameters
    ----------
    listings : clean listings, n rows.
    expected : ln(price) of like cars, n values; None where it is not known.
    """
    price = listings[PRICE].to_numpy(dtype=np.float64)
    variance = _shares((price - price.mean()) ** 2)
    error = None if expected is None else _shares((price - np.exp(expected)) ** 2)

    def extreme(row: int) -> Extreme:
        return Extreme(
            str(listings["make"].iloc[row]),
            str(listings["model"].iloc[row]),
            float(price[row]),
            float(variance[row]),
            None if error is None else float(error[row]),
        )

    order = np.argsort(-price, kind="stable")
    apart = np.zeros(len(price)) if expected is None else np.log(price) - expected
    return Outliers(
        dearest=tuple(extreme(row) for row in order[:_SHOWN]),
        cheapest=tuple(extreme(row) for row in order[::-1][: _SHOWN // 2]),
        curve=np.zeros(0) if error is None else np.cumsum(np.sort(error)[::-1])[:_CURVE],
        largest_error=None if error is None else extreme(int(np.argmax(error))),
        far_below=int((apart < -np.log(_FAR)).sum()),
        far_above=int((apart > np.log(_FAR)).sum()),
        skew=skew(price),
        log_skew=skew(np.log(price)),
    )


def _shares(values: Floats) -> Floats:
    total = float(values.sum())
    return values / total if total > 0 else np.zeros_like(values)
