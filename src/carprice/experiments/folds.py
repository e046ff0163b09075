"""The folds of an experiment: the same for every candidate and trial."""

from typing import Final

import numpy as np
import numpy.typing as npt

from carprice.errors import InputError

Rows = npt.NDArray[np.intp]
FEWEST_ROWS: Final = 10
"""Listings that a fold must have."""


def shuffled_folds(rows: int, count: int, seed: int) -> list[tuple[Rows, Rows]]:
    """Return the rows to learn from and to price, for each of ``count`` shuffled folds.

    The same rows, count and seed give the same folds, in any process.

    Raises
    ------
    InputError
        If there are too few rows for so many folds.

    Examples
    --------
    >>> [(len(learned), len(priced)) for learned, priced in shuffled_folds(50, 3, seed=0)]
    [(33, 17), (33, 17), (34, 16)]
    """
    if rows < FEWEST_ROWS * count:
        raise InputError(
            f"{rows} training listings are too few for {count} folds of {FEWEST_ROWS} or more; "
            f"give --folds {max(rows // FEWEST_ROWS, 2)}, or more listings"
        )
    from sklearn.model_selection import KFold

    return [*KFold(count, shuffle=True, random_state=seed).split(np.empty(rows))]
