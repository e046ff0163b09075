"""The correction of a model's level and ranges: exact, consistent, bounded, and in the folder."""

import datetime
import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forged import forged

from carprice.appraisal.deal import judged
from carprice.appraisal.reasons import reasons_of
from carprice.errors import CorruptModelError
from carprice.model import PriceModel
from carprice.model.correction import FILE, Correction, HeldOut, write_corrected
from carprice.model_folder import read_files

SINCE = datetime.date(2025, 8, 1)
CAR = {"make": "Maruti", "model": "Swift", "year": 2018, "odometer": 52_000.0}
OTHER = {"make": "Hyundai", "model": "i20", "year": 2012, "odometer": 80_000.0}
CORRECTION = Correction(
    since=SINCE,
    until=datetime.date(2025, 8, 31),
    rows=900,
    shift=-0.08,
    by_make={"maruti": 0.03},
    scale=(1.5, 1.2, 1.1, 0.9),
    held_out=HeldOut(300, (9.1, 7.9), (9.5, 8.0), (8.2, 0.3), (81.0, 90.3)),
)


@pytest.fixture(scope="module")
def corrected(model: PriceModel) -> PriceModel:
    return replace(model, correction=CORRECTION)


@pytest.mark.parametrize(
    ("car", "shift", "factor"), [(CAR, -0.05, 1.1), (OTHER, -0.08, 0.9)], ids=["make", "others"]
)
def test_the_price_is_moved_and_its_range_is_scaled(
    car: dict[str, Any], shift: float, factor: float, model: PriceModel, corrected: PriceModel
) -> None:
    for confidence in (0.5, 0.9, 0.99):
        before = model.pricer.prices([car], confidence)
        after = corrected.pricer.prices([car], confidence)
        assert after.price == pytest.approx(before.price * math.exp(shift), rel=1e-12)
        for name in ("low", "high"):
            was, now = (np.log(getattr(one, name) / one.price) for one in (before, after))
            assert now == pytest.approx(factor * was, rel=1e-9)


def test_it_is_for_its_days_and_for_listings_without_one(
    model: PriceModel, corrected: PriceModel
) -> None:
    def ratio(**more: Any) -> float:
        prices = (one.pricer.prices([CAR | more]).price[0] for one in (corrected, model))
        return float(next(prices) / next(prices))

    day = datetime.timedelta(days=1)
    assert ratio() == ratio(listed_on=SINCE) == pytest.approx(math.exp(-0.05))
    assert ratio(listed_on=SINCE - day) == 1
    assert ratio(listed_on=SINCE + 900 * day) == pytest.approx(math.exp(-0.05))


def test_a_listing_without_a_date_has_a_part_of_its_own(model: PriceModel) -> None:
    undated = replace(model, correction=replace(CORRECTION, undated=-0.1))
    other = replace(model, correction=CORRECTION)
    price, was = undated.pricer.prices([CAR]).price, other.pricer.prices([CAR]).price
    assert price == pytest.approx(was * math.exp(-0.1))
    dated = CAR | {"listed_on": SINCE}
    assert undated.pricer.value(dated) == other.pricer.value(dated)
    told = undated.pricer.explain(CAR)
    assert told.reasons[-1].factor == pytest.approx(math.exp(-0.15))
    assert Correction.from_json(undated.correction.to_json()) == undated.correction  # type: ignore[union-attr]


def test_one_many_parsed_and_appraised_have_the_same_price(corrected: PriceModel) -> None:
    cars = [CAR, OTHER, CAR | {"listed_on": SINCE}, CAR | {"listed_on": datetime.date(2025, 1, 1)}]
    single = [corrected.pricer.value(car).prices for car in cars]
    assert [one.prices for one in corrected.pricer.value_all(cars)] == single
    for car, (outlook, told) in zip(cars, corrected.pricer.appraise_all(cars), strict=True):
        assert outlook.valuation == corrected.pricer.value(car)
        assert outlook.price == pytest.approx(told.price, rel=1e-9)
    names = {name: [car.get(name) for car in cars] for name in (*CAR, "listed_on")}
    parsed = corrected.predict_features(corrected.parse(names)).price
    assert parsed == pytest.approx(corrected.predict(names).price, rel=1e-9)


def test_it_is_a_reason_of_its_own_and_reasons_add_up(
    model: PriceModel, corrected: PriceModel
) -> None:
    told, was = corrected.pricer.explain(CAR), model.pricer.explain(CAR)
    assert told.reasons[:-1] == was.reasons
    assert told.reasons[-1].name == "market since 2025-08-01"
    assert told.reasons[-1].factor == pytest.approx(math.exp(-0.05))
    sums = told.start + sum(one.amount for one in told.reasons)
    product = told.start * math.prod(one.factor for one in told.reasons)
    assert sums == pytest.approx(product) == pytest.approx(told.price)
    value = corrected.pricer.value(CAR)
    in_cents = reasons_of(corrected, CAR, value)
    amounts = sum(round(100 * one.amount) for one in in_cents.reasons)
    assert round(100 * in_cents.start) + amounts == round(100 * value.predicted_price)
    early = corrected.pricer.explain(CAR | {"listed_on": datetime.date(2025, 1, 1)})
    assert {one.name for one in early.reasons} == {one.name for one in was.reasons}


def test_percentiles_of_asking_prices_agree_with_the_range(corrected: PriceModel) -> None:
    outlook = corrected.pricer.outlook(CAR)
    assert outlook.distribution is not None
    value = outlook.valuation
    for price, share in ((value.price_low, 5), (value.price_high, 95)):
        assert outlook.distribution.percentile(math.log(price)) == pytest.approx(share, abs=0.01)
    asked = np.geomspace(value.price_low / 2, value.price_high * 2, 40)
    found = [judged(corrected, outlook, float(price)).percentile for price in asked]
    assert found == sorted(found)
    assert found[0] < 1
    assert found[-1] > 99


def test_a_folder_keeps_it_under_another_digest(
    good: Path, model: PriceModel, tmp_path: Path
) -> None:
    digest = write_corrected(good, tmp_path / "corrected", CORRECTION)
    read = PriceModel.load(tmp_path / "corrected")
    assert read.correction == CORRECTION
    assert read.digest == digest != model.digest
    before, after = (read_files(one).contents for one in (good, tmp_path / "corrected"))
    assert after.items() - before.items() == {(FILE, after[FILE])}
    assert read.save(tmp_path / "again") == digest
    other = replace(CORRECTION, shift=0.02, held_out=None)
    assert write_corrected(tmp_path / "corrected", tmp_path / "other", other) != digest
    assert PriceModel.load(tmp_path / "other").correction == other


def test_a_model_without_one_prices_as_ever(good: Path, model: PriceModel) -> None:
    assert not (good / FILE).exists()
    assert model.correction is None
    nothing = replace(model, correction=Correction(SINCE, SINCE, 0, 0.0))
    assert nothing.pricer.value(CAR) == model.pricer.value(CAR)


@pytest.mark.parametrize(
    "odd",
    [
        {"shift": 0.6},
        {"shift": float("nan")},
        {"shift": "0.1"},
        {"shift": 0.3, "by_make": {"maruti": 0.3}},
        {"by_make": {"maruti": -0.7}},
        {"by_make": {"maruti": None}},
        {"by_make": [0.1]},
        {"scale": [1.0, 1.0, 1.0]},
        {"scale": [1.0, 1.0, 1.0, 0.0]},
        {"scale": [1.0, 1.0, 1.0, 1e9]},
        {"since": "yesterday"},
        {"since": "2025-13-41"},
        {"since": 20250801},
        {"rows": -1},
        {"undated": -0.6},
        {"held_out": {"rows": 1}},
        {"held_out": CORRECTION.to_json()["held_out"] | {"mape": [1, 2, 3]}},
        None,
        [],
    ],
    ids=str,
)
def test_a_hostile_one_is_refused(odd: Any, good: Path, tmp_path: Path) -> None:
    content = CORRECTION.to_json() | odd if isinstance(odd, dict) else odd
    hostile = forged(good, tmp_path / "forged", {FILE: json.dumps(content).encode()})
    with pytest.raises(CorruptModelError, match=re.escape("fetch or train the model again")):
        PriceModel.load(hostile)
