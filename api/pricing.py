"""Rows → prices: in the event loop where they are few, else in a thread of their own."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from api.answers import with_unused_fields
from api.keeper import ServedModel
from api.messages import ListingRequest
from api.problems import ProblemError
from api.service import Service
from carprice.model.pricer import Valuation

_CHUNK = 500
_FEW_ROWS = 16
_FEW_BYTES = 8 * 1024

T = TypeVar("T")


PricedRow = Valuation | ProblemError
"""A row of a batch: its price, or why it has none."""


class Asked(Protocol):
    """A request of a protocol that prices all of its rows or none."""

    @property
    def listings(self) -> Sequence[ListingRequest]:
        """Listings to price."""

    @property
    def confidence(self) -> float:
        """Share of prices that the ranges shall hold."""


A = TypeVar("A", bound=Asked)


@dataclass(frozen=True)
class Exchange(Generic[A]):
    """How a protocol reads a request's body, and writes its answer's."""

    read: Callable[[bytes], A]
    write: Callable[[A, list[Valuation]], bytes]


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


def kinds_of_cautions(prices: Iterable[Valuation]) -> Counter[str]:
    """Count the cautions of prices by kind."""
    return Counter(caution.kind for price in prices for caution in price.cautions)


def in_chunks(rows: Sequence[T]) -> Iterable[Sequence[T]]:
    """Cut rows up, so that no step holds the interpreter for long."""
    for start in range(0, len(rows), _CHUNK):
        yield rows[start : start + _CHUNK]


async def answer_all(
    service: Service, served: ServedModel, body: bytes, protocol: Exchange[A]
) -> bytes:
    """Read a body, price all of its listings and return the answer's body.

    Raises
    ------
    ProblemError
        If the body or one of its rows cannot be read; 503 if too many batches wait already.
    """

    def price(asked: A) -> tuple[bytes, list[Valuation]]:
        priced = price_listings(served, asked.listings, asked.confidence)
        return protocol.write(asked, priced), priced

    if len(body) > _FEW_BYTES:
        content, priced = await service.batches.run(lambda: price(protocol.read(body)))
    else:
        asked = protocol.read(body)
        if len(asked.listings) <= _FEW_ROWS:
            content, priced = price(asked)
        else:
            content, priced = await service.batches.run(lambda: price(asked))
    service.metrics.priced_together(len(priced), kinds_of_cautions(priced))
    return content
