import datetime
import json
import shutil
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from carprice.listings.features import parse
from carprice.listings.market import Market
from carprice.model import PriceModel
from carprice.model.pricer import Prices
from carprice.model.reference import REST, Reference, middle_of, once, rows_of

DAY = datetime.date(2025, 6, 30)
MARKET = Market("EUR", "km", DAY, "")


def learned(rows: int = 400) -> Reference:
    """Two makes; the Kias cost 10 % more than was expected of them."""
    random = np.random.default_rng(0)
    kias = np.arange(rows) % 4 == 0
    columns: dict[str, Any] = {
        "make": np.where(kias, "Kia", "BMW").tolist(),
        "model": [f"model {row}" if row > 300 else "common" for row in range(rows)],
        "year": np.full(rows, 2020),
        "odometer": np.where(np.arange(rows) < 20, np.nan, random.uniform(1e4, 2e5, rows)),
        "fuel_type": ["Petrol"] * rows,
        "listed_on": np.datetime64("2025-01-01") + np.arange(rows) % 100,
    }
    price = random.lognormal(9, 0.5, rows)
    off = random.normal(0, 0.1, rows) + np.where(kias, 0.1, 0.0)
    guess = Prices(price, price * np.exp(-0.2), price * np.exp(0.2))
    return Reference.fit(parse(columns, DAY, "km"), np.log(price) + off, guess, MARKET)


def test_it_counts_the_cars_and_tells_how_far_off_prices_were() -> None:
    found = learned()
    assert found.rows == 400
    assert (found.first, found.last) == ("2025-01-01", "2025-04-10")
    assert found.shares["make"] == {"bmw": 300, "kia": 100}
    assert found.shares["odometer"][""] == 20
    assert sum(found.shares["model"].values()) == 400
    assert found.shares["model"][REST] > 0
    assert found.missing["color"] == 400
    assert found.once == {"make": 0, "model": 99, "variant": 0}
    kia, bmw = (found.residuals["make"][name] for name in ("kia", "bmw"))
    assert kia.level == pytest.approx(0.1, abs=4 * kia.error)
    assert bmw.level == pytest.approx(0.0, abs=4 * bmw.error)
    assert bmw.size == pytest.approx(0.34, abs=0.05)  # half of the cars: 0.067 of 0.2
    assert bmw.inside == pytest.approx(0.954, abs=0.04)


def test_listings_without_a_date_have_no_days() -> None:
    columns = {"make": ["Kia"] * 40, "model": ["Rio"] * 40, "year": [2020] * 40}
    price = np.full(40, 5_000.0)
    guess = Prices(price, price * 0.8, price * 1.2)
    found = Reference.fit(parse(columns, DAY, "km"), np.log(price), guess, MARKET)
    assert (found.first, found.last) == (None, None)
    assert found.edges["odometer"] == []
    assert found.shares["odometer"] == {"": 40}
    assert found.whole.level == 0.0


def test_far_off_values_hardly_move_the_middle() -> None:
    values = np.random.default_rng(1).standard_t(3, 5_000) * 0.1 + 0.05
    junk = np.r_[values, np.full(100, -6.0)]
    clean, dirty = middle_of(values), middle_of(junk)
    assert clean.level == pytest.approx(0.05, abs=4 * clean.error)
    assert dirty.level == pytest.approx(clean.level, abs=0.006)
    assert dirty.error == pytest.approx(clean.error, rel=0.1)


def test_the_standard_error_is_that_of_repeated_draws() -> None:
    random = np.random.default_rng(2)
    found = [middle_of(random.standard_t(4, 40)) for _ in range(600)]
    spread = np.std([one.level for one in found])
    assert np.mean([one.error for one in found]) == pytest.approx(spread, rel=0.1)


def test_equal_values_have_no_error() -> None:
    assert middle_of(np.full(5, 0.25)) == (5, 0.25, 0.0)
    assert middle_of(np.array([3.0]))[:2] == (1, 3.0)


def test_names_that_are_not_told_are_no_segment() -> None:
    assert {name: rows.tolist() for name, rows in rows_of(["b", "", "a", "b"])} == {
        "a": [2],
        "b": [0, 3],
    }
    assert [*rows_of([])] == []
    assert once(["a", "", "b", "b"]) == 1


def test_what_was_written_is_read(finished) -> None:
    folder = finished[0].model
    model = PriceModel.load(folder)
    found = model.reference
    assert found is not None
    assert (folder / "reference.json").stat().st_size < 50_000
    assert Reference.from_json(json.loads(json.dumps(found.to_json()))) == found
    assert found.rows == found.whole.rows
    assert abs(found.whole.level) < 0.02
    assert found.whole.inside == pytest.approx(model.metrics["coverage"] / 100, abs=0.01)


def test_a_folder_of_before_has_none(finished, tmp_path) -> None:
    model = replace(PriceModel.load(finished[0].model), reference=None)
    model.save(tmp_path / "model")
    assert not (tmp_path / "model" / "reference.json").exists()
    assert PriceModel.load(tmp_path / "model").reference is None
    shutil.rmtree(tmp_path / "model")
