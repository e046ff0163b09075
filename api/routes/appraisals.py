"""One listing, and what is told beside its price: the reasons alone, or all in one answer."""

from collections.abc import Collection
from time import perf_counter
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from pydantic_core import to_json

from api.bodies import JSON, QUOTE_ID, AppraisalAnswer, ExplanationAnswer, ListingRequest
from api.dependencies import (
    OneListing,
    Served,
    TheService,
    listing_of,
    number_in,
    parameters_of,
)
from api.openapi import CONFIDENCE, LISTING, PROBLEMS, WITHOUT, YEARLY_DISTANCE, asks_for
from api.problems import Kind, invalid_field
from api.served import ServedModel
from api.service import Service
from carprice.appraisal.appraisal import PARTS, Appraised, parts_of
from carprice.appraisal.quote import QUOTE
from carprice.appraisal.reasons import reasons_of
from carprice.model.pricer import Valuation
from carprice.schema import (
    CONFIDENCE_RANGE,
    DEFAULT_CONFIDENCE,
    PRICE_NAMES,
    YEARLY_DISTANCE_RANGE,
)

APPRAISE: Final = "/appraise"
_PARAMETERS = (CONFIDENCE["name"], WITHOUT["name"], YEARLY_DISTANCE["name"])
router = APIRouter(tags=["prices"], responses=PROBLEMS)


@router.post(
    APPRAISE,
    response_model=AppraisalAnswer,
    openapi_extra=asks_for(LISTING, CONFIDENCE, WITHOUT, YEARLY_DISTANCE),
)
async def appraise(request: Request) -> Response:
    """Tell all of one listing: price, deal, reasons, comparables, curve, basis, and a quote.

    The answer is the quote: keep it as it is, and `carprice replay` prices it again with the model
    of its digest. Each part can be left out with ``without``.
    """
    service: Service = request.app.state.service
    served, asked = service.served(request), parameters_of(request, _PARAMETERS)
    confidence, without, yearly = DEFAULT_CONFIDENCE, frozenset[str](), None
    if "confidence" in asked:
        confidence = number_in(asked, "confidence", CONFIDENCE_RANGE)
    if "without" in asked:
        without = _left_out(asked["without"])
    if "yearlyDistance" in asked:
        yearly = number_in(asked, "yearlyDistance", YEARLY_DISTANCE_RANGE)
    listing = await listing_of(request, service, served)
    content = appraisal(service, served, listing, APPRAISE, confidence, yearly, without)
    return Response(to_json(content), media_type=JSON)


def appraisal(
    service: Service,
    served: ServedModel,
    listing: ListingRequest,
    route: str,
    confidence: float = DEFAULT_CONFIDENCE,
    yearly_distance: float | None = None,
    without: Collection[str] = (),
) -> dict[str, Any]:
    """Return what is told of one listing at a route; count its warnings, and keep it in the log."""
    begun = perf_counter()
    valuation = served.value(listing, confidence)
    took = 1000 * (perf_counter() - begun)
    service.metrics.cautioned([valuation])
    asked = Appraised(served.model, listing, confidence, valuation, yearly_distance)
    parts = parts_of(asked, without)
    content = {**Valuation.content(valuation), **parts, **served.content(confidence)}
    if (log := service.log) is not None:
        content[QUOTE_ID] = quote_id = parts[QUOTE]["id"] if QUOTE in parts else log.new_id()
        log.put(quote_id, route, served, vars(listing), valuation, confidence, took)
    return content


def _left_out(text: str) -> frozenset[str]:
    names = frozenset(text.split(","))
    if unknown := sorted(names - PARTS.keys()):
        message = f"{unknown[0][:40]!r} is no part; the parts are {', '.join(PARTS)}"
        raise invalid_field("without", message, Kind.PARAMETER, text[:100])
    return names


@router.post("/explain", response_model=ExplanationAnswer, openapi_extra=asks_for(LISTING))
async def explain(service: TheService, served: Served, listing: OneListing) -> dict[str, Any]:
    """Tell why one listing is valued as it is."""
    valuation = served.value(listing, DEFAULT_CONFIDENCE, judges=False)
    service.metrics.cautioned([valuation])
    told = valuation.content() | served.content(DEFAULT_CONFIDENCE)
    named = (PRICE_NAMES[0], "valuationDate", "warnings", "currency", "modelVersion", "modelDigest")
    reasons = reasons_of(served.model, vars(listing), valuation)
    return {**reasons.content(), **{name: told[name] for name in named}}
