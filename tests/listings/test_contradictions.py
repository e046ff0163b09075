from typing import Any

import numpy as np
import pandas as pd
import pytest

from carprice.listings.contradictions import find_contradictions


def listings(**noise: Any) -> pd.DataFrame:
    """Return made-up listings of eight models, which lose a tenth a year."""
    rng, rows = np.random.default_rng(0), 3000
    model, year = rng.integers(0, 8, rows), rng.integers(2008, 2024, rows).astype(float)
    worth = 10 + 0.2 * model + 0.1 * (year - 2008) + rng.normal(0, noise.get("spread", 0.15), rows)
    fields = ("transmission_type", "body_type", "drive", "condition", "seller_type", "region")
    return pd.DataFrame(
        {
            "make": "Kia",
            "model": [f"Model {number}" for number in model],
            "year": year,
            "fuel_type": rng.choice(["Petrol", "Diesel", "LPG"], rows, p=[0.6, 0.35, 0.05]),
            "ownership": rng.integers(1, 4, rows).astype(float),
            **dict.fromkeys(fields),
            "price": np.exp(worth),
        }
    )


@pytest.mark.parametrize(
    ("field", "value", "share", "factor"),
    [
        ("year", 2023.0, 1.0, 0.1),
        ("year", 2023.0, 0.4, 0.1),
        ("year", 2015.0, 0.8, 8.0),
        ("fuel_type", "LPG", 0.9, 0.01),
        ("fuel_type", "Diesel", 0.9, 100.0),
        ("ownership", 2.0, 1.0, 0.2),
    ],
)
def test_a_year_or_kind_of_other_prices_is_named_with_examples(
    field: str, value: Any, share: float, factor: float
) -> None:
    frame = listings()
    wrong = (frame[field] == value) & (np.random.default_rng(1).random(len(frame)) < share)
    frame.loc[wrong, "price"] *= factor
    first = find_contradictions(frame)[0]
    assert (first.field, first.value) == (
        {"fuel_type": "fuelType"}.get(field, field),
        f"{value:g}" if isinstance(value, float) else value,
    )
    assert first.far == pytest.approx(wrong.sum(), rel=0.1)
    assert first.factor == pytest.approx(factor, rel=0.25)
    assert len(first.examples) == 3
    assert f"{first.far:,} of {first.rows:,} listings" in first.in_words()


@pytest.mark.parametrize("spread", [0.1, 0.5, 1.0])
def test_a_market_that_scatters_contradicts_nothing(spread: float) -> None:
    assert find_contradictions(listings(spread=spread)) == []


@pytest.mark.parametrize("rows", [1, 3, 40])
def test_few_listings_contradict_nothing(rows: int) -> None:
    assert find_contradictions(listings().head(rows)) == []
