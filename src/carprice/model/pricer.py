"""The price of a listing, and of a million: look-ups in dictionaries, then the trees.

A numpy call on an array of one element takes a microsecond, so that one price is made of plain
floats. Of many listings only the trees work together, on one matrix.
"""

import datetime
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import count, islice
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from carprice.arrays import Floats
from carprice.listings.features import CAR_CATEGORIES, TYPE_CATEGORIES, TYPE_FIELDS, Features
from carprice.model.blocks import POWERTRAIN, VARIANT
from carprice.model.car import Car, CarReader, CarType
from carprice.model.cautions import Caution, Cautions
from carprice.model.encoder import ANCHORS, COUNTED, ONE_HOT
from carprice.model.explanation import Explanation, explanation
from carprice.model.hedonic import Hedonic
from carprice.model.worth import RidgeLookups, TypeWorth
from carprice.schema import ANSWER_NAMES, DEFAULT_CONFIDENCE

if TYPE_CHECKING:
    from carprice.model.price_model import PriceModel

Listing = Mapping[str, Any]
"""Values of a valid :class:`carprice.schema.Listing` by field name; None, NaN or absent where
missing. Other keys are ignored."""

_KEPT_TYPES: Final = 8_192
"""About 2.3 KB each; the sample market has 6,573 types among 100,000 listings."""
_CHUNK_ROWS: Final = 4_096


@dataclass(slots=True, frozen=True)
class Valuation:
    """One listing's price and range in the market's currency, rounded to 0.01, and their day."""

    predicted_price: float
    price_low: float
    price_high: float
    valuation_date: datetime.date
    cautions: tuple[Caution, ...]

    @property
    def prices(self) -> tuple[float, float, float]:
        """The price and the ends of its range, in the order of ``schema.PRICE_NAMES``."""
        return self.predicted_price, self.price_low, self.price_high

    def content(self) -> dict[str, Any]:
        """Return what JSON says of the listing, by ``schema.ANSWER_NAMES``."""
        cautions = [vars(caution) for caution in self.cautions]
        values = (*self.prices, self.valuation_date.isoformat(), cautions)
        return dict(zip(ANSWER_NAMES, values, strict=True))


@dataclass(frozen=True)
class Prices:
    """Prices and their ranges, in the market's currency; one entry a listing."""

    price: Floats
    low: Floats
    high: Floats


@dataclass(slots=True, frozen=True)
class _KnownType:
    """All that a car's type decides: its worth, the trees' row, what is open, and cautions."""

    car_type: CarType
    worth: TypeWorth
    row: "memoryview[float]"
    variance: float
    cautions: tuple[Caution, ...] = ()


@dataclass(slots=True)
class _Read:
    """A listing that was read, the ridge's ln(price) of it, and the day of the price."""

    listing: Listing
    known: _KnownType
    car: Car
    ridge: float
    day: datetime.date


class Pricer:
    """Prices listings: one, many, with cautions or with reasons.

    What is known of the types of car that were asked for last is kept.
    """

    def __init__(self, model: "PriceModel") -> None:
        self._model = model
        self._cars = CarReader(model.market, model.defaults)
        self._ridge = RidgeLookups(model.hedonic)
        self._trees = _Trees(model)
        self._open = _OpenVariance(model.hedonic)
        self._cautions = Cautions(model)
        self._ranges = lru_cache(maxsize=64)(model.ranges.at)
        self._known = lru_cache(maxsize=_KEPT_TYPES)(self._look_up)

    def value(self, listing: Listing, confidence: float = DEFAULT_CONFIDENCE) -> Valuation:
        """Value one listing; the confidence is from 0.5 to 0.99, or a ValueError."""
        read = self._read(listing)
        return self._valuation(read, self._trees.of_one(read), confidence)

    def value_all(
        self, listings: Iterable[Listing], confidence: float = DEFAULT_CONFIDENCE
    ) -> Iterator[Valuation]:
        """Value listings, some thousands at a time; the same as one by one."""
        for read, sums in self._with_sums(map(self._read, listings)):
            yield self._valuation(read, sums, confidence)

    def prices(
        self, listings: Iterable[Listing] | Features, confidence: float = DEFAULT_CONFIDENCE
    ) -> Prices:
        """Price listings, or listings that were parsed before, without rounding."""
        if isinstance(listings, Features):
            reads = self._read_features(listings)
        else:
            reads = map(self._read, listings)
        found = [self._log_prices(*one, confidence) for one in self._with_sums(reads)]
        price, low, high = np.exp(np.array(found, dtype=np.float64).reshape(-1, 3)).T
        return Prices(price, low, high)

    def explain(self, listing: Listing) -> Explanation:
        """Tell a listing's price as the market's typical car times named factors."""
        read = self._read(listing)
        car_type = read.known.car_type
        worth = {
            factor: part.log_price(part.of_type(car_type), read.car)
            for factor, part in self._parts.items()
        }
        residual, _ = self._trees.of_one(read)
        return explanation(self._model.hedonic, worth, residual, car_type.texts["model"])

    @cached_property
    def _parts(self) -> dict[str, RidgeLookups]:
        """What each factor adds to the ridge's ln(price)."""
        hedonic = self._model.hedonic
        return {factor: RidgeLookups(hedonic.part(factor)) for factor in hedonic.typical}

    def _read(self, listing: Listing) -> _Read:
        known, day = self._known(*map(listing.get, TYPE_FIELDS)), self._cars.day_of(listing)
        car = self._cars.read(listing, day, known.car_type)
        return _Read(listing, known, car, self._ridge.log_price(known.worth, car), day)

    def _read_features(self, features: Features) -> Iterator[_Read]:
        known_of, day = lru_cache(maxsize=None)(self._known_of), self._model.market.valuation_date
        for car_type, car in self._cars.read_features(features):
            known = known_of(car_type)
            yield _Read({}, known, car, self._ridge.log_price(known.worth, car), day)

    def _with_sums(self, reads: Iterator[_Read]) -> Iterator[tuple[_Read, tuple[float, float]]]:
        """Yield what was read with the sums of the trees, which run on some thousands at a time."""
        while some := [*islice(reads, _CHUNK_ROWS)]:
            yield from zip(some, self._trees.of_many(some), strict=True)

    def _look_up(self, make: Any, model: Any, variant: Any, *kind: Any) -> _KnownType:
        read_variant = variant if self._model.knows_variants else None
        car_type = self._cars.read_type(make, model, read_variant, *kind)
        names = {"make": make, "model": model, "variant": variant}
        return self._known_of(car_type, self._cautions.of_type(names, car_type))

    def _known_of(self, car_type: CarType, cautions: tuple[Caution, ...] = ()) -> _KnownType:
        worth = self._ridge.of_type(car_type)
        row = self._trees.type_row(car_type, worth)
        return _KnownType(car_type, worth, row, self._open.of_type(car_type), cautions)

    def _log_prices(
        self, read: _Read, sums: tuple[float, float], confidence: float
    ) -> tuple[float, float, float]:
        """Return ln(price) and the ln of both ends of its range."""
        residual, log_scale = sums
        log_price = read.ridge + residual
        variance = read.known.variance + self._open.of_car(read.car)
        offsets = self._ranges(confidence)
        low, high = offsets.of(math.exp(log_scale), read.car.given["age"], variance)
        return log_price, log_price + low, log_price + high

    def _valuation(self, read: _Read, sums: tuple[float, float], confidence: float) -> Valuation:
        price, low, high = map(math.exp, self._log_prices(read, sums, confidence))
        cautions = (*read.known.cautions, *self._cautions.of_car(read.listing, read.car, read.day))
        return Valuation(_cents(price), _cents(low), _cents(high), read.day, cautions)


class _Trees:
    """Both ensembles of trees: of ln(price), and of the error's size.

    They read the same row, which has :attr:`carprice.model.encoder.Encoder.columns`.
    """

    def __init__(self, model: "PriceModel") -> None:
        encoder = model.encoder
        self._columns = len(encoder.columns)
        place = count(len(ANCHORS))
        self._numbers = [(name, next(place)) for name in encoder.numbers]
        places = {name: {level: next(place) for level in encoder.levels[name]} for name in ONE_HOT}
        self._of_types = [(name, places[name]) for name in TYPE_CATEGORIES]
        self._of_cars = [places[name] for name in CAR_CATEGORIES]
        self._equipment = {name: next(place) for name in encoder.equipment}
        self._rows = [(name, encoder.rows[name], next(place)) for name in COUNTED]
        self._booster, self._scale = model.booster, model.scale
        matrix = np.zeros((1, self._columns), dtype=np.float32)
        self._row = matrix.data.cast("B").cast("f")
        self._bound = model.booster.bound_to(matrix), model.scale.bound_to(matrix)
        self._lock = Lock()

    def of_one(self, read: _Read) -> tuple[float, float]:
        """Return what the trees add to ln(price), and the ln of the error's size."""
        booster, scale = self._bound
        with self._lock:
            self.write(self._row, read)
            return booster(), scale()

    def of_many(self, read: Sequence[_Read]) -> Iterator[tuple[float, float]]:
        """Return the same of each of many cars; the trees run once over all of them."""
        columns = self._columns
        matrix = np.zeros((len(read), columns), dtype=np.float32)
        cells = matrix.data.cast("B").cast("f")
        for start, one in zip(count(0, columns), read, strict=False):
            self.write(cells[start : start + columns], one)
        sums = (trees.predict(matrix).tolist() for trees in (self._booster, self._scale))
        return zip(*sums, strict=True)

    def type_row(self, car_type: CarType, worth: TypeWorth) -> "memoryview[float]":
        """Return the row of a type, in which what differs from car to car is 0."""
        row, texts = np.zeros(self._columns, dtype=np.float32), car_type.texts
        row[1], row[2] = worth.names
        for name, places in self._of_types:
            if texts[name] in places:
                row[places[texts[name]]] = 1.0
        for name, rows, place in self._rows:
            row[place] = math.log1p(rows.get(texts[name], 0))
        return memoryview(row.tobytes()).cast("f")

    def write(self, cells: "memoryview[float]", read: _Read) -> None:
        """Write a car's row over what was there."""
        car = read.car
        numbers = car.numbers
        cells[:] = read.known.row
        cells[0] = read.ridge
        for name, place in self._numbers:
            cells[place] = numbers[name]
        # No place is 0, which is the anchor's: 0 would be lost with the None of unknown values.
        for place in filter(None, map(dict.get, self._of_cars, car.categories)):
            cells[place] = 1.0
        for place in filter(None, map(self._equipment.get, car.equipment)):
            cells[place] = 1.0


class _OpenVariance:
    """Says how much is open where attributes are unknown: the variance of ln(price)."""

    def __init__(self, hedonic: Hedonic) -> None:
        self._known, self._spread = hedonic.coefficients, defaultdict(float, hedonic.spread)
        self._asked = [name for name in ("fuel", "transmission") if "" not in self._known[name]]

    def of_type(self, car_type: CarType) -> float:
        """Return what unknown names, fuel and transmission leave open."""
        texts, known = car_type.given, self._known
        is_unseen = texts["model"] not in known["model"]
        is_open = {
            "make": texts["make"] not in known["make"],
            "model": is_unseen,
            VARIANT: known["word"] and (is_unseen or texts["model_variant"].endswith("|")),
            POWERTRAIN: "" in [texts[name] for name in self._asked],
        }
        return sum(self._spread[factor] for factor, whether in is_open.items() if whether)

    def of_car(self, car: Car) -> float:
        """Return what unknown owners and distance leave open, where they were filled."""
        variance = 0.0
        for number, factor in (("ownership", "owners"), ("odometer", "distance")):
            if number not in car.given and not math.isnan(car.numbers[number]):
                variance += self._spread[factor]
        return variance


def _cents(price: float) -> float:
    return round(price * 100) / 100
