"""Read the listings of sources that are to be priced, in chunks: for predict and stock alike."""

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pandas as pd

from carprice.errors import InputError
from carprice.evaluation.pricing import problems_of, refuse_unreadable
from carprice.listings.column_map import MappedChunk, map_chunks
from carprice.listings.remedies import told_unreadable
from carprice.listings.sources import read_chunks
from carprice.listings.sources.chunks import Chunk
from carprice.listings.tally import Tally
from carprice.listings.unreadable import Unreadable
from carprice.model import PriceModel
from carprice.redaction import redact
from carprice.schema import PRICE, REQUIRED
from carprice.settings import IngestSettings


class ToPrice(NamedTuple):
    """A chunk's rows as they came, as fields of listings, and why a mapped row has no price."""

    chunk: Chunk
    mapped: MappedChunk
    problems: pd.Series


def listings_to_price(
    model: PriceModel, settings: IngestSettings, sources: Sequence[str], *, asks: bool
) -> Iterator[ToPrice]:
    """Yield the chunks of sources; what speaks against the whole is raised after the last one.

    Parameters
    ----------
    asks : whether it matters what is asked: then a column ``askingPrice`` is a price, too, and too
        many prices that cannot be read are an error.

    Raises
    ------
    InputError
        If a source, or too much of a field, cannot be read, or another column tells that a field is
        in another unit.
    """
    tally = Tally(settings, price_required=asks, learns=False)
    required = fields_required(settings)
    chunks = itertools.chain.from_iterable(
        read_chunks(settings, source=source) for source in sources
    )
    for chunk, mapped in map_chunks(
        chunks,
        settings,
        tally.row_filter,
        model.market.decimals,
        price_required=False,
        asks=asks,
    ):
        yield ToPrice(chunk, mapped, problems_of(mapped.frame, mapped.raw_unreadable, required))
        tally.add(chunk, mapped)
    refuse_all(tally, settings, ", ".join(map(redact, sources)), asks=asks)


def fields_required(settings: IngestSettings) -> list[str]:
    """Return the fields that a listing must have to be priced."""
    return [name for name in REQUIRED if settings.columns.get(name, name) is not None]


def refuse_all(tally: Tally, settings: IngestSettings, label: str, *, asks: bool) -> None:
    """Raise an InputError for what speaks against the whole; see :func:`listings_to_price`."""
    rows, unreadable, origin = tally.rows_read, tally.unreadable, tally.origin
    refuse_unreadable(unreadable, origin, rows, settings, label)
    if asks and PRICE in unreadable:
        _refuse_asking(unreadable[PRICE], origin[PRICE], rows, settings, label)
    tally.units_beside.refuse(origin, label)


def _refuse_asking(
    found: Unreadable, names: Sequence[str], rows: int, settings: IngestSettings, label: str
) -> None:
    """Raise an InputError if more prices asked cannot be read than the largest share allowed."""
    if found.count > max(1, settings.max_unreadable * rows):
        become = "to leave such rows without a price to market"
        told = told_unreadable(PRICE, names, found, rows, settings, become)
        raise InputError(f"{label}: {told}")
