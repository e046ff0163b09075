import datetime
import math
from typing import Any

import pytest
from pydantic import ValidationError

from carprice.schema import (
    FIELDS,
    KINDS,
    REFERENCE_FIELDS,
    REQUIRED,
    FieldKind,
    Listing,
    alias,
    bounds,
    example_listing,
    parse_ordinal,
    split_equipment,
)

CAR = {"make": "Kia", "model": "Rio", "year": 2019, "odometer": 45000}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Second Owner", 2),
        ("1st owner", 1),
        ("Fourth & Above Owner", 4),
        ("UNREGISTERED Car", 0),
        ("tenth", 10),
        ("12", 12),
        (3, 3),
        (None, None),
        ("Test Drive Car", "Test Drive Car"),
        ("", ""),
        (f"owner {'9' * 5000}", f"owner {'9' * 5000}"),
    ],
)
def test_owners_are_read_from_words(value: object, expected: object) -> None:
    assert parse_ordinal(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Bluetooth, AlloyWheels", ["Bluetooth", "AlloyWheels"]),
        ("Bluetooth|Tpms;RearAc", ["Bluetooth", "Tpms", "RearAc"]),
        (" , ", []),
        ("", []),
        (["Bluetooth"], ["Bluetooth"]),
        (None, None),
    ],
)
def test_equipment_in_one_text_is_split(value: object, expected: object) -> None:
    assert split_equipment(value) == expected


def test_both_spellings_of_a_field_are_accepted() -> None:
    snake = Listing.model_validate({**CAR, "fuel_type": "Petrol", "engine_cc": 1197})
    assert snake == Listing.model_validate({**CAR, "fuelType": "Petrol", "engineCc": 1197})
    assert snake.model_dump(by_alias=True, exclude_none=True)["engineCc"] == 1197


@pytest.mark.parametrize(
    ("field", "value", "read"),
    [
        ("ownership", "Second Owner", 2),
        ("features", "Bluetooth, Tpms", ("Bluetooth", "Tpms")),
        ("features", [], ()),
        ("ownership", "1st owner", 1),
        ("odometer", 45000, 45000.0),
        ("year", 1900, 1900),
        ("year", 2019.0, 2019),
        ("listed_on", "2024-11-30", datetime.date(2024, 11, 30)),
        ("color", None, None),
    ],
)
def test_a_value_is_read_leniently(field: str, value: object, read: object) -> None:
    assert getattr(Listing.model_validate({**CAR, field: value}), field) == read


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("make", ""),
        ("make", "   "),
        ("make", "x" * 201),
        ("make", None),
        ("year", 1899),
        ("year", 2101),
        ("year", 2019.5),
        ("year", "2019"),
        ("year", True),
        ("odometer", "45000"),
        ("odometer", True),
        ("odometer", -1),
        ("odometer", 1e8),
        ("odometer", math.nan),
        ("odometer", math.inf),
        ("odometer", None),
        ("ownership", "Test Drive Car"),
        ("ownership", 21),
        ("seats", 0),
        ("engineCc", -1),
        ("listedOn", "yesterday"),
        ("listedOn", 0),
        ("listedOn", "2024-02-30"),
        ("features", "a," * 201),
        ("features", ["x"] * 201),
        ("features", [""]),
    ],
)
def test_a_value_that_cannot_be_is_an_error_that_names_the_field(field: str, value: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        Listing.model_validate({**CAR, field: value})
    assert caught.value.errors()[0]["loc"][0] == field


def test_four_fields_may_not_be_left_out() -> None:
    assert REQUIRED == ("make", "model", "year", "odometer")
    assert Listing.model_validate(CAR).variant is None
    with pytest.raises(ValidationError) as caught:
        Listing.model_validate({})
    missing = [(error["loc"], error["type"]) for error in caught.value.errors()]
    assert missing == [((field,), "missing") for field in REQUIRED]


def test_a_listing_has_no_other_fields_and_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="colour\n  Extra inputs are not permitted"):
        Listing.model_validate({**CAR, "colour": "Red"})
    with pytest.raises(ValidationError, match="frozen"):
        Listing.model_validate(CAR).year = 2020  # type: ignore[misc]


def test_the_reference_fields_are_the_twelve_of_the_reference_data() -> None:
    assert " ".join(map(alias, REFERENCE_FIELDS)) == (
        "make model variant year transmissionType bodyType fuelType ownership color odometer "
        "fitnessAge features"
    )


@pytest.mark.parametrize(
    ("field", "kind"),
    [
        ("make", FieldKind.TEXT),
        ("variant", FieldKind.TEXT),
        ("year", FieldKind.INTEGER),
        ("ownership", FieldKind.INTEGER),
        ("odometer", FieldKind.NUMBER),
        ("features", FieldKind.EQUIPMENT),
        ("listed_on", FieldKind.DATE),
    ],
)
def test_each_field_has_the_kind_of_its_annotation(field: str, kind: FieldKind) -> None:
    assert KINDS[field] is kind
    assert [*KINDS] == [*FIELDS]


@pytest.mark.parametrize(
    ("field", "limits"),
    [("year", (1900, 2100)), ("seats", (1, 100)), ("make", (-math.inf, math.inf))],
)
def test_bounds_are_those_of_the_declaration(field: str, limits: tuple[float, float]) -> None:
    assert bounds(field) == limits


def test_the_example_is_a_listing_with_all_reference_fields() -> None:
    example = example_listing()
    assert {alias(field) for field in REFERENCE_FIELDS} <= set(example)
    read = Listing.model_validate(example)
    assert (read.make, read.odometer) == ("Maruti", 42000)
    assert read.features == ("Bluetooth", "AlloyWheels")
