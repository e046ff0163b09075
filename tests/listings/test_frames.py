import datetime
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from carprice import arrays
from carprice.arrays import Coded, coded_together, picked
from carprice.listings import frames
from carprice.listings.cells import stacked, with_categories, with_texts
from carprice.listings.features import NUMBERS, parse
from carprice.listings.frames import (
    as_columns,
    parse_listings,
    read_features,
    read_listings,
    write_features,
    write_listings,
)
from carprice.listings.market import Market
from carprice.model.car import CarReader
from carprice.model.defaults import Defaults
from carprice.model.hedonic_fit import texts_of
from carprice.schema import FIELDS


def listings(**columns: list) -> pd.DataFrame:
    rows = len(next(iter(columns.values())))
    return pd.DataFrame({name: columns.get(name, [None] * rows) for name in FIELDS})


def test_listings_become_columns_of_plain_values() -> None:
    frame = listings(
        make=["Kia", "Kia"],
        variant=["VXI", None],
        year=[2019.0, 2020.0],
        seats=[5.0, np.nan],
        features=["Bluetooth|Tpms", None],
        listed_on=pd.to_datetime(["2024-01-05", None]),
    )
    columns = as_columns(frame)
    assert list(columns) == ["make", "variant", "year", "features", "seats", "listed_on"]
    assert columns["variant"] == ["VXI", None]
    assert columns["features"] == ["Bluetooth|Tpms", None]
    assert np.array_equal(columns["seats"], [5, np.nan], equal_nan=True)
    days = np.array(["2024-01-05", "NaT"], dtype="datetime64[D]")
    assert columns["listed_on"].dtype == days.dtype
    assert np.array_equal(np.isnat(columns["listed_on"]), [False, True])
    assert columns["listed_on"][0] == days[0]


@pytest.mark.parametrize("dtype", [object, "str", "category"])
def test_text_of_every_storage_becomes_none_where_missing(dtype: object) -> None:
    frame = listings(make=["Kia", "Kia"], color=["Red", None], variant=[None, None])
    frame["color"] = pd.Series(["Red", None], dtype=dtype)
    columns = as_columns(frame)
    assert columns["color"] == ["Red", None]
    assert "variant" not in columns
    with pytest.raises(KeyError, match="odometer"):
        as_columns(frame.drop(columns="odometer"))


def test_features_are_read_as_they_were_written(tmp_path: Path) -> None:
    features = parse(
        {
            "make": ["Kia", "Maruti"],
            "model": ["Sonet", "Swift"],
            "variant": ["GTX+ 1.5 DCT", None],
            "year": [2020, 2012],
            "odometer": [30000, 5],
            "features": ["Tpms|Bluetooth", None],
        },
        datetime.date(2024, 6, 30),
        "km",
    )
    target = np.array([13.1, 12.7])
    write_features(tmp_path / "f.parquet", features, target)
    read, read_target = read_features(tmp_path / "f.parquet")
    assert (read.texts, read.equipment) == (features.texts, features.equipment)
    assert read_target.tolist() == target.tolist()
    for name in NUMBERS:
        assert np.array_equal(read.numbers[name], features.numbers[name], equal_nan=True), name


def mixed() -> pd.DataFrame:
    frame = listings(
        make=["Kia", "Kia", "Škoda"],
        model=["Rio", None, "Fabia"],
        variant=[None, "GTX+ 1.5 DCT", "GTX+ 1.5 DCT"],
        year=[2019.0, 2020.0, 2021.0],
        features=[None, "Tpms|Bluetooth", ""],
        seats=[np.nan, np.nan, 5.0],
    )
    frame["listed_on"] = pd.to_datetime([None, "2024-01-05", None]).as_unit("s")
    numbers = ["odometer", "engine_cc", "power_bhp", "ownership", "fitness_age", "cylinders"]
    numbers += ["fuel_economy", "road_tax", "new_price"]
    frame = frame.astype(dict.fromkeys(numbers, np.float64))
    texts = frame.select_dtypes(["object", "str"])
    return frame.assign(**texts.astype(object).where(texts.notna(), None))


def test_listings_of_categories_are_written_as_pandas_writes_texts(tmp_path: Path) -> None:
    frame = mixed()
    frame.to_parquet(tmp_path / "pandas.parquet", index=False)
    coded = with_categories(frame)
    write_listings(tmp_path / "ours.parquet", coded)
    written = (tmp_path / "ours.parquet").read_bytes()
    assert written == (tmp_path / "pandas.parquet").read_bytes()
    assert read_listings(tmp_path / "ours.parquet")["make"].dtype == "category"
    pd.testing.assert_frame_equal(with_texts(coded), frame)


def test_features_of_what_differs_are_those_of_texts(tmp_path: Path) -> None:
    market = Market("INR", "km", datetime.date(2024, 6, 30), "digest")
    names = ("texts.parquet", "categories.parquet")
    tables = ((mixed(), picked), (with_categories(mixed()), Coded))
    for name, (frame, pick) in zip(names, tables, strict=True):
        features = parse_listings(frame, market, pick)
        write_features(tmp_path / name, features, np.log([3.0, 4.0, 5.0]), market.data_digest)
    texts, categories = ((tmp_path / name).read_bytes() for name in names)
    assert texts == categories


def test_tables_are_stacked_with_the_texts_of_each() -> None:
    frame = mixed()
    whole = pd.concat([frame, frame.iloc[:1].assign(make="Audi")], ignore_index=True)
    parts = [with_categories(frame), with_categories(frame.iloc[:1].assign(make="Audi"))]
    pd.testing.assert_frame_equal(with_texts(stacked(parts)), whole)


def test_texts_of_many_rows_stay_codes_that_say_the_same(
    finished: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = finished[0].train_features
    few, _ = read_features(file)
    monkeypatch.setattr(frames, "_MANY_ROWS", 100)
    many, _ = read_features(file)
    assert isinstance(many.texts["model"], Coded)
    assert {name: [*texts] for name, texts in many.texts.items()} == few.texts
    defaults = Defaults.fit(few)
    assert json.dumps(Defaults.fit(many).to_json()) == json.dumps(defaults.to_json())
    by_few, by_many = (
        texts_of(CarReader(defaults).complete(features), oldest=20) for features in (few, many)
    )
    assert len(by_few["model_variant"].different) > 50
    for name, texts in by_few.items():
        assert by_many[name].different == texts.different
        assert by_many[name].codes.tolist() == texts.codes.tolist()


@pytest.mark.parametrize("columns", [1, 2, 5])
def test_codes_are_told_together_by_a_table_as_by_sorting(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(columns)
    codes = [random.integers(0, 9, 400) for _ in range(columns)]
    by_table = [part.tolist() for part in coded_together(*codes)]
    monkeypatch.setattr(arrays, "_MOST_PLACES", 0)
    assert by_table == [part.tolist() for part in coded_together(*codes)]
    rows = [*zip(*codes, strict=True)]
    assert by_table[0] == sorted({row: at for at, row in reversed([*enumerate(rows)])}.values())
