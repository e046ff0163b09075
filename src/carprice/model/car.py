"""Reads a listing for the model, and completes what it leaves out.

What its names say together, its type, is read apart from what differs from car to car, so that a
type's work need be done but once.
"""

import datetime
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final

from carprice.listings.features import (
    CATEGORIES,
    LISTED_YEARS,
    PLAIN_NUMBERS,
    Features,
    equipment_of,
    text_of,
)
from carprice.listings.keys import ModelKey
from carprice.listings.market import Market
from carprice.listings.units import is_impossible, odometer_limits
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
_LEVEL_FIELDS: Final = itemgetter(*LEVELS)(CATEGORIES)
_TYPE_TEXTS: Final = ("make", "model", "model_trim", "model_variant", *TYPE_CATEGORIES)


@dataclass(slots=True, frozen=True, eq=False)
class CarType:
    """What make, model, variant, transmission, body, fuel and drive say together.

    Hashed and compared by identity.

    Attributes
    ----------
    given : normalised texts by name (:data:`carprice.listings.features.TEXTS`), empty if unknown.
    texts : the same with what is usual where unknown.
    litres : displacement that the variant tells; NaN if none.
    usual : numbers that such cars have where a listing leaves them out; NaN where unknown too.
    """

    given: dict[str, str]
    texts: dict[str, str]
    litres: float
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
    """

    given: dict[str, float]
    numbers: dict[str, float]
    levels: Sequence[str]
    equipment: Sequence[str]


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

    def read(self, make: Any, model: Any, variant: Any, *kind: Any) -> CarType:
        """Parse the values of :data:`TYPE_FIELDS`; what is no text is missing."""
        parsed = variant_of(variant)
        transmission, body, fuel, drive = map(text_of, kind)
        key = ModelKey(text_of(make), text_of(model))
        given = {
            "make": key.make,
            "model": str(key),
            "model_trim": f"{key}|{parsed.trim}",
            "model_variant": f"{key}|{parsed.text}",
            "transmission": transmission,
            "body": body,
            "fuel": fuel,
            "gear": parsed.gear,
            "drive": drive or parsed.drive.lower(),
        }
        return self.complete(given, parsed.litres)

    def complete(self, given: dict[str, str], litres: float) -> CarType:
        """Return the type that texts make up, with what is usual where they are empty."""
        make, model = given["make"], given["model"]
        usual = self._kinds.get(model) or self._kinds.get(make) or self._kinds[""]
        texts = given | {name: given[name] or usual[name] for name in KIND}
        texts["model_powertrain"] = f"{model}|{texts['fuel']}|{texts['transmission']}"
        numbers = self._usual.get(model) or self._usual.get(make) or self._overall
        return CarType(given, texts, litres, numbers)


class CarReader:
    """Turns what is left of a listing into a :class:`Car`."""

    def __init__(self, market: Market, defaults: Defaults) -> None:
        self._valuation_date = market.valuation_date
        self._odometers = odometer_limits(market.distance_unit)
        self._odometer_by_age = defaults.odometer_by_age.tolist()

    def day_of(self, fields: Mapping[str, Any]) -> datetime.date:
        """Return the day of a listing's price: its own, else the valuation date."""
        day: datetime.date | None = fields.get("listed_on")
        return day or self._valuation_date

    def read(self, fields: Mapping[str, Any], car_type: CarType) -> Car:
        """Parse a listing's values by field; NaN is missing, like None."""
        get = fields.get
        day = self.day_of(fields)
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
        engine, litres = get("engine_cc"), car_type.litres
        if engine is not None and engine == engine:  # noqa: PLR0124 - NaN
            given["litres"] = round(engine / 1000 * 10) / 10
        elif litres == litres:  # noqa: PLR0124 - NaN
            given["litres"] = litres
        odometer = get("odometer")
        if (
            odometer is not None
            and odometer == odometer  # noqa: PLR0124 - NaN
            and not is_impossible(odometer, age, self._odometers)
        ):
            given["odometer"] = float(odometer)
        levels = [text_of(get(field)) for field in _LEVEL_FIELDS]
        return self._complete(given, car_type, levels, equipment)

    def _complete(
        self,
        given: dict[str, float],
        car_type: CarType,
        levels: Sequence[str],
        equipment: Sequence[str],
    ) -> Car:
        numbers = car_type.usual | given
        if "odometer" not in given:
            oldest = len(self._odometer_by_age) - 1
            numbers["odometer"] = self._odometer_by_age[int(min(given["age"], oldest))]
        return Car(given, numbers, levels, equipment)

    def read_features(self, features: Features, types: TypeReader) -> Iterator[tuple[CarType, Car]]:
        """Read parsed listings; those of equal texts get the same type."""
        complete = lru_cache(maxsize=None)(
            lambda *texts: types.complete(dict(zip(_TYPE_TEXTS, texts, strict=True)), float("nan"))
        )
        names = tuple(features.numbers)
        rows = (
            zip(*columns, strict=True)
            for columns in (
                (features.texts[name] for name in _TYPE_TEXTS),
                (features.numbers[name].tolist() for name in names),
                (features.texts[name] for name in LEVELS),
            )
        )
        for texts, values, levels, equipment in zip(*rows, features.equipment, strict=True):
            known = {n: v for n, v in zip(names, values, strict=True) if v == v}  # noqa: PLR0124
            car_type = complete(*texts)
            yield car_type, self._complete(known, car_type, levels, _equipment(equipment))


@lru_cache(maxsize=4096)
def _names_of(features: Any) -> tuple[str, ...]:
    joined = equipment_of(features)
    return tuple(joined.split(EQUIPMENT_SEPARATOR)) if joined else ()


def _equipment(features: Any) -> tuple[str, ...]:
    return _names_of(tuple(features) if isinstance(features, list) else features)
