"""Units of distance, and the odometers that a used car can have."""

from typing import Final

import numpy as np

from carprice.arrays import Floats

KM_PER_MILE: Final = 1.609344
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
    low, high = odometer_limits(distance_unit)
    impossible = (odometer > high) | (odometer < 0) | ((odometer < low) & (age > 1))
    return np.where(impossible, np.nan, odometer)


def odometer_limits(distance_unit: str) -> tuple[float, float]:
    """Return the plausible odometers of a used car in the market's unit.

    Examples
    --------
    >>> [round(limit) for limit in odometer_limits("miles")]
    [62, 310686]
    """
    scale = KM_PER_MILE if distance_unit == "miles" else 1.0
    return ODOMETER_KM[0] / scale, ODOMETER_KM[1] / scale
