"""Read the pieces of a source at once, such that all is as if they were read one after another.

How a chunk is read may hang on the chunks before: on the decimal sign that they have shown, above
all. So the first piece is read alone, and the others as if those between told nothing new. Where
one has, the pieces after it are read again; where one cannot be read so, it is read again after
those before it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from carprice.arrays import Each
from carprice.errors import InputError
from carprice.listings.column_map import MappedChunk, map_chunks
from carprice.listings.notation import Notation
from carprice.listings.numbers import Decimal
from carprice.listings.sources import Piece, read_chunks
from carprice.listings.tally import Tally
from carprice.settings import IngestSettings

Keep = Callable[[MappedChunk, pd.DataFrame], Any]
"""Returns what to keep of a chunk, mapped, and of its raw rows but those left out."""
Found = dict[str, dict[str, tuple[str, ...]]]
"""By file, the columns that fields are found in by their names."""


@dataclass(frozen=True)
class Manner:
    """How all files of a source are read.

    Attributes
    ----------
    settings : without the source and the query, which may hold secrets.
    known : see :func:`carprice.listings.column_map.map_chunks`.
    learns : whether the rows are to be learned from; else they are to be priced.
    """

    settings: IngestSettings
    known: Mapping[str, Decimal]
    learns: bool

    def tally(self) -> Tally:
        """Return the sums of no chunk."""
        return Tally(self.settings, price_required=self.learns, learns=self.learns)


@dataclass(frozen=True)
class Before:
    """What the pieces before one have shown.

    Attributes
    ----------
    found : of the first file; empty before it.
    """

    notation: Notation
    found: Found

    def copy(self) -> "Before":
        """Return the same, to be changed."""
        return Before(self.notation.copy(), {**self.found})

    def begun(self) -> "Before":
        """Return the same with nothing counted, which hardly ever changes from file to file."""
        return Before(self.notation.begun(), {**self.found})


@dataclass(frozen=True)
class Part:
    """A piece that was read.

    Attributes
    ----------
    tally : the sums of its chunks.
    kept : what was kept of each chunk.
    steps : what each chunk told of numbers, with its counts alone, where it was read ahead.
    after : what it and the pieces before have shown, where it was read after them.
    """

    tally: Tally
    kept: Sequence[Any]
    steps: Sequence[Notation]
    after: Before


def without_secrets(settings: IngestSettings) -> IngestSettings:
    """Return settings for tasks, whose arguments a cluster may log."""
    return settings.model_copy(update={"source": "", "query": None})


def read_parts(
    each: Each,
    manner: Manner,
    pieces: Sequence[Piece],
    keep: Callable[[int], Keep],
) -> Iterator[tuple[Part, Before, Before]]:
    """Yield the pieces in order, each with what those before it, and up to it, have shown.

    Parameters
    ----------
    pieces : see :func:`carprice.listings.sources.pieces_of`.
    keep : returns what keeps of chunks after so many rows or more, to be sent to where they are.

    Raises
    ------
    InputError
        As :func:`carprice.listings.column_map.map_chunks` does, of the same file.
    """
    before = Before(Notation(manner.settings, manner.known), {})
    guess, ahead, rows = before, iter(list[Part | None]()), 0

    for place, piece in enumerate(pieces):
        part = next(ahead, None)
        after = None if part is None else _after(part, before, piece)
        if part is None or after is None:
            (part,) = each(read_part, [piece], manner, before, keep(rows))
            after = part.after
        yield part, before, after
        before, rows = after, rows + part.tally.rows
        if not place or not guess.notation.reads_as(before.notation):
            guess = before.begun()
            ahead = each(_read_ahead, pieces[place + 1 :], manner, guess, keep(rows))


def _read_ahead(piece: Piece, manner: Manner, before: Before, keep: Keep) -> Part | None:
    """Read a piece before all those before it have been; None if it cannot be read so."""
    try:
        return read_part(piece, manner, before, keep, ahead=True)
    except InputError:
        return None


def read_part(
    piece: Piece, manner: Manner, before: Before, keep: Keep, *, ahead: bool = False
) -> Part:
    """Read a piece; with ``ahead`` before all those before it have been.

    Raises
    ------
    InputError
        If it cannot be read; with ``ahead`` perhaps only so.
    """
    before, tally = before.copy(), manner.tally()
    kept, steps = [], []
    chunks = map_chunks(
        read_chunks(manner.settings, source=piece.address, rows=piece.rows, coded=manner.learns),
        manner.settings,
        tally.row_filter,
        price_required=manner.learns,
        notation=before.notation,
        found=before.found,
    )
    for chunk, mapped in chunks:
        kept.append(keep(mapped, tally.add(chunk, mapped)))
        if ahead:
            steps.append(before.notation.copy())
            before.notation.count_anew()
    first = dict([next(iter(before.found.items()))])
    return Part(tally, kept, steps, Before(before.notation, first))


def _after(part: Part, before: Before, piece: Piece) -> Before | None:
    """Add what a piece that was read ahead has shown; None if it is to be read after the others."""
    after = before.copy()
    try:
        for step in part.steps:
            after.notation.plus(step, piece.address)
    except InputError:
        return None
    return after
