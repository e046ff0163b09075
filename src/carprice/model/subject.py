"""One car, and what the ridge says of it at other ages and distances, and beside other cars.

The same as the ridge's ln(price) of each such car, but that what they share is looked up once.
"""

from collections.abc import Callable
from functools import reduce
from typing import Final

from carprice.model.blocks import AGE, DISTANCE, MAKE_AND_MODEL, POWERTRAIN, VARIANT
from carprice.model.car import Car, CarType
from carprice.model.explanation import MIXED
from carprice.model.support import SupportLookups, TypeSupport
from carprice.model.worth import NOTHING, Place, RidgeLookups, TypeWorth, plus

DATE: Final = "date"
STEPS: Final = (*MIXED, DATE)
"""What a difference is told by: a car takes on another's attributes in this order, that of
:func:`carprice.model.explanation.mixtures`. Only the date, which counts to the age in reasons, is
apart."""
_OF_CAR: Final = tuple(name for name in MIXED if name not in (MAKE_AND_MODEL, AGE, DISTANCE))

Known = tuple[TypeWorth, TypeSupport]
"""What is known of a type."""


class Subject:
    """A car that others are compared with.

    Attributes
    ----------
    log_price : the ridge's.
    """

    def __init__(
        self,
        car_type: CarType,
        car: Car,
        ridge: RidgeLookups,
        support: SupportLookups,
        known_of: Callable[[CarType], Known],
        between: Callable[[CarType, CarType], tuple[Known, Known]],
    ) -> None:
        self.car_type, self.car, self._known = car_type, car, known_of(car_type)
        self._ridge, self._support = ridge, support
        self._known_of, self._between = known_of, between
        self._parts, self._day = ridge.parts(car), ridge.of_day(car.numbers["listed"])
        self._sum = reduce(plus, self._parts.values(), ridge.of_equipment(car.equipment))
        self.log_price = self.price_at(car.numbers["age"], car.numbers["odometer"])

    def price_at(self, age: float, odometer: float) -> float:
        """Return the ridge's ln(price) of the car at another age and distance, which may be NaN."""
        place = self._ridge.place_of(age, odometer)
        return self._with_car(self._of_type(self._known, self.car, place, age, odometer), place)

    def differences(self, other_type: CarType, other: Car) -> dict[str, float]:
        """Return what another car's ln(price) changes by as it takes on this one's attributes.

        What is not of a factor of :data:`STEPS` is to be the same in both cars.

        Returns
        -------
        dict
            By :data:`STEPS`. Fuel, gearbox and engine, say, are told of the other car's age and
            distance, and with this car's make, model and variant.
        """
        own, theirs = self.car.numbers, other.numbers
        age, odometer = theirs["age"], theirs["odometer"]
        place = self._ridge.place_of(age, odometer)
        found, parts = dict.fromkeys(STEPS, 0.0), self._ridge.parts(other)
        for factor in _OF_CAR:
            after, before = self._parts.get(factor, NOTHING), parts.get(factor, NOTHING)
            if after != before:
                found[factor] = place.times(after) - place.times(before)
        bare, named = self._between(self.car_type, other_type)
        before = self._of_type(self._known_of(other_type), other, place, age, odometer)
        steps = (MAKE_AND_MODEL, bare, other), (VARIANT, named, other)
        for factor, known, car in (*steps, (POWERTRAIN, self._known, self.car)):
            after = self._of_type(known, car, place, age, odometer)
            found[factor] += after - before
            before = after
        tells_distance = "odometer" in self.car.given or "odometer" in other.given
        before = self._with_car(before, place)
        after = self.price_at(own["age"], odometer if tells_distance else own["odometer"])
        found[AGE], found[DISTANCE] = after - before, self.log_price - after
        found[DATE] = self._day - self._ridge.of_day(theirs["listed"])
        return found

    def _of_type(self, known: Known, car: Car, place: Place, age: float, odometer: float) -> float:
        """Return what a type, an age and a distance add, with a car's engine."""
        worth, support = known
        added = self._ridge.at(worth, place) + self._support.beyond(support, age, odometer)[0]
        return added + self._ridge.of_numbers(worth, car.numbers, place)

    def _with_car(self, of_type: float, place: Place) -> float:
        """Return ln(price) of this car, given what its type adds at a place."""
        return of_type + place.times(self._sum) + self._day
