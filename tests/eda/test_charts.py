from xml.etree import ElementTree

import numpy as np
import pytest

from carprice.eda import charts
from carprice.eda.distributions import by_name, relation, summarise_number
from carprice.eda.outliers import Outliers
from carprice.listings.noise import NoiseFloor

PRICE = np.exp(np.random.default_rng(0).normal(10, 0.5, 500))


def drawn(chart: charts.Chart) -> ElementTree.Element:
    assert "http" not in chart.svg
    assert chart.alt
    assert chart.caption
    return ElementTree.fromstring(chart.svg)  # noqa: S314


def texts(svg: ElementTree.Element) -> str:
    return " ".join("".join(element.itertext()) for element in svg.iter("text"))


def test_axes_tell_unit_and_currency() -> None:
    assert "price, INR" in texts(drawn(charts.price_chart(summarise_number("price", "INR", PRICE))))
    age = np.arange(500) % 15.0
    found = texts(
        drawn(charts.relation_chart(relation("age", "years", age, PRICE, whole=True), "GBP"))
    )
    assert "age, years" in found
    assert "price, GBP" in found


def test_a_chart_takes_its_colours_from_the_page() -> None:
    svg = charts.price_chart(summarise_number("price", "INR", PRICE)).svg
    assert "var(--blue)" in svg
    assert "#2b6cb0" not in svg


@pytest.mark.parametrize("name", ["A$AP$ {", "<script>alert(1)</script>", "日本 & co", "a" * 300])
def test_any_name_can_be_drawn(name: str) -> None:
    svg = drawn(charts.names_chart(by_name([name] * 500, PRICE), "makes", "INR"))
    assert name[:9] in texts(svg)


@pytest.mark.parametrize("price", [np.full(20, 5000.0), np.array([1.0] * 10 + [1e9] * 10), PRICE])
def test_any_range_of_prices_can_be_drawn(price: np.ndarray) -> None:
    drawn(charts.price_chart(summarise_number("price", "INR", price)))
    age = np.arange(len(price)) % 2.0
    drawn(charts.relation_chart(relation("age", "years", age, price, whole=True), "INR"))
    drawn(
        charts.number_chart(
            [summarise_number("age", "years", age), summarise_number("a", "", price)]
        )
    )


def test_equal_twins_and_one_outlier_can_be_drawn() -> None:
    drawn(charts.twins_chart(np.zeros(40), NoiseFloor(40, 0.0, 0.0)))
    outliers = Outliers((), (), np.array([1.0]), None, 0, 0, 0.0, 0.0)
    assert "One car makes 100 %" in texts(drawn(charts.outliers_chart(outliers)))


def test_the_same_figures_give_the_same_picture() -> None:
    look = summarise_number("price", "INR", PRICE)
    assert charts.price_chart(look) == charts.price_chart(look)
