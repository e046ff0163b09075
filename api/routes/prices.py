"""One listing: its price, and the reasons."""

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from pydantic_core import to_json

from api.dependencies import OneListing, Served, confidence_of, listing_of
from api.messages import JSON, ExplanationAnswer, PriceAnswer
from api.openapi import CONFIDENCE, LISTING, PROBLEMS, body_of
from api.pricing import model_content, with_unused_fields
from api.service import Service
from carprice.schema import PRICE_NAMES

router = APIRouter(tags=["prices"], responses=PROBLEMS)


@router.post(
    "/predict",
    response_model=PriceAnswer,
    openapi_extra={**body_of(LISTING), "parameters": [CONFIDENCE]},
)
async def predict(request: Request) -> Response:
    """Value one listing."""
    service: Service = request.app.state.service
    served, confidence = service.served(request), await confidence_of(request)
    listing = await listing_of(request, service)
    valuation = with_unused_fields(served.pricer.value(vars(listing), confidence), listing)
    for caution in valuation.cautions:
        service.metrics.cautioned(caution.kind)
    content = {**valuation.content(), **model_content(served, confidence)}
    return Response(to_json(content), media_type=JSON)


def direct_route() -> APIRoute:
    """Return the route whose function needs nothing of FastAPI: ``POST /predict``."""
    routes = (one for one in router.routes if isinstance(one, APIRoute))
    return next(route for route in routes if route.endpoint is predict)


@router.post("/explain", response_model=ExplanationAnswer, openapi_extra=body_of(LISTING))
async def explain(served: Served, listing: OneListing) -> dict[str, Any]:
    """Tell why one listing is valued as it is."""
    told = served.pricer.explain(vars(listing))
    return {
        PRICE_NAMES[0]: told.price,
        "start": told.start,
        "reasons": [vars(reason) for reason in told.reasons],
        "currency": served.model.market.currency,
        "modelVersion": served.version,
    }
