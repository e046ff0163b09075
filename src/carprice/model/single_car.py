"""One listing → numbers and categories: :mod:`carprice.features` without arrays.

Reads one listing as :func:`carprice.features.parse` reads many, and completes it as
:meth:`carprice.model.defaults.Defaults.complete` does.
"""

import datetime
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from carprice.features import (
    CATEGORIES,
    PLAIN_NUMBERS,
    count_of,
    equipment_of,
    normalise,
    odometer_limits,
    text_of,
    variant_of,
)
from carprice.market import Market
from carprice.model.defaults import KIND, USUAL_OF_MODEL, Defaults
from carprice.schema import FEATURE_SEPARATOR

_UNKNOWN: Final = math.nan
_CATEGORIES: Final = tuple(CATEGORIES.items())


@dataclass(slots=True)
class Car:
    """A parsed listing.

    Attributes
    ----------
    texts : normalised categories by name (:data:`carprice.features.TEXTS`); empty where unknown.
    numbers : values by name (:data:`carprice.features.NUMBERS` but ``odometer_per_year``, which
        the model does not read); NaN where unknown.
    equipment : normalised names.
    day : the day of the price.
    """

    texts: dict[str, str]
    numbers: dict[str, float]
    equipment: list[str]
    day: datetime.date


class CarReader:
    """Turns a listing's fields into a :class:`Car`."""

    def __init__(self, market: Market) -> None:
        self._valuation_date = market.valuation_date
        self._shortest, self._longest = odometer_limits(market.distance_unit)

    def read(self, fields: Mapping[str, Any]) -> Car:
        """Parse a listing's values by field."""
        get = fields.get
        equipment = equipment_of(get("features"))
        day = get("listed_on") or self._valuation_date
        variant = variant_of(get("variant"))
        texts = {
            name: normalise(text) if isinstance(text := get(field), str) else ""
            for name, field in _CATEGORIES
        }
        texts["drive"] = texts["drive"] or variant.drive.lower()
        texts["make"] = make = text_of(fields["make"])
        texts["model"] = model = f"{make}|{text_of(fields['model'])}"
        texts["model_trim"] = f"{model}|{variant.trim}"
        texts["model_variant"] = f"{model}|{variant.text}"
        texts["gear"] = variant.gear
        numbers = {
            name: _UNKNOWN if (number := get(name)) is None else float(number)
            for name in PLAIN_NUMBERS
        }
        numbers["age"] = age = max(day.year - float(fields["year"]), 0.0)
        numbers["odometer"] = self._plausible(get("odometer"), age)
        numbers["feature_count"] = float(count_of(equipment))
        numbers["litres"] = _litres(get("engine_cc"), variant.litres)
        numbers["listed"] = (day - self._valuation_date).days / 365.25
        return Car(texts, numbers, equipment.split(FEATURE_SEPARATOR), day)

    def _plausible(self, odometer: float | None, age: float) -> float:
        if odometer is None:
            return _UNKNOWN
        if odometer > self._longest or odometer < 0 or (odometer < self._shortest and age > 1):
            return _UNKNOWN
        return float(odometer)


class CarCompleter:
    """Fills what a listing leaves out with what is usual."""

    def __init__(self, defaults: Defaults) -> None:
        self._numbers = {
            key: dict(zip(USUAL_OF_MODEL, medians.tolist(), strict=True))
            for key, medians in defaults.by_group.items()
        }
        self._overall = dict(zip(USUAL_OF_MODEL, defaults.overall.tolist(), strict=True))
        self._kinds = {
            key: dict(zip(KIND, kind, strict=True)) for key, kind in defaults.kinds.items()
        }
        self._odometer_by_age = defaults.odometer_by_age.tolist()

    def complete(self, car: Car) -> Car:
        """Return the car with unknown numbers, transmission, body and fuel filled."""
        texts, numbers = car.texts.copy(), car.numbers.copy()
        model, make = texts["model"], texts["make"]
        usual = self._numbers.get(model) or self._numbers.get(make) or self._overall
        for name in USUAL_OF_MODEL:
            if math.isnan(numbers[name]):
                numbers[name] = usual[name]
        if math.isnan(numbers["odometer"]):
            oldest = len(self._odometer_by_age) - 1
            numbers["odometer"] = self._odometer_by_age[int(min(numbers["age"], oldest))]
        kind = self._kinds.get(model) or self._kinds.get(make) or self._kinds[""]
        for name in KIND:
            texts[name] = texts[name] or kind[name]
        texts["model_powertrain"] = f"{model}|{texts['fuel']}|{texts['transmission']}"
        return Car(texts, numbers, car.equipment, car.day)


def _litres(engine_cc: float | None, of_variant: float) -> float:
    if engine_cc is None or math.isnan(engine_cc):
        return of_variant
    return round(engine_cc / 1000 * 10) / 10
