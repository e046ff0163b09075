"""What routes are given of a request; FastAPI calls these functions through ``Depends``."""

import asyncio
import re
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Annotated, Final
from urllib.parse import parse_qsl

from fastapi import Depends, Request
from starlette.requests import ClientDisconnect

from api.bodies import CSV, JSON, ListingRequest
from api.parsing import read_listing
from api.problems import Kind, ProblemError, invalid_field
from api.receiving import ARRIVED, SMALL_BYTES, Share
from api.served import ServedModel
from api.service import Service
from carprice.schema import CONFIDENCE_RANGE, DEFAULT_CONFIDENCE

_NUMBER: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")


@dataclass(frozen=True)
class ManyListings:
    """A body of many listings as it was sent, and whether the answer shall be CSV."""

    body: bytes
    is_csv: bool
    wants_csv: bool

    @property
    def answer_type(self) -> str:
        """Media type of the answer."""
        return CSV if self.wants_csv else JSON


async def service_of(request: Request) -> Service:
    """Return the service that answers the request."""
    service: Service = request.app.state.service
    return service


TheService = Annotated[Service, Depends(service_of)]


async def served_model(request: Request, service: TheService) -> ServedModel:
    """Return the model that the request is answered with; 503 while there is none."""
    return service.served(request)


Served = Annotated[ServedModel, Depends(served_model)]


async def confidence_of(request: Request) -> float:
    """Return the parameter ``confidence``; 422 if it is no number of ``CONFIDENCE_RANGE``.

    Any other parameter is a problem too.
    """
    return confidence_in(request.scope["query_string"])


def confidence_in(query: bytes) -> float:
    """Return what :func:`confidence_of` does of a query."""
    if not query:
        return DEFAULT_CONFIDENCE
    asked = parameters_in(query, ("confidence",))
    return number_in(asked, "confidence", CONFIDENCE_RANGE) if asked else DEFAULT_CONFIDENCE


def parameters_of(request: Request, names: Collection[str]) -> dict[str, str]:
    """Return the parameters of a request; 422 if one has another name, or is given twice."""
    return parameters_in(request.scope["query_string"], names)


def parameters_in(query: bytes, names: Collection[str]) -> dict[str, str]:
    """Return what :func:`parameters_of` does of a query."""
    found: dict[str, str] = {}
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    for name, _ in pairs:
        if name not in names:
            raise invalid_field(name[:100], "there is no such parameter", Kind.PARAMETER)
    for name, text in pairs:
        if name in found:
            raise invalid_field(name, "is given more than once", Kind.PARAMETER)
        found[name] = text
    return found


def number_in(asked: Mapping[str, str], name: str, limits: tuple[float, float]) -> float:
    """Return a parameter that is a number; 422 if it is none, or is not within some limits."""
    text, (low, high) = asked[name], limits
    if _NUMBER.fullmatch(text) and low <= (number := float(text)) <= high:
        return number
    message = f"must be a number from {low:,g} to {high:,g}"
    raise invalid_field(name, message, Kind.PARAMETER, text[:100])


async def listing_of(request: Request, service: TheService, served: Served) -> ListingRequest:
    """Return the listing in the body; 408, 413, 415, 422 or 429 if there is none."""
    media_type(request, JSON)
    settings = service.settings
    declared = declared_size(request, settings.body_bytes)
    if declared is not None and declared <= SMALL_BYTES:
        return read_listing(await read_body(request, declared, settings.body_seconds), served.form)
    with service.receiving.share() as share:
        share.grow(declared or 0)
        body = await read_body(request, settings.body_bytes, settings.body_seconds, share)
        return read_listing(body, served.form)


async def batch_body(request: Request, service: TheService, at_least: int = 0) -> bytes:
    """Return the body of a request with many listings; 408 or 413 if it is not allowed.

    Unless it is small it has a place in the queue and its share of the bytes in flight before it is
    read, 429 where there is none, and keeps both until its answer is sent.

    Parameters
    ----------
    at_least : so many bytes are read even where a batch may have fewer.
    """
    settings = service.settings
    most = max(settings.batch_bytes, at_least)
    declared = declared_size(request, most)
    with ExitStack() as held:
        if declared is None or declared > SMALL_BYTES:
            held.enter_context(service.batches.place())
        share = held.enter_context(service.receiving.share())
        share.grow(declared or 0)
        body = await read_body(request, most, settings.body_seconds, share)
        if len(body) > SMALL_BYTES:
            request.scope["state"]["exchange"].held = held.pop_all()
        return body


async def sent_listings(request: Request, service: TheService) -> ManyListings:
    """Return the body of a request with many listings, JSON or CSV."""
    is_csv = media_type(request, JSON, CSV) == CSV
    accept = request.headers.get("accept", "")
    kinds = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    wants_csv = CSV in kinds and (JSON not in kinds or kinds.index(CSV) < kinds.index(JSON))
    return ManyListings(await batch_body(request, service), is_csv, wants_csv)


Confidence = Annotated[float, Depends(confidence_of)]
OneListing = Annotated[ListingRequest, Depends(listing_of)]
SentListings = Annotated[ManyListings, Depends(sent_listings)]


def media_type(request: Request, *known: str) -> str:
    """Return the media type of the body, by default the first one known; 415 for any other.

    415 too for a body that is compressed, or encoded in another way.
    """
    for name, value in request.scope["headers"]:
        if name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            raise ProblemError(
                Kind.MEDIA_TYPE,
                f"Content-Encoding is {value.decode('latin-1')[:100]!r}; send the body as it is, "
                "without this header",
                headers={"Accept-Encoding": "identity"},
            )
    given = _header(request, b"content-type")
    if given is None or given == known[0]:
        return known[0]
    if (kind := media_type_in(given)) in known:
        return kind
    raise ProblemError(
        Kind.MEDIA_TYPE,
        f"Content-Type is {given[:100]!r}; it must be {' or '.join(known)}, in UTF-8",
    )


def media_type_in(header: str) -> str:
    """Return the media type that a header names; empty for a text that is not in UTF-8."""
    essence, _, parameters = header.partition(";")
    charset = re.search(r'charset="?([^";\s]*)', parameters.lower())
    is_utf_8 = charset is None or charset[1] in ("utf-8", "utf8", "us-ascii")
    return essence.strip().lower() if is_utf_8 else ""


async def read_body(
    request: Request, limit: int, seconds: float, share: Share | None = None
) -> bytes:
    """Return the body; 413 if it has more bytes than ``limit``, 408 if it takes longer.

    Its share grows with it, 429 where there is no room; one that is small needs none.
    """
    if request.scope["state"].get(ARRIVED):  # a timer would cost more than what it is for
        return await _receive(request, limit, share)
    try:
        async with asyncio.timeout(seconds):
            return await _receive(request, limit, share)
    except TimeoutError:
        detail = f"the request's body did not arrive within {seconds:g} seconds; send it again"
        raise ProblemError(Kind.TOO_SLOW, detail, headers={"Connection": "close"}) from None


async def _receive(request: Request, limit: int, share: Share | None) -> bytes:
    body, more = bytearray(), True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > limit:
            raise _too_large(limit)
        if share is not None:
            share.grow(len(body))
    return bytes(body)


def declared_size(request: Request, limit: int) -> int | None:
    """Return the size that the body is said to have; 413 if that is more than ``limit``."""
    length = _header(request, b"content-length")
    if length is None:
        return None
    if (size := int(length)) > limit:
        raise _too_large(limit)
    return size


def _too_large(limit: int) -> ProblemError:
    detail = f"the request has more than {limit:,} bytes; send less, or several requests"
    return ProblemError(Kind.TOO_LARGE, detail, headers={"Connection": "close"})


def _header(request: Request, name: bytes) -> str | None:
    """Return a header; quicker than Starlette's ``Headers``, which are made for many."""
    for given, value in request.scope["headers"]:
        if given == name:
            return str(value, "latin-1")
    return None
