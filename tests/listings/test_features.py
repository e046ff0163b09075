import datetime
import math
from typing import Any

import numpy as np
import pytest

from carprice.listings.features import (
    CATEGORIES,
    NUMBERS,
    TEXTS,
    Features,
    kept_by_equipment,
    parse,
)
from carprice.listings.market import is_impossible, odometer_limits
from carprice.listings.variants import parse_variant

DAY = datetime.date(2024, 6, 30)
NAN = math.nan


def parsed(day: datetime.date = DAY, unit: str = "km", **columns: list[Any]) -> Features:
    rows = max((len(values) for values in columns.values()), default=1)
    needed = {"make": "Kia", "model": "Sonet", "year": 2020, "odometer": 30000}
    return parse({name: [value] * rows for name, value in needed.items()} | columns, day, unit)


@pytest.mark.parametrize(
    ("text", "tokens", "gear", "drive", "litres", "trim"),
    [
        ("VXI", "VXI", "", "", NAN, "VXI"),
        ("VXI (O)", "VXI OPT", "", "", NAN, "VXI"),
        ("ZXI PLUS 1.2 (AMT)", "ZXI PLUS 1.2 AMT", "AMT", "", 1.2, "ZXI"),
        ("TITANIUM1.5L TDCI", "TITANIUM 1.5 TDCI", "", "", 1.5, "TITANIUM"),
        ("1.0 LITRE TSI", "1.0 TSI", "", "", 1.0, ""),
        ("1.5 I VTEC V CVT", "1.5 IVTEC V CVT", "CVT", "", 1.5, "V"),
        ("350D 4 MATIC", "350D 4MATIC", "", "4MATIC", NAN, ""),
        ("SX+ DCT 4 WD", "SX PLUS DCT 4WD", "DCT", "4WD", NAN, "SX"),
        ("2.0 TDI QUATTRO S TRONIC", "2.0 TDI QUATTRO STRONIC", "STRONIC", "QUATTRO", 2.0, ""),
        ("E-CVT ALPHA", "ECVT ALPHA", "ECVT", "", NAN, "ALPHA"),
        ("ALPHA 4 X 4", "ALPHA 4X4", "", "4X4", NAN, "ALPHA"),
        ("DIESEL 1.3 MT", "DIESEL 1.3 MT", "MT", "", 1.3, ""),
        ("TURBO BS IV LXI", "TURBO BS IV LXI", "", "", NAN, "LXI"),
        ("16.5 LXI", "16.5 LXI", "", "", NAN, "LXI"),
        ("1.25 LXI", "1.25 LXI", "", "", NAN, "LXI"),
        ("v. 1.2.", "V 1.2", "", "", 1.2, "V"),
        ("1.5 IVTEC", "1.5 IVTEC", "", "", 1.5, ""),
        ("SX", "SX", "", "", NAN, "SX"),
        ("+", "PLUS", "", "", NAN, ""),
        ("", "", "", "", NAN, ""),
        (" ?! ", "", "", "", NAN, ""),
    ],
)
def test_a_variants_parts_are_read(
    text: str, tokens: str, gear: str, drive: str, litres: float, trim: str
) -> None:
    variant = parse_variant(text)
    assert variant.text == tokens
    assert (variant.gear, variant.drive, variant.trim) == (gear, drive, trim)
    assert variant.litres == pytest.approx(litres, nan_ok=True)


@pytest.mark.parametrize(
    ("text", "spellings"),
    [
        ("VXI (O)", ["vxi(o)", " VXI  OPT ", "Vxi ( O )"]),
        ("SX PLUS 1.0 DCT", ["SX+ 1.0 DCT", "sx + 1.0L dct", "SX PLUS 1.0 LITRE (DCT)"]),
        ("TITANIUM 1.5 TDCI", ["Titanium1.5L TDCi", "TITANIUM 1.5 LTR TDCI", "TITANIUM-1.5/TDCI"]),
        ("1.5 I-VTEC", ["1.5 I VTEC", "1.5 IVTEC"]),
        ("2.5 4X4", ["2.5 4 X4", "2.5 4x4"]),
    ],
)
def test_spellings_of_a_variant_are_equal(text: str, spellings: list[str]) -> None:
    found = {(one.text, one.trim) for one in map(parse_variant, [text, *spellings])}
    assert len(found) == 1


@pytest.mark.parametrize(
    ("year", "listed_on", "age", "listed"),
    [
        (2020, None, 4, 0),
        (2024, None, 0, 0),
        (2025, None, 0, 0),
        (2020, "2026-06-30", 6, 730 / 365.25),
        (2020, "2019-01-01", 0, -2007 / 365.25),
        (NAN, None, NAN, 0),
    ],
)
def test_age_counts_from_the_listing_else_from_the_valuation_date(
    year: float, listed_on: str | None, age: float, listed: float
) -> None:
    numbers = parsed(year=[year], listed_on=[listed_on]).numbers
    assert numbers["age"][0] == pytest.approx(age, nan_ok=True)
    assert numbers["listed"][0] == pytest.approx(listed)


@pytest.mark.parametrize(
    ("odometer", "age", "unit", "kept"),
    [
        (100, 6, "km", True),
        (99, 6, "km", False),
        (0, 2, "km", False),
        (0, 1, "km", True),
        (0, 0, "km", True),
        (500_000, 6, "km", True),
        (500_001, 6, "km", False),
        (500_001, 0, "km", False),
        (63, 6, "miles", True),
        (62, 6, "miles", False),
        (310_685, 6, "miles", True),
        (310_687, 6, "miles", False),
    ],
)
def test_odometers_that_cannot_be_are_known_by_age_and_unit(
    odometer: float, age: float, unit: str, kept: bool
) -> None:
    assert is_impossible(odometer, age, odometer_limits(unit)) != kept


def test_odometer_limits_are_the_same_distances_in_both_units() -> None:
    assert [limit * 1.609344 for limit in odometer_limits("miles")] == pytest.approx(
        odometer_limits("km")
    )


@pytest.mark.parametrize(
    ("columns", "number", "expected"),
    [
        ({"odometer": [45000], "year": [2020]}, "odometer_per_year", 10000),
        ({"odometer": [5]}, "odometer", NAN),
        ({"odometer": [5]}, "odometer_per_year", NAN),
        ({"features": [("Tpms", "Bluetooth", "tpms ")]}, "feature_count", 2),
        ({"features": [["Tpms"]]}, "feature_count", 1),
        ({"features": ["Bluetooth|Tpms"]}, "feature_count", 2),
        ({"features": [""]}, "feature_count", 0),
        ({"features": [None]}, "feature_count", 0),
        ({"engine_cc": [1197]}, "litres", 1.2),
        ({"variant": ["VXI 1.4"]}, "litres", 1.4),
        ({"variant": ["VXI 1.4"], "engine_cc": [1197]}, "litres", 1.2),
        ({"variant": ["VXI 1.4"], "engine_cc": [None]}, "litres", 1.4),
        ({"ownership": [2]}, "ownership", 2),
        ({"ownership": [None]}, "ownership", NAN),
        ({}, "power_bhp", NAN),
    ],
)
def test_a_number_is_derived(columns: dict[str, list[Any]], number: str, expected: float) -> None:
    assert parsed(**columns).numbers[number][0] == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("columns", "text", "expected"),
    [
        ({"make": [" KIA "]}, "make", "kia"),
        ({"make": ["Kia"], "model": ["Rio  X"]}, "model", "kia|rio x"),
        ({"variant": ["GTX+ 1.5"]}, "model_trim", "kia|sonet|GTX"),
        ({"variant": ["gtx plus 1.5L"]}, "model_variant", "kia|sonet|GTX PLUS 1.5"),
        ({"variant": [None]}, "model_variant", "kia|sonet|"),
        ({"variant": [NAN]}, "model_trim", "kia|sonet|"),
        (
            {"fuel_type": ["Petrol"], "transmission_type": ["Manual"]},
            "model_powertrain",
            "kia|sonet|petrol|manual",
        ),
        ({}, "model_powertrain", "kia|sonet||"),
        ({"variant": ["GTX DCT"]}, "gear", "DCT"),
        ({"variant": ["GTX 4 WD"]}, "drive", "4wd"),
        ({"variant": ["GTX 4WD"], "drive": ["Rear"]}, "drive", "rwd"),
        ({"color": [None]}, "color", ""),
    ],
)
def test_a_text_is_derived(columns: dict[str, list[Any]], text: str, expected: str) -> None:
    assert parsed(**columns).texts[text] == [expected]


def test_a_listing_of_nothing_but_the_required_fields_is_parsed() -> None:
    features = parsed()
    assert tuple(features.texts) == TEXTS
    assert tuple(features.numbers) == NUMBERS
    assert [features.texts[name] for name in CATEGORIES] == [[""]] * len(CATEGORIES)
    assert features.equipment == [""]


MIXED: dict[str, list[Any]] = {
    "make": ["Kia", "Maruti", "kia ", "Kia"],
    "model": ["Sonet", "Swift", "Sonet", "Sonet"],
    "variant": ["GTX+ 1.5 DCT", None, "HTK(O)", "GTX+ 1.5 DCT"],
    "year": [2020, 2012, 2024, 2025],
    "odometer": [30000, 5, None, 12],
    "fuel_type": ["Petrol", "Diesel", None, "petrol"],
    "features": [("Tpms",), None, (), ("Bluetooth", "Tpms")],
    "engine_cc": [None, 1248, 998, None],
    "listed_on": [None, datetime.date(2023, 1, 5), None, datetime.date(2024, 6, 1)],
}


def test_arrays_and_lists_give_the_same() -> None:
    lists = parse(MIXED, DAY, "km")
    kinds = {"year": "float64", "odometer": "float64", "engine_cc": "float64"}
    kinds["listed_on"] = "datetime64[D]"
    arrays = parse(
        {
            name: np.array(values, dtype=kinds[name]) if name in kinds else values
            for name, values in MIXED.items()
        },
        DAY,
        "km",
    )
    assert lists.texts == arrays.texts
    for name in NUMBERS:
        assert np.array_equal(lists.numbers[name], arrays.numbers[name], equal_nan=True), name


def test_rows_are_taken_in_the_order_given() -> None:
    assert parse({name: [] for name in MIXED}, DAY, "km").numbers["age"].shape == (0,)
    taken = parse(MIXED, DAY, "km").take(np.array([3, 0, 3]))
    assert len(taken) == 3
    assert taken.numbers["age"].tolist() == [0, 4, 0]
    assert taken.equipment == ["bluetooth|tpms", "tpms", "bluetooth|tpms"]


def test_a_year_that_is_no_number_is_an_error() -> None:
    with pytest.raises(ValueError, match="could not convert string to float: 'new'"):
        parsed(year=["new"])


@pytest.mark.parametrize(
    ("features", "times"),
    [
        (None, 1),
        ("abs|airbag", 1),
        (["abs", "airbag"], 1),
        ("x" * 501, 2),
        (("x" * 200,) * 3, 2),
        (("x",) * 41, 2),
    ],
)
def test_what_was_read_of_short_equipment_is_kept(features: Any, times: int) -> None:
    asked = []
    find = kept_by_equipment(lambda features: asked.append(features) or features, most=10)
    for each in (features, features, ["y"] * 50, features):
        find(each)
    wanted = tuple(features) if isinstance(features, list) else features
    assert asked.count(wanted) == times
