"""What like cars cost: the price of each car that the other cars predict.

The prediction is that of the production model's hedonic ridge, fitted without listing dates and out
of fold, so that no car predicts its own price. Its residuals show outliers and drift over time.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from carprice.arrays import Floats
from carprice.listings.features import Features
from carprice.listings.noise import less_group_mean, like_cars
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
    """Return each car's ln(price) as predicted out of fold; None for fewer than 200 rows.

    Parameters
    ----------
    features : listings parsed without dates, n rows.
    log_price : their ln(price).
    distance_unit : ``km`` or ``miles``.
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
    """Return how much ln(price) falls with a year of age among like cars of equal distance.

    The coefficient of age in a regression of ln(price) on age and the square root of the distance
    within groups of one model, variant and powertrain. None where too few cars share a group.
    """
    ageless = replace(
        features, numbers={**features.numbers, "age": np.zeros_like(features.numbers["age"])}
    )
    groups = like_cars(ageless)
    distance = np.sqrt(features.numbers["odometer"])
    known = np.isfinite(distance)
    if known.sum() < _PAIRED_ROWS:
        known, distance = np.ones(len(groups), dtype=bool), np.zeros(len(groups))
    _, group = np.unique(groups[known], return_inverse=True)
    regressors = (features.numbers["age"][known], distance[known])
    design = np.column_stack([less_group_mean(values, group) for values in regressors])
    if (np.abs(design[:, 0]) > 0).sum() < _PAIRED_ROWS:
        return None
    worth, *_ = np.linalg.lstsq(design, less_group_mean(log_price[known], group), rcond=None)
    return -float(worth[0])
