"""Cars that are listed more than once: reported figures are those of cars never seen."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from carprice.arrays import quiet
from carprice.components.evaluate import evaluate
from carprice.components.ingest import ingest
from carprice.components.train import train
from carprice.components.transform import transform
from carprice.components.workspace import Workspace
from carprice.listings.frames import read_features
from carprice.metrics import price_metrics, range_metrics
from carprice.settings import Settings

CARS, TIMES = 300, 5


def cars(count: int, seed: int) -> pd.DataFrame:
    """Return made-up cars whose prices scatter by 15 % around what they are worth."""
    rng = np.random.default_rng(seed)
    make, age = rng.integers(0, 4, count), rng.integers(1, 15, count)
    odometer = rng.integers(5_000, 150_000, count)
    worth = 13 + 0.2 * make - 0.1 * age - odometer / 400_000 + rng.normal(0, 0.15, count)
    return pd.DataFrame(
        {
            "make": [f"Make {number}" for number in make],
            "model": [f"Model {number}" for number in make],
            "variant": [f"V{number}" for number in rng.integers(0, 60, count)],
            "color": rng.choice(["Red", "Blue", "White"], count),
            "year": 2024 - age,
            "odometer": odometer,
            "price": np.round(np.exp(worth)),
        }
    )


def listed_again(**changes: Any) -> pd.DataFrame:
    """Return each car's listings in any order, at prices of ±1.5 %."""
    rng = np.random.default_rng(1)
    again = cars(CARS, seed=0).loc[np.repeat(np.arange(CARS), TIMES)].reset_index(names="number")
    again["price"] = np.round(again["price"] * rng.uniform(0.985, 1.015, len(again)))
    again = again.assign(scraped_at=range(len(again)), **changes)
    return again.sample(frac=1, random_state=2)


def in_cities() -> pd.DataFrame:
    every = (
        cars(CARS, seed=0)
        .assign(number=range(CARS))
        .merge(pd.DataFrame({"region": [f"City {number}" for number in range(TIMES)]}), how="cross")
    )
    return every.assign(scraped_at=range(len(every))).sample(frac=1, random_state=2)


def with_other_odometers() -> pd.DataFrame:
    driven = listed_again()
    return driven.assign(odometer=driven["odometer"] + np.arange(len(driven)) % 700)


DAYS = pd.date_range("2024-01-01", periods=CARS * TIMES, freq="3h").strftime("%Y-%m-%d")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("listings", "given", "kept"),
    [
        pytest.param(listed_again(), {}, CARS * TIMES, id="at other prices"),
        pytest.param(listed_again(listedOn=DAYS), {}, CARS, id="with dates"),
        pytest.param(in_cities(), {}, CARS, id="in cities"),
        pytest.param(
            with_other_odometers(), {"columns": {"id": "number"}}, CARS * TIMES, id="by id"
        ),
        pytest.param(
            listed_again().drop(columns="odometer"),
            {"columns": {"odometer": None}},
            CARS * TIMES,
            id="no odometer",
        ),
    ],
)
def test_reported_figures_are_those_of_fresh_cars(
    listings: pd.DataFrame, given: dict[str, Any], kept: int, tmp_path: Path
) -> None:
    listings.to_csv(tmp_path / "cars.csv", index=False)
    settings = Settings.model_validate(
        {
            "ingest": {"source": str(tmp_path / "cars.csv"), **given},
            "train": {"folds": 5, "booster": {"n_estimators": 60}},
        }
    )
    workspace = Workspace(tmp_path)
    report = ingest(settings.ingest, workspace, quiet)
    transform(workspace)
    model = train(settings.train, workspace, quiet)
    reported = evaluate(workspace, quiet)
    fresh = cars(2000, seed=9)
    asked, actual = {name: fresh[name].tolist() for name in fresh}, fresh["price"].to_numpy(float)
    for name in ("price", *(["odometer"] if "odometer" not in listings else [])):
        del asked[name]
    prices = model.predict(asked)
    found = price_metrics(actual, prices.price)
    ranges = range_metrics(actual, prices.price, prices.low, prices.high)
    assert reported["mape"] == pytest.approx(found["mape"], abs=3)
    assert reported["cross_validated"]["mape"] == pytest.approx(found["mape"], abs=3)
    # Four standard errors of 300 cars and 2,000 fresh ones are 7.4.
    assert reported["coverage"] == pytest.approx(ranges["coverage"], abs=7)
    assert reported["cars"] == report["repeats"]["cars"]  # of 60 test cars it would be chance
    assert 0 < reported["margin"]["coverage"] < 4
    # No car is on both sides.
    sides = [pd.read_parquet(p) for p in (workspace.train_listings, workspace.test_listings)]
    assert sum(map(len, sides)) == report["rows_kept"] == pytest.approx(kept, abs=2)
    if kept > CARS:
        assert not set(sides[0]["car"]) & set(sides[1]["car"])
        learned = read_features(workspace.train_features)[0]
        assert np.array_equal(learned.car_codes(), pd.factorize(sides[0]["car"])[0])
    assert report["repeats"]["cars"] == pytest.approx(CARS, abs=3)
