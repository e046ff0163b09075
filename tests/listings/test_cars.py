from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from carprice.arrays import quiet
from carprice.errors import InputError
from carprice.listings.cars import first_of_each_car
from carprice.listings.features import Features
from carprice.listings.reading import (
    Listings,
    Source,
    clean_source,
    read_source,
    refuse_too_few,
)
from carprice.settings import IngestSettings

KIA = {"make": "Kia", "model": "Rio", "year": 2019, "odometer": 45_237, "price": 5000}
SAME_PRICE = "the same car at the same price"
EARLIER = "an earlier price of the same car"


def cleaned(folder: Path, rows: list[dict[str, Any]], **given: Any) -> Listings:
    """Clean rows of Kias, with what differs, and columns that no field reads."""
    source, settings = read(folder, rows, **given)
    return clean_source(source, settings)


def read(folder: Path, rows: list[dict[str, Any]], **given: Any) -> tuple[Source, IngestSettings]:
    """Read them only."""
    frame = pd.DataFrame([{**KIA, **row} for row in rows])
    frame = frame.assign(**{"Unnamed: 0": range(len(rows))})
    frame.to_csv(folder / "cars.csv", index=False)
    settings = IngestSettings.model_validate({"source": str(folder / "cars.csv"), **given})
    return read_source(settings, quiet), settings


@pytest.mark.parametrize(
    ("rows", "given", "prices", "cars", "rejected"),
    [
        pytest.param([{}, {}], {}, [5000], 1, {"exact duplicate": 1}, id="ignored column"),
        pytest.param([{}, {}], {"repeats": "ignore"}, [5000] * 2, 1, {}, id="ignored repeats"),
        pytest.param([{}, {"odometer": 45_238}], {}, [5000] * 2, 2, {}, id="other odometer"),
        pytest.param(
            [{"region": "A"}, {"region": "B"}], {}, [5000], 1, {SAME_PRICE: 1}, id="cities"
        ),
        pytest.param(
            [{"region": "A"}, {"region": "B"}],
            {"repeats": "all"},
            [5000] * 2,
            1,
            {},
            id="cities, all kept",
        ),
        pytest.param([{}, {"price": 4900}], {}, [5000, 4900], 1, {}, id="no dates"),
        pytest.param(
            [{"listedOn": "2024-03-01", "price": 4900}, {"listedOn": "2024-01-01"}],
            {},
            [4900],
            1,
            {EARLIER: 1},
            id="latest price",
        ),
        pytest.param(
            [{"listedOn": "2024-03-01", "price": 4900}, {}],
            {},
            [4900],
            1,
            {EARLIER: 1},
            id="undated",
        ),
        pytest.param(
            [
                {"listedOn": "2024-03-01", "price": 4900, "odometer": 45_000},
                {"listedOn": "2024-01-01", "odometer": 45_000},
            ],
            {},
            [4900, 5000],
            1,
            {},
            id="rounded odometers may be of two cars",
        ),
        pytest.param(
            [{"odometer": None}, {"odometer": None, "region": "B"}],
            {},
            [5000] * 2,
            1,
            {},
            id="without odometer they may be two cars",
        ),
        pytest.param(
            [
                {"vin": "x", "odometer": 45_000, "listedOn": "2024-01-01"},
                {"vin": "x", "odometer": 46_000, "listedOn": "2024-02-01", "price": 4800},
                {"vin": "y", "odometer": 45_000, "listedOn": "2024-01-01"},
                {"odometer": 47_001, "listedOn": "2024-01-01"},
            ],
            {"columns": {"id": "vin"}},
            [4800, 5000, 5000],
            3,
            {EARLIER: 1},
            id="by id",
        ),
        pytest.param(
            [{"vin": "?", "model": name, "odometer": 40_001} for name in "ABCDE"],
            {"columns": {"id": "vin"}},
            [5000] * 5,
            5,
            {},
            id="a placeholder is no id",
        ),
    ],
)
def test_what_is_kept_of_a_car(
    rows: list[dict[str, Any]],
    given: dict[str, Any],
    prices: list[float],
    cars: int,
    rejected: dict[str, int],
    tmp_path: Path,
) -> None:
    found = cleaned(tmp_path, rows, **given)
    assert found.frame["price"].tolist() == prices
    assert found.repeats.cars == cars
    assert dict(found.counts.rejected) == rejected
    assert "id" not in found.frame


def test_ids_of_listings_are_doubted(tmp_path: Path) -> None:
    rows = [{"number": place, "price": 5000 + place} for place in range(4)]
    found = cleaned(tmp_path, rows, columns={"id": "number"})
    assert (found.repeats.cars, found.repeats.under_other_ids) == (4, 4)


def test_few_cars_are_too_few_however_often_they_are_listed(tmp_path: Path) -> None:
    rows = [{"odometer": 40_001 + n % 40, "price": 5000 + n} for n in range(200)]
    source, settings = read(tmp_path, rows)
    with pytest.raises(
        InputError, match=r"200 listings of 40 different cars .*\.repeats to ignore"
    ):
        refuse_too_few(clean_source(source, settings), settings, source)
    source, settings = read(tmp_path, rows, repeats="ignore")
    refuse_too_few(clean_source(source, settings), settings, source)


def test_cars_are_numbered_in_the_order_of_their_first_listings() -> None:
    features = Features({}, {}, [""] * 4, pd.Series([7, 3, 7, 5]).to_numpy())
    assert features.car_codes().tolist() == [0, 1, 0, 2]
    assert features.first_of_each_car().tolist() == [0, 1, 3]
    assert features.take(pd.Series([2, 1]).to_numpy()).cars.tolist() == [7, 3]


def test_a_car_stands_by_its_first_listing_whose_price_is_believed() -> None:
    cars, trust = [7, 3, 7, 5, 5, 3], [0.1, 1.0, 0.9, 0.2, 0.3, 0.1]
    listings = pd.DataFrame({"car": cars, "price_trust": trust}, index=[9, 8, 7, 6, 5, 4])
    # In the order of the cars' first listings; of car 5 none is believed.
    assert first_of_each_car(listings).index.tolist() == [7, 8, 6]
    assert first_of_each_car(listings.drop(columns="price_trust")).index.tolist() == [9, 8, 6]
    features = Features({}, {}, [""] * 6, pd.Series(cars).to_numpy())
    assert features.first_of_each_car(pd.Series(trust).to_numpy()).tolist() == [2, 1, 3]
