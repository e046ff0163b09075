import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from carprice.errors import InputError
from carprice.listings.column_map import (
    MappedChunk,
    Unreadable,
    auto_columns,
    map_chunks,
    map_columns,
)
from carprice.listings.sources import Chunk, read_chunks
from carprice.schema import FIELDS, alias
from carprice.settings import IngestSettings

NEEDED = {"make": "Kia", "model": "Rio", "year": 2019, "odometer": 45000}


def settings(columns: dict[str, Any] | None = None, **more: Any) -> IngestSettings:
    return IngestSettings.model_validate({"columns": columns or {}, **more})


def table(**columns: list[Any]) -> pd.DataFrame:
    rows = max((len(values) for values in columns.values()), default=1)
    data = {name: [value] * rows for name, value in NEEDED.items()} | columns
    return pd.DataFrame({name: pd.Series(data[name], dtype=object) for name in data})


def mapped(frame: pd.DataFrame, columns: dict[str, Any] | None = None, **more: Any) -> MappedChunk:
    chunk = Chunk(frame, "shop", "data/shop.csv")
    return map_columns(chunk, settings(columns, **more), price_required=False)


def read(field: str, value: Any, rule: dict[str, Any], **more: Any) -> Any:
    """Return what one value becomes; ``"unreadable"`` if it is reported as such."""
    result = mapped(table(raw=[value]), {field: {"from": "raw", **rule}}, **more)
    (name,) = (name for name in (*FIELDS, "price") if alias(name) == field)
    if name in result.unreadable:
        assert result.unreadable[name] == Unreadable(1, str(value), 0)
        return "unreadable"
    found = result.frame[name].iloc[0]
    return None if pd.isna(found) else found


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (45000, 45000),
        (45000.5, 45000.5),
        ("45000", 45000),
        ("45000.0", 45000),
        (" 45000 ", 45000),
        ("1,248", 1248),
        ("4,50,000", 450000),
        ("1,23,45,678.5", 12345678.5),
        ("45 000", 45000),
        ("45\u00a0000", 45000),
        ("45'000", 45000),
        ("1e5", 100000),
        ("-5", -5),
        ("\u22125", -5),
        (Decimal("12.5"), 12.5),
        (True, "unreadable"),
        (None, None),
        (float("nan"), None),
        (Decimal("NaN"), None),
        ("", None),
        ("   ", None),
        ("1,5", "unreadable"),
        ("1.2.3", "unreadable"),
        ("45000 km", "unreadable"),
        ("nan", "unreadable"),
        ("inf", "unreadable"),
        ("n.a.", "unreadable"),
        ("1_000", "unreadable"),
        (float("inf"), "unreadable"),
        (datetime.date(2020, 1, 1), "unreadable"),
        ([1, 2], "unreadable"),
    ],
)
def test_a_plain_number_is_read_and_other_text_is_not(value: Any, expected: Any) -> None:
    assert read("odometer", value, {}, decimal=".") == expected


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("fuelEconomy", "23.4 kmpl", 23.4),
        ("engineCc", "1,248 CC", 1248),
        ("engineCc", "1248CC", 1248),
        ("engineCc", "engine 998 cc, 3 cylinders", 998),
        ("price", "Rs.4,50,000", 450000),
        ("price", "₹ 4,50,000/-", 450000),
        ("price", "INR 9,995", 9995),
        ("price", "₹.5", 0.5),
        ("price", "4.5 lakh", 450000),
        ("price", "4.5 Lakhs", 450000),
        ("price", "Rs 4.5 lac", 450000),
        ("price", "1.2 Crore", 12000000),
        ("price", "1.2 Cr", 12000000),
        ("odometer", "45k", 45000),
        ("odometer", "45 k km", 45000),
        ("odometer", "45 km", 45),
        ("odometer", "12 thousand", 12000),
        ("price", "1.5 million", 1500000),
        ("price", "1.5mn", 1500000),
        ("odometer", "45 000 km", 45000),
        ("odometer", "F-150", 150),
        ("odometer", "at -5", -5),
        ("odometer", "5.", 5),
        ("odometer", 5.5, 5.5),
        ("odometer", "1.5 kW", "unreadable"),
        ("odometer", "at -5 degrees", "unreadable"),
        ("engineCc", "1,5 l", "unreadable"),
        ("powerBhp", " bhp", "unreadable"),
        ("price", None, None),
    ],
)
def test_the_first_number_inside_a_text_is_read(field: str, value: Any, expected: Any) -> None:
    found = read(field, value, {"number": True}, decimal=".")
    assert found == (pytest.approx(expected) if isinstance(expected, float) else expected)


@pytest.mark.parametrize(
    ("value", "rule", "expected"),
    [
        ("1.248", {}, 1248),
        ("1.248,5", {}, 1248.5),
        ("23,4", {}, 23.4),
        ("45 000,5", {}, 45000.5),
        ("1.5", {}, "unreadable"),
        (1.5, {}, 1.5),
        ("23,4 km", {"number": True}, 23.4),
        ("1.248.000 km", {"number": True}, 1248000),
    ],
)
def test_a_decimal_comma_swaps_comma_and_point(value: Any, rule: Any, expected: Any) -> None:
    assert read("odometer", value, rule, decimal=",") == expected


LAND_ROVER = {"phrases": ["Land Rover", "Range Rover", "Range  Rover Sport"]}
RANGE_ROVER = "Land Rover  range rover Sport 3.0 TDV6 HSE"


@pytest.mark.parametrize(
    ("value", "rule", "expected"),
    [
        (" Land   Rover ", {}, "Land Rover"),
        ("", {}, None),
        ("  ", {}, None),
        (None, {}, None),
        (3.0, {}, "3"),
        (3.5, {}, "3.5"),
        (208, {}, "208"),
        (RANGE_ROVER, {"words": 1, **LAND_ROVER}, "Land Rover"),
        (RANGE_ROVER, {"words": "1", **LAND_ROVER}, "Land Rover"),
        (RANGE_ROVER, {"words": 2, **LAND_ROVER}, "range rover Sport"),
        (RANGE_ROVER, {"words": "2-3", **LAND_ROVER}, "range rover Sport 3.0"),
        (RANGE_ROVER, {"words": "3-", **LAND_ROVER}, "3.0 TDV6 HSE"),
        (RANGE_ROVER, {"words": "9", **LAND_ROVER}, None),
        (RANGE_ROVER, {"words": "9-", **LAND_ROVER}, None),
        ("Land Roverette 2", {"words": 1, **LAND_ROVER}, "Land"),
        ("5spd Manual,", {"match": r"\d+spd (\w+)"}, "Manual"),
        ("CVT,", {"match": r"\d+spd (\w+)"}, None),
        ("B", {"match": "(A)|B"}, None),
        (2019.0, {"match": r"(\d{4})"}, "2019"),
        (1, {"values": {1: "4WD"}}, "4WD"),
        (1.0, {"values": {1: "4WD"}}, "4WD"),
        ("1", {"values": {1: "4WD"}}, "4WD"),
        ("1.0", {"values": {1: "4WD"}}, "4WD"),
        (True, {"values": {1: "4WD"}}, "4WD"),
        (0, {"values": {1: "4WD"}}, "0"),
        (1.0, {"values": {"1": "4WD"}}, "4WD"),
        ("1.50", {"values": {1.5: "big"}}, "big"),
        ("Yes", {"values": {True: "4WD", False: "2WD"}}, "4WD"),
        (False, {"values": {True: "4WD", False: "2WD"}}, "2WD"),
        ("Gas ", {"values": {"gas": "Petrol"}}, "Petrol"),
        ("GAS", {"values": {"gas": "Petrol", "GAS": "LPG"}}, "LPG"),
        ("Gas", {"values": {"gas": "Petrol", "GAS": "LPG"}}, "Petrol"),
        ("Diesel", {"values": {"gas": "Petrol"}}, "Diesel"),
        ("other", {"values": {"other": None}}, None),
    ],
)
def test_text_is_trimmed_and_picked_by_its_rule(value: Any, rule: Any, expected: Any) -> None:
    assert read("variant", value, rule) == expected


@pytest.mark.parametrize(
    ("value", "rule", "expected"),
    [
        (2017.0, {}, 2017),
        ("2,017", {}, 2017),
        (2.5, {}, "unreadable"),
        ("Second Owner", {}, 2),
        ("2nd", {"ordinal": True}, 2),
        ("Fourth & Above Owner", {"ordinal": True}, 4),
        ("1.0", {}, 1),
        (3, {}, 3),
        ("Test Drive Car", {}, "unreadable"),
        ("Test Drive Car", {"values": {"Test Drive Car": 0}, "ordinal": True}, 0),
        ("Test Drive Car", {"values": {"Test Drive Car": None}}, None),
        ("none", {"match": r"(\d+)"}, None),
        ("2.5", {}, "unreadable"),
        ("-1", {}, -1),
    ],
)
def test_whole_numbers_and_owners_in_words_are_read(value: Any, rule: Any, expected: Any) -> None:
    assert read("ownership", value, rule) == expected


@pytest.mark.parametrize(
    ("value", "rule", "expected"),
    [
        ("2023-05-27", {}, "2023-05-27"),
        ("2023-05-27", {"date": True}, "2023-05-27"),
        ("2023-05-27T23:30:00+12:00", {"date": True}, "2023-05-27"),
        ("2023/5/7", {"date": True}, "2023-05-07"),
        ("20230527", {"date": True}, "2023-05-27"),
        (20230527, {"date": True}, "2023-05-27"),
        ("27 May 2023", {"date": True}, "2023-05-27"),
        ("May 27, 2023", {"date": True}, "2023-05-27"),
        (datetime.date(2023, 5, 27), {}, "2023-05-27"),
        (datetime.datetime(2023, 5, 27, 18), {}, "2023-05-27"),
        ("6/2/2018", {"date": "%m/%d/%Y"}, "2018-06-02"),
        ("6/2/2018", {"date": "%d/%m/%Y"}, "2018-02-06"),
        ("31/31/2018", {"date": "%d/%m/%Y"}, "unreadable"),
        ("2023-13-45", {}, "unreadable"),
        ("soon", {}, "unreadable"),
        ("May", {}, "unreadable"),
        (45000, {}, "unreadable"),
        ("", {}, None),
        (None, {}, None),
    ],
)
def test_dates_are_read_without_guessing(value: Any, rule: Any, expected: Any) -> None:
    found = read("listedOn", value, rule)
    assert found == (expected if expected in ("unreadable", None) else pd.Timestamp(expected))


def test_a_date_that_may_be_day_or_month_first_needs_a_format() -> None:
    with pytest.raises(InputError, match=r"shop\.csv, listedOn: the date '3/4/2019'.*%d/%m/%Y"):
        read("listedOn", "3/4/2019", {"date": True})


def test_stored_dates_become_days() -> None:
    frame = table().assign(listedOn=pd.to_datetime(["2023-05-27 18:00"]))
    column = mapped(frame).frame["listed_on"]
    assert column.dtype == "datetime64[s]"
    assert column.tolist() == [pd.Timestamp("2023-05-27")]


@pytest.mark.parametrize(
    ("rule", "distance", "expected"),
    [
        ({"unit": "miles"}, "km", 16.09344),
        ({"unit": "km"}, "miles", 10 / 1.609344),
        ({"unit": "km"}, "km", 10),
        ({"multiply": 1000}, "km", 10000),
        ({"multiply": 2, "add": -1}, "km", 19),
        ({"multiply": 2, "add": 1, "unit": "miles"}, "km", 21 * 1.609344),
    ],
)
@pytest.mark.parametrize("value", [10, "10"])
def test_numbers_are_scaled_in_order(value: Any, rule: Any, distance: str, expected: float) -> None:
    units = {"units": {"distance": distance}}
    assert read("odometer", value, rule, **units) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("value", "rule", "expected"),
    [
        ("Bluetooth, Alloy  Wheels", {}, "Alloy Wheels|Bluetooth"),
        ("a;b|c", {}, "a|b|c"),
        ("a/b", {"split": "/"}, "a|b"),
        (["b", "a", "b"], {}, "a|b"),
        (np.array(["b", "a"], dtype=object), {}, "a|b"),
        ("['b', 'a']", {}, "a|b"),
        ("[b, a]", {}, "a|b"),
        ("[]", {}, ""),
        ([], {}, ""),
        ("", {}, None),
        (None, {}, None),
    ],
)
def test_equipment_becomes_one_canonical_text(value: Any, rule: Any, expected: Any) -> None:
    assert read("features", value, rule) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("['Driver\\'s seat', \"B\", None, 2.0]", "2|B|Driver's seat"),
        ('["caf\\u00e9", null, "x\\"y"]', 'café|x"y'),
        ("{'ABS': True, 'Tpms': False, 'Rail': 'nein'}", "ABS"),
        ('{"Air bag",ABS}', "ABS|Air bag"),
        ("{'ABS': True, 'pack': ['a', 'b']}", "unreadable"),
        ("[{[]}]", "{[]}"),
        ("{1:{}}", "1:{}"),
        ("[[1, 2], [3]]", "1|2|3"),
        ("[1]*10**9]", "1]*10**9"),
        ("['a\0b']", "a\0b"),
        ("['\\ud800']", "\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_a_printed_list_is_read_and_never_evaluated(value: str, expected: str) -> None:
    assert read("features", value, {}) == expected


@pytest.mark.parametrize(
    "value",
    ["[" * 100_000, "[" * 100_000 + "]" * 100_000, "{" * 99_999 + "}", "['" + "\\" * 100_000 + "]"]
    + ["[" + sign * 100_000 + "]" for sign in ("'", "1e", "a:", "'a' ", "9", " ", '"\\u0031"')],
    ids=lambda value: value[:8],
)
def test_no_text_is_too_deep_or_too_long_for_a_list(value: str) -> None:
    assert read("features", value, {}) is not None


def test_flags_become_the_names_of_their_columns() -> None:
    frame = table(Bluetooth=[1, "yes", 0, None, "perhaps"], Sunroof=["0", 1.0, "false", None, 1])
    result = mapped(frame, {"features": {"flags": ["Sunroof", "Bluetooth"]}})
    names = ["Bluetooth", "Bluetooth|Sunroof", "", None, "Sunroof"]
    assert result.frame["features"].tolist() == names
    assert result.unreadable["features"] == Unreadable(1, "perhaps", 4)
    assert {"Sunroof", "Bluetooth"} <= {*result.origin["features"]}


def test_a_constant_and_the_file_name_fill_every_row() -> None:
    columns = {
        "region": {"constant": "Delhi"},
        "seats": {"constant": 5},
        "make": {"filename": True, "values": {"shop": "Shop"}},
    }
    frame = mapped(table(model=["a", "b"]), columns).frame
    assert frame["region"].tolist() == ["Delhi", "Delhi"]
    assert frame["seats"].tolist() == [5.0, 5.0]
    assert frame["make"].tolist() == ["Shop", "Shop"]

    chunk = Chunk(table(), "", "sqlite:///cars.db")
    with pytest.raises(InputError, match=r"sqlite:///cars\.db is no file.*make\.filename"):
        map_columns(chunk, settings(columns), price_required=False)


def test_every_field_has_a_column_of_its_kind_and_the_index_is_kept() -> None:
    frame = table(model=["a", "b"], price=["1", "2"])
    frame.index = pd.RangeIndex(10, 12)
    result = mapped(frame).frame
    assert list(result.columns) == [*FIELDS, "price"]
    assert result.index.tolist() == [10, 11]
    assert result["color"].dtype == object
    assert result["color"].tolist() == result["features"].tolist() == [None, None]
    assert result["seats"].dtype == np.float64
    assert result["listed_on"].dtype == "datetime64[s]"


def test_names_map_themselves_in_both_spellings() -> None:
    frame = table(**{"fuel_type": ["Petrol"], " bodyType": ["SUV"], "listingPrice": [7], "x": [1]})
    frame.insert(0, " odometer", ["7"])  # of two columns of one name the first is read
    result = mapped(frame)
    fields = ["fuel_type", "body_type", "price", "odometer"]
    assert result.frame[fields].iloc[0].tolist() == ["Petrol", "SUV", 7.0, 7.0]
    assert result.ignored == ("x",)


def test_reference_flags_are_found_by_themselves() -> None:
    frame = table(Bluetooth=[1], Tpms=[0])
    assert mapped(frame).frame["features"].tolist() == ["Bluetooth"]
    assert auto_columns(frame.columns, settings())["features"] == ("Bluetooth", "Tpms")
    assert len(mapped(frame.iloc[:0]).frame) == 0


def test_a_field_mapped_to_null_is_not_read() -> None:
    result = mapped(table(color=["red"]), {"color": None, "odometer": None})
    assert result.frame["color"].tolist() == [None]
    assert result.frame["odometer"].isna().all()
    assert {"color", "odometer"} <= set(result.ignored)


def test_unreadable_values_are_counted_with_the_first_of_them() -> None:
    frame = table(odometer=["1", "many", "2", "many", "few", None])
    frame.index = pd.RangeIndex(100, 106)
    result = mapped(frame)
    assert result.unreadable == {"odometer": Unreadable(3, "many", 101)}
    assert result.frame["odometer"].notna().tolist() == [True, False, True, False, False, False]


def test_repeated_values_are_mapped_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []

    def counted(value: object) -> object:
        calls.append(value)
        return 2

    monkeypatch.setattr("carprice.listings.values.parse_ordinal", counted)
    mapped(table(own=["Second"] * 1000), {"ownership": {"from": "own", "ordinal": True}})
    assert calls == ["Second"]


def test_stored_number_types_are_read() -> None:
    frame = table(model=["a", "b"]).assign(
        odometer=pd.array([1, None], dtype="Int64"),
        seats=pd.Categorical([5, 4]),
        cylinders=np.array([6, 4], dtype=np.int8),
    )
    result = mapped(frame).frame
    assert result["odometer"].iloc[0] == 1.0
    assert np.isnan(result["odometer"].iloc[1])
    assert result["seats"].tolist() == [5.0, 4.0]
    assert result["cylinders"].tolist() == [6.0, 4.0]


@pytest.mark.parametrize(
    ("columns", "dropped", "message"),
    [
        (
            {"fuelType": "fule"},
            "",
            r"data/shop\.csv has no column 'fule', which ingest\.columns names for fuelType; .*"
            r"the file's columns are fuel, ",
        ),
        ({}, "make", r"data/shop\.csv has no column for make .*add 'make: <its column>' to ingest"),
        ({"make": None}, "", "no column for make"),
        ({}, "model", "no column for model"),
        ({}, "year", "no column for year"),
        ({}, "odometer", "no column for odometer .*or 'odometer: null'"),
        ({"make": {"from": "fuel", "number": True}}, "", r"make\.number does not fit.*kind text"),
        ({"seats": {"from": "fuel", "unit": "km"}}, "", r"seats\.unit does not fit"),
        ({"color": {"flags": ["fuel"]}}, "", r"color\.flags does not fit"),
        ({"year": {"from": "fuel", "date": True}}, "", r"year\.date does not fit"),
    ],
)
def test_errors_name_the_field_and_the_remedy(columns: Any, dropped: str, message: str) -> None:
    frame = table(fuel=["gas"]).drop(columns=[dropped] if dropped else [])
    with pytest.raises(InputError, match=message):
        mapped(frame, columns)


def test_files_read_together_need_the_same_fields(tmp_path: Path) -> None:
    def rows_of(**ingest: Any) -> int:
        read = settings(**ingest, source=str(tmp_path / "*.csv"))
        chunks = map_chunks(read_chunks(read), read, price_required=False)
        return sum(len(mapped.frame) for _, mapped in chunks)

    (tmp_path / "a.csv").write_text(
        "make,model,year,odometer,fuelType,x\nKia,Rio,2019,1,Petrol,1\n"
    )
    (tmp_path / "b.csv").write_text("fuel_type,make,model,year,odometer\nPetrol,Kia,Rio,2019,1\n")
    assert rows_of() == 2
    (tmp_path / "c.csv").write_text("make,model,year,odometer,color\nKia,Rio,2019,1,red\n")
    with pytest.raises(InputError, match=r"c\.csv has no column 'fuelType'.*a\.csv has; .*null"):
        rows_of()
    assert rows_of(columns={"fuelType": None, "color": None}) == 3


def test_a_missing_price_is_an_error_only_where_one_is_required() -> None:
    chunk = Chunk(table(), "shop", "shop.csv")
    assert "price" not in map_columns(chunk, settings(), price_required=False).frame
    with pytest.raises(InputError, match=r"no column for price \(looked for price, listingPrice"):
        map_columns(chunk, settings(), price_required=True)
