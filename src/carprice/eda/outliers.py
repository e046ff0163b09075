"""What like cars cost, the cars that decide squared errors, and the prices far from like cars'."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from carprice.arrays import Floats
from carprice.eda.distributions import skew
from carprice.listings.features import Features
from carprice.listings.market import km_per_unit
from carprice.model.car import CarReader
from carprice.model.defaults import Defaults
from carprice.schema import PRICE

_FEWEST_ROWS: Final = 200
_MANY_ROWS: Final = 20_000
_FOLDS: Final = 5
_FOLDS_OF_MANY: Final = 3
_SHOWN: Final = 10
_FAR: Final = 2.0
_EXPLODES: Final = 3.0
_CURVE: Final = 1000


@dataclass(frozen=True)
class Outliers:
    """How much a few cars weigh.

    A car has ``make``, ``model`` and ``price``; ``of_variance``, its share of the variance of all
    prices; and ``of_squared_error``, its share of the hedonic ridge's squared error over all cars,
    NaN where the ridge was not fitted.

    Attributes
    ----------
    dearest, cheapest : ten and five cars, the most extreme first.
    curve : share of the squared error that comes from the n cars with the largest errors, for
        n = 1, 2, … 1000; empty where the ridge was not fitted.
    largest_error : the car with the largest error; None where the ridge was not fitted.
    expected_of_largest : what the ridge expects that car to cost; NaN where it was not fitted.
    far_below, far_above : number of prices below half, and above twice, those of like cars.
    log_skew : skew of ln(price).
    """

    dearest: tuple[Any, ...]
    cheapest: tuple[Any, ...]
    curve: Floats
    largest_error: Any
    expected_of_largest: float
    far_below: int
    far_above: int
    log_skew: float

    @property
    def model_explodes(self) -> bool:
        """Whether the largest error is the ridge's own: an estimate of three times the price."""
        if self.largest_error is None:
            return False
        return bool(self.expected_of_largest > _EXPLODES * self.largest_error.price)


def expected_log_price(
    features: Features, log_price: Floats, distance_unit: str, fixed: Mapping[str, float]
) -> Floats | None:
    """Return the ln(price) of each car that the other cars predict; None for fewer than 200 rows.

    The prediction is that of the model's hedonic ridge out of fold: no car predicts its own price.

    Parameters
    ----------
    features : listings parsed without dates, n rows.
    log_price : their ln(price).
    distance_unit : ``km`` or ``miles``.
    fixed : scales of the ridge's blocks that are not chosen, by the block's name.
    """
    if len(log_price) < _FEWEST_ROWS:
        return None
    from carprice.model.hedonic_fit import fit_hedonic

    complete = CarReader(Defaults.fit(features)).complete(features)
    count = _FOLDS if len(log_price) < _MANY_ROWS else _FOLDS_OF_MANY
    cars = features.car_codes()
    of_car = np.arange(cars.max() + 1, dtype=np.intp) % count
    folds = np.random.default_rng(0).permutation(of_car)[cars]
    _, anchor = fit_hedonic(complete, log_price, folds, fixed, km_per_unit(distance_unit))
    return anchor.log_price


def find_outliers(listings: pd.DataFrame, expected: Floats | None) -> Outliers:
    """Return how much a few cars weigh.

    Parameters
    ----------
    listings : clean listings, n rows.
    expected : ln(price) of like cars, n values; None where it is not known.
    """
    price = listings[PRICE].to_numpy(dtype=np.float64)
    is_fitted = expected is not None
    fitted = np.log(price) if expected is None else expected
    error, apart = _shares((price - np.exp(fitted)) ** 2), np.log(price) - fitted
    cars = listings[["make", "model", PRICE]].assign(
        of_variance=_shares((price - price.mean()) ** 2),
        of_squared_error=error if is_fitted else np.nan,
    )
    by_price = cars.iloc[np.argsort(-price, kind="stable")]
    return Outliers(
        dearest=tuple(by_price.head(_SHOWN).itertuples()),
        cheapest=tuple(by_price[::-1].head(_SHOWN // 2).itertuples()),
        curve=np.cumsum(np.sort(error)[::-1])[:_CURVE] if is_fitted else np.zeros(0),
        largest_error=next(cars.iloc[[np.argmax(error)]].itertuples()) if is_fitted else None,
        expected_of_largest=float(np.exp(fitted[np.argmax(error)])) if is_fitted else np.nan,
        far_below=int((apart < -np.log(_FAR)).sum()),
        far_above=int((apart > np.log(_FAR)).sum()),
        log_skew=skew(np.log(price)),
    )


def _shares(values: Floats) -> Floats:
    total = float(values.sum())
    return values / total if total > 0 else np.zeros_like(values)
