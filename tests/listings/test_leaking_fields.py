from dataclasses import replace

import numpy as np
import pytest

from carprice.arrays import Floats
from carprice.listings.features import Features
from carprice.listings.frames import read_features
from carprice.listings.leaking_fields import is_below_floor, suspects
from carprice.listings.noise import NoiseFloor


@pytest.fixture(scope="module")
def rows(finished) -> tuple[Features, Floats]:
    return read_features(finished[0].train_features)


def with_number(features: Features, name: str, values: Floats) -> Features:
    return replace(features, numbers={**features.numbers, name: values})


def with_text(features: Features, name: str, values: list[str]) -> Features:
    return replace(features, texts={**features.texts, name: values})


def instalment(log_price: Floats) -> Floats:
    """Return a monthly rate: linear in the price, with terms that differ a little by car."""
    rate = np.random.default_rng(0).uniform(0.02, 0.022, len(log_price))
    return np.round(np.exp(log_price) * rate)


def test_honest_features_are_not_suspect(rows) -> None:
    assert suspects(*rows) == []
    shares = suspects(*rows, explaining=0.0)
    assert {"odometer", "ownership", "color", "features"} <= {one.field for one in shares}
    assert max(one.explained for one in shares) < 0.4


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("road_tax", "road_tax"),
        ("fuel_economy", "fuel_economy"),
        ("power_bhp", "power_bhp"),
        ("fitness_age", "fitness_age"),
        ("odometer", "odometer"),
    ],
)
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_an_instalment_under_an_honest_fields_name_is_suspect(
    name: str, field: str, missing: float, rows
) -> None:
    features, log_price = rows
    leak = instalment(log_price)
    leak[np.random.default_rng(1).random(len(leak)) < missing] = np.nan
    (found,) = suspects(with_number(features, name, leak), log_price)
    assert found.field == field
    assert found.explained > 0.9


def test_a_number_that_falls_with_the_price_is_suspect_as_well(rows) -> None:
    features, log_price = rows
    leak = with_number(features, "road_tax", 1e9 - np.exp(log_price))
    assert [one.field for one in suspects(leak, log_price)] == ["road_tax"]


def test_a_category_made_of_price_bands_is_suspect(rows) -> None:
    features, log_price = rows
    edges = np.quantile(log_price, np.arange(1, 25) / 25)
    bands = [f"band {band}" for band in np.searchsorted(edges, log_price)]
    (found,) = suspects(with_text(features, "seller", bands), log_price)
    assert found.field == "seller_type"
    assert found.explained > 0.5


def test_several_suspects_stand_by_what_they_explain(rows) -> None:
    features, log_price = rows
    noise = np.random.default_rng(0).normal(0, 0.04, len(log_price))
    leaks = with_number(features, "road_tax", np.exp(log_price + noise))
    leaks = with_number(leaks, "fuel_economy", np.exp(log_price))
    found = suspects(leaks, log_price)
    assert [one.field for one in found] == ["fuel_economy", "road_tax"]
    assert found[0].explained == pytest.approx(1)


def test_noise_is_not_suspect_and_few_rows_are_not_judged(rows) -> None:
    features, log_price = rows
    noise = np.random.default_rng(0).normal(size=len(log_price))
    assert suspects(with_number(features, "road_tax", noise), log_price) == []
    few = np.full(len(log_price), np.nan)
    few[:99] = np.exp(log_price[:99])
    assert suspects(with_number(features, "road_tax", few), log_price) == []


def test_the_same_price_everywhere_makes_nothing_suspect(rows) -> None:
    features, log_price = rows
    assert suspects(features, np.full(len(log_price), 13.0)) == []


@pytest.mark.parametrize(
    ("mdape", "floor", "is_below"),
    [(2.9, 6.0, True), (3.1, 6.0, False), (8.0, 6.0, False), (0.1, None, False)],
)
def test_an_error_below_half_of_the_datas_noise_is_an_alarm(
    mdape: float, floor: float | None, is_below: bool
) -> None:
    assert is_below_floor(mdape, NoiseFloor(100, floor, floor)) == is_below


def test_an_instalment_written_as_text_is_suspect(rows) -> None:
    features, log_price = rows
    texts = [f"{value:.0f}" for value in instalment(log_price)]
    (found,) = suspects(with_text(features, "condition", texts), log_price)
    assert found.field == "condition"


def test_many_names_that_are_no_numbers_are_not_suspect(rows) -> None:
    features, log_price = rows
    names = [f"seller {row}" for row in range(len(features))]
    assert suspects(with_text(features, "seller", names), log_price) == []
