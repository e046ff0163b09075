"""The noise floor: how much the prices of two cars differ that are alike in all that is compared.

It is an estimate, of cars common enough to have a twin, and no limit: a model can do better where
the data tell more than what is compared. If the ln(price) of two such cars differs by d, and both
scatter equally around what such a car is worth, each is d/√2 away from it on average.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from carprice.arrays import Codes, Floats
from carprice.listings.features import CATEGORIES, PLAIN_NUMBERS, Features

_ODOMETER_APART: Final = 0.1
_FEWEST_PAIRS: Final = 30
KEY_NUMBERS: Final = ("age", "litres", "ownership")
_NUMBERS: Final = ("age", "litres", *PLAIN_NUMBERS)
_COMPARED: Final = tuple(name for name in CATEGORIES if name != "color")


@dataclass(frozen=True)
class NoiseFloor:
    """The error that is left to a model which knows what cars are worth, by pairs of near-twins.

    Attributes
    ----------
    pairs : number of pairs found.
    mdape, mape : median and mean absolute error, per cent, of a model that knows exactly what each
        car is worth; None with fewer than 30 pairs.
    """

    pairs: int
    mdape: float | None
    mape: float | None


def one_of_each_car(features: Features, log_price: Floats) -> tuple[Features, Floats]:
    """Return the first listing of each car: a car that is listed twice is no twin of itself."""
    if features.cars is None:
        return features, log_price
    first = features.first_of_each_car()
    return features.take(first), log_price[first]


def noise_floor(
    features: Features,
    log_price: Floats,
    numbers: Sequence[str] = _NUMBERS,
    texts: Sequence[str] = _COMPARED,
) -> NoiseFloor:
    """Estimate the noise floor from parsed listings and their ln(price); see twin_differences."""
    apart = twin_differences(features, log_price, numbers, texts)
    if len(apart) < _FEWEST_PAIRS:
        return NoiseFloor(len(apart), None, None)
    alone = np.sinh(apart / np.sqrt(2))  # the mean of |exp(±x) - 1|
    return NoiseFloor(len(apart), float(100 * np.median(alone)), float(100 * alone.mean()))


def twin_differences(
    features: Features,
    log_price: Floats,
    numbers: Sequence[str] = _NUMBERS,
    texts: Sequence[str] = _COMPARED,
) -> Floats:
    """Return by how much ln(price) differs in each pair of near-twins.

    Near-twins are two cars, alike in every field but color, equipment and dates; the odometer of
    one is at most 10 % above that of the other.
    """
    features, log_price = one_of_each_car(features, log_price)
    odometer = features.numbers["odometer"]
    codes = like_cars(features, numbers, texts)
    order = np.lexsort((odometer, codes))
    first, second = order[:-1], order[1:]
    twins = (codes[first] == codes[second]) & (
        odometer[second] <= odometer[first] * (1 + _ODOMETER_APART)
    )
    return np.asarray(np.abs(log_price[second] - log_price[first])[twins])


def less_group_mean(values: Floats, groups: Codes) -> Floats:
    """Return each value less the mean of its group.

    Examples
    --------
    >>> less_group_mean(np.array([1.0, 3.0, 9.0]), np.array([0, 0, 1])).tolist()
    [-1.0, 1.0, 0.0]
    """
    means = np.bincount(groups, weights=values) / np.bincount(groups)
    return np.asarray(values - means[groups])


def like_cars(
    features: Features, numbers: Sequence[str] = ("age", "litres"), texts: Sequence[str] = ()
) -> Codes:
    """Return the number of each row's group of like cars.

    Like cars have the same make, model, variant, fuel, transmission, ``numbers`` and ``texts``.
    """
    names = ("model_variant", "model_powertrain", *texts)
    alike = [features.texts[name] for name in names]
    known = [np.nan_to_num(features.numbers[name], nan=-1.0).tolist() for name in numbers]
    cars = list(zip(*alike, *known, strict=True))
    group_of = {car: number for number, car in enumerate(dict.fromkeys(cars))}
    return np.array([group_of[car] for car in cars], dtype=np.intp)
