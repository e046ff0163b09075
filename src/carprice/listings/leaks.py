"""The fields that look computed from the price, found before and after training.

Cars alike in model, variant, age and powertrain still differ in distance, owners and colour, which
explain little of how their prices differ. A column computed from the price explains nearly all of
it, whatever its name is. So may a column that is known of any car before there is a price, such as
its list price when new: a rule of the column map says so, and it is taken, unless the price follows
from it alone.
"""

from collections.abc import Collection, Mapping, Sequence
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
from carprice.schema import FIELDS, alias, is_own, own_numbers, own_texts

MOST_EXPLAINED: Final = 0.5
_MOST_EXPLAINED_BY_DISTANCE: Final = 0.9
"""What the odometer, which every car shows, explains where like cars' prices hardly scatter."""
_FEWEST_ROWS: Final = 100
_MOST_LEVELS: Final = 200
_MOST_COLUMNS: Final = 30
_SAME: Final = 1e-9
_BELOW_FLOOR: Final = 0.5
_LEAST_ERROR_ALONE: Final = 3.0
"""MdAPE, per cent: a field from which the price follows within less is the price."""
_NOT_JUDGED: Final = frozenset({"age", "listed", "odometer_per_year"})

SOURCE_FIELD: Final = {"litres": "engine_cc", "feature_count": "features", **CATEGORIES}
"""The listing's field that a feature of another name is made from."""
_FEATURE: Final = {field: name for name, field in SOURCE_FIELD.items()}


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
    for name in (*NUMBERS, *own_numbers(features.own)):
        if name not in _NOT_JUDGED:
            judged_in = like_cars(features, ("age",)) if name == "litres" else groups
            share = _explained_by_number(features.numbers[name], judged_in, log_price)
            found.append(Suspect(SOURCE_FIELD.get(name, name), share))
    for name in (*CATEGORIES, *own_texts(features.own)):
        share = _explained_by_text(features.texts[name], groups, log_price)
        found.append(Suspect(SOURCE_FIELD.get(name, name), share))
    least = {"odometer": _MOST_EXPLAINED_BY_DISTANCE} if explaining >= MOST_EXPLAINED else {}
    return sorted(
        (one for one in found if one.explained >= max(explaining, least.get(one.field, 0.0))),
        key=lambda one: -one.explained,
    )


def error_alone(features: Features, log_price: Floats, field: str) -> float:
    """Return how well a field alone tells the price: the MdAPE, per cent, of its nearest value.

    It is infinite for a field of which there are fewer than 100 values, or that is no feature.
    """
    name = _FEATURE.get(field, field)
    values: npt.NDArray[Any]
    if name in features.numbers:
        values = features.numbers[name]
        known = np.flatnonzero(np.isfinite(values))
    elif name in features.texts:
        values = np.array(features.texts[name])
        known = np.flatnonzero(values != "")
    else:
        return np.inf
    if len(known) < _FEWEST_ROWS:
        return np.inf
    # Sources may be sorted by price: of equal values, the order must say nothing.
    known = np.random.default_rng(0).permutation(known)
    order = known[np.argsort(values[known], kind="stable")]
    apart = np.abs(np.diff(log_price[order]))
    return float(100 * np.sinh(np.median(apart) / np.sqrt(2)))


def is_price(features: Features, log_price: Floats, field: str) -> bool:
    """Whether the price of a car follows from a field alone, as from another currency's price."""
    features, log_price = one_of_each_car(features, log_price)
    return error_alone(features, log_price, field) < _LEAST_ERROR_ALONE


def refuse_leaks(
    features: Features,
    log_price: Floats,
    columns: Mapping[str, str],
    known: Collection[str] = (),
) -> None:
    """Raise an InputError if :func:`suspects` finds a field, or a known or own one is the price.

    Parameters
    ----------
    columns : the source's column of each field, by the field's camelCase name.
    known : camelCase names of the fields that are known of any car before there is a price.
    """
    names = {alias(field): field for field in (*FIELDS, *features.own)}
    for name in {**dict.fromkeys(known), **dict.fromkeys(map(alias, features.own))}:
        if is_price(features, log_price, names[name]):
            remedy = f"switch it off in ingest.columns: '{name}: null'"
            if is_own(names[name]):
                remedy = f"take {name} out of ingest.extra"
            raise InputError(
                f"{name} (column {columns.get(name, '?')}) is the price, or computed from it: the "
                f"price follows from it alone, and known: true does not help; {remedy}"
            )
    found = [one for one in suspects(features, log_price) if alias(one.field) not in known]
    if found:
        name, field = alias(found[0].field), found[0].field
        remedy = f"switch it off in ingest.columns, such as '{name}: null'"
        if is_own(field):
            remedy = f"take {name} out of ingest.extra"
        if not is_price(features, log_price, field):
            remedy += (
                "; if it is a list price when new, map it as newPrice; if it is something else "
                "that is known of any car before there is a price, say so with known: true in its "
                f"rule, such as '{name}: {{from: {columns.get(name, '...')}, known: true}}'"
            )
        raise InputError(
            f"{_named(found, columns)} of how the prices of like cars differ; it looks computed "
            f"from the price and must not be learned from: {remedy}"
        )


def refuse_too_good(
    mdape: float,
    features: Features,
    log_price: Floats,
    columns: Mapping[str, str],
    known: Collection[str] = (),
) -> None:
    """Raise an InputError if an error is below half the noise floor: a field gave the price away.

    Parameters
    ----------
    mdape : cross-validated MdAPE of a fitted model, per cent.
    columns, known : see :func:`refuse_leaks`.
    """
    # Twins that were alike in a column which knows the price would have one price.
    names = {alias(field): _FEATURE.get(field, field) for field in (*FIELDS, *features.own)}
    alike = [names[name] for name in known if names[name] not in KEY_NUMBERS]
    numbers = [name for name in alike if name in features.numbers]
    texts = [name for name in alike if name in features.texts]
    floor = noise_floor(features, log_price, (*KEY_NUMBERS, *numbers), texts).mdape
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
