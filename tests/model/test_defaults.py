import datetime
import json
import math
from typing import Any

import numpy as np
import pytest

from carprice.listings.features import Features, parse
from carprice.model.defaults import USUAL_OF_MODEL, Defaults

NAN = math.nan


def features(**columns: list[Any]) -> Features:
    rows = len(next(iter(columns.values())))
    needed = {"make": "Kia", "model": "Rio", "year": 2020, "odometer": 30000}
    given = {name: [value] * rows for name, value in needed.items()} | columns
    return parse(given, datetime.date(2024, 6, 30), "km")


TRAINING = features(
    make=["Kia", "Kia", "Kia", "Kia", "Tata", "Tata"],
    model=["Rio", "Rio", "Rio", "EV6", "Nexon", "Tiago"],
    engine_cc=[1200, 1200, 1500, NAN, 1000, 2000],
    power_bhp=[80, 82, NAN, 320, 100, 120],
)


@pytest.mark.parametrize(
    ("make", "model", "litres", "power"),
    [
        ("Kia", "Rio", 1.2, 81),
        ("kia ", "RIO", 1.2, 81),
        ("Kia", "EV6", NAN, 320),
        ("Kia", "Ceed", 1.2, 82),
        ("Tata", "Punch", 1.5, 110),
        ("Fiat", "Punto", 1.2, 100),
    ],
)
def test_an_unknown_number_is_usual_for_the_model_else_its_make_else_all(
    make: str, model: str, litres: float, power: float
) -> None:
    filled = Defaults.fit(TRAINING).fill(features(make=[make], model=[model]))
    assert filled["litres"] == pytest.approx([litres], nan_ok=True)
    assert filled["power_bhp"] == pytest.approx([power])


def test_what_nobody_knows_stays_unknown() -> None:
    assert np.isnan(Defaults.fit(TRAINING).fill(features(make=["Kia"]))["seats"]).all()


def test_what_is_given_is_kept_and_the_features_are_not_changed() -> None:
    row = features(make=["Kia", "Kia"], power_bhp=[75, NAN])
    filled = Defaults.fit(TRAINING).fill(row)
    assert filled["power_bhp"].tolist() == [75, 81]
    assert np.array_equal(row.numbers["power_bhp"], [75, NAN], equal_nan=True)


def test_an_unknown_odometer_is_usual_for_the_age() -> None:
    training = features(year=[2020, 2020, 2014], odometer=[30_000, 40_000, 100_000])
    filled = Defaults.fit(training).fill(features(year=[2020, 2014, 2017], odometer=[NAN] * 3))
    assert filled["odometer"].tolist() == [35_000, 100_000, 35_000]
    assert filled["odometer_per_year"] == pytest.approx(
        [35_000 / 4.5, 100_000 / 10.5, 35_000 / 7.5]
    )


@pytest.mark.parametrize(("missing", "is_filled"), [(1, True), (2, False)])
def test_an_odometer_that_the_market_often_leaves_out_stays_unknown(
    missing: int, is_filled: bool
) -> None:
    training = features(odometer=[30_000.0] * (20 - missing) + [NAN] * missing)
    filled = Defaults.fit(training).fill(features(odometer=[NAN]))
    assert np.isnan(filled["odometer"][0]) != is_filled
    assert np.isnan(filled["odometer_per_year"][0]) != is_filled


def test_one_row_is_filled_as_in_a_batch() -> None:
    rows = features(make=["Kia", "Tata", "Fiat"], odometer=[NAN, 20_000, NAN])
    defaults = Defaults.fit(TRAINING)
    batch = defaults.fill(rows)
    for row in range(3):
        one = defaults.fill(rows.take(np.array([row])))
        for name, values in batch.items():
            assert np.array_equal(one[name], values[[row]], equal_nan=True), name


def test_defaults_survive_json() -> None:
    defaults = Defaults.fit(TRAINING)
    text = json.dumps(defaults.to_json(), allow_nan=False)
    read = Defaults.from_json(json.loads(text))
    assert json.loads(text)["numbers"] == list(USUAL_OF_MODEL)
    assert read.by_group.keys() == defaults.by_group.keys()
    for key, medians in defaults.by_group.items():
        assert np.array_equal(read.by_group[key], medians, equal_nan=True), key
    assert np.array_equal(read.overall, defaults.overall, equal_nan=True)
    assert np.array_equal(read.odometer_by_age, defaults.odometer_by_age, equal_nan=True)
