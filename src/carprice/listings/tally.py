"""What the chunks of a source told, added up: of one chunk after the other, or of parts of them."""

from collections import Counter
from dataclasses import replace

import pandas as pd

from carprice.listings.car_ids import CarIds
from carprice.listings.column_map import MappedChunk
from carprice.listings.row_filter import RowFilter
from carprice.listings.sources.chunks import Chunk
from carprice.listings.units_beside import UnitsBeside
from carprice.listings.unreadable import Unreadable, add, first_of
from carprice.schema import CAR_ID
from carprice.settings import IngestSettings


class Tally:
    """Sums over the mapped chunks of a source.

    Attributes
    ----------
    row_filter : leaves rows out; it is given to :func:`carprice.listings.column_map.map_chunks`.
    rows : number of rows that were not left out.
    unreadable : what could not be read, by field.
    unmatched : the texts in which a rule's ``match`` or ``words`` find nothing, by field.
    respaced : number of rows with needless spaces, by field.
    defaulted : number of rows that took a rule's ``default``, by field and default.
    origin : the source's columns that each field was read from.
    units_beside, car_ids : what the columns tell that no field reads.
    """

    def __init__(self, settings: IngestSettings, *, price_required: bool, learns: bool) -> None:
        """Begin; ``learns`` is whether the rows are to be learned from, else they are priced."""
        self.row_filter = RowFilter(settings.rows, all_columns=learns)
        self.rows = 0
        self.unreadable: dict[str, Unreadable] = {}
        self.unmatched: dict[str, Unreadable] = {}
        self.respaced: Counter[str] = Counter()
        self.defaulted: Counter[tuple[str, str]] = Counter()
        self.origin: dict[str, tuple[str, ...]] = {}
        self.units_beside = UnitsBeside(settings, price_required=price_required)
        self.car_ids = CarIds()
        self._asks_for_id = (
            learns and CAR_ID not in settings.columns and settings.repeats != "ignore"
        )
        self._samples: dict[str, tuple[str, ...]] = {}

    @property
    def rows_read(self) -> int:
        """All rows of the source."""
        return self.rows + self.row_filter.left_out.total()

    def add(self, chunk: Chunk, mapped: MappedChunk) -> pd.DataFrame:
        """Add a chunk, and return its raw rows that are not left out."""
        raw = chunk.frame.loc[mapped.frame.index] if len(mapped.left_out) else chunk.frame
        self.rows += len(raw)
        self.units_beside.add(raw, mapped.ignored, mapped.origin)
        if self._asks_for_id:
            self.car_ids.add(raw[[*mapped.ignored]])
        add(mapped.unreadable, self.unreadable)
        add(mapped.unmatched, self.unmatched)
        self.respaced.update(mapped.respaced)
        self.defaulted.update(mapped.times_defaulted())
        self.origin |= mapped.origin
        self._add_samples(mapped.samples)
        return raw

    def plus(self, later: "Tally") -> None:
        """Add what another was told by the chunks after this one's."""
        self.row_filter.plus(later.row_filter)
        self.rows += later.rows
        self.units_beside.plus(later.units_beside)
        self.car_ids.plus(later.car_ids)
        # A remedy for what cannot be read must read what can be, here and there.
        found = {
            field: Unreadable(0, "", 0, (), samples)
            for field, samples in later._samples.items()
            if field in self.unreadable
        } | later.unreadable
        readable = {
            field: first_of([*self._samples.get(field, ()), *one.readable])
            for field, one in found.items()
        }
        add({f: replace(one, readable=readable[f]) for f, one in found.items()}, self.unreadable)
        add(later.unmatched, self.unmatched)
        self.respaced.update(later.respaced)
        self.defaulted.update(later.defaulted)
        self.origin |= later.origin
        self._add_samples(later._samples)

    def _add_samples(self, samples: dict[str, tuple[str, ...]]) -> None:
        for field, texts in samples.items():
            self._samples[field] = first_of([*self._samples.get(field, ()), *texts])
