"""Types that many modules share: arrays, listings by column, and who is told of progress."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

T = TypeVar("T")
Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]
"""The category of each row, as its position in the list of categories."""
Columns = Mapping[str, Sequence[Any] | npt.NDArray[Any]]
"""Listings by column: field name → one value a row; ``None`` or NaN where missing."""
Progress = Callable[[str], None]
"""Is told the name of each step as it begins."""


def quiet(_: str) -> None:
    """Ignore the progress."""
