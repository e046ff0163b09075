"""The fitted hedonic ridge: ln(price) as a sum of what each attribute of a car is worth.

One sparse ridge regression (Rosen 1974 for the hedonic idea) on the columns of
:mod:`carprice.model.blocks`. :mod:`carprice.model.hedonic_fit` fits it, and
:mod:`carprice.model.worth` predicts with it.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from carprice.model.blocks import AGE, BLOCKS, DISTANCE

KM_KNOTS: Final = np.round(np.linspace(1_000**0.5, 400_000**0.5, 61) ** 2)
"""Knots of the correction for distance, in km: linear between them, constant beyond."""
USUAL_KM: Final = 50_000.0
"""Distance of a car whose odometer is unknown, in km."""
NO_DISTANCE: Final = "unknown"
"""Term of a car whose odometer is unknown."""
LOGGED: Final = {
    "litres": 1.5,
    "power_bhp": 100.0,
    "fuel_economy": 20.0,
    "road_tax": 150.0,
    "new_price": 20_000.0,
}
"""Numbers whose logarithm is a term of the engine, and the value at which it is 0."""
ENGINE: Final = ("litres", "power_bhp", "cylinders")
"""Numbers of the text ``model_engine``, in its order."""
SPEC: Final = ("litres", "power_bhp", "fuel_economy")
"""Numbers of the text ``model_spec``, in its order; the fuel follows them."""
TAX: Final = ("road_tax", "litres")
"""Numbers of the text ``model_tax``, in its order."""


@dataclass(frozen=True)
class Hedonic:
    """A fitted hedonic ridge.

    Attributes
    ----------
    coefficients : block name → term → what it adds to ln(price), per unit of its basis.
    idf : block name → term → inverse document frequency, for blocks that weigh terms.
    by_age : correction of ln(price) for each age in years from 0 to the oldest that was learned.
    by_distance : correction of ln(price) at each of :data:`KM_KNOTS`.
    typical : factor → mean of what it adds over the training rows; explanations start from it.
    spread : factor → variance of what it adds among cars of one model; ``model`` → that among cars
        of one make; ``make`` → that among all. It widens the range where the value is unknown.
    usual : block or factor → model, make or "" for all → mean of what it adds, for unseen values.
    own : the market's own columns, and what the terms of numbers are measured by, see
        :data:`carprice.model.own_terms.Scales`.
    scales : block name → the scale of its columns, see :mod:`carprice.model.block_scales`; empty in
        model folders of before.
    """

    intercept: float
    coefficients: dict[str, dict[str, float]]
    idf: dict[str, dict[str, float]]
    by_age: list[float]
    by_distance: list[float]
    km_per_unit: float
    typical: dict[str, float]
    spread: dict[str, float]
    usual: dict[str, dict[str, float]]
    own: Mapping[str, Sequence[float]] = field(default_factory=dict)
    scales: dict[str, float] = field(default_factory=dict)

    @property
    def known(self) -> defaultdict[str, dict[str, float]]:
        """The coefficients; model folders of before have none of the newer blocks."""
        return defaultdict(dict, self.coefficients)

    @property
    def oldest(self) -> int:
        """Age in years to which older cars are clipped."""
        return len(self.by_age) - 1

    @property
    def start(self) -> float:
        """The ln(price) of the market's typical car: the mean of the training rows."""
        return self.intercept + math.fsum(self.typical.values())

    def part(self, factor: str) -> "Hedonic":
        """Return the ridge of one factor; the parts and the intercept sum to the whole."""
        own = {block.name for block in BLOCKS if block.factor == factor}
        return replace(
            self,
            intercept=0.0,
            coefficients={
                name: terms if name in own else {} for name, terms in self.coefficients.items()
            },
            by_age=[worth * (factor == AGE) for worth in self.by_age],
            by_distance=[worth * (factor == DISTANCE) for worth in self.by_distance],
            usual={name: means for name, means in self.usual.items() if name in own},
        )


def terms_of(name: str, number: float) -> dict[str, float]:
    """Return the ridge's terms of a number: one of :data:`LOGGED`, ``seats`` or ``ownership``."""
    if name in LOGGED:
        usual = LOGGED[name]
        return {name: round(math.log(max(number, usual / 20) / usual), 3)}
    if name == "seats":
        return {"seats": min(max(number, 2), 9) / 5 - 1}
    return {"owners": min(number, 5), "second": float(number > 1), "third": float(number > 2)}


def quarters_before(listed: float) -> int:
    """Return the whole quarters of a year that a listing is older than the valuation date.

    Parameters
    ----------
    listed : years after the valuation date.

    Examples
    --------
    >>> quarters_before(-0.6), quarters_before(0.3)
    (2, 0)
    """
    return max(int(-4 * listed), 0)


def printed(value: float) -> str:
    """Return a number as a term's text; empty for NaN."""
    return "" if math.isnan(value) else f"{value + 0.0:g}"  # 0 for -0


def usual_of(means: Mapping[str, float], *keys: str) -> float:
    """Return the mean of the first key that has one, else that of all."""
    return next(means[key] for key in (*keys, "") if key in means)
