"""Reasons to trust an answer less, and how they are worded; JSON calls them ``warnings``."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field

from carprice.listings.features import LISTED_YEARS
from carprice.listings.keys import ModelKey
from carprice.model.vocabulary import Vocabulary
from carprice.schema import alias

CHECKED_NUMBERS: Final = {
    "age": "year",
    "odometer": "odometer",
    "ownership": "ownership",
    "litres": "engine_cc",
    "power_bhp": "power_bhp",
    "seats": "seats",
    "cylinders": "cylinders",
}
"""Numbers whose training range is checked, and the listing's field behind each."""
CautionKind = Annotated[
    Literal[
        "unseen_make", "unseen_model", "unseen_variant", "out_of_range", "implausible", "not_used"
    ],
    Field(examples=["unseen_variant"]),
]
"""``not_used`` is of fields that the service accepts and does not use."""
_UNSEEN: Final[dict[str, tuple[CautionKind, str]]] = {
    "make": ("unseen_make", "every make"),
    "model": ("unseen_model", "its make"),
    "variant": ("unseen_variant", "its model"),
}
"""Kind of caution for each name that training did not have, and whose average stands in."""


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


def first_unseen(
    known: Mapping[str, Mapping[str, float]], make: str, model: str, variant: str | None
) -> str | None:
    """Return the first field of make, model and variant whose value training did not have.

    Parameters
    ----------
    known : the ridge's coefficients.
    make, model, variant : normalised as :class:`carprice.listings.features.Features` has them
        (``make``, ``model``, ``model_variant``); no variant if the listing tells none.
    """
    if make not in known["make"]:
        return "make"
    if model not in known["model"]:
        return "model"
    # A market without variants has no words of them, and their absence is nothing to tell.
    if variant is not None and known["word"] and variant not in known["variant"]:
        return "variant"
    return None


def unseen(field: str, given: object, model: str, vocabulary: Vocabulary) -> Caution:
    """Tell that a name was not in the training data, and what it may have meant.

    Parameters
    ----------
    field : ``make``, ``model`` or ``variant``.
    given : its value as the listing has it.
    model : ``make|model``, normalised.
    """
    key = ModelKey.read(model)
    if field == "make":
        nearest = vocabulary.nearest_makes(key.make)
    elif field == "model":
        nearest = vocabulary.nearest_models(*key)
    else:
        nearest = vocabulary.nearest_variants(*key, str(given))
    kind, parent = _UNSEEN[field]
    message = f"{field} {given!r} was not in the training data; priced like {parent} on average"
    if nearest:
        message += f"; nearest known: {', '.join(nearest)}"
    return Caution(kind, field, message)


def impossible_odometer(odometer: float, age: float, distance_unit: str) -> Caution:
    """Tell that a distance is not one that a car of so many years can have driven."""
    return Caution(
        "implausible",
        "odometer",
        f"{odometer:,.0f} {distance_unit} cannot be right for a car of {age:.0f} years; "
        "priced as if it were not known",
    )


def future_year(year: float) -> Caution:
    """Tell that a model year lies after the year that follows the price's day."""
    message = f"{year:.0f} is after the day of the price; priced as a new car"
    return Caution("implausible", "year", message)


def is_far(day: datetime.date, valuation_date: datetime.date) -> bool:
    """Whether prices are not told for a day, being so far from the data's."""
    low, high = LISTED_YEARS
    return not low <= (day - valuation_date).days / 365.25 <= high


def far_day(day: datetime.date, valuation_date: datetime.date) -> Caution:
    """Tell that a listing's day is far from the data's."""
    message = (
        f"{day} is far from {valuation_date}, the day of the data; the market's trend is taken "
        f"for {abs(LISTED_YEARS[day > valuation_date]):g} years at most"
    )
    return Caution("out_of_range", alias("listed_on"), message)


def out_of_range(number: str, value: float, low: float, high: float) -> Caution:
    """Tell that a number of :data:`CHECKED_NUMBERS` lies outside what training had."""
    field = alias(CHECKED_NUMBERS[number])
    what = f"an age of {value:g} years" if number == "age" else f"{field} {value:g}"
    return Caution(
        "out_of_range", field, f"{what} is outside {low:g}–{high:g}, what the model has seen"
    )
