"""Why a car costs what it costs: the market's typical car, times one factor for each attribute."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from carprice.listings.keys import ModelKey
from carprice.model.blocks import FACTORS, MAKE_AND_MODEL, OTHERS, POWERTRAIN
from carprice.model.hedonic import Hedonic, usual_of


@dataclass(frozen=True)
class Reason:
    """One part of a price: the factor it multiplies the price by, and what that is in currency."""

    name: str
    factor: float
    amount: float


@dataclass(frozen=True)
class Explanation:
    """A price as ``start`` times the product of all factors, and as ``start`` plus all amounts."""

    price: float
    start: float
    reasons: tuple[Reason, ...]


def explanation(
    hedonic: Hedonic, worth: Mapping[str, float], residual: float, model: str
) -> Explanation:
    """Tell the price of a car of a ``make|model``; an amount follows those before it.

    Fuel and gearbox are told against what the model usually has; what that is worth goes with make
    and model.

    Parameters
    ----------
    worth : factor → what it adds to the ridge's ln(price).
    residual : what the trees add.
    """
    told = {factor: worth[factor] - typical for factor, typical in hedonic.typical.items()}
    if usual := hedonic.usual.get(POWERTRAIN):
        own = usual_of(usual, model, ModelKey.read(model).make)
        shift = own - hedonic.typical[POWERTRAIN]
        told[POWERTRAIN] -= shift
        told[MAKE_AND_MODEL] += shift
    told[OTHERS] = told.get(OTHERS, 0.0) + residual
    start = price = math.exp(hedonic.intercept + sum(hedonic.typical.values()))
    reasons = []
    for name in FACTORS:
        factor = math.exp(told.get(name, 0.0))
        reasons.append(Reason(name, factor, price * (factor - 1)))
        price *= factor
    return Explanation(price, start, tuple(reasons))
