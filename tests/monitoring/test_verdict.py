import datetime
import json
import math
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from seen_cars import answered, drawn, observed

from carprice.listings.features import listings_of
from carprice.listings.frames import as_columns
from carprice.model import PriceModel
from carprice.model.correction import Correction
from carprice.monitoring import records
from carprice.monitoring.checks import Cause, Check, Level, Monitored
from carprice.monitoring.recalibration import recalibrated
from carprice.monitoring.verdict import look
from carprice.schema import PRICE
from carprice.settings import MonitorSettings

CARS = 900
SETTINGS = MonitorSettings(days=1_000)
NOTHING = pd.DataFrame()


@pytest.fixture(scope="module")
def model(finished: Any) -> PriceModel:
    return PriceModel.load(finished[0].model)


@pytest.fixture(scope="module")
def fresh() -> pd.DataFrame:
    return drawn(2 * CARS + 200, 4242)


@pytest.fixture(scope="module")
def log(model: PriceModel, fresh: pd.DataFrame) -> pd.DataFrame:
    return answered(model, fresh.iloc[:CARS].reset_index(drop=True))


@pytest.fixture(scope="module")
def seen(fresh: pd.DataFrame) -> pd.DataFrame:
    return fresh.iloc[CARS : 2 * CARS].reset_index(drop=True)


def check(told: Monitored, name: str) -> Check:
    (found,) = (one for one in told.checks if one.name == name)
    return found


def test_where_nothing_changed_nothing_is_said(
    model: PriceModel, log: pd.DataFrame, seen: pd.DataFrame
) -> None:
    told = look(model, log, observed(seen), SETTINGS)
    assert (told.cause, told.level) == (Cause.NONE, Level.FINE), told.why
    assert {one.level for one in told.checks} == {Level.FINE}
    assert {one.group for one in told.checks} == {"input", "market", "model"}
    low, high = check(told, "level").values["interval"]
    assert low < 0 < high or abs(check(told, "level").values["shift_percent"]) < 1.5
    assert told.facts["cars_answered"] == pytest.approx(CARS, abs=5)
    assert told.facts["fresh_listings"] == pytest.approx(CARS, abs=15)
    assert told.facts["model_digest"] == model.digest


def test_all_prices_lower_is_the_market(model: PriceModel, seen: pd.DataFrame) -> None:
    told = look(model, NOTHING, observed(seen.assign(price=seen[PRICE] * 0.92)), SETTINGS)
    assert (told.cause, told.level) == (Cause.MARKET, Level.RETRAIN), told.why
    level = check(told, "level")
    assert level.values["index"] == pytest.approx(92, abs=2)
    low, high = level.values["interval"]
    assert low <= level.values["shift_percent"] <= high
    assert "in all segments alike" in told.why[0]
    assert check(told, "segments_apart").level is Level.FINE
    assert check(told, "scatter").level is Level.FINE


def test_a_smaller_move_asks_for_a_look_only(model: PriceModel, seen: pd.DataFrame) -> None:
    told = look(model, NOTHING, observed(seen.assign(price=seen[PRICE] * 0.97)), SETTINGS)
    assert (told.cause, told.level) == (Cause.MARKET, Level.LOOK), told.why


def test_one_makes_prices_lower_is_decay(model: PriceModel, seen: pd.DataFrame) -> None:
    make = seen["make"].str.lower() == "hyundai"
    told = look(
        model, NOTHING, observed(seen.assign(price=seen[PRICE] * np.where(make, 0.85, 1))), SETTINGS
    )
    assert (told.cause, told.level) == (Cause.DECAY, Level.RETRAIN), told.why
    assert "hyundai" in told.why[0]
    apart = check(told, "segments_apart").values["apart"]
    assert apart[0]["shift_percent"] == pytest.approx(-15, abs=4)
    rest = check(told, "level").values["without_segments_apart_percent"]
    assert rest == pytest.approx(0, abs=1.5)


def test_a_market_that_moves_beside_one_make_is_still_the_market(
    model: PriceModel, seen: pd.DataFrame
) -> None:
    make = seen["make"].str.lower() == "hyundai"
    moved = observed(seen.assign(price=seen[PRICE] * np.where(make, 0.68, 0.85)))
    told = look(model, NOTHING, moved, SETTINGS)
    assert (told.cause, told.level) == (Cause.MARKET, Level.RETRAIN), told.why
    assert any("hyundai" in one for one in told.why)


def test_prices_that_scatter_more_are_decay(model: PriceModel, seen: pd.DataFrame) -> None:
    noise = np.exp(np.random.default_rng(0).normal(0, 0.12, len(seen)))
    told = look(model, NOTHING, observed(seen.assign(price=seen[PRICE] * noise)), SETTINGS)
    assert (told.cause, told.level) == (Cause.DECAY, Level.RETRAIN), told.why
    assert check(told, "scatter").level is Level.RETRAIN
    assert check(told, "level").level is Level.FINE


def test_more_cars_of_a_kind_are_another_mix(
    model: PriceModel, log: pd.DataFrame, seen: pd.DataFrame
) -> None:
    diesel = (log["fuel_type"] == "Diesel").to_numpy()
    others = np.flatnonzero(~diesel)[: diesel.sum()]
    more = log.iloc[np.r_[np.flatnonzero(diesel), others]]
    told = look(model, more, observed(seen), SETTINGS)
    assert (told.cause, told.level) == (Cause.MIX, Level.LOOK), told.why
    (one,) = (one for one in check(told, "input_mix").values["mix"] if one["field"] == "fuel")
    assert one["is_finding"]
    assert one["share"] == pytest.approx(0.5, abs=0.01)
    assert one["psi"] > 0.1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"make": "Nobody", "model": "Nothing"}, "another make than any of training"),
        ({"transmission_type": None}, "transmission is missing in"),
        ({"power_bhp": np.nan}, "power_bhp is missing in"),
        ({"cautions": [["out_of_range:odometer"]] * 300}, "warn of a value out of range"),
    ],
    ids=["unseen", "missing text", "missing number", "out of range"],
)
def test_odd_requests_are_unusual_input(
    change: dict[str, Any], words: str, model: PriceModel, log: pd.DataFrame, seen: pd.DataFrame
) -> None:
    odd = log.copy()
    for name, value in change.items():
        column = odd[name].astype(object)
        column.iloc[:300] = pd.Series(value if isinstance(value, list) else [value] * 300)
        odd[name] = column
    told = look(model, odd, observed(seen), SETTINGS)
    assert (told.cause, told.level) == (Cause.INPUT, Level.LOOK), told.why
    assert any(words in one for one in told.why), told.why


def test_prices_weigh_more_than_odd_requests(
    model: PriceModel, log: pd.DataFrame, seen: pd.DataFrame
) -> None:
    told = look(
        model,
        log.assign(transmission_type=None),
        observed(seen.assign(price=seen[PRICE] * 0.9)),
        SETTINGS,
    )
    assert (told.cause, told.level) == (Cause.MARKET, Level.RETRAIN)
    assert any("transmission is missing" in one for one in told.why)


def test_too_few_prices_tell_nothing(model: PriceModel, seen: pd.DataFrame) -> None:
    few = observed(seen.assign(price=seen[PRICE] * 0.5).iloc[:80])
    for observations in (few, NOTHING, few.iloc[:0]):
        told = look(model, NOTHING, observations, SETTINGS)
        assert (told.cause, told.level) == (Cause.TOO_FEW, Level.FINE)
        assert told.checks == []
        assert "cannot be judged" in told.why[0]


def test_answers_alone_are_judged_for_what_comes_in(model: PriceModel, log: pd.DataFrame) -> None:
    told = look(model, log, NOTHING, SETTINGS)
    assert (told.cause, told.level) == (Cause.TOO_FEW, Level.FINE)
    assert {one.group for one in told.checks} == {"input"}
    told = look(model, log.assign(transmission_type=None), NOTHING, SETTINGS)
    assert (told.cause, told.level) == (Cause.INPUT, Level.LOOK)


def test_a_model_of_before_tells_the_level_alone(
    model: PriceModel, log: pd.DataFrame, seen: pd.DataFrame
) -> None:
    before = replace(model, reference=None)
    told = look(before, log, observed(seen.assign(price=seen[PRICE] * 0.9)), SETTINGS)
    assert (told.cause, told.level) == (Cause.MARKET, Level.RETRAIN)
    assert {"level", "errors_of_fresh_listings"} <= {one.name for one in told.checks}
    assert "input_mix" not in {one.name for one in told.checks}
    assert any("keeps no reference" in one for one in told.why)


def test_what_is_negotiated_is_no_error_of_the_model(model: PriceModel, seen: pd.DataFrame) -> None:
    sold = observed(seen).assign(
        source=records.SOLD, observed_price=seen[PRICE] * 0.9, asking_price=seen[PRICE]
    )
    told = look(model, NOTHING, sold, SETTINGS)
    assert (told.cause, told.level) == (Cause.NONE, Level.FINE), told.why
    gap = check(told, "asking_to_sale").values
    assert gap["gap_percent"] == pytest.approx(-10, abs=0.01)
    # The usual gap is taken out of sales whose asking price is not known.
    half = sold.assign(asking_price=sold["asking_price"].where(np.arange(len(sold)) % 2 == 0))
    assert look(model, NOTHING, half, SETTINGS).level is Level.FINE
    # Where none is known, what is negotiated is told as part of the level.
    told = look(model, NOTHING, sold.assign(asking_price=np.nan), SETTINGS)
    assert told.cause is Cause.MARKET
    assert any("what is negotiated" in one for one in told.why)
    # And where the model learned from sales, asking prices are brought to them.
    both = pd.concat([sold, observed(seen.assign(price=seen[PRICE] / 0.9 * 0.9))])
    told = look(model, NOTHING, both, SETTINGS.model_copy(update={"prices": "sold"}))
    assert check(told, "level").values["index"] == pytest.approx(90, abs=2)


def test_what_was_offered_is_no_price_of_a_car(model: PriceModel, seen: pd.DataFrame) -> None:
    # Offers for the same cars take no car's listing away.
    offers = observed(seen).assign(source=records.OFFERED, observed_price=seen[PRICE] * 0.8)
    listed = look(model, NOTHING, observed(seen), SETTINGS)
    both = look(model, NOTHING, pd.concat([offers, observed(seen)]), SETTINGS)
    assert both.facts["left_out"]["offered, and not sold"] == len(seen)
    assert both.checks == listed.checks


def test_a_recalibrated_model_is_judged_by_what_it_does_not_know_and_raises_no_alarm_itself(
    model: PriceModel, log: pd.DataFrame, seen: pd.DataFrame
) -> None:
    moved = observed(seen.assign(price=seen[PRICE] * 1.2))
    until = seen["listed_on"].median().date()
    learned = int((seen["listed_on"] <= pd.Timestamp(until)).sum())
    before = model.market.valuation_date - datetime.timedelta(days=3_000)
    correction = Correction(before, until, 500, math.log(1.2))
    corrected = replace(model, correction=correction)
    # Dearer cars, answered at dearer prices, are the same cars.
    answers = log.assign(quoted_price=log["quoted_price"] * 1.2)
    told = look(corrected, answers, moved, SETTINGS)
    assert (told.cause, told.level) == (Cause.NONE, Level.FINE), told.why
    assert told.facts["left_out"]["of days that the model's correction knows"] == learned
    (price,) = (one for one in check(told, "input_mix").values["mix"] if one["field"] == "price")
    assert price["share"] == pytest.approx(price["share_in_training"], abs=0.04)


def test_a_car_counts_once_and_not_where_the_model_learned_from_it(
    finished: Any, model: PriceModel, seen: pd.DataFrame
) -> None:
    once = look(model, NOTHING, observed(seen), SETTINGS)
    thrice = pd.concat([observed(seen)] * 3, ignore_index=True)
    again = look(model, NOTHING, thrice, SETTINGS)
    assert again.facts["observed"] == once.facts["observed"]
    assert again.facts["left_out"]["the same car again"] >= 2 * len(seen) - 50
    assert check(again, "level").values["index"] == check(once, "level").values["index"]
    learned = pd.read_parquet(finished[0].train_listings).drop(columns="car", errors="ignore")
    told = look(model, NOTHING, observed(learned), SETTINGS)
    assert told.cause is Cause.TOO_FEW
    left_out = told.facts["left_out"]["of a car that the model learned from"]
    assert left_out == pytest.approx(len(learned), abs=20)


def test_shadow_prices_and_refusals_are_no_answers(model: PriceModel, log: pd.DataFrame) -> None:
    beside = log.assign(shadow=True, make="Nobody", model="Nothing")
    refused = log.assign(problem="make is missing", quoted_price=np.nan, model="Nothing")
    told = look(model, pd.concat([log, beside, refused], ignore_index=True), NOTHING, SETTINGS)
    assert told.cause is Cause.TOO_FEW
    assert told.facts["answers"] == len(log)
    assert check(told, "input_unseen").level is Level.FINE


def test_junk_prices_and_rows_without_a_price_hardly_matter(
    model: PriceModel, seen: pd.DataFrame
) -> None:
    prices = seen[PRICE].astype(float).to_numpy(copy=True)
    prices[:18], prices[18:25] = 1.0, np.nan
    junk = observed(seen).assign(observed_price=prices)
    junk.loc[30:35, "observed_on"] = pd.NaT
    junk["make"] = junk["make"].where(np.arange(len(junk)) != 40)
    told = look(model, NOTHING, junk, SETTINGS)
    assert told.level is Level.FINE, told.why
    assert told.facts["left_out"]["without make, model, year, day or price"] == 14


def test_only_the_last_days_are_judged_and_charts_show_all(
    model: PriceModel, seen: pd.DataFrame
) -> None:
    late = (seen["listed_on"] >= "2025-03-20").to_numpy()
    moved = observed(seen.assign(price=seen[PRICE] * np.where(late, 0.85, 1.0)))
    told = look(model, NOTHING, moved, MonitorSettings(days=100))
    assert (told.cause, told.level) == (Cause.MARKET, Level.RETRAIN)
    assert told.facts["judged"] < told.facts["observed"] / 3
    (chart,) = (one for one in told.charts if one.name == "level_by_month")
    index = {str(row[0]): row[1] for row in chart.table.rows}
    assert index["2024-05"] == pytest.approx(100, abs=8)
    assert index["2025-05"] == pytest.approx(85, abs=8)


def test_errors_of_what_was_answered_are_told_by_version(
    model: PriceModel, seen: pd.DataFrame
) -> None:
    quoted = np.where(np.arange(len(seen)) % 2, 1.0, 1.3) * seen[PRICE]
    outcomes = observed(seen).assign(
        source=records.SOLD,
        model_version=np.where(np.arange(len(seen)) % 2, "4", "3"),
        quoted_price=quoted,
        quoted_low=quoted * 0.9,
        quoted_high=quoted * 1.1,
    )
    told = look(model, NOTHING, outcomes, SETTINGS)
    (chart,) = (one for one in told.charts if one.name == "mdape_by_version")
    rows = {str(row[0]): row for row in chart.table.rows}
    assert rows["3"][1] == pytest.approx(30)
    assert rows["4"][1] == pytest.approx(0, abs=1e-9)
    coverage = chart.table.columns.index("coverage")
    assert (rows["3"][coverage], rows["4"][coverage]) == (0, 100)


def test_answers_of_an_old_day_are_told_where_prices_of_the_day_are_right(
    model: PriceModel, seen: pd.DataFrame
) -> None:
    day = model.market.valuation_date
    given = [*listings_of(as_columns(seen.drop(columns=PRICE)))]
    prices = [
        model.pricer.prices([{**one, "listed_on": when} for one in given]).price
        for when in (day, day + datetime.timedelta(days=365))
    ]
    noise = np.exp(np.random.default_rng(0).normal(0, 0.05, len(seen)))

    def outcomes(quoted: Any, digest: str = model.digest) -> pd.DataFrame:
        return observed(seen).assign(
            source=records.SOLD,
            observed_on=day + datetime.timedelta(days=365),
            observed_price=prices[1] * noise,
            model_digest=digest,
            quoted_price=quoted,
            quoted_low=quoted * 0.9,
            quoted_high=quoted * 1.1,
        )

    told = look(model, NOTHING, outcomes(prices[0]), SETTINGS)
    assert (told.cause, told.level) == (Cause.DECAY, Level.LOOK), told.why
    by = 100 * float(np.expm1(np.median(np.log(prices[1] / prices[0]))))
    assert by < -3
    assert check(told, "as_answered").values["shift_percent"] == pytest.approx(by, abs=1.5)
    assert "without a date" in told.why[0]
    assert check(told, "level").level is Level.FINE
    # A correction is of prices of the day, too, and finds nothing to move.
    listed = outcomes(prices[0]).assign(source=records.LISTED)
    assert abs(recalibrated(model, listed, SETTINGS).shift) < 0.015
    # Answers for the day are right, and another model's are not this one's.
    told = look(model, NOTHING, outcomes(prices[1]), SETTINGS)
    assert (told.level, check(told, "as_answered").level) == (Level.FINE, Level.FINE), told.why
    told = look(model, NOTHING, outcomes(prices[0], "another"), SETTINGS)
    assert "as_answered" not in {one.name for one in told.checks}


@pytest.mark.parametrize(
    "spell",
    [
        lambda frame: frame.assign(observed_on=frame["observed_on"].dt.strftime("%Y-%m-%d")),
        lambda frame: frame.assign(observed_on=frame["observed_on"].dt.date),
        lambda frame: frame.assign(observed_on=frame["observed_on"].dt.tz_localize("UTC")),
        lambda frame: frame.assign(year=frame["year"].astype("Int64")),
        lambda frame: frame.assign(
            features=frame["features"].map(lambda one: np.array((one or "").split("|")))
        ),
        lambda frame: frame.astype({"odometer": object, "observed_price": "float32"}),
        lambda frame: frame.drop(columns=["condition", "road_tax"]).set_index("model", drop=False),
    ],
    ids=["text", "date", "UTC", "Int64", "arrays", "objects", "columns"],
)
def test_frames_may_come_from_anywhere(
    spell: Callable[[pd.DataFrame], pd.DataFrame], model: PriceModel, seen: pd.DataFrame
) -> None:
    plain = observed(seen.iloc[:200])
    as_usual = look(model, NOTHING, plain, SETTINGS)
    told = look(model, NOTHING, spell(plain), SETTINGS)
    assert check(told, "level").values["index"] == pytest.approx(
        check(as_usual, "level").values["index"], abs=0.01
    )


def test_it_says_the_same_again_and_in_plain_json(
    model: PriceModel, log: pd.DataFrame, seen: pd.DataFrame
) -> None:
    first, second = (look(model, log, observed(seen), SETTINGS) for _ in range(2))
    written = json.dumps(asdict(first), allow_nan=False)
    assert written == json.dumps(asdict(second), allow_nan=False)
    for chart in first.charts:
        columns = chart.table.columns
        assert {len(row) for row in chart.table.rows} == {len(columns)}
        drawn_ones = {chart.value, chart.low, chart.high, chart.series, chart.reference}
        named = {one for one in drawn_ones if isinstance(one, str)}
        assert named <= {*columns}
