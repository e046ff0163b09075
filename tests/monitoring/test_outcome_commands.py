import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from command_line import Carprice, caller

from carprice.monitoring.outcomes import OutcomeStore

RIO = {"make": "Kia", "model": "Rio", "year": 2020, "odometer": 9000}
CSV = "quoteId,soldPrice,soldOn,kind,note\nq1,500,2025-06-14,,x\nq2,,2025-07-01,withdrawn,\n"


@pytest.fixture
def carprice(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Carprice:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CARPRICE_OUTCOMES", str(tmp_path / "kept"))
    return caller(monkeypatch, capsys)


def added(done: Any) -> dict[str, Any]:
    assert done.code == 0, done.printed
    return json.loads(done.out)  # type: ignore[no-any-return]


def test_files_are_kept_once_and_corrected(carprice: Carprice, tmp_path: Path) -> None:
    Path("a.csv").write_text(CSV)
    counts = {"new": 2, "repeated": 0, "corrections": 0, "ignoredColumns": ["note"]}
    assert added(carprice("outcomes", "add", "a.csv", "--json")) == counts
    Path("b.csv").write_text(CSV.replace("500", "510"))
    told = carprice("outcomes", "add", "a.csv", "b.csv")
    assert told.code == 0
    assert "not read: note" in told.err
    assert "4 outcomes in" in told.err
    assert "0 new, 3 told before, 1 corrections" in told.err
    shown = json.loads(carprice("outcomes", "show", "--json").out)
    assert shown == {"sold": {"2025-06": 1}, "withdrawn": {"2025-07": 1}}
    history = json.loads(carprice("outcomes", "show", "--quote", "q1", "--json").out)
    assert [one["soldPrice"] for one in history] == [500.0, 510.0]
    assert "510.00" in carprice("outcomes", "show", "--quote", "q1").err
    assert "withdrawn" in carprice("outcomes", "show").err


def test_a_revision_is_read_and_what_is_old_is_forgotten(carprice: Carprice) -> None:
    rows = "q1,500,2025-06-14,\nq1,490,2025-06-14,\nq1,500,2025-06-14,1\n"
    Path("a.csv").write_text(f"quoteId,soldPrice,soldOn,revision\n{rows}")
    counts = {"new": 1, "repeated": 0, "corrections": 2, "ignoredColumns": []}
    assert added(carprice("outcomes", "add", "a.csv", "--json")) == counts
    history = json.loads(carprice("outcomes", "show", "--quote", "q1", "--json").out)
    assert history[-1].items() >= {"soldPrice": 500.0, "revision": 1}.items()
    forget = ("outcomes", "forget", "--before", "2100-01-01")
    assert "3 outcomes in" in (told := carprice(*forget)).err
    assert "nothing was done without --act" in told.err
    assert "are deleted" in carprice(*forget, "--act").err
    assert json.loads(carprice("outcomes", "show", "--json").out) == {}


def test_parquet_and_json_lines_are_read_with_listings(carprice: Carprice, tmp_path: Path) -> None:
    sold = {"soldPrice": 70, "soldOn": "2025-06-14"}
    day = pd.Timestamp("2025-06-14")
    frame = pd.DataFrame([{**RIO, "accident": True, "sold_price": 70.0, "sold_on": day}])
    frame.to_parquet("a.parquet")
    lines = [{"listing": {**RIO, "accident": True}, **sold}, {"quoteId": "q", **sold}]
    Path("b.jsonl").write_text("\n".join(map(json.dumps, lines)))
    Path("params.yaml").write_text("ingest: {extra: {accident: flag}}")
    done = carprice("outcomes", "add", "a.parquet", "b.jsonl", "--json", "--to", "other")
    assert added(done) == {"new": 2, "repeated": 1, "corrections": 0, "ignoredColumns": []}
    listings = [one.listing for one in OutcomeStore("other").latest()]
    assert listings == [{**RIO, "flag:accident": "yes"}, {}]


def test_wrong_rows_are_named_with_file_and_row_and_nothing_is_kept(
    carprice: Carprice, tmp_path: Path
) -> None:
    Path("good.csv").write_text(CSV)
    rows = "Kia,Rio,2020,9000,abc,2025-06-14\n,Rio,2020,x,70,14.6.2025\n" + "Kia,,,,1,\n" * 5
    Path("bad.csv").write_text("make,model,year,odometer,sold_price,sold_on\n" + rows)
    done = carprice("outcomes", "add", "good.csv", "bad.csv")
    assert done.code == 2
    assert "bad.csv, row 1: soldPrice: Input should be a number above 0" in done.line
    assert "bad.csv, row 2: listing.make: this field is required; listing.odometer: " in done.line
    assert "(found '14.6.2025')" in done.line
    assert done.line.endswith("; and 2 rows more; nothing was kept")
    assert json.loads(carprice("outcomes", "show", "--json").out) == {}
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("quoteId,price\nq,5\n", "a.csv has no column soldOn, the day on which"),
        ("soldOn,soldPrice\n2025-06-14,5\n", "a.csv has neither a column quoteId nor the fields"),
        ("", "a.csv is empty"),
    ],
)
def test_files_of_something_else_are_refused(carprice: Carprice, content: str, words: str) -> None:
    Path("a.csv").write_text(content)
    done = carprice("outcomes", "add", "a.csv")
    assert done.code == 2
    assert words in done.line


def test_the_place_is_beside_a_log_that_is_a_folder_or_has_to_be_named(
    carprice: Carprice, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("CARPRICE_OUTCOMES")
    Path("a.csv").write_text(CSV)
    done = carprice("outcomes", "add", "a.csv")
    assert (done.code, "set CARPRICE_OUTCOMES, or monitor.outcomes" in done.line) == (2, True)
    monkeypatch.setenv("CARPRICE_PREDICTION_LOG", str(tmp_path / "log"))
    assert carprice("outcomes", "add", "a.csv").code == 0
    assert (tmp_path / "log" / "outcomes.db").exists()
    assert carprice("outcomes", "show", "--quote", "nobody").code == 2
