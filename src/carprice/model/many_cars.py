"""Many cars at once: the ridge's ln(price) of each in arrays, as ``subject.py`` has it of one."""

import math
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from functools import lru_cache, reduce
from operator import itemgetter
from typing import Any, Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from carprice.arrays import Codes, Floats
from carprice.listings.features import LISTED_YEARS
from carprice.model.car import Car, CarReader, CarType
from carprice.model.listing_store import DAYS_A_YEAR, NO_OWNERS, NOT_KEPT, ListingStore
from carprice.model.subject import Known
from carprice.model.support import SupportLookups, Supports
from carprice.model.triples import Triple, plus
from carprice.model.worth import SPEC_NUMBERS, RidgeLookups, spec_of

_OWNERS: Final = "ownership"
_KEPT_NUMBERS: Final = 16_384
_place_of: Final = itemgetter("age", "odometer", "listed")

TypedCar = tuple[CarType, Car]


class _Types(NamedTuple):
    """What is known of n types; the slopes along the first axis."""

    slopes: Floats
    support: Supports

    @classmethod
    def of(cls, known: Sequence[Known]) -> Self:
        limits = [(*own.age, own.km[1]) for _, own in known]
        youngest, oldest, most_km = np.array(limits, dtype=np.float64).reshape(-1, 3).T
        slopes = _columns([own.slopes for _, own in known])
        return cls(
            _columns([worth.slopes for worth, _ in known]),
            Supports(youngest, oldest, most_km, slopes),
        )

    def at(self, places: tuple[Any, ...]) -> Self:
        """Return the same of some types, or of all with an axis more, by an index of arrays."""
        support = Supports(*(one[..., *places] for one in self.support))
        return type(self)(self.slopes[..., *places], support)


class Subjects:
    """Cars that others are compared with.

    Attributes
    ----------
    log_prices : the ridge's.
    ages, odometers, listed : their numbers; NaN where a distance is not known.
    """

    def __init__(
        self,
        cars: Sequence[TypedCar],
        ridge: RidgeLookups,
        support: SupportLookups,
        known_of: Callable[[CarType], Known],
    ) -> None:
        self._ridge, self._support, self.cars = ridge, support, cars
        known = [known_of(car_type) for car_type, _ in cars]
        self._types = _Types.of(known)
        specs = [
            ridge.of_spec(worth, spec_of(car.numbers))
            for (_, car), (worth, _) in zip(cars, known, strict=True)
        ]
        self._worths = _columns([ridge.of_car(car) for _, car in cars])
        self._worths += _columns([worth for worth, _ in specs])
        self._by_age = _by_age([worth.by_age for worth, _ in known], ridge.oldest)
        self._by_age += _by_age([years for _, years in specs], ridge.oldest)
        numbers = [_place_of(car.numbers) for _, car in cars]
        self.ages, self.odometers, self.listed = np.array(numbers, dtype=np.float64).T
        self._of_day = np.array([ridge.of_day(listed) for listed in self.listed.tolist()])
        (self.log_prices,) = self.prices_at(self.ages[:, None], self.odometers[:, None]).T

    def take(self, places: Codes) -> "Subjects":
        """Return some of the cars."""
        some = copy(self)
        some.cars = [self.cars[place] for place in places.tolist()]
        some._types = self._types.at((places,))
        some._worths = self._worths[:, places]
        for name in ("_by_age", "_of_day", "ages", "odometers", "listed", "log_prices"):
            setattr(some, name, getattr(self, name)[places])
        return some

    def prices_at(self, ages: Floats, odometers: Floats) -> Floats:
        """Return the ridge's ln(price) of each car at other ages and distances, a row a car."""
        ages, odometers = np.broadcast_arrays(ages, odometers)
        types = self._types.at((slice(None), None))
        places = self._ridge.places_of(ages, odometers)
        found = self._ridge.at_places(types.slopes, self._worths[:, :, None], places)
        found += self._support.beyond_all(types.support, ages, odometers)
        found += np.take_along_axis(self._by_age, places.age, axis=1)
        return np.asarray(found + self._of_day[:, None])


class KeptPrices:
    """The ridge's ln(price) of listings of a store, each read beside a car.

    The same as of each that :meth:`carprice.model.neighbours.Neighbours.read` returns.
    """

    def __init__(
        self,
        store: ListingStore,
        type_at: Callable[[int], CarType],
        cars: CarReader,
        ridge: RidgeLookups,
        support: SupportLookups,
        known_of: Callable[[CarType], Known],
    ) -> None:
        self._store, self._type_at, self._cars = store, type_at, cars
        self._ridge, self._support, self._known_of = ridge, support, known_of
        self._no_texts = ("",) * len(cars.categories)
        self._kept = [name for name in ridge.numbers if name in store.numbers]
        self._others = {
            name: of_number
            for name, of_number in ridge.numbers.items()
            if name not in store.numbers and name != _OWNERS
        }
        self._odd = {*SPEC_NUMBERS} - store.numbers.keys()
        self._of_numbers = lru_cache(maxsize=_KEPT_NUMBERS)(self._find_of_numbers)

    def are_told(self, rows: Codes, beside: Sequence[Car], place: Codes) -> npt.NDArray[np.bool_]:
        """Return of which listings :meth:`of` tells: numbers and categories of them are kept.

        Parameters
        ----------
        place : of each listing's car among those that are beside.
        """
        records = self._store.records.take(rows)
        is_odd = np.array([not self._odd.isdisjoint(car.given) for car in beside], dtype=bool)
        has_all = (records["numbers"] != NOT_KEPT) & (records["categories"] != NOT_KEPT)
        return np.asarray(has_all & ~is_odd[place])

    def of(self, rows: Codes, beside: Sequence[Car], place: Codes) -> Floats:
        """Return ln(price) of listings, each with what is not kept of it as another car has it."""
        ridge, records = self._ridge, self._store.records.take(rows)
        codes, type_of = np.unique(records["type"], return_inverse=True)
        car_types = [self._type_at(code) for code in codes.tolist()]
        known = [self._known_of(car_type) for car_type in car_types]
        keys = records["type"].astype(np.int64) * NOT_KEPT + records["numbers"]
        distinct, numbers_of = np.unique(keys, return_inverse=True)
        of_numbers = [self._of_numbers(*divmod(key, NOT_KEPT)) for key in distinct.tolist()]
        worths = _columns([worth for worth, _ in of_numbers])[:, numbers_of]
        worths += self._of_owners(records["owners"], car_types, type_of)
        worths += _looked_up(records["categories"], self._of_categories)
        worths += self._of_others(beside, place, car_types, type_of)
        worths += _columns([ridge.of_equipment(car.equipment) for car in beside])[:, place]
        ages, odometers = (records[name].astype(np.float64) for name in ("age", "odometer"))
        usual_km = _looked_up(records["age"], self._usual_km)
        odometers = np.where(np.isnan(odometers), usual_km, odometers)
        types, places = _Types.of(known).at((type_of,)), ridge.places_of(ages, odometers)
        prices = ridge.at_places(types.slopes, worths, places)
        prices += self._support.beyond_all(types.support, ages, odometers)
        by_age = _by_age([worth.by_age for worth, _ in known], ridge.oldest)
        of_spec = _by_age([years for _, years in of_numbers], ridge.oldest)
        prices += by_age[type_of, places.age] + of_spec[numbers_of, places.age]
        return np.asarray(prices + _looked_up(records["listed"], self._of_day))

    def _find_of_numbers(self, code: int, row: int) -> tuple[Triple, Mapping[int, float]]:
        """Return what the kept numbers of a listing of a type add, and what more by its age."""
        ridge, car_type = self._ridge, self._type_at(code)
        numbers = car_type.usual | self._store.numbers_of(row)
        of_spec, years = ridge.of_spec(self._known_of(car_type)[0], spec_of(numbers))
        added = (ridge.numbers[name](numbers[name]) for name in self._kept)
        return reduce(plus, added, of_spec), years

    def _of_owners(
        self, owners: npt.NDArray[Any], car_types: Sequence[CarType], type_of: Codes
    ) -> Floats:
        if (of_number := self._ridge.numbers.get(_OWNERS)) is None:
            return np.zeros((3, 1))
        usual = np.array([car_type.usual[_OWNERS] for car_type in car_types])[type_of]
        return _looked_up(np.where(owners == NO_OWNERS, usual, owners), of_number)

    def _of_others(
        self, beside: Sequence[Car], place: Codes, car_types: Sequence[CarType], type_of: Codes
    ) -> Floats:
        """Return what numbers that are not kept add: the other car's, or those of the type."""
        worths = np.zeros((3, len(place)))
        for name, of_number in self._others.items():
            given = np.array([car.given.get(name, math.nan) for car in beside])[place]
            usual = np.array([car_type.usual[name] for car_type in car_types])[type_of]
            worths += _looked_up(np.where(np.isnan(given), usual, given), of_number)
        return worths

    def _of_categories(self, row: int) -> Triple:
        texts = [column[row] for column in self._store.categories.values()]
        return self._ridge.of_categories(tuple(self._bare_car(0.0, texts).categories))

    def _usual_km(self, age: int) -> float:
        return self._bare_car(float(age), self._no_texts).numbers["odometer"]

    def _bare_car(self, age: float, texts: Sequence[str]) -> Car:
        """Return a car of which nothing but its age and categories is told."""
        return self._cars.car_of(self._type_at(0), ({"age": age}, texts, ()))

    def _of_day(self, days: int) -> float:
        return self._ridge.of_day(min(max(days / DAYS_A_YEAR, LISTED_YEARS[0]), LISTED_YEARS[1]))


def _columns(rows: Sequence[Sequence[float]]) -> Floats:
    """Return tuples of numbers as an array, a column a tuple."""
    return np.ascontiguousarray(np.array(rows, dtype=np.float64).T)


def _looked_up(values: npt.NDArray[Any], find: Callable[[Any], Any]) -> Floats:
    """Return the number, or the column of numbers, of each value; equal ones are found once."""
    distinct, codes = np.unique(values, return_inverse=True)
    return np.array([find(value) for value in distinct.tolist()], dtype=np.float64).T[..., codes]


def _by_age(added: Sequence[Mapping[int, float]], oldest: int) -> Floats:
    """Return what is added at each age in years, a row for each; the same ones are read once."""
    distinct = {id(one): one for one in added}
    table = np.zeros((len(distinct), oldest + 1))
    for row, one in zip(table, distinct.values(), strict=True):
        for years, more in one.items():
            if years <= oldest:
                row[years] = more
    places = {key: place for place, key in enumerate(distinct)}
    return np.asarray(table[[places[id(one)] for one in added]])
