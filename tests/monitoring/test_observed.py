import datetime
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from carprice.errors import InputError
from carprice.listings.market import Market
from carprice.monitoring.observed import as_listings, days_of, features_of, one_of_each_car
from carprice.monitoring.pairs import paired

MODEL: Any = SimpleNamespace(
    own=("category:steering", "flag:accident", "number:doors"),
    market=Market("EUR", "km", datetime.date(2025, 6, 30), ""),
)


def cars(**more: Any) -> pd.DataFrame:
    rows = len(next(iter(more.values())))
    plain = {"make": ["Kia"] * rows, "model": ["Rio"] * rows, "year": [2020] * rows}
    return pd.DataFrame(plain | more)


def read(frame: pd.DataFrame, day: str = "2025-01-31") -> pd.DataFrame:
    return as_listings(frame, MODEL, pd.Series(pd.Timestamp(day), frame.index))


def test_the_markets_own_columns_are_read_as_training_reads_them() -> None:
    frame = cars(
        **{
            "flag:accident": [True, np.bool_(False), "yes", "no", 1.0, None],
            "number:doors": [3, "5", None, 4.0, "many", np.nan],
            "category:steering": ["Left", "left ", None, "", "RIGHT", np.nan],
        }
    )
    found = features_of(read(frame), MODEL)
    assert found.texts["flag:accident"] == ["yes", "no", "yes", "no", "yes", ""]
    assert found.texts["category:steering"] == ["left", "left", "", "", "right", ""]
    doors = found.numbers["number:doors"]
    assert np.array_equal(doors, [3, 5, np.nan, 4, np.nan, np.nan], equal_nan=True)


def test_equipment_comes_as_a_text_a_list_or_an_array() -> None:
    names = ["Bluetooth", "Abs"]
    frame = cars(features=["Bluetooth|Abs", names, tuple(names), np.array(names), None, "", []])
    found = features_of(read(frame), MODEL)
    assert found.equipment == ["abs|bluetooth"] * 4 + [""] * 3


def test_numbers_that_no_listing_may_have_are_missing() -> None:
    listings = read(cars(odometer=[1e4, -1, 1e9, np.inf], seats=[5, 0, 5, 5]))
    assert listings["odometer"].notna().tolist() == [True, False, False, False]
    assert listings["seats"].notna().tolist() == [True, False, True, True]


def test_days_are_read_from_texts_dates_and_time_stamps() -> None:
    given = pd.Series(
        ["2025-03-01", datetime.date(2025, 3, 1), pd.Timestamp("2025-03-01 23:30Z"), None, "soon"],
        dtype=object,
    )
    found = days_of(given)
    assert found.isna().tolist() == [False, False, False, True, True]
    assert set(found.dropna()) == {pd.Timestamp("2025-03-01")}


def test_models_of_two_markets_are_not_compared() -> None:
    other: Any = SimpleNamespace(market=replace(MODEL.market, currency="INR"))
    with pytest.raises(InputError, match="EUR and km, the other in INR and km"):
        paired(MODEL, other, pd.DataFrame(), datetime.date(2025, 1, 1))


@pytest.mark.parametrize(
    ("odometer", "prices", "ranks", "kept"),
    [
        ([42_123] * 3, [9.0, 8.0, 7.0], [0, 0, 0], [2]),  # the last day
        ([42_123] * 3, [9.0, 8.0, 7.0], [0, 2, 0], [1]),  # the sale
        ([42_000] * 3, [9.0, 8.0, 8.0], [0, 0, 0], [0, 2]),  # may be two cars
        ([np.nan] * 3, [9.0, 9.0, 7.0], [0, 0, 0], [1, 2]),
        ([42_123, 42_124, 42_125], [9.0, 9.0, 9.0], [0, 0, 0], [0, 1, 2]),
    ],
)
def test_a_car_is_kept_once(
    odometer: list[float], prices: list[float], ranks: list[int], kept: list[int]
) -> None:
    listings = read(cars(odometer=odometer))
    listings["listed_on"] = pd.to_datetime(["2025-01-01", "2025-01-02", "2025-01-03"])
    found = one_of_each_car(listings, np.array(prices), np.array(ranks, dtype=np.float64))
    assert found.tolist() == kept
