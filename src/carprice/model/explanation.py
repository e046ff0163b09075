"""Why a car costs what it costs: the market's usual car, times one factor for each attribute.

A factor is what the whole model, ridge and trees, says of one attribute: the price with the car's
own value over the price with the usual one. Of cars between the usual one and the car itself, each
has one attribute more of its own. Age comes near the end and distance last: what distance is worth
in a very old car is told of that car, so that no reason goes against the price of a neighbour.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import Final

from carprice.listings.features import CAR_CATEGORIES
from carprice.listings.keys import detail_key
from carprice.model.blocks import (
    AGE,
    COLOUR,
    CONDITION,
    DISTANCE,
    EQUIPMENT,
    MAKE_AND_MODEL,
    OTHERS,
    OWN,
    OWNERS,
    POWERTRAIN,
    VARIANT,
    factor_names,
)
from carprice.model.car import Car, CarType
from carprice.schema import is_own

CENTRED: Final = frozenset({OWNERS, EQUIPMENT, COLOUR})
"""Factors that are told against the mean of the training rows, not against the usual car's."""
_OF_TYPE: Final = (MAKE_AND_MODEL, VARIANT, POWERTRAIN)
_OF_CAR: Final = (OWNERS, EQUIPMENT, COLOUR, CONDITION, OWN, OTHERS, AGE, DISTANCE)
_NUMBERS: Final = {
    "age": AGE,
    "listed": AGE,
    "odometer": DISTANCE,
    "ownership": OWNERS,
    "feature_count": EQUIPMENT,
    "new_price": VARIANT,
    "fitness_age": OTHERS,
}
"""The factor of each number; those of the engine and the seats count to fuel and gearbox."""
_CATEGORIES: Final = {"color": COLOUR, "condition": CONDITION}
MIXED: Final = (*_OF_TYPE, *_OF_CAR)
"""The factors in the order in which a car takes them on."""
KIND: Final = ("transmission", "fuel", "gear", "drive")
"""The texts of a type that count to fuel and gearbox."""
DETAILS: Final = ("model_trim", "model_variant")
"""The texts of a type that count to the variant; all others count to make and model."""


@dataclass(frozen=True)
class Reason:
    """One part of a price: its factor on the price, and what that adds in the market's currency."""

    name: str
    factor: float
    amount: float


@dataclass(frozen=True)
class Explanation:
    """A price as ``start`` times the product of all factors, and as ``start`` plus all amounts."""

    price: float
    start: float
    reasons: tuple[Reason, ...]

    def times(self, name: str, factor: float) -> "Explanation":
        """Return the same with one reason more, the last, which multiplies the price.

        Examples
        --------
        >>> told = Explanation(2.0, 1.0, (Reason("age", 2.0, 1.0),)).times("market", 1.5)
        >>> told.price, told.reasons[-1]
        (3.0, Reason(name='market', factor=1.5, amount=1.0))
        """
        reason = Reason(name, factor, self.price * (factor - 1))
        return replace(self, price=self.price * factor, reasons=(*self.reasons, reason))


def types_between(own_type: CarType) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Return the texts of the types between the usual one and a car's: its model, its variant.

    The first has no more than the make and model, the second the variant, too.
    """
    given, none = own_type.given, detail_key(own_type.given["model"], "")
    bare = {**given, **dict.fromkeys(KIND, ""), **dict.fromkeys(DETAILS, none)}
    return bare, bare | {name: given[name] for name in DETAILS}


def types_beside(own: CarType, other: CarType) -> tuple[dict[str, str], dict[str, str]]:
    """Return the texts of another type once it has a type's make and model, and its variant too.

    A type of another model takes on the make and model without a variant.
    """
    given, theirs = own.given, other.given
    key = detail_key(given["model"], theirs["fuel"], theirs["transmission"])
    named = {**given, **{name: theirs[name] for name in KIND}, "model_powertrain": key}
    if given["model"] == theirs["model"]:
        return named | {name: theirs[name] for name in DETAILS}, named
    return named | dict.fromkeys(DETAILS, detail_key(given["model"], "")), named


def mixtures(own: Car, usual: Car, *, has_own: bool) -> Iterator[Car]:
    """Yield the cars between the usual car of a car's model and the car, for :func:`explanation`.

    First the usual one, then with the car's variant, then with its fuel, gearbox and engine too;
    their types are the :func:`types_between` and the car's own. From there on, the car's other
    attributes follow one by one; the last is the car itself. Where an attribute is the usual one,
    the same car comes once more.

    Parameters
    ----------
    has_own : whether the market has columns of its own.
    """
    of_factor = by_factor("odometer" in own.given, tuple(own.numbers), len(own.categories))
    car = usual
    yield car
    for name in (VARIANT, POWERTRAIN, *_of_car(has_own)):
        car = mixed(car, own, *of_factor[name])
        if name == EQUIPMENT and own.equipment:
            car = replace(car, equipment=own.equipment)
        yield car


def explanation(
    start: float, log_prices: Sequence[float], centred: Mapping[str, float]
) -> Explanation:
    """Explain a car's price by the factors in their order; amounts depend on that order.

    Parameters
    ----------
    start : ln(price) of the market's typical car.
    log_prices : ln(price) of each of the :func:`mixtures`.
    centred : factor of :data:`CENTRED` → what the usual car's value is worth above the mean; make
        and model make up for it.
    """
    has_own = len(log_prices) == len(_OF_TYPE) + len(_OF_CAR)
    names = (*_OF_TYPE, *_of_car(has_own))
    logs = dict(zip(names, _differences([start, *log_prices]), strict=True))
    for name, above in centred.items():
        logs[name] += above
        logs[MAKE_AND_MODEL] -= above
    reasons, price = [], math.exp(start)
    for name in factor_names(has_own):
        factor = math.exp(logs[name])
        reasons.append(Reason(name, factor, price * (factor - 1)))
        price *= factor
    return Explanation(price, math.exp(start), tuple(reasons))


@lru_cache
def _of_car(has_own: bool) -> tuple[str, ...]:
    return tuple(name for name in _OF_CAR if has_own or name != OWN)


@lru_cache(maxsize=64)
def by_factor(
    has_distance: bool, numbers: tuple[str, ...], categories: int
) -> Mapping[str, tuple[Sequence[str], Sequence[int]]]:
    """Return the numbers, and the places of the categories, of each factor.

    An unknown distance is the usual one of the car's age, and counts to that.
    """
    found: dict[str, tuple[list[str], list[int]]] = defaultdict(lambda: ([], []))
    for name in numbers:
        is_of_age = name == "odometer" and not has_distance
        found[AGE if is_of_age else factor_of(name)][0].append(name)
    for place in range(categories):
        is_own_column = place >= len(CAR_CATEGORIES)
        name = OWN if is_own_column else factor_of_category(CAR_CATEGORIES[place])
        found[name][1].append(place)
    return {name: found[name] for name in (VARIANT, POWERTRAIN, *_OF_CAR)}


def mixed(car: Car, own: Car, numbers: Sequence[str], places: Sequence[int]) -> Car:
    """Return a car with some numbers and categories of another; the same one if it has them."""
    mine, theirs = own.numbers, car.numbers
    others = [name for name in numbers if mine[name] != theirs[name]]
    changed = [place for place in places if own.categories[place] != car.categories[place]]
    if not (others or changed):
        return car
    categories = car.categories
    if changed:
        categories = [*categories]
        for place in changed:
            categories[place] = own.categories[place]
    changes = {name: mine[name] for name in others}
    return Car(car.given, theirs | changes, categories, car.equipment)


def factor_of(number: str) -> str:
    """Return the factor of :data:`MIXED` that a number counts to."""
    return OWN if is_own(number) else _NUMBERS.get(number, POWERTRAIN)


def factor_of_category(name: str) -> str:
    """Return the factor that one of :data:`carprice.listings.features.CAR_CATEGORIES` counts to."""
    return _CATEGORIES.get(name, OTHERS)


def _differences(values: Sequence[float]) -> list[float]:
    return [after - before for before, after in pairwise(values)]
