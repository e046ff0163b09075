"""One listing's price by look-ups alone: what a request costs is then the trees, and little else.

A numpy call on an array of one element takes a microsecond, and
:func:`carprice.model.valuation.value` makes hundreds of them. :class:`SinglePricer` says the same
of one listing with dictionaries and plain floats.
"""

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from statistics import NormalDist
from threading import Lock
from typing import Any, Final

import numpy as np

from carprice.model.car import (
    LEVELS,
    TYPE_CATEGORIES,
    TYPE_FIELDS,
    Car,
    CarReader,
    CarType,
    TypeReader,
)
from carprice.model.cautions import (
    CHECKED_NUMBERS,
    Caution,
    far_day,
    first_unseen,
    future_year,
    impossible_odometer,
    is_far,
    out_of_range,
    unseen,
)
from carprice.model.encoder import ANCHORS, COUNTED, Encoder, Matrix
from carprice.model.hedonic import POWERTRAIN, Hedonic
from carprice.model.intervals import AGE_BANDS
from carprice.model.price_model import DEFAULT_CONFIDENCE, PriceModel
from carprice.model.valuation import Valuation
from carprice.model.worth import SingleHedonic, TypeWorth

_KEPT_TYPES: Final = 2_000


@dataclass(slots=True, frozen=True)
class _Study:
    """All that a car's type decides: its worth, the trees' row, what is open, and cautions."""

    car_type: CarType
    worth: TypeWorth
    row: bytes
    variance: float
    cautions: tuple[Caution, ...]


class SinglePricer:
    """Values one listing at a time, the same as :func:`carprice.model.valuation.value`.

    What is known of the types of car that were asked for last is kept, as the valuation of many
    listings works once on each distinct text.
    """

    def __init__(self, model: PriceModel) -> None:
        self._knows_variants = model.knows_variants
        self._types = TypeReader(model.defaults)
        self._reader = CarReader(model.market, model.defaults)
        self._hedonic = SingleHedonic(model.hedonic)
        self._trees = _Trees(model)
        self._ranges = _Ranges(model)
        self._open = _OpenVariance(model.hedonic)
        self._cautions = _Cautions(model)
        self._study = lru_cache(maxsize=_KEPT_TYPES)(self._look_at)

    def value(self, fields: Mapping[str, Any], confidence: float = DEFAULT_CONFIDENCE) -> Valuation:
        """Value a listing.

        Parameters
        ----------
        fields : values of a valid :class:`carprice.schema.Listing` by field name; None or absent
            where missing. Other keys are ignored.

        Raises
        ------
        ValueError
            If the confidence is outside 0.5–0.99.
        """
        study = self._study(*map(fields.get, TYPE_FIELDS))
        car = self._reader.read(fields, study.car_type)
        log_price = self._hedonic.log_price(study.worth, car)
        residual, log_scale = self._trees.sums(study.row, car, log_price)
        log_price += residual
        variance = study.variance + self._open.of_car(car)
        low, high = self._ranges.offsets(
            math.exp(log_scale), car.given["age"], confidence, variance
        )
        return Valuation(
            _cents(math.exp(log_price)),
            _cents(math.exp(log_price + low)),
            _cents(math.exp(log_price + high)),
            car.day,
            study.cautions + self._cautions.of_car(fields, car),
        )

    def _look_at(self, make: str, model: str, variant: str | None, *kind: Any) -> _Study:
        names = (make, model, variant, *kind)
        car_type = self._types.read(make, model, variant if self._knows_variants else None, *kind)
        worth = self._hedonic.of_type(car_type)
        return _Study(
            car_type,
            worth,
            self._trees.row_of_type(car_type, worth),
            self._open.of_type(car_type),
            self._cautions.of_type(dict(zip(TYPE_FIELDS, names, strict=True)), car_type),
        )


class _Trees:
    """Both ensembles of trees, which read the same row; one car at a time."""

    def __init__(self, model: PriceModel) -> None:
        row = np.zeros((1, len(model.encoder.columns)), dtype=np.float32)
        self._writer = _RowWriter(model.encoder, row)
        self._booster, self._scale = model.booster.bound_to(row), model.scale.bound_to(row)
        self._lock = Lock()

    def row_of_type(self, car_type: CarType, worth: TypeWorth) -> bytes:
        """Return the row of a type, in which what differs from car to car is 0."""
        with self._lock:
            return self._writer.write_type(car_type, worth)

    def sums(self, row: bytes, car: Car, log_price: float) -> tuple[float, float]:
        """Return what trees add to ln(price), and what they say of the size of the error."""
        with self._lock:
            self._writer.write_car(row, car, log_price)
            return self._booster.predict(), self._scale.predict()


class _RowWriter:
    """Writes the trees' row of a car, as :meth:`carprice.model.encoder.Encoder.matrix` does."""

    def __init__(self, encoder: Encoder, row: Matrix) -> None:
        place = count(len(ANCHORS))
        self._bytes = row.data.cast("B")
        self._cells = self._bytes.cast("f")
        self._blank = bytes(row.nbytes)
        self._numbers = [(name, next(place)) for name in encoder.numbers]
        places = {
            name: {level: next(place) for level in levels}
            for name, levels in encoder.levels.items()
        }
        self._of_types = [(name, places[name]) for name in TYPE_CATEGORIES]
        self._of_cars = [places[name] for name in LEVELS]
        self._equipment = {name: next(place) for name in encoder.equipment}
        self._rows = [(name, encoder.rows[name], next(place)) for name in COUNTED]

    def write_type(self, car_type: CarType, worth: TypeWorth) -> bytes:
        """Write a type over what was there, and return the row."""
        cells, texts = self._cells, car_type.texts
        self._bytes[:] = self._blank
        cells[1], cells[2] = worth.names
        for name, places in self._of_types:
            if texts[name] in places:
                cells[places[texts[name]]] = 1.0
        for name, rows, place in self._rows:
            cells[place] = math.log1p(rows.get(texts[name], 0))
        return bytes(self._bytes)

    def write_car(self, row: bytes, car: Car, log_price: float) -> None:
        """Write a car of the type whose row is given."""
        cells, numbers = self._cells, car.numbers
        self._bytes[:] = row
        cells[0] = log_price
        for name, place in self._numbers:
            cells[place] = numbers[name]
        # No place is 0, which is the anchor's: 0 would be lost with the None of unknown values.
        for place in filter(None, map(dict.get, self._of_cars, car.levels)):
            cells[place] = 1.0
        for place in filter(None, map(self._equipment.get, car.equipment)):
            cells[place] = 1.0


class _OpenVariance:
    """Says how much is open where attributes are unknown: the variance of ln(price).

    The same as :meth:`carprice.model.hedonic.Hedonic.unknown_variance`.
    """

    def __init__(self, hedonic: Hedonic) -> None:
        known = hedonic.coefficients
        self._makes, self._models = known["make"], known["model"]
        self._has_variants = bool(known["word"])
        self._asked = [name for name in ("fuel", "transmission") if "" not in known[name]]
        self._spread = defaultdict(float, hedonic.spread)

    def of_type(self, car_type: CarType) -> float:
        """Return what unknown names, fuel and transmission leave open."""
        texts, spread, variance = car_type.given, self._spread, 0.0
        if texts["make"] not in self._makes:
            variance += spread["make"]
        is_unseen = texts["model"] not in self._models
        if is_unseen:
            variance += spread["model"]
        if self._has_variants and (is_unseen or texts["model_variant"].endswith("|")):
            variance += spread["variant"]
        if "" in [texts[name] for name in self._asked]:
            variance += spread[POWERTRAIN]
        return variance

    def of_car(self, car: Car) -> float:
        """Return what unknown owners and distance leave open, where they were filled."""
        variance = 0.0
        for number, factor in (("ownership", "owners"), ("odometer", "distance")):
            if number not in car.given and not math.isnan(car.numbers[number]):
                variance += self._spread[factor]
        return variance


class _Ranges:
    """Offsets of a price's range, kept for the confidences that were asked for last."""

    def __init__(self, model: PriceModel) -> None:
        self._ranges = model.ranges
        self._edges = list(AGE_BANDS.values())
        self._of_confidence = lru_cache(maxsize=64)(self._read)

    def offsets(
        self, scale: float, age: float, confidence: float, variance: float
    ) -> tuple[float, float]:
        """Return what is added to ln(price) for the lower and the upper end."""
        low, high, deviations = self._of_confidence(confidence)
        band = bisect_left(self._edges, age)
        open_part = deviations * math.sqrt(variance)
        return -math.hypot(low[band] * scale, open_part), math.hypot(high[band] * scale, open_part)

    def _read(self, confidence: float) -> tuple[list[float], list[float], float]:
        low, high = self._ranges.by_band(confidence).tolist()
        return low, high, NormalDist().inv_cdf((1 + confidence) / 2)


class _Cautions:
    """Finds the reasons for which an answer deserves less trust."""

    def __init__(self, model: PriceModel) -> None:
        self._model = model
        limits = model.trained_on
        self._limits = [(name, *limits[name]) for name in CHECKED_NUMBERS if name in limits]

    def of_type(self, fields: Mapping[str, Any], car_type: CarType) -> tuple[Caution, ...]:
        """Return the cautions about names."""
        texts, model = car_type.given, self._model
        variant = None if fields["variant"] is None else texts["model_variant"]
        known = model.hedonic.coefficients
        name = first_unseen(known, texts["make"], texts["model"], variant)
        if name is None:
            return ()
        return (unseen(name, fields[name], texts["model"], model.vocabulary),)

    def of_car(self, fields: Mapping[str, Any], car: Car) -> tuple[Caution, ...]:
        """Return the cautions about numbers."""
        found: list[Caution] = []
        given = car.given
        odometer = fields.get("odometer")
        if "odometer" not in given and odometer is not None and not math.isnan(odometer):
            unit = self._model.market.distance_unit
            found.append(impossible_odometer(odometer, given["age"], unit))
        if fields["year"] > car.day.year + 1:
            found.append(future_year(fields["year"]))
        if is_far(car.day, self._model.market.valuation_date):
            found.append(far_day(car.day, self._model.market.valuation_date))
        for name, low, high in self._limits:
            number = given.get(name)
            if number is not None and not low <= number <= high:
                found.append(out_of_range(name, number, low, high))
        return tuple(found)


def _cents(price: float) -> float:
    return round(price * 100) / 100
