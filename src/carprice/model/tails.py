"""Rows far from what others expect count for less, so that most prices are closer.

Prices have heavy tails: a rare version, damage that nobody mentions, an owner in a hurry. In a
regression by squares one of them moves the worth of a model as much as ten usual ones do. With the
weights of Student's t-distribution (Lange, Little & Taylor 1989, "Robust statistical modeling using
the t distribution") it moves it little, and a usual row as much as ever.

What others expect of a rare model says little: its cars, however far off, are all that is known of
it, and count as any other, unless their price is doubted (:mod:`carprice.model.trust`).
"""

from typing import Final

import numpy as np

from carprice.arrays import Floats
from carprice.model.intervals import age_bands

_FREEDOM: Final = 14
_MEDIAN_OF_NORMAL: Final = 0.6745  # of the size of a standard normal number
_HALF: Final = 0.5 - 1e-9  # equal parts of a car may sum to a little less than the car
_FEWEST_CARS: Final = 49.5
_FEWEST_OF_MODEL: Final = 2.5
_NO_DOUBT: Final = 0.98
_SMALLEST_SCALE: Final = 0.02  # of ln(price)


def tail_weight(
    missed: Floats, age: Floats, of_model: Floats, cars: Floats, trust: Floats
) -> Floats:
    """Return how much each of n rows counts by how far it is from what others expect; mean 1.

    Parameters
    ----------
    missed : ln(price) less what rows of other folds expect.
    age : in years; an age band of 50 cars or more has the scale of its own rows.
    of_model : how many cars of the row's model there are; with fewer than three it is not judged.
    cars : what each row counts otherwise, one part of its car.
    trust : how far each price is believed, 0 to 1; one that is doubted is judged in any case.

    Examples
    --------
    >>> missed, age = np.array([-0.1, 0.1, 0.1, -0.1, 1.0]), np.full(5, 2.0)
    >>> one = np.ones(5)
    >>> tail_weight(missed, age, 5 * one, one, one).round(2).tolist()
    [1.18, 1.18, 1.18, 1.18, 0.29]
    """
    bands, size, found = age_bands(age), np.abs(missed), np.ones(len(missed))
    for band in np.unique(bands).tolist():
        own = bands == band
        judged = own if cars[own].sum() > _FEWEST_CARS else np.ones_like(own)
        middle = np.quantile(size[judged], _HALF, weights=cars[judged], method="inverted_cdf")
        scale = max(float(middle) / _MEDIAN_OF_NORMAL, _SMALLEST_SCALE)
        found[own] = (_FREEDOM + 1) / (_FREEDOM + (size[own] / scale) ** 2)
    found[(of_model < _FEWEST_OF_MODEL) & (trust > _NO_DOUBT)] = 1.0
    return np.asarray(found / np.average(found, weights=cars))
