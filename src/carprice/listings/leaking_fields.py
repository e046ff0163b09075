"""Find the fields that were computed from the price, before and after training.

Cars alike in model, variant, age and powertrain still differ in distance, owners and colour, which
explain little of how their prices differ. A column computed from the price explains nearly all of
it, whatever its name is.
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
from carprice.listings.noise import NoiseFloor, less_group_mean, like_cars, noise_floor
from carprice.schema import alias

MOST_EXPLAINED: Final = 0.5
_FEWEST_ROWS: Final = 100
_MOST_LEVELS: Final = 200
_MOST_COLUMNS: Final = 30
_SAME: Final = 1e-9
_BELOW_FLOOR: Final = 0.5
_NOT_JUDGED: Final = frozenset({"age", "listed", "odometer_per_year"})

FIELD_OF: Final = {"litres": "engine_cc", "feature_count": "features", **CATEGORIES}
"""The listing's field that a feature of another name is made from."""

Codes = npt.NDArray[np.intp]


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
    features : parsed listings, n rows.
    log_price : their ln(price).
    explaining : the least share of the variance that makes a field suspect.
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
    """Refuse listings with a field that looks computed from the price.

    Parameters
    ----------
    features : parsed listings, n rows.
    log_price : their ln(price).
    columns : the source's column of each field, by the field's camelCase name.

    Raises
    ------
    InputError
        If :func:`suspects` finds a field.
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
    """Refuse a fitted model whose error is below half the noise floor: a field gave the price away.

    Parameters
    ----------
    mdape : its cross-validated MdAPE, per cent.
    features, log_price : what it learned from.
    columns : see :func:`refuse_leaks`.

    Raises
    ------
    InputError
        If the error is so small.
    """
    if is_below_floor(mdape, noise_floor(features, log_price)):
        closest = named(suspects(features, log_price, explaining=0.0)[:3], columns)
        raise InputError(
            f"the cross-validated MdAPE of {mdape:.2f} % is below half of what like cars differ "
            f"by: a column must know the price; closest to it: {closest} of it"
        )


def named(found: Sequence[Suspect], columns: Mapping[str, str]) -> str:
    """Write suspects as text: the field, its column, and how much it explains."""
    return ", ".join(
        f"{alias(one.field)} (column {columns.get(alias(one.field), '?')}) explains "
        f"{100 * one.explained:.0f} %"
        for one in found
    )


def is_below_floor(mdape: float, floor: NoiseFloor) -> bool:
    """Tell whether an MdAPE is below half the noise floor: some field then gives the price away."""
    return floor.mdape is not None and mdape < _BELOW_FLOOR * floor.mdape


def _explained_by_number(values: Floats, groups: Codes, log_price: Floats) -> float:
    known = np.flatnonzero(np.isfinite(values))
    if len(known) < _FEWEST_ROWS:
        return 0.0
    _, own = np.unique(groups[known], return_inverse=True)
    logged = np.sign(values[known]) * np.log1p(np.abs(values[known]))
    x, y = less_group_mean(logged, own), less_group_mean(log_price[known], own)
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
    price = less_group_mean(log_price, groups)
    commonest = np.argsort(-np.bincount(codes), kind="stable")[:_MOST_COLUMNS]
    columns = [less_group_mean((codes == level).astype(np.float64), groups) for level in commonest]
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
