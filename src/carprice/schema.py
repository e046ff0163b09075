"""What a listing is: the one declaration of its fields, kinds, bounds, units and examples.

Training validation, the request model, the registry's signature and every form derive from
:class:`Listing`. Python uses snake_case names; JSON, files and OpenAPI use the camelCase alias.
"""

import datetime
import re
import types
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Annotated, Any, Final, Union, get_args, get_origin

from annotated_types import Ge, Le
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

PRICE: Final = "price"
PRICE_ALIASES: Final = ("price", "listingPrice", "listing_price")
FEATURE_SEPARATOR: Final = "|"

REFERENCE_FEATURES: Final = (
    "360DegreeCamera",
    "AlloyWheels",
    "AppleCarplayAndroidAuto",
    "Bluetooth",
    "CruiseControl",
    "GpsNavigation",
    "InfotainmentSystem",
    "LeatherSeats",
    "ParkingAssist",
    "PushButtonStart",
    "RearAc",
    "SpecialRegNo",
    "Sunroof/Moonroof",
    "TopModel",
    "Tpms",
    "VentilatedSeats",
)
"""Equipment that the reference files hold as 0/1 columns; they are read into ``features``."""

_ORDINALS: Final = {
    word: number
    for number, words in enumerate(
        (
            "zeroth zero unregistered",
            "first one single",
            "second two",
            "third three",
            "fourth four",
            "fifth five",
            "sixth six",
            "seventh seven",
            "eighth eight",
            "ninth nine",
            "tenth ten",
        )
    )
    for word in words.split()
}


class Kind(StrEnum):
    """How a field is stored: text, a number, a date or a set of equipment names."""

    TEXT = "text"
    NUMBER = "number"
    INTEGER = "integer"
    DATE = "date"
    FEATURES = "features"


def parse_ordinal(value: object) -> object:
    """Read a number of owners from words; what is not understood is returned as it is.

    Examples
    --------
    >>> parse_ordinal("Second Owner"), parse_ordinal("1st owner"), parse_ordinal("Fourth & Above")
    (2, 1, 4)
    >>> parse_ordinal("Test Drive Car")
    'Test Drive Car'
    """
    if not isinstance(value, str):
        return value
    for word in re.findall(r"[a-z]+|\d+", value.lower()):
        if word.isdigit():
            return int(word)
        if word in _ORDINALS:
            return _ORDINALS[word]
    return value


def split_features(value: object) -> object:
    """Read equipment given as one comma-separated text; anything else is returned as it is.

    Examples
    --------
    >>> split_features("Bluetooth, AlloyWheels")
    ['Bluetooth', 'AlloyWheels']
    """
    if isinstance(value, str):
        return [name.strip() for name in re.split(r"[,;|]", value) if name.strip()]
    return value


Text = Annotated[str, Field(min_length=1, max_length=200)]


class Listing(BaseModel):
    """One used car as it is advertised.

    ``make``, ``model``, ``year`` and ``odometer`` are required, the rest may be missing.

    Examples
    --------
    >>> car = Listing(make="Maruti", model="Swift", year=2019, odometer=42000, ownership="First")
    >>> car.ownership, car.model_dump(by_alias=True, exclude_none=True)["odometer"]
    (1, 42000.0)
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        str_strip_whitespace=True,
        allow_inf_nan=False,
        protected_namespaces=(),
        title="Listing",
    )

    make: Text = Field(description="Manufacturer", examples=["Maruti"])
    model: Text = Field(description="Model line of the manufacturer", examples=["Swift"])
    variant: Text | None = Field(
        None, description="Trim, engine and gearbox as advertised", examples=["VXI 1.2 AMT"]
    )
    year: int = Field(description="Model year", ge=1900, le=2100, examples=[2019])
    transmission_type: Text | None = Field(None, description="Gearbox", examples=["Automatic"])
    body_type: Text | None = Field(None, description="Body style", examples=["Hatchback"])
    fuel_type: Text | None = Field(None, description="Fuel", examples=["Petrol"])
    ownership: Annotated[int, BeforeValidator(parse_ordinal)] | None = Field(
        None,
        description="Which owner sells: 1 is the first owner, 0 never registered",
        ge=0,
        le=20,
        examples=[1],
    )
    color: Text | None = Field(None, description="Paint colour", examples=["White"])
    odometer: float = Field(
        description="Distance driven, in the market's distance unit", ge=0, le=1e7, examples=[42000]
    )
    fitness_age: float | None = Field(
        None,
        description="Years for which the registration is valid from new",
        ge=0,
        le=50,
        examples=[15],
    )
    features: Annotated[tuple[Text, ...], BeforeValidator(split_features)] | None = Field(
        None,
        description="Names of equipment that the car has",
        max_length=200,
        examples=[["Bluetooth", "AlloyWheels"]],
    )
    engine_cc: float | None = Field(
        None, description="Engine displacement, cubic centimetres", ge=0, le=20000, examples=[1197]
    )
    power_bhp: float | None = Field(
        None, description="Engine power, brake horsepower", ge=0, le=2500, examples=[83]
    )
    cylinders: float | None = Field(
        None, description="Number of cylinders", ge=0, le=20, examples=[4]
    )
    seats: float | None = Field(None, description="Number of seats", ge=1, le=100, examples=[5])
    fuel_economy: float | None = Field(
        None,
        description="Distance per volume of fuel, in the market's own unit",
        ge=0,
        le=1000,
        examples=[21.2],
    )
    road_tax: float | None = Field(
        None, description="Yearly road tax, in the market's currency", ge=0, le=1e9, examples=[145]
    )
    drive: Text | None = Field(None, description="Driven wheels", examples=["4WD"])
    condition: Text | None = Field(None, description="Condition as advertised", examples=["good"])
    seller_type: Text | None = Field(None, description="Who sells", examples=["Dealer"])
    region: Text | None = Field(None, description="Where the car is sold", examples=["Delhi"])
    listed_on: datetime.date | None = Field(
        None, description="Day the listing was seen; the price is for that day"
    )


FIELDS: Final = tuple(Listing.model_fields)
REFERENCE_FIELDS: Final = FIELDS[: FIELDS.index("features") + 1]
"""The twelve fields of the reference data; the others are for markets that have them."""


def alias(field: str) -> str:
    """Return the camelCase name of a field.

    Examples
    --------
    >>> alias("transmission_type"), alias("price")
    ('transmissionType', 'price')
    """
    return to_camel(field)


def _value_type(annotation: Any) -> Any:
    """Unwrap ``Annotated[X, …] | None`` to ``X``."""
    if get_origin(annotation) in (Union, types.UnionType):
        annotation = next(part for part in get_args(annotation) if part is not type(None))
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return get_origin(annotation) or annotation


_KINDS: Final = {
    str: Kind.TEXT,
    float: Kind.NUMBER,
    int: Kind.INTEGER,
    tuple: Kind.FEATURES,
    datetime.date: Kind.DATE,
}
KINDS: Final[Mapping[str, Kind]] = {
    name: _KINDS[_value_type(info.annotation)] for name, info in Listing.model_fields.items()
}
REQUIRED: Final = tuple(name for name, info in Listing.model_fields.items() if info.is_required())


def fields_of(*kinds: Kind) -> tuple[str, ...]:
    """Return the fields of the given kinds, in the order of their declaration.

    Examples
    --------
    >>> fields_of(Kind.INTEGER)
    ('year', 'ownership')
    """
    return tuple(name for name, kind in KINDS.items() if kind in kinds)


def bounds(field: str) -> tuple[float, float]:
    """Return the smallest and largest value a numeric field may have.

    Examples
    --------
    >>> bounds("year")
    (1900.0, 2100.0)
    """
    low, high = -float("inf"), float("inf")
    for rule in Listing.model_fields[field].metadata:
        if isinstance(rule, Ge):
            low = float(rule.ge)  # type: ignore[arg-type]
        elif isinstance(rule, Le):
            high = float(rule.le)  # type: ignore[arg-type]
    return low, high


def join_features(names: Iterable[str]) -> str:
    """Return equipment names as one canonical text: sorted, without repeats.

    Examples
    --------
    >>> join_features(["Bluetooth", "AlloyWheels", "Bluetooth"])
    'AlloyWheels|Bluetooth'
    """
    return FEATURE_SEPARATOR.join(sorted(set(names)))


def example_listing() -> dict[str, Any]:
    """Return the example that every page and test shows, in camelCase."""
    shown = (*REFERENCE_FIELDS, "engine_cc", "power_bhp", "seats")
    return {alias(name): (Listing.model_fields[name].examples or [None])[0] for name in shown}
