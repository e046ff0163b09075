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
            "color": rng.choice(["Red", "Blue", "White"], rows),
            "variant": rng.choice(["LX", "EX", "GT Line"], rows),
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
        ("color", "Blue", 1.0, 0.1),
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


@pytest.mark.parametrize(
    ("wrong", "field", "value"),
    [
        ({"make": "Seat", "year": 2015.0}, "year", "Seat 2015"),
        ({"model": "Model 3", "year": 2015.0}, "year", "Kia Model 3 2015"),
        ({"model": "Model 3", "variant": "GT Line"}, "variant", "Kia Model 3 GT Line"),
    ],
)
def test_a_year_of_a_make_or_a_model_and_a_variant_is_named_alone(
    wrong: dict[str, Any], field: str, value: str
) -> None:
    frame = listings()
    frame.loc[frame["model"] == "Model 4", "make"] = "Seat"
    rows = (frame[[*wrong]] == pd.Series(wrong)).all(axis=1)
    frame.loc[rows, "price"] *= 0.1
    assert [(one.field, one.value) for one in find_contradictions(frame)] == [(field, value)]


def test_young_years_are_named_beside_many_right_ones() -> None:
    """Ads with this year's registration at a tenth, an eighth of all of that year."""
    frame = listings()
    newest = frame.loc[frame["year"] == 2023].sample(2000, replace=True, random_state=0)
    wrong = frame.sample(300, random_state=0).assign(year=2023.0)
    wrong["price"] *= 0.1
    (found,) = find_contradictions(pd.concat([frame, newest, wrong], ignore_index=True))
    assert (found.field, found.value) == ("year", "2023")
    assert found.far == pytest.approx(300, rel=0.1)


@pytest.mark.parametrize("spread", [0.1, 0.5, 1.0])
def test_a_market_that_scatters_contradicts_nothing(spread: float) -> None:
    assert find_contradictions(listings(spread=spread)) == []


@pytest.mark.parametrize("rows", [1, 3, 40])
def test_few_listings_contradict_nothing(rows: int) -> None:
    assert find_contradictions(listings().head(rows)) == []
