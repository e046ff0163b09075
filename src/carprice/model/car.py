"""Read a listing for the model as its type and its car, and fill in what it leaves out.

Many cars share a type, so that the work on a type can be done once and kept.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from carprice.arrays import Coded, coded, coded_together, picked
from carprice.listings.features import (
    CAR_CATEGORIES,
    TYPE_TEXTS,
    CarValues,
    Features,
    equipment_of,
    features_of,
)
from carprice.listings.keys import detail_key
from carprice.model.defaults import KIND, Defaults
from carprice.schema import is_own, own_numbers, own_texts


@dataclass(slots=True, frozen=True, eq=False)
class CarType:
    """What make, model, variant, transmission, body, fuel and drive say together.

    Hashed and compared by identity.

    Attributes
    ----------
    given : normalised texts, see :func:`carprice.listings.features.read_type`; empty if unknown.
    texts : the same; an unknown transmission, body or fuel is the model's commonest.
    litres : displacement that the variant names; NaN if none.
    usual : medians for the numbers that a listing leaves out; NaN where there is none.
    """

    given: dict[str, str]
    texts: dict[str, str]
    litres: float
    usual: dict[str, float]


@dataclass(slots=True)
class Car:
    """What a listing says beside its type.

    Attributes
    ----------
    given : the listing's own :data:`carprice.listings.features.NUMBERS`; the model does not read
        ``odometer_per_year`` among them.
    numbers : ``given``, and for the numbers that the listing leaves out the usual one, or NaN.
    categories : texts of :attr:`CarReader.categories`; the usual one, or empty, where unknown.
    equipment : normalised names.
    lacks_own : whether it leaves out an own column that all training rows had, or that was filled.
    """

    given: dict[str, float]
    numbers: dict[str, float]
    categories: Sequence[str]
    equipment: Sequence[str]
    lacks_own: bool = False


class CarReader:
    """Makes a :class:`CarType` and a :class:`Car` of what was read, and fills in what is usual.

    Attributes
    ----------
    categories : the categories of a :class:`Car`, in their order: own ones last.
    has_own : whether the market has columns of its own.
    """

    def __init__(self, defaults: Defaults) -> None:
        self._defaults = defaults
        self._odometer_by_age: list[float] = defaults.odometer_by_age.tolist()
        usual = defaults.categories
        self._own = defaults.own
        self.has_own = bool(self._own)
        self.categories = (*CAR_CATEGORIES, *own_texts(self._own))
        self._own_numbers = own_numbers(self._own)
        self._own_texts = [
            place
            for place, name in enumerate(self.categories)
            if is_own(name) and usual.get(name)  # what all training rows had is filled
        ]
        self._categories = [usual.get(name, "") for name in self.categories] if usual else None

    def type_of(self, given: dict[str, str], litres: float) -> CarType:
        """Return the type of what :func:`carprice.listings.features.read_type` returns."""
        kinds, model = self._defaults.kinds, given["model"]
        key = next(key for key in (model, given["make"], "") if key in kinds)
        kind = {name: given[name] or usual for name, usual in zip(KIND, kinds[key], strict=True)}
        powertrain = detail_key(model, kind["fuel"], kind["transmission"])
        texts = {**given, **kind, "model_powertrain": powertrain}
        return CarType(given, texts, litres, self._defaults.usual[key])

    def car_of(self, car_type: CarType, values: CarValues) -> Car:
        """Return a car of what :class:`carprice.listings.features.ListingReader` reads."""
        given, categories, equipment = values
        numbers = car_type.usual | given
        if "odometer" not in given:
            numbers["odometer"] = self._usual_odometer(given["age"])
        lacks_own = self.has_own and self._lacks_own(given, numbers, categories)
        if self._categories:
            pairs = zip(categories, self._categories, strict=True)
            categories = [own or usual for own, usual in pairs]
        return Car(given, numbers, categories, equipment, lacks_own)

    def moved(self, car: Car, age: float, odometer: float | None) -> Car:
        """Return a car of another age in years, and distance; of None it is the usual one."""
        given, numbers = {**car.given, "age": age}, {**car.numbers, "age": age}
        if odometer is None:
            given.pop("odometer", None)
            numbers["odometer"] = self._usual_odometer(age)
        else:
            given["odometer"] = numbers["odometer"] = odometer
        return Car(given, numbers, car.categories, car.equipment, car.lacks_own)

    def _usual_odometer(self, age: float) -> float:
        return self._odometer_by_age[int(min(age, len(self._odometer_by_age) - 1))]

    def _lacks_own(
        self, given: Mapping[str, float], numbers: Mapping[str, float], categories: Sequence[str]
    ) -> bool:
        for place in self._own_texts:
            if not categories[place]:
                return True
        for name in self._own_numbers:
            if name not in given and not math.isnan(numbers[name]):
                return True
        return False

    def read(self, features: Features) -> Iterator[tuple[CarType, Car]]:
        """Read parsed listings; rows with equal :data:`TYPE_TEXTS` share one CarType."""
        type_of = lru_cache(maxsize=None)(
            lambda *texts: self.type_of(dict(zip(TYPE_TEXTS, texts, strict=True)), math.nan)
        )
        types = zip(*(features.texts[name] for name in TYPE_TEXTS), strict=True)
        numbers = np.column_stack([*features.numbers.values()])
        categories = zip(*(features.texts[name] for name in self.categories), strict=True)
        rows = zip(types, numbers, categories, features.equipment, strict=True)
        for texts, values, of_car, equipment in rows:
            pairs = zip(features.numbers, values.tolist(), strict=True)
            known = {name: value for name, value in pairs if not math.isnan(value)}
            car_type = type_of(*texts)
            yield car_type, self.car_of(car_type, (known, of_car, equipment_of(equipment)))

    def complete(self, features: Features) -> Features:
        """Return parsed listings with unknown numbers, transmission, body and fuel filled."""
        pick: Any = Coded if isinstance(features.texts["model"], Coded) else picked
        texts = [coded(features.texts[name]) for name in TYPE_TEXTS]
        first, codes = coded_together(*(own for _, own in texts))
        columns = [picked(different, own[first]) for different, own in texts]
        types = [
            self.type_of(dict(zip(TYPE_TEXTS, one, strict=True)), math.nan)
            for one in zip(*columns, strict=True)
        ]
        completed = {name: pick([of.texts[name] for of in types], codes) for name in TYPE_TEXTS}
        usual = self._categories or [""] * len(self.categories)
        for name, of_all in zip(self.categories, usual, strict=True):
            different, own = coded(features.texts[name])
            completed[name] = pick([one or of_all for one in different], own)
        numbers = dict(features.numbers)
        for name in types[0].usual if types else {}:
            medians = np.array([of.usual[name] for of in types], dtype=np.float64)[codes]
            numbers[name] = np.where(np.isnan(numbers[name]), medians, numbers[name])
        odometer, by_age = numbers["odometer"], np.array(self._odometer_by_age, dtype=np.float64)
        ages = np.minimum(numbers["age"], len(by_age) - 1).astype(np.intp)
        numbers["odometer"] = np.where(np.isnan(odometer), by_age[ages], odometer)
        return replace(features_of(completed, numbers, features.equipment), cars=features.cars)
