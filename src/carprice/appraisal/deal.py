"""Whether an asking price is a good deal: where it lies among the prices that are expected.

``docs/service.md`` tells what the labels mean, and decision 17 how often they are right.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from carprice.model import PriceModel
from carprice.model.deal_limits import DealLimits
from carprice.model.pricer import Listing, Outlook, Valuation, cents
from carprice.schema import DEFAULT_CONFIDENCE

Label = Literal["great", "good", "fair", "high", "overpriced", "none"]
ReasonKind = Literal[
    "model_of_before",
    "learned_from",
    "unseen_model",
    "out_of_range",
    "too_old",
    "too_dear",
    "range_too_wide",
    "implausible_price",
]
LABELS: Final[tuple[Label, ...]] = ("great", "good", "fair", "high", "overpriced")
"""From the lowest asking prices to the highest."""
_IMPLAUSIBLE: Final = 3.0
"""So many times beyond the range at 99 % a price is none of such a car: a digit is missing, it is
an instalment, or in thousands."""
_LARGEST_EXPONENT: Final = 700.0


@dataclass(slots=True, frozen=True)
class Reason:
    """Why there is no label: a word for programs, and a sentence."""

    kind: ReasonKind
    message: str


@dataclass(slots=True, frozen=True)
class Deal:
    """How an asking price compares with the price that is expected.

    Attributes
    ----------
    reason : why the label is ``none``.
    percentile : share of such cars' prices that lie below the asking price, from 0 to 100; None
        where the model saw the car, or is one of before.
    difference : the asking price less the predicted one, in the market's currency.
    per_cent : the same, in per cent of the predicted price.
    """

    label: Label
    reason: Reason | None
    percentile: float | None
    difference: float
    per_cent: float

    def content(self) -> dict[str, Any]:
        """Return what JSON says of it."""
        reason = self.reason
        told = reason and {"kind": reason.kind, "message": reason.message}
        return {
            "label": self.label,
            "reason": told,
            "percentile": self.percentile,
            "difference": self.difference,
            "perCent": self.per_cent,
        }


@dataclass(slots=True, frozen=True)
class JudgedValuation(Valuation):
    """A price, its range, and how the asking price compares with it."""

    deal: Deal
    asking_price: float

    def content(self) -> dict[str, Any]:
        """Return what JSON says of the listing."""
        return {**Valuation.content(self), "deal": self.deal.content()}


def deal_of(model: PriceModel, listing: Listing, asking_price: float) -> Deal:
    """Judge the asking price of a valid listing; it is above 0, in the market's currency."""
    return judged(model, model.pricer.outlook(listing), asking_price)


def value_with_deal(
    model: PriceModel,
    listing: Listing,
    asking_price: float | None,
    confidence: float = DEFAULT_CONFIDENCE,
) -> Valuation:
    """Value one listing, and judge its asking price if it has one."""
    if asking_price is None:
        return model.pricer.value(listing, confidence)
    return _with_deal(model, model.pricer.outlook(listing, confidence), asking_price)


def value_all_with_deals(
    model: PriceModel,
    listings: Iterable[Listing],
    asking_prices: Iterable[float | None],
    confidence: float = DEFAULT_CONFIDENCE,
) -> Iterator[Valuation]:
    """Do the same for many listings; there is an asking price, or None, for each."""
    outlooks = model.pricer.outlooks(listings, confidence)
    for outlook, asking_price in zip(outlooks, asking_prices, strict=True):
        if asking_price is None:
            yield outlook.valuation
        else:
            yield _with_deal(model, outlook, asking_price)


def judged(model: PriceModel, outlook: Outlook, asking_price: float) -> Deal:
    """Judge an asking price by what the model says of the car."""
    price = outlook.valuation.predicted_price
    difference = cents(asking_price - price)
    # A price of nothing is none that carprice predicts; whoever made such a model gets an answer.
    per_cent = round(100 * difference / max(price, 0.01), 1)
    reason = _why_none(model, outlook) or _why_implausible(model, outlook, asking_price)
    percentile = None
    if outlook.distribution is not None and not (reason and reason.kind == "learned_from"):
        percentile = round(outlook.distribution.percentile(math.log(asking_price)), 1)
    if reason or percentile is None or model.deal is None:
        return Deal("none", reason, percentile, difference, per_cent)
    return Deal(label_of(percentile, model.deal), None, percentile, difference, per_cent)


def label_of(percentile: float, limits: DealLimits) -> Label:
    """Return the label of a percentile; what is at a cut is nearer to ``fair``.

    Examples
    --------
    >>> limits = DealLimits((1, 5, 95, 99), 5, 20, 1e6)
    >>> [label_of(share, limits) for share in (0.9, 1.0, 5.0, 95.0, 99.0, 99.1)]
    ['great', 'good', 'fair', 'fair', 'high', 'overpriced']
    """
    low, high = limits.cuts[:2], limits.cuts[2:]
    below = bisect_right(low, percentile)
    return LABELS[below if below < len(low) else len(low) + bisect_left(high, percentile)]


def _with_deal(model: PriceModel, outlook: Outlook, asking_price: float) -> JudgedValuation:
    value = outlook.valuation
    deal = judged(model, outlook, asking_price)
    told = value.valuation_date, value.cautions
    return JudgedValuation(*value.prices, *told, deal, asking_price)


def _why_none(model: PriceModel, outlook: Outlook) -> Reason | None:
    limits, around = model.deal, outlook.distribution
    if limits is None or around is None or model.learned is None:
        return Reason(
            "model_of_before",
            "the model was trained before asking prices were judged; train it again",
        )
    if model.pricer.learned_from(outlook.listing):
        return Reason(
            "learned_from",
            "the model learned from this car, or one that is listed alike, and does not judge a "
            "price that it has seen",
        )
    return _why_unsure(outlook) or _beyond_limits(limits, outlook, around.width)


def _why_unsure(outlook: Outlook) -> Reason | None:
    """Return what the price's own cautions say against judging it."""
    for caution in outlook.valuation.cautions:
        if caution.kind in ("unseen_make", "unseen_model"):
            return Reason("unseen_model", caution.message)
        if caution.kind in ("out_of_range", "implausible"):
            return Reason("out_of_range", caution.message)
    return None


def _beyond_limits(limits: DealLimits, outlook: Outlook, width: float) -> Reason | None:
    if outlook.age > limits.oldest:
        return Reason(
            "too_old",
            f"the car is {outlook.age:g} years old; of cars above {limits.oldest:g} years there "
            "are too few to judge a price",
        )
    if outlook.price > limits.dearest:
        return Reason(
            "too_dear",
            f"such cars cost {outlook.price:,.0f}; of cars above {limits.dearest:,.0f} there are "
            "too few to judge a price",
        )
    if width > math.log(limits.widest):
        return Reason(
            "range_too_wide",
            f"prices of such cars differ {_exp(width):,.1f} times, more than "
            f"{limits.widest:g} times; nearly every price would be fair",
        )
    return None


def _why_implausible(model: PriceModel, outlook: Outlook, asking_price: float) -> Reason | None:
    """Return what is odd about an asking price that hardly any such car can have."""
    if outlook.distribution is None:
        return None
    points, currency = outlook.distribution.points, model.market.currency
    lowest, highest = _exp(points[0]), _exp(points[-1])
    if asking_price < lowest / _IMPLAUSIBLE:
        return Reason(
            "implausible_price",
            f"{asking_price:,.2f} {currency} is less than a third of {lowest:,.0f}, below which 1 "
            "of 200 such cars is; check that it is the whole price, neither an instalment nor in "
            "thousands",
        )
    if asking_price > highest * _IMPLAUSIBLE:
        return Reason(
            "implausible_price",
            f"{asking_price:,.2f} {currency} is more than three times {highest:,.0f}, above which "
            "1 of 200 such cars is; check its digits, and that it is in this currency",
        )
    return None


def _exp(log_price: float) -> float:
    return math.exp(min(float(log_price), _LARGEST_EXPONENT))
