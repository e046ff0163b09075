"""Which listings' prices are believed: the one view of ingest, training, figures and the gate.

:mod:`carprice.model.trust` tells how far each price is believed; ingest keeps it in a column.
"""

from typing import TYPE_CHECKING, Final

import numpy as np

from carprice.arrays import Codes, Floats

if TYPE_CHECKING:
    import pandas as pd

BELIEVED: Final = 0.5
"""Least trust, from 0 to 1, in a price that is taken for a car's."""
MANY_PRICES: Final = 100_000
"""Of more prices, all count fully where each is taken for a car's."""
PRICE_TRUST: Final = "price_trust"
"""Column of listings and features: how far the row's price is believed, 0 to 1."""


def believed_rows(trust: Floats) -> Codes:
    """Return the rows that are taken for a car's price, as those that nobody judged (NaN) are.

    All of them where none is.

    Examples
    --------
    >>> believed_rows(np.array([0.2, 1.0, 0.5, np.nan])).tolist()
    [1, 2, 3]
    """
    is_believed = ~(trust < BELIEVED)
    return np.flatnonzero(is_believed if is_believed.any() else ~is_believed)


def first_believed(cars: Codes, trust: Floats) -> Codes:
    """Return the row of each car's first listing whose price is believed; else of its first one.

    They are in the order of the cars' numbers.

    Parameters
    ----------
    cars : the number of each row's car.

    Examples
    --------
    >>> first_believed(np.array([0, 1, 0, 2]), np.array([0.1, 0.2, 1.0, np.nan])).tolist()
    [2, 1, 3]
    """
    believed_first = np.argsort(trust < BELIEVED, kind="stable")
    first = np.unique(cars[believed_first], return_index=True)[1]
    return believed_first[first]


def counted(trust: Floats) -> Floats:
    """Return how much each price counts: what is rather not believed, not at all.

    Even a hundredth of a price that is off by a hundred times would move all others. Where there
    are many and none is doubted, all count fully.

    Examples
    --------
    >>> counted(np.array([0.2, 1.0, 0.6, np.nan])).tolist()
    [0.0, 1.0, 0.6, 1.0]
    """
    if len(trust) > MANY_PRICES and not (trust < BELIEVED).any():
        return np.ones(len(trust))
    rows, found = believed_rows(trust), np.zeros(len(trust))
    found[rows] = np.nan_to_num(trust[rows], nan=1.0)
    return found


def believed_of(listings: "pd.DataFrame") -> Codes:
    """Return the places of the listings whose price is believed; of all if ingest judged none."""
    if PRICE_TRUST not in listings:
        return np.arange(len(listings))
    return believed_rows(listings[PRICE_TRUST].to_numpy(dtype=np.float64))


def believed(listings: "pd.DataFrame") -> "pd.DataFrame":
    """Return the listings whose price is believed; all of them if ingest judged none."""
    return listings.iloc[believed_of(listings)]
