"""The fitted hedonic ridge: ln(price) as a sum of what each attribute of a car is worth.

One sparse ridge regression (Rosen 1974 for the hedonic idea) on the columns of
:mod:`carprice.model.blocks`. :mod:`carprice.model.hedonic_fit` fits it, and
:mod:`carprice.model.worth` asks it for a car's price.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Self

import numpy as np

from carprice.arrays import Floats
from carprice.listings.keys import ModelKey
from carprice.model.blocks import AGE, BLOCKS, DISTANCE, MAKE_AND_MODEL, POWERTRAIN, VARIANT

KM_KNOTS: Final = np.round(np.linspace(1_000**0.5, 400_000**0.5, 61) ** 2)
"""Kilometres at which the price's fall with distance is corrected; others count as the nearest."""
USUAL_KM: Final = 50_000.0
"""Kilometres that a car counts with where they are not known."""
LOGGED: Final = {"litres": 1.5, "power_bhp": 100.0, "fuel_economy": 20.0, "road_tax": 150.0}
"""Numbers whose logarithm is a term of the engine, and the value at which it is 0."""
ENGINE: Final = ("litres", "power_bhp", "cylinders")
"""Numbers that make up the text ``model_engine``, in its order."""
_FACTOR_OF_USUAL: Final = {"make": MAKE_AND_MODEL, "model": MAKE_AND_MODEL, "variant": VARIANT}


@dataclass(frozen=True)
class Hedonic:
    """A fitted hedonic ridge.

    Attributes
    ----------
    coefficients : block name → term → what it adds to ln(price), per unit of its basis.
    idf : block name → term → inverse document frequency, for blocks that weigh terms.
    by_age : correction of ln(price) for each age in years from 0 to the oldest that was learned.
    by_distance : correction of ln(price) at each of :data:`KM_KNOTS`.
    typical : factor → its mean over the training rows; a listing is explained against it.
    spread : factor → its variance among cars of one model, and that of models among cars of one
        make and of makes among all; what is open where it is unknown.
    usual : block or factor → model, make or "" for all → its mean, for what was never seen.
    """

    intercept: float
    coefficients: dict[str, dict[str, float]]
    idf: dict[str, dict[str, float]]
    by_age: Floats
    by_distance: Floats
    km_per_unit: float
    typical: dict[str, float]
    spread: dict[str, float]
    usual: dict[str, dict[str, float]]

    @property
    def oldest(self) -> int:
        """Age in years that all older cars are taken to have."""
        return len(self.by_age) - 1

    def part(self, factor: str) -> "Hedonic":
        """Return the ridge with what counts to one factor only; all parts and the intercept add."""
        own = {block.name for block in BLOCKS if block.factor == factor}
        return replace(
            self,
            intercept=0.0,
            coefficients={
                name: terms if name in own else {} for name, terms in self.coefficients.items()
            },
            by_age=self.by_age * (factor == AGE),
            by_distance=self.by_distance * (factor == DISTANCE),
            usual={
                name: means
                for name, means in self.usual.items()
                if _FACTOR_OF_USUAL.get(name) == factor
            },
        )

    def beside_typical(self, worth: Mapping[str, float], model: str) -> dict[str, float]:
        """Return what factors add to ln(price) beside what they add to the typical car's.

        Fuel and gearbox are told against what the model usually has; what that is worth goes with
        make and model.

        Parameters
        ----------
        worth : factor → what it adds for a car.
        model : ``make|model`` of the car.
        """
        told = {factor: worth[factor] - typical for factor, typical in self.typical.items()}
        usual = self.usual.get(POWERTRAIN)
        if usual:
            keys = (model, ModelKey.read(model).make, "")
            own = next(usual[key] for key in keys if key in usual)
            shift = own - self.typical[POWERTRAIN]
            told[POWERTRAIN] -= shift
            told[MAKE_AND_MODEL] += shift
        return told

    def to_json(self) -> dict[str, Any]:
        """Return the coefficients as plain JSON values."""
        return {
            **vars(self),
            "by_age": self.by_age.tolist(),
            "by_distance": self.by_distance.tolist(),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        curves = {name: np.array(content[name]) for name in ("by_age", "by_distance")}
        return cls(**{**content, **curves})


def printed(value: float) -> str:
    """Return a number as a term's text; empty for NaN."""
    return "" if math.isnan(value) else f"{value:g}"
