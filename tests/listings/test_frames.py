import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from carprice.listings.features import NUMBERS, parse
from carprice.listings.frames import as_columns, read_features, write_features
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
