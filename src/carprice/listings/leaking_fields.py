"""The alarm before and after training: no honest attribute knows the price of like cars.

Cars alike in model, variant, age and powertrain share what honest attributes say of them, but for
distance, owners and colour, and these explain little of how their prices differ. A column computed
from the price explains nearly all of it, whatever its name.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from carprice.arrays import Floats
from carprice.errors import InputError
from carprice.listings.features import CATEGORIES, NUMBERS, Features
from carprice.listings.noise import NoiseFloor, like_cars, noise_floor
from carprice.schema import alias

MOST_EXPLAINED: Final = 0.5
_FEWEST_ROWS: Final = 100
_MOST_LEVELS: Final = 200
_MOST_COLUMNS: Final = 30
_SAME: Final = 1e-9
_BELOW_FLOOR: Final = 0.5
_NOT_JUDGED: Final = frozenset({"age", "listed", "odometer_per_year"})

FIELD_OF: Final = {"litres": "engine_cc", "feature_count": "features", **CATEGORIES}
"""Listing fields behind features of another name."""

Codes = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Suspect:
    """A feature, the listing's field behind it, and the share of like cars' price differences."""

    field: str
    explained: float


def suspects(
    features: Features, log_price: Floats, explaining: float = MOST_EXPLAINED
) -> list[Suspect]:
    """Return features that explain more of like cars' price differences than honest ones can.

    Parameters
    ----------
    features : parsed listings, n rows.
    log_price : their ln(price).
    explaining : share of the variance from which on a feature is suspect.
    """
    groups = like_cars(features)
    found = []
    for name in NUMBERS:
        if name not in _NOT_JUDGED:
            judged_in = like_cars(features, with_engine=False) if name == "litres" else groups
            share = _explained_by_number(features.numbers[name], judged_in, log_price)
            found.append(Suspect(FIELD_OF.get(name, name), share))
    for name in CATEGORIES:
        share = _explained_by_text(features.texts[name], groups, log_price)
        found.append(Suspect(FIELD_OF[name], share))
    return sorted(
        (one for one in found if one.explained >= explaining), key=lambda one: -one.explained
    )


def refuse_leaks(features: Features, log_price: Floats, columns: Mapping[str, str]) -> None:
    """Stop before anything is learned from a feature that knows the price.

    Parameters
    ----------
    columns : the source's column behind each field, by the field's name in files.

    Raises
    ------
    InputError
        If a feature explains the price as only a column computed from it can.
    """
    if found := suspects(features, log_price):
        raise InputError(
            f"{named(found, columns)} of how the prices of like cars differ; it looks computed "
            "from the price and must not be learned from: switch it off in ingest.columns, such as "
            f"'{alias(found[0].field)}: null'"
        )


def refuse_too_good(
    mdape: float, features: Features, log_price: Floats, columns: Mapping[str, str]
) -> None:
    """Stop where a fitted model is better than an honest one can be.

    Parameters
    ----------
    mdape : its cross-validated MdAPE, per cent.
    features, log_price : what it learned from.
    columns : see :func:`refuse_leaks`.

    Raises
    ------
    InputError
        If the error is below half of what like cars differ by.
    """
    if is_below_floor(mdape, noise_floor(features, log_price)):
        closest = named(suspects(features, log_price, explaining=0.0)[:3], columns)
        raise InputError(
            f"the cross-validated MdAPE of {mdape:.2f} % is below half of what like cars differ "
            f"by: a column must know the price; closest to it: {closest} of it"
        )


def named(found: Sequence[Suspect], columns: Mapping[str, str]) -> str:
    """Return suspects as people know them: field, column, and how much it explains."""
    return ", ".join(
        f"{alias(one.field)} (column {columns.get(alias(one.field), '?')}) explains "
        f"{100 * one.explained:.0f} %"
        for one in found
    )


def is_below_floor(mdape: float, floor: NoiseFloor) -> bool:
    """Tell whether an error is so far below what like cars differ by that something must leak."""
    return floor.mdape is not None and mdape < _BELOW_FLOOR * floor.mdape


def _within(values: Floats, groups: Codes) -> Floats:
    """Return each value less the mean of its group."""
    rows = np.bincount(groups)
    return np.asarray(values - (np.bincount(groups, weights=values) / rows)[groups])


def _explained_by_number(values: Floats, groups: Codes, log_price: Floats) -> float:
    known = np.flatnonzero(np.isfinite(values))
    if len(known) < _FEWEST_ROWS:
        return 0.0
    _, own = np.unique(groups[known], return_inverse=True)
    logged = np.sign(values[known]) * np.log1p(np.abs(values[known]))
    x, y = _within(logged, own), _within(log_price[known], own)
    varying = np.abs(x) > _SAME
    if varying.sum() < _FEWEST_ROWS:
        return 0.0
    x, y = x[varying], y[varying]
    total = float(x @ x) * float(y @ y)
    return float(x @ y) ** 2 / total if total else 0.0


def _explained_by_text(texts: Sequence[str], groups: Codes, log_price: Floats) -> float:
    levels, codes = np.unique(np.array(texts), return_inverse=True)
    if len(levels) > _MOST_LEVELS:
        return _explained_by_number(_as_numbers(levels)[codes], groups, log_price)
    if len(levels) < 2 or len(texts) < _FEWEST_ROWS:
        return 0.0
    price = _within(log_price, groups)
    commonest = np.argsort(-np.bincount(codes), kind="stable")[:_MOST_COLUMNS]
    columns = [_within((codes == level).astype(np.float64), groups) for level in commonest]
    matrix = np.column_stack(columns)
    varying = np.any(np.abs(matrix) > _SAME, axis=1)
    if varying.sum() < _FEWEST_ROWS:
        return 0.0
    matrix, price = matrix[varying], price[varying]
    worth, *_ = np.linalg.lstsq(matrix, price, rcond=None)
    left = price - matrix @ worth
    spread = float(price @ price)
    return 1 - float(left @ left) / spread if spread else 0.0


def _as_numbers(levels: npt.NDArray[np.str_]) -> Floats:
    numbers = np.full(len(levels), np.nan)
    for place, level in enumerate(levels.tolist()):
        with suppress(ValueError):
            numbers[place] = float(level)
    return numbers
