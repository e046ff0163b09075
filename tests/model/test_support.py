import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from carprice.listings.frames import as_columns, read_features
from carprice.model import PriceModel
from carprice.model.pricer import Valuation
from carprice.model.support import FEWEST_ROWS, Seen, Support
from carprice.model_folder import write_folder

NEWER_BLOCKS = (
    *(
        "trim_a",
        "word_a",
        "word_so",
        "engine_a",
        "engine_so",
        "model_spec",
        "model_spec_a",
        "model_spec_so",
        "model_spec_year",
    ),
    *("model_tax", "model_tax_a", "model_a3", "model_lo", "make_so", "owners_a"),
    *("model_powertrain_a", "make_powertrain", "make_powertrain_a", "make_powertrain_so"),
    "seller_a",
)
"""Blocks that the ridges of such folders did not have."""


@pytest.fixture(scope="module")
def of_before(finished, model: PriceModel, tmp_path_factory: pytest.TempPathFactory) -> PriceModel:
    """The model from a folder that was written before there was support.json."""
    old, source = tmp_path_factory.mktemp("before") / "model", Path(finished[0].model)

    def write_files(target: Path) -> None:
        for path in source.iterdir():
            if path.name not in ("model.json", "support.json"):
                content = path.read_bytes()
                if path.name == "defaults.json":
                    told = json.loads(content)
                    del told["car"]
                    content = json.dumps(told).encode()
                if path.name == "hedonic.json":
                    told = json.loads(content)
                    del told["scales"]
                    for block in NEWER_BLOCKS:
                        del told["coefficients"][block]
                    content = json.dumps(told).encode()
                (target / path.name).write_bytes(content)

    manifest = json.loads((source / "model.json").read_text(encoding="utf-8"))
    made = {"format_version", "files", "checksum"}
    write_folder(old, {k: v for k, v in manifest.items() if k not in made}, write_files)
    return PriceModel.load(old)


@pytest.fixture(scope="module")
def car(model: PriceModel) -> dict[str, Any]:
    """A car whose model is a kind of its own."""
    kinds = {kind: one.rows for kind, one in model.support.seen.items() if "|" in kind}
    kind = max(kinds, key=lambda kind: kinds[kind])
    make, name = kind.split("|")
    return {"make": make, "model": name, "year": 2019.0, "odometer": 45_000.0}


def steep(model: PriceModel, kind: str, by_a: float = 2.0) -> PriceModel:
    """Return a model in which one kind's price changes wildly with age."""
    known = model.hedonic.coefficients
    coefficients = known | {"model_a": known["model_a"] | {kind: by_a}}
    return replace(model, hedonic=replace(model.hedonic, coefficients=coefficients))


def with_ages(model: PriceModel, kind: str, low: float, high: float) -> PriceModel:
    seen = model.support.seen
    one = replace(seen[kind], age=(low, high))
    return replace(model, support=replace(model.support, seen=seen | {kind: one}))


def width(value: Valuation) -> float:
    return math.log(value.price_high / value.price_low)


def test_it_learns_what_kinds_of_enough_rows_have(model: PriceModel, finished) -> None:
    features, log_price = read_features(finished[0].train_features)
    assert Support.fit(features, log_price) == model.support
    learned, seen = pd.read_parquet(finished[0].train_listings), model.support.seen
    assert seen[""].price == pytest.approx((learned["price"].min(), learned["price"].max()))
    models = {kind for kind in seen if "|" in kind}
    assert 0 < len(models) < learned["model"].nunique()
    assert min(seen[kind].rows for kind in models) >= FEWEST_ROWS


def test_beyond_the_ages_of_its_model_a_car_follows_the_market(
    model: PriceModel, car: dict
) -> None:
    kind = f"{car['make']}|{car['model']}"
    odd = with_ages(steep(model, kind), kind, 2, 7)
    inside, at_edge, beyond = (
        odd.pricer.value(car | {"year": 2025.0 - age}) for age in (7.0, 8.0, 14.0)
    )
    wild = steep(model, kind).pricer.value(car | {"year": 2011.0})
    assert beyond.predicted_price < at_edge.predicted_price
    assert beyond.predicted_price < wild.predicted_price
    assert [one.field for one in inside.cautions + at_edge.cautions if one.field == "year"] == []
    told = [one for one in beyond.cautions if one.field == "year"]
    assert [one.kind for one in told] == ["out_of_range"]
    assert "an age of 14 years is far from what training had of" in told[0].message
    assert "priced as at the edge of that, 8 years, with a wider range" in told[0].message
    assert width(beyond) > width(at_edge)


def test_far_beyond_its_models_longest_distance_a_car_follows_the_market(
    model: PriceModel, car: dict
) -> None:
    kind = f"{car['make']}|{car['model']}"
    seen = model.support.seen
    one = replace(seen[kind], odometer=(5_000.0, 60_000.0))
    odd = replace(model, support=replace(model.support, seen=seen | {kind: one}))
    near, far = (odd.pricer.value(car | {"odometer": km}) for km in (85_000.0, 240_000.0))
    assert [one.field for one in near.cautions] == []
    assert "240,000 km is far from what training had of" in far.cautions[0].message
    assert "priced as at the edge of that, 90,000 km" in far.cautions[0].message
    assert width(far) > width(near)


@pytest.mark.parametrize(
    ("field", "name", "number"),
    [("ownership", "ownership", 15.0), ("fitness_age", "fitness_age", 90.0)],
)
def test_a_number_beyond_those_of_training_counts_as_the_nearest_with_a_wider_range(
    field: str, name: str, number: float, model: PriceModel, car: dict
) -> None:
    most = model.trained_on[name][1]
    at_edge, beyond = (model.pricer.value(car | {field: each}) for each in (most, number))
    assert beyond.predicted_price == at_edge.predicted_price
    assert width(beyond) > 1.02 * width(at_edge)
    assert [one.kind for one in beyond.cautions] == ["out_of_range"]
    columns = {key: [value] for key, value in (car | {field: number}).items()}
    parsed = model.predict_features(model.parse(columns)).price
    assert parsed[0] == pytest.approx(beyond.predicted_price, abs=0.01)


@pytest.mark.parametrize(
    ("prices", "is_moved"),
    [((0.5, 0.8), False), ((1.2, 2.0), False), ((0.01, 0.1), True), ((10.0, 20.0), True)],
)
def test_a_price_outside_of_its_kinds_is_told_and_far_outside_moved(
    prices: tuple[float, float], is_moved: bool, model: PriceModel, car: dict
) -> None:
    kind, usual = f"{car['make']}|{car['model']}", model.pricer.value(car)
    seen = model.support.seen
    low, high = (share * usual.predicted_price for share in prices)
    one = replace(seen[kind], price=(low, high))
    odd = replace(model, support=replace(model.support, seen=seen | {kind: one}))
    valued = odd.pricer.value(car)
    expected = min(max(usual.predicted_price, low / 2), 2 * high)
    low, high = model.support.seen[""].price or (0, 0)
    expected = min(max(expected, low), high)
    expected *= (usual.predicted_price / expected) ** 0.01
    assert valued.predicted_price == pytest.approx(expected, rel=1e-6)
    assert math.isclose(expected, usual.predicted_price) != is_moved
    (told,) = valued.cautions
    assert (told.kind, told.field) == ("out_of_range", "model")
    assert f"a price of {usual.predicted_price:,.2f} is outside" in told.message
    assert ("moved to" in told.message) == is_moved
    assert width(valued) > width(usual)


@pytest.mark.parametrize("year", [1900.0, 1950.0, 1985.0, 2025.0])
@pytest.mark.parametrize("which", ["model", "of_before"])
def test_no_price_leaves_the_market(
    year: float, which: str, finished, request: pytest.FixtureRequest
) -> None:
    model: PriceModel = request.getfixturevalue(which)
    low, high = model.trained_on["price"]
    cars = pd.read_parquet(finished[0].test_listings).assign(year=year, listed_on=pd.NaT)
    for by_a in (2.0, -2.0):
        known = model.hedonic.coefficients
        slopes = dict.fromkeys(known["model_a"], by_a)
        wild = replace(
            model, hedonic=replace(model.hedonic, coefficients=known | {"model_a": slopes})
        )
        price = wild.predict(as_columns(cars)).price
        assert price.min() >= low * 0.8
        assert price.max() <= high / 0.8


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("which", ["model", "of_before"])
def test_an_unseen_make_has_a_range_as_wide_as_the_market(
    confidence: float, which: str, car: dict, finished, request: pytest.FixtureRequest
) -> None:
    model: PriceModel = request.getfixturevalue(which)
    found = model.pricer.value(car | {"make": "Ferrari", "model": "488"}, confidence)
    tail = (1 - confidence) / 2
    learned = pd.read_parquet(finished[0].train_listings)["price"]
    low, high = learned.quantile([tail, 1 - tail])
    slack = 1.001 if which == "model" else 2.0
    assert found.price_low <= low * slack
    assert found.price_high >= high / slack
    assert [one.kind for one in found.cautions][:1] == ["unseen_make"]


def test_a_folder_of_before_prices_and_explains(
    of_before: PriceModel, model: PriceModel, finished
) -> None:
    columns = as_columns(pd.read_parquet(finished[0].test_listings))
    known = model.hedonic.coefficients | {name: {} for name in NEWER_BLOCKS}
    same = replace(model, hedonic=replace(model.hedonic, coefficients=known))
    before, now = (one.predict(columns).price for one in (of_before, same))
    assert np.isclose(before, now).mean() > 0.98
    assert [one.price for one in of_before.explain(columns)] == pytest.approx(before)
    seen = of_before.support.seen
    assert {kind for kind in seen if "|" in kind} == {k for k in model.support.seen if "|" in k}
    assert seen[""] == Seen(
        model.support.seen[""].rows,
        *(of_before.trained_on[name] for name in ("age", "odometer", "price")),
    )
