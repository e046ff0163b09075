"""The rows that stand for all of many: what is chosen, not learned, needs no more of them."""

import numpy as np

from carprice.arrays import Codes


def sample_of(rows: int, most: int, seed: int = 0) -> Codes:
    """Return all row numbers up to ``rows``, or so many of them, drawn at random, in their order.

    Examples
    --------
    >>> sample_of(3, 5).tolist(), len(sample_of(10, 5))
    ([0, 1, 2], 5)
    """
    if rows <= most:
        return np.arange(rows, dtype=np.intp)
    drawn = np.random.default_rng(seed).permutation(rows)[:most]
    return np.asarray(np.sort(drawn), dtype=np.intp)
