"""Read a listing for the model as its type and its car, and fill in what it leaves out.

Many cars share a type, so that the work on a type can be done once and kept.
"""

import datetime
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from carprice.listings.features import (
    CAR_CATEGORIES,
    TYPE_TEXTS,
    Features,
    ListingReader,
    car_categories_of,
    equipment_of,
    read_type,
)
from carprice.listings.market import Market
from carprice.model.defaults import KIND, USUAL_OF_MODEL, Defaults


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
    categories : texts of :data:`carprice.listings.features.CAR_CATEGORIES`; empty where unknown.
    equipment : normalised names.
    """

    given: dict[str, float]
    numbers: dict[str, float]
    categories: Sequence[str]
    equipment: Sequence[str]


class CarReader:
    """Reads listings as a :class:`CarType` and a :class:`Car`."""

    def __init__(self, market: Market, defaults: Defaults) -> None:
        self._listings = ListingReader(market.valuation_date, market.distance_unit)
        medians = {**defaults.by_group, "": defaults.overall}
        self._usual = {
            key: dict(zip(USUAL_OF_MODEL, numbers.tolist(), strict=True))
            for key, numbers in medians.items()
        }
        self._kinds = {
            key: dict(zip(KIND, kind, strict=True)) for key, kind in defaults.kinds.items()
        }
        self._odometer_by_age = defaults.odometer_by_age.tolist()
        self.day_of = self._listings.day_of

    def read_type(self, *names: Any) -> CarType:
        """Read the values of :data:`carprice.listings.features.TYPE_FIELDS`."""
        return self._complete_type(*read_type(*names))

    def read(self, fields: Mapping[str, Any], day: datetime.date, car_type: CarType) -> Car:
        """Read a listing's values by field; ``day`` is the day that its price is for."""
        equipment = equipment_of(fields.get("features"))
        given = self._listings.numbers_of(fields, day, car_type.litres, len(equipment))
        return self._complete(given, car_type, car_categories_of(fields), equipment)

    def read_features(self, features: Features) -> Iterator[tuple[CarType, Car]]:
        """Read parsed listings; rows with equal :data:`TYPE_TEXTS` share one CarType."""
        complete_type = lru_cache(maxsize=None)(
            lambda *texts: self._complete_type(dict(zip(TYPE_TEXTS, texts, strict=True)), math.nan)
        )
        names = tuple(features.numbers)
        rows = (
            zip(*columns, strict=True)
            for columns in (
                (features.texts[name] for name in TYPE_TEXTS),
                (features.numbers[name].tolist() for name in names),
                (features.texts[name] for name in CAR_CATEGORIES),
            )
        )
        for texts, values, categories, equipment in zip(*rows, features.equipment, strict=True):
            known = {n: v for n, v in zip(names, values, strict=True) if v == v}  # noqa: PLR0124
            car_type = complete_type(*texts)
            yield car_type, self._complete(known, car_type, categories, equipment_of(equipment))

    def _complete_type(self, given: dict[str, str], litres: float) -> CarType:
        make, model = given["make"], given["model"]
        kind = self._kinds.get(model) or self._kinds.get(make) or self._kinds[""]
        texts = given | {name: given[name] or kind[name] for name in KIND}
        texts["model_powertrain"] = f"{model}|{texts['fuel']}|{texts['transmission']}"
        usual = self._usual.get(model) or self._usual.get(make) or self._usual[""]
        return CarType(given, texts, litres, usual)

    def _complete(
        self,
        given: dict[str, float],
        car_type: CarType,
        categories: Sequence[str],
        equipment: Sequence[str],
    ) -> Car:
        numbers = car_type.usual | given
        if "odometer" not in given:
            oldest = len(self._odometer_by_age) - 1
            numbers["odometer"] = self._odometer_by_age[int(min(given["age"], oldest))]
        return Car(given, numbers, categories, equipment)
