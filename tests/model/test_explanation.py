from typing import Any

import numpy as np
import pandas as pd
import pytest

from carprice.arrays import Columns
from carprice.listings.features import listings_of
from carprice.listings.frames import as_columns
from carprice.model import PriceModel, pricer
from carprice.model.explanation import Explanation

MOST_AGAINST = 0.01
NAMES = "make and model, variant, age, distance, fuel and gearbox, owners, equipment, colour, "
NAMES += "condition, everything else"


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


def test_many_are_explained_as_one_by_one_whatever_the_chunk_they_are_in(
    told: list[Explanation], model: PriceModel, columns: Columns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pricer, "_CHUNK_EXPLAINED", 7)
    listings = [*listings_of(columns)][:60]
    both = zip(model.pricer.explain_all(listings), map(model.pricer.explain, listings), strict=True)
    for (many, alone), first in zip(both, told, strict=False):
        amounts = [[reason.amount for reason in one.reasons] for one in (many, alone, first)]
        assert amounts[0] == pytest.approx(amounts[1], abs=0.001)
        assert amounts[0] == pytest.approx(amounts[2], abs=0.001)
    assert [*model.pricer.explain_all([])] == []
    appraised = [*model.pricer.appraise_all(listings, 0.8)]
    assert [told for _, told in appraised] == [*model.pricer.explain_all(listings)]
    for (many, _), alone in zip(appraised, model.pricer.outlooks(listings, 0.8), strict=True):
        valued, own = many.valuation, alone.valuation
        assert valued.prices == pytest.approx(own.prices, abs=0.02)
        assert (valued.cautions, valued.valuation_date) == (own.cautions, own.valuation_date)
        assert (many.listing, many.age) == (alone.listing, alone.age)
        assert (many.distribution is None) == (alone.distribution is None)


def test_every_price_starts_at_the_markets_typical_car(told: list[Explanation], finished) -> None:
    (start,) = {one.start for one in told}
    prices = pd.read_parquet(finished[0].train_listings)["price"]
    assert start == pytest.approx(np.exp(np.log(prices).mean()), rel=0.05)


def test_the_usual_value_of_an_attribute_is_no_reason(model: PriceModel, finished) -> None:
    usual, day = model.pricer._usual.numbers, model.market.valuation_date
    car = pd.read_parquet(finished[0].train_listings).dropna(axis=1, how="all").dropna().iloc[0]
    at_usual = {"year": day.year - usual["age"], "odometer": usual["odometer"], "listed_on": None}
    bare = {"variant": None, "fuel_type": None, "transmission_type": None, "seller_type": None}
    for name, change in {
        "age": at_usual,
        "distance": at_usual,
        "variant": bare,
        "fuel and gearbox": bare | {"engine_cc": None, "power_bhp": None, "seats": None},
    }.items():
        assert factor(model, car.drop("price").to_dict() | change, name) == pytest.approx(1), name


@pytest.mark.parametrize("odometer", [None, 900_000.0])
def test_a_distance_that_is_not_read_is_no_reason(
    odometer: float | None, model: PriceModel, finished
) -> None:
    car = pd.read_parquet(finished[0].train_listings).dropna(axis=1, how="all").dropna().iloc[0]
    for year in (2024, 2008):
        asked = car.drop("price").to_dict() | {"odometer": odometer, "year": year}
        assert factor(model, asked, "distance") == pytest.approx(1)


@pytest.mark.parametrize("market", ["sample", "cars24"])
def test_no_reason_goes_against_the_price_of_a_neighbour(
    market: str, model: PriceModel, finished, request: pytest.FixtureRequest
) -> None:
    workspace = finished[0] if market == "sample" else request.getfixturevalue(market)[0]
    model = model if market == "sample" else PriceModel.load(workspace.model)
    cars = odd_cars(pd.read_parquet(workspace.test_listings), model)
    price, reasons = priced_and_told(model, cars)
    for name, field, change in (
        ("age", "year", -1.0),
        ("age", "year", -3.0),
        ("distance", "odometer", 20_000.0),
        ("distance", "odometer", -15_000.0),
    ):
        others = cars.assign(**{field: cars[field] + change})
        neighbour, told = priced_and_told(model, others)
        rise, told_rise = np.log(neighbour / price), np.log(told[name] / reasons[name])
        against = (rise * told_rise < 0) & (np.minimum(abs(rise), abs(told_rise)) > 0.01)
        assert against.mean() <= MOST_AGAINST, (name, change)
    is_old = cars["year"] <= model.market.valuation_date.year - 20
    is_far = cars["odometer"] >= 200_000
    assert (reasons["age"][is_old] < 1).all()
    assert (reasons["distance"][is_far] < 1).all()


@pytest.mark.parametrize("market", ["sample", "cars24"])
def test_everything_else_is_small_for_ordinary_cars(
    market: str, model: PriceModel, finished, request: pytest.FixtureRequest
) -> None:
    workspace = finished[0] if market == "sample" else request.getfixturevalue(market)[0]
    model = model if market == "sample" else PriceModel.load(workspace.model)
    _, reasons = priced_and_told(model, pd.read_parquet(workspace.test_listings).head(400))
    assert (abs(np.log(reasons["everything else"])) < np.log(1.1)).mean() >= 0.95


def odd_cars(listings: pd.DataFrame, model: PriceModel) -> pd.DataFrame:
    """Return 200 listings of which each is very old, driven very far, or of an unseen name."""
    cars = listings.drop(columns="price").head(200).reset_index(drop=True).assign(listed_on=pd.NaT)
    cars["odometer"] = cars["odometer"].fillna(60_000.0).clip(lower=20_000.0)
    day, kind = model.market.valuation_date.year, cars.index % 4
    cars.loc[kind == 0, "year"] = day - 20.0 - cars.index[kind == 0] % 15
    cars.loc[kind == 1, "odometer"] = 200_000.0 + 500.0 * cars.index[kind == 1]
    cars.loc[kind == 2, "model"] = "Never Seen"
    cars.loc[kind == 3, "make"] = "Nobody"
    cars.loc[kind == 3, "year"] = day - 1.0 - cars.index[kind == 3] % 25
    return cars


def priced_and_told(model: PriceModel, cars: pd.DataFrame) -> tuple[np.ndarray, pd.DataFrame]:
    """Return the prices, and the factors by name."""
    told = model.explain(as_columns(cars))
    factors = [{reason.name: reason.factor for reason in one.reasons} for one in told]
    return np.array([one.price for one in told]), pd.DataFrame(factors)


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
