"""Comparables: which listings are found, what they are brought to, and what is said of few."""

import datetime
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ranks import rank_of

from api.bodies import ComparablesAnswer
from carprice.appraisal import comparables
from carprice.appraisal.comparables import (
    COUNT,
    HALF,
    MOST,
    Comparables,
    comparables_of,
    ranks_of,
)
from carprice.listings.features import listings_of
from carprice.listings.frames import as_columns
from carprice.model import PriceModel, neighbours
from carprice.model import near_many as many
from carprice.model.blocks import (
    AGE,
    COLOUR,
    DISTANCE,
    MAKE_AND_MODEL,
    OWNERS,
    POWERTRAIN,
    VARIANT,
)
from carprice.model.explanation import by_factor, mixed, types_beside
from carprice.model.learned import names_a_car
from carprice.model.listing_store import NO_OWNERS, NOT_KEPT, ListingStore
from carprice.model.pricer import Listing
from carprice.model.subject import DATE, STEPS

ODD: list[dict[str, Any]] = [
    {"make": "Nobody"},
    {"model": "Never"},
    {"variant": "NEVER 9", "fuel_type": "Steam"},
    {"variant": None, "fuel_type": None, "transmission_type": None, "body_type": None},
    {"odometer": None},
    {"odometer": math.nan, "ownership": math.nan, "engine_cc": None, "power_bhp": None},
    {"odometer": 0.0},
    {"odometer": 1e7},
    {"year": 1900},
    {"year": 2100},
    {"listed_on": datetime.date(1999, 1, 1)},
    {"listed_on": datetime.date(2030, 1, 1), "year": 2029},
    {"engine_cc": 0.0, "power_bhp": 0.0, "seats": 60.0, "ownership": 15},
    {"features": ("Bluetooth", "a|b"), "color": "no colour"},
]

_KIND = ("variant", "fuel_type", "transmission_type")
OPTIONAL: list[tuple[str, ...]] = [
    *((), _KIND, *((name,) for name in _KIND)),
    (*_KIND, "body_type", "ownership", "engine_cc", "power_bhp", "seats", "color", "listed_on"),
]
"""Fields that a request leaves out."""


@pytest.fixture(scope="module")
def model(finished: Any) -> PriceModel:
    return PriceModel.load(finished[0].model)


@pytest.fixture(scope="module")
def store(model: PriceModel) -> ListingStore:
    assert model.listings is not None
    return model.listings


@pytest.fixture(scope="module")
def held_out(finished: Any) -> tuple[list[Listing], "np.ndarray[Any, np.dtype[np.float64]]"]:
    table = pd.read_parquet(finished[0].test_listings)
    return [*listings_of(as_columns(table))], table["price"].to_numpy(dtype=np.float64)


@pytest.fixture(scope="module")
def common(store: ListingStore) -> str:
    """The model with most listings."""
    return max(store.models, key=lambda name: store.models[name][1])


def as_asked(model: PriceModel, store: ListingStore, row: int) -> dict[str, Any]:
    """Return a kept listing as a request would have it."""
    _, odometer, code, days, numbers, categories, age, owners = store.records[row].item()
    texts = store.texts_of(code)
    day = model.market.valuation_date + datetime.timedelta(days=days)
    number = {name: float(column[numbers]) for name, column in store.numbers.items()}
    return {
        "make": texts["make"],
        "model": texts["model"].partition("|")[2],
        "variant": texts["model_variant"].split("|", 2)[2] or None,
        "transmission_type": texts["transmission"] or None,
        "body_type": texts["body"] or None,
        "fuel_type": texts["fuel"] or None,
        "year": float(day.year - age),
        "odometer": odometer,
        "ownership": None if owners == NO_OWNERS else float(owners),
        "engine_cc": number["litres"] * 1000,
        "power_bhp": number["power_bhp"],
        "seats": number["seats"],
        "listed_on": day,
    } | {name: column[categories] or None for name, column in store.categories.items()}


def cents(amount: float) -> int:
    """Return whole cents; of an amount that is not in cents there is an error."""
    whole = round(amount * 100)
    assert amount == whole / 100
    return whole


def check(found: Comparables) -> None:
    """Hold what is said of comparables against itself."""
    for one in found.listings:
        added = sum(cents(each.amount) for each in one.adjustments)
        assert added == cents(one.adjusted_price) - cents(one.asking_price)
        assert all(each.amount for each in one.adjustments)
        assert 0 < one.weight <= 1
        assert one.adjusted_price > 0
    weights = np.array([one.weight for one in found.listings])
    if len(weights):
        effective = weights.sum() ** 2 / (weights**2).sum()
        assert found.effective == pytest.approx(effective, abs=0.006)
        prices = [one.adjusted_price for one in found.listings]
        assert found.adjusted_price == pytest.approx(weights @ prices / weights.sum(), abs=0.01)
    else:
        assert (found.effective, found.adjusted_price) == (0, None)
        assert found.note


def test_the_amounts_of_every_listing_sum_to_the_cent(
    model: PriceModel, held_out: tuple[list[Listing], Any]
) -> None:
    some = held_out[0][:60]
    found = [comparables_of(model, listing) for listing in some]
    found += [comparables_of(model, {**some[0], **change}) for change in ODD]
    for one in found:
        check(one)
    assert sum(len(one.listings) for one in found) > 300
    names = {each.name for one in found for listing in one.listings for each in listing.adjustments}
    assert names == {
        *("make and model", "variant", "age", "distance", "fuel and gearbox", "owners", "colour"),
        "date",
    }
    in_reasons = {reason.name for reason in model.pricer.explain(some[0]).reasons}
    assert names - {"date"} <= in_reasons
    # equipment and fitness are not kept, and the sample tells neither condition nor seller
    assert in_reasons - names == {"equipment", "condition", "everything else"}


def test_what_a_difference_is_told_by_is_what_each_step_changes(
    model: PriceModel, held_out: tuple[list[Listing], Any]
) -> None:
    """Each step makes a car of the listing and the subject, and the ridge prices it whole."""
    pricer, near, steps = model.pricer, model.neighbours, set[str]()
    assert near is not None
    for place, listing in enumerate(held_out[0][:40]):
        odd = listing | (ODD[place % len(ODD)] if place % 2 else {})
        subject = pricer.subject(odd)
        own_type, own = subject.car_type, subject.car
        for kept in near.read(near.near(subject, COUNT).rows, own):
            kinds, car = (kept.car_type, kept.car), kept.car
            types = map(pricer.type_of, types_beside(own_type, kept.car_type))
            type_of = dict(zip((MAKE_AND_MODEL, VARIANT), types, strict=True))
            tells_distance = "odometer" in own.given or "odometer" in car.given
            of_factor = by_factor(tells_distance, tuple(own.numbers), len(own.categories))
            found, before = {}, pricer.hedonic_price(*kinds)
            for step in STEPS:
                numbers, places = of_factor.get(step, ((), ()))
                numbers = [name for name in numbers if name != "listed"]
                car = mixed(car, own, ["listed"] if step == DATE else numbers, places)
                after = pricer.hedonic_price(type_of.get(step, own_type), car)
                found[step], before = after - before, after
            told = subject.differences(kept.car_type, kept.car)
            assert dict.fromkeys(STEPS, 0.0) | told == pytest.approx(found, abs=1e-12)
            assert subject.log_price == pytest.approx(before, abs=1e-12)
            steps |= told.keys()
    assert steps >= {MAKE_AND_MODEL, VARIANT, POWERTRAIN, OWNERS, COLOUR, AGE, DISTANCE, DATE}


def test_a_price_is_brought_to_the_car_by_what_the_ridge_says_of_both(
    model: PriceModel, held_out: tuple[list[Listing], Any]
) -> None:
    pricer, near = model.pricer, model.neighbours
    assert near is not None
    for listing in held_out[0][:10]:
        own = pricer.read(listing)
        rows = near.near(pricer.subject(listing), COUNT, listing).rows
        kept = near.read(rows, own[1])
        expected = {
            kept.price
            * math.exp(pricer.hedonic_price(*own) - pricer.hedonic_price(kept.car_type, kept.car))
            for kept in kept
        }
        for one in comparables_of(model, listing).listings:
            assert min(abs(one.adjusted_price - price) for price in expected) < 0.006


@pytest.mark.parametrize(
    ("change", "factors"),
    [
        ({"odometer": 15_000.0}, {"distance"}),
        ({"year": -1.0}, {"age"}),
        ({"color": "Purple"}, {"colour"}),
        ({"ownership": 2.0}, {"owners"}),
        ({"body_type": "Sedan"}, {"make and model"}),
        ({"variant": "ZXI"}, {"variant"}),
        ({"engine_cc": 300.0}, {"fuel and gearbox"}),
        ({"listed_on": datetime.timedelta(days=-400), "year": -1.0}, {"date"}),
    ],
    ids=["distance", "age", "colour", "owners", "body", "variant", "engine", "date"],
)
def test_only_what_differs_is_adjusted_for(
    change: dict[str, Any],
    factors: set[str],
    model: PriceModel,
    store: ListingStore,
    common: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # else one of the same odometer is left out, whatever differs
    monkeypatch.setattr(neighbours, "names_a_car", lambda _: False)
    listings = store.places[common][1]
    row = next(
        row
        for row in range(listings.start, listings.stop)
        if store.records[row]["listed"] > -300
        and 3 <= store.records[row]["age"] <= 8
        and store.records[row]["owners"] == 1
        and model.pricer.read(as_asked(model, store, row))[1].categories[0]
    )
    same, own = as_asked(model, store, row), store.records[row]
    asked = dict(same)
    for name, value in change.items():
        asked[name] = value if isinstance(value, str) or name == "ownership" else same[name] + value
    if "date" in factors:  # a year older on the calendar, and listed a year before
        asked["year"] = float(asked["listed_on"].year - int(own["age"]))
    found = [
        one
        for one in comparables_of(model, asked, MOST).listings
        if one.asking_price == own["price"] and one.odometer == own["odometer"]
    ]
    assert len(found) == 1
    assert {each.name for each in found[0].adjustments} == factors


@pytest.fixture(scope="module")
def various(
    model: PriceModel, store: ListingStore, held_out: tuple[list[Listing], Any]
) -> list[Listing]:
    """Cars of each kind: held out, odd, and kept ones, some of which leave something out."""
    cars = held_out[0][:300]
    odd = [car | ODD[place % len(ODD)] for place, car in enumerate(held_out[0][:120])]
    kept = [as_asked(model, store, row) for row in range(0, len(store), max(len(store) // 150, 1))]
    less = [
        {name: value for name, value in car.items() if name not in OPTIONAL[place % len(OPTIONAL)]}
        for place, car in enumerate(kept)
    ]
    return [*cars, *odd, *kept, *less]


@pytest.mark.parametrize(
    "most", [(4_000, 1_000, 100_000, 8_000), (60, 6, 60, 120)], ids=["all", "some"]
)
def test_the_ranks_of_many_cars_are_those_of_each(
    most: tuple[int, int, int, int],
    model: PriceModel,
    various: list[Listing],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(neighbours, "_MOST_AT_ONCE", most[0])
    monkeypatch.setattr(neighbours, "_MOST_OF_AN_AGE", most[1])
    monkeypatch.setattr(many, "_PAIRS_AT_ONCE", most[2])
    monkeypatch.setattr(many, "_MOST_TOGETHER", most[3])
    monkeypatch.setattr(comparables, "_RANKED_AT_ONCE", most[1] * 50)
    afresh = replace(model)  # nothing is kept of other limits
    near = afresh.neighbours
    assert near is not None
    cars = [afresh.pricer.read(listing) for listing in various]
    together = many.near_many(near, cars, various, COUNT)
    for place, listing in enumerate(various):
        one = near.near(afresh.pricer.subject(listing), COUNT, listing)
        assert together.rows[together.place == place].tolist() == one.rows.tolist()
    asking = [afresh.pricer.value(listing).predicted_price for listing in various]
    found = ranks_of(afresh, various, asking)
    expected = [rank_of(afresh, *one) for one in zip(various, asking, strict=True)]
    assert found == expected
    assert sum(rank is not None and rank.place > 1 for rank in found) > 200
    assert None in found


def test_a_listing_of_which_little_is_kept_is_brought_to_the_car_alike(
    model: PriceModel, store: ListingStore, various: list[Listing]
) -> None:
    for steps, cars in (((3, 5), various), ((1, 1), various[::10])):
        records = store.records.copy()
        records["numbers"][:: steps[0]] = records["categories"][:: steps[1]] = NOT_KEPT
        less = replace(model, listings=replace(store, records=records))
        asking = [less.pricer.value(listing).predicted_price for listing in cars]
        expected = [rank_of(less, *one) for one in zip(cars, asking, strict=True)]
        assert ranks_of(less, cars, asking) == expected
        assert any(expected)


def test_there_are_no_ranks_of_no_cars_without_listings_or_of_unseen_makes(
    model: PriceModel, various: list[Listing]
) -> None:
    assert ranks_of(model, [], []) == []
    unseen = various[0] | {"make": "Nobody", "model": "Never"}
    assert ranks_of(model, [unseen, unseen], [1.0, 2.0]) == [None, None]
    assert ranks_of(replace(model, listings=None), various[:2], [1.0, 2.0]) == [None, None]


def test_the_likest_come_first_and_weigh_most(
    model: PriceModel, held_out: tuple[list[Listing], Any]
) -> None:
    near = model.neighbours
    assert near is not None
    for listing in held_out[0][:40]:
        found = comparables_of(model, listing)
        weights = [one.weight for one in found.listings if one.model == listing["model"].lower()]
        assert weights == sorted(weights, reverse=True)
        of_model = [one.model == listing["model"].lower() for one in found.listings]
        assert of_model == sorted(of_model, reverse=True)
        distances = near.near(model.pricer.subject(listing), COUNT, listing).distances
        expected = np.round(1 / (1 + (distances / HALF) ** 2), 4)
        assert {one.weight for one in found.listings} <= {*expected.tolist()}


@pytest.mark.parametrize("most", [(4_000, 1_000), (20, 4)], ids=["as it is", "of many listings"])
def test_a_listing_that_is_alike_in_all_is_found_whatever_the_number(
    most: tuple[int, int],
    model: PriceModel,
    store: ListingStore,
    common: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(neighbours, "_MOST_AT_ONCE", most[0])
    monkeypatch.setattr(neighbours, "_MOST_OF_AN_AGE", most[1])
    near = replace(model).neighbours  # nothing is kept of other limits
    assert near is not None
    listings = store.places[common][1]
    rows = range(listings.start, listings.stop)
    assert len(rows) > 50
    for row in rows:
        found = near.near(model.pricer.subject(as_asked(model, store, row)), 3)
        assert row in found.rows.tolist()
        assert found.distances[0] < 0.001


def rows_of(store: ListingStore, *, are_named: bool) -> list[int]:
    """Return the listings of cars that their odometer names, or of those that it does not."""
    odometers = store.records["odometer"].tolist()
    known = ((row, one) for row, one in enumerate(odometers) if not math.isnan(one))
    return [row for row, one in known if names_a_car(one) == are_named]


@pytest.mark.parametrize("left_out", OPTIONAL, ids=lambda names: ", ".join(names) or "nothing")
def test_the_car_itself_is_left_out_whatever_the_request_leaves_out(
    left_out: tuple[str, ...], model: PriceModel, store: ListingStore
) -> None:
    near = model.neighbours
    assert near is not None
    rows = rows_of(store, are_named=True)[::12] + rows_of(store, are_named=False)[::8]
    assert len(rows) > 60
    for row in rows:
        whole = as_asked(model, store, row)
        listing = {name: value for name, value in whole.items() if name not in left_out}
        own = model.pricer.subject(listing)
        found = near.near(own, COUNT, listing)
        is_named = names_a_car(whole["odometer"])
        if is_named or not left_out:
            assert row not in found.rows.tolist()
        if row in near.near(own, COUNT).rows.tolist():
            assert found.left_out >= 1
        if is_named and model.pricer.learned_from(listing):
            assert found.left_out >= 1 or row not in near.near(own, MOST).rows.tolist()


def test_a_car_of_no_age_may_be_of_the_next_year(
    model: PriceModel, store: ListingStore, common: str
) -> None:
    row = store.places[common][1].start
    records = store.records.copy()
    records[row]["age"], records[row]["listed"] = 0, -240  # in November of 2024
    young = replace(model, listings=replace(store, records=records))
    listing = as_asked(young, young.listings or store, row)
    assert (listing["year"], listing["listed_on"].year) == (2024, 2024)
    other = comparables_of(young, {**listing, "odometer": listing["odometer"] + 1}, MOST)
    own = [one for one in other.listings if one.odometer == listing["odometer"]]
    assert [one.year for one in own] == [None]
    assert any(one.year for one in other.listings)
    for year, left_out in ((2025.0, 1), (2024.0, 1), (2023.0, 0)):
        assert comparables_of(young, {**listing, "year": year}).left_out == left_out


def test_the_car_itself_is_not_counted_among_few(model: PriceModel, store: ListingStore) -> None:
    five = next(name for name, (_, n) in store.models.items() if n == 5)
    listing = as_asked(model, store, store.places[five][1].start)
    near = model.neighbours
    assert near is not None
    of_five = range(store.places[five][1].start, store.places[five][1].stop)
    found = near.near(model.pricer.subject(listing), COUNT, listing)
    assert found.left_out == 1
    assert len({*found.rows.tolist()} & {*of_five}) < 5
    assert {*found.rows.tolist()} - {*of_five}


def test_what_is_left_out_parts_no_listings(
    model: PriceModel, store: ListingStore, common: str
) -> None:
    """Only what the ridge says of the usual text, as the price is, not that it is another one."""
    near = model.neighbours
    assert near is not None
    listing = as_asked(model, store, store.places[common][1].start + 20)
    bare = {name: listing[name] for name in ("make", "model", "year", "odometer")}
    types = store.places[common][0]
    told, _ = model.pricer.read(bare)
    by_ridge = np.abs(store.levels[types] - model.pricer.level_of(told))
    assert np.allclose(near._between_types(common, told), by_ridge)
    unknown = {**bare, "odometer": None}
    subject = model.pricer.subject(unknown)
    assert not math.isnan(subject.car.numbers["odometer"])
    assert not near._by_engine(store.records[:50], subject.car).any()
    rows = store.records[store.places[common][1]]
    monotone = near._by_distance(rows, subject)
    known = near._by_distance(rows, model.pricer.subject({**bare, "odometer": 4e4}))
    assert monotone.max() < known.max()


@pytest.mark.parametrize("is_named", [True, False])
def test_a_listing_that_may_be_the_car_itself_is_left_out_once(
    is_named: bool,
    model: PriceModel,
    store: ListingStore,
    common: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(neighbours, "names_a_car", lambda _: is_named)
    row = store.places[common][1].start + 5
    own, listing = store.records[row], as_asked(model, store, row)
    with_it = comparables_of(model, {**listing, "odometer": listing["odometer"] + 1}, MOST)
    found = comparables_of(model, listing, MOST)

    def told(of: Comparables) -> int:
        alike = (own["price"], own["odometer"])
        return sum((one.asking_price, one.odometer) == alike for one in of.listings)

    assert (with_it.left_out, found.left_out) == (0, 1)
    assert told(found) == told(with_it) - 1
    # of two that are the same only one can be this car, but where the odometer names it
    twice = np.insert(store.records, row, own)
    counts = {name: (types, n + (name == common)) for name, (types, n) in store.models.items()}
    doubled = replace(model, listings=replace(store, records=twice, models=counts))
    again = comparables_of(doubled, listing, MOST)
    assert again.left_out == (2 if is_named else 1)
    assert told(again) == told(found) + (0 if is_named else 1)
    # the same car, listed again a year later, has another age but the same year
    later = {**listing, "listed_on": listing["listed_on"] + datetime.timedelta(days=365)}
    assert comparables_of(model, later, MOST).left_out == 1
    # and where the distance is not known, nothing says that it is this car
    assert comparables_of(model, {**listing, "odometer": None}, MOST).left_out == 0


def test_few_listings_are_said_to_be_few(model: PriceModel, store: ListingStore) -> None:
    few = next(name for name, (_, n) in store.models.items() if n == 2)
    row = store.places[few][1].start
    listing = {**as_asked(model, store, row), "odometer": 47_123.0}
    found = comparables_of(model, listing)
    assert found.of_model == 2
    assert found.note == "the market has only 2 listings of this model beside this car"
    assert {one.model for one in found.listings} - {few.partition("|")[2]}
    other = comparables_of(model, {**listing, "model": "Never", "variant": None})
    assert other.of_model == 0
    assert other.listings
    assert other.note.startswith("the market has no other listing of this model")
    none = comparables_of(model, {**listing, "make": "Nobody", "model": "Never"})
    assert not none.listings
    assert none.note.startswith("the market has no listing of this model")
    common = max(store.models, key=lambda name: store.models[name][1])
    listing = as_asked(model, store, store.places[common][1].start)
    assert comparables_of(model, listing).note == ""
    far = comparables_of(model, {**listing, "year": 1950.0})
    assert not far.listings
    assert "is like this car" in far.note


def test_the_number_asked_for_is_kept_to(
    model: PriceModel, store: ListingStore, common: str
) -> None:
    listing = as_asked(model, store, store.places[common][1].start + 20)
    found = {count: comparables_of(model, listing, count) for count in (-3, 1, 3, 20, 50, 9_999)}
    assert [len(one.listings) for one in found.values()][:4] == [1, 1, 3, 20]
    assert 20 < len(found[50].listings) == len(found[9_999].listings) <= 50
    assert {one.note for one in found.values()} == {""}
    assert found[20].listings[:3] == found[3].listings


def test_the_answer_is_as_the_service_describes_it(
    model: PriceModel, held_out: tuple[list[Listing], Any]
) -> None:
    for change in ({}, *ODD):
        found = comparables_of(model, {**held_out[0][3], **change})
        content = found.content()
        answer = ComparablesAnswer.model_validate(content)
        assert answer.model_dump(mode="json", by_alias=True) == content
        assert content == comparables_of(model, {**held_out[0][3], **change}).content()


def test_a_model_without_listings_says_so(model: PriceModel) -> None:
    bare = replace(model, listings=None)
    found = comparables_of(bare, {"make": "Maruti", "model": "Swift", "year": 2019})
    assert found == Comparables((), 0, 0, "no listings are kept to compare with")
    check(found)


def test_the_more_effective_they_are_the_nearer_they_come(
    model: PriceModel, held_out: tuple[list[Listing], Any]
) -> None:
    cars, prices = held_out
    found = [comparables_of(model, car) for car in cars]
    effective = np.array([one.effective for one in found])
    missed = np.array(
        [
            abs((one.adjusted_price or 0) / price - 1)
            for one, price in zip(found, prices, strict=True)
        ]
    )
    third = np.quantile(effective, [1 / 3, 2 / 3])
    assert missed[effective > third[1]].mean() < missed[effective <= third[0]].mean()
