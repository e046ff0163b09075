"""Cars that a model learned from are known again, whenever they are listed."""

import datetime
from typing import Any

import pytest

from carprice.listings.features import parse
from carprice.listings.market import Market
from carprice.model import PriceModel
from carprice.model.learned import CarKeys, LearnedFrom

MARKET = Market("INR", "km", datetime.date(2025, 6, 30), "ab" * 32)
CAR = {"make": "Kia", "model": "Sonet", "fuel_type": "Petrol"}


@pytest.mark.parametrize("odometer", [1_234.0, 1_500.0])
@pytest.mark.parametrize("year", [2023, 2024, 2025])
def test_a_car_that_was_new_when_it_was_listed_is_known_on_other_days(
    year: int, odometer: float, model: PriceModel
) -> None:
    car = {**CAR, "year": year, "odometer": odometer, "listed_on": datetime.date(2024, 11, 30)}
    features = parse({name: [value] for name, value in car.items()}, MARKET.valuation_date, "km")
    learned = LearnedFrom.of(features, MARKET, model.reading)
    keys = CarKeys(MARKET, model.reading, reads_variants=model.knows_variants)

    def knows(**change: Any) -> bool:
        return learned.has(keys.keys_of({**car, **change}))

    for day in (None, datetime.date(2024, 11, 30), datetime.date(2025, 1, 7)):
        assert knows(listed_on=day)
        assert not knows(listed_on=day, odometer=odometer + 500)
        assert not knows(listed_on=day, model="Seltos")
    if year == 2023:  # it was not new
        assert not knows(year=2022)
