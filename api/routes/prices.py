"""One listing: its price, and the reasons."""

from typing import Any

from fastapi import APIRouter, Request, Response

from api.answers import json_response, model_content, with_unused_fields
from api.bodies import JSON, confidence_of, media_type, read_body
from api.listings import read_listing
from api.messages import ExplanationAnswer, ListingRequest, PriceAnswer
from api.openapi import CONFIDENCE, LISTING, PROBLEMS, body_of
from api.routing import add_route
from api.service import Service
from carprice.schema import PRICE_NAMES


def add_routes(router: APIRouter, service: Service) -> None:
    """Add ``/predict`` and ``/explain``."""

    async def predict(request: Request) -> Response:
        """Value one listing."""
        served = service.served(request)
        confidence = confidence_of(request)
        listing = await _read(request, service)
        valuation = with_unused_fields(served.pricer.value(vars(listing), confidence), listing)
        for caution in valuation.cautions:
            service.metrics.cautioned(caution.kind)
        return json_response({**valuation.content(), **model_content(served, confidence)})

    async def explain(request: Request) -> Response:
        """Tell why one listing is valued as it is."""
        served = service.served(request)
        listing = await _read(request, service)
        told = served.pricer.explain(vars(listing))
        content: dict[str, Any] = {
            PRICE_NAMES[0]: told.price,
            "start": told.start,
            "reasons": [vars(reason) for reason in told.reasons],
            "currency": served.model.market.currency,
            "modelVersion": served.version,
        }
        return json_response(content)

    add_route(
        router,
        "/predict",
        predict,
        methods=["POST"],
        tags=["prices"],
        response_model=PriceAnswer,
        responses=PROBLEMS,
        openapi_extra={**body_of(LISTING), "parameters": [CONFIDENCE]},
    )
    add_route(
        router,
        "/explain",
        explain,
        methods=["POST"],
        tags=["prices"],
        response_model=ExplanationAnswer,
        responses=PROBLEMS,
        openapi_extra=body_of(LISTING),
    )


async def _read(request: Request, service: Service) -> ListingRequest:
    media_type(request, JSON)
    settings = service.settings
    return read_listing(await read_body(request, settings.body_bytes, settings.body_seconds))
