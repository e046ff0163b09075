import datetime
import math
from typing import Any

import pandas as pd
import pytest

from carprice.listings.frames import as_columns
from carprice.model import PriceModel
from carprice.model.valuation import Valuation, value


@pytest.fixture(scope="module")
def model(finished) -> PriceModel:
    return PriceModel.load(finished[0].model)


@pytest.fixture(scope="module")
def car(finished) -> dict[str, Any]:
    listings = pd.read_parquet(finished[0].train_listings)
    listings = listings.dropna(axis=1, how="all").dropna()
    known = listings[listings["year"].between(2015, 2020)].iloc[0].drop("price").to_dict()
    return known | {"listed_on": None, "ownership": 1.0}


def valued(model: PriceModel, car: dict[str, Any], /, **change: Any) -> Valuation:
    (answer,) = value(model, {name: [given] for name, given in (car | change).items()})
    return answer


def test_a_car_like_those_of_training_has_no_warning(model: PriceModel, car: dict) -> None:
    assert valued(model, car).cautions == ()


@pytest.mark.parametrize(
    ("change", "kind", "field", "message"),
    [
        (
            {"make": "Nobody"},
            "unseen_make",
            "make",
            "make 'Nobody' was not in the training data; priced like every make on average",
        ),
        (
            {"model": "Never"},
            "unseen_model",
            "model",
            "model 'Never' was not in the training data; priced like its make on average",
        ),
        (
            {"variant": "NEVER 9"},
            "unseen_variant",
            "variant",
            "variant 'NEVER 9' was not in the training data; priced like its model on average",
        ),
        ({"odometer": 900_000.0}, "implausible", "odometer", "900,000 km cannot be right for a"),
        ({"odometer": 5.0}, "implausible", "odometer", "priced as if it were not known"),
        ({"ownership": 15.0}, "out_of_range", "ownership", "ownership 15 is outside 1–"),
        ({"engine_cc": 9900.0}, "out_of_range", "engineCc", "is outside"),
        ({"power_bhp": 2000.0}, "out_of_range", "powerBhp", "powerBhp 2000 is outside"),
        ({"seats": 50.0}, "out_of_range", "seats", "what the model has seen"),
        ({"year": 1950}, "out_of_range", "year", "an age of 75 years is outside 0–"),
        ({"year": 2030, "odometer": 9000.0}, "implausible", "year", "2030 is after the day of"),
    ],
)
def test_a_warning_names_its_kind_field_and_what_was_done(
    change: dict[str, Any], kind: str, field: str, message: str, model: PriceModel, car: dict
) -> None:
    warnings = valued(model, car, **change).cautions
    assert [(one.kind, one.field) for one in warnings] == [(kind, field)]
    assert message in warnings[0].message


@pytest.mark.parametrize(
    "change",
    [
        {"variant": None},
        {"color": None},
        {"odometer": math.nan},
        {"ownership": math.nan},
        {"power_bhp": math.nan},
        {"features": None},
    ],
)
def test_what_is_missing_is_no_reason_for_a_warning(
    change: dict[str, Any], model: PriceModel, car: dict
) -> None:
    assert valued(model, car, **change).cautions == ()


def test_one_car_may_have_several_warnings(model: PriceModel, car: dict) -> None:
    warnings = valued(model, car, variant="NEVER 9", odometer=9e5, ownership=15.0).cautions
    assert [one.kind for one in warnings] == ["unseen_variant", "implausible", "out_of_range"]


def test_every_row_has_its_own_warnings(model: PriceModel, car: dict) -> None:
    columns = {name: [given] * 3 for name, given in car.items()}
    columns["variant"] = [car["variant"], "NEVER 9", None]
    answers = value(model, columns)
    assert [len(answer.cautions) for answer in answers] == [0, 1, 0]


@pytest.mark.parametrize(
    ("listed_on", "expected"),
    [(None, None), (datetime.date(2024, 12, 24), datetime.date(2024, 12, 24))],
)
def test_the_price_is_for_the_day_of_the_listing_or_the_markets(
    listed_on: datetime.date | None, expected: datetime.date | None, model: PriceModel, car: dict
) -> None:
    answer = valued(model, car, listed_on=listed_on)
    assert answer.valuation_date == (expected or model.market.valuation_date)


def test_prices_are_those_of_the_model_rounded_to_a_hundredth(model: PriceModel, finished) -> None:
    columns = as_columns(pd.read_parquet(finished[0].test_listings).iloc[:20])
    prices = model.predict(columns, 0.8)
    for row, answer in enumerate(value(model, columns, 0.8)):
        found = (answer.predicted_price, answer.price_low, answer.price_high)
        expected = (prices.price[row], prices.low[row], prices.high[row])
        assert found == pytest.approx(expected, abs=0.0051)
        assert all(round(side, 2) == side for side in found)


@pytest.mark.parametrize("confidence", [0.0, 0.49, 1.0, math.nan])
def test_a_confidence_outside_is_an_error(confidence: float, model: PriceModel, car: dict) -> None:
    with pytest.raises(ValueError, match="it must be from 0"):
        value(model, {name: [given] for name, given in car.items()}, confidence)
