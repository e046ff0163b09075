"""The noise floor: how much the prices of two cars differ that are alike in all that is known.

No model can predict this difference. If the ln(price) of two such cars differs by d, and both
scatter equally around what such a car is worth, each is d/√2 away from it on average.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from carprice.arrays import Floats
from carprice.listings.features import Features

_ODOMETER_APART: Final = 0.1
_FEWEST_PAIRS: Final = 30


@dataclass(frozen=True)
class NoiseFloor:
    """The smallest error that a model can have, estimated from pairs of near-twins.

    Attributes
    ----------
    pairs : number of pairs found.
    mdape, mape : median and mean absolute error, per cent, of a model that knows exactly what each
        car is worth; None with fewer than 30 pairs.
    """

    pairs: int
    mdape: float | None
    mape: float | None


def noise_floor(features: Features, log_price: Floats) -> NoiseFloor:
    """Estimate the noise floor; see :func:`twin_differences`.

    Parameters
    ----------
    features : parsed listings, n rows.
    log_price : their ln(price).
    """
    apart = twin_differences(features, log_price)
    if len(apart) < _FEWEST_PAIRS:
        return NoiseFloor(len(apart), None, None)
    alone = np.sinh(apart / np.sqrt(2))  # the mean of |exp(±x) - 1|
    return NoiseFloor(len(apart), float(100 * np.median(alone)), float(100 * alone.mean()))


def twin_differences(features: Features, log_price: Floats) -> Floats:
    """Return by how much ln(price) differs in each pair of near-twins.

    Near-twins are alike in make, model, variant, age, powertrain and owners; the odometer of one is
    at most 10 % above that of the other.

    Parameters
    ----------
    features : parsed listings, n rows.
    log_price : their ln(price).
    """
    odometer = features.numbers["odometer"]
    codes = like_cars(features, with_owners=True)
    order = np.lexsort((odometer, codes))
    first, second = order[:-1], order[1:]
    twins = (codes[first] == codes[second]) & (
        odometer[second] <= odometer[first] * (1 + _ODOMETER_APART)
    )
    return np.asarray(np.abs(log_price[second] - log_price[first])[twins])


def less_group_mean(values: Floats, groups: npt.NDArray[np.intp]) -> Floats:
    """Return each value less the mean of its group.

    Examples
    --------
    >>> less_group_mean(np.array([1.0, 3.0, 9.0]), np.array([0, 0, 1])).tolist()
    [-1.0, 1.0, 0.0]
    """
    means = np.bincount(groups, weights=values) / np.bincount(groups)
    return np.asarray(values - means[groups])


def like_cars(
    features: Features, *, with_engine: bool = True, with_owners: bool = False
) -> npt.NDArray[np.intp]:
    """Return the number of each row's group of like cars.

    Like cars have the same make, model, variant, age, fuel and transmission.

    Parameters
    ----------
    features : parsed listings, n rows.
    with_engine : whether like cars have the same displacement too.
    with_owners : whether like cars have the same number of owners too.
    """
    texts, numbers = features.texts, features.numbers
    parts: list[Sequence[object]] = [
        texts["model_variant"],
        texts["model_powertrain"],
        numbers["age"].tolist(),
    ]
    if with_engine:
        parts.append(np.nan_to_num(numbers["litres"], nan=-1.0).tolist())
    if with_owners:
        parts.append(np.nan_to_num(numbers["ownership"], nan=-1.0).tolist())
    position: dict[tuple[object, ...], int] = {}
    keys = zip(*parts, strict=True)
    return np.array([position.setdefault(key, len(position)) for key in keys], dtype=np.intp)
