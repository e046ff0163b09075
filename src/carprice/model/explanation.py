"""Why a car costs what it costs: the market's typical car, times one factor for each attribute."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from carprice.model.blocks import FACTORS


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


def explanation(start: float, worth: Mapping[str, float]) -> Explanation:
    """Tell a price from the typical car's and what each part adds to ln(price).

    An amount is what its factor changes after those before it.

    Examples
    --------
    >>> told = explanation(500_000.0, {"age": math.log(0.8), "owners": math.log(0.95)})
    >>> round(told.price), [(r.name, round(r.amount)) for r in told.reasons if r.amount]
    (380000, [('age', -100000), ('owners', -20000)])
    """
    price, reasons = start, []
    for name in FACTORS:
        factor = math.exp(worth.get(name, 0.0))
        reasons.append(Reason(name, factor, price * (factor - 1)))
        price *= factor
    return Explanation(price, start, tuple(reasons))
