from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from carprice.arrays import Floats
from carprice.errors import InputError
from carprice.listings.features import Features
from carprice.listings.frames import read_features
from carprice.listings.leaks import refuse_too_good, suspects
from carprice.listings.noise import noise_floor


@pytest.fixture(scope="module")
def rows(finished) -> tuple[Features, Floats]:
    return read_features(finished[0].train_features)


def suspected(rows, **made: Callable[[Floats], Any]) -> dict[str, float]:
    """Return the suspects, worst first, where features are made of ln(price)."""
    features, log_price = rows
    numbers, texts = dict(features.numbers), dict(features.texts)
    for name, make in made.items():
        (numbers if name in numbers else texts)[name] = make(log_price)
    found = suspects(replace(features, numbers=numbers, texts=texts), log_price)
    return {one.field: one.explained for one in found}


def instalment(log_price: Floats) -> Floats:
    """Return a monthly rate: linear in the price, with terms that differ a little by car."""
    rate = np.random.default_rng(0).uniform(0.02, 0.022, len(log_price))
    return np.round(np.exp(log_price) * rate)


def test_honest_features_are_not_suspect(rows) -> None:
    assert suspects(*rows) == []
    shares = suspects(*rows, explaining=0.0)
    assert {"odometer", "ownership", "color", "features"} <= {one.field for one in shares}
    assert max(one.explained for one in shares) < 0.4


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_an_instalment_under_honest_fields_names_is_suspect(missing: float, rows) -> None:
    def leak(log_price: Floats) -> Floats:
        is_missing = np.random.default_rng(1).random(len(log_price)) < missing
        return np.where(is_missing, np.nan, instalment(log_price))

    fields = ("road_tax", "fuel_economy", "power_bhp", "fitness_age", "odometer")
    found = suspected(rows, **dict.fromkeys(fields, leak))
    assert set(found) == set(fields)
    assert min(found.values()) > 0.9


def bands(log_price: Floats) -> list[str]:
    edges = np.quantile(log_price, np.arange(1, 25) / 25)
    return [f"band {band}" for band in np.searchsorted(edges, log_price)]


def noise(log_price: Floats, spread: float = 1.0) -> Floats:
    return np.random.default_rng(0).normal(0, spread, len(log_price))


@pytest.mark.parametrize(
    ("made", "fields"),
    [
        ({"seller": bands}, ["seller_type"]),
        ({"condition": lambda y: [f"{value:.0f}" for value in instalment(y)]}, ["condition"]),
        ({"road_tax": lambda y: 1e9 - np.exp(y)}, ["road_tax"]),
        (
            {"road_tax": lambda y: np.exp(y + noise(y, 0.04)), "fuel_economy": np.exp},
            ["fuel_economy", "road_tax"],
        ),
        ({"road_tax": noise}, []),
        ({"road_tax": lambda y: np.where(np.arange(len(y)) < 99, np.exp(y), np.nan)}, []),
        ({"seller": lambda y: [f"seller {row}" for row in range(len(y))]}, []),
        ({"road_tax": lambda y: np.exp(25 - y + noise(y, 0.08))}, ["road_tax"]),
        ({"odometer": lambda y: np.exp(25 - y + noise(y, 0.08))}, []),
    ],
    ids=[
        *("bands", "text", "falling", "two", "noise", "few rows", "names"),
        *("as a clean odometer", "a clean odometer"),
    ],
)
def test_what_tells_the_price_is_suspect_and_the_worst_comes_first(
    made: dict[str, Callable[[Floats], Any]], fields: list[str], rows
) -> None:
    assert [*suspected(rows, **made)] == fields


def test_how_much_is_explained_is_a_share_of_what_varies(rows) -> None:
    assert suspected(rows, fuel_economy=np.exp)["fuel_economy"] == pytest.approx(1)
    assert suspects(rows[0], np.full(len(rows[1]), 13.0)) == []


def test_an_error_below_half_of_the_datas_noise_is_refused(rows) -> None:
    twice = np.tile(np.arange(len(rows[1])), 2)  # each car has a twin of another price
    features, log_price = rows[0].take(twice), rows[1][twice] + noise(twice, 0.1)
    half = 0.5 * noise_floor(features, log_price).mdape
    with pytest.raises(InputError, match=r"is below half of what .* closest to it: \w+ \(column"):
        refuse_too_good(0.99 * half, features, log_price, {})
    refuse_too_good(1.01 * half, features, log_price, {})
    few = np.arange(10)
    refuse_too_good(0.1, features.take(few), log_price[few], {})
