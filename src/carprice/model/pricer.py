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
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from carprice.arrays import Floats
from carprice.listings.features import Features
from carprice.model.blocks import OTHERS, POWERTRAIN, VARIANT
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
from carprice.model.encoder import ANCHORS, COUNTED, Encoder
from carprice.model.explanation import Explanation, explanation
from carprice.model.hedonic import Hedonic
from carprice.model.intervals import DEFAULT_CONFIDENCE
from carprice.model.worth import RidgeLookups, TypeWorth
from carprice.schema import ANSWER_NAMES

if TYPE_CHECKING:
    from carprice.model.price_model import PriceModel

Listing = Mapping[str, Any]
"""Values of a valid :class:`carprice.schema.Listing` by field name; None, NaN or absent where
missing. Other keys are ignored."""

_KEPT_TYPES: Final = 8_192
"""About 2.3 KB each; the sample market has 6,573 types among 100,000 listings."""
_CHUNK_ROWS: Final = 4_096


@dataclass(frozen=True)
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
class _Study:
    """All that a car's type decides: its worth, the trees' row, what is open, and cautions."""

    car_type: CarType
    worth: TypeWorth
    row: "memoryview[float]"
    variance: float
    cautions: tuple[Caution, ...] = ()


class _Read(NamedTuple):
    """A listing that was read, and the ridge's ln(price) of it."""

    study: _Study
    car: Car
    ridge: float


class Pricer:
    """Prices listings: one, many, with cautions or with reasons.

    What is known of the types of car that were asked for last is kept.
    """

    def __init__(self, model: "PriceModel") -> None:
        self._model = model
        self._types = TypeReader(model.defaults)
        self._cars = CarReader(model.market, model.defaults)
        self._ridge = RidgeLookups(model.hedonic)
        self._trees = _Trees(model)
        self._open = _OpenVariance(model.hedonic)
        self._cautions = _Cautions(model)
        self._study = lru_cache(maxsize=_KEPT_TYPES)(self._look_at)

    def value(self, listing: Listing, confidence: float = DEFAULT_CONFIDENCE) -> Valuation:
        """Value one listing.

        Raises
        ------
        ValueError
            If the confidence is outside 0.5–0.99.
        """
        read = self._read(listing)
        return self._valuation(listing, read, self._trees.of_one(read), confidence)

    def value_all(
        self, listings: Iterable[Listing], confidence: float = DEFAULT_CONFIDENCE
    ) -> Iterator[Valuation]:
        """Value listings, some thousands at a time; the same as one by one.

        Raises
        ------
        ValueError
            If the confidence is outside 0.5–0.99.
        """
        rest = iter(listings)
        while some := [*islice(rest, _CHUNK_ROWS)]:
            read = [*map(self._read, some)]
            for listing, one, sums in zip(some, read, self._trees.of_many(read), strict=True):
                yield self._valuation(listing, one, sums, confidence)

    def prices(
        self, listings: Iterable[Listing] | Features, confidence: float = DEFAULT_CONFIDENCE
    ) -> Prices:
        """Price listings, or listings that were parsed before, without rounding."""
        if isinstance(listings, Features):
            rest = self._read_features(listings)
        else:
            rest = map(self._read, listings)
        found: list[tuple[float, float, float]] = []
        while read := [*islice(rest, _CHUNK_ROWS)]:
            sums = self._trees.of_many(read)
            found += [
                self._log_prices(one, each, confidence)
                for one, each in zip(read, sums, strict=True)
            ]
        price, low, high = np.exp(np.array(found, dtype=np.float64).reshape(-1, 3)).T
        return Prices(price, low, high)

    def explain(self, listing: Listing) -> Explanation:
        """Tell a listing's price as the market's typical car times named factors.

        The factors multiply to the price, and the amounts sum to it.
        """
        read, hedonic = self._read(listing), self._model.hedonic
        car_type = read.study.car_type
        worth = {
            factor: part.log_price(part.of_type(car_type), read.car)
            for factor, part in self._parts.items()
        }
        told = hedonic.beside_typical(worth, car_type.texts["model"])
        residual, _ = self._trees.of_one(read)
        told[OTHERS] = told.get(OTHERS, 0.0) + residual
        start = math.exp(hedonic.intercept + sum(hedonic.typical.values()))
        return explanation(start, told)

    @cached_property
    def _parts(self) -> dict[str, RidgeLookups]:
        """What each factor adds to the ridge's ln(price)."""
        hedonic = self._model.hedonic
        return {factor: RidgeLookups(hedonic.part(factor)) for factor in hedonic.typical}

    def _read(self, listing: Listing) -> _Read:
        study = self._study(*map(listing.get, TYPE_FIELDS))
        car = self._cars.read(listing, study.car_type)
        return _Read(study, car, self._ridge.log_price(study.worth, car))

    def _read_features(self, features: Features) -> Iterator[_Read]:
        study_of = lru_cache(maxsize=None)(self._study_of)
        for car_type, car in self._cars.read_features(features, self._types):
            study = study_of(car_type)
            yield _Read(study, car, self._ridge.log_price(study.worth, car))

    def _look_at(self, make: Any, model: Any, variant: Any, *kind: Any) -> _Study:
        read_variant = variant if self._model.knows_variants else None
        car_type = self._types.read(make, model, read_variant, *kind)
        names = {"make": make, "model": model, "variant": variant}
        return self._study_of(car_type, self._cautions.of_type(names, car_type))

    def _study_of(self, car_type: CarType, cautions: tuple[Caution, ...] = ()) -> _Study:
        worth = self._ridge.of_type(car_type)
        row = self._trees.layout.type_row(car_type, worth)
        return _Study(car_type, worth, row, self._open.of_type(car_type), cautions)

    def _log_prices(
        self, read: _Read, sums: tuple[float, float], confidence: float
    ) -> tuple[float, float, float]:
        """Return ln(price) and the ln of both ends of its range."""
        residual, log_scale = sums
        log_price = read.ridge + residual
        variance = read.study.variance + self._open.of_car(read.car)
        low, high = self._model.ranges.offsets(
            math.exp(log_scale), read.car.given["age"], confidence, variance
        )
        return log_price, log_price + low, log_price + high

    def _valuation(
        self, listing: Listing, read: _Read, sums: tuple[float, float], confidence: float
    ) -> Valuation:
        price, low, high = map(math.exp, self._log_prices(read, sums, confidence))
        day = self._cars.day_of(listing)
        cautions = read.study.cautions + self._cautions.of_car(listing, read.car, day)
        return Valuation(_cents(price), _cents(low), _cents(high), day, cautions)


class _Trees:
    """Both ensembles of trees, which read the same row: of ln(price), and of the error's size."""

    def __init__(self, model: "PriceModel") -> None:
        self.layout = _RowLayout(model.encoder)
        self._booster, self._scale = model.booster, model.scale
        matrix = np.zeros((1, self.layout.columns), dtype=np.float32)
        self._row = matrix.data.cast("B").cast("f")
        self._bound = model.booster.bound_to(matrix), model.scale.bound_to(matrix)
        self._lock = Lock()

    def of_one(self, read: _Read) -> tuple[float, float]:
        """Return what the trees add to ln(price), and the ln of the error's size."""
        booster, scale = self._bound
        with self._lock:
            self.layout.write(self._row, read)
            return booster.predict(), scale.predict()

    def of_many(self, read: Sequence[_Read]) -> Iterator[tuple[float, float]]:
        """Return the same of each of many cars; the trees run once over all of them."""
        columns = self.layout.columns
        matrix = np.zeros((len(read), columns), dtype=np.float32)
        cells = matrix.data.cast("B").cast("f")
        for start, one in zip(count(0, columns), read, strict=False):
            self.layout.write(cells[start : start + columns], one)
        sums = (trees.predict(matrix).tolist() for trees in (self._booster, self._scale))
        return zip(*sums, strict=True)


class _RowLayout:
    """Where the trees' row has what: :attr:`carprice.model.encoder.Encoder.columns`."""

    def __init__(self, encoder: Encoder) -> None:
        self.columns = len(encoder.columns)
        place = count(len(ANCHORS))
        self._numbers = [(name, next(place)) for name in encoder.numbers]
        places = {
            name: {level: next(place) for level in levels}
            for name, levels in encoder.levels.items()
        }
        self._of_types = [(name, places[name]) for name in TYPE_CATEGORIES]
        self._of_cars = [places[name] for name in LEVELS]
        self._equipment = {name: next(place) for name in encoder.equipment}
        self._rows = [(name, encoder.rows[name], next(place)) for name in COUNTED]

    def type_row(self, car_type: CarType, worth: TypeWorth) -> "memoryview[float]":
        """Return the row of a type, in which what differs from car to car is 0."""
        row, texts = np.zeros(self.columns, dtype=np.float32), car_type.texts
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
        cells[:] = read.study.row
        cells[0] = read.ridge
        for name, place in self._numbers:
            cells[place] = numbers[name]
        # No place is 0, which is the anchor's: 0 would be lost with the None of unknown values.
        for place in filter(None, map(dict.get, self._of_cars, car.levels)):
            cells[place] = 1.0
        for place in filter(None, map(self._equipment.get, car.equipment)):
            cells[place] = 1.0


class _OpenVariance:
    """Says how much is open where attributes are unknown: the variance of ln(price)."""

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
            variance += spread[VARIANT]
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


class _Cautions:
    """Finds the reasons for which an answer deserves less trust."""

    def __init__(self, model: "PriceModel") -> None:
        self._model = model
        limits = model.trained_on
        self._limits = [(name, *limits[name]) for name in CHECKED_NUMBERS if name in limits]

    def of_type(self, names: Listing, car_type: CarType) -> tuple[Caution, ...]:
        """Return the cautions about make, model and variant as the listing has them."""
        texts, model = car_type.given, self._model
        variant = texts["model_variant"] if isinstance(names["variant"], str) else None
        known = model.hedonic.coefficients
        name = first_unseen(known, texts["make"], texts["model"], variant)
        if name is None:
            return ()
        return (unseen(name, names[name], texts["model"], model.vocabulary),)

    def of_car(self, listing: Listing, car: Car, day: datetime.date) -> tuple[Caution, ...]:
        """Return the cautions about numbers."""
        found: list[Caution] = []
        given, market = car.given, self._model.market
        odometer = listing.get("odometer")
        if "odometer" not in given and odometer is not None and not math.isnan(odometer):
            found.append(impossible_odometer(odometer, given["age"], market.distance_unit))
        if listing["year"] > day.year + 1:
            found.append(future_year(listing["year"]))
        if is_far(day, market.valuation_date):
            found.append(far_day(day, market.valuation_date))
        for name, low, high in self._limits:
            number = given.get(name)
            if number is not None and not low <= number <= high:
                found.append(out_of_range(name, number, low, high))
        return tuple(found)


def _cents(price: float) -> float:
    return round(price * 100) / 100
