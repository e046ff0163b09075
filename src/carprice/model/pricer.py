"""The price of a listing, and of a million: look-ups in dictionaries, then the trees.

A numpy call on an array of one element takes a microsecond, so that one price is made of plain
floats. Of many listings only the trees work together, on one matrix.
"""

import datetime
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import islice
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from carprice.arrays import Codes, Floats
from carprice.listings.features import (
    CAR_CATEGORIES,
    CATEGORIES,
    TYPE_FIELDS,
    TYPE_TEXTS,
    CarValues,
    Features,
    ListingReader,
    read_type,
    years_after,
)
from carprice.listings.keys import has_detail
from carprice.model.blocks import EQUIPMENT, OWN, POWERTRAIN, VARIANT
from carprice.model.booster import Joined
from carprice.model.car import Car, CarReader, CarType
from carprice.model.cautions import Caution, Cautions
from carprice.model.correction import Correction
from carprice.model.encoder import Matrix, Row, TreeRows
from carprice.model.explanation import (
    CENTRED,
    Explanation,
    explanation,
    mixtures,
    types_beside,
    types_between,
)
from carprice.model.hedonic import USUAL_KM, Hedonic
from carprice.model.intervals import Distribution
from carprice.model.known_values import Unseen
from carprice.model.learned import CarKeys
from carprice.model.listing_store import ListingStore
from carprice.model.many_cars import KeptPrices, Subjects
from carprice.model.subject import Known, Subject
from carprice.model.support import SupportLookups, TypeSupport
from carprice.model.triples import NOTHING
from carprice.model.worth import RidgeLookups, TypeWorth
from carprice.schema import ANSWER_NAMES, DEFAULT_CONFIDENCE, alias, own_texts

if TYPE_CHECKING:
    from carprice.model.price_model import PriceModel

Listing = Mapping[str, Any]
"""Values of a valid :class:`carprice.schema.Listing` by field name; None, NaN or absent where
missing. Other keys are ignored."""

_KEPT_TYPES: Final = 8_192
"""About 2.3 KB each; the sample market has 6,573 types among 100,000 listings."""
_KEPT_BETWEEN: Final = 1_024
"""For reasons. They keep more of a type, and anyone can ask for made-up ones."""
_CHUNK_ROWS: Final = 4_096
_CHUNK_EXPLAINED: Final = 400
_AGES: Final = 20
_NO_NAMES: Final = ("",) * len(TYPE_FIELDS)
_NO_CATEGORIES: Final = ("",) * len(CAR_CATEGORIES)
_NO_LISTING: Final[Listing] = {}
_SEEN: Final = Unseen()
_CAR_FIELDS: Final = ("features", *(CATEGORIES[name] for name in CAR_CATEGORIES))
_PRICE, _LOW, _HIGH, _DAY, _WARNINGS = ANSWER_NAMES
_printed_day = lru_cache(maxsize=256)(datetime.date.isoformat)


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
        return {
            _PRICE: self.predicted_price,
            _LOW: self.price_low,
            _HIGH: self.price_high,
            _DAY: _printed_day(self.valuation_date),
            _WARNINGS: [vars(caution) for caution in self.cautions],
        }


@dataclass(frozen=True)
class Prices:
    """Prices and their ranges, in the market's currency; one entry a listing."""

    price: Floats
    low: Floats
    high: Floats

    def take(self, rows: Codes) -> "Prices":
        """Return the prices of the given rows, in the order given."""
        return Prices(*(values[rows] for values in vars(self).values()))


@dataclass(slots=True, frozen=True)
class Outlook:
    """What a model says of a car, for whoever judges an asking price.

    Attributes
    ----------
    listing : as it was given.
    valuation : the price and its range, as answers have them.
    price : not rounded.
    distribution : of ln(price); None in model folders of before.
    age : in years.
    """

    listing: Listing
    valuation: Valuation
    price: float
    distribution: Distribution | None
    age: float


@dataclass(slots=True, frozen=True)
class _KnownType:
    """All that a car's type decides: its worth, the trees' row, what is open, and cautions.

    ``shift`` is what the model's correction adds to ln(price).
    """

    car_type: CarType
    worth: TypeWorth
    row: Row
    variance: float
    support: TypeSupport
    cautions: tuple[Caution, ...] = ()
    shift: float = 0.0


@dataclass(slots=True)
class _Read:
    """A listing that was read, the ridge's ln(price) of it, the day of the price, what is odd.

    ``variance`` of ln(price) is what the car leaves open beyond what training had.
    """

    listing: Listing
    known: _KnownType
    car: Car
    ridge: float
    variance: float
    day: datetime.date
    unseen: Unseen = _SEEN


@dataclass(slots=True, frozen=True)
class _Start:
    """Where an explanation begins: the usual car of the model, without and with the variant.

    ``centred`` is what the usual car's value is worth above the mean, by factor.
    """

    bare: _Read
    named: _Read
    centred: Mapping[str, float]


@dataclass(slots=True, frozen=True)
class _Mixed:
    """The cars between the usual one and a car: those that differ, and which stands where.

    The last is the car itself.
    """

    start: _Start
    distinct: Sequence[_Read]
    places: Sequence[int]


class Pricer:
    """Prices listings: one, many, with cautions or with reasons.

    What is known of the types of car that were asked for last is kept.
    """

    def __init__(self, model: "PriceModel") -> None:
        self._model = model
        market = model.market
        self._values = model.known_values
        unit = market.distance_unit
        self._listings = ListingReader(market.valuation_date, unit, model.reading)
        self._cars = CarReader(model.defaults)
        self._ridge, self._start_price = RidgeLookups(model.hedonic), model.hedonic.start
        self._trees = _Trees(model)
        self._open = _OpenVariance(model.hedonic)
        self._support = SupportLookups(model)
        self._cautions = Cautions(model)
        self._correction = model.correction
        self._corrected_from = 0.0
        if model.correction is not None:
            self._corrected_from = years_after(model.correction.since, market.valuation_date)
        self._car_fields = (*_CAR_FIELDS, *map(alias, own_texts(model.own)))
        self._of_market = lru_cache(maxsize=64)(model.support.at)
        self._ranges = lru_cache(maxsize=64)(model.ranges.at)
        self._known = lru_cache(maxsize=_KEPT_TYPES)(self._look_up)
        self._type_of = lru_cache(maxsize=_KEPT_TYPES)(
            lambda *texts: self._cars.type_of(dict(texts), math.nan)
        )
        self._hedonic = lru_cache(maxsize=_KEPT_TYPES)(
            lambda car_type: (self._ridge.of_type(car_type), self._support.of_type(car_type))
        )
        self._beside = lru_cache(maxsize=_KEPT_TYPES)(self._look_up_beside)
        self._between = lru_cache(maxsize=_KEPT_BETWEEN)(self._look_up_between)
        self._start = lru_cache(maxsize=_KEPT_BETWEEN)(self._find_start)

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

    def outlook(self, listing: Listing, confidence: float = DEFAULT_CONFIDENCE) -> Outlook:
        """Value one listing, and say what is needed to judge its asking price."""
        read = self._read(listing)
        return self._outlook(read, self._trees.of_one(read), confidence)

    def outlooks(
        self, listings: Iterable[Listing], confidence: float = DEFAULT_CONFIDENCE
    ) -> Iterator[Outlook]:
        """Do the same for many listings, some thousands at a time."""
        for read, sums in self._with_sums(map(self._read, listings)):
            yield self._outlook(read, sums, confidence)

    def learned_from(self, listing: Listing) -> bool:
        """Whether the model learned from the car of a listing; not, where that is not known."""
        learned = self._model.learned
        return learned is not None and learned.has(self._car_keys.keys_of(listing))

    def prices(
        self, listings: Iterable[Listing] | Features, confidence: float = DEFAULT_CONFIDENCE
    ) -> Prices:
        """Price listings, or listings that were parsed before, without rounding."""
        if isinstance(listings, Features):
            reads = self._read_features(listings)
        else:
            reads = map(self._read, listings)
        return self._prices(self._with_sums(reads), confidence)

    def _prices(
        self, reads: Iterable[tuple[_Read, tuple[float, float]]], confidence: float
    ) -> Prices:
        found = [self._log_prices(*one, confidence) for one in reads]
        price, low, high = np.exp(np.array(found, dtype=np.float64).reshape(-1, 3)).T
        return Prices(price, low, high)

    def prices_at(
        self,
        listing: Listing,
        places: Iterable[tuple[float, float | None]],
        confidence: float = DEFAULT_CONFIDENCE,
    ) -> Prices:
        """Price a listing at other ages and distances, on its day, without rounding.

        The same as of listings of such years and distances, but that the rest is read once.

        Parameters
        ----------
        places : ages in years; distances, None where unknown.
        """
        known, day, car = self._car_of(listing)
        edges = self._support.read_at_edges(car)
        unseen = self._values.unseen_of_car(*map(listing.get, self._car_fields))
        subject = self._subject(known.car_type, car)

        reads = []
        for age, odometer in places:
            moved = self._cars.moved(car, age, self._listings.believed(odometer, age))
            at = age, moved.numbers["odometer"]
            variance = edges + self._support.beyond(known.support, *at)[1]
            ridge = subject.price_at(*at)
            reads.append(_Read(listing, known, moved, ridge, variance, day, unseen))
        sums = self._trees.of_moved(reads) if reads else ()
        return self._prices(zip(reads, sums, strict=True), confidence)

    def kind_of(self, listing: Listing) -> str:
        """Return the kind of car that a listing counts to, of ``PriceModel.support``."""
        return self._known(*map(listing.get, TYPE_FIELDS)).support.kind

    def texts_of(self, listing: Listing) -> Mapping[str, str]:
        """Return the texts of a listing's type, normalised; unknown ones are its model's usual."""
        return self._known(*map(listing.get, TYPE_FIELDS)).car_type.texts

    def explain(self, listing: Listing) -> Explanation:
        """Tell a listing's price as the market's typical car times named factors."""
        (told,) = self.explain_all([listing])
        return told

    def explain_all(self, listings: Iterable[Listing]) -> Iterator[Explanation]:
        """Explain listings, some hundreds at a time; the same as one by one."""
        for some in self._explained(listings):
            of_cars = self._trees.residuals([one for each in some for one in each.distinct])
            for each in some:
                yield self._explanation(each, [*islice(of_cars, len(each.distinct))])

    def appraise_all(
        self, listings: Iterable[Listing], confidence: float = DEFAULT_CONFIDENCE
    ) -> Iterator[tuple[Outlook, Explanation]]:
        """Value and explain listings; the same as :meth:`outlook` and :meth:`explain` of each."""
        for some in self._explained(listings):
            of_cars = self._trees.of_many([one for each in some for one in each.distinct])
            for each in some:
                sums = [*islice(of_cars, len(each.distinct))]
                told = self._explanation(each, [residual for residual, _ in sums])
                yield self._outlook(each.distinct[-1], sums[-1], confidence), told

    def _explained(self, listings: Iterable[Listing]) -> Iterator[list[_Mixed]]:
        """Read what explains listings, some hundreds at a time."""
        mixed = map(self._mixed, map(self._read, listings))
        while some := [*islice(mixed, _CHUNK_EXPLAINED)]:
            yield some

    def _explanation(self, mixed: _Mixed, residuals: Sequence[float]) -> Explanation:
        """Explain a listing by what trees add to each of its cars."""
        logs = [
            self._support.limited(one.known.support, one.ridge + residual)[0]
            for one, residual in zip(mixed.distinct, residuals, strict=True)
        ]
        by_place = [logs[place] for place in mixed.places]
        told = explanation(self._start_price, by_place, mixed.start.centred)
        read = mixed.distinct[-1]
        if correction := self._correction_of(read):
            told = told.times(correction.reason, math.exp(_shift_of(read, correction)))
        return told

    def _mixed(self, read: _Read) -> _Mixed:
        """Read the cars between the usual one and a car; those that are the same once."""
        known, car = read.known, read.car
        has_fitness, has = "fitness_age" in car.given, tuple(map(bool, car.categories))
        start = self._start(known.car_type, has_fitness, has)
        usual, named, *others = mixtures(car, start.bare.car, has_own=self._cars.has_own)
        distinct = [start.bare, start.named]
        if named is not usual:
            distinct[1] = self._read_car(start.named.known, named, read.day)
        places, last = [0, 1], None
        for other in others:
            if other is not last:
                is_itself = other is others[-1]
                distinct.append(read if is_itself else self._read_car(known, other, read.day))
                last = other
            places.append(len(distinct) - 1)
        return _Mixed(start, distinct, places)

    def _find_start(self, car_type: CarType, has_fitness: bool, has: tuple[bool, ...]) -> _Start:
        """Return where the explanation of a car begins, by its type and what it leaves out."""
        hedonic, day = self._model.hedonic, self._model.market.valuation_date
        usual = self._usual_for(car_type, has_fitness, has)
        bare, named = (
            self._read_car(self._between(*texts.values()), usual, day)
            for texts in types_between(car_type)
        )
        place = self._ridge.place_of(usual.numbers["age"], usual.numbers["odometer"])
        adds = {EQUIPMENT: self._ridge.of_equipment(()), **self._ridge.apart(usual)}
        centred = {
            factor: place.times(adds.get(factor, NOTHING)) - hedonic.typical[factor]
            for factor in CENTRED
            if factor in hedonic.typical
        }
        return _Start(bare, named, centred)

    @property
    def km_per_unit(self) -> float:
        """How many km the unit of the market's distances is."""
        return self._model.market.km_per_unit

    @property
    def today(self) -> datetime.date:
        """The valuation date."""
        return self._model.market.valuation_date

    def read(self, listing: Listing) -> tuple[CarType, Car]:
        """Return a listing's type and car as its price reads them."""
        known, _, car = self._car_of(listing)
        self._support.read_at_edges(car)
        return known.car_type, car

    def categories_of(self, listing: Listing) -> Sequence[str]:
        """Return a listing's own categories, in the order of a car's; empty where it has none."""
        return self._listings.categories_of(listing)

    def type_of(self, texts: dict[str, str]) -> CarType:
        """Return the type of texts that were read before; the same one for the same texts."""
        return self._type_of(*texts.items())

    def car_of(self, car_type: CarType, values: CarValues) -> Car:
        """Return a car of values that were read before."""
        return self._cars.car_of(car_type, values)

    def hedonic_price(self, car_type: CarType, car: Car) -> float:
        """Return the ridge's ln(price) of a car, as the trees are given it."""
        worth, support = self._hedonic(car_type)
        numbers = car.numbers
        beyond, _ = self._support.beyond(support, numbers["age"], numbers["odometer"])
        return self._ridge.log_price(worth, car) + beyond

    def subject(self, listing: Listing) -> Subject:
        """Return a listing's car to compare with others, and with itself elsewhere."""
        return self._subject(*self.read(listing))

    def _subject(self, car_type: CarType, car: Car) -> Subject:
        return Subject(car_type, car, self._ridge, self._support, self._hedonic, self._beside)

    def subjects(self, cars: Sequence[tuple[CarType, Car]]) -> Subjects:
        """Return many cars that were read to compare with others."""
        return Subjects(cars, self._ridge, self._support, self._hedonic)

    def kept_prices(self, store: ListingStore, type_at: Callable[[int], CarType]) -> KeptPrices:
        """Return what tells the ridge's ln(price) of kept listings."""
        return KeptPrices(store, type_at, self._cars, self._ridge, self._support, self._hedonic)

    def level_of(self, car_type: CarType) -> float:
        """Return the ridge's ln(price) of a type at seven years and 50,000 km."""
        return self._hedonic(car_type)[0].slopes[0]

    def _look_up_beside(self, own: CarType, other: CarType) -> tuple[Known, Known, Known]:
        """Return what is known of another type, and once it has a type's names, and its variant."""
        types = (other.given, *types_beside(own, other))
        known, bare, named = (
            self._hedonic(own if texts == own.given else self.type_of(texts)) for texts in types
        )
        return known, bare, named

    def _look_up_between(self, *texts: str) -> _KnownType:
        """Return what is known of a type between the usual one and a car's, by its texts."""
        given = dict(zip(TYPE_TEXTS, texts, strict=True))
        return self._known_of(self._cars.type_of(given, math.nan))

    def _usual_for(self, of_type: CarType, has_fitness: bool, has: tuple[bool, ...]) -> Car:
        """Return the usual car with the usual numbers of a car's model, make and fuel.

        It has no category that the car leaves out.
        """
        usual = self._usual
        numbers = usual.numbers | of_type.usual
        if (own := self._model.defaults.car) and has_fitness:
            numbers["fitness_age"] = own.fitness_age.get(
                of_type.texts["fuel"], numbers["fitness_age"]
            )
        both = zip(has, usual.categories, strict=True)
        return Car({}, numbers, [theirs if is_given else "" for is_given, theirs in both], ())

    @cached_property
    def _car_keys(self) -> CarKeys:
        model = self._model
        return CarKeys(model.market, model.reading, reads_variants=model.knows_variants)

    @cached_property
    def _usual(self) -> Car:
        """The market's usual car; in model folders of before, of the age that has its price."""
        model, known = self._model, self._known_of(self._cars.type_of(*read_type(*_NO_NAMES)))
        if usual := model.defaults.car:
            categories = [usual.categories[name] for name in self._cars.categories]
            return self._bare_car(known.car_type, usual.numbers, categories)
        cars = [self._bare_car(known.car_type, {"age": float(age)}) for age in range(_AGES)]
        reads = (self._read_car(known, car, model.market.valuation_date) for car in cars)
        away = [
            abs(one.ridge + residual - model.hedonic.start)
            for one, (residual, _) in self._with_sums(reads)
        ]
        return cars[away.index(min(away))]

    def _bare_car(
        self,
        car_type: CarType,
        numbers: Mapping[str, float],
        categories: Sequence[str] = _NO_CATEGORIES,
    ) -> Car:
        given = {"feature_count": 0.0, "listed": 0.0, **numbers}
        car = self._cars.car_of(car_type, (given, categories, ()))
        if math.isnan(car.numbers["odometer"]):
            car.numbers["odometer"] = USUAL_KM / self._model.market.km_per_unit
        return car

    def _read(self, listing: Listing) -> _Read:
        known, day, car = self._car_of(listing)
        unseen = self._values.unseen_of_car(*map(listing.get, self._car_fields))
        return self._read_car(known, car, day, listing, unseen, self._support.read_at_edges(car))

    def _car_of(self, listing: Listing) -> tuple[_KnownType, datetime.date, Car]:
        """Return what is known of a listing's type, its day, and its car as it is told."""
        known, day = self._known(*map(listing.get, TYPE_FIELDS)), self._listings.day_of(listing)
        values = self._listings.read(listing, day, known.car_type.litres)
        return known, day, self._cars.car_of(known.car_type, values)

    def _read_car(
        self,
        known: _KnownType,
        car: Car,
        day: datetime.date,
        listing: Listing = _NO_LISTING,
        unseen: Unseen = _SEEN,
        variance: float = 0.0,
    ) -> _Read:
        age, odometer = car.numbers["age"], car.numbers["odometer"]
        beyond, of_beyond = self._support.beyond(known.support, age, odometer)
        ridge = self._ridge.log_price(known.worth, car) + beyond
        return _Read(listing, known, car, ridge, variance + of_beyond, day, unseen)

    def _read_features(self, features: Features) -> Iterator[_Read]:
        known_of, day = lru_cache(maxsize=None)(self._known_of), self._model.market.valuation_date
        for car_type, car in self._cars.read(features):
            variance = self._support.read_at_edges(car)
            yield self._read_car(known_of(car_type), car, day, variance=variance)

    def _with_sums(self, reads: Iterator[_Read]) -> Iterator[tuple[_Read, tuple[float, float]]]:
        """Yield what was read with the sums of the trees, which run on some thousands at a time."""
        while some := [*islice(reads, _CHUNK_ROWS)]:
            yield from zip(some, self._trees.of_many(some), strict=True)

    def _look_up(self, make: Any, model: Any, variant: Any, *kind: Any) -> _KnownType:
        read_variant = variant if self._model.knows_variants else None
        read = read_type(make, model, read_variant, *kind, name_of=self._values.name_of)
        car_type, unseen = self._cars.type_of(*read), self._values.unseen_of_type(*kind)
        names = {"make": make, "model": model, "variant": variant}
        cautions = (*self._cautions.of_type(names, car_type), *unseen.cautions)
        return self._known_of(car_type, Unseen(cautions, unseen.variance))

    def _known_of(self, car_type: CarType, unseen: Unseen = _SEEN) -> _KnownType:
        worth, support = self._hedonic(car_type)
        row = self._trees.rows.of_type(car_type, worth.worths)
        variance = self._open.of_type(car_type) + unseen.variance
        shift = 0.0
        if self._correction is not None:
            shift = self._correction.shift_of(car_type.texts["make"])
        return _KnownType(car_type, worth, row, variance, support, unseen.cautions, shift)

    def _correction_of(self, read: _Read) -> Correction | None:
        """Return the model's correction where it is for the day of a listing, or for no day."""
        if self._correction is None:
            return None
        is_for = _is_undated(read) or read.car.given["listed"] >= self._corrected_from
        return self._correction if is_for else None

    def _open_price(self, read: _Read, sums: tuple[float, float]) -> tuple[float, float, float]:
        """Return ln(price), the local scale of its ranges, and the variance of what is open of it.

        The one place where a correction counts.
        """
        residual, log_scale = sums
        log_price, moved = self._support.limited(read.known.support, read.ridge + residual)
        variance = read.known.variance + self._open.of_car(read.car) + read.variance + moved
        variance += read.unseen.variance
        if self._correction is None or not (correction := self._correction_of(read)):
            return log_price, math.exp(log_scale), variance
        factor = correction.scale_at(read.car.given["age"])
        return (
            log_price + _shift_of(read, correction),
            math.exp(log_scale) * factor,
            variance * factor * factor,
        )

    def _outlook(self, read: _Read, sums: tuple[float, float], confidence: float) -> Outlook:
        log_price, scale, variance = self._open_price(read, sums)
        market, age = self._model.support, read.car.given["age"]
        around = self._model.ranges.around(
            log_price,
            scale,
            age,
            variance,
            (market.low, market.high) if read.known.support.is_unseen else None,
        )
        valuation = self._valuation(read, sums, confidence)
        return Outlook(read.listing, valuation, math.exp(log_price), around, age)

    def _log_prices(
        self, read: _Read, sums: tuple[float, float], confidence: float
    ) -> tuple[float, float, float]:
        """Return ln(price) and the ln of both ends of its range."""
        support = read.known.support
        log_price, scale, variance = self._open_price(read, sums)
        offsets = self._ranges(confidence)
        low, high = offsets.of(scale, read.car.given["age"], variance)
        if not support.is_unseen:
            return log_price, log_price + low, log_price + high
        least, most = self._of_market(confidence)
        return log_price, min(log_price + low, least), max(log_price + high, most)

    def _valuation(self, read: _Read, sums: tuple[float, float], confidence: float) -> Valuation:
        price, low, high = map(math.exp, self._log_prices(read, sums, confidence))
        known, car, log_price = read.known, read.car, read.ridge + sums[0]
        cautions = (
            *known.cautions,
            *read.unseen.cautions,
            *self._cautions.of_car(read.listing, car, read.day),
        )
        least, most = known.support.log_price
        if read.variance or not least <= log_price <= most:
            told = {caution.field for caution in cautions}
            cautions += (*self._support.cautions(known.support, car, log_price, told),)
        return Valuation(cents(price), cents(low), cents(high), read.day, cautions)


class _Trees:
    """Both ensembles of trees, of ln(price) and of the error's size; they read the same row."""

    def __init__(self, model: "PriceModel") -> None:
        self.rows = TreeRows(model.encoder)
        self._booster, self._both = model.booster, Joined(model.booster, model.scale)
        self._share, self._start = model.direct_share, model.hedonic.start
        matrix = np.zeros((1, self.rows.columns), dtype=np.float32)
        self._row = matrix.data.cast("B").cast("f")
        self._sums = self._both.bound_to(matrix)
        self._lock = Lock()

    def of_one(self, read: _Read) -> tuple[float, float]:
        """Return what is added to the ridge's ln(price), and the ln of the error's size."""
        with self._lock:
            self.rows.write(self._row, read.known.row, read.ridge, read.car)
            booster, scale = self._sums()
        return booster + self._share * (self._start - read.ridge), scale

    def of_many(self, read: Sequence[_Read]) -> Iterator[tuple[float, float]]:
        """Return the same of each of many cars; the trees run once over all of them."""
        added, scales = self._both.predict(self._matrix(read))
        return zip(self._residuals(added, read), scales.tolist(), strict=True)

    def of_moved(self, read: Sequence[_Read]) -> Iterator[tuple[float, float]]:
        """Return the same of a car at some ages and distances."""
        ridges, cars = [one.ridge for one in read], [one.car for one in read]
        added, scales = self._both.predict(self.rows.moved(read[0].known.row, ridges, cars))
        return zip(self._residuals(added, read), scales.tolist(), strict=True)

    def residuals(self, read: Sequence[_Read]) -> Iterator[float]:
        """Return what is added to the ridge's ln(price) of each of many cars."""
        return self._residuals(self._booster.predict(self._matrix(read)), read)

    def _matrix(self, read: Sequence[_Read]) -> Matrix:
        return self.rows.matrix(((one.known.row, one.ridge, one.car) for one in read), len(read))

    def _residuals(self, sums: Floats, read: Sequence[_Read]) -> Iterator[float]:
        for added, one in zip(sums.tolist(), read, strict=True):
            yield added + self._share * (self._start - one.ridge)


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
            VARIANT: known["word"] and (is_unseen or not has_detail(texts["model_variant"])),
            POWERTRAIN: "" in [texts[name] for name in self._asked],
        }
        return sum(self._spread[factor] for factor, whether in is_open.items() if whether)

    def of_car(self, car: Car) -> float:
        """Return what unknown owners, distance and own columns leave open, where filled."""
        variance = 0.0
        for number, factor in (("ownership", "owners"), ("odometer", "distance")):
            if number not in car.given and not math.isnan(car.numbers[number]):
                variance += self._spread[factor]
        if car.lacks_own:
            variance += self._spread[OWN]
        return variance


def cents(price: float) -> float:
    """Return a price as answers have it."""
    return round(price * 100) / 100


def _is_undated(read: _Read) -> bool:
    return read.car.given["listed"] == 0.0 and read.listing.get("listed_on") is None


def _shift_of(read: _Read, correction: Correction) -> float:
    """Return what a correction adds to ln(price) of a car that it is for."""
    return read.known.shift + (correction.undated if _is_undated(read) else 0.0)
