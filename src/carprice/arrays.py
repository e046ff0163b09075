"""Types that many modules share: arrays, listings by column, progress, and what runs tasks."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

T = TypeVar("T")
R = TypeVar("R")
H = TypeVar("H", bound=Hashable)
Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]
"""The category of each row, as its position in the list of categories."""
Columns = Mapping[str, Sequence[Any] | npt.NDArray[Any]]
"""Listings by column: field name → one value a row; ``None`` or NaN where missing."""
Progress = Callable[[str], None]
"""Is told the name of each step as it begins."""
_MOST_KEYS = 2**62
_MOST_PLACES = 8
"""Keys are looked up in a table that has at most so many places a row; else rows are sorted."""


class Each(Protocol):
    """What makes something of each item, some at once: here, or on a cluster's workers."""

    def __call__(
        self, function: Callable[..., R], items: Iterable[Any], *shared: Any
    ) -> Iterator[R]:
        """Yield what a function makes of each item, with ``shared`` after it, in their order.

        Items are taken as they are needed. For a cluster it is a function of a module, and all can
        be pickled.
        """


def in_turn(function: Callable[..., R], items: Iterable[Any], *shared: Any) -> Iterator[R]:
    """Yield what a function makes of each item, one after another in this process."""
    return (function(item, *shared) for item in items)


class Coded(Sequence[Any]):
    """A column of n rows: each different value once, and the place of each row's value."""

    def __init__(self, values: Sequence[Any], codes: Codes) -> None:
        self.values, self.codes = values, codes

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, rows: Any) -> Any:
        if isinstance(rows, slice):
            return Coded(self.values, self.codes[rows])
        return self.values[self.codes[rows]]

    def __iter__(self) -> Iterator[Any]:
        return iter(picked(self.values, self.codes))


def coded(values: Sequence[H]) -> tuple[list[H], Codes]:
    """Return the different values, in the order in which they come, and the place of each.

    Examples
    --------
    >>> different, codes = coded(["b", "a", "b"])
    >>> different, codes.tolist()
    (['b', 'a'], [0, 1, 0])
    """
    if isinstance(values, Coded):
        named, places = coded(values.values)
        own = places[values.codes]
        first, codes = coded_together(own)
        return picked(named, own[first]), codes
    place = {value: number for number, value in enumerate(dict.fromkeys(values))}
    return [*place], np.fromiter(map(place.__getitem__, values), np.intp, len(values))


def coded_together(*codes: Codes) -> tuple[Codes, Codes]:
    """Return the first row of each combination of codes, in that order, and the place of each row.

    Examples
    --------
    >>> first, places = coded_together(np.array([1, 0, 1, 1]), np.array([0, 0, 1, 0]))
    >>> first.tolist(), places.tolist()
    ([0, 1, 2], [0, 1, 2, 0])
    """
    keys, combinations = np.zeros(len(codes[0]), dtype=np.int64), 1
    most = _MOST_PLACES * len(keys)
    for own in codes:
        count = int(own.max(initial=0)) + 1
        if combinations <= most < combinations * count or combinations * count >= _MOST_KEYS:
            first, keys = _places(keys, combinations)
            combinations = len(first)
        keys, combinations = keys * count + own, combinations * count
    return _places(keys, combinations)


def _places(keys: Codes, count: int) -> tuple[Codes, Codes]:
    """Return the first row of each key, in that order, and the place of each row.

    Parameters
    ----------
    keys : from 0 to less than ``count``.
    """
    if count <= _MOST_PLACES * len(keys):
        rows = np.arange(len(keys))
        place = np.full(count, len(keys))
        place[keys[::-1]] = rows[::-1]  # of rows of one key, the first one stays
        first = np.sort(place[place < len(keys)])
        place[keys[first]] = rows[: len(first)]
        return first, place[keys]
    _, first, places = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(first), dtype=np.intp)
    rank[order] = np.arange(len(first))
    return first[order], rank[places]


def picked(values: Sequence[T], codes: Codes) -> list[T]:
    """Return the value at each of some places."""
    if isinstance(values, Coded):
        return picked(values.values, values.codes[codes])
    if len(values) > len(codes):
        return [*map(values.__getitem__, codes.tolist())]
    several: list[T] = np.fromiter(values, object, len(values))[codes].tolist()
    return several


def quiet(_: str) -> None:
    """Ignore the progress."""
