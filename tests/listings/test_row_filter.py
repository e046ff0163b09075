"""Rows that ``ingest.rows`` leaves out."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from carprice.arrays import quiet
from carprice.components.ingest import ingest
from carprice.components.workspace import Workspace
from carprice.errors import InputError
from carprice.listings.row_filter import RowFilter
from carprice.listings.sources import Chunk
from carprice.settings import IngestSettings

CELLS = pd.DataFrame(
    {
        " ad ": ["Offer", "wanted", "offer ", None, "Swap"],
        "doors": [3, 5, np.nan, 5, 4],
        "damaged": [True, False, False, True, False],
        "owner": ["1", "1.0", "2", "", " "],
    }
)


def kept(rows: dict[str, Any], frame: pd.DataFrame = CELLS) -> list[int]:
    settings = IngestSettings.model_validate({"rows": rows}).rows
    out = RowFilter(settings).reasons(Chunk(frame, "cars"), "cars.csv")
    return [int(row) for row in frame.index if row not in out.index]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ({}, [0, 1, 2, 3, 4]),
        ({"keep": {"ad": "Offer"}}, [0, 2]),
        ({"keep": {"ad": ["offer", None]}}, [0, 2, 3]),
        ({"keep": {"ad": ["Offer", "Swap"]}, "drop": {"damaged": True}}, [2, 4]),
        ({"drop": {"ad": ["Wanted", "Swap"]}}, [0, 2, 3]),
        ({"drop": {"ad": None}}, [0, 1, 2, 4]),
        ({"keep": {"doors": [5, 3.0]}}, [0, 1, 3]),
        ({"keep": {"doors": 5, "damaged": [False]}}, [1]),
        ({"drop": {"doors": [None], "ad": "swap"}}, [0, 1, 3]),
        ({"drop": {"damaged": [1]}}, [1, 2, 4]),
        ({"keep": {"owner": 1}}, [0, 1]),
        ({"keep": {"owner": [None, 2]}}, [2, 3, 4]),
    ],
)
def test_rows_are_kept_and_dropped_by_values_in_any_spelling(
    rows: dict[str, Any], expected: list[int]
) -> None:
    assert kept(rows) == expected
    later = CELLS.set_axis(pd.RangeIndex(10, 15))
    assert kept(rows, later) == [row + 10 for row in expected]


def test_each_row_is_counted_under_its_first_reason_and_told_its_value() -> None:
    rows = {"keep": {"ad": "Offer"}, "drop": {"doors": 3, "damaged": True}}
    one = RowFilter(IngestSettings.model_validate({"rows": rows}).rows)
    reasons = one.reasons(Chunk(CELLS, "cars"), "cars.csv")
    assert reasons.to_dict() == {
        0: "left out by ingest.rows.drop: doors is '3'",
        1: "left out by ingest.rows.keep: ad is 'wanted'",
        3: "left out by ingest.rows.keep: ad is empty",
        4: "left out by ingest.rows.keep: ad is 'Swap'",
    }
    assert +one.left_out == {
        "left out by ingest.rows.keep: ad": 3,
        "left out by ingest.rows.drop: doors": 1,
    }


def cars(rows: int = 120) -> pd.DataFrame:
    count = np.arange(rows)
    return pd.DataFrame(
        {
            "make": np.where(count % 2, "Kia", "Ford"),
            "model": np.where(count % 2, "Rio", "Focus"),
            "year": 2005 + count % 17,
            "odometer": 20_000 + 2_111 * count,
            "price": 250_000 + 9_157 * count,
            "ad": np.where(count % 4 == 3, "Wanted", "Offer"),
        }
    )


def report_of(folder: Path, **keys: Any) -> dict[str, Any]:
    file = folder / "cars.csv"
    cars().to_csv(file, index=False)
    settings = IngestSettings.model_validate({"source": str(file), **keys})
    return ingest(settings, Workspace(folder / "work"), quiet)


def test_report_and_data_card_count_what_is_left_out(tmp_path: Path) -> None:
    report = report_of(tmp_path, rows={"keep": {"ad": ["offer", "swap"]}})
    assert report["rows_read"] == 120
    assert report["rows_kept"] == 90
    assert report["rejected"] == {"left out by ingest.rows.keep: ad": 30}
    assert report["notes"] == [
        "ingest.rows.keep.ad: 'swap' occurs nowhere; the values are 'Offer' (90), 'Wanted' (30)"
    ]
    card = (tmp_path / "work" / "data" / "data_card.md").read_text("utf-8")
    assert "| left out by ingest.rows.keep: ad | 30 (25.0 %) |" in card
    assert "'swap' occurs nowhere" in card


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            {"keep": {"adv": "Offer"}},
            "has no column 'adv', which ingest.rows.keep names; correct the name or take it out; "
            "the file's columns are ad, ",
        ),
        (
            {"drop": {"ad": "Wnated"}},
            "'Wnated' of ingest.rows.drop.ad occurs nowhere, and 'Wanted'",
        ),
        (
            {"keep": {"ad": "lease"}},
            r"ingest\.rows leaves none of 120 rows \(120 left out by ingest.rows.keep: ad\); the "
            r"values of ad are 'Offer' \(90\), 'Wanted' \(30\)",
        ),
    ],
)
def test_a_filter_that_cannot_be_meant_is_one_line(
    rows: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message) as told:
        report_of(tmp_path, rows=rows)
    assert "\n" not in str(told.value)
    assert "cars.csv" in str(told.value)


def test_rows_left_out_count_for_no_share_of_what_cannot_be_read(tmp_path: Path) -> None:
    wrong = cars().assign(odometer=lambda some: some["odometer"].where(some["ad"] == "Offer", "?"))
    wrong.to_csv(tmp_path / "odd.csv", index=False)
    keys = {"source": str(tmp_path / "odd.csv")}
    with pytest.raises(InputError, match="odometer is '\\?' in row 3, and cannot be read in 25 %"):
        report_of(tmp_path, **keys)
    assert report_of(tmp_path, **keys, rows={"drop": {"ad": "wanted"}})["rows_kept"] == 90
