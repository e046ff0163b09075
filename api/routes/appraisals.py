"""One listing, and what is told beside its price: the reasons alone, or all in one answer."""

from collections.abc import Collection
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from pydantic_core import to_json

from api.bodies import JSON, AppraisalAnswer, ExplanationAnswer, ListingRequest
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
_TOLD = (
    *(PRICE_NAMES[0], "valuationDate", "warnings"),
    *("currency", "modelVersion", "modelDigest", "alias"),
)
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
    return Response(await answer(request), media_type=JSON)


async def answer(request: Request) -> bytes:
    """Return the body of the answer to a request."""
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

    def tell(by: ServedModel, valuation: Valuation) -> dict[str, Any]:
        return appraised(by, listing, valuation, confidence, yearly, without)

    return to_json(await service.answer(request, served, listing, confidence, tell))


def appraised(
    served: ServedModel,
    listing: ListingRequest,
    valuation: Valuation,
    confidence: float = DEFAULT_CONFIDENCE,
    yearly_distance: float | None = None,
    without: Collection[str] = (),
) -> dict[str, Any]:
    """Return what is told of a listing and its price; its quote's id names the answer."""
    asked = Appraised(served.model, listing, confidence, valuation, yearly_distance)
    parts = parts_of(asked, without)
    return {**Valuation.content(valuation), **parts, **served.content(confidence)}


def _left_out(text: str) -> frozenset[str]:
    names = frozenset(text.split(","))
    if unknown := sorted(names - PARTS.keys()):
        message = f"{unknown[0][:40]!r} is no part; the parts are {', '.join(PARTS)}"
        raise invalid_field("without", message, Kind.PARAMETER, text[:100])
    return names


@router.post("/explain", response_model=ExplanationAnswer, openapi_extra=asks_for(LISTING))
async def explain(
    request: Request, service: TheService, served: Served, listing: OneListing
) -> Response:
    """Tell why one listing is valued as it is."""

    def tell(by: ServedModel, valuation: Valuation) -> dict[str, Any]:
        told = valuation.content() | by.content(DEFAULT_CONFIDENCE)
        reasons = reasons_of(by.model, vars(listing), valuation).content()
        return {**reasons, **{name: told[name] for name in _TOLD if name in told}}

    content = await service.answer(
        request, served, listing, DEFAULT_CONFIDENCE, tell, judges=False, is_kept=False
    )
    return Response(to_json(content), media_type=JSON)
