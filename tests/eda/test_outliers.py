import numpy as np
import pandas as pd
import pytest

from carprice.eda.outliers import find_outliers


def cars(price: np.ndarray) -> pd.DataFrame:
    names = [f"model {row}" for row in range(len(price))]
    return pd.DataFrame({"make": "Kia", "model": names, "price": price})


def test_the_one_car_that_decides_is_found() -> None:
    rng = np.random.default_rng(0)
    price = np.exp(rng.normal(10, 0.3, 1000))
    expected = np.log(price) + rng.normal(0, 0.1, 1000)
    price[7] = 5e6
    found = find_outliers(cars(price), expected)
    worst = found.largest_error
    assert (worst.model, worst.price) == ("model 7", 5e6)
    assert worst.of_squared_error > 0.9
    assert found.dearest[0] == worst
    assert found.curve[0] == pytest.approx(worst.of_squared_error)
    assert np.all(np.diff(found.curve) >= 0)
    assert (found.far_below, found.far_above) == (0, 1)


def test_a_car_is_not_blamed_for_an_estimate_that_explodes() -> None:
    rng = np.random.default_rng(0)
    price = np.exp(rng.normal(10, 0.3, 1000))
    expected = np.log(price) + rng.normal(0, 0.1, 1000)
    assert not find_outliers(cars(price), expected).model_explodes
    expected[7] += np.log(100)
    found = find_outliers(cars(price), expected)
    assert (found.largest_error.model, found.model_explodes) == ("model 7", True)
    assert found.expected_of_largest == pytest.approx(np.exp(expected[7]))
    price[7], expected[7] = 5e6, 10
    assert not find_outliers(cars(price), expected).model_explodes


def test_without_a_fit_the_variance_is_told_alone() -> None:
    found = find_outliers(cars(np.array([1.0, 2, 3, 10])), None)
    assert found.largest_error is None
    assert len(found.curve) == 0
    assert np.isnan(found.dearest[0].of_squared_error)
    assert sum(car.of_variance for car in found.dearest) == pytest.approx(1)
    assert [car.price for car in found.cheapest] == [1, 2, 3, 10]


def test_equal_prices_have_no_outliers() -> None:
    found = find_outliers(cars(np.full(20, 5000.0)), None)
    assert found.dearest[0].of_variance == 0
    assert found.log_skew == 0
