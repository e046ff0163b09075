"""What routes are given of a request; FastAPI calls these functions through ``Depends``."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from api.bodies import CSV, JSON, confidence_in_query, media_type, prefers_csv, read_body
from api.keeper import ServedModel
from api.listings import read_listing
from api.messages import ListingRequest
from api.service import Service


@dataclass(frozen=True)
class ManyListings:
    """A body of many listings as it was sent, and whether the answer shall be CSV."""

    body: bytes
    is_csv: bool
    wants_csv: bool


async def service_of(request: Request) -> Service:
    """Return the service that answers the request."""
    service: Service = request.app.state.service
    return service


TheService = Annotated[Service, Depends(service_of)]


async def served_model(request: Request, service: TheService) -> ServedModel:
    """Return the model that the request is answered with; 503 while there is none."""
    return service.served(request)


async def confidence_of(request: Request) -> float:
    """Return the parameter ``confidence``; 422 if it is not allowed."""
    return confidence_in_query(request.scope["query_string"])


async def listing_of(request: Request, service: TheService) -> ListingRequest:
    """Return the listing in the body; 408, 413, 415 or 422 if there is none."""
    media_type(request, JSON)
    settings = service.settings
    return read_listing(await read_body(request, settings.body_bytes, settings.body_seconds))


async def batch_body(request: Request, service: TheService) -> bytes:
    """Return the body of a request with many listings; 408 or 413 if it is not allowed."""
    settings = service.settings
    return await read_body(request, settings.batch_bytes, settings.body_seconds)


async def listings_of(request: Request, service: TheService) -> ManyListings:
    """Return the body of a request with many listings, JSON or CSV."""
    is_csv = media_type(request, JSON, CSV) == CSV
    body = await batch_body(request, service)
    return ManyListings(body, is_csv, prefers_csv(request.headers.get("accept", "")))


Served = Annotated[ServedModel, Depends(served_model)]
Confidence = Annotated[float, Depends(confidence_of)]
OneListing = Annotated[ListingRequest, Depends(listing_of)]
Listings = Annotated[ManyListings, Depends(listings_of)]
