import numpy as np
import pandas as pd
import pytest

from carprice.listings.leaking_columns import IgnoredColumn, inspect_ignored

ROWS = 600


@pytest.fixture(scope="module")
def market() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return year, power and price of cars whose price has noise beyond both."""
    rng = np.random.default_rng(1)
    year = rng.integers(2008, 2024, ROWS).astype(float)
    power = rng.uniform(50, 200, ROWS)
    noise = rng.normal(0, 0.3, ROWS)
    price = np.round(np.exp(10 + 0.1 * (year - 2008) + power / 100 + noise))
    return year, power, price


def judge(
    market: tuple[np.ndarray, np.ndarray, np.ndarray], name: str, values: object
) -> IgnoredColumn:
    year, _, price = market
    (found,) = inspect_ignored(pd.DataFrame({name: values}), price, year)
    assert found.name == name
    return found


def instalments(price: np.ndarray) -> np.ndarray:
    monthly = 0.11 / 12
    return np.round(0.9 * price * monthly / (1 - (1 + monthly) ** -60))


@pytest.mark.parametrize(
    "name", ["avgEmi", "EMI", "emi_start", "roiMin", "cashDownPayment", "MSRP"]
)
def test_a_column_that_is_named_after_money_is_suspect(name: str, market) -> None:
    found = judge(market, name, ["x"] * ROWS)
    assert found.looks_computed_from_price
    assert found.evidence.startswith("its name says '")


@pytest.mark.parametrize(
    "name", ["CO2Emissions", "premium", "aprilia", "downhillAssist", "heroic", "colour", "", "7"]
)
def test_an_honest_name_is_not_suspect(name: str, market) -> None:
    assert judge(market, name, ["x"] * ROWS) == IgnoredColumn(name, False, "")


@pytest.mark.parametrize(
    "written",
    [
        lambda price: price,
        instalments,
        lambda price: -price,
        lambda price: 1 / price,
        lambda price: [f"{value:,.0f}" for value in price],
        lambda price: [f"Rs. {value:,.0f} per month" for value in instalments(price)],
        lambda price: [value if row % 20 else None for row, value in enumerate(price)],
    ],
    ids=["copy", "instalment", "negative", "inverse", "commas", "inside a text", "with gaps"],
)
def test_a_copy_of_the_price_is_found_without_a_telling_name(written, market) -> None:
    found = judge(market, "column 7", written(market[2]))
    assert found.looks_computed_from_price
    assert "with the year it explains" in found.evidence


def test_a_copy_is_found_in_a_file_that_is_sorted_by_price(market) -> None:
    year, _, price = market
    order = np.argsort(price)
    (found,) = inspect_ignored(pd.DataFrame({"c": price[order]}), price[order], year[order])
    assert found.looks_computed_from_price


@pytest.mark.parametrize(
    "values",
    [
        lambda power: power,
        lambda _: np.arange(ROWS),
        lambda _: [f"https://cars.example/{row}" for row in range(ROWS)],
        lambda _: [None] * ROWS,
        lambda _: ["2024-01-01"] * ROWS,
        lambda _: [True] * ROWS,
    ],
    ids=["power", "row number", "address", "nothing", "date", "flag"],
)
def test_an_honest_column_is_not_suspect(values, market) -> None:
    assert not judge(market, "column 7", values(market[1])).looks_computed_from_price


def test_rows_without_price_or_year_do_not_count(market) -> None:
    year, _, price = market
    year, price = year.copy(), price.copy()
    copied = price.copy()
    year[:100], price[100:150], price[150:200] = np.nan, np.nan, 0
    (found,) = inspect_ignored(pd.DataFrame({"c": copied}), price, year)
    assert found.looks_computed_from_price


def test_too_few_rows_tell_nothing() -> None:
    price = np.arange(1.0, 50)
    (found,) = inspect_ignored(pd.DataFrame({"c": price}), price, np.full(49, 2020.0))
    assert not found.looks_computed_from_price


def test_every_column_is_judged_in_order(market) -> None:
    year, power, price = market
    raw = pd.DataFrame({"b": power, "a": price})
    found = inspect_ignored(raw, price, year)
    assert [(one.name, one.looks_computed_from_price) for one in found] == [
        ("b", False),
        ("a", True),
    ]
    assert inspect_ignored(raw[[]], price, year) == []
