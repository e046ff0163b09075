"""The listing: the one declaration of its fields, their kinds, bounds, units and examples.

The schema of the training data, the request model, the registry's signature and the web form derive
from :class:`Listing`. Names are snake_case in Python, camelCase in JSON, files and OpenAPI.
"""

import datetime
import math
import re
import types
from collections.abc import Iterable, Mapping
from contextlib import suppress
from enum import StrEnum
from typing import Annotated, Any, Final, Union, get_args, get_origin

from annotated_types import Ge, Le
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

PRICE: Final = "price"
CAR_ID: Final = "id"
"""What names a car in a source, so that all its listings are known; no field of a listing."""
ASKING_PRICE: Final = "asking_price"
"""What a request may say of the price that is asked; no field of a listing, which models learn."""
MOST_ASKED: Final = 1e12
"""The highest asking price that is read."""
LIST_PRICE: Final = "new_price"
"""The field that is known of any car before there is a price, however well it tells the price."""
PRICE_ALIASES: Final = ("price", "listingPrice", "listing_price")
PRICE_NAMES: Final = ("predictedPrice", "priceLow", "priceHigh")
"""What answers call a price and the ends of its range: in JSON, files and the registry."""
ANSWER_NAMES: Final = (*PRICE_NAMES, "valuationDate", "warnings")
"""What answers call all that is said of one listing; see ``Valuation`` for the values."""
MODEL_NAMES: Final = ("confidence", "currency", "modelDigest")
"""What answers call all that is said of the model; see ``PriceModel.content`` for the values."""
CONFIDENCE_RANGE: Final = (0.5, 0.99)
DEFAULT_CONFIDENCE: Final = 0.9
YEARLY_DISTANCE_RANGE: Final = (0.0, 200_000.0)
"""What a car may be said to be driven in a year, in the market's distance unit."""
EQUIPMENT_SEPARATOR: Final = "|"

REFERENCE_EQUIPMENT: Final = (
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
"""Equipment that has a 0/1 column of its own in the reference files; read into ``features``."""

_NUMBERS: Final = (
    "zeroth zero unregistered, first one single, second two, third three, fourth four, fifth five, "
    "sixth six, seventh seven, eighth eight, ninth nine, tenth ten"
)
_ORDINALS: Final = {
    word: number for number, words in enumerate(_NUMBERS.split(",")) for word in words.split()
}
_MOST_DIGITS: Final = 9


class FieldKind(StrEnum):
    """How the values of a field are stored."""

    TEXT = "text"
    NUMBER = "number"
    INTEGER = "integer"
    DATE = "date"
    EQUIPMENT = "features"
    FLAG = "yes or no"


NUMERIC: Final = frozenset({FieldKind.NUMBER, FieldKind.INTEGER})


def parse_ordinal(value: object) -> object:
    """Return a number of owners that is given in words; anything else is returned unchanged."""
    if not isinstance(value, str):
        return value
    for word in re.findall(r"[a-z]+|\d+", value.lower()):
        if word.isdigit():
            return int(word) if len(word) <= _MOST_DIGITS else value
        if word in _ORDINALS:
            return _ORDINALS[word]
    return value


def split_equipment(value: object) -> object:
    """Split equipment that is given as one text; anything else is returned unchanged."""
    if isinstance(value, str):
        is_printed_list = value.strip().startswith("[") and value.strip().endswith("]")
        around = " \t\n[]'\"" if is_printed_list else None
        names = (name.strip(around) for name in re.split(r"[,;|]", value))
        return [name for name in names if name]
    return value


_ORDINAL_FORM: Final = (
    r"^(?:(?:1?[0-9]|20)(?:st|nd|rd|th)?|"
    + "|".join(form for word in _ORDINALS for form in (word, word.capitalize(), word.upper()))
    + r")(?: (?:& [Aa]bove )?(?:[Oo]wner|OWNER)| [Cc]ar)?$"
)
_MOST_NAMES: Final = 200
_EQUIPMENT_FORM: Final = r"^[^,;|]{0,200}(?:[,;|][^,;|]{0,200}){0,199}$"


def _owners(value: object) -> object:
    if isinstance(value, str) and re.search(_ORDINAL_FORM, value):
        return parse_ordinal(value)
    return _whole(value)


def _whole(value: object) -> object:
    if isinstance(value, (str, bool)):
        raise PydanticCustomError("int_type", "Input should be a valid integer")
    return value


def _list_of_equipment(value: object) -> object:
    is_long = isinstance(value, list | tuple) and len(value) > _MOST_NAMES
    if is_long or (isinstance(value, str) and not re.search(_EQUIPMENT_FORM, value)):
        raise PydanticCustomError("too_long", "Input should be at most 200 names of 200 characters")
    return split_equipment(value)


def _bounds_are_in_its_parts(schema: dict[str, Any]) -> None:
    for bound in ("ge", "le"):
        schema.pop(bound, None)


def _day(value: object) -> object:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        with suppress(ValueError):
            return datetime.date.fromisoformat(value)
    if type(value) is datetime.date:
        return value
    raise PydanticCustomError("date_type", "Input should be a day such as 2024-11-30")


# Clients rely on the JSON schema: a field accepts exactly what its schema allows.
# Python and JavaScript differ in what is white space: the pattern names what either leaves out.
Text = Annotated[str, Field(min_length=1, max_length=200, pattern=r"[^\s\x1c-\x1f\x85\ufeff]")]
OptionalText = Annotated[str, Field(max_length=200)] | None  # blank is missing, as in a file
Number = Annotated[float, Field(strict=True)]
Year = Annotated[
    int, BeforeValidator(_whole, json_schema_input_type=Annotated[int, Field(ge=1900, le=2100)])
]
Owners = Annotated[
    int,
    BeforeValidator(
        _owners,
        json_schema_input_type=Annotated[int, Field(ge=0, le=20)]
        | Annotated[str, Field(pattern=_ORDINAL_FORM)],
    ),
]
_Equipment = Annotated[tuple[Text, ...], Field(max_length=_MOST_NAMES, fail_fast=True)]
Equipment = Annotated[
    _Equipment,
    BeforeValidator(
        _list_of_equipment,
        json_schema_input_type=_Equipment | Annotated[str, Field(pattern=_EQUIPMENT_FORM)],
    ),
]
Day = Annotated[datetime.date, BeforeValidator(_day)]


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
        allow_inf_nan=False,
        protected_namespaces=(),
        title="Listing",
    )

    make: Text = Field(description="Manufacturer", examples=["Maruti"])
    model: Text = Field(description="Model line of the manufacturer", examples=["Swift"])
    variant: OptionalText = Field(
        None, description="Trim, engine and gearbox as advertised", examples=["VXI 1.2 AMT"]
    )
    year: Year = Field(description="Model year", ge=1900, le=2100, examples=[2019])
    transmission_type: OptionalText = Field(None, description="Gearbox", examples=["Automatic"])
    body_type: OptionalText = Field(None, description="Body style", examples=["Hatchback"])
    fuel_type: OptionalText = Field(None, description="Fuel", examples=["Petrol"])
    ownership: Owners | None = Field(
        None,
        ge=0,
        le=20,
        description="Which owner sells, as a number or a word: 1 is the first, 0 never registered",
        examples=[1],
        json_schema_extra=_bounds_are_in_its_parts,
    )
    color: OptionalText = Field(None, description="Paint colour", examples=["White"])
    odometer: Number = Field(
        description="Distance driven, in the market's distance unit", ge=0, le=1e7, examples=[42000]
    )
    fitness_age: Number | None = Field(
        None,
        description="Years for which the registration is valid from new",
        ge=0,
        le=50,
        examples=[15],
    )
    features: Equipment | None = Field(
        None,
        description="Names of equipment that the car has",
        examples=[["Bluetooth", "AlloyWheels"]],
    )
    engine_cc: Number | None = Field(
        None, description="Engine displacement, cubic centimetres", ge=0, le=20000, examples=[1197]
    )
    power_bhp: Number | None = Field(
        None, description="Engine power, brake horsepower", ge=0, le=2500, examples=[83]
    )
    cylinders: Number | None = Field(
        None, description="Number of cylinders", ge=0, le=20, examples=[4]
    )
    seats: Number | None = Field(None, description="Number of seats", ge=1, le=100, examples=[5])
    fuel_economy: Number | None = Field(
        None,
        description="Distance per volume of fuel, in the market's own unit",
        ge=0,
        le=1000,
        examples=[21.2],
    )
    road_tax: Number | None = Field(
        None, description="Yearly road tax, in the market's currency", ge=0, le=1e9, examples=[145]
    )
    new_price: Number | None = Field(
        None,
        description="List price of such a car when new, in the market's currency",
        ge=0,
        le=1e12,
        examples=[650000],
    )
    drive: OptionalText = Field(None, description="Driven wheels", examples=["4WD"])
    condition: OptionalText = Field(None, description="Condition as advertised", examples=["good"])
    seller_type: OptionalText = Field(None, description="Who sells", examples=["Dealer"])
    region: OptionalText = Field(None, description="Where the car is sold", examples=["Delhi"])
    listed_on: Day | None = Field(
        None,
        description="Day the listing was seen; the price is for that day",
        examples=["2024-11-30"],
    )


FIELDS: Final = tuple(Listing.model_fields)
REFERENCE_FIELDS: Final = FIELDS[: FIELDS.index("features") + 1]
"""The twelve fields of the reference data. Other markets may have the rest."""


OWN_KINDS: Final = {
    "flag": FieldKind.FLAG,
    "number": FieldKind.NUMBER,
    "category": FieldKind.TEXT,
}
"""The kinds of a market's own columns, by their names in ``ingest.extra``."""
MOST_OWN: Final = 50
"""How many own columns a market may have."""
OWN_LIMIT: Final = 1e12
"""The numbers of an own column lie between minus this and this."""
_OWN_FIELD: Final = re.compile(rf"(?:{'|'.join(OWN_KINDS)}):[a-z][A-Za-z0-9]{{0,39}}")


def own_field(name: str, kind: str) -> str:
    """Return the field of a market's own column: its kind stands before its name.

    Examples
    --------
    >>> own_field("accident", "flag"), alias("flag:accident")
    ('flag:accident', 'accident')
    """
    return f"{kind}:{name}"


def is_own(field: str) -> bool:
    """Whether a field, or a feature of that name, is a market's own column."""
    return ":" in field


def own_of(fields: Iterable[str]) -> tuple[str, ...]:
    """Return the own columns among fields, in the one order that they have everywhere."""
    return tuple(sorted(filter(is_own, fields)))


def own_texts(fields: Iterable[str]) -> tuple[str, ...]:
    """Return the own columns whose values are texts; flags are "yes" and "no"."""
    return tuple(field for field in own_of(fields) if kind_of(field) not in NUMERIC)


def own_numbers(fields: Iterable[str]) -> tuple[str, ...]:
    """Return the own columns whose values are numbers."""
    return tuple(field for field in own_of(fields) if kind_of(field) in NUMERIC)


def why_not_own(field: str, *, of_before: bool = False) -> str:
    """Return why a field cannot be a market's own column, in words; empty if it can.

    Parameters
    ----------
    of_before : whether it may be of a model that was trained before some names were taken.

    Examples
    --------
    >>> why_not_own("flag:accident"), why_not_own("number:odometer")
    ('', 'odometer is a field of every listing; map it in ingest.columns')
    """
    name = alias(field)
    if told := _TAKEN.get(name.casefold()):
        return f"{name} is {told}; map it in ingest.columns"
    taken = name.casefold() in _TAKEN or hasattr(Listing, name)
    if taken or (not of_before and name.casefold() in _TAKEN_SINCE):
        return f"{name} means something else in requests and answers; write another name"
    if not _OWN_FIELD.fullmatch(field):
        return f"{name!r} is no name; write letters and digits in camelCase, such as emissionClass"
    return ""


def is_asking_price(field: str) -> bool:
    """Whether an own column has the name by which requests give an asking price."""
    return is_own(field) and alias(field) == alias(ASKING_PRICE)


def alias(field: str) -> str:
    """Return the camelCase name of a field."""
    if is_own(field):
        return field.partition(":")[2]
    return to_camel(field) if "_" in field else field


def name_in_requests(field: str) -> str:
    """Return the name of a field in Python: snake_case, or an own column's own name."""
    return alias(field) if is_own(field) else field


def names_of(field: str) -> tuple[str, ...]:
    """Return the names by which files and params.yaml may call a field or the price."""
    if is_own(field):
        return (alias(field),)
    return PRICE_ALIASES if field == PRICE else (alias(field), field)


def _value_type(annotation: Any) -> Any:
    """Unwrap ``Annotated[X, …] | None`` to ``X``."""
    if get_origin(annotation) in (Union, types.UnionType, Annotated):
        return _value_type(get_args(annotation)[0])
    return get_origin(annotation) or annotation


_KINDS: Final = {
    str: FieldKind.TEXT,
    float: FieldKind.NUMBER,
    int: FieldKind.INTEGER,
    tuple: FieldKind.EQUIPMENT,
    datetime.date: FieldKind.DATE,
}
KINDS: Final[Mapping[str, FieldKind]] = {
    name: _KINDS[_value_type(info.annotation)] for name, info in Listing.model_fields.items()
}
REQUIRED: Final = tuple(name for name, info in Listing.model_fields.items() if info.is_required())
"""What a request must hold."""
REQUIRED_OF_A_ROW: Final = tuple(name for name in REQUIRED if name != "odometer")
"""What a row of a file must hold. Its odometer may be missing, or taken as missing where it cannot
be right."""

_TAKEN: Final = {
    **dict.fromkeys((*(name.casefold() for name in ANSWER_NAMES + MODEL_NAMES), CAR_ID), ""),
    **dict.fromkeys(("featurecount", "feature_count", "problem", "row", "modelversion"), ""),
    **{name.casefold(): "the price" for name in PRICE_ALIASES},
    **{name.casefold(): "a field of every listing" for field in FIELDS for name in names_of(field)},
}
"""Names, in lower case, that an own column cannot have, and what they are."""
DEAL_COLUMNS: Final = ("deal", "dealReason", "percentile", "difference", "perCent")
"""What a CSV answer calls what is said of an asking price."""
_ASKED: Final = frozenset((ASKING_PRICE, "askingprice"))
_TAKEN_SINCE: Final = _ASKED | {name.casefold() for name in (*DEAL_COLUMNS, "quoteId")}
"""Such names that model folders of before may have."""

_HIDDEN_IN_NAMES: Final = dict.fromkeys(map(ord, "\u200b\u200e\u200f\u2060\ufeff"))


def kind_of(field: str) -> FieldKind:
    """Return the kind of a field, of the price, or of what names a car."""
    if is_own(field):
        return OWN_KINDS[field.partition(":")[0]]
    return FieldKind.TEXT if field == CAR_ID else KINDS.get(field, FieldKind.NUMBER)


def column_name(name: object) -> str:
    r"""Return the name of a file's column without line breaks, needless spaces and hidden signs.

    Examples
    --------
    >>> column_name("\ufeffOdometer\n (km) ")
    'Odometer (km)'
    """
    return " ".join(str(name).translate(_HIDDEN_IN_NAMES).split())


def bounds(field: str) -> tuple[float, float]:
    """Return the smallest and largest value a numeric field may have."""
    if is_own(field):
        return (0.0, 1.0) if kind_of(field) is FieldKind.FLAG else (-OWN_LIMIT, OWN_LIMIT)
    rules = Listing.model_fields[field].metadata
    low: Any = next((rule.ge for rule in rules if isinstance(rule, Ge)), -math.inf)
    high: Any = next((rule.le for rule in rules if isinstance(rule, Le)), math.inf)
    return float(low), float(high)


def join_equipment(names: Iterable[str]) -> str:
    """Join the names of equipment into one canonical text: sorted, without repeats.

    Examples
    --------
    >>> join_equipment(["Bluetooth", "AlloyWheels", "Bluetooth"]), join_equipment([])
    ('AlloyWheels|Bluetooth', '')
    """
    return EQUIPMENT_SEPARATOR.join(sorted(set(names)))


def example_listing() -> dict[str, Any]:
    """Return the example listing of docs, pages and tests, by camelCase name."""
    shown = (*REFERENCE_FIELDS, "engine_cc", "power_bhp", "seats")
    return {alias(name): (Listing.model_fields[name].examples or [None])[0] for name in shown}
