"""Units of distance, and the odometers that a used car can have."""

from typing import Any, Final

import numpy as np

from carprice.arrays import Floats

_KM_PER_MILE: Final = 1.609344
ODOMETER_KM: Final = (100.0, 500_000.0)
"""Least and most that a used car can have driven; one of up to a year may have driven less."""


def plausible_odometer(odometer: Floats, age: Floats, distance_unit: str) -> Floats:
    """Return the odometers, with NaN in place of impossible distances.

    A used car has driven at most 500,000 km, and at least 100 km unless it is at most a year old.

    Parameters
    ----------
    odometer : of n cars, in ``distance_unit``; NaN where unknown.
    age : of the same cars, in years.

    Examples
    --------
    >>> plausible_odometer(np.array([5.0, 5, 42e3, 9e5]), np.array([0.0, 6, 6, 6]), "km").tolist()
    [5.0, nan, 42000.0, nan]
    """
    return np.where(is_impossible(odometer, age, odometer_limits(distance_unit)), np.nan, odometer)


def is_impossible(odometer: Any, age: Any, limits: tuple[float, float]) -> Any:
    """Whether a car of an age in years cannot have that odometer: of one car, or of each row.

    Parameters
    ----------
    limits : see :func:`odometer_limits`.
    """
    low, high = limits
    return (odometer > high) | (odometer < 0) | ((odometer < low) & (age > 1))


def odometer_limits(distance_unit: str) -> tuple[float, float]:
    """Return the plausible odometers of a used car in the market's unit.

    Examples
    --------
    >>> [round(limit) for limit in odometer_limits("miles")]
    [62, 310686]
    """
    low, high = ODOMETER_KM
    return low / km_per_unit(distance_unit), high / km_per_unit(distance_unit)


def km_per_unit(distance_unit: str) -> float:
    """Return the kilometres in a distance unit, ``km`` or ``miles``."""
    return _KM_PER_MILE if distance_unit == "miles" else 1.0
