"""Finds the listings that are like a car: those of its model first, the likest first.

How far a listing is from a car is told in what the ridge says that the difference is worth, as a
share of the price, and in some per cent for what the ridge knows little of: see :data:`LIKENESS`.
All of that is of arrays, and of a few hundred to thousands of listings about the car's age and
distance, whichever number the model has.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

from carprice.arrays import Codes, Floats
from carprice.listings.features import LISTED_YEARS
from carprice.listings.keys import DetailKey
from carprice.model.car import Car, CarType
from carprice.model.listing_store import (
    DAYS_A_YEAR,
    NO_OWNERS,
    NOT_KEPT,
    ListingStore,
    Records,
)

if TYPE_CHECKING:
    from carprice.model.pricer import Pricer

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
_KNOTS: Final = 9
_KEPT_TYPES: Final = 8_192


@dataclass(frozen=True)
class Near:
    """The likest listings, and how far each is from the car: its model's first, each by likeness.

    Attributes
    ----------
    rows : their places in the store.
    of_model : how many listings of the car's model are kept.
    """

    rows: Codes
    distances: Floats
    of_model: int


@dataclass(frozen=True)
class Kept:
    """A listing as it is kept, read as a car; what is not kept of it is as the other car has it.

    Attributes
    ----------
    listed_days : after the valuation date.
    """

    price: float
    car_type: CarType
    car: Car
    listed_days: int


class Neighbours:
    """Finds listings that are like a car, and reads them."""

    def __init__(self, store: ListingStore, pricer: "Pricer") -> None:
        self._store, self._pricer = store, pricer
        self._km = pricer.km_per_unit
        self._type_at = lru_cache(maxsize=_KEPT_TYPES)(
            lambda code: pricer.type_of(store.texts_of(code))
        )

    def near(self, car_type: CarType, car: Car, count: int) -> Near:
        """Return the listings that are likest to a car, ``count`` at most; its model's first."""
        own, store = car_type.texts["model"], self._store
        none = np.zeros(0, dtype=np.intp), np.zeros(0)
        found = [self._of_model(own, car_type, car, count) if own in store.places else none]
        if len(found[0][0]) < min(FEW, count):
            others = self._like(own, car_type)
            found += [self._of_model(model, car_type, car, count) for model in others]
        rows, distances = (np.concatenate(each) for each in zip(*found, strict=True))
        is_other = np.repeat(np.arange(len(found)) > 0, [len(each) for each, _ in found])
        first = np.lexsort((rows, distances, is_other))[:count]
        return Near(rows[first], distances[first], store.models.get(own, (0, 0))[1])

    def read(self, row: int, other: Car) -> Kept:
        """Read a listing of the store as a car that is beside another one."""
        store = self._store
        price, odometer, code, days, numbers, categories, age, owners = store.records[row].item()
        car_type = self._type_at(code)
        given = {"age": float(age), "listed": min(max(days / DAYS_A_YEAR, LISTED_YEARS[0]), 2.0)}
        if not math.isnan(odometer):
            given["odometer"] = odometer
        if owners != NO_OWNERS:
            given["ownership"] = float(owners)
        if numbers != NOT_KEPT:
            every = {name: float(column[numbers]) for name, column in store.numbers.items()}
            given |= {name: number for name, number in every.items() if not math.isnan(number)}
            kept = {"age", "listed", "odometer", "ownership", *store.numbers}
        else:
            kept = {"age", "listed", "odometer", "ownership"}
        theirs = {name: number for name, number in other.given.items() if name not in kept}
        texts = other.categories
        if categories != NOT_KEPT:
            texts = [column[categories] for column in store.categories.values()]
        values = (theirs | given, texts, other.equipment)
        return Kept(price, car_type, self._pricer.car_of(car_type, values), days)

    def _like(self, own: str, car_type: CarType) -> list[str]:
        """Return the few other models of the make whose level of prices is nearest."""
        store, level = self._store, self._pricer.level_of(car_type)
        others = [one for one in store.by_make.get(car_type.texts["make"], ()) if one != own]

        def apart(model: str) -> float:
            return abs(float(store.levels[store.places[model][0]].mean()) - level)

        return sorted(others, key=apart)[:_OTHER_MODELS]

    def _of_model(
        self, model: str, car_type: CarType, car: Car, count: int
    ) -> tuple[Codes, Floats]:
        """Return the listings of a model that are within reach, ``count`` at most."""
        types, listings = self._store.places[model]
        rows = self._about(listings, car)
        some = self._store.records[rows]
        of_types = self._between_types(model, types, car_type)
        square = of_types[some["type"] - np.uint32(types.start)] ** 2
        square += self._by_age(some, car_type, car) ** 2
        square += self._by_distance(some, car_type, car) ** 2
        square += self._by_engine(some, car) ** 2
        years = some["listed"] / DAYS_A_YEAR - car.numbers["listed"]
        square += (LIKENESS["year between the listings"] * years) ** 2
        near = np.flatnonzero(square <= REACH**2)
        if len(near) > count:
            # Of those that are as near as the last one all are kept, for the order to decide.
            last = np.partition(square[near], count - 1)[count - 1]
            near = near[square[near] <= last]
        return rows[near], np.sqrt(square[near])

    def _about(self, listings: slice, car: Car) -> Codes:
        """Return the places of listings about a car: of its age first, of many of its distance."""
        first, last = listings.start, listings.stop
        ages, odometers = self._store.records["age"], self._store.records["odometer"]
        age, distance = round(car.numbers["age"]), car.numbers["odometer"]
        parts: list[Codes] = []
        left = _MOST_AT_ONCE
        for year in _outward(age, _YEARS):
            start = bisect_left(ages, year, first, last)
            end = bisect_right(ages, year, start, last)
            if end - start > _MOST_OF_AN_AGE:
                middle = (start + end) // 2
                if not math.isnan(distance):
                    middle = bisect_left(odometers, distance, start, end)
                start = min(max(middle - _MOST_OF_AN_AGE // 2, start), end - _MOST_OF_AN_AGE)
                end = start + _MOST_OF_AN_AGE
            parts.append(np.arange(start, end, dtype=np.intp))
            left -= end - start
            if left <= 0:
                break
        return np.concatenate(parts)

    def _between_types(self, model: str, types: slice, car_type: CarType) -> Floats:
        """Return how far each type of a model is from a car's."""
        store, own = self._store, car_type.texts
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

    def _by_age(self, some: Records, car_type: CarType, car: Car) -> Floats:
        """Return what the ridge says of other ages of the car, and of each year."""
        ages, own = some["age"], car.numbers["age"]
        apart = np.zeros(256)
        price = self._pricer.hedonic_price(car_type, car)
        for age in np.flatnonzero(np.bincount(ages, minlength=1)).tolist():
            if age != own:
                other = replace(car, numbers={**car.numbers, "age": float(age)})
                worth = abs(self._pricer.hedonic_price(car_type, other) - price)
                apart[age] = worth + LIKENESS["year"] * abs(age - own)
        return np.asarray(apart[ages])

    def _by_distance(self, some: Records, car_type: CarType, car: Car) -> Floats:
        """Return what the ridge says of other distances of the car, and of each 10,000 km."""
        km, own = some["odometer"].astype(np.float64), car.numbers["odometer"]
        known = km[~np.isnan(km)]
        if math.isnan(own) or not len(known):
            return np.zeros(len(km))
        knots = np.append(np.linspace(known.min(), known.max(), _KNOTS), own)
        knots.sort()
        worths = [
            self._pricer.hedonic_price(
                car_type, replace(car, numbers={**car.numbers, "odometer": knot})
            )
            for knot in knots.tolist()
        ]
        worth = np.interp(km, knots, worths) - np.interp(own, knots, worths)
        apart = np.abs(worth) + LIKENESS["10,000 km"] * np.abs(km - own) * self._km / 10_000
        unknown = LIKENESS["distance unknown"] if "odometer" in car.given else 0.0
        return np.where(np.isnan(km), unknown, apart)

    def _by_engine(self, some: Records, car: Car) -> Floats:
        """Return how far the litres and the powers are, where both cars' are known."""
        apart = np.zeros(len(some))
        rows = some["numbers"]
        for name in ("litres", "power_bhp"):
            own = car.numbers[name]
            if name in self._store.numbers and own > 0:
                column = np.append(self._store.numbers[name], np.nan)
                theirs = column[np.minimum(rows, len(column) - 1)]
                ratio = np.log(np.maximum(theirs, own / 20) / own)
                apart += LIKENESS["engine"] * np.abs(np.nan_to_num(ratio))
        return apart


def _outward(age: int, years: int) -> Iterator[int]:
    """Yield an age and those about it, the nearest first.

    Examples
    --------
    >>> [*_outward(1, 2)]
    [1, 0, 2, 3]
    """
    for away in range(years + 1):
        yield from (one for one in dict.fromkeys((age - away, age + away)) if one >= 0)
