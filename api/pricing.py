"""Rows → prices: in the event loop where they are few, else in a thread of their own."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from api.answers import cautions_of
from api.keeper import ServedModel
from api.messages import ListingRequest
from api.problems import ProblemError
from api.service import Service
from carprice.model.cautions import Caution
from carprice.model.pricer import Valuation

_CHUNK = 500
_FEW_ROWS = 16
_FEW_BYTES = 8 * 1024

T = TypeVar("T")


@dataclass(frozen=True)
class PricedRow:
    """A row of a batch with its price and cautions, or with its problem."""

    valuation: Valuation | None = None
    cautions: tuple[Caution, ...] = ()
    problem: ProblemError | None = None


@dataclass(frozen=True)
class Priced:
    """A listing's price and its cautions."""

    valuation: Valuation
    cautions: tuple[Caution, ...]


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
    write: Callable[[A, list[Priced]], bytes]


def price_rows(
    served: ServedModel, rows: Sequence[ListingRequest | ProblemError], confidence: float
) -> list[PricedRow]:
    """Price the rows that could be read; the order is kept."""
    listings = [row for row in rows if isinstance(row, ListingRequest)]
    prices = iter(price_listings(served, listings, confidence))
    return [
        PricedRow(problem=row) if isinstance(row, ProblemError) else PricedRow(**vars(next(prices)))
        for row in rows
    ]


def price_listings(
    served: ServedModel, listings: Sequence[ListingRequest], confidence: float
) -> list[Priced]:
    """Price listings together."""
    found = served.pricer.value_all(map(vars, listings), confidence)
    return [
        Priced(valuation, tuple(cautions_of(valuation, listing)))
        for valuation, listing in zip(found, listings, strict=True)
    ]


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

    def price(asked: A) -> tuple[bytes, list[Priced]]:
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
    cautions = Counter(one.kind for row in priced for one in row.cautions)
    service.metrics.priced_together(len(priced), cautions)
    return content
