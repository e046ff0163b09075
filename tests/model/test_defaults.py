import datetime
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from carprice.listings.features import CAR_CATEGORIES, Features, parse, read_type
from carprice.listings.market import Market
from carprice.model.car import CarReader
from carprice.model.defaults import USUAL_OF_MODEL, Defaults

NAN = math.nan


def features(**columns: list[Any]) -> Features:
    rows = len(next(iter(columns.values())))
    needed = {"make": "Kia", "model": "Rio", "year": 2020, "odometer": 30000}
    given = {name: [value] * rows for name, value in needed.items()} | columns
    return parse(given, MARKET.valuation_date, MARKET.distance_unit)


MARKET = Market("INR", "km", datetime.date(2024, 6, 30), "")


def read(defaults: Defaults, **fields: Any) -> dict[str, float]:
    """Return the completed numbers of one listing."""
    one = features(**{name: [value] for name, value in fields.items()})
    ((_, car),) = CarReader(defaults).read(one)
    return car.numbers


CARS: dict[str, list[Any]] = {
    "make": ["Kia", "Kia", "Kia", "Kia", "Tata", "Tata"],
    "model": ["Rio", "Rio", "Rio", "EV6", "Nexon", "Tiago"],
    "engine_cc": [1200, 1200, 1500, NAN, 1000, 2000],
    "power_bhp": [80, 82, NAN, 320, 100, 120],
}
TRAINING = features(**CARS)


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
    filled = read(Defaults.fit(TRAINING), make=make, model=model)
    assert filled["litres"] == pytest.approx(litres, nan_ok=True)
    assert filled["power_bhp"] == pytest.approx(power)


def test_what_nobody_knows_stays_unknown() -> None:
    assert math.isnan(read(Defaults.fit(TRAINING), make="Kia")["seats"])


def test_what_is_given_is_kept() -> None:
    assert read(Defaults.fit(TRAINING), power_bhp=75.0)["power_bhp"] == 75
    assert read(Defaults.fit(TRAINING), power_bhp=NAN)["power_bhp"] == 81


@pytest.mark.parametrize(("year", "usual"), [(2020, 35_000), (2014, 100_000), (2017, 35_000)])
def test_an_unknown_odometer_is_usual_for_the_age(year: int, usual: float) -> None:
    training = features(year=[2020, 2020, 2014], odometer=[30_000, 40_000, 100_000])
    assert read(Defaults.fit(training), year=year, odometer=NAN)["odometer"] == usual


def test_training_rows_are_completed_as_listings_are_and_not_changed() -> None:
    cars = np.array([0, 0, 1, 2, 3, 3])
    rows = replace(TRAINING, numbers=dict(TRAINING.numbers), cars=cars)
    rows.numbers["odometer"] = np.array([NAN, *TRAINING.numbers["odometer"][1:]])
    rows.texts["fuel"] = ["Petrol".lower(), "", "petrol", "", "diesel", ""]
    defaults = Defaults.fit(TRAINING)
    completed = CarReader(defaults).complete(rows)
    assert math.isnan(rows.numbers["odometer"][0])
    assert completed.car_weights().tolist() == [0.5, 0.5, 1, 1, 0.5, 0.5]
    assert completed.numbers["odometer"].tolist() == [30_000] * 6
    assert completed.numbers["odometer_per_year"] == pytest.approx([30_000 / 4.5] * 6)
    for name in USUAL_OF_MODEL:
        expected = [
            read(defaults, make=make, model=model, engine_cc=cc, power_bhp=bhp)[name]
            for make, model, cc, bhp in zip(*CARS.values(), strict=True)
        ]
        assert completed.numbers[name] == pytest.approx(expected, nan_ok=True), name


@pytest.mark.parametrize(("missing", "is_filled"), [(1, True), (2, False)])
def test_an_odometer_that_the_market_often_leaves_out_stays_unknown(
    missing: int, is_filled: bool
) -> None:
    training = features(odometer=[30_000.0] * (20 - missing) + [NAN] * missing)
    defaults = Defaults.fit(training)
    assert math.isnan(read(defaults, odometer=NAN)["odometer"]) != is_filled
    completed = CarReader(defaults).complete(training).numbers
    for name in ("odometer", "odometer_per_year"):
        assert np.isnan(completed[name]).any() != is_filled, name


def test_the_commonest_transmission_body_and_fuel_of_the_model_are_usual() -> None:
    rows = features(
        model=["Rio", "Rio", "Rio", "EV6"], fuel_type=["Petrol", "Diesel", "Petrol", "Electric"]
    )
    reader = CarReader(Defaults.fit(rows))
    for model, fuel, usual in (
        ("Rio", None, "petrol"),
        ("Rio", "Steam", "steam"),
        ("EV6", None, "electric"),
        ("Ceed", None, "petrol"),
    ):
        car_type = reader.type_of(read_type("Kia", model, None, None, None, fuel, None)[0])
        assert (car_type.given["fuel"], car_type.texts["fuel"]) == ((fuel or "").lower(), usual)
        assert car_type.texts["model_powertrain"] == f"kia|{model.lower()}|{usual}|"


@pytest.mark.parametrize(
    ("conditions", "usual"),
    [
        (["good"] * 6 + ["fair"] * 3 + ["salvage"], "good"),
        (["good"] * 6 + ["fair"] * 3 + [None], ""),
        (list("abcdefgh"), ""),
    ],
)
def test_a_category_that_all_rows_have_is_the_commonest_where_it_is_not_known(
    conditions: list[Any], usual: str
) -> None:
    defaults = Defaults.fit(features(condition=conditions))
    assert Defaults.from_json(defaults.to_json()).categories == defaults.categories
    for asked, expected in ((None, usual), ("fair", "fair")):
        ((_, car),) = CarReader(defaults).read(features(condition=[asked]))
        assert dict(zip(CAR_CATEGORIES, car.categories, strict=True))["condition"] == expected
