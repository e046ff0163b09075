"""Cautions: reasons to trust an answer less, in words; JSON calls them ``warnings``."""

import datetime
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field

from carprice.listings.features import LEAST_CC, LISTED_YEARS, text_of
from carprice.listings.keys import ModelKey
from carprice.model.car import Car, CarType
from carprice.schema import alias, own_numbers

if TYPE_CHECKING:
    from carprice.model.price_model import PriceModel

_CHECKED_NUMBERS: Final = {
    "age": "year",
    "odometer": "odometer",
    "ownership": "ownership",
    "litres": "engine_cc",
    "power_bhp": "power_bhp",
    "seats": "seats",
    "cylinders": "cylinders",
    "fitness_age": "fitness_age",
    "fuel_economy": "fuel_economy",
    "road_tax": "road_tax",
    "new_price": "new_price",
}
"""Numbers whose training range is checked, and the listing's field behind each."""
CautionKind = Annotated[
    Literal[
        "unseen_make",
        "unseen_model",
        "unseen_variant",
        "unseen_value",
        "out_of_range",
        "implausible",
        "not_used",
    ],
    Field(examples=["unseen_variant"]),
]
"""``not_used`` is for fields that the service accepts, but that it or its model does not use."""


@dataclass(frozen=True)
class Caution:
    """A reason to trust an answer less; ``field`` is the listing's, in camelCase."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    kind: CautionKind
    field: Annotated[str, Field(examples=["variant"])]
    message: Annotated[
        str,
        Field(
            examples=[
                "variant 'VXI CVT' was not in the training data; priced like its model on average"
            ]
        ),
    ]


class Cautions:
    """Finds the reasons for which an answer deserves less trust."""

    def __init__(self, model: "PriceModel") -> None:
        self._model = model
        limits = {**model.trained_on, **model.usual_ranges}
        own = {name: name for name in own_numbers(model.own)}
        self._fields = {**_CHECKED_NUMBERS, **own}
        self._limits = [(name, *limits[name]) for name in self._fields if name in limits]
        self._reads_engines = "litres" in limits
        self._reads_distances = "odometer" in model.trained_on

    def of_type(self, names: Mapping[str, Any], car_type: CarType) -> tuple[Caution, ...]:
        """Return the caution about the first of make, model and variant that is not in training.

        Parameters
        ----------
        names : make, model and variant as the listing has them.
        """
        given, model = car_type.given, self._model
        known, variant = model.hedonic.coefficients, names["variant"]
        key = ModelKey.read(given["model"])
        asked: tuple[str, ...]
        kind: CautionKind
        if given["make"] not in known["make"]:
            kind, parent, asked = "unseen_make", "every make", key[:1]
        elif given["model"] not in known["model"]:
            kind, parent, asked = "unseen_model", "its make", key
        elif (
            text_of(variant)
            and model.knows_variants
            and given["model_variant"] not in known["variant"]
        ):
            kind, parent, asked = "unseen_variant", "its model", (*key, variant)
        else:
            return ()
        field = kind.removeprefix("unseen_")
        message = (
            f"{field} {names[field]!r} was not in the training data; "
            f"priced like {parent} on average"
        )
        if nearest := model.vocabulary.nearest(*asked):
            message += f"; nearest known: {', '.join(nearest)}"
        return (Caution(kind, field, message),)

    def of_car(self, listing: Mapping[str, Any], car: Car, day: datetime.date) -> Iterator[Caution]:
        """Yield the cautions about a car's numbers and about ``day``, which its price is for."""
        given, market = car.given, self._model.market
        odometer, year = listing.get("odometer"), listing["year"]
        if "odometer" not in given and odometer is not None and not math.isnan(odometer):
            if self._reads_distances:
                message = (
                    f"{odometer:,.0f} {market.distance_unit} cannot be right for a car of "
                    f"{given['age']:.0f} years; priced as if it were not known"
                )
                yield Caution("implausible", "odometer", message)
            else:
                message = "odometer is not used: the model was trained without distances"
                yield Caution("not_used", "odometer", message)
        if year > day.year + 1:
            message = f"{year:.0f} is after the day of the price; priced as a new car"
            yield Caution("implausible", "year", message)
        engine = listing.get("engine_cc")
        if engine is not None and 0 < engine < LEAST_CC and self._reads_engines:
            message = (
                f"engineCc {engine:g} cannot be cubic centimetres; priced as if it were not known; "
                "give cubic centimetres, not litres"
            )
            yield Caution("out_of_range", alias("engine_cc"), message)
        low, high = LISTED_YEARS
        if day is not market.valuation_date and not (
            low <= (day - market.valuation_date).days / 365.25 <= high
        ):
            message = (
                f"{day} is far from {market.valuation_date}, the day of the data; the market's "
                f"trend is taken for {abs(high if day > market.valuation_date else low):g} years "
                "at most"
            )
            yield Caution("out_of_range", alias("listed_on"), message)
        for name, low, high in self._limits:
            number = given.get(name)
            if number is not None and not low <= number <= high:
                field = alias(self._fields[name])
                if name == "age":
                    what, seen = f"an age of {number:g} years", f"{low:g}–{high:g}"
                else:
                    shown, unit = number, 1.0
                    if name == "litres":
                        shown, unit = listing.get("engine_cc") or number * 1000, 1000.0
                    what = f"{field} {_told(shown)}"
                    seen = f"{_told(low * unit)}–{_told(high * unit)}"
                message = f"{what} is outside {seen}, what the model has seen"
                yield Caution("out_of_range", field, message)


def _told(number: float) -> str:
    return f"{number:g}" if abs(number) < 1e6 else f"{number:,.0f}"
