"""All that is told of one listing, put together: each part can be left out.

Another part is one more entry of :data:`PARTS`.
"""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from carprice.appraisal.basis import basis_of
from carprice.appraisal.comparables import comparables_of
from carprice.appraisal.curve import curve_of
from carprice.appraisal.deal import JudgedValuation, value_with_deal
from carprice.appraisal.quote import QUOTE, Quote
from carprice.appraisal.reasons import reasons_of
from carprice.errors import CorruptModelError
from carprice.listings.keys import ModelKey
from carprice.model import PriceModel
from carprice.model.pricer import Valuation
from carprice.schema import DEFAULT_CONFIDENCE, Listing, example_listing

_SHORT_DIGEST: Final = 12


@dataclass(frozen=True)
class Appraised:
    """A listing that was valued, and what was asked beside it.

    Attributes
    ----------
    yearly_distance : of the curve, in the market's unit; None for what is usual.
    """

    model: PriceModel
    listing: Listing
    confidence: float
    valuation: Valuation
    yearly_distance: float | None = None

    @property
    def fields(self) -> Mapping[str, Any]:
        """The listing's values by field."""
        return vars(self.listing)

    @property
    def age(self) -> float:
        """The car's age in years on the day of its price."""
        return max(self.valuation.valuation_date.year - float(self.listing.year), 0.0)


def _deal(of: Appraised) -> dict[str, Any]:
    judged = of.valuation
    return {"deal": judged.deal.content()} if isinstance(judged, JudgedValuation) else {}


def _comparables(of: Appraised) -> dict[str, Any]:
    return {"comparables": comparables_of(of.model, of.fields).content()}


def _reasons(of: Appraised) -> dict[str, Any]:
    return reasons_of(of.model, of.fields, of.valuation).content()


def _curve(of: Appraised) -> dict[str, Any]:
    curve = curve_of(of.model, of.fields, of.valuation, of.yearly_distance, of.confidence)
    return {"curve": curve.content()}


def _basis(of: Appraised) -> dict[str, Any]:
    return {"basis": basis_of(of.model, of.fields, of.age).content()}


def _quote(of: Appraised) -> dict[str, Any]:
    return {QUOTE: Quote.of(of.model, of.listing, of.confidence, of.valuation).content()}


PARTS: Final[Mapping[str, Callable[[Appraised], dict[str, Any]]]] = {
    "deal": _deal,
    "reasons": _reasons,
    "comparables": _comparables,
    "curve": _curve,
    "basis": _basis,
    QUOTE: _quote,
}
"""The parts by the names with which they are left out; each tells its members of the answer."""


def parts_of(appraised: Appraised, without: Collection[str] = ()) -> dict[str, Any]:
    """Return what JSON says of a listing beside its price.

    Parameters
    ----------
    without : names of :data:`PARTS` that are left out.
    """
    judged = appraised.valuation
    if "deal" in without and isinstance(judged, JudgedValuation):  # nor is it in the quote then
        plain = Valuation(*judged.prices, judged.valuation_date, judged.cautions)
        appraised = replace(appraised, valuation=plain)
    content: dict[str, Any] = {}
    for name, tell in PARTS.items():
        if name not in without:
            content |= tell(appraised)
    return content


def appraise_the_example(model: PriceModel) -> None:
    """Refuse a model of which some part of an appraisal cannot be told.

    The schema's example listing is appraised as it is, and as a car of the model that most training
    cars are of.

    Raises
    ------
    CorruptModelError
        If a part fails, or has a number that is none; the message names it.
    """
    example = Listing.model_validate(example_listing())
    name = f"model {model.digest[:_SHORT_DIGEST]} cannot be served"
    for part, tell in PARTS.items():
        try:
            for listing in (example, _of_commonest(model, example)):
                price = model.pricer.value(vars(listing)).predicted_price
                valuation = value_with_deal(model, vars(listing), price)
                told = tell(Appraised(model, listing, DEFAULT_CONFIDENCE, valuation))
                json.dumps(told, allow_nan=False)
        except Exception as error:
            raise CorruptModelError(
                f"{name}: {part} of an appraisal fails with {type(error).__name__}; train it again "
                "with this version of carprice"
            ) from error


def _of_commonest(model: PriceModel, listing: Listing) -> Listing:
    rows = model.encoder.rows["model"]
    if not rows:
        return listing
    make, name = ModelKey.read(max(rows, key=lambda key: rows[key]))
    return listing.model_copy(update={"make": make, "model": name})
