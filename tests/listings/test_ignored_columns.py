import numpy as np
import pandas as pd
import pytest

from carprice.listings.ignored_columns import IgnoredColumn, inspect_ignored

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


def instalments(price: np.ndarray) -> np.ndarray:
    monthly = 0.11 / 12
    return np.round(0.9 * price * monthly / (1 - (1 + monthly) ** -60))


TELLING = ("avgEmi", "EMI", "emi_start", "roiMin", "cashDownPayment", "salePrice")
HONEST = ("CO2Emissions", "premium", "aprilia", "downhillAssist", "heroic", "colour", "", "7")


def test_a_column_that_is_named_after_money_is_suspect(market) -> None:
    year, _, price = market
    names = [*HONEST, *TELLING]
    found = inspect_ignored(pd.DataFrame(dict.fromkeys(names, ["x"] * ROWS)), price, year)
    assert [one.name for one in found] == names
    assert found[: len(HONEST)] == [IgnoredColumn(name, False, "") for name in HONEST]
    for one in found[len(HONEST) :]:
        assert one.looks_computed_from_price
        assert one.evidence.startswith("its name says '")


def test_a_copy_of_the_price_is_found_without_a_telling_name(market) -> None:
    year, power, price = market
    copies = {
        "copy": price,
        "instalment": instalments(price),
        "negative": -price,
        "inverse": 1 / price,
        "commas": [f"{value:,.0f}" for value in price],
        "inside a text": [f"Rs. {value:,.0f} per month" for value in instalments(price)],
        "with gaps": [value if row % 20 else None for row, value in enumerate(price)],
    }
    honest = {
        "power": power,
        "row number": np.arange(ROWS),
        "address": [f"https://cars.example/{row}" for row in range(ROWS)],
        "nothing": [None] * ROWS,
        "date": ["2024-01-01"] * ROWS,
        "flag": [True] * ROWS,
    }
    found = inspect_ignored(pd.DataFrame(honest | copies), price, year)
    assert [one.name for one in found if one.looks_computed_from_price] == [*copies]
    assert all("with the year it explains" in one.evidence for one in found[len(honest) :])
    assert inspect_ignored(pd.DataFrame(index=range(ROWS)), price, year) == []


def test_the_order_of_the_rows_and_rows_without_price_or_year_do_not_count(market) -> None:
    order = np.argsort(market[2])
    year, _, price = (values[order] for values in market)
    raw = pd.DataFrame({"c": price.copy()})
    (found,) = inspect_ignored(raw, price, year)
    assert found.looks_computed_from_price
    year[:100], price[100:150], price[150:200] = np.nan, np.nan, 0
    (found,) = inspect_ignored(raw, price, year)
    assert found.looks_computed_from_price


def test_too_few_rows_tell_nothing() -> None:
    price = np.arange(1.0, 50)
    (found,) = inspect_ignored(pd.DataFrame({"c": price}), price, np.full(49, 2020.0))
    assert not found.looks_computed_from_price
