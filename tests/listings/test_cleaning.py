import datetime
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from carprice.errors import InputError
from carprice.listings.cleaning import (
    Counts,
    clean,
    default_price_range,
    find_valuation_date,
)
from carprice.listings.column_map import map_columns
from carprice.listings.sources import Chunk
from carprice.settings import IngestSettings

DAY = datetime.date(2024, 6, 30)
CAR = {"make": "Kia", "model": "Rio", "year": 2019.0, "odometer": 45000.0, "price": 500_000.0}


def cleaned(*rows: dict[str, Any], unit: str = "km") -> tuple[pd.DataFrame, Counts]:
    """Clean rows, each a good car but for what is given."""
    counts = Counts()
    chunk = Chunk(pd.DataFrame([CAR | row for row in rows]), "cars")
    mapped = map_columns(chunk, IngestSettings(), price_required=True)
    kept = clean(mapped.frame, DAY, (1000, 1e7), unit, counts)
    return kept, counts


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"price": math.nan}, "price missing or unreadable"),
        ({"price": 999}, "price below 1000"),
        ({"price": 0}, "price below 1000"),
        ({"price": -5}, "price below 1000"),
        ({"price": 2e7}, "price above 1e+07"),
        ({"make": None}, "make missing or unreadable"),
        ({"model": None}, "model missing or unreadable"),
        ({"year": math.nan}, "year missing or unreadable"),
        ({"year": 1899}, "year before 1900"),
        ({"year": 2026}, "year after 2025"),
        ({"year": 2060}, "year after 2025"),
        ({"price": 1, "year": 1899, "make": None}, "price below 1000"),
    ],
)
def test_a_row_without_a_meaning_is_rejected_for_its_first_reason(
    row: dict[str, Any], reason: str
) -> None:
    kept, counts = cleaned(row, {})
    assert len(kept) == 1
    assert counts.rejected == {reason: 1}
    assert not counts.repaired


@pytest.mark.parametrize(
    "row",
    [
        {"price": 1000},
        {"price": 1e7},
        {"year": 1900},
        {"year": 2025},
        {"odometer": math.nan},
        {"odometer": 0, "year": 2024},
        {"variant": "VXI"},
    ],
)
def test_a_row_at_the_limit_is_kept_as_it_is(row: dict[str, Any]) -> None:
    kept, counts = cleaned(row)
    assert not counts.rejected
    assert not counts.repaired
    for name, value in row.items():
        assert kept[name].tolist() == pytest.approx([value], nan_ok=True) or value == "VXI"


@pytest.mark.parametrize(
    ("row", "field", "reason"),
    [
        ({"odometer": 5}, "odometer", "odometer impossible, made missing"),
        ({"odometer": 900_000}, "odometer", "odometer impossible, made missing"),
        ({"odometer": -3, "year": 2024}, "odometer", "odometer impossible, made missing"),
        ({"seats": 0}, "seats", "seats outside 1–100, made missing"),
        ({"ownership": 30}, "ownership", "ownership outside 0–20, made missing"),
        ({"power_bhp": 1e6}, "power_bhp", "power_bhp outside 0–2500, made missing"),
    ],
)
def test_a_value_that_cannot_be_is_made_missing_and_the_row_kept(
    row: dict[str, Any], field: str, reason: str
) -> None:
    kept, counts = cleaned(row, {field: 50.0} if field == "power_bhp" else {})
    assert len(kept) == 2
    assert math.isnan(kept[field][0])
    assert counts.repaired == {reason: 1}
    assert not counts.rejected


def test_an_odometer_is_judged_by_the_age_at_the_listing_and_in_its_unit() -> None:
    row = {"odometer": 50, "year": 2019}
    kept, _ = cleaned(row, {**row, "listed_on": np.datetime64("2019-12-01")})
    assert kept["odometer"].tolist() == pytest.approx([math.nan, 50], nan_ok=True)
    assert cleaned({"odometer": 400_000})[0]["odometer"].tolist() == [400_000]
    assert cleaned({"odometer": 400_000}, unit="miles")[0]["odometer"].isna().tolist() == [True]


def test_what_is_left_is_counted_anew_and_keeps_its_order() -> None:
    kept, _ = cleaned({"price": 1}, {"year": 2015}, {"make": None}, {"year": 2016})
    assert kept.index.tolist() == [0, 1]
    assert kept["year"].tolist() == [2015, 2016]
    assert len(cleaned({"price": 1}, {"price": 2})[0]) == 0


@pytest.mark.parametrize(
    ("years", "listed_on", "expected"),
    [
        ([2019, 2020, 2021], [None, None, None], "2021-12-31"),
        ([2019, 2020, 2021], ["2022-03-04", None, "2021-01-01"], "2022-03-04"),
        ([2019] * 400 + [2060], [None] * 401, "2019-12-31"),
        ([2017, 2018, 2019, 2060], [None] * 4, "2019-12-31"),
        ([2019] * 400 + [2020, 2020, 2020], [None] * 403, "2020-12-31"),
        ([*range(1900, 2101)] * 2, [None] * 402, "2100-12-31"),
        ([2019, 250_000], [None, None], "2019-12-31"),
        ([2019, math.nan], [None, None], "2019-12-31"),
    ],
)
def test_the_valuation_date_is_the_newest_listing_or_common_year(
    years: list[float], listed_on: list[str | None], expected: str
) -> None:
    frame = pd.DataFrame({"year": years, "listed_on": pd.Series(listed_on, dtype="datetime64[s]")})
    assert find_valuation_date(frame) == datetime.date.fromisoformat(expected)


@pytest.mark.parametrize("years", [[math.nan, math.nan], [250_000.0, 0.0], []])
def test_without_any_year_there_is_no_valuation_date(years: list[float]) -> None:
    undated = pd.Series([None] * len(years), dtype="datetime64[s]")
    frame = pd.DataFrame({"year": pd.Series(years, dtype="float64"), "listed_on": undated})
    with pytest.raises(InputError, match=r"no row has a readable .*correct ingest\.columns\.year"):
        find_valuation_date(frame)


@pytest.mark.parametrize(
    ("prices", "expected"),
    [
        ([100.0], (1, 100_000)),
        ([0.0, -5, 100, math.nan], (1, 100_000)),
        ([100.0, 200, 1e12], (2, 200_000)),
    ],
)
def test_default_price_limits_are_around_the_median(
    prices: list[float], expected: tuple[float, float]
) -> None:
    assert default_price_range(pd.Series(prices)) == expected
