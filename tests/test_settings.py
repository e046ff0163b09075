from datetime import date
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from carprice.errors import InputError
from carprice.settings import ColumnRule, Settings, expand, load_settings

ROOT = Path(__file__).parents[1]


def load(folder: Path, text: str, source: str | None = None) -> Settings:
    path = folder / "params.yaml"
    path.write_text(text, encoding="utf-8")
    return load_settings(path, source)


FROM_PREIS = ColumnRule.model_validate({"from": "Preis"})
SPELLINGS = [
    *((name, "fuel_type") for name in ("fuelType", "fuel_type")),
    *((name, "price") for name in ("price", "listingPrice", "listing_price")),
]


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        ("", "ingest.source", "sample"),
        ("# nothing yet", "train.folds", 10),
        ("ingest: {source: cars.csv}", "ingest.source", "cars.csv"),
        ("ingest: {sample: {rows: 100}}", "ingest.sample.rows", 100),
        ("ingest: {price_range: [1, 5]}", "ingest.price_range", (1, 5)),
        ("ingest: {valuation_date: 2024-06-30}", "ingest.valuation_date", date(2024, 6, 30)),
        ("ingest: {units: {currency: GBP, distance: miles}}", "ingest.units.distance", "miles"),
        ("ingest: {split: {method: time}}", "ingest.split.method", "time"),
        ("train: {booster: {max_depth: 4}}", "train.booster.max_depth", 4),
        ("register: {name: my cars-1.0}", "register_.name", "my cars-1.0"),
        ("register: {gate: {max_mape: null}}", "register_.gate.max_mape", None),
        ("register: {gate: {coverage: [0.8, 1]}}", "register_.gate.coverage", (0.8, 1)),
        ("tracking: {experiment: mine}", "tracking.experiment", "mine"),
        *(
            (f"ingest: {{columns: {{{name}: Preis}}}}", "ingest.columns", {field: FROM_PREIS})
            for name, field in SPELLINGS
        ),
        ("ingest: {columns: {odometer: null}}", "ingest.columns", {"odometer": None}),
    ],
)
def test_a_valid_file_is_read(text: str, key: str, expected: Any, tmp_path: Path) -> None:
    assert reduce(getattr, key.split("."), load(tmp_path, text)) == expected


FIELDS = "the fields are price, make, model,"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("ingst: {}", ["ingst is not a parameter", "correct its spelling"]),
        ("ingest: {sorce: x}", ["ingest.sorce is not a parameter"]),
        ("register_: {name: x}", ["register_ is not a parameter"]),
        ("train: {booster: {max_depht: 3}}", ["train.booster.max_depht is not a parameter"]),
        ("ingest: {sample: {rows: 99}}", ["ingest.sample.rows", "or equal to 100", "99"]),
        ("ingest: {sample: {rows: many}}", ["ingest.sample.rows", "integer", "'many'"]),
        ("ingest: {split: {method: old}}", ["ingest.split.method", "'random' or 'time'", "'old'"]),
        ("ingest: {split: {test_size: 1}}", ["ingest.split.test_size", "less than 1"]),
        ("ingest: {units: {distance: yd}}", ["ingest.units.distance", "'km' or 'miles'", "'yd'"]),
        ("ingest: {price_range: [5, 2]}", ["ingest.price_range", "0 < low < high", "[5.0, 2.0]"]),
        ("ingest: {price_range: [5]}", ["ingest.price_range.1", "required", "[5]"]),
        ("ingest: {valuation_date: soon}", ["ingest.valuation_date", "date", "'soon'"]),
        ("ingest: {max_unreadable: 2}", ["ingest.max_unreadable", "or equal to 1", "2"]),
        ("ingest: {columns: {colour: Farbe}}", ["ingest.columns", "'colour'", FIELDS]),
        ("ingest: {columns: [make]}", ["ingest.columns", "dictionary", "['make']"]),
        ("ingest: {columns: {make: 5}}", ["ingest.columns.make", "found 5"]),
        (
            "ingest: {columns: {price: a, listingPrice: b}}",
            ["ingest.columns", "'listingPrice' is given a second time", "keep one"],
        ),
        ("ingest: {columns: {make: {from: a, form: b}}}", ["columns.make.form is not a parameter"]),
        ("train: {folds: 1}", ["train.folds", "or equal to 2", "found 1"]),
        ("train: {hedonic: {make: .nan}}", ["train.hedonic.make", "finite"]),
        ("register: {name: a/b}", ["register.name", "pattern", "'a/b'"]),
        ("register: {gate: {coverage: [0.9]}}", ["register.gate.coverage.1", "required"]),
        (
            "register: {gate: {coverage: [85, 95]}}",
            ["register.gate.coverage", "0 <= low < high <= 1", "[85.0, 95.0]"],
        ),
        ("ingest: {source: '${NOT_SET}'}", ["ingest.source: ", "NOT_SET is not set; export it"]),
        ("tracking: {uri: 'a${NOT_SET}'}", ["tracking.uri: ", "NOT_SET is not set; export it"]),
        ("ingest: 3", ["ingest", "found 3"]),
        ("- 1", ["the whole file", "found [1]"]),
        ("ingest: [", ["is not valid YAML", "line 1"]),
        ("train: {folds: 1}\nregister: {name: ''}", ["train.folds", "; register.name"]),
    ],
)
def test_an_error_names_file_key_value_and_remedy(
    text: str, parts: list[str], tmp_path: Path
) -> None:
    with pytest.raises(InputError) as caught:
        load(tmp_path, text)
    message = str(caught.value)
    assert "\n" not in message
    for part in (str(tmp_path / "params.yaml"), *parts):
        assert part in message


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({}, "has none of them"),
        ({"from": "a", "constant": 1}, "has from, constant"),
        ({"filename": True, "flags": ["a"]}, "has filename, flags"),
        ({"from": "a", "match": "(x"}, r"match '\(x' is no regular expression: missing \)"),
        ({"from": "a", "match": "x"}, r"match 'x' needs a group, such as \(x\)"),
        ({"from": "a", "words": 0}, 'words is 0; write 1, "2-3" or "3-"'),
        ({"from": "a", "words": "2-0"}, "words is '2-0'"),
        ({"from": "a", "words": "first"}, "words is 'first'"),
        ({"from": "a", "unit": "yards"}, "'km', 'miles', 'cc', 'l', 'bhp', 'PS' or 'kW'"),
        ({"from": "a", "multiply": float("inf")}, "finite"),
    ],
)
def test_a_column_rule_that_cannot_work_is_an_error(rule: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ColumnRule.model_validate(rule)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cars.csv", "cars.csv"),
        ("${CARS}/a.csv", "/data/a.csv"),
        ("${CARS:-other}/a.csv", "/data/a.csv"),
        ("${NOT_SET:-other}/a.csv", "other/a.csv"),
        ("${NOT_SET:-}a.csv", "a.csv"),
        ("${CARS}${CARS}", "/data/data"),
        ("$CARS", "$CARS"),
    ],
)
def test_variables_are_taken_from_the_environment(
    text: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARS", "/data")
    monkeypatch.delenv("NOT_SET", raising=False)
    assert expand(text) == expected


def test_a_secret_of_the_environment_is_not_shown_when_something_else_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_PASSWORD", "s3cret")
    text = "ingest: {source: 'postgresql://ann:${DB_PASSWORD}@db/${NOT_SET}', encoding: 5}"
    monkeypatch.delenv("NOT_SET", raising=False)
    with pytest.raises(InputError) as caught:
        load(tmp_path, text)
    assert "NOT_SET" in str(caught.value)
    assert "encoding" in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "rows"), [("", 10_000), ("ingest:", 10_000), ("ingest: {sample: {rows: 500}}", 500)]
)
def test_a_given_source_takes_the_place_of_the_files(text: str, rows: int, tmp_path: Path) -> None:
    ingest = load(tmp_path, text, source="mine.csv").ingest
    assert (ingest.source, ingest.sample.rows) == ("mine.csv", rows)


@pytest.mark.parametrize("text", ["ingest: 3", "- 1"])
def test_a_given_source_does_not_hide_a_broken_file(text: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="dictionary"):
        load(tmp_path, text, source="mine.csv")


def test_a_file_that_cannot_be_read_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="cannot be read: 'utf-8'"):
        load_settings(tmp_path / "params.yaml")
    with pytest.raises(InputError, match="cannot be read"):
        load_settings(tmp_path)
    with pytest.raises(InputError, match=r"nowhere\.yaml does not exist; give another with --par"):
        load_settings(tmp_path / "nowhere.yaml")


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().train.folds = 3  # type: ignore[misc]


def test_the_projects_own_params_are_valid() -> None:
    assert load_settings(ROOT / "params.yaml").ingest.source == "sample"
