"""How prices, ages, distances and categories are distributed, and how prices follow them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from carprice.arrays import Floats
from carprice.schema import KINDS, PRICE, FieldKind, alias, kind_of, own_texts

QUANTILES: Final = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
_BAND_QUANTILES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)
_FEWEST_IN_BAND: Final = 10
_RARE: Final = 5
_BANDS: Final = 24
_MOST_BANDS: Final = 60
_CELLS: Final = 60
_MOST_LEVELS: Final = 10
_MOST_NAMES: Final = 20


@dataclass(frozen=True)
class NumberSummary:
    """How a number is distributed: quantiles at :data:`QUANTILES`, skew, and all known values."""

    name: str
    unit: str
    quantiles: tuple[float, ...]
    skew: float
    values: Floats


@dataclass(frozen=True)
class CategorySummary:
    """How a category is distributed.

    Attributes
    ----------
    known, distinct : number of rows with a value, and of different values.
    rare : number of values with fewer than five rows.
    levels : the commonest values, see :func:`by_name`.
    others : number of rows with another value.
    """

    name: str
    known: int
    distinct: int
    rare: int
    levels: pd.DataFrame
    others: int


@dataclass(frozen=True)
class Relation:
    """How the price follows a number.

    Attributes
    ----------
    bands : prices in bands of the number, by the middle of the band; columns as of :func:`by_name`.
    density : number of listings in each cell of a grid: ln(price) × number.
    extent : smallest and largest number, smallest and largest price of the grid.
    """

    name: str
    unit: str
    bands: pd.DataFrame
    density: Floats
    extent: tuple[float, float, float, float]


def summarise_number(name: str, unit: str, values: Floats) -> NumberSummary:
    """Summarise a number; NaN is unknown.

    Examples
    --------
    >>> summary = summarise_number("age", "years", np.array([1.0, 2, 3, np.nan]))
    >>> summary.values.tolist(), summary.quantiles[4], round(abs(summary.skew), 3)
    ([1.0, 2.0, 3.0], 2.0, 0.0)
    """
    known = values[np.isfinite(values)]
    found = tuple(np.quantile(known, QUANTILES, method="nearest").tolist()) if len(known) else ()
    return NumberSummary(name, unit, found, skew(known), known)


def skew(values: Floats) -> float:
    """Return the third standardised moment; 0 where all values are equal.

    Examples
    --------
    >>> skew(np.array([3.0, 3, 3])), round(skew(np.array([1.0, 1, 1, 9])), 2)
    (0.0, 1.15)
    """
    if not len(values) or not np.ptp(values):
        return 0.0
    return float(np.mean(((values - values.mean()) / values.std()) ** 3))


def summarise_categories(listings: pd.DataFrame) -> list[CategorySummary]:
    """Summarise every text field of the listings, and the names of equipment."""
    summaries = []
    for field in (*KINDS, *own_texts(listings.columns)):
        kind, names = kind_of(field), listings[field].dropna()
        if not len(names) or kind not in (FieldKind.TEXT, FieldKind.EQUIPMENT, FieldKind.FLAG):
            continue
        known, most = len(names), _MOST_LEVELS
        if kind is FieldKind.EQUIPMENT:
            names, most = names.str.split("|").explode(), _MOST_NAMES
            names = names[names != ""]
        price = listings[PRICE].reindex(names.index).to_numpy(dtype=np.float64)
        levels = by_name(names.tolist(), price, most)
        others = len(names) - int(levels["rows"].sum())
        rare, distinct = rare_names(names.tolist())
        summaries.append(CategorySummary(alias(field), known, distinct, rare, levels, others))
    return summaries


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
        return Relation(name, unit, _by_group([], price), np.zeros((1, 1)), (0.0, 1.0, 1.0, 2.0))
    low, high = float(number.min()), float(np.quantile(number, 0.995))
    if whole:
        step = max(1.0, np.ceil((high - low) / _MOST_BANDS))
        edges = np.arange(np.floor(low), np.floor(high) + step + 1, step)[: _MOST_BANDS + 2]
    else:
        edges = np.linspace(low, high if high > low else low + 1, _BANDS + 1)
        edges[-1] = np.nextafter(edges[-1], np.inf)  # the last band has its upper end, too
    middles = (edges[:-1] + edges[1:]) / 2
    places = np.digitize(number, edges) - 1
    inside = places < len(middles)
    bands = _by_group(middles[places[inside]], price[inside])
    bottom, top = np.log(np.quantile(price, (0.001, 0.999)))
    if top - bottom < 0.1:
        bottom, top = bottom - 0.1, top + 0.1
    cells = len(edges) - 1 if whole else _CELLS
    grid = ((bottom, top), (edges[0], edges[-1]))
    density, *_ = np.histogram2d(np.log(price), number, bins=(_CELLS, cells), range=grid)
    extent = (float(edges[0]), float(edges[-1]), float(np.exp(bottom)), float(np.exp(top)))
    return Relation(name, unit, bands, density, extent)


def by_name(names: Sequence[str], price: Floats, most: int = _MOST_NAMES) -> pd.DataFrame:
    """Return the prices of the commonest names with ten rows or more, commonest first.

    Returns
    -------
    pandas.DataFrame
        For each name its ``rows`` and the 0.05, 0.25, 0.5, 0.75 and 0.95 quantiles of the price.

    Examples
    --------
    >>> by_name(["kia"] * 10 + ["bmw"], np.arange(1.0, 12))[["rows", 0.5]]
         rows  0.5
    kia    10  5.5
    """
    return _by_group(names, price).sort_values("rows", ascending=False, kind="stable").head(most)


def _by_group(groups: Sequence[str] | Floats, price: Floats) -> pd.DataFrame:
    """Return the columns of :func:`by_name` for each group of ten rows or more, sorted by group."""
    prices = pd.Series(price).groupby(np.array(groups))
    bands = prices.quantile(_BAND_QUANTILES).unstack().reindex(columns=_BAND_QUANTILES)
    bands.insert(0, "rows", prices.size())
    return bands[bands["rows"] >= _FEWEST_IN_BAND]


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


def rare_names(names: Sequence[str]) -> tuple[int, int]:
    """Return how many names have fewer than five rows, and how many names there are."""
    _, rows = np.unique(np.array(names), return_counts=True)
    return int((rows < _RARE).sum()), len(rows)
