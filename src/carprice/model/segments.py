"""How far off prices were in training's own cross-validation, by kind of car and age band.

A segment is a model or a make, or the whole market, at one age band or at all ages. Those of few
rows are left out: their error would say more of chance than of the model.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Final, NamedTuple, Self

import numpy as np

from carprice.arrays import Floats
from carprice.listings.features import Features
from carprice.listings.keys import ModelKey
from carprice.model.intervals import AGE_BANDS, age_bands

FEWEST_ROWS: Final = 50
ALL_AGES: Final = ""
_BANDS: Final = (*AGE_BANDS,)


class SegmentError(NamedTuple):
    """The error of a segment.

    Attributes
    ----------
    kind : ``make|model``, a make, or "" for the whole market.
    band : of :data:`carprice.model.intervals.AGE_BANDS`, or "" for all ages.
    rows : training rows of the segment whose price is believed.
    mape : mean absolute error of their cross-validated prices, in per cent.
    """

    kind: str
    band: str
    rows: int
    mape: float


@dataclass(frozen=True)
class Segments:
    """The errors by kind, then by age band, as rows and MAPE."""

    errors: Mapping[str, Mapping[str, tuple[int, float]]] = field(default_factory=dict)

    @classmethod
    def fit(cls, features: Features, price: Floats, guess: Floats) -> Self:
        """Measure cross-validated prices of n training rows."""
        rows: dict[tuple[str, str], list[int]] = defaultdict(list)
        bands = age_bands(features.numbers["age"]).tolist()
        names = zip(features.texts["model"], features.texts["make"], bands, strict=True)
        for row, (model, make, band) in enumerate(names):
            for segment in product({model, make, ""}, (_BANDS[band], ALL_AGES)):
                rows[segment].append(row)
        errors: dict[str, dict[str, tuple[int, float]]] = defaultdict(dict)
        missed = 100 * np.abs(guess / price - 1)
        for (kind, band), own in rows.items():
            if len(own) >= FEWEST_ROWS:
                errors[kind][band] = (len(own), float(missed[own].mean()))
        return cls(dict(errors))

    def of(self, model: str, age: float) -> SegmentError | None:
        """Return the error of the narrowest segment of a car; None where nothing was measured.

        Parameters
        ----------
        model : its key, ``make|model``.
        age : in years.
        """
        own = _BANDS[int(age_bands(np.array([age]))[0])]
        for kind, band in product((model, ModelKey.read(model).make, ""), (own, ALL_AGES)):
            if found := self.errors.get(kind, {}).get(band):
                return SegmentError(kind, band, *found)
        return None

    def to_json(self) -> dict[str, Any]:
        """Return the errors as plain JSON values."""
        return {"errors": {kind: dict(bands) for kind, bands in self.errors.items()}}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        return cls(
            {
                kind: {band: (rows, error) for band, (rows, error) in bands.items()}
                for kind, bands in content["errors"].items()
            }
        )
