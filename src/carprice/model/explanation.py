"""Why a car costs what it costs: the market's typical car, times one factor for each attribute."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from carprice.listings.keys import ModelKey
from carprice.model.blocks import FACTORS, MAKE_AND_MODEL, OTHERS, POWERTRAIN
from carprice.model.hedonic import Hedonic, usual_of


@dataclass(frozen=True)
class Reason:
    """One part of a price: its factor on the price, and what that adds in the market's currency."""

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
    """Explain a car's price by the factors in their order; amounts depend on that order.

    Fuel and gearbox are compared with what the model usually has; that difference from the market's
    typical car counts to make and model.

    Parameters
    ----------
    worth : factor → what it adds to the ridge's ln(price).
    residual : what the trees add to ln(price).
    model : the car's ``make|model``.
    """
    logs = {factor: worth[factor] - typical for factor, typical in hedonic.typical.items()}
    if usual := hedonic.usual.get(POWERTRAIN):
        own = usual_of(usual, model, ModelKey.read(model).make)
        shift = own - hedonic.typical[POWERTRAIN]
        logs[POWERTRAIN] -= shift
        logs[MAKE_AND_MODEL] += shift
    logs[OTHERS] = logs.get(OTHERS, 0.0) + residual
    start = price = math.exp(hedonic.intercept + sum(hedonic.typical.values()))
    reasons = []
    for name in FACTORS:
        factor = math.exp(logs.get(name, 0.0))
        reasons.append(Reason(name, factor, price * (factor - 1)))
        price *= factor
    return Explanation(price, start, tuple(reasons))
