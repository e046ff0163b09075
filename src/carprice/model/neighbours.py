"""Finds the listings that are like a car: those of its model first, the likest first.

How far a listing is from a car is told in what the ridge says that the difference is worth, as a
share of the price, and in some per cent for what the ridge knows little of: see :data:`LIKENESS`.
All of that is of arrays, and of a few hundred to thousands of listings about the car's age and
distance, whichever number the model has.
"""

import datetime
import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from carprice.arrays import Codes, Floats
from carprice.listings.features import LISTED_YEARS
from carprice.listings.keys import DetailKey, has_detail
from carprice.model.car import Car, CarType
from carprice.model.learned import names_a_car
from carprice.model.listing_store import (
    DAYS_A_YEAR,
    NO_OWNERS,
    NOT_KEPT,
    ListingStore,
    Records,
)
from carprice.model.subject import Subject

if TYPE_CHECKING:
    from carprice.model.pricer import Listing, Pricer

LIKENESS: Final = {
    "trim": 0.03,
    "variant": 0.02,
    "fuel": 0.10,
    "transmission": 0.06,
    "body": 0.06,
    "drive": 0.04,
    "other model": 0.15,
    "year": 0.02,
    "10,000 km": 0.01,
    "distance unknown": 0.05,
    "engine": 0.3,
    "year between the listings": 0.03,
}
"""What is added to the ridge's difference: for another text of a type, for another model, for each
year of age, for each 10,000 km, where one of two distances is not known, times |ln| of the ratio of
the litres and of the powers, and for each year between the days of the listings."""
REACH: Final = 0.6
"""A listing that is farther than this is not like the car."""
FEW: Final = 5
"""With fewer listings of its model, a car is compared with others of its make too."""
_KINDS: Final = ("fuel", "transmission", "body", "drive")
_OTHER_MODELS: Final = 3
_MOST_AT_ONCE: Final = 4_000
_MOST_OF_AN_AGE: Final = 1_000
_YEARS: Final = 10
_ALWAYS_KEPT: Final = frozenset({"age", "listed", "odometer", "ownership"})
_KNOTS: Final = 9
_KEPT_TYPES: Final = 8_192
_KEPT_NUMBERS: Final = 4_096
_KEPT_APART: Final = 1_024
_LAST_DAY: Final = datetime.date.max.toordinal()


Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Near:
    """The likest listings, and how far each is from the car: its model's first, each by likeness.

    Attributes
    ----------
    rows : their places in the store.
    of_model : how many listings of the car's model are kept.
    left_out : how many listings are not among them since they may be of the car itself.
    """

    rows: Codes
    distances: Floats
    of_model: int
    left_out: int


class Kept(NamedTuple):
    """A listing as it is kept, read as a car; what is not kept of it is as the other car has it.

    Attributes
    ----------
    names : make, model, trim and variant.
    day : when it was listed; the valuation date where that is not known.
    year : the model year; None for a car of no age, which may be of the next year's model.
    """

    price: float
    names: tuple[str, str, str, str]
    car_type: CarType
    car: Car
    day: datetime.date
    year: int | None


class Neighbours:
    """Finds listings that are like a car, and reads them."""

    def __init__(self, store: ListingStore, pricer: "Pricer") -> None:
        self.store, self.pricer = store, pricer
        self.km_per_unit, self._today = pricer.km_per_unit, pricer.today.toordinal()
        self._type_at = lru_cache(maxsize=_KEPT_TYPES)(
            lambda code: (pricer.type_of(store.texts_of(code)), store.names_of(code))
        )
        self.apart = lru_cache(maxsize=_KEPT_APART)(self._between_types)
        self._starts_of = lru_cache(maxsize=_KEPT_APART)(self._find_starts)
        self._ranges_of = lru_cache(maxsize=_KEPT_APART)(self._find_ranges)
        self._is_crowded = lru_cache(maxsize=_KEPT_APART)(self._find_crowded)
        self.distances_in = lru_cache(maxsize=_KEPT_APART)(self._find_distances)
        self.kept_prices = pricer.kept_prices(store, lambda code: self._type_at(code)[0])
        self._numbers_at = lru_cache(maxsize=_KEPT_NUMBERS)(store.numbers_of)
        self._texts_at = lru_cache(maxsize=_KEPT_NUMBERS)(
            lambda row: tuple(column[row] for column in store.categories.values())
        )
        self._day_at = lru_cache(maxsize=_KEPT_NUMBERS)(
            lambda days: datetime.date.fromordinal(min(max(self._today + days, 1), _LAST_DAY))
        )
        self._kept = _ALWAYS_KEPT | store.numbers.keys()

    def near(self, subject: Subject, count: int, listing: "Listing | None" = None) -> Near:
        """Return the listings that are likest to a car, ``count`` at most; its model's first.

        Parameters
        ----------
        listing : as the car was read from; with it, what may be a listing of the car itself is left
            out, by the rule of :mod:`carprice.model.learned`.
        """
        own, store = subject.car_type.texts["model"], self.store
        none, left_out = (np.zeros(0, dtype=np.intp), np.zeros(0)), 0
        found = [none]
        if own in store.places:
            near = self._of_model(own, subject)
            if listing is not None:
                itself = self.itself(near, subject.car_type, subject.car, listing, count)
                left_out = len(itself)
                near = np.delete(near[0], itself), np.delete(near[1], itself)
            found = [_nearest(*near, count)]
        if len(found[0][0]) < min(FEW, count):
            others = self.models_like(own, subject.car_type)
            found += [_nearest(*self._of_model(one, subject), count) for one in others]
        if len(found) > 1:
            rows, distances = (np.concatenate(each) for each in zip(*found, strict=True))
            is_other = np.repeat(np.arange(len(found)) > 0, [len(each) for each, _ in found])
            first = np.lexsort((rows, distances, is_other))[:count]
        else:
            ((rows, distances),) = found
            first = np.lexsort((rows, distances))[:count]
        of_model = store.models.get(own, (0, 0))[1]
        return Near(rows[first], distances[first], of_model, left_out)

    def read(self, rows: Codes, other: Car) -> list[Kept]:
        """Read listings of the store as cars that are beside another one."""
        beside = {name: other.given[name] for name in other.given.keys() - self._kept}
        records = self.store.records.take(rows).tolist()
        return [self._read(record, other, beside) for record in records]

    def _read(self, record: tuple[Any, ...], other: Car, beside: Mapping[str, float]) -> Kept:
        price, odometer, code, days, numbers, categories, age, owners = record
        car_type, names = self._type_at(code)
        given = {"age": float(age), "listed": min(max(days / DAYS_A_YEAR, LISTED_YEARS[0]), 2.0)}
        if not math.isnan(odometer):
            given["odometer"] = odometer
        if owners != NO_OWNERS:
            given["ownership"] = float(owners)
        if numbers == NOT_KEPT:
            beside = {name: other.given[name] for name in other.given.keys() - _ALWAYS_KEPT}
        else:
            given |= self._numbers_at(numbers)
        texts = other.categories if categories == NOT_KEPT else self._texts_at(categories)
        values = ({**beside, **given}, texts, other.equipment)
        day = self._day_at(days)
        year = day.year - age if age else None
        return Kept(price, names, car_type, self.pricer.car_of(car_type, values), day, year)

    def itself(
        self,
        near: tuple[Codes, Floats],
        car_type: CarType,
        car: Car,
        listing: "Listing",
        count: int,
    ) -> list[int]:
        """Return which of some listings of a car's model may be of the car itself.

        Where the odometer names a car, those are all of its year and distance. Else it is the
        likest one, of those that would be told, that is the same in all that both tell: one car
        has one listing.
        """
        rows, distances = near
        distance = car.given.get("odometer", math.nan)
        theirs = self.store.records["odometer"][rows]
        is_alike = np.isnan(theirs) if math.isnan(distance) else np.rint(theirs) == round(distance)
        is_named, year = names_a_car(distance), listing["year"]
        if len(rows) > count and not is_named:
            is_alike &= distances <= np.partition(distances, count)[count]
        alike = np.flatnonzero(is_alike)
        found: list[int] = []
        for place in alike[np.argsort(distances[alike], kind="stable")].tolist():
            (kept,) = self.read(rows[place : place + 1], car)
            if not (year >= kept.day.year if kept.year is None else year == kept.year):
                continue
            if is_named:
                found.append(place)
            elif _may_be(kept, car_type, car, self.pricer.categories_of(listing)):
                return [place]
        return found

    def models_like(self, own: str, car_type: CarType) -> list[str]:
        """Return the few other models of the make whose level of prices is nearest."""
        store, level = self.store, self.pricer.level_of(car_type)
        others = [one for one in store.by_make.get(car_type.texts["make"], ()) if one != own]

        def apart(model: str) -> float:
            return abs(float(store.levels[store.places[model][0]].mean()) - level)

        return sorted(others, key=apart)[:_OTHER_MODELS]

    def _of_model(self, model: str, subject: Subject) -> tuple[Codes, Floats]:
        """Return the listings of a model that are within reach."""
        car = subject.car
        types, _ = self.store.places[model]
        records, ranges = self.store.records, self.ranges_about(model, car)
        rows = rows_of(ranges)
        if not len(rows):
            return rows, np.zeros(0)
        # To take rows is many times as fast as records[rows].
        some = records[slice(*ranges[0])] if len(ranges) == 1 else records.take(rows)
        of_types = self.apart(model, subject.car_type)
        square = of_types[some["type"] - np.uint32(types.start)] ** 2
        square += self._by_age(some, subject) ** 2
        square += self._by_distance(some, subject) ** 2
        square += self._by_engine(some, car) ** 2
        years = some["listed"] / DAYS_A_YEAR - car.numbers["listed"]
        square += (LIKENESS["year between the listings"] * years) ** 2
        near = np.flatnonzero(square <= REACH**2)
        return rows[near], np.sqrt(square[near])

    def ranges_about(self, model: str, car: Car) -> Ranges:
        """Return where listings about a car begin and end: of its age, of many of its distance."""
        age, distance = round(car.numbers["age"]), car.numbers["odometer"]
        if self._is_crowded(model):
            return self._find_ranges(model, age, distance)
        return self._ranges_of(model, age)

    def _find_ranges(self, model: str, age: int, distance: float = math.nan) -> Ranges:
        starts, left, found = self._starts_of(model), _MOST_AT_ONCE, []
        oldest = len(starts) - 2
        for year in _outward(age, _YEARS):
            if year > oldest:
                continue
            start, end = starts[year : year + 2]
            if end - start > _MOST_OF_AN_AGE:
                middle = (start + end) // 2
                if not math.isnan(distance):
                    middle = bisect_left(self.store.records["odometer"], distance, start, end)
                start = min(max(middle - _MOST_OF_AN_AGE // 2, start), end - _MOST_OF_AN_AGE)
                end = start + _MOST_OF_AN_AGE
            if end > start:
                found.append((start, end))
            left -= end - start
            if left <= 0:
                break
        return joined_ranges(found)

    def _find_distances(self, ranges: Ranges) -> tuple[float, float]:
        """Return the least and the most distance of some listings; NaN where none is known."""
        km = self.store.records["odometer"][rows_of(ranges)]
        if not len(km):
            return math.nan, math.nan
        return float(np.fmin.reduce(km)), float(np.fmax.reduce(km))

    def _find_starts(self, model: str) -> list[int]:
        """Return where the listings of a model of each age begin, and where the oldest end."""
        _, listings = self.store.places[model]
        ages = self.store.records["age"][listings]
        edges = np.searchsorted(ages, np.arange(int(ages[-1]) + 2))
        return [listings.start + edge for edge in edges.tolist()]

    def _find_crowded(self, model: str) -> bool:
        """Return whether a model has an age of so many listings that the distance chooses."""
        starts = self._starts_of(model)
        return any(end - start > _MOST_OF_AN_AGE for start, end in pairwise(starts))

    def _between_types(self, model: str, car_type: CarType) -> Floats:
        """Return how far each type of a model is from a car's."""
        store, own = self.store, car_type.given
        types, _ = store.places[model]
        apart = np.abs(store.levels[types] - self.pricer.level_of(car_type))
        texts = {name: own[name] for name in _KINDS}
        if model == own["model"]:
            details = {
                name: DetailKey.read(own[f"model_{name}"]).detail for name in ("trim", "variant")
            }
            texts |= details
        else:
            apart += LIKENESS["other model"]
        for column, text in texts.items():
            if text:
                apart += LIKENESS[column] * ~store.has(column, text, types)
        return apart

    def _by_age(self, some: Records, subject: Subject) -> Floats:
        """Return what the ridge says of other ages of the car, and of each year."""
        ages, own = some["age"], subject.car.numbers["age"]
        distance = subject.car.numbers["odometer"]
        apart = np.zeros(256)
        for age in np.flatnonzero(np.bincount(ages, minlength=1)).tolist():
            if age != own:
                worth = abs(subject.price_at(float(age), distance) - subject.log_price)
                apart[age] = worth + LIKENESS["year"] * abs(age - own)
        return np.asarray(apart[ages])

    def _by_distance(self, some: Records, subject: Subject) -> Floats:
        """Return what the ridge says of other distances of the car, and of each 10,000 km."""
        car = subject.car
        km, own = some["odometer"].astype(np.float64), car.numbers["odometer"]
        least, most = float(np.fmin.reduce(km)), float(np.fmax.reduce(km))  # but for NaN
        if math.isnan(own) or math.isnan(least):
            return np.zeros(len(km))
        step = (most - least) / (_KNOTS - 1)
        knots = sorted([*(least + place * step for place in range(_KNOTS - 1)), most, own])
        worths = [subject.price_at(car.numbers["age"], knot) for knot in knots]
        apart = np.abs(np.interp(km, knots, worths) - subject.log_price)
        unknown = 0.0
        if "odometer" in car.given:
            apart += np.abs(km - own) * (LIKENESS["10,000 km"] * self.km_per_unit / 10_000)
            unknown = LIKENESS["distance unknown"]
        apart[np.isnan(km)] = unknown
        return apart

    def _by_engine(self, some: Records, car: Car) -> Floats:
        """Return how far the litres and the powers are, where both cars' are known."""
        apart = np.zeros(len(some))
        for name, logs in self.store.logs.items():
            own = car.given.get(name, 0.0)
            if own > 0:
                rows = np.minimum(some["numbers"], len(logs) - 1)
                theirs = np.maximum(logs[rows], math.log(own / 20))
                apart += LIKENESS["engine"] * np.fmax(np.abs(theirs - math.log(own)), 0.0)
        return apart


def _may_be(kept: Kept, car_type: CarType, car: Car, own_categories: Sequence[str]) -> bool:
    """Whether a listing is the same as a car in all that is kept of it and that both tell."""
    for name, number in kept.car.given.items():
        own = car.given.get(name)
        is_told = name in ("age", "listed", "odometer")  # by the year, and to the whole km
        if not is_told and own is not None and not math.isclose(own, number, rel_tol=1e-6):
            return False
    texts = zip(_told(car_type), _told(kept.car_type), strict=True)
    categories = zip(own_categories, kept.car.categories, strict=True)
    return all(own == theirs or not own or not theirs for own, theirs in (*texts, *categories))


def _told(car_type: CarType) -> Iterator[str]:
    """Yield what is told of a type's details, each empty where it is not."""
    given = car_type.given
    for name in ("model_trim", "model_variant"):
        yield given[name] if has_detail(given[name]) else ""
    for name in (*_KINDS, "gear"):
        yield given[name]


def _nearest(rows: Codes, distances: Floats, count: int) -> tuple[Codes, Floats]:
    """Return the nearest of some listings, ``count`` at most, and all as near as the last one."""
    if len(rows) <= count:
        return rows, distances
    near = np.flatnonzero(distances <= np.partition(distances, count - 1)[count - 1])
    return rows[near], distances[near]


def rows_of(ranges: Ranges) -> Codes:
    """Return the places of listings that begin and end somewhere."""
    parts = [np.arange(start, end, dtype=np.intp) for start, end in ranges]
    return parts[0] if len(parts) == 1 else np.concatenate((np.zeros(0, dtype=np.intp), *parts))


def joined_ranges(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Return ranges in order, those that touch or overlap as one.

    Examples
    --------
    >>> joined_ranges([(4, 6), (0, 2), (1, 4), (7, 9)])
    ((0, 6), (7, 9))
    """
    found = list[tuple[int, int]]()
    for one in sorted(ranges):
        if found and found[-1][1] >= one[0]:
            found[-1] = found[-1][0], max(found[-1][1], one[1])
        else:
            found.append(one)
    return tuple(found)


def _outward(age: int, years: int) -> Iterator[int]:
    """Yield an age and those about it, the nearest first.

    Examples
    --------
    >>> [*_outward(1, 2)]
    [1, 0, 2, 3]
    """
    for away in range(years + 1):
        yield from (one for one in dict.fromkeys((age - away, age + away)) if one >= 0)
