"""What is left of each price when make, model, variant, age, distance and the rest are paid for.

The hedonic ridge of the production model, fitted without listing dates and out of fold, so that no
car explains its own price. What it leaves shows outliers, and whether prices move with the dates.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from carprice.arrays import Floats
from carprice.listings.features import Features
from carprice.listings.noise import like_cars
from carprice.listings.units import km_per_unit
from carprice.model.defaults import Defaults

FEWEST_ROWS: Final = 200
_FOLDS: Final = 5
_MANY_ROWS: Final = 20_000
_FOLDS_OF_MANY: Final = 3
_PAIRED_ROWS: Final = 100


def expected_log_price(
    features: Features, log_price: Floats, distance_unit: str, scales: Mapping[str, float]
) -> Floats | None:
    """Return ln(price) that the other folds' cars say of each car; None for fewer than 200 rows.

    Parameters
    ----------
    features : listings parsed without dates, n rows.
    log_price : their ln(price).
    scales : of the ridge's blocks, see :class:`carprice.settings.HedonicScales`.
    """
    if len(log_price) < FEWEST_ROWS:
        return None
    from carprice.model.hedonic_fit import fit_hedonic

    complete = Defaults.fit(features).complete(features)
    count = _FOLDS if len(log_price) < _MANY_ROWS else _FOLDS_OF_MANY
    folds = np.random.default_rng(0).permutation(np.arange(len(log_price), dtype=np.intp) % count)
    km = km_per_unit(distance_unit)
    _, anchor = fit_hedonic(complete, log_price, folds, scales, km)
    return anchor.log_price


def loss_per_year(features: Features, log_price: Floats) -> float | None:
    """Return how much ln(price) falls with a year of age among like cars that have driven alike.

    A regression of ln(price) on age and the root of the distance, each less the mean of its group;
    a group is alike in model, variant and powertrain. None where too few cars have a fellow.
    """
    ageless = replace(
        features, numbers={**features.numbers, "age": np.zeros_like(features.numbers["age"])}
    )
    groups = like_cars(ageless)
    distance = np.sqrt(features.numbers["odometer"])
    known = np.isfinite(distance)
    if known.sum() < _PAIRED_ROWS:
        known, distance = np.ones(len(groups), dtype=bool), np.zeros(len(groups))
    _, own = np.unique(groups[known], return_inverse=True)
    rows = np.bincount(own)

    def within(values: Floats) -> Floats:
        return np.asarray(values - (np.bincount(own, weights=values) / rows)[own])

    design = np.column_stack([within(features.numbers["age"][known]), within(distance[known])])
    if (np.abs(design[:, 0]) > 0).sum() < _PAIRED_ROWS:
        return None
    worth, *_ = np.linalg.lstsq(design, within(log_price[known]), rcond=None)
    return -float(worth[0])
