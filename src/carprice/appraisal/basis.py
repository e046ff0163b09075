"""What an appraisal rests on: how many such cars training had, and how far off their prices were.

The error is that of training's own cross-validation, of the narrowest segment that has one: the
model folder is made before the test, and holds none of its figures.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from carprice.listings.keys import ModelKey, has_detail
from carprice.model import PriceModel
from carprice.model.pricer import Listing
from carprice.model.segments import SegmentError

_COUNTED: Final = {"model": "model", "model_trim": "trim", "model_variant": "variant"}
"""Texts whose training cars are counted, and what answers call them."""


@dataclass(frozen=True)
class Basis:
    """What an appraisal rests on.

    Attributes
    ----------
    cars : training cars of the same model, trim and variant, and all of them (``market``); None
        for a trim or variant that the listing does not name.
    segment : the error of such cars; None in model folders of before, and of tiny markets.
    """

    cars: Mapping[str, int | None]
    segment: SegmentError | None

    def content(self) -> dict[str, Any]:
        """Return what JSON says of it."""
        segment = self.segment
        if segment is None:
            return {"trainingCars": {**self.cars}, "error": None}
        what = " ".join(ModelKey.read(segment.kind)).strip() or "all cars"
        if segment.band:
            what += f", {segment.band} years"
        error = {"segment": what, "listings": segment.rows, "mape": round(segment.mape, 2)}
        return {"trainingCars": {**self.cars}, "error": {**error, "of": "cross-validation"}}


def basis_of(model: PriceModel, listing: Listing, age: float) -> Basis:
    """Return what the appraisal of a listing rests on; ``age`` is the car's, in years."""
    texts, rows = model.pricer.texts_of(listing), model.encoder.rows
    cars = {
        shown: rows[name].get(texts[name], 0) if has_detail(texts[name]) else None
        for name, shown in _COUNTED.items()
    }
    cars["market"] = model.cars
    return Basis(cars, model.segments.of(texts["model"], age))
