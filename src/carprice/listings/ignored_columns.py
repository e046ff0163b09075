"""The columns that no field reads: which of them look computed from the price."""

import re
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from carprice.arrays import Floats

_NAME: Final = re.compile(
    r"(?<![a-z])((?:emi|roi|apr|down)(?![a-z])|downpay|price|payment|instal?ment|loan|valuation"
    r"|discount|deposit)",
    re.IGNORECASE,
)
_LIST_PRICE: Final = re.compile(
    r"(?<![a-z])(?:msrp|rrp|uvp)(?![a-z])"
    r"|(?<![a-z])(?:list|catalog(?:ue)?|new(?: car)?) ?price"
    r"|price ?(?:when |as |if )?new|showroom|neupreis|listenpreis|prix ?(?:neuf|catalogue)"
    r"|(?:precio|preço|preco|prezzo) ?(?:de )?(?:nuevo|novo|nuovo|lista|listino)"
    r"|новой|指导价|新车价|新車価格|신차",
    re.IGNORECASE,
)
_NUMBER: Final = r"(\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)"
_EXPLAINED: Final = 0.9
_EXPLAINED_ALONE: Final = 0.98
_ROWS: Final = 5000
_SMALLEST: Final = 50


@dataclass(frozen=True)
class IgnoredColumn:
    """A column of the source that no field reads.

    Attributes
    ----------
    looks_computed_from_price : whether its name or its values say so.
    evidence : why it looks so; empty where it does not.
    is_list_price : whether it is a list price when new, by its name, which is known of any car.
    """

    name: str
    looks_computed_from_price: bool
    evidence: str
    is_list_price: bool = False


def inspect_ignored(raw: pd.DataFrame, price: Floats, year: Floats) -> list[IgnoredColumn]:
    """Tell which of the columns that no field reads look computed from the price.

    A column does if its name says so, or if it and the model year alone explain 90 % of the
    variance of ln(price) in cross-validation, which no attribute of a car can but its list price
    when new. So a column that is one by its name must explain 98 % without the year.

    Parameters
    ----------
    raw, price, year : the ignored columns of n rows, and their price and year, NaN if unreadable.
    """
    usable = np.flatnonzero(np.isfinite(price) & (price > 0) & np.isfinite(year))[:_ROWS]
    log_price = np.log(price[usable])
    return [
        _judge(str(name), raw[name].iloc[usable], log_price, year[usable]) for name in raw.columns
    ]


def _judge(name: str, values: pd.Series, log_price: Floats, year: Floats) -> IgnoredColumn:
    reasons = []
    spaced = _spaced(name)
    is_list_price = names_list_price(name)
    if not is_list_price and (word := _NAME.search(spaced)):
        reasons.append(f"its name says {word.group(1).lower()!r}")
    with_year, least = ("", _EXPLAINED_ALONE) if is_list_price else ("with the year ", _EXPLAINED)
    explained = _explained(values, log_price, year * (not is_list_price))
    if explained >= least:
        reasons.append(f"{with_year}it explains {100 * explained:.0f} % of the price's variance")
    return IgnoredColumn(name, bool(reasons), "; ".join(reasons), is_list_price and not reasons)


def names_money(name: str) -> bool:
    """Whether a column is a price, a rate or the like by its name.

    Examples
    --------
    >>> names_money("avgEmi"), names_money("Listenpreis"), names_money("airbags")
    (True, True, False)
    """
    return _NAME.search(_spaced(name)) is not None or names_list_price(name)


def names_list_price(name: str) -> bool:
    """Whether a column is a list price when new by its name.

    Examples
    --------
    >>> names_list_price("MSRP"), names_list_price("listing_price")
    (True, False)
    """
    return _LIST_PRICE.search(re.sub(r"[\W_]+", " ", _spaced(name))) is not None


def _spaced(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)


def _explained(values: pd.Series, log_price: Floats, year: Floats) -> float:
    from sklearn.model_selection import KFold, cross_val_score
    from sklearn.tree import DecisionTreeRegressor

    first = values.astype(str).str.replace(",", "").str.extract(_NUMBER, expand=False)
    numbers = pd.to_numeric(first, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    if len(numbers) < _SMALLEST or len(np.unique(numbers[np.isfinite(numbers)])) < _SMALLEST:
        return 0.0
    tree = DecisionTreeRegressor(min_samples_leaf=5, random_state=0)
    pairs = np.column_stack([numbers, year])
    folds = KFold(3, shuffle=True, random_state=0)  # files are often sorted by price
    return float(cross_val_score(tree, pairs, log_price, cv=folds, scoring="r2").mean())
