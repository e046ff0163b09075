"""How prices, ages, distances and categories are distributed, and how prices follow them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from carprice.arrays import Floats
from carprice.schema import KINDS, PRICE, FieldKind, alias

SHARES: Final = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
_BAND_SHARES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)
_FEWEST_IN_BAND: Final = 10
_BANDS: Final = 24
_CELLS: Final = 60
_LEVELS: Final = 10
_EQUIPMENT_NAMES: Final = 20


@dataclass(frozen=True)
class NumberSummary:
    """How a number is distributed: known values, their quantiles at :data:`SHARES`, and skew."""

    name: str
    unit: str
    known: int
    quantiles: tuple[float, ...]
    skew: float
    values: Floats


@dataclass(frozen=True)
class Level:
    """One value of a category: its number of rows, and their median price."""

    name: str
    rows: int
    median: float


@dataclass(frozen=True)
class CategorySummary:
    """How a category is distributed.

    Attributes
    ----------
    known, distinct : number of rows with a value, and of different values.
    rare : number of values that fewer than five rows have.
    levels : the commonest values.
    others : number of rows with another value.
    """

    name: str
    known: int
    distinct: int
    rare: int
    levels: tuple[Level, ...]
    others: int


@dataclass(frozen=True)
class Band:
    """Prices of the rows of one name, or of those with a number between two values.

    Attributes
    ----------
    middle : between the two values; 0 for a name.
    quantiles : of the price: 5, 25, 50, 75 and 95 %.
    """

    name: str
    middle: float
    rows: int
    quantiles: tuple[float, ...]


@dataclass(frozen=True)
class Relation:
    """How the price follows a number.

    Attributes
    ----------
    bands : prices of the rows in ranges of the number, for ranges of ten rows or more.
    density : number of rows in each cell of a grid; ln(price) by rows, the number by columns.
    extent : smallest and largest number, smallest and largest price of the grid.
    """

    name: str
    unit: str
    bands: tuple[Band, ...]
    density: Floats
    extent: tuple[float, float, float, float]


def summarise_number(name: str, unit: str, values: Floats) -> NumberSummary:
    """Summarise a number; NaN is unknown.

    Examples
    --------
    >>> look = summarise_number("age", "years", np.array([1.0, 2, 3, np.nan]))
    >>> look.known, look.quantiles[4], round(abs(look.skew), 3)
    (3, 2.0, 0.0)
    """
    known = values[np.isfinite(values)]
    quantiles = tuple(np.quantile(known, SHARES, method="nearest").tolist()) if len(known) else ()
    return NumberSummary(name, unit, len(known), quantiles, skew(known), known)


def skew(values: Floats) -> float:
    """Return the third standardised moment; 0 where all values are equal.

    Examples
    --------
    >>> skew(np.array([3.0, 3, 3])), round(skew(np.array([1.0, 1, 1, 9])), 2)
    (0.0, 1.15)
    """
    spread = float(values.std()) if len(values) else 0.0
    if spread <= 1e-12 * max(abs(float(values.mean())) if len(values) else 0.0, 1.0):
        return 0.0
    return float(np.mean(((values - values.mean()) / spread) ** 3))


def summarise_categories(listings: pd.DataFrame) -> list[CategorySummary]:
    """Summarise every text field of the listings, and the names of equipment."""
    looks = []
    for field, kind in KINDS.items():
        values = listings[field]
        if values.notna().any() and kind in (FieldKind.TEXT, FieldKind.EQUIPMENT):
            known = values.notna()
            names, price = values[known], listings[PRICE][known]
            if kind is FieldKind.EQUIPMENT:
                names = names.str.split("|").explode()
                names = names[names != ""]
                price = price.reindex(names.index)
            looks.append(_category(alias(field), int(known.sum()), names, price, kind))
    return looks


def _category(
    name: str, known: int, values: pd.Series, price: pd.Series, kind: FieldKind
) -> CategorySummary:
    prices = pd.DataFrame({"name": values.to_numpy(), "price": price.to_numpy()}).groupby("name")
    rows = prices["price"].size().sort_values(ascending=False, kind="stable")
    median = prices["price"].median()
    most = _EQUIPMENT_NAMES if kind is FieldKind.EQUIPMENT else _LEVELS
    shown = rows[rows >= _FEWEST_IN_BAND].iloc[:most]
    levels = tuple(
        Level(str(level), int(count), float(median[level])) for level, count in shown.items()
    )
    return CategorySummary(
        name=name,
        known=known,
        distinct=len(rows),
        rare=int((rows < 5).sum()),
        levels=levels,
        others=int(rows.sum() - shown.sum()),
    )


def relation(name: str, unit: str, number: Floats, price: Floats, *, whole: bool) -> Relation:
    """Return how the price follows a number.

    Parameters
    ----------
    number, price : of n rows; NaN where the number is unknown.
    whole : whether the number comes in steps of one, such as years of age.
    """
    known = np.isfinite(number)
    number, price = number[known], price[known]
    if not len(number):
        return Relation(name, unit, (), np.zeros((1, 1)), (0.0, 1.0, 1.0, 2.0))
    end = float(np.quantile(number, 0.995))
    edges = _edges(float(number.min()), end, whole=whole)
    places = np.digitize(number, edges) - 1
    bands = []
    for place in range(len(edges) - 1):
        rows = np.flatnonzero(places == place)
        if len(rows) >= _FEWEST_IN_BAND:
            low, high = edges[place], edges[place + 1]
            middle = low + 0.5 if whole and high - low == 1 else (low + high) / 2
            bands.append(_band(f"{low:g}", middle, price[rows]))
    density, extent = _density(number, price, edges[0], edges[-1], len(edges) - 1, whole=whole)
    return Relation(name, unit, tuple(bands), density, extent)


def _edges(low: float, high: float, *, whole: bool) -> Floats:
    if whole:
        step = max(1.0, np.ceil((high - low) / 60))
        return np.arange(np.floor(low), np.floor(high) + step + 1, step)[: 60 + 2]
    if high <= low:
        high = low + 1
    return np.linspace(low, high, _BANDS + 1)


def _density(
    number: Floats, price: Floats, low: float, high: float, steps: int, *, whole: bool
) -> tuple[Floats, tuple[float, float, float, float]]:
    bottom, top = np.log(np.quantile(price, (0.001, 0.999)))
    if top - bottom < 0.1:
        bottom, top = bottom - 0.1, top + 0.1
    cells = steps if whole else _CELLS
    counts, *_ = np.histogram2d(
        np.log(price), number, bins=(_CELLS, cells), range=((bottom, top), (low, high))
    )
    return counts, (float(low), float(high), float(np.exp(bottom)), float(np.exp(top)))


def _band(name: str, middle: float, price: Floats) -> Band:
    quantiles = tuple(np.quantile(price, _BAND_SHARES).tolist())
    return Band(name, float(middle), len(price), quantiles)


def by_name(names: Sequence[str], price: Floats, most: int = 20) -> list[Band]:
    """Return the prices of the commonest names that ten rows or more have, commonest first.

    Examples
    --------
    >>> (band,) = by_name(["kia"] * 10 + ["bmw"], np.arange(1.0, 12))
    >>> band.name, band.rows, band.quantiles[2]
    ('kia', 10, 5.5)
    """
    levels, codes = np.unique(np.array(names), return_inverse=True)
    rows = np.bincount(codes)
    order = np.argsort(-rows, kind="stable")[:most]
    return [
        _band(str(levels[place]), 0.0, price[codes == place])
        for place in order
        if rows[place] >= _FEWEST_IN_BAND
    ]


def unseen_share(names: Sequence[str], test_size: float) -> float:
    r"""Return the share of a random test split's rows whose name no training row has.

    No training row has the name of a test row if the c - 1 other rows with it are in the test set
    too: with probability :math:`s^{c-1}` for a test share of s.

    Examples
    --------
    >>> unseen_share(["a", "b", "b"], 0.3)
    0.5333333333333333
    """
    rows: npt.NDArray[np.intp]
    _, codes, rows = np.unique(np.array(names), return_inverse=True, return_counts=True)
    return float(np.mean(test_size ** (rows[codes] - 1.0)))


def rare_names(names: Sequence[str], fewer_than: int = 5) -> tuple[int, int]:
    """Return how many names have fewer rows than ``fewer_than``, and how many names there are."""
    _, rows = np.unique(np.array(names), return_counts=True)
    return int((rows < fewer_than).sum()), len(rows)
