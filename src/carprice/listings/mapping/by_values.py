"""Find by their values the columns whose names tell nothing.

A make, a fuel, a gearbox are known words; years are known by their size; a distance and a price by
their units, then by how they change with the year, then by their size.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import pandas as pd

from carprice.listings.mapping.content import CATEGORIES, Column, share_of_one_make
from carprice.listings.mapping.fits import Fit, are_years, fit
from carprice.listings.mapping.names import WHOLE, words
from carprice.listings.mapping.proposal import Proposal
from carprice.schema import PRICE

_MOST_READ: Final = 0.95
_LEAST_KNOWN: Final = 0.5
_OF_SAME_MAKE: Final = 0.95
_RELATED: Final = 0.1
_FEWEST_ROWS: Final = 8


def find_by_values(columns: Mapping[str, Column], proposal: Proposal, currency: str) -> None:
    """Find the columns of fields that no name has told.

    Parameters
    ----------
    currency : of the market, as far as names tell it.
    """

    def free() -> dict[str, Column]:
        read = proposal.columns_read()
        return {
            name: column
            for name, column in columns.items()
            if name not in read and not column.name.has_word(words("ignored"))
        }

    def take(field_name: str, column: str, found: Fit) -> None:
        proposal.take(field_name, column, found)
        proposal.doubt(field_name, "by its values; no name of a column tells")

    if "make" not in proposal.rules:
        makes = {name: column.makes for name, column in free().items()}
        best = max(makes, key=makes.__getitem__, default="")
        if best and makes[best] >= _LEAST_KNOWN:
            take("make", best, Fit({}))
    for field_name in CATEGORIES:
        if field_name not in proposal.rules:
            known = {name: column.known(field_name) for name, column in free().items()}
            best = max(known, key=known.__getitem__, default="")
            if best and known[best] >= _LEAST_KNOWN and not columns[best].is_flag:
                take(field_name, best, Fit({}))
    if "year" not in proposal.rules:
        for name, column in free().items():
            found = None if column.name.tells_another("year") else fit("year", column, 0)
            if found and found.share >= _MOST_READ and are_years(found.numbers):
                take("year", name, found)
                break
    of_price = {name: one for name, one in free().items() if one.name.tells_another(PRICE)}
    _price_and_distance(free(), proposal, take, columns, currency)
    if PRICE not in proposal.rules and of_price:
        _price_and_distance(of_price, proposal, take, columns, currency, is_lax=True)
        if PRICE in proposal.rules:
            proposal.doubt(PRICE, "its name tells another amount: is it what the cars cost?")
    make = proposal.rules.get("make") or {}
    if "model" not in proposal.rules and "words" not in make and make.get("from") in columns:
        best = _model_of(columns[make["from"]], free())
        if best:
            take("model", best, Fit({}))


def _price_and_distance(
    free: Mapping[str, Column],
    proposal: Proposal,
    take: Callable[[str, str, Fit], None],
    columns: Mapping[str, Column],
    currency: str,
    *,
    is_lax: bool = False,
) -> None:
    """Tell price and distance by units, then by how they change with the year, then by size.

    Parameters
    ----------
    is_lax : whether a price is sought, and names do not count that tell another amount.
    """
    sought = (PRICE,) if is_lax else ("odometer", PRICE)
    wanted = [name for name in sought if name not in proposal.rules]
    if not wanted:
        return
    years = _years(proposal, columns)
    found: dict[str, dict[str, Fit]] = {}
    for name, column in free.items():
        if column.is_flag or len(column.values) < 3:
            continue
        tried = {
            one: fit(one, column, 0, currency)
            for one in wanted
            if is_lax or not column.name.tells_another(one)
        }
        found[name] = {one: good for one, good in tried.items() if good and not good.guesses}
    for name, fits in found.items():
        distance, price = fits.get("odometer"), fits.get(PRICE)
        if distance and "odometer" in wanted and _names_most(distance.units):
            take("odometer", name, distance)
            wanted.remove("odometer")
        elif price and PRICE in wanted and _names_most(price.currencies):
            take(PRICE, name, price)
            wanted.remove(PRICE)
    read = proposal.columns_read()
    trend = {
        name: _trend(next(iter(fits.values())).numbers, columns[name].raw.index, years)
        for name, fits in found.items()
        if fits and name not in read
    }
    for one in wanted:
        sign = -1.0 if one == "odometer" else 1.0
        fitting = [
            name
            for name in trend
            if one in found[name]
            and name not in proposal.columns_read()
            and not are_years(found[name][one].numbers)
            and (sign * trend[name] > _RELATED or len(trend) == len(wanted))
        ]
        sizes = {n: float(np.nanmedian(found[n][one].numbers)) for n in fitting}
        order = sorted(fitting, key=lambda name: (-sign * trend[name], -sign * sizes[name]))
        if max(map(abs, trend.values()), default=0.0) <= _RELATED:
            order = sorted(fitting, key=lambda name: -sign * sizes[name])
        if order:
            take(one, order[0], found[order[0]][one])


def _names_most(named: Counter[str]) -> bool:
    return sum(named.values()) > 0 and named[""] < 0.5 * sum(named.values())


def _years(proposal: Proposal, columns: Mapping[str, Column]) -> pd.Series:
    rule = proposal.rules.get("year")
    if not rule or rule.get("from") not in columns:
        return pd.Series(dtype=np.float64)
    column = columns[rule["from"]]
    found = fit("year", column, WHOLE)
    return pd.Series(found.numbers, column.raw.index) if found else pd.Series(dtype=np.float64)


def _trend(numbers: np.ndarray, index: pd.Index, years: pd.Series) -> float:
    """Return the rank correlation of a column with the year; 0 where it cannot be told."""
    both = pd.DataFrame({"number": pd.Series(numbers, index), "year": years}).dropna()
    if len(both) < _FEWEST_ROWS or both.nunique().min() < 3:
        return 0.0
    return float(both.rank().corr().iloc[0, 1])


def _model_of(make: Column, free: Mapping[str, Column]) -> str:
    """Return the column whose values are each of one make, the fewest of them."""
    kinds: dict[str, int] = {}
    makes = make.raw.astype(str)
    for name, column in free.items():
        values = column.raw.astype(str).reindex(makes.index)
        pairs = pd.DataFrame({"make": makes, "value": values}).dropna()
        if pairs.empty or column.is_flag:
            continue
        count = pairs["value"].nunique()
        several = makes.nunique() <= count < 0.7 * len(pairs)
        if several and share_of_one_make(make, column) >= _OF_SAME_MAKE and column.numeric < 0.9:
            kinds[name] = count
    return min(kinds, key=kinds.__getitem__, default="")
