from typing import Any

import numpy as np
import pandas as pd
import pytest

from carprice.arrays import Columns
from carprice.listings.frames import as_columns
from carprice.model import PriceModel
from carprice.model.explanation import Explanation

NAMES = "make and model, variant, age, distance, fuel and gearbox, owners, equipment, colour, "
NAMES += "everything else"


@pytest.fixture(scope="module")
def model(finished) -> PriceModel:
    return PriceModel.load(finished[0].model)


@pytest.fixture(scope="module")
def columns(finished) -> Columns:
    listings = pd.read_parquet(finished[0].test_listings).copy()
    listings.loc[listings.index[::9], ["variant", "color", "features"]] = None
    listings.loc[listings.index[::7], ["odometer", "ownership", "power_bhp"]] = np.nan
    listings.loc[listings.index[::11], "model"] = "Never Seen"
    listings.loc[listings.index[::13], ["make", "fuel_type"]] = "Nobody"
    return as_columns(listings)


@pytest.fixture(scope="module")
def told(model: PriceModel, columns: Columns) -> list[Explanation]:
    return model.explain(columns)


def test_factors_multiply_to_the_price_and_amounts_sum_to_it_always_by_the_same_names(
    told: list[Explanation], model: PriceModel, columns: Columns
) -> None:
    prices = model.predict(columns).price
    assert len(told) == len(prices) > 300
    assert {tuple(reason.name for reason in one.reasons) for one in told} == {
        tuple(NAMES.split(", "))
    }
    for one, price in zip(told, prices, strict=True):
        after = one.start
        for reason in one.reasons:
            assert reason.amount == pytest.approx(after * (reason.factor - 1))
            after += reason.amount
        assert after == pytest.approx(price, rel=1e-6)
        assert one.price == pytest.approx(price, rel=1e-6)


def test_every_price_starts_at_the_markets_typical_car(told: list[Explanation], finished) -> None:
    (start,) = {one.start for one in told}
    prices = pd.read_parquet(finished[0].train_listings)["price"]
    assert start == pytest.approx(np.exp(np.log(prices).mean()), rel=0.05)


def factor(model: PriceModel, car: dict[str, Any], name: str) -> float:
    (one,) = model.explain({field: [value] for field, value in car.items()})
    return {reason.name: reason.factor for reason in one.reasons}[name]


@pytest.mark.parametrize(
    ("name", "field", "cheap", "dear"),
    [
        ("age", "year", 2010, 2022),
        ("distance", "odometer", 160_000.0, 20_000.0),
        ("owners", "ownership", 3.0, 1.0),
    ],
)
def test_a_factor_goes_the_way_that_a_buyer_expects(
    name: str, field: str, cheap: float, dear: float, model: PriceModel, finished
) -> None:
    listings = pd.read_parquet(finished[0].train_listings)
    car = listings.dropna(axis=1, how="all").dropna().iloc[0].drop("price").to_dict()
    below, above = (factor(model, car | {field: value}, name) for value in (cheap, dear))
    assert below < 1 < above
