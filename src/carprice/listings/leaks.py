"""The fields that look computed from the price, found before and after training.

Cars alike in model, variant, age and powertrain still differ in distance, owners and colour, which
explain little of how their prices differ. A column computed from the price explains nearly all of
it, whatever its name is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from carprice.arrays import Codes, Floats
from carprice.errors import InputError
from carprice.listings.features import CATEGORIES, NUMBERS, Features
from carprice.listings.noise import (
    KEY_NUMBERS,
    less_group_mean,
    like_cars,
    noise_floor,
    one_of_each_car,
)
from carprice.schema import alias

MOST_EXPLAINED: Final = 0.5
_FEWEST_ROWS: Final = 100
_MOST_LEVELS: Final = 200
_MOST_COLUMNS: Final = 30
_SAME: Final = 1e-9
_BELOW_FLOOR: Final = 0.5
_NOT_JUDGED: Final = frozenset({"age", "listed", "odometer_per_year"})

SOURCE_FIELD: Final = {"litres": "engine_cc", "feature_count": "features", **CATEGORIES}
"""The listing's field that a feature of another name is made from."""


@dataclass(frozen=True)
class Suspect:
    """A field, and the share of like cars' price differences that it explains, 0 to 1."""

    field: str
    explained: float


def suspects(
    features: Features, log_price: Floats, explaining: float = MOST_EXPLAINED
) -> list[Suspect]:
    """Return the fields that explain too much of how like cars' prices differ, worst first.

    Parameters
    ----------
    features, log_price : parsed listings, and their ln(price).
    explaining : the least share of the variance that makes a field suspect.
    """
    features, log_price = one_of_each_car(features, log_price)
    groups = like_cars(features)
    found = []
    for name in NUMBERS:
        if name not in _NOT_JUDGED:
            judged_in = like_cars(features, ("age",)) if name == "litres" else groups
            share = _explained_by_number(features.numbers[name], judged_in, log_price)
            found.append(Suspect(SOURCE_FIELD.get(name, name), share))
    for name in CATEGORIES:
        share = _explained_by_text(features.texts[name], groups, log_price)
        found.append(Suspect(SOURCE_FIELD[name], share))
    return sorted(
        (one for one in found if one.explained >= explaining), key=lambda one: -one.explained
    )


def refuse_leaks(features: Features, log_price: Floats, columns: Mapping[str, str]) -> None:
    """Raise an InputError if :func:`suspects` finds a field.

    Parameters
    ----------
    columns : the source's column of each field, by the field's camelCase name.
    """
    if found := suspects(features, log_price):
        raise InputError(
            f"{_named(found, columns)} of how the prices of like cars differ; it looks computed "
            "from the price and must not be learned from: switch it off in ingest.columns, such as "
            f"'{alias(found[0].field)}: null'"
        )


def refuse_too_good(
    mdape: float, features: Features, log_price: Floats, columns: Mapping[str, str]
) -> None:
    """Raise an InputError if an error is below half the noise floor: a field gave the price away.

    Parameters
    ----------
    mdape : cross-validated MdAPE of a fitted model, per cent.
    columns : see :func:`refuse_leaks`.
    """
    # Twins that were alike in a column which knows the price would have one price.
    floor = noise_floor(features, log_price, KEY_NUMBERS, ()).mdape
    if floor is not None and mdape < _BELOW_FLOOR * floor:
        closest = _named(suspects(features, log_price, explaining=0.0)[:3], columns)
        raise InputError(
            f"the cross-validated MdAPE of {mdape:.2f} % is below half of what like cars differ "
            f"by: a column must know the price; closest to it: {closest} of it"
        )


def _named(found: Sequence[Suspect], columns: Mapping[str, str]) -> str:
    return ", ".join(
        f"{alias(one.field)} (column {columns.get(alias(one.field), '?')}) explains "
        f"{100 * one.explained:.0f} %"
        for one in found
    )


def _explained_by_number(values: Floats, groups: Codes, log_price: Floats) -> float:
    known = np.isfinite(values)
    logged = np.sign(values) * np.log1p(np.abs(values))
    return _explained([logged[known]], groups[known], log_price[known])


def _explained_by_text(texts: Sequence[str], groups: Codes, log_price: Floats) -> float:
    levels, codes = np.unique(np.array(texts), return_inverse=True)
    if len(levels) > _MOST_LEVELS:
        numbers = pd.to_numeric(pd.Series(levels), errors="coerce").to_numpy(dtype=np.float64)
        return _explained_by_number(numbers[codes], groups, log_price)
    commonest = np.argsort(-np.bincount(codes), kind="stable")[:_MOST_COLUMNS]
    return _explained([codes == level for level in commonest], groups, log_price)


def _explained(columns: Sequence[npt.NDArray[Any]], groups: Codes, log_price: Floats) -> float:
    """Return the share of the variance within groups that the columns explain together."""
    if len(log_price) < _FEWEST_ROWS:
        return 0.0
    _, groups = np.unique(groups, return_inverse=True)
    matrix = np.column_stack([less_group_mean(column, groups) for column in columns])
    varying = np.any(np.abs(matrix) > _SAME, axis=1)
    if varying.sum() < _FEWEST_ROWS:
        return 0.0
    matrix, price = matrix[varying], less_group_mean(log_price, groups)[varying]
    worth, *_ = np.linalg.lstsq(matrix, price, rcond=None)
    left = price - matrix @ worth
    spread = float(price @ price)
    return 1 - float(left @ left) / spread if spread else 0.0
