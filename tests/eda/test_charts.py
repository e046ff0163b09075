from xml.etree import ElementTree

import numpy as np
import pytest

from carprice.eda import charts
from carprice.eda.distributions import by_name, relation, summarise_number
from carprice.eda.outliers import Outliers

PRICE = np.exp(np.random.default_rng(0).normal(10, 0.5, 500))


def drawn(svg: str) -> ElementTree.Element:
    assert "http" not in svg
    return ElementTree.fromstring(svg)  # noqa: S314


def texts(svg: str) -> str:
    return " ".join("".join(element.itertext()) for element in drawn(svg).iter("text"))


def test_axes_tell_unit_and_currency_in_the_colours_of_the_page() -> None:
    look = summarise_number("price", "INR", PRICE)
    svg = charts.price_chart(look)
    assert "price, INR" in texts(svg)
    assert "var(--blue)" in svg
    assert "#2b6cb0" not in svg
    assert charts.price_chart(look) == svg
    age = relation("age", "years", np.arange(500) % 15.0, PRICE, whole=True)
    found = texts(charts.relation_chart(age, "GBP"))
    assert "age, years" in found
    assert "price, GBP" in found


@pytest.mark.parametrize("name", ["A$AP$ {", "<script>alert(1)</script>", "日本 & co", "a" * 300])
def test_any_name_can_be_drawn(name: str) -> None:
    assert name[:9] in texts(charts.names_chart(by_name([name] * 500, PRICE), "INR"))


@pytest.mark.parametrize("price", [np.full(20, 5000.0), np.array([1.0] * 10 + [1e9] * 10), PRICE])
def test_any_range_of_prices_can_be_drawn(price: np.ndarray) -> None:
    age = np.arange(len(price)) % 2.0
    looks = [summarise_number("age", "years", age), summarise_number("a", "", price)]
    drawn(charts.price_chart(looks[1]))
    drawn(charts.relation_chart(relation("age", "years", age, price, whole=True), "INR"))
    drawn(charts.number_chart(looks))


def test_equal_twins_and_one_outlier_can_be_drawn() -> None:
    drawn(charts.twins_chart(np.zeros(40)))
    outliers = Outliers((), (), np.array([1.0]), None, 0, 0, 0.0, 0.0)
    assert "One car makes 100 %" in texts(charts.outliers_chart(outliers))
