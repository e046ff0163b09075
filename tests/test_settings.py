import time
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
        ("train: {deal: {cuts: [10, 25, 75, 90]}}", "train.deal.cuts", (10, 25, 75, 90)),
        ("train: {deal: {widest: 3}}", "train.deal.oldest", 0.995),
        ("register: {name: my cars-1.0}", "register_.name", "my cars-1.0"),
        ("register: {gate: {max_mape: null}}", "register_.gate.max_mape", None),
        ("register: {gate: {coverage: [0.8, 1]}}", "register_.gate.coverage", (0.8, 1)),
        ("register: {gate: {prd: [0.98, 1.03]}}", "register_.gate.prd", (0.98, 1.03)),
        ("register: {gate: {max_cod: 15}}", "register_.gate.max_cod", 15),
        ("register: {gate: {max_prb: null}}", "register_.gate.max_prb", None),
        ("challenge: {step_days: 14, watch_days: 0}", "challenge.watch_days", 0),
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
        (
            "register: {tests: {rise: 0.1, min_fall: 0.2, min_spread: 0.25}}",
            ["register.tests: min_fall, min_spread: ", "listings now; remove what is named"],
        ),
        ("train: {deal: {cuts: [5, 1, 95, 99]}}", ["train.deal.cuts", "four rising percentiles"]),
        ("train: {deal: {cuts: [0, 5, 95, 99]}}", ["train.deal.cuts", "within 0 and 100"]),
        ("train: {deal: {widest: 1}}", ["train.deal.widest", "greater than 1"]),
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
        ("train: {hedonic: {scales: {make: .nan}}}", ["train.hedonic.scales.make", "finite"]),
        ("train: {hedonic: {scales: best}}", ["train.hedonic.scales: 'best' is not auto"]),
        (
            "train: {hedonic: {trend: 1.35, make: 2.98}}",
            ["train.hedonic: trend, make: ", "remove the keys, or write scales: auto"],
        ),
        ("register: {name: a/b}", ["register.name", "pattern", "'a/b'"]),
        ("register: {gate: {coverage: [0.9]}}", ["register.gate.coverage.1", "required"]),
        (
            "register: {gate: {coverage: [85, 95]}}",
            ["register.gate.coverage", "0 <= low < high <= 1", "[85.0, 95.0]"],
        ),
        ("register: {gate: {prd: [1.03, 0.98]}}", ["gate.prd", "low <= 1 <= high", "[1.03, 0.98]"]),
        ("register: {gate: {max_prb: 0}}", ["register.gate.max_prb", "greater than 0"]),
        (
            "challenge: {step_days: 28}",
            [
                "challenge: longest_days is 180",
                "7 steps of step_days 28",
                "write longest_days: 196",
            ],
        ),
        (
            "challenge: {fewest_days: 181}",
            ["challenge: fewest_days is 181 and longest_days 180", "write fewest_days: 180 or"],
        ),
        (
            "challenge: {fewest_days: 60, watch_days: 35}",
            ["challenge: fewest_days is 60 and watch_days 35", "35 or less, or a larger watch_d"],
        ),
        (
            "challenge: {watch_days: 20}",
            ["challenge: watch_days is 20", "watch_days: 28 or more, or 0 for no watch"],
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
        ({"from": "a", "match": "(a{99999999999})"}, "is no regular expression: the repetition"),
        ({"from": "a", "match": "(" * 5000}, "is no regular expression: maximum recursion"),
        ({"from": "a", "date": "%d/%d/%Y"}, "date '%d/%d/%Y' is no format of days"),
        ({"from": "a", "date": "%q"}, "date '%q' is no format of days"),
        ({"from": "a", "date": "%"}, "date '%' is no format of days"),
        ({"from": "a", "words": 0}, 'words is 0; write 1, "2-3" or "3-"'),
        ({"from": "a", "words": "2-0"}, "words is '2-0'"),
        ({"from": "a", "words": "first"}, "words is 'first'"),
        ({"from": "a", "unit": "yards"}, "'km', 'miles'"),
        ({"from": "a", "multiply": float("inf")}, "finite"),
    ],
)
def test_a_column_rule_that_cannot_work_is_an_error(rule: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ColumnRule.model_validate(rule)


@pytest.mark.parametrize(
    "date", [True, "", "excel", "%d.%m.%y", "%Y%m%d", "%b %Y", "%d %b", "%Y-%m-%dT%H:%M:%S%z", "%x"]
)
def test_a_format_of_days_is_taken(date: bool | str) -> None:
    assert ColumnRule.model_validate({"from": "a", "date": date}).date == date


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


def _doubling(start: str, line: str) -> str:
    """Return YAML of few letters whose anchors stand for 10 billion values."""
    named = [line.replace("*", f"*a{place}") for place in range(9)]
    return start + "".join(f"a{place}: &a{place} {text}\n" for place, text in enumerate(named, 1))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (_doubling("a0: &a0 [x]\n", f"[{', '.join(['*'] * 10)}]"), "more than 100,000 values"),
        (
            _doubling("a0: &a0 {k: v}\n", f"{{{', '.join(f'k{n}: *' for n in range(10))}}}"),
            "more than 100,000 values",
        ),
        (
            _doubling("a0: &a0 {k: v}\n", f"{{<<: [{', '.join(['*'] * 10)}]}}"),
            "more than 100,000 values",
        ),
        ("ingest: &a [*a]", "more than 100,000 values"),
        ("[" * 100_000, "inside each other without end"),
        ("- " * 100_000, "inside each other without end"),
        ("{a: " * 100_000, "inside each other without end"),
        (f"ingest: {{source: '{'x' * 200_000}'}}", "more than 100,000 letters"),
        ("#" * 2_000_001, "more than 2 MB"),
        ("train: {seed: " + "9" * 5000 + "}", "not of its kind .Exceeds the limit"),
        (f"train: {{seed: 0x{'f' * 5000}}}", "train.seed: .*found a number of very many digits"),
        ("ingest: {valuation_date: 2024-13-45}", "not of its kind .month must be in 1..12"),
        ("train: !!int x", "not of its kind"),
        ("train: !!bool x", "not of its kind"),
        ("train: !!timestamp x", "not of its kind"),
        ("? [a]\n: b", "unhashable"),
        ("a: 1\nb: 2\na: 3", "the key 'a' stands twice"),
        ("? |\n  a\n  b\n: 1\n", "a b is not a parameter"),
        ("ingest: {source: ['https://ann:<s3cret>@h']}", r"https://\*\*\*@h"),
        (f"ingest: {{encoding: [{'x' * 9_000}]}}", "xxx…"),
        ("ingest: {separator: ((}", r"ingest.separator: separator '\(\(' is no regular expression"),
        ("ingest: {separator: 'a{99999999999}'}", "is no regular expression: the repetition"),
        (r'ingest: {separator: "\n"}', "ingest.separator: .* has a line break"),
        ("ingest: {separator: '\"'}", "ingest.separator: .* is a quote"),
        ("ingest: {encoding: undefined}", "ingest.encoding: 'undefined' is no encoding of text"),
        (r'ingest: {encoding: "utf-8\0"}', "ingest.encoding: .* is no encoding of text"),
        (f"ingest: {{encoding: {'x' * 9000}}}", "ingest.encoding: .* at most 100 characters"),
        ("".join(f"k{n}: 1\n" for n in range(2_000)), "k4 is not a parameter; .*and 1,995 more"),
    ],
    ids=lambda text: text[:20],
)
def test_no_file_of_params_takes_long_or_says_much(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message) as caught:
        load(tmp_path, text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 2_000


@pytest.mark.parametrize("value", ["0", "[]", "{a: b}"])
def test_values_are_counted_while_they_are_read(
    value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("carprice.settings._MOST_VALUES", 1_000)
    text = f"a: [{f'{value}, ' * 2_000}"  # never read to its end, which is no YAML
    with pytest.raises(InputError, match="it has more than 1,000 values"):
        load(tmp_path, text)


def test_the_time_of_many_keys_grows_as_their_number(tmp_path: Path) -> None:
    columns = "ingest: {columns: {model: {from: m, values: {%s}}}}"

    def seconds(keys: int) -> float:
        text = columns % ", ".join(f"k{n}: v" for n in range(keys))
        start = time.process_time()
        assert load(tmp_path, text).ingest.columns["model"]
        return time.process_time() - start

    assert seconds(16_000) < 20 * seconds(2_000)  # eight times the keys; 64 if each met all others


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().train.folds = 3  # type: ignore[misc]


def test_the_projects_own_params_are_valid() -> None:
    assert load_settings(ROOT / "params.yaml").ingest.source == "sample"
