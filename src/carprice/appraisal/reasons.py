"""A price's reasons to the cent: they start at a round price and add up to the price exactly.

Each running total is rounded, not each amount, so that no amount is off by more than a cent.
"""

from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, Final

from carprice.model import PriceModel
from carprice.model.explanation import Explanation, Reason
from carprice.model.pricer import Listing, Valuation

LARGEST: Final = 3
"""The reasons of a price that a row of a stock tells."""
_DIGITS: Final = 6


@dataclass(frozen=True)
class Reasons:
    """The price of the market's typical car, and what each attribute adds to it, in cents.

    Factors are rounded to six digits, amounts to cents: ``start`` plus all amounts is the price.
    """

    start: float
    reasons: tuple[Reason, ...]

    def content(self) -> dict[str, Any]:
        """Return what JSON says of them."""
        return {"start": self.start, "reasons": [vars(reason) for reason in self.reasons]}


def reasons_of(model: PriceModel, listing: Listing, valuation: Valuation) -> Reasons:
    """Tell what makes up a price that the model gave."""
    return in_cents(model.pricer.explain(listing), valuation.predicted_price)


def in_cents(told: Explanation, price: float) -> Reasons:
    """Round an explanation so that it adds up to a price in cents.

    Should the price be another than what is explained, as trees that run on many cars at once may
    differ in the last digit, the largest amount takes the cent.

    Examples
    --------
    >>> reasons = (Reason("age", 1 / 3, -2.0), Reason("distance", 2.0, 1.004))
    >>> told = in_cents(Explanation(2.004, 3.0, reasons), price=2.01)
    >>> [(reason.factor, reason.amount) for reason in told.reasons]
    [(0.333333, -1.99), (2.0, 1.0)]
    """
    start, amounts = _amounts(told, price)
    return Reasons(
        start / 100,
        tuple(
            Reason(reason.name, round(reason.factor, _DIGITS), amount / 100)
            for reason, amount in zip(told.reasons, amounts, strict=True)
        ),
    )


def largest_in_cents(told: Explanation, price: float, count: int) -> list[tuple[str, float]]:
    """Return the names and amounts of the largest reasons of :func:`in_cents`; none of nothing.

    Examples
    --------
    >>> reasons = (Reason("age", 1 / 3, -2.0), Reason("fuel", 1.0, 0.0), Reason("trim", 2.0, 1.0))
    >>> largest_in_cents(Explanation(2.0, 3.0, reasons), price=2.0, count=5)
    [('age', -2.0), ('trim', 1.0)]
    """
    _, amounts = _amounts(told, price)
    order = sorted(range(len(amounts)), key=lambda place: -abs(amounts[place]))[:count]
    return [(told.reasons[place].name, amounts[place] / 100) for place in order if amounts[place]]


def _amounts(told: Explanation, price: float) -> tuple[int, list[int]]:
    """Return the start and what each reason adds, in whole cents."""
    totals = accumulate((reason.amount for reason in told.reasons), initial=told.start)
    cents = [round(total * 100) for total in totals]
    amounts = [after - before for before, after in pairwise(cents)]
    largest = max(range(len(amounts)), key=lambda place: abs(amounts[place]))
    amounts[largest] += round(price * 100) - cents[-1]
    return cents[0], amounts
