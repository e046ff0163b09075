"""Rules that make a field of several columns, of a title, or of what is missing."""

import unicodedata
from typing import Any

import pandas as pd
import pytest

from carprice.errors import InputError
from carprice.listings.column_map import MappedChunk, map_columns
from carprice.listings.sources import Chunk
from carprice.settings import IngestSettings

NEEDED = {"make": "Kia", "model": "Rio", "year": 2019, "odometer": 45000}


def mapped(columns: dict[str, Any], **cells: list[Any]) -> MappedChunk:
    rows = max(map(len, cells.values()))
    frame = pd.DataFrame({name: [value] * rows for name, value in NEEDED.items()} | cells)
    settings = IngestSettings.model_validate({"columns": columns})
    return map_columns(Chunk(frame, "shop", "shop.csv"), settings, price_required=False)


def read(field: str, rule: Any, more: dict[str, Any] | None = None, **cells: Any) -> Any:
    """Return what the field of one row becomes."""
    result = mapped({field: rule, **(more or {})}, **{name: [one] for name, one in cells.items()})
    found = result.frame[field].iloc[0]
    return None if pd.isna(found) else found


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (" GTX ", "1.4  TDI", "GTX 1.4 TDI"),
        ("GTX", None, "GTX"),
        (None, 2.0, "2"),
        ("", " ", None),
        (None, None, None),
        (True, 1.5, "True 1.5"),
    ],
)
def test_columns_are_joined_by_a_space(a: Any, b: Any, expected: str | None) -> None:
    assert read("variant", {"from": ["a", "b"]}, a=a, b=b) == expected
    assert read("variant", [" a", "b "], a=a, b=b) == expected


@pytest.mark.parametrize(
    ("field", "rule", "cells", "expected"),
    [
        ("variant", {"from": ["a", "b"], "words": 2}, ("x y", "z"), "y"),
        ("variant", {"from": ["a", "b"], "values": {"x z": "Q"}}, ("x", "z"), "Q"),
        ("year", {"from": ["a", "b"], "match": r"((?:19|20)\d\d)"}, ("Golf", "of 2016"), 2016),
        ("listed_on", {"from": ["a", "b"], "date": "%Y %m"}, (2016, 5), pd.Timestamp("2016-05-01")),
        ("features", ["a", "b"], ("A, B", "['C', 'A']"), "A|B|C"),
        ("features", {"from": ["a", "b"], "split": "/"}, ("A/B", None), "A|B"),
        ("features", ["a", "b"], (None, "[]"), ""),
    ],
)
def test_what_is_joined_is_read_on(field: str, rule: Any, cells: Any, expected: Any) -> None:
    assert read(field, rule, a=cells[0], b=cells[1]) == expected


TITLE_RULES = {
    "make": {
        "from": "title",
        "words": 1,
        "phrases": ["Land Rover"],
        "values": {"VW": "Volkswagen"},
    },
    "model": {"from": "title", "less": "make", "words": 1, "phrases": ["Range Rover Sport"]},
}


@pytest.mark.parametrize(
    ("title", "make", "model", "variant"),
    [
        ("VW Golf 1.4 TSI", "Volkswagen", "Golf", "1.4 TSI"),
        ("vw  golf, 1.4 TSI", "Volkswagen", "golf,", "1.4 TSI"),
        ("Land Rover Range Rover  sport HSE", "Land Rover", "Range Rover sport", "HSE"),
        ("Mazda 3 3-door 3.0", "Mazda", "3", "3-door 3.0"),
        ("Kia Rio", "Kia", "Rio", None),
        ("Kia", "Kia", None, None),
        (None, None, None, None),
    ],
)
def test_a_title_less_make_and_model(
    title: str | None, make: str | None, model: str | None, variant: str | None
) -> None:
    rules = {**TITLE_RULES, "variant": {"from": "title", "less": ["make", "model"]}}
    result = mapped(rules, title=[title])
    found = result.frame[["make", "model", "variant"]].iloc[0]
    assert [None if pd.isna(one) else one for one in found] == [make, model, variant]


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("KIA rio LX", "LX"),
        ("Rio by Kia, LX", "by , LX"),
        ("Riothing Kias Kia-Rio", "Riothing Kias Kia-Rio"),
        ("Rio Rio 2019", "Rio 2019"),
        ("LX (Rio)", "LX ( )"),
        ("起亚Rio舒适", "起亚 舒适"),
    ],
)
def test_whole_words_of_columns_of_their_own_are_taken_out(title: str, expected: str) -> None:
    assert read("variant", {"from": "title", "less": ["make", "model"]}, title=title) == expected


def test_a_model_that_looks_like_a_year_is_taken_out_first() -> None:
    rule = {"from": "title", "less": ["make", "model"], "match": r"((?:19|20)\d\d)"}
    cells = {"make": "Peugeot", "model": "2008", "title": "Peugeot 2008 1.2 von 2016"}
    assert read("year", rule, **cells) == 2016
    variant = {"from": "title", "less": ["year"]}
    assert read("variant", variant, title="2019 LX") == "LX"
    assert read("variant", variant, title="2019 LX", year="2019.0") == "LX"


def test_a_missing_text_takes_the_default_and_is_counted() -> None:
    rule = {"from": "model", "values": {"-": None}, "default": "Other"}
    result = mapped({"model": rule}, model=["Rio", None, " ", "-", "Ceed"])
    assert result.frame["model"].tolist() == ["Rio", "Other", "Other", "Other", "Ceed"]
    assert result.times_defaulted() == {("model", "Other"): 3}
    assert mapped({"model": rule}, model=["Rio"]).times_defaulted() == {}
    assert read("model", {"from": "model", "default": 500}, model=None) == "500"


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"variant": ["a", "engine"]}, r"shop\.csv has no column 'engine', which .* for variant;"),
        ({"engineCc": ["a", "b"]}, "engineCc.from names several columns.*name one, or add a match"),
        ({"price": ["a", "b"]}, "price.from names several columns"),
        ({"year": {"from": "a", "default": 2015}}, r"year\.default does not fit, for .*made up"),
        ({"price": {"from": "a", "default": 2015}}, r"price\.default does not fit, .*remove def"),
        ({"listedOn": {"from": "a", "default": "x"}}, r"listedOn\.default does not fit"),
        ({"id": {"from": "a", "default": "x"}}, r"id\.default does not fit"),
        ({"price": {"from": "a", "known": True}}, r"price\.known does not fit"),
        ({"variant": {"from": "a", "less": "color"}}, "no column for color, which .*variant.less"),
        (
            {"model": {"from": "a", "less": "make"}, "make": {"from": "a", "less": "model"}},
            "less makes a circle of ma?o?[dk]e",
        ),
        ({"make": {"from": "a", "less": "make"}}, "less makes a circle of make"),
    ],
)
def test_rules_that_cannot_work_are_told_with_the_field(columns: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        mapped(columns, a=["x"], b=["y"])


KW_AND_PS = [
    ({"from": "power", "unit": "kW"}, 110, 147.5),
    ({"from": "power", "unit": "PS"}, 150, 147.9),
    ({"from": "power", "number": True}, "110 kW", 147.5),
    ({"from": "power", "number": True}, "150 PS", 147.9),
    ({"from": "power", "match": r"(\d+) ?kW", "unit": "kW"}, "110 kW (150 PS)", 147.5),
    ({"from": "power", "match": r"(\d+) ?(?:PS|л\.с\.|马力)", "unit": "PS"}, "150马力", 147.9),
]


@pytest.mark.parametrize(("rule", "power", "expected"), KW_AND_PS)
def test_power_may_be_in_kw_and_ps(rule: Any, power: Any, expected: float) -> None:
    assert read("power_bhp", rule, power=power) == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_letters_of_one_sign_or_two_are_one_spelling(form: Any) -> None:
    def written(text: str) -> str:
        return unicodedata.normalize(form, text)

    title = written("Škoda Citigo Élan")
    rules = {
        "make": {"from": "title", "match": "^(Škoda)"},
        "variant": {"from": "title", "less": ["make"], "words": 2, "values": {"Élan": "Elan"}},
        "features": {"flags": ["ABS"]},
    }
    result = mapped(rules, title=[title], ABS=[written("sí")])
    assert result.frame[["make", "variant", "features"]].iloc[0].tolist() == [
        "Škoda",
        "Elan",
        "ABS",
    ]


def test_all_in_one_title_in_chinese_by_the_rules_of_the_docs() -> None:
    titles = ["大众 高尔夫 2016款 1.6L 自动舒适型", "丰田 卡罗拉 2019款 1.2T 手动 精英版"]
    result = mapped(
        {
            "make": {"from": "title", "words": 1},
            "model": {"from": "title", "words": 2},
            "year": {"from": "title", "match": r"(\d{4})款"},
            "engineCc": {"from": "title", "match": r"(\d\.\d)[LT]", "unit": "l"},
            "transmissionType": {"from": "title", "match": "(自动|手动)"},
            "variant": {"from": "title", "less": ["make", "model"], "words": "3-"},
        },
        title=titles,
    )
    names = ["make", "model", "year", "engine_cc", "transmission_type", "variant"]
    assert result.frame[names].to_numpy().tolist() == [
        ["大众", "高尔夫", 2016, 1600, "自动", "自动舒适型"],
        ["丰田", "卡罗拉", 2019, 1200, "手动", "手动 精英版"],
    ]
    assert result.unreadable == {}


WORDS = ["Ano Ne", "ja nein", "sí no", "да нет", "是 否", "Yes No", "oui non", "evet hayır"]
UNUSUAL = ["vorhanden fehlt", "verdad falso", "имеется отсутствует", "SI NO"]


@pytest.mark.parametrize("words", [*WORDS, *UNUSUAL])
def test_flags_in_any_language_reach_the_features(words: str) -> None:
    yes, no = words.split()
    rule = {"flags": ["ABS", "Klima"]}
    mapping = {"values": {yes: 1, no: 0}} if words in UNUSUAL else {}
    cells = {"ABS": [yes, no, yes.upper(), None], "Klima": [no, no, yes, None]}
    result = mapped({"features": rule | mapping}, **cells)
    assert result.unreadable == {}
    assert result.frame["features"].tolist() == ["ABS", "", "ABS|Klima", None]
