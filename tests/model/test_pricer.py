import datetime
import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from carprice.listings.units import KM_PER_MILE
from carprice.model import PriceModel
from carprice.model.pricer import SinglePricer
from carprice.model.valuation import Valuation, value
from carprice.sample.market import generate
from carprice.schema import FIELDS, REFERENCE_EQUIPMENT, REQUIRED, Listing, alias

ROWS = 1000
CAR = {
    "make": "Maruti",
    "model": "Swift",
    "variant": "VXI AMT",
    "year": 2019,
    "transmission_type": "Automatic",
    "fuel_type": "Petrol",
    "ownership": 1,
    "odometer": 42_000.0,
    "features": ("Bluetooth", "AlloyWheels"),
    "seats": 5.0,
}
ODD = {
    "make": ("Marutti", "Nobody", "  mARUTI "),
    "model": ("Swiift", "Never", "a|b"),
    "variant": ("NEVER 9", "---", "VXI 1.2 AMT 4WD", "ZXI+"),
    "odometer": (0.0, 5.0, 600_000.0, 1e7, 250_000.0),
    "year": (1900, 1985, 1999, 2026, 2027, 2100),
    "fuel_type": ("Steam",),
    "drive": ("AWD", "4x4"),
    "seller_type": ("Dealer",),
    "features": (
        (),
        ("Bluetooth", "Flux capacitor"),
        ("a|b", "", "Bluetooth"),
        REFERENCE_EQUIPMENT,
    ),
    "ownership": (0, 15),
    "engine_cc": (0.0, 20_000.0, 1248.0),
    "power_bhp": (0.0, 2500.0),
    "cylinders": (4.0, 12.0),
    "seats": (1.0, 4.333333333, 60.0),
    "fuel_economy": (0.0, 21.2),
    "road_tax": (145.0, 1e9),
    "fitness_age": (7.123456789, 50.0),
    "listed_on": (
        datetime.date(2015, 3, 1),
        datetime.date(2024, 12, 31),
        datetime.date(2030, 1, 1),
    ),
}


@pytest.fixture(scope="module")
def model(finished) -> PriceModel:
    return PriceModel.load(finished[0].model)


@pytest.fixture(scope="module")
def rich(model: PriceModel) -> PriceModel:
    """A model that has coefficients of every kind, also of those that the sample lacks."""
    known = {name: dict(terms) for name, terms in model.hedonic.coefficients.items()}
    known["engine"] |= {"fuel_economy": 0.2, "road_tax": -0.1, "seats": 0.3, "power_bhp": 0.4}
    known["seller"] |= {"dealer": 0.1}
    known["drive"] |= {"awd": 0.2}
    known["fitness"] |= {"7.12346": -0.3}
    known["model_engine"] |= {"maruti|swift|1.2||": 0.1}
    known["extent_a"] |= {"many": 0.05}
    known["owners"] |= {"owners": -0.1, "second": -0.05, "third": 0.02}
    return replace(model, hedonic=replace(model.hedonic, coefficients=known))


def in_miles(model: PriceModel) -> PriceModel:
    market = replace(model.market, distance_unit="miles")
    return replace(model, market=market, hedonic=replace(model.hedonic, km_per_unit=KM_PER_MILE))


def without(model: PriceModel, *blocks: str) -> PriceModel:
    """Return the model as one of a market that has nothing for some blocks."""
    known = model.hedonic.coefficients | {name: {} for name in blocks}
    return replace(model, hedonic=replace(model.hedonic, coefficients=known))


def listings(rows: int, seed: int) -> list[dict[str, Any]]:
    """Return valid listings of which many lack something, and many are odd."""
    rng = np.random.default_rng(seed)
    made = []
    for row in generate(2 * rows, seed).to_dict("records"):
        fields = {name: row.get(alias(name)) for name in FIELDS}
        fields["features"] = tuple(name for name in REFERENCE_EQUIPMENT if row[name])
        fields["listed_on"] = row["listedOn"].date()
        for name, odd in ODD.items():
            if rng.random() < 0.08:
                fields[name] = odd[rng.integers(len(odd))]
        for name in set(FIELDS) - set(REQUIRED):
            if rng.random() < 0.15 or fields[name] != fields[name]:
                fields[name] = None
        if 1900 <= fields["year"] <= 2100:
            made.append(vars(Listing.model_construct(**fields)))
    return made[:rows]


def by_columns(model: PriceModel, fields: Mapping[str, Any], confidence: float) -> Valuation:
    (answer,) = value(model, {name: [fields.get(name)] for name in FIELDS}, confidence)
    return answer


def agree(model: PriceModel, pricer: SinglePricer, fields: Mapping, confidence: float) -> None:
    found, expected = pricer.value(fields, confidence), by_columns(model, fields, confidence)
    assert astuple(found)[:3] == pytest.approx(astuple(expected)[:3], abs=0.01, rel=1e-9), fields
    assert found.valuation_date == expected.valuation_date
    assert found.cautions == expected.cautions


@pytest.mark.parametrize("seed", [1, 2])
def test_it_agrees_with_the_valuation_of_columns(seed: int, rich: PriceModel) -> None:
    pricer, rng = SinglePricer(rich), np.random.default_rng(seed)
    warned = set()
    for fields in listings(ROWS, seed):
        agree(rich, pricer, fields, round(rng.uniform(0.5, 0.99), 3))
        warned |= {one.kind for one in pricer.value(fields).cautions}
    kinds = {"unseen_make", "unseen_model", "unseen_variant", "implausible", "out_of_range"}
    assert warned == kinds


def test_it_agrees_at_every_confidence(model: PriceModel) -> None:
    pricer = SinglePricer(model)
    for percent in range(50, 100):
        agree(model, pricer, CAR, percent / 100)
        agree(model, pricer, CAR | {"model": "Never"}, percent / 100)


@pytest.mark.parametrize(
    "blocks",
    [
        ("trim", "variant", "word", "model_word"),
        ("fitness", "fitness_a", "engine", "model_engine"),
        ("equipment", "equipment_a", "extent", "extent_a"),
        ("model_a", "model_a2", "model_so", "make_a"),
    ],
)
def test_it_agrees_where_a_market_lacks_blocks(blocks: tuple[str, ...], rich: PriceModel) -> None:
    poor = without(rich, *blocks)
    pricer = SinglePricer(poor)
    for fields in listings(100, seed=3):
        agree(poor, pricer, fields, 0.9)


def test_it_agrees_in_a_market_of_miles(rich: PriceModel) -> None:
    miles = in_miles(rich)
    pricer = SinglePricer(miles)
    for fields in listings(200, seed=4):
        agree(miles, pricer, fields, 0.8)
    assert pricer.value(CAR) != SinglePricer(rich).value(CAR)


def test_it_agrees_where_odometers_stay_unknown(rich: PriceModel) -> None:
    unknown = np.full_like(rich.defaults.odometer_by_age, np.nan)
    model = replace(rich, defaults=replace(rich.defaults, odometer_by_age=unknown))
    pricer = SinglePricer(model)
    for fields in listings(200, seed=5):
        agree(model, pricer, fields, 0.9)


@pytest.mark.parametrize(
    "change",
    [{name: None} for name in FIELDS if name not in {"make", "model", "year"}]
    + [{name: given} for name, odd in ODD.items() for given in odd]
    + [
        {"year": 2025, "odometer": 5.0},
        {"make": "Nobody", "model": "Swift", "variant": None},
        {"make": "", "model": ""},
        {"model": "Never", "variant": None, "fuel_type": None, "ownership": None},
        {"variant": "VXI 1.2", "engine_cc": None},
        {"engine_cc": 1250.0},
        {"odometer": math.nan, "seats": math.nan, "engine_cc": math.nan},
        {"power_bhp": 83, "cylinders": 4, "seats": 5},
        {"feature_count": 3, "price": 1.0},
    ],
)
def test_edges(change: dict[str, Any], rich: PriceModel) -> None:
    agree(rich, SinglePricer(rich), CAR | change, 0.9)


def test_absent_is_the_same_as_none(model: PriceModel) -> None:
    pricer = SinglePricer(model)
    bare = {name: CAR[name] for name in REQUIRED}
    assert pricer.value(bare) == pricer.value(dict.fromkeys(FIELDS) | bare)


def test_it_prices_a_listing_as_validated(model: PriceModel) -> None:
    listing = Listing(make="Maruti", model="Swift", year=2019, odometer=42_000, features="A, B")
    agree(model, SinglePricer(model), listing.__dict__, 0.9)


def test_one_car_leaves_nothing_to_the_next(model: PriceModel) -> None:
    pricer = SinglePricer(model)
    before = pricer.value(CAR)
    for fields in listings(50, seed=6):
        pricer.value(fields)
    assert pricer.value(CAR) == before == SinglePricer(model).value(CAR)


def test_threads_do_not_mix_cars(model: PriceModel) -> None:
    pricer, cars = SinglePricer(model), listings(50, seed=7)
    expected = [pricer.value(car) for car in cars]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(pricer.value, cars * 10)) == expected * 10


@pytest.mark.parametrize("confidence", [0.0, 0.49, 0.991, 1.0, math.nan])
def test_a_confidence_outside_is_the_same_error(confidence: float, model: PriceModel) -> None:
    with pytest.raises(ValueError, match="it must be from 0") as expected:
        by_columns(model, CAR, confidence)
    with pytest.raises(ValueError, match="it must be from 0") as found:
        SinglePricer(model).value(CAR, confidence)
    assert str(found.value) == str(expected.value)


def test_in_a_market_without_variants_one_that_is_given_changes_nothing(tmp_path: Path) -> None:
    from carprice.components.ingest import ingest
    from carprice.components.train import train
    from carprice.components.transform import transform
    from carprice.components.workspace import Workspace
    from carprice.settings import Settings

    settings = Settings.model_validate(
        {
            "ingest": {"sample": {"rows": 1000}, "columns": {"variant": None}},
            "train": {"folds": 2, "booster": {"n_estimators": 20, "max_depth": 3}},
        }
    )
    workspace = Workspace(tmp_path)
    ingest(settings.ingest, workspace, lambda _: None)
    transform(workspace)
    train(settings.train, workspace, lambda _: None)
    market = PriceModel.load(workspace.model)
    assert not market.knows_variants
    car = {"make": "Maruti", "model": "Swift", "year": 2019.0, "odometer": 42000.0}
    given = {**car, "variant": "VXI 1.2 AMT"}
    columns = [{name: [text] for name, text in one.items()} for one in (car, given)]
    alone, among = SinglePricer(market), [value(market, one)[0] for one in columns]
    assert alone.value(given) == alone.value(car) == among[0] == among[1]
