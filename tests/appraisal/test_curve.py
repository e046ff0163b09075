"""The curves of a car: their points are prices of the model, and none lies beyond training."""

import datetime
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from carprice.appraisal.curve import Curve, Part, curve_of, usual_yearly_distance
from carprice.listings.features import listings_of
from carprice.listings.frames import as_columns
from carprice.model import PriceModel
from carprice.model.support import Seen, Support
from carprice.schema import Listing, example_listing

DAY = datetime.date(2025, 6, 30)


@pytest.fixture(scope="module")
def model(finished: Any) -> PriceModel:
    return PriceModel.load(finished[0].model)


@pytest.fixture(scope="module")
def cars(finished: Any) -> list[dict[str, Any]]:
    """Test listings, and odd ones: too old, driven too far, of no known name, newer than new."""
    frame = pd.read_parquet(finished[0].test_listings).head(60)
    rows = [*listings_of(as_columns(frame))]
    odd: list[dict[str, Any]] = [
        {"year": 1985},
        {"odometer": 9e6},
        {"odometer": 400_000.0, "year": 2024},
        {"make": "Nobody", "model": "Never Seen"},
        {"year": 2026, "odometer": 5.0},
        {"odometer": math.nan},
    ]
    return rows + [{**rows[place], **change} for place, change in enumerate(odd)]


def curve(model: PriceModel, car: dict[str, Any], *asked: Any) -> Curve:
    return curve_of(model, car, model.pricer.value(car), *asked)


def parts(told: Curve) -> tuple[Part, Part, Part]:
    return told.by_age, told.ahead, told.by_distance


@pytest.mark.parametrize("yearly", [None, 0.0, 3_000.0, 60_000.0])
def test_no_point_lies_beyond_what_training_had_of_such_cars(
    model: PriceModel, cars: list[dict[str, Any]], yearly: float | None
) -> None:
    priced = 0
    for car in cars:
        seen = model.support.seen[model.pricer.kind_of(car)]
        assert seen.age is not None
        assert seen.odometer is not None
        told, value = curve(model, car, yearly), model.pricer.value(car)
        for part in parts(told):
            assert part.ends
            points = part.points[1:] if part is told.ahead else part.points
            for point in points:
                assert seen.age[0] <= point.age <= seen.age[1]
                if point.distance is not None:
                    assert seen.odometer[0] <= point.distance <= seen.odometer[1]
                low, high = point.prices[1:]
                assert low <= point.prices[0] <= high
            priced += len(points)
        first = told.ahead.points[0]
        assert first.age == max(value.valuation_date.year - car["year"], 0)
        assert (first.prices, first.years) == (value.prices, 0)
    assert priced > 10 * len(cars)


def test_each_point_is_the_price_of_such_a_car(
    model: PriceModel, cars: list[dict[str, Any]]
) -> None:
    for car in cars[:20]:
        day = model.pricer.value(car).valuation_date
        for part in parts(curve(model, car, 12_000.0)):
            for point in part.points:
                such = {**car, "year": day.year - point.age, "odometer": point.distance}
                assert model.pricer.value(such).prices == pytest.approx(point.prices, abs=0.011)


def test_the_years_ahead_go_by_the_distance_that_is_asked(model: PriceModel) -> None:
    car = vars(Listing(**example_listing()))
    usual = usual_yearly_distance(model)
    assert usual is not None
    assert 5_000 < usual < 20_000
    for yearly, each in ((None, usual), (15_000.0, 15_000.0), (0.0, 0.0)):
        told = curve(model, car, yearly)
        assert told.yearly_distance == each
        for years, point in enumerate(told.ahead.points):
            assert (point.years, point.age) == (years, 6 + years)
            assert point.distance == 42_000 + years * each
        assert f"driven {each:,.0f} km more each year" in told.assumption
    assert "the market unchanged: every price is for 2025-06-30" in told.assumption


def test_a_car_is_worth_less_the_older_it_is_and_the_further_it_was_driven(
    model: PriceModel,
) -> None:
    told = curve(model, vars(Listing(**example_listing())))
    for part in parts(told):
        prices = [point.prices[0] for point in part.points]
        assert len(prices) >= 5
        assert prices == sorted(prices, reverse=True)


def test_where_the_curves_end_they_say_why(model: PriceModel) -> None:
    car = vars(Listing(**example_listing()))
    least, most = model.support.seen["maruti|swift"].age or (0, 0)
    assert (
        curve(model, car).by_age.ends
        == f"training had a maruti swift of {least:g} to {most:g} years"
    )
    old = curve(model, {**car, "year": DAY.year - int(most) + 1})
    assert len(old.ahead.points) == 2
    assert old.ahead.ends == f"training had no maruti swift older than {most:g} years"
    far = curve(model, car, 190_000.0)
    assert len(far.ahead.points) < 3
    assert "training had no maruti swift driven more than" in far.ahead.ends
    assert "training had no maruti swift driven more than" in far.by_age.ends
    older = curve(model, {**car, "year": 1985})
    assert [point.years for point in older.ahead.points] == [0]
    assert older.by_distance.points == ()
    assert "training had no maruti swift older than" in older.by_distance.ends


def test_a_kind_has_limits_of_its_own_whatever_is_usual(model: PriceModel) -> None:
    car = {**vars(Listing(**example_listing())), "year": DAY.year - 30}
    old = Seen(30, (22.0, 40.0), (40_000.0, 300_000.0), (1e5, 1e6))
    seen = {**model.support.seen, "maruti|swift": old}
    usual = {**model.usual_ranges, "age": (0.0, 18.0), "odometer": (500.0, 160_000.0)}
    classic = replace(model, support=Support(seen, [0.0] * 50, [0.0] * 50), usual_ranges=usual)
    told = curve(classic, car)
    assert told.by_age.ends == "training had a maruti swift of 22 to 40 years"
    assert [point.age for point in told.by_age.points] == [float(age) for age in range(22, 41)]
    assert [point.years for point in told.ahead.points] == [0, 1, 2, 3, 4, 5]
    assert told.by_distance.ends == "training had a maruti swift of 40,000 to 300,000 km"


def test_of_a_whole_market_what_one_odd_car_had_is_no_limit(model: PriceModel) -> None:
    car = {**vars(Listing(**example_listing())), "make": "Nobody", "model": "Never"}
    usual = {**model.usual_ranges, "age": (0.0, 9.0)}
    told = curve(replace(model, usual_ranges=usual), car)
    least, most = model.trained_on["age"]
    assert most > 9
    assert told.by_age.ends == f"training had a car of {least:g} to 9 years, and hardly any other"
    assert told.ahead.ends == "training had hardly any car older than 9 years"
    every = {**model.usual_ranges, "age": (0.0, 99.0)}
    told = curve(replace(model, usual_ranges=every), car)
    assert told.by_age.ends == f"training had a car of {least:g} to {most:g} years"


def test_a_kind_of_few_cars_has_a_short_curve(model: PriceModel) -> None:
    narrow = Seen(30, (5.0, 7.0), (40_000.0, 60_000.0), (1e5, 1e6))
    few = replace(
        model,
        support=Support({**model.support.seen, "maruti|swift": narrow}, [0.0] * 50, [0.0] * 50),
    )
    told = curve(few, vars(Listing(**example_listing())))
    assert [point.age for point in told.by_age.points] == [5, 6, 7]
    assert [point.years for point in told.ahead.points] == [0, 1]
    distances = [point.distance for point in told.by_distance.points if point.distance]
    assert min(distances) >= 40_000
    assert max(distances) <= 60_000
    assert 42_000 in distances


def test_a_distance_that_cannot_be_is_unknown_in_all_years(model: PriceModel) -> None:
    told = curve(model, vars(Listing(**{**example_listing(), "odometer": 9_000_000})))
    assert {point.distance for point in told.ahead.points} == {None}
    assert len(told.ahead.points) == 6


def test_a_market_without_distances_has_no_curve_of_them(model: PriceModel, finished: Any) -> None:
    without = replace(
        model,
        trained_on={name: one for name, one in model.trained_on.items() if name != "odometer"},
        defaults=replace(model.defaults, odometer_by_age=np.full(26, np.nan)),
    )
    told = curve(without, vars(Listing(**example_listing())), 15_000.0)
    assert told.yearly_distance is None
    assert told.by_distance == Part((), "the model was trained without distances")
    assert told.assumption.endswith("; the model was trained without distances")
    assert {point.distance for point in (*told.by_age.points, *told.ahead.points)} == {None}
    assert len(told.by_age.points) > 5
    assert len(told.ahead.points) == 6


def test_a_model_folder_of_before_has_curves_too(model: PriceModel) -> None:
    before = replace(model, defaults=replace(model.defaults, car=None))
    told = curve(before, vars(Listing(**example_listing())))
    assert told.yearly_distance == pytest.approx(usual_yearly_distance(model), rel=0.3)
    knows_none = replace(
        before, defaults=replace(before.defaults, odometer_by_age=np.full(26, np.nan))
    )
    told = curve(knows_none, vars(Listing(**example_listing())))
    assert [point.years for point in told.ahead.points] == [0]
    assert "ask with yearlyDistance" in told.ahead.ends
    assert len(curve(knows_none, vars(Listing(**example_listing())), 9e3).ahead.points) == 6
