"""Finds the listings that are like a car: those of its model first, the likest first.

How far a listing is from a car is told in what the ridge says that the difference is worth, as a
share of the price, and in some per cent for what the ridge knows little of: see :data:`LIKENESS`.
All of that is of arrays, and of a few hundred to thousands of listings about the car's age and
distance, whichever number the model has.
"""

import datetime
import math
from bisect import bisect_left
from collections import defaultdict
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
from carprice.model.many_cars import Subjects, TypedCar
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
_PAIRS_AT_ONCE: Final = 60_000
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


class NearAll(NamedTuple):
    """The likest listings of many cars, each car's beside each other in the order of :class:`Near`.

    Attributes
    ----------
    place : of the car that a listing is near to.
    rows : the listing's place in the store.
    log_prices : the ridge's, of each car that a listing is near to.
    """

    place: Codes
    rows: Codes
    log_prices: Floats


class _About(NamedTuple):
    """Listings of a model, ``rows`` of the store; ``ages`` and the like are the different ones."""

    model: str
    rows: Codes
    types: Codes
    type_of: Codes
    ages: Floats
    age_of: Codes
    numbers: Codes
    numbers_of: Codes
    km: Floats
    years: Floats


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
        self._store, self._pricer = store, pricer
        self._km, self._today = pricer.km_per_unit, pricer.today.toordinal()
        self._type_at = lru_cache(maxsize=_KEPT_TYPES)(
            lambda code: (pricer.type_of(store.texts_of(code)), store.names_of(code))
        )
        self._apart = lru_cache(maxsize=_KEPT_APART)(self._between_types)
        self._starts_of = lru_cache(maxsize=_KEPT_APART)(self._find_starts)
        self._ranges_of = lru_cache(maxsize=_KEPT_APART)(self._find_ranges)
        self._is_crowded = lru_cache(maxsize=_KEPT_APART)(self._find_crowded)
        self._prices = pricer.kept_prices(store, lambda code: self._type_at(code)[0])
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
        own, store = subject.car_type.texts["model"], self._store
        none, left_out = (np.zeros(0, dtype=np.intp), np.zeros(0)), 0
        found = [none]
        if own in store.places:
            near = self._of_model(own, subject)
            if listing is not None:
                itself = self._itself(near, subject.car_type, subject.car, listing, count)
                left_out = len(itself)
                near = np.delete(near[0], itself), np.delete(near[1], itself)
            found = [_nearest(*near, count)]
        if len(found[0][0]) < min(FEW, count):
            others = self._like(own, subject.car_type)
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

    def near_all(
        self, cars: Sequence[TypedCar], listings: "Sequence[Listing]", count: int
    ) -> NearAll:
        """Return what :meth:`near` does of each of many cars; all are looked at together.

        Parameters
        ----------
        cars, listings : as the pricer reads them, and what they were read from.
        """
        models = [car_type.texts["model"] for car_type, _ in cars]
        own = [(model, place) for place, model in enumerate(models) if model in self._store.places]
        log_prices = np.full(len(cars), np.nan)
        of_own = self._nearest_of_all(own, cars, listings, count, log_prices)
        found = np.bincount(of_own[0], minlength=len(cars))
        others = [
            (model, place)
            for place in np.flatnonzero(found < min(FEW, count)).tolist()
            for model in self._like(models[place], cars[place][0])
        ]
        of_others = self._nearest_of_all(others, cars, None, count, log_prices)
        both = zip(of_own, of_others, strict=True)
        place, rows, distances = (np.concatenate(each) for each in both)
        is_other = np.arange(len(place)) >= len(of_own[0])
        order = np.lexsort((rows, distances, is_other, place))
        place, rows = place[order], rows[order]
        start = np.searchsorted(place, place)
        is_first = np.arange(len(place)) - start < count
        return NearAll(place[is_first], rows[is_first], log_prices)

    def _nearest_of_all(
        self,
        asked: Sequence[tuple[str, int]],
        cars: Sequence[TypedCar],
        listings: "Sequence[Listing] | None",
        count: int,
        log_prices: Floats,
    ) -> tuple[Codes, Codes, Floats]:
        """Return the nearest listings of models, ``count`` at most of each and all as near.

        Parameters
        ----------
        asked : a model and the place of a car.
        listings : what the cars were read from, whose own listings are left out then.
        log_prices : of the cars; those of which something is asked are written.

        Returns
        -------
        tuple
            The place of a car, a row that is near to it, and its distance.
        """
        groups = defaultdict[tuple[str, Ranges], list[int]](list)
        for model, place in asked:
            groups[model, self._ranges(model, cars[place][1])].append(place)
        found = [(np.zeros(0, np.intp), np.zeros(0, np.intp), np.zeros(0))]
        for (model, ranges), places in groups.items():
            about = self._about_many(model, ranges)
            if about is None:
                continue
            places.sort(key=lambda place: cars[place][1].numbers["age"])
            at_once = max(_PAIRS_AT_ONCE // len(about.rows), 1)
            for start in range(0, len(places), at_once):
                some = np.array(places[start : start + at_once])
                own = [cars[place] for place in some.tolist()]
                itself = [listings[place] for place in some.tolist()] if listings else None
                subjects = self._pricer.subjects(own)
                log_prices[some] = subjects.log_prices
                for near, rows, distances in self._search(about, subjects, itself, count):
                    found.append((some[near], rows, distances))
        parts = zip(*found, strict=True)
        of_car, rows, distances = (np.concatenate(each) for each in parts)
        return of_car, rows, distances

    def _search(
        self,
        about: _About,
        subjects: Subjects,
        listings: "Sequence[Listing] | None",
        count: int,
    ) -> Iterator[tuple[Codes, Codes, Floats]]:
        """Yield what is nearest to cars of like ages; first among listings of about their ages.

        What is farther than the nearest of these by its age alone is not looked at.
        """
        by_age = self._all_by_age(about.ages, subjects)
        least, most = subjects.ages.min() - 1, subjects.ages.max() + 1
        is_close = (about.ages >= least) & (about.ages <= most)
        left = np.arange(len(subjects.cars))
        if not is_close.all() and is_close.any():
            columns = np.flatnonzero(is_close[about.age_of])
            distances = self._distances(about, columns, subjects, by_age)
            self._leave_out(about.rows[columns], distances, subjects, listings, count)
            edge = np.full(len(left), np.inf)
            if len(columns) > count:
                edge = np.partition(distances, count)[:, count]
            nearest = by_age[:, ~is_close].min(axis=1)
            is_done = np.minimum(edge, REACH) < nearest
            done = np.flatnonzero(is_done)
            places, rows, near = _nearest_of_each(about.rows[columns], distances[done], count)
            yield done[places], rows, near
            left = np.flatnonzero(~is_done)
        if len(left):
            subjects, columns = subjects.take(left), np.arange(len(about.rows))
            distances = self._distances(about, columns, subjects, by_age[left])
            own = None if listings is None else [listings[place] for place in left.tolist()]
            self._leave_out(about.rows, distances, subjects, own, count)
            places, rows, near = _nearest_of_each(about.rows, distances, count)
            yield left[places], rows, near

    def adjusted_prices(self, near: NearAll, cars: Sequence[TypedCar]) -> Floats:
        """Return the price of each listing that is near to one of many cars, brought to it."""
        place, rows, beside = near.place, near.rows, [car for _, car in cars]
        is_told = self._prices.are_told(rows, beside, place)
        logs = np.zeros(len(rows))
        logs[is_told] = self._prices.of(rows[is_told], beside, place[is_told])
        for one in np.flatnonzero(~is_told).tolist():
            (kept,) = self.read(rows[one : one + 1], beside[place[one]])
            logs[one] = self._pricer.hedonic_price(kept.car_type, kept.car)
        prices: Floats = self._store.records["price"][rows]
        return prices * np.exp(near.log_prices[place] - logs)

    def _about_many(self, model: str, ranges: Ranges) -> _About | None:
        rows = _rows_of(ranges)
        if not len(rows):
            return None
        some = self._store.records.take(rows)
        types, type_of = np.unique(some["type"].astype(np.intp), return_inverse=True)
        ages, age_of = np.unique(some["age"].astype(np.float64), return_inverse=True)
        numbers, numbers_of = np.unique(some["numbers"], return_inverse=True)
        km, years = some["odometer"].astype(np.float64), some["listed"] / DAYS_A_YEAR
        return _About(model, rows, types, type_of, ages, age_of, numbers, numbers_of, km, years)

    def _distances(
        self, about: _About, columns: Codes, subjects: Subjects, by_age: Floats
    ) -> Floats:
        """Return how far listings of a model are from cars, a row a car; infinite beyond reach.

        Parameters
        ----------
        columns : which of the listings.
        by_age : how far each age is.
        """
        first = self._store.places[about.model][0].start
        own = {car_type: self._apart(about.model, car_type) for car_type, _ in subjects.cars}
        of_types = np.array([own[car_type][about.types - first] for car_type, _ in subjects.cars])
        square = (of_types**2)[:, about.type_of[columns]]
        square += (by_age**2)[:, about.age_of[columns]]
        square += self._all_by_distance(about.km, columns, subjects) ** 2
        square += (self._all_by_engine(about.numbers, subjects) ** 2)[:, about.numbers_of[columns]]
        years = about.years[columns] - subjects.listed[:, None]
        years *= LIKENESS["year between the listings"]
        square += np.square(years, out=years)
        square[square > REACH**2] = np.inf
        return np.asarray(np.sqrt(square, out=square))

    def _leave_out(
        self,
        rows: Codes,
        distances: Floats,
        subjects: Subjects,
        listings: "Sequence[Listing] | None",
        count: int,
    ) -> None:
        """Take listings that may be of the cars themselves out of reach."""
        if listings is None:
            return
        cars = subjects.cars
        own = [car.given.get("odometer", math.nan) for _, car in cars]
        whole = np.round(np.array(own, dtype=np.float32))[:, None]
        theirs = np.rint(self._store.records["odometer"][rows])
        is_alike = (theirs == whole) | (np.isnan(theirs) & np.isnan(whole))
        for place in np.flatnonzero((is_alike & np.isfinite(distances)).any(axis=1)).tolist():
            near = np.flatnonzero(np.isfinite(distances[place]))
            of_one = rows[near], distances[place, near]
            itself = self._itself(of_one, *cars[place], listings[place], count)
            distances[place, near[itself]] = np.inf

    def _all_by_age(self, ages: Floats, subjects: Subjects) -> Floats:
        """Return what :meth:`_by_age` does of each of some ages, a row a car."""
        own = subjects.ages[:, None]
        worth = subjects.prices_at(ages[None, :], subjects.odometers[:, None])
        apart = np.abs(worth - subjects.log_prices[:, None])
        apart += LIKENESS["year"] * np.abs(ages - own)
        return np.where(ages == own, 0.0, apart)

    def _all_by_distance(self, every_km: Floats, columns: Codes, subjects: Subjects) -> Floats:
        """Return what :meth:`_by_distance` does, a row a car."""
        km, own = every_km[columns], subjects.odometers[:, None]
        apart = np.zeros((len(own), len(km)))
        least, most = float(np.fmin.reduce(every_km)), float(np.fmax.reduce(every_km))
        if math.isnan(least):
            return apart
        step = (most - least) / (_KNOTS - 1)
        shared = [*(least + place * step for place in range(_KNOTS - 1)), most]
        knots = np.sort(np.column_stack((np.tile(shared, (len(own), 1)), own)))
        worths = subjects.prices_at(subjects.ages[:, None], knots)
        for row, *of_one in zip(apart, knots, worths, strict=True):
            row[:] = np.interp(km, *of_one)
        apart -= subjects.log_prices[:, None]
        np.abs(apart, out=apart)
        is_told = np.array([["odometer" in car.given] for _, car in subjects.cars])
        a_km = LIKENESS["10,000 km"] * self._km / 10_000
        away = km - own
        np.abs(away, out=away)
        away *= np.where(is_told, a_km, 0.0)
        apart += away
        unknown = np.where(is_told, LIKENESS["distance unknown"], 0.0)
        apart = np.where(np.isnan(km), unknown, apart)
        return np.where(np.isnan(own), 0.0, apart)

    def _all_by_engine(self, numbers: Codes, subjects: Subjects) -> Floats:
        """Return what :meth:`_by_engine` does of some rows of numbers, a row a car."""
        apart = np.zeros((len(subjects.cars), len(numbers)))
        for name, logs in self._store.logs.items():
            own = np.array([[car.given.get(name, 0.0)] for _, car in subjects.cars])
            theirs = logs[np.minimum(numbers, len(logs) - 1)]
            is_known = own > 0
            log = np.log(own, out=np.zeros_like(own), where=is_known)
            theirs = np.maximum(theirs, log - math.log(20))
            apart += np.where(
                is_known, LIKENESS["engine"] * np.fmax(np.abs(theirs - log), 0.0), 0.0
            )
        return apart

    def read(self, rows: Codes, other: Car) -> list[Kept]:
        """Read listings of the store as cars that are beside another one."""
        beside = {name: other.given[name] for name in other.given.keys() - self._kept}
        records = self._store.records.take(rows).tolist()
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
        return Kept(price, names, car_type, self._pricer.car_of(car_type, values), day, year)

    def _itself(
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
        theirs = self._store.records["odometer"][rows]
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
            elif _may_be(kept, car_type, car, self._pricer.categories_of(listing)):
                return [place]
        return found

    def _like(self, own: str, car_type: CarType) -> list[str]:
        """Return the few other models of the make whose level of prices is nearest."""
        store, level = self._store, self._pricer.level_of(car_type)
        others = [one for one in store.by_make.get(car_type.texts["make"], ()) if one != own]

        def apart(model: str) -> float:
            return abs(float(store.levels[store.places[model][0]].mean()) - level)

        return sorted(others, key=apart)[:_OTHER_MODELS]

    def _of_model(self, model: str, subject: Subject) -> tuple[Codes, Floats]:
        """Return the listings of a model that are within reach."""
        car = subject.car
        types, _ = self._store.places[model]
        records, ranges = self._store.records, self._ranges(model, car)
        rows = _rows_of(ranges)
        if not len(rows):
            return rows, np.zeros(0)
        # To take rows is many times as fast as records[rows].
        some = records[slice(*ranges[0])] if len(ranges) == 1 else records.take(rows)
        of_types = self._apart(model, subject.car_type)
        square = of_types[some["type"] - np.uint32(types.start)] ** 2
        square += self._by_age(some, subject) ** 2
        square += self._by_distance(some, subject) ** 2
        square += self._by_engine(some, car) ** 2
        years = some["listed"] / DAYS_A_YEAR - car.numbers["listed"]
        square += (LIKENESS["year between the listings"] * years) ** 2
        near = np.flatnonzero(square <= REACH**2)
        return rows[near], np.sqrt(square[near])

    def _ranges(self, model: str, car: Car) -> Ranges:
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
                    middle = bisect_left(self._store.records["odometer"], distance, start, end)
                start = min(max(middle - _MOST_OF_AN_AGE // 2, start), end - _MOST_OF_AN_AGE)
                end = start + _MOST_OF_AN_AGE
            if end > start:
                found.append((start, end))
            left -= end - start
            if left <= 0:
                break
        return _joined(found)

    def _find_starts(self, model: str) -> list[int]:
        """Return where the listings of a model of each age begin, and where the oldest end."""
        _, listings = self._store.places[model]
        ages = self._store.records["age"][listings]
        edges = np.searchsorted(ages, np.arange(int(ages[-1]) + 2))
        return [listings.start + edge for edge in edges.tolist()]

    def _find_crowded(self, model: str) -> bool:
        """Return whether a model has an age of so many listings that the distance chooses."""
        starts = self._starts_of(model)
        return any(end - start > _MOST_OF_AN_AGE for start, end in pairwise(starts))

    def _between_types(self, model: str, car_type: CarType) -> Floats:
        """Return how far each type of a model is from a car's."""
        store, own = self._store, car_type.given
        types, _ = store.places[model]
        apart = np.abs(store.levels[types] - self._pricer.level_of(car_type))
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
            apart += np.abs(km - own) * (LIKENESS["10,000 km"] * self._km / 10_000)
            unknown = LIKENESS["distance unknown"]
        apart[np.isnan(km)] = unknown
        return apart

    def _by_engine(self, some: Records, car: Car) -> Floats:
        """Return how far the litres and the powers are, where both cars' are known."""
        apart = np.zeros(len(some))
        for name, logs in self._store.logs.items():
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


def _nearest_of_each(rows: Codes, distances: Floats, count: int) -> tuple[Codes, Codes, Floats]:
    """Return the same of each of some cars, a row of distances each; infinite ones are not near.

    Returns
    -------
    tuple
        The place of a car, a row that is near to it, and its distance.
    """
    edge = np.full((len(distances), 1), np.nextafter(np.inf, 0))
    if len(rows) > count:
        edge = np.minimum(np.partition(distances, count - 1)[:, count - 1 : count], edge)
    places, columns = np.nonzero(distances <= edge)
    return places, rows[columns], distances[places, columns]


def _rows_of(ranges: Ranges) -> Codes:
    parts = [np.arange(start, end, dtype=np.intp) for start, end in ranges]
    return parts[0] if len(parts) == 1 else np.concatenate((np.zeros(0, dtype=np.intp), *parts))


def _joined(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Return ranges in order, those that touch as one.

    Examples
    --------
    >>> _joined([(4, 6), (0, 2), (2, 4), (7, 9)])
    ((0, 6), (7, 9))
    """
    found = list[tuple[int, int]]()
    for one in sorted(ranges):
        if found and found[-1][1] == one[0]:
            found[-1] = found[-1][0], one[1]
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
