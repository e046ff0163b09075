import math

import numpy as np
import pytest

from carprice.metrics import by_segment, price_metrics, range_metrics


def floats(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)


def test_figures_are_what_their_definitions_say() -> None:
    logs = ((106, 101), (181, 201), (501, 401))
    assert price_metrics(floats(100, 200, 400), floats(105, 180, 500)) == pytest.approx(
        {
            "mape": 100 * (0.05 + 0.10 + 0.25) / 3,
            "mdape": 10,
            "within_10": 200 / 3,
            "rmsle": math.sqrt(sum(math.log(own / other) ** 2 for own, other in logs) / 3),
            "mae": (5 + 20 + 100) / 3,
            "rmse": math.sqrt((25 + 400 + 10000) / 3),
            "r2": 1 - (25 + 400 + 10000) / (3 * np.var([100, 200, 400])),
        }
    )


@pytest.mark.parametrize(
    ("predicted", "share"), [(110, 100), (90, 100), (110.01, 0), (89.99, 0), (100, 100)]
)
def test_within_10_holds_the_limit_itself(predicted: float, share: float) -> None:
    assert price_metrics(floats(100), floats(predicted))["within_10"] == share
    assert price_metrics(floats(0.3), floats(0.3 * predicted / 100))["within_10"] == share


def test_a_perfect_model_has_no_error() -> None:
    figures = price_metrics(floats(100, 200), floats(100, 200))
    assert {name for name, figure in figures.items() if figure} == {"within_10", "r2"}
    assert (figures["within_10"], figures["r2"]) == (100, 1)


@pytest.mark.parametrize(("predicted", "expected"), [((90, 110), 0.0), ((100, 100), 1.0)])
def test_r2_of_equal_prices_is_1_if_all_are_hit_and_else_0(
    predicted: tuple[float, float], expected: float
) -> None:
    assert price_metrics(floats(100, 100), floats(*predicted))["r2"] == expected


@pytest.mark.parametrize(
    ("low", "high", "coverage"),
    [(90, 110, 100), (100, 110, 100), (90, 100, 100), (101, 110, 0), (90, 99, 0)],
)
def test_a_range_holds_its_ends(low: float, high: float, coverage: float) -> None:
    figures = range_metrics(floats(100), floats(100), floats(low), floats(high))
    assert figures["coverage"] == coverage


def test_widths_are_shares_of_the_predicted_price() -> None:
    low, high = floats(90, 180, 200), floats(110, 220, 600)
    figures = range_metrics(floats(1, 1, 1), floats(100, 200, 400), low, high)
    assert figures["mean_width"] == pytest.approx((20 + 20 + 100) / 3)
    assert figures["median_width"] == pytest.approx(20)


def test_each_segment_has_the_figures_of_its_rows() -> None:
    actual, predicted = floats(100, 100, 100), floats(110, 100, 150)
    low, high = floats(90, 90, 120), floats(120, 120, 180)
    figures = by_segment(["b", "a", "b"], actual, predicted, low, high)
    assert list(figures) == ["a", "b"]
    names = ("rows", "mape", "mdape", "within_10", "coverage")
    assert figures["a"] == dict(zip(names, (1, 0, 0, 100, 100), strict=True))
    assert figures["b"] == pytest.approx(dict(zip(names, (2, 30, 30, 50, 50), strict=True)))
    assert by_segment([], *[floats()] * 4) == {}
