"""One listing → numbers and categories: :mod:`carprice.listings.features` without arrays.

Reads one listing as :func:`carprice.listings.features.parse` reads many, and completes it as
:meth:`carprice.model.defaults.Defaults.complete` does. What its names say together, its type, is
read apart from what differs from car to car, so that a type's work need be done but once.
"""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final

from carprice.listings.features import (
    CATEGORIES,
    LISTED_YEARS,
    PLAIN_NUMBERS,
    equipment_of,
    normalise,
    text_of,
)
from carprice.listings.market import Market
from carprice.listings.units import odometer_limits
from carprice.listings.variants import variant_of
from carprice.model.defaults import KIND, USUAL_OF_MODEL, Defaults
from carprice.schema import EQUIPMENT_SEPARATOR

TYPE_FIELDS: Final = (
    "make",
    "model",
    "variant",
    *(CATEGORIES[name] for name in ("transmission", "body", "fuel", "drive")),
)
"""Fields of a listing that make up its type, in the order that :meth:`TypeReader.read` takes."""
TYPE_CATEGORIES: Final = ("transmission", "body", "fuel", "gear", "drive")
LEVELS: Final = tuple(name for name in CATEGORIES if name not in TYPE_CATEGORIES)
"""Categories that differ from car to car of a type."""


@dataclass(slots=True, frozen=True)
class CarType:
    """What make, model, variant, transmission, body, fuel and drive say together.

    Attributes
    ----------
    given : normalised texts by name (:data:`carprice.listings.features.TEXTS`), empty if unknown.
    texts : the same with what is usual where unknown.
    litres : displacement that the variant tells, or None.
    usual : numbers that such cars have where a listing leaves them out; NaN where unknown too.
    """

    given: dict[str, str]
    texts: dict[str, str]
    litres: float | None
    usual: dict[str, float]


@dataclass(slots=True)
class Car:
    """The rest of a listing.

    Attributes
    ----------
    given : the numbers that the listing tells, of :data:`carprice.listings.features.NUMBERS` (but
        ``odometer_per_year``, which the model does not read).
    numbers : all of them; what the listing leaves out is the usual one, or NaN.
    levels : normalised texts of :data:`LEVELS`; empty where unknown.
    equipment : normalised names.
    day : the day of the price.
    """

    given: dict[str, float]
    numbers: dict[str, float]
    levels: list[str]
    equipment: Sequence[str]
    day: datetime.date


class TypeReader:
    """Turns names into a :class:`CarType`."""

    def __init__(self, defaults: Defaults) -> None:
        self._usual = {
            key: dict(zip(USUAL_OF_MODEL, medians.tolist(), strict=True))
            for key, medians in defaults.by_group.items()
        }
        self._overall = dict(zip(USUAL_OF_MODEL, defaults.overall.tolist(), strict=True))
        self._kinds = {
            key: dict(zip(KIND, kind, strict=True)) for key, kind in defaults.kinds.items()
        }

    def read(self, make: str, model: str, variant: str | None, *kind: str | None) -> CarType:
        """Parse the values of :data:`TYPE_FIELDS`."""
        parsed = variant_of(variant)
        transmission, body, fuel, drive = map(text_of, kind)
        first = text_of(make)
        both = f"{first}|{text_of(model)}"
        given = {
            "make": first,
            "model": both,
            "model_trim": f"{both}|{parsed.trim}",
            "model_variant": f"{both}|{parsed.text}",
            "transmission": transmission,
            "body": body,
            "fuel": fuel,
            "gear": parsed.gear,
            "drive": drive or parsed.drive.lower(),
        }
        usual = self._kinds.get(both) or self._kinds.get(first) or self._kinds[""]
        texts = given | {name: given[name] or usual[name] for name in KIND}
        texts["model_powertrain"] = f"{both}|{texts['fuel']}|{texts['transmission']}"
        litres = parsed.litres if parsed.litres == parsed.litres else None
        numbers = self._usual.get(both) or self._usual.get(first) or self._overall
        return CarType(given, texts, litres, numbers)


class CarReader:
    """Turns a listing's fields into a :class:`Car`."""

    def __init__(self, market: Market, defaults: Defaults) -> None:
        self._valuation_date = market.valuation_date
        self._shortest, self._longest = odometer_limits(market.distance_unit)
        self._odometer_by_age = defaults.odometer_by_age.tolist()

    def read(self, fields: Mapping[str, Any], car_type: CarType) -> Car:
        """Parse a listing's values by field; NaN is missing, like None."""
        get = fields.get
        day = get("listed_on") or self._valuation_date
        equipment = _equipment(get("features"))
        after = (day - self._valuation_date).days / 365.25
        age = max(day.year - float(fields["year"]), 0.0)
        given = {
            "age": age,
            "feature_count": float(len(equipment)),
            "listed": min(max(after, LISTED_YEARS[0]), LISTED_YEARS[1]),
        }
        for name in PLAIN_NUMBERS:
            number = get(name)
            if number is not None and number == number:  # noqa: PLR0124 - NaN
                given[name] = float(number)
        engine = get("engine_cc")
        if engine is not None and engine == engine:  # noqa: PLR0124 - NaN
            given["litres"] = round(engine / 1000 * 10) / 10
        elif car_type.litres is not None:
            given["litres"] = car_type.litres
        odometer = get("odometer")
        if odometer is not None and self._is_plausible(odometer, age):
            given["odometer"] = float(odometer)
        numbers = car_type.usual | given
        if "odometer" not in given:
            oldest = len(self._odometer_by_age) - 1
            numbers["odometer"] = self._odometer_by_age[int(min(age, oldest))]
        levels = [
            normalise(text) if isinstance(text := get(field), str) else ""
            for field in _LEVEL_FIELDS
        ]
        return Car(given, numbers, levels, equipment, day)

    def _is_plausible(self, odometer: float, age: float) -> bool:
        """Whether a car can have driven so far; NaN it cannot."""
        return 0 <= odometer <= self._longest and (odometer >= self._shortest or age <= 1)


def _equipment(features: Any) -> tuple[str, ...]:
    joined = equipment_of(features)
    return tuple(joined.split(EQUIPMENT_SEPARATOR)) if joined else ()


_LEVEL_FIELDS: Final = itemgetter(*LEVELS)(CATEGORIES)
