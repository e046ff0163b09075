"""What a car buyer takes for granted, on a grid of listings of the sample and of a real market."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from carprice.components.ingest import ingest
from carprice.components.train import train
from carprice.components.transform import transform
from carprice.components.workspace import Workspace
from carprice.listings.frames import as_columns
from carprice.metrics import price_metrics
from carprice.model import PriceModel
from carprice.sample.market import generate
from carprice.settings import Settings

DISTANCES = np.geomspace(2_000, 250_000, 12)
CARS = 200
MOST_VIOLATIONS = 0.01
LARGEST_VIOLATION = 0.03


class Market:
    """A fitted market, and test listings of it on one day."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.model = PriceModel.load(self.workspace.model)
        self.learned = pd.read_parquet(self.workspace.train_listings)
        self.fresh = pd.read_parquet(self.workspace.test_listings)
        driven = self.fresh[self.fresh["odometer"].notna()]
        self.cars = driven.head(CARS).assign(listed_on=pd.NaT)

    def prices(self, cars: pd.DataFrame) -> np.ndarray:
        return self.model.predict(as_columns(cars)).price

    def grid(self, field: str, values: Any) -> np.ndarray:
        """Return prices by car (rows) and value (columns)."""
        return np.column_stack([self.prices(self.cars.assign(**{field: v})) for v in values])


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Market:
    content = {
        "ingest": {"sample": {"rows": 4000}},
        "train": {"folds": 5, "booster": {"n_estimators": 300, "learning_rate": 0.05}},
    }
    settings = Settings.model_validate(content)
    workspace = Workspace(tmp_path_factory.mktemp("sense"))
    ingest(settings.ingest, workspace, lambda _: None)
    transform(workspace)
    train(settings.train, workspace, lambda _: None)
    return Market(workspace)


@pytest.fixture(scope="session")
def real(cars24: tuple[Workspace, Any]) -> Market:
    return Market(cars24[0])


@pytest.fixture(params=["sample", "real"])
def market(request: pytest.FixtureRequest) -> Market:
    return request.getfixturevalue(request.param)


def assert_falling(prices: np.ndarray) -> None:
    rises = np.diff(np.log(prices), axis=1)
    violations = rises > 1e-6
    assert violations.mean() <= MOST_VIOLATIONS, f"largest {rises.max():.4f}"
    assert rises.max() < LARGEST_VIOLATION
    assert np.all(prices[:, -1] < prices[:, 0])


def test_no_price_rises_with_age(market: Market) -> None:
    low, high = market.model.trained_on["age"]
    day = market.model.market.valuation_date
    assert_falling(market.grid("year", [day.year - age for age in range(int(low), int(high) + 1)]))


def test_no_price_rises_with_distance(market: Market) -> None:
    assert_falling(market.grid("odometer", DISTANCES))


def test_a_second_owner_lowers_every_price(market: Market) -> None:
    first, second = market.grid("ownership", [1.0, 2.0]).T
    assert np.all(second < first)
    assert 0.9 < np.median(second / first) < 0.999


def test_an_unseen_variant_costs_what_one_left_out_does(market: Market) -> None:
    unseen, left_out = market.grid("variant", ["qqq xyzzy", None]).T
    assert unseen == pytest.approx(left_out, rel=0.03)
    assert np.abs(np.log(left_out / market.prices(market.cars))).max() > 0.05


def test_an_unseen_model_costs_what_its_make_does(market: Market) -> None:
    learned = market.learned
    for make in learned["make"].value_counts().index[:3]:
        own = learned[learned["make"] == make].assign(listed_on=pd.NaT)
        typical = np.median(market.prices(own))
        unseen = np.median(market.prices(own.assign(model="Never Seen")))
        assert unseen == pytest.approx(typical, rel=0.15)


def test_a_listing_of_the_least_has_a_price_and_a_wider_range(market: Market) -> None:
    needed = ["make", "model", "year", "odometer"]
    full = market.model.predict(as_columns(market.cars))
    least = market.model.predict({name: market.cars[name].tolist() for name in needed})
    low, high = market.model.trained_on["price"]
    assert np.all((low / 2 < least.price) & (least.price < 2 * high))
    widths = [np.log(one.high / one.low) for one in (full, least)]
    assert np.median(widths[1]) > 1.1 * np.median(widths[0])
    assert np.mean(widths[1] > widths[0]) > 0.9


def test_the_error_is_near_that_of_knowing_the_true_price(sample: Market) -> None:
    made = generate(4000, 7, with_truth=True)
    priced = made[made["listingPrice"] > 1]
    irreducible = 100 * np.median(np.abs(priced["listingPrice"] / priced["truePrice"] - 1))
    actual = sample.fresh["price"].to_numpy(dtype=float)
    figures = price_metrics(actual, sample.prices(sample.fresh))
    assert irreducible < figures["mdape"] <= 1.25 * irreducible
