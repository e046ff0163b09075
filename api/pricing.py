"""Listings → prices, and what answers say of them.

Few listings are priced in the event loop, many in a thread of their own.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from api.keeper import ServedModel
from api.messages import ListingRequest
from api.problems import ProblemError
from api.service import Service
from carprice.model.cautions import Caution
from carprice.model.pricer import Valuation

_NOT_USED = Caution("not_used", "featureCount", "featureCount is not used; send features")
_CHUNK = 500
_FEW_ROWS = 16
_FEW_BYTES = 8 * 1024

T = TypeVar("T")


PricedRow = Valuation | ProblemError
"""A row of a batch: its price, or why it has none."""


@dataclass(frozen=True)
class Asked:
    """A request whose rows are all priced, or none of them.

    Attributes
    ----------
    confidence : share of prices that the ranges shall hold.
    """

    listings: Sequence[ListingRequest]
    confidence: float


A = TypeVar("A", bound=Asked)


def with_unused_fields(valuation: Valuation, listing: ListingRequest) -> Valuation:
    """Return a valuation that also says which fields of the request were not used."""
    if "feature_count" in listing.model_fields_set:
        return replace(valuation, cautions=(*valuation.cautions, _NOT_USED))
    return valuation


def model_content(served: ServedModel, confidence: float) -> dict[str, Any]:
    """Return what all answers with prices say of their model."""
    return {
        "confidence": confidence,
        "currency": served.model.market.currency,
        "modelVersion": served.version,
        "modelDigest": served.model.digest,
    }


def price_rows(
    served: ServedModel, rows: Sequence[ListingRequest | ProblemError], confidence: float
) -> list[PricedRow]:
    """Price the rows that could be read; the order is kept."""
    listings = [row for row in rows if isinstance(row, ListingRequest)]
    prices = iter(price_listings(served, listings, confidence))
    return [row if isinstance(row, ProblemError) else next(prices) for row in rows]


def price_listings(
    served: ServedModel, listings: Sequence[ListingRequest], confidence: float
) -> list[Valuation]:
    """Price listings together."""
    found = served.pricer.value_all(map(vars, listings), confidence)
    return [with_unused_fields(one, listing) for one, listing in zip(found, listings, strict=True)]


def in_chunks(rows: Sequence[T]) -> Iterable[Sequence[T]]:
    """Cut rows up, so that no step holds the interpreter for long."""
    for start in range(0, len(rows), _CHUNK):
        yield rows[start : start + _CHUNK]


async def answer_all(
    service: Service,
    served: ServedModel,
    body: bytes,
    read: Callable[[bytes], A],
    write: Callable[[A, list[Valuation]], bytes],
) -> bytes:
    """Read a body, price all of its listings and return the answer's body.

    Parameters
    ----------
    read, write : how a protocol reads a request's body and writes its answer's.

    Raises
    ------
    ProblemError
        If the body or one of its rows cannot be read; 503 if too many batches wait already.
    """

    def price(asked: A) -> tuple[bytes, list[Valuation]]:
        priced = price_listings(served, asked.listings, asked.confidence)
        return write(asked, priced), priced

    if len(body) > _FEW_BYTES:
        content, priced = await service.batches.run(lambda: price(read(body)))
    elif len((asked := read(body)).listings) > _FEW_ROWS:
        content, priced = await service.batches.run(lambda: price(asked))
    else:
        content, priced = price(asked)
    service.metrics.priced_together(priced)
    return content
