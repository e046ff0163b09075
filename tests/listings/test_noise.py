import datetime
from typing import Any

import numpy as np
import pytest

from carprice.listings.features import Features, parse
from carprice.listings.noise import like_cars, noise_floor


def features(rows: int, **columns: Any) -> Features:
    needed = {"make": "Kia", "model": "Rio", "variant": "EX", "year": 2020, "odometer": 30_000.0}
    given = needed | {"fuel_type": "Petrol", "engine_cc": 1200.0, "ownership": 1.0} | columns
    full = {n: v if isinstance(v, list) else [v] * rows for n, v in given.items()}
    return parse(full, datetime.date(2024, 6, 30), "km")


@pytest.mark.parametrize("spread", [0.02, 0.05, 0.1])
def test_twins_tell_the_error_of_a_model_that_knows_every_cars_worth(spread: float) -> None:
    rows = 20_000
    rng = np.random.default_rng(0)
    cars = features(rows, variant=[f"V{row // 2}" for row in range(rows)])
    worth = np.repeat(rng.normal(13, 1, rows // 2), 2)
    noise = rng.normal(0, spread, rows)
    floor = noise_floor(cars, worth + noise)
    assert floor.pairs == rows // 2
    assert floor.mdape == pytest.approx(100 * np.median(np.abs(np.expm1(noise))), rel=0.1)
    assert floor.mape == pytest.approx(100 * np.mean(np.abs(np.expm1(noise))), rel=0.1)


@pytest.mark.parametrize(("pairs", "is_told"), [(29, False), (30, True)])
def test_too_few_twins_tell_nothing(pairs: int, is_told: bool) -> None:
    cars = features(2 * pairs, variant=[f"V{row // 2}" for row in range(2 * pairs)])
    floor = noise_floor(cars, np.arange(2.0 * pairs))
    assert floor.pairs == pairs
    assert (floor.mdape is not None, floor.mape is not None) == (is_told, is_told)


@pytest.mark.parametrize(
    ("field", "values", "pairs"),
    [
        ("color", ["Red", "Blue"], 1),
        ("odometer", [30_000.0, 32_900.0], 1),
        ("odometer", [30_000.0, 33_100.0], 0),
        ("odometer", [np.nan, np.nan], 0),
        ("make", ["Kia", "Audi"], 0),
        ("model", ["Rio", "Soul"], 0),
        ("variant", ["EX", "LX"], 0),
        ("year", [2020, 2019], 0),
        ("fuel_type", ["Petrol", "Diesel"], 0),
        ("transmission_type", ["Manual", "Automatic"], 0),
        ("engine_cc", [1200.0, 1500.0], 0),
        ("ownership", [1.0, 2.0], 0),
    ],
)
def test_twins_differ_in_nothing_that_matters(field: str, values: list[Any], pairs: int) -> None:
    cars = features(2, **{field: values})
    assert noise_floor(cars, np.array([13.0, 13.1])).pairs == pairs


def test_like_cars_may_have_had_other_owners_unless_asked() -> None:
    cars = features(3, ownership=[1.0, 2.0, 2.0], year=[2020, 2020, 2019])
    assert like_cars(cars).tolist() == [0, 0, 1]
    assert like_cars(cars, ("age", "ownership")).tolist() == [0, 1, 2]
