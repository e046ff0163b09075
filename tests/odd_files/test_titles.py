"""Files with all in one title, gaps in the models, and rows that are no cars.

The rules are those of docs/your-own-data.md.
"""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from odd_files import CARS, HEADER, OddFile, check, text

from carprice.arrays import quiet
from carprice.components.ingest import ingest
from carprice.components.workspace import Workspace
from carprice.settings import IngestSettings

DOCS = Path(__file__).parents[2] / "docs" / "your-own-data.md"
CHINESE = {"Kia": "起亚", "Ford": "福特", "Skoda": "斯柯达", "Fiat": "菲亚特"}
TITLED = [
    (f"{CHINESE[make]} {model} {year}款 {1 + n % 9 / 10}L 自动舒适型", km, price)
    for n, (make, model, year, km, price) in enumerate(CARS)
]
TITLE_HEADER = ("title", "odometer", "price")
BY_TITLE: dict[str, Any] = {
    "make": {"from": "title", "words": 1},
    "model": {"from": "title", "words": 2},
    "year": {"from": "title", "match": r"(\d{4})款"},
}
WANTED = [*((*car, "Angebot") for car in CARS), *((*car[:4], 1, "Gesuch") for car in CARS[:20])]

ODD = {
    "a match that fits no title": OddFile(
        text(TITLED, TITLE_HEADER),
        "{file}: year is taken out of '起亚 Rio 2005款 1.0L 自动舒适型' in row 0, and its rule "
        "finds nothing in 100 % of the rows; correct match or words of ingest.columns.year, or, "
        "where no rule can tell it, write it into a column of its own with another tool and map "
        "that",
        {"columns": BY_TITLE},
        {"columns": {**BY_TITLE, "year": {"from": "title", "match": r"(\d{4})年"}}},
    ),
    "a value to drop that is misspelt": OddFile(
        text(WANTED, (*HEADER, "Art")),
        "{file}: 'Gesuche' of ingest.rows.drop.Art occurs nowhere, and 'Gesuch' does; correct it, "
        "or take it out",
        {"rows": {"drop": {"Art": ["Gesuch"]}}},
        {"rows": {"drop": {"Art": ["Gesuche"]}}},
    ),
    "no row of the value to keep": OddFile(
        text(WANTED, (*HEADER, "Art")),
        "{file}: ingest.rows leaves none of 100 rows (100 left out by ingest.rows.keep: Art); the "
        "values of Art are 'Angebot' (80), 'Gesuch' (20)",
        {"rows": {"keep": {"Art": "Angebot"}}},
        {"rows": {"keep": {"Art": "Verkauf"}}},
    ),
    "a default for a number": OddFile(
        text(),
        "ingest.columns.odometer.default does not fit, for odometer is no text, and what is made "
        "up gives a wrong price that looks right: a missing value is known to be missing; remove "
        "default",
        {"columns": {"odometer": {"from": "odometer"}}},
        {"columns": {"odometer": {"from": "odometer", "default": 50000}}},
    ),
    "a part of the variant that is not there": OddFile(
        text([(*car, "LX") for car in CARS], (*HEADER, "trim")),
        "{file} has no column 'engine', which ingest.columns names for variant; correct the name "
        "or write 'variant: null'; the file's columns are trim, price, odometer, year, model, make",
        {"columns": {"variant": {"from": ["trim"]}}},
        {"columns": {"variant": {"from": ["trim", "engine"]}}},
    ),
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_file_is_refused_and_the_remedy_works(name: str, tmp_path: Path) -> None:
    check(ODD[name], tmp_path)


def read(folder: Path, content: str, **keys: Any) -> tuple[dict[str, Any], pd.DataFrame]:
    """Return the report and the listings of a file."""
    (folder / "cars.csv").write_text(content, encoding="utf-8")
    settings = IngestSettings.model_validate({"source": str(folder / "cars.csv"), **keys})
    workspace = Workspace(folder / "work")
    report = ingest(settings, workspace, quiet)
    parts = (workspace.train_listings, workspace.test_listings)
    return report, pd.concat(map(pd.read_parquet, parts)).sort_values("price")


def of_the_docs(key: str) -> dict[str, Any]:
    """Return ``ingest`` of the first example in the docs that has a key below it."""
    blocks = DOCS.read_text(encoding="utf-8").split("```yaml\n")[1:]
    examples = (yaml.safe_load(block.split("```")[0]) for block in blocks)
    return next(one["ingest"] for one in examples if key in str(one))


def test_the_title_of_the_docs_is_read_by_the_rules_of_the_docs(tmp_path: Path) -> None:
    report, listings = read(tmp_path, text(TITLED, TITLE_HEADER), **of_the_docs("款"))
    assert report["rows_kept"] == len(CARS)
    assert report["notes"] == []
    first = listings[["make", "model", "year", "engine_cc", "variant"]].iloc[0]
    assert first.tolist() == ["起亚", "Rio", 2005, 1000, "自动舒适型"]
    assert listings["make"].nunique() == listings["model"].nunique() == 4


def test_models_that_are_missing_take_the_default_and_are_counted(tmp_path: Path) -> None:
    gaps = [(*car[:1], "" if n % 4 == 0 else car[1], *car[2:]) for n, car in enumerate(CARS)]
    lost, _ = read(tmp_path, text(gaps))
    assert lost["rejected"] == {"model missing or unreadable": 20}
    report, listings = read(
        tmp_path, text(gaps), columns={"model": {"from": "model", "default": "Other"}}
    )
    assert report["rejected"] == {}
    assert report["repaired"] == {"model missing, taken for 'Other'": 20}
    assert (listings["model"] == "Other").sum() == 20


def test_a_rule_that_finds_nothing_in_some_rows_is_noted(tmp_path: Path) -> None:
    titles = [(t.replace("款", "") if n < 10 else t, *more) for n, (t, *more) in enumerate(TITLED)]
    report, _ = read(tmp_path, text(titles, TITLE_HEADER), columns=BY_TITLE)
    assert report["rejected"] == {"year missing or unreadable": 10}
    assert report["notes"] == [
        "the rule of year finds nothing in 10 of 80 rows, such as '起亚 Rio 2005 1.0L 自动舒适型'"
    ]


def test_rows_of_the_docs_are_left_out(tmp_path: Path) -> None:
    keys = of_the_docs("keep")["rows"]
    (column, kept), (other, dropped) = *keys["keep"].items(), *keys["drop"].items()
    rows = [(*car, kept[0], dropped[0] if n < 5 else "x") for n, car in enumerate(CARS)]
    rows += [(*car[:4], 1, "Wanted", "x") for car in CARS[:7]]
    report, _ = read(tmp_path, text(rows, (*HEADER, column, other)), rows=keys)
    assert report["rejected"] == {
        f"left out by ingest.rows.keep: {column}": 7,
        f"left out by ingest.rows.drop: {other}": 5,
    }
    assert report["rows_kept"] == 75


def test_power_in_kw_and_ps_is_told_in_bhp(tmp_path: Path) -> None:
    rows = [(*car, 110) for car in CARS]
    for unit, bhp in (("kW", 147.5), ("PS", 108.5)):
        rule = {"powerBhp": {"from": "Leistung", "unit": unit}}
        _, listings = read(tmp_path, text(rows, (*HEADER, "Leistung")), columns=rule)
        assert listings["power_bhp"].unique() == pytest.approx([bhp], abs=0.1)
