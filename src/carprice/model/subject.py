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
from carprice.model.triples import plus
from carprice.model.worth import Place, RidgeLookups, Spec, TypeWorth, spec_of

DATE: Final = "date"
STEPS: Final = (*MIXED, DATE)
"""What a difference is told by: a car takes on another's attributes in this order, that of
:func:`carprice.model.explanation.mixtures`. Only the date, which counts to the age in reasons, is
apart."""

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
        between: Callable[[CarType, CarType], tuple[Known, Known, Known]],
    ) -> None:
        self.car_type, self.car, self._known = car_type, car, known_of(car_type)
        self._ridge, self._support, self._between = ridge, support, between
        worth = self._known[0]
        self._day, self._spec = ridge.of_day(car.numbers["listed"]), spec_of(car.numbers)
        of_car = reduce(plus, ridge.apart(car).values(), ridge.of_equipment(car.equipment))
        of_spec, years = ridge.of_spec(worth, self._spec)
        self._worth = worth.with_more(plus(of_car, of_spec), years)
        self.log_price = self.price_at(car.numbers["age"], car.numbers["odometer"])

    def price_at(self, age: float, odometer: float) -> float:
        """Return the ridge's ln(price) of the car at another age and distance, which may be NaN."""
        return self._at(self._ridge.place_of(age, odometer), age, odometer)

    def _at(self, place: Place, age: float, odometer: float) -> float:
        beyond, _ = self._support.beyond(self._known[1], age, odometer)
        return self._ridge.at(self._worth, place) + beyond + self._day

    def differences(self, other_type: CarType, other: Car) -> dict[str, float]:
        """Return what another car's ln(price) changes by as it takes on this one's attributes.

        What is of no factor is to be the same in both cars.

        Returns
        -------
        dict
            By :data:`STEPS`; without what changes nothing. Fuel, gearbox and engine, say, are told
            of the other car's age and distance, and with this car's make, model and variant.
        """
        own, theirs = self.car.numbers, other.numbers
        moved = theirs["age"], theirs["odometer"]
        place = self._ridge.place_of(*moved)
        found = dict.fromkeys(STEPS, 0.0)
        for factor, more in self._ridge.apart(self.car, other).items():
            found[factor] = place.times(more)

        def of_type(known: Known, spec: Spec) -> float:
            worth, support = known
            more, years = self._ridge.of_spec(worth, spec)
            added = self._ridge.at(worth, place) + self._support.beyond(support, *moved)[0]
            return added + place.times(more) + years.get(place.age, 0.0)

        known, bare, named = self._between(self.car_type, other_type)
        spec = spec_of(theirs)
        before = None
        for factor, step, its in (
            (MAKE_AND_MODEL, bare, spec),
            (VARIANT, named, spec),
            (POWERTRAIN, self._known, self._spec),
        ):
            if step is not known or its != spec:
                before = of_type(known, spec) if before is None else before
                after = of_type(step, its)
                found[factor] += after - before
                known, spec, before = step, its, after
        tells_distance = "odometer" in self.car.given or "odometer" in other.given
        aged = own["age"], theirs["odometer"] if tells_distance else own["odometer"]
        before = after = self.log_price
        if aged != (own["age"], own["odometer"]):
            after = self.price_at(*aged)
            found[DISTANCE] = before - after
        if aged != moved:
            found[AGE] = after - self._at(place, *moved)
        found[DATE] = self._day - self._ridge.of_day(theirs["listed"])
        return {factor: log for factor, log in found.items() if log}
