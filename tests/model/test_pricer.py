import datetime
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, replace
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd
import pytest

from carprice.listings.features import CAR_CATEGORIES, Features, listings_of
from carprice.listings.frames import as_columns, read_features
from carprice.model import PriceModel
from carprice.model import pricer as pricer_module
from carprice.model.blocks import BLOCKS
from carprice.model.car import Car, CarType
from carprice.model.hedonic import KM_KNOTS, Hedonic
from carprice.model.hedonic_fit import bases_of, km_of, texts_of
from carprice.model.pricer import Pricer, Valuation
from carprice.model.worth import RidgeLookups
from carprice.sample.market import generate
from carprice.schema import FIELDS, REFERENCE_EQUIPMENT, REQUIRED, Listing, alias
from carprice.settings import TrainSettings

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


EDGES = [
    *({name: None} for name in FIELDS if name not in {"make", "model", "year"}),
    *({name: given} for name, odd in ODD.items() for given in odd),
    {"year": 2025, "odometer": 5.0},
    {"make": "Nobody", "model": "Swift", "variant": None},
    {"make": "", "model": ""},
    {"model": "Never", "variant": None, "fuel_type": None, "ownership": None},
    {"variant": "VXI 1.2", "engine_cc": None},
    {"engine_cc": 1250.0},
    {"odometer": math.nan, "seats": math.nan, "engine_cc": math.nan},
    {"power_bhp": 83, "cylinders": 4, "seats": 5},
    {"feature_count": 3, "price": 1.0},
]


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
    return replace(
        model, market=market, hedonic=replace(model.hedonic, km_per_unit=market.km_per_unit)
    )


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


def odd_listings(rows: int, seed: int) -> list[dict[str, Any]]:
    return [*listings(rows, seed), *(CAR | change for change in EDGES)]


def with_unknown_odometers(model: PriceModel) -> PriceModel:
    unknown = np.full_like(model.defaults.odometer_by_age, np.nan)
    return replace(model, defaults=replace(model.defaults, odometer_by_age=unknown))


MARKETS = {
    "rich": lambda rich: rich,
    "in miles": in_miles,
    "odometers unknown": with_unknown_odometers,
    "no variants": lambda rich: without(rich, "trim", "variant", "word", "model_word"),
    "no engines": lambda rich: without(rich, "fitness", "fitness_a", "engine", "model_engine"),
    "no equipment": lambda rich: without(rich, "equipment", "equipment_a", "extent", "extent_a"),
    "few ages": lambda rich: without(rich, "model_a", "model_a2", "model_so", "make_a"),
}


@pytest.fixture(scope="module", params=MARKETS)
def market(request: pytest.FixtureRequest, rich: PriceModel) -> PriceModel:
    return MARKETS[request.param](rich)


def test_a_listing_is_read_for_a_price_as_for_training(market: PriceModel) -> None:
    cars = odd_listings(300, seed=1)
    columns = {name: [car.get(name) for car in cars] for name in FIELDS}
    trained, priced = market.predict_features(market.parse(columns)), market.pricer.prices(cars)
    assert np.array_equal(trained.price, priced.price)
    # Columns of training do not say what was odd: a value never seen is missing there.
    odd = [any(c.kind == "unseen_value" for c in market.pricer.value(one).cautions) for one in cars]
    for side in ("low", "high"):
        there, here = getattr(trained, side), getattr(priced, side)
        assert np.array_equal(there[~np.array(odd)], here[~np.array(odd)]), side


def by_formula(hedonic: Hedonic, pricer: Pricer, cars: list[dict[str, Any]]) -> np.ndarray:
    """Sum up the ridge block by block (docs/model.md); one row a car, one column a factor."""
    return np.array([[*contributions(hedonic, pricer, car).values()] for car in cars])


def contributions(hedonic: Hedonic, pricer: Pricer, fields: dict[str, Any]) -> dict[str, float]:
    read = pricer._read(fields)
    features = features_of(read.known.car_type, read.car)
    found = texts_of(features, hedonic.oldest)
    texts = {name: one.different[one.codes[0]] for name, one in found.items()}
    bases = bases_of(features.numbers, hedonic.km_per_unit, hedonic.oldest)
    total = dict.fromkeys(hedonic.typical, 0.0)
    for block in BLOCKS:
        known, text = hedonic.coefficients[block.name], texts[block.text]
        terms = [(term, value) for term, value in block.terms(text) if term in known]
        weights = [hedonic.idf.get(block.name, {}).get(term, 1.0) for term, _ in terms]
        length = math.hypot(*weights) if block.idf and terms else 1.0
        worth = sum(
            known[term] * value * weight / length
            for (term, value), weight in zip(terms, weights, strict=True)
        )
        if block.name in ("make", "model") and text not in known:
            usual = hedonic.usual[block.name]
            worth = usual.get(texts["make"], usual[""])
        if known:
            total[block.factor] += worth * bases[block.basis].item()
    words, usual = hedonic.coefficients["word"], hedonic.usual.get("variant")
    if words and usual and not {*texts["words"].split()} & {*words}:
        keys = (texts["model"], texts["make"], "")
        total["variant"] = next(usual[key] for key in keys if key in usual)
    age, km = features.numbers["age"].item(), km_of(features.numbers, hedonic.km_per_unit)
    total["age"] += hedonic.by_age[int(min(age, hedonic.oldest))]
    total["distance"] += np.interp(km, KM_KNOTS, hedonic.by_distance).item()
    return total


def features_of(car_type: CarType, car: Car) -> Features:
    categories = dict(zip(CAR_CATEGORIES, car.categories, strict=True))
    return Features(
        {name: [text] for name, text in (car_type.texts | categories).items()},
        {name: np.array([number]) for name, number in car.numbers.items()},
        ["|".join(car.equipment)],
    )


def test_the_ridge_is_the_sum_of_its_blocks(market: PriceModel) -> None:
    pricer, hedonic, cars = market.pricer, market.hedonic, odd_listings(200, seed=2)
    reads = [*map(pricer._read, cars)]
    places = [(one.car.numbers["age"], one.car.numbers["odometer"]) for one in reads]
    beyond = [
        pricer._support.beyond(one.known.support, *place)[0]
        for one, place in zip(reads, places, strict=True)
    ]
    told = [read.ridge - added for read, added in zip(reads, beyond, strict=True)]
    expected = by_formula(hedonic, pricer, cars)
    assert told == pytest.approx(hedonic.intercept + expected.sum(axis=1), abs=1e-12)
    apart = [pricer.subject(car).log_price for car in cars]  # of the same tables, in another order
    assert apart == pytest.approx([read.ridge for read in reads], abs=1e-12)
    ridges = [RidgeLookups(hedonic.part(factor)) for factor in hedonic.typical]
    for read, by_factor in zip(reads, expected, strict=True):
        of_type, car = read.known.car_type, read.car
        parts = [part.log_price(part.of_type(of_type), car) for part in ridges]
        assert parts == pytest.approx(by_factor, abs=1e-12)


def test_many_are_valued_as_one_by_one(rich: PriceModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pricer_module, "_CHUNK_ROWS", 300)
    pricer, cars = rich.pricer, odd_listings(ROWS, seed=3)
    warned = set()
    for car, among in zip(cars, pricer.value_all(iter(cars), 0.83), strict=True):
        alone = pricer.value(car, 0.83)
        assert astuple(alone)[:3] == pytest.approx(astuple(among)[:3], abs=0.01, rel=1e-9), car
        assert alone.valuation_date == among.valuation_date
        assert alone.cautions == among.cautions
        warned |= {one.kind for one in alone.cautions}
    unseen = {f"unseen_{what}" for what in ("make", "model", "variant", "value")}
    assert warned == {*unseen, "implausible", "out_of_range"}


@pytest.mark.parametrize(
    ("change", "factors"),
    [
        ({}, []),
        ({"variant": None}, ["variant"]),
        ({"model": "Never"}, ["model", "variant"]),
        ({"make": "Nobody", "model": "Never"}, ["make", "model", "variant"]),
        ({"fuel_type": None, "transmission_type": None}, ["fuel and gearbox"]),
        ({"ownership": None}, ["owners"]),
        ({"odometer": None}, ["distance"]),
        ({"odometer": 700_000.0, "ownership": math.nan}, ["distance", "owners"]),
    ],
)
def test_what_is_unknown_widens_the_range_by_its_variance(
    change: dict[str, Any], factors: list[str], model: PriceModel
) -> None:
    pricer, confidence, car = model.pricer, 0.8, CAR | {"year": 2017} | change
    prices = pricer.prices([car], confidence)
    read = pricer._read(car)
    _, log_scale = pricer._trees.of_one(read)
    band = np.searchsorted([3.5, 6.5, 9.5], read.car.given["age"])
    variance = sum(model.hedonic.spread[factor] for factor in factors)
    unknown = NormalDist().inv_cdf(0.9) * math.sqrt(variance)
    offsets = model.ranges.at(confidence)
    ends = (prices.low, offsets.low), (prices.high, offsets.high)
    for (side, offset), market in zip(ends, model.support.at(confidence), strict=True):
        expected = math.hypot(offset[band] * math.exp(log_scale), unknown)
        if "make" in factors:
            expected = max(expected, abs(market - math.log(prices.price.item())))
        assert abs(math.log(side.item() / prices.price.item())) == pytest.approx(expected, rel=1e-6)


def test_it_prices_a_listing_as_validated(model: PriceModel) -> None:
    listing = Listing(make="Maruti", model="Swift", year=2019, odometer=42_000, features="A, B")
    plain = {"make": "Maruti", "model": "Swift", "year": 2019, "odometer": 42_000.0}
    expected = model.pricer.value(plain | {"features": ("A", "B")})
    assert model.pricer.value(vars(listing)) == expected


def test_one_car_leaves_nothing_to_the_next_nor_to_another_thread(model: PriceModel) -> None:
    pricer, cars = Pricer(model), listings(50, seed=7)
    expected = [Pricer(model).value(car) for car in cars]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(pricer.value, cars * 10)) == expected * 10


@pytest.mark.parametrize("confidence", [0.0, 0.49, 0.991, 1.0, math.nan])
def test_a_confidence_outside_is_an_error(confidence: float, model: PriceModel) -> None:
    pricer = model.pricer
    for ask in (
        lambda: pricer.value(CAR, confidence),
        lambda: next(pricer.value_all([CAR], confidence)),
        lambda: pricer.prices([CAR], confidence),
    ):
        with pytest.raises(ValueError, match=f"confidence is {confidence}; it must be from 0.5"):
            ask()


def test_in_a_market_without_variants_one_that_is_given_changes_nothing(
    model: PriceModel, finished
) -> None:
    columns = as_columns(pd.read_parquet(finished[0].train_listings))
    nameless = {field: values for field, values in columns.items() if field != "variant"}
    settings = TrainSettings.model_validate(
        {"folds": 2, "booster": {"n_estimators": 20, "max_depth": 3}}
    )
    log_price = read_features(finished[0].train_features)[1]
    market = PriceModel.fit(model.parse(nameless), log_price, model.market, settings)
    assert not market.knows_variants
    car = {"make": "Maruti", "model": "Swift", "year": 2019.0, "odometer": 42000.0}
    given = {**car, "variant": "VXI 1.2 AMT"}
    among = [*market.pricer.value_all([car, given])]
    assert market.pricer.value(given) == market.pricer.value(car) == among[0] == among[1]
    assert among[1].cautions == ()


@pytest.fixture(scope="module")
def car(finished) -> dict[str, Any]:
    listings = pd.read_parquet(finished[0].train_listings)
    listings = listings.dropna(axis=1, how="all").dropna()
    usual = listings[listings["year"].between(2015, 2020)]
    usual = usual[usual["model"] == usual["model"].mode()[0]].sort_values("price")
    known = usual.iloc[len(usual) // 2].drop("price").to_dict()
    return known | {"listed_on": None, "ownership": 1.0}


def valued(model: PriceModel, car: dict[str, Any], /, **change: Any) -> Valuation:
    return model.pricer.value(car | change)


def test_a_car_like_those_of_training_has_no_warning(model: PriceModel, car: dict) -> None:
    assert valued(model, car).cautions == ()


UNSEEN = "{} was not in the training data; priced like {} on average"


@pytest.mark.parametrize(
    ("change", "kind", "field", "message"),
    [
        ({"make": "Nobody"}, "unseen_make", "make", UNSEEN.format("make 'Nobody'", "every make")),
        (
            {"make": "Marutti", "model": "Never"},
            "unseen_make",
            "make",
            UNSEEN.format("make 'Marutti'", "every make") + "; nearest known: maruti",
        ),
        ({"model": "Never"}, "unseen_model", "model", UNSEEN.format("model 'Never'", "its make")),
        (
            {"make": "Maruti", "model": "Swiift", "variant": "NEVER 9"},
            "unseen_model",
            "model",
            UNSEEN.format("model 'Swiift'", "its make") + "; nearest known: swift",
        ),
        (
            {"variant": "NEVER 9"},
            "unseen_variant",
            "variant",
            UNSEEN.format("variant 'NEVER 9'", "its model"),
        ),
        (
            {"odometer": 900_000.0, "year": 2019},
            "implausible",
            "odometer",
            "900,000 km cannot be right for a car of 6 years; priced as if it were not known",
        ),
        ({"odometer": 5.0}, "implausible", "odometer", "priced as if it were not known"),
        ({"odometer": 6e5, "year": 2016}, "out_of_range", "odometer", "odometer 600000 is outside"),
        ({"ownership": 15.0}, "out_of_range", "ownership", "ownership 15 is outside 1–"),
        ({"engine_cc": 9900.0}, "out_of_range", "engineCc", "is outside"),
        (
            {"engine_cc": 1.2},
            "out_of_range",
            "engineCc",
            "engineCc 1.2 cannot be cubic centimetres; priced as if it were not known; give cubic "
            "centimetres, not litres",
        ),
        ({"power_bhp": 2000.0}, "out_of_range", "powerBhp", "powerBhp 2000 is outside"),
        ({"seats": 50.0}, "out_of_range", "seats", "what the model has seen"),
        (
            {"listed_on": datetime.date(2030, 1, 1), "year": 2025},
            "out_of_range",
            "listedOn",
            "2030-01-01 is far from 2025-06-",
        ),
        ({"year": 1950}, "out_of_range", "year", "an age of 75 years is outside 0–"),
        (
            {"year": 2030, "odometer": 9000.0},
            "implausible",
            "year",
            "2030 is after the day of the price; priced as a new car",
        ),
    ],
)
def test_a_warning_names_its_kind_field_and_what_was_done(
    change: dict[str, Any], kind: str, field: str, message: str, model: PriceModel, car: dict
) -> None:
    warnings = valued(model, car, **change).cautions
    told = {(one.kind, one.field): one.message for one in warnings}
    assert {*told} - {("out_of_range", "model")} == {(kind, field)}  # a far price is told as well
    assert message in told[kind, field]


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


def test_a_distance_is_not_used_where_training_had_none(model: PriceModel, car: dict) -> None:
    trained_on = {name: limits for name, limits in model.trained_on.items() if name != "odometer"}
    without = replace(model, trained_on=trained_on)
    unknown = valued(without, car, odometer=None)
    assert unknown.prices == valued(model, car, odometer=None).prices
    for odometer in (0.0, 40_000.0, 900_000.0):
        given = valued(without, car, odometer=odometer)
        assert given.prices == unknown.prices != valued(model, car, odometer=40_000.0).prices
        (caution,) = given.cautions
        assert (caution.kind, caution.field) == ("not_used", "odometer")
        columns = {field: [value] for field, value in {**car, "odometer": odometer}.items()}
        assert without.predict(columns).price == pytest.approx(unknown.predicted_price, abs=0.01)


def test_one_car_may_have_several_warnings(model: PriceModel, car: dict) -> None:
    warnings = valued(model, car, variant="NEVER 9", odometer=9e5, ownership=15.0).cautions
    assert [one.kind for one in warnings] == ["unseen_variant", "implausible", "out_of_range"]


def test_the_price_is_for_the_day_of_the_listing_or_the_markets(
    model: PriceModel, car: dict
) -> None:
    day = datetime.date(2024, 12, 24)
    assert valued(model, car, listed_on=day).valuation_date == day
    assert valued(model, car, listed_on=None).valuation_date == model.market.valuation_date


def test_prices_are_those_of_the_model_rounded_to_a_hundredth(model: PriceModel, finished) -> None:
    columns = as_columns(pd.read_parquet(finished[0].test_listings).iloc[:20])
    prices = model.predict(columns, 0.8)
    for row, answer in enumerate(model.pricer.value_all(listings_of(columns), 0.8)):
        found = (answer.predicted_price, answer.price_low, answer.price_high)
        expected = (prices.price[row], prices.low[row], prices.high[row])
        assert found == pytest.approx(expected, abs=0.0051)
        assert all(round(side, 2) == side for side in found)


def test_of_made_up_types_few_are_kept(model: PriceModel, car: dict) -> None:
    pricer = Pricer(model)
    made_up = [{**car, "variant": f"NEVER {number}"} for number in range(1_100)]
    assert len([*pricer.explain_all(made_up)]) == 1_100
    for one in made_up:
        pricer.type_of(dict(pricer.texts_of(one)))
    for kept in (pricer._start, pricer._between):
        assert kept.cache_info().misses > 1_024
        assert kept.cache_info().currsize <= 1_024
    for kept in (pricer._hedonic, pricer._type_of):
        assert (kept.cache_info().maxsize or 0) == pricer._known.cache_info().maxsize
