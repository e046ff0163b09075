import math

import numpy as np
import pytest

from carprice.metrics import by_segment, price_metrics, range_metrics


def floats(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mape", 100 * (0.05 + 0.10 + 0.25) / 3),
        ("mdape", 10),
        ("within_10", 200 / 3),
        ("mae", (5 + 20 + 100) / 3),
        ("rmse", math.sqrt((25 + 400 + 10000) / 3)),
        (
            "rmsle",
            math.sqrt(
                (math.log(106 / 101) ** 2 + math.log(181 / 201) ** 2 + math.log(501 / 401) ** 2) / 3
            ),
        ),
        ("r2", 1 - (25 + 400 + 10000) / (3 * np.var([100, 200, 400]))),
    ],
)
def test_a_figure_is_what_its_definition_says(name: str, expected: float) -> None:
    figures = price_metrics(floats(100, 200, 400), floats(105, 180, 500))
    assert figures[name] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("predicted", "share"),
    [(110, 100), (90, 100), (110.01, 0), (89.99, 0), (100, 100)],
)
def test_within_10_holds_the_limit_itself(predicted: float, share: float) -> None:
    assert price_metrics(floats(100), floats(predicted))["within_10"] == share
    assert price_metrics(floats(0.3), floats(0.3 * predicted / 100))["within_10"] == share


def test_a_perfect_model_has_no_error() -> None:
    actual = floats(100, 200)
    figures = price_metrics(actual, actual)
    assert figures == {
        "mape": 0,
        "mdape": 0,
        "within_10": 100,
        "rmsle": 0,
        "mae": 0,
        "rmse": 0,
        "r2": 1,
    }


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
    figures = range_metrics(
        floats(1, 1, 1), floats(100, 200, 400), floats(90, 180, 200), floats(110, 220, 600)
    )
    assert figures["mean_width"] == pytest.approx((20 + 20 + 100) / 3)
    assert figures["median_width"] == pytest.approx(20)


def test_each_segment_has_the_figures_of_its_rows() -> None:
    actual, predicted = floats(100, 100, 100), floats(110, 100, 150)
    low, high = floats(90, 90, 120), floats(120, 120, 180)
    figures = by_segment(["b", "a", "b"], actual, predicted, low, high)
    assert list(figures) == ["a", "b"]
    assert figures["a"] == {
        "rows": 1,
        "mape": 0,
        "mdape": 0,
        "within_10": 100,
        "coverage": 100,
    }
    assert figures["b"] == pytest.approx(
        {"rows": 2, "mape": 30, "mdape": 30, "within_10": 50, "coverage": 50}
    )


def test_no_rows_have_no_segments() -> None:
    nothing = floats()
    assert by_segment([], nothing, nothing, nothing, nothing) == {}
