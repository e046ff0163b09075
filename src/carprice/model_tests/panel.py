"""The fixed panel of cars on which a model is tested, made of the names that it knows.

The same model is always tested on the same cars.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from carprice.listings.keys import DetailKey, ModelKey
from carprice.model import PriceModel
from carprice.model.defaults import KIND

UNSEEN: Final = {"make": "Nobody", "model": "Never Seen", "variant": "qqq xyzzy"}
"""Names that no market has."""
_MODELS: Final = 40
_WITH_UNSEEN: Final = 5
_SHARES: Final = (0.25, 0.75)
_KM_A_YEAR: Final = 12_000.0
_FIELD_OF_KIND: Final = dict(
    zip(KIND, ("transmission_type", "body_type", "fuel_type"), strict=True)
)

CarFields = Mapping[str, Any]
"""A listing: field in snake_case → value; what is not known is left out."""


@dataclass(frozen=True)
class Panel:
    """Cars of the models that a model knows best.

    Attributes
    ----------
    cars : a younger and an older car of each, as training had them.
    known : ``make|model`` → how many ages and variants of it training had.
    """

    cars: tuple[CarFields, ...]
    known: Mapping[str, int]

    @classmethod
    def of(cls, model: PriceModel) -> Self:
        """Choose the cars, in the same way for the same model."""
        ages, variants = _details(model, "model_year"), _details(model, "variant")
        known = {
            name: len(ages[name]) + len(variants[name])
            for name in model.hedonic.coefficients["model"]
            if all(ModelKey.read(name)) and ages[name]
        }
        best = sorted(known, key=lambda name: (-known[name], name))[:_MODELS]
        cars = tuple(
            _car(model, name, _pick([*map(int, ages[name])], share), _pick(variants[name], share))
            for name in best
            for share in _SHARES
        )
        return cls(cars, known)

    def makes(self, count: int) -> dict[str, dict[str, int]]:
        """Return the best known makes, and how well each of their models is known."""
        makes: dict[str, dict[str, int]] = defaultdict(dict)
        for name, weight in sorted(self.known.items()):
            key = ModelKey.read(name)
            makes[key.make][key.model] = weight
        best = sorted(makes, key=lambda make: (-sum(makes[make].values()), make))
        return {make: makes[make] for make in best[:count]}


def by_column(cars: Sequence[CarFields], **same: Any) -> dict[str, list[Any]]:
    """Return cars by column; the fields in ``same`` are set to that value for all cars.

    Examples
    --------
    >>> by_column([{"make": "kia"}, {"make": "audi", "year": 2019}], year=2020)
    {'make': ['kia', 'audi'], 'year': [2020, 2020]}
    """
    changed = [{**car, **same} for car in cars]
    fields = dict.fromkeys(field for car in changed for field in car)
    return {field: [car.get(field) for car in changed] for field in fields}


def with_unseen_names(cars: Sequence[CarFields]) -> list[CarFields]:
    """Return the cars, and copies of a few of them with an unseen make, model or variant."""
    unseen = [{**car, field: name} for car in cars[:_WITH_UNSEEN] for field, name in UNSEEN.items()]
    return [*cars, *unseen]


def usual_odometer(model: PriceModel, age: int) -> float:
    """Return the median odometer of an age in years, in the model's distance unit."""
    usual = model.defaults.odometer_by_age
    found = float(usual[min(age, len(usual) - 1)])
    if math.isnan(found):
        found = _KM_A_YEAR * (age + 0.5) / model.hedonic.km_per_unit
    return round(found)


def _car(model: PriceModel, name: str, age: int, variant: str | None) -> CarFields:
    kinds = zip(_FIELD_OF_KIND.values(), model.defaults.kinds.get(name, ()), strict=False)
    car = {
        **ModelKey.read(name)._asdict(),
        "year": model.market.valuation_date.year - age,
        "odometer": usual_odometer(model, age),
        "ownership": 1,
    }
    optional = {"variant": variant, **dict(kinds)}
    return {**car, **{field: value for field, value in optional.items() if value}}


def _details(model: PriceModel, group: str) -> Mapping[str, list[str]]:
    """Return the ages or variants that training had of each ``make|model``."""
    details: dict[str, list[str]] = defaultdict(list)
    for term in model.hedonic.coefficients[group]:
        key = DetailKey.read(term)
        if key.detail:
            details[str(key.of_model)].append(key.detail)
    return details


def _pick(values: Sequence[Any], share: float) -> Any:
    """Return the value at a quantile, without interpolation; None if there are no values."""
    return sorted(values)[int(share * (len(values) - 1) + 0.5)] if values else None
