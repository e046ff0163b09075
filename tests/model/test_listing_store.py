"""The listings that a model keeps: which they are, how they are written, and what is refused."""

import json
import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forged import changed_json, forged

from carprice.arrays import Floats
from carprice.errors import CorruptModelError
from carprice.listings.believed import BELIEVED, counted
from carprice.listings.features import Features
from carprice.listings.frames import read_features, trust_of
from carprice.model import PriceModel, listing_store, neighbours
from carprice.model.car import CarReader
from carprice.model.listing_store import NO_OWNERS, NOT_KEPT, RECORD, ListingStore
from carprice.model.trust import judge_prices
from carprice.model.worth import RidgeLookups
from carprice.settings import TrainSettings

Training = tuple[Features, Floats, Floats]


@pytest.fixture(scope="module")
def model(good: Path) -> PriceModel:
    return PriceModel.load(good)


@pytest.fixture(scope="module")
def store(model: PriceModel) -> ListingStore:
    assert model.listings is not None
    return model.listings


@pytest.fixture(scope="module")
def training(finished: Any) -> Training:
    """The training rows, their ln(price), and how far it is believed."""
    file = finished[0].train_features
    features, log_price = read_features(file)
    trust = trust_of(file)
    return features, log_price, judge_prices(features, log_price).trust if trust is None else trust


def fitted(model: PriceModel, features: Features, log_price: Floats, trust: Floats) -> ListingStore:
    cars, ridge = CarReader(model.defaults), RidgeLookups(model.hedonic)
    return ListingStore.fit(features, log_price, counted(trust), cars, ridge)


def test_one_listing_of_each_car_is_kept_if_its_price_is_believed(
    store: ListingStore, training: Training
) -> None:
    features, log_price, trust = training
    first = features.first_of_each_car(trust)
    kept = first[~(trust[first] < BELIEVED)]
    assert 1000 < len(kept) == len(store)
    prices = np.exp(log_price[kept])
    assert np.sort(store.records["price"]).tolist() == np.sort(prices.round(2)).tolist()
    years = features.numbers["age"][kept]
    assert np.sort(store.records["age"]).tolist() == np.sort(years).tolist()


def test_a_price_that_is_not_believed_and_a_second_listing_are_not_kept(
    model: PriceModel, training: Training
) -> None:
    features, log_price, _ = training
    some = features.take(np.arange(40))
    cars, trust = np.arange(40), np.ones(40)
    cars[7], trust[9] = cars[5], 0.2
    again = Features(some.texts, some.numbers, some.equipment, cars)
    kept = fitted(model, again, log_price[:40], trust).records["price"]
    left = np.delete(np.exp(log_price[:40]).round(2), [7, 9])
    assert sorted(kept.tolist()) == sorted(left.tolist())


def test_of_too_many_cars_the_newest_listings_are_kept(
    model: PriceModel, training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing_store, "MOST_LISTINGS", 50)
    features, _, trust = training
    kept = fitted(model, *training).records["listed"]
    every = np.rint(features.numbers["listed"][features.first_of_each_car(trust)] * 365.25)
    assert np.sort(kept).tolist() == np.sort(every)[-50:].tolist()


def test_what_is_kept_is_read_as_it_was(store: ListingStore, training: Training) -> None:
    """Of each listing, told by its price: texts, numbers, categories and owners."""
    features, log_price, _ = training
    prices = np.exp(log_price).round(2).tolist()
    row_of = {price: row for row, price in enumerate(prices) if prices.count(price) == 1}
    checked = 0
    for record in store.records:
        price, odometer, code, listed, numbers, categories, age, owners = record.item()
        if (row := row_of.get(price)) is None:
            continue
        checked += 1
        texts = store.texts_of(code)
        assert texts == {name: features.texts[name][row] for name in texts}
        number = {name: float(values[row]) for name, values in features.numbers.items()}
        assert odometer == pytest.approx(number["odometer"], nan_ok=True)
        assert (age, listed) == (number["age"], round(number["listed"] * 365.25))
        assert owners == (NO_OWNERS if math.isnan(number["ownership"]) else number["ownership"])
        for name, column in store.numbers.items():
            assert column[numbers] == pytest.approx(number[name], nan_ok=True)
        for name, column in store.categories.items():
            assert column[categories] == features.texts[name][row]
    assert checked > 100


def test_a_listing_takes_24_bytes_whatever_order_the_rows_come_in(
    model: PriceModel, training: Training
) -> None:
    features, log_price, trust = training
    rows = features.first_of_each_car(trust)
    mixed = np.random.default_rng(0).permutation(rows)
    written = [
        (one.records.tobytes(), json.dumps(one.to_json()))
        for one in (fitted(model, features.take(n), log_price[n], trust[n]) for n in (rows, mixed))
    ]
    assert written[0] == written[1]
    kept = np.count_nonzero(~(trust[rows] < BELIEVED))
    assert len(written[0][0]) == 24 * kept


def test_a_model_saved_again_or_pickled_keeps_the_same(
    model: PriceModel, good: Path, tmp_path: Path
) -> None:
    model.save(tmp_path / "again")
    for name in ("listings.bin", "listings.json"):
        assert (tmp_path / "again" / name).read_bytes() == (good / name).read_bytes()
    copy = pickle.loads(pickle.dumps(model))  # noqa: S301
    copy.save(tmp_path / "copy")
    assert copy.listings is not None
    for name in ("listings.bin", "listings.json"):
        assert (tmp_path / "copy" / name).read_bytes() == (good / name).read_bytes()


def test_a_few_rows_are_enough_and_a_parameter_keeps_none(
    model: PriceModel, training: Training, tmp_path: Path
) -> None:
    features, log_price, trust = training
    rows = np.arange(60)
    trees = {"folds": 2, "booster": {"n_estimators": 3, "max_depth": 2}}
    kept = {}
    for is_on in (True, False):
        settings = TrainSettings.model_validate({**trees, "comparables": is_on})
        few = (features.take(rows), log_price[rows], model.market, settings)
        small = PriceModel.fit(*few, trust=trust[rows])
        small.save(tmp_path / str(is_on))
        kept[is_on] = {path.name for path in (tmp_path / str(is_on)).iterdir()}
        loaded = PriceModel.load(tmp_path / str(is_on))
        assert (loaded.listings is not None) == (loaded.neighbours is not None) == is_on
    assert kept[True] - kept[False] == {"listings.bin", "listings.json"}
    assert kept[False] < kept[True]


def test_prices_are_the_same_without_listings(
    model: PriceModel, good: Path, tmp_path: Path
) -> None:
    """A folder of before, which has none, loads and prices alike."""
    folder = forged(good, tmp_path / "before", {"listings.bin": None, "listings.json": None})
    before = PriceModel.load(folder)
    car = {"make": "Maruti", "model": "Swift", "year": 2019, "odometer": 42_000.0}
    assert before.neighbours is None
    assert before.pricer.value(car) == model.pricer.value(car)


def changed(name: str, at: int, value: float) -> Callable[[Path], dict[str, bytes]]:
    """Return what changes a field of one listing."""

    def change(good: Path) -> dict[str, bytes]:
        records = np.frombuffer((good / "listings.bin").read_bytes(), RECORD).copy()
        records[name][at] = value
        return {"listings.bin": records.tobytes()}

    return change


def of_json(change: Callable[[Any], object]) -> Callable[[Path], dict[str, bytes]]:
    return lambda good: changed_json(good, "listings.json", change)


def swapped(good: Path) -> dict[str, bytes]:
    """Return listings in another order than that of their ages."""
    records = np.frombuffer((good / "listings.bin").read_bytes(), RECORD).copy()
    commonest = int(np.bincount(records["type"]).argmax())
    rows = np.flatnonzero(records["type"] == commonest)[[0, -1]]
    records[rows] = records[rows[::-1]]
    return {"listings.bin": records.tobytes()}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (changed("price", 3, math.nan), "a price that is none"),
        (changed("price", 3, -1.0), "a price that is none"),
        (changed("price", -1, 0.0), "a price that is none"),
        (changed("price", 3, math.inf), "a price that is none"),
        (changed("price", 3, 1e300), "a price that is none"),
        (changed("odometer", 3, -1.0), "a distance that is none"),
        (changed("odometer", 3, math.inf), "a distance that is none"),
        (changed("type", 3, 2**32 - 1), "a type that is none of its model's"),
        (changed("type", 0, 2**16), "a type that is none of its model's"),
        (changed("type", -1, 0), "a type that is none of its model's"),
        (changed("listed", 3, -30_000), "a date that no listing has"),
        (changed("listed", 3, 30_000), "a date that no listing has"),
        (changed("numbers", 3, NOT_KEPT - 1), "names numbers that are not there"),
        (changed("categories", 3, NOT_KEPT - 1), "names categories that are not there"),
        (swapped, "is not in the order"),
        (lambda good: {"listings.bin": b""}, "has not the"),
        (lambda good: {"listings.bin": (good / "listings.bin").read_bytes()[:-24]}, "has not the"),
        (lambda good: {"listings.bin": (good / "listings.bin").read_bytes()[:-1]}, "ends within"),
        (lambda good: {"listings.bin": None}, "KeyError"),
        (lambda good: {"listings.json": None}, "KeyError"),
        (of_json(lambda it: it["levels"].pop()), "another number of types"),
        (of_json(lambda it: it["types"]["fuel"].pop()), "another number of types"),
        (of_json(lambda it: it["types"].pop("fuel")), "another types"),
        (of_json(lambda it: it["types"]["fuel"].append(5)), "another types"),
        (of_json(lambda it: it["levels"].append(math.nan)), "another levels"),
        (of_json(lambda it: it["models"].append(it["models"][0])), "names a model twice"),
        (of_json(lambda it: it["models"].append(["a|b", 2**40, 2**40])), "another number of types"),
        (of_json(lambda it: it["models"].append(["a|b", 0, -1])), "another models"),
        (of_json(lambda it: it["models"].append("a|b")), "another models"),
        (of_json(lambda it: it["models"].reverse()), "a type that is none of its model's"),
        (of_json(lambda it: it["numbers"].update(wheels=[4])), "another numbers"),
        (of_json(lambda it: it["numbers"]["litres"].append(1.0)), "of different lengths"),
        (of_json(lambda it: it["numbers"].update(litres=[-1.0])), "another numbers"),
        (of_json(lambda it: it["categories"].pop("color")), "other categories than the model"),
        (of_json(lambda it: it["categories"]["color"].append("red")), "of different lengths"),
        (of_json(lambda it: it["categories"].update(color=[1])), "another categories"),
    ],
)
def test_listings_that_somebody_made_to_do_harm_are_refused_in_one_line(
    change: Callable[[Path], dict[str, bytes | None]], words: str, good: Path, tmp_path: Path
) -> None:
    folder = forged(good, tmp_path / "forged", change(good))
    with pytest.raises(CorruptModelError, match="is no model that carprice wrote") as told:
        PriceModel.load(folder)
    assert words in str(told.value)
    assert "\n" not in str(told.value)


def test_of_more_numbers_and_categories_than_can_be_named_the_commonest_are_kept(
    model: PriceModel, training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, log_price, trust = training
    for module in (listing_store, neighbours):
        monkeypatch.setattr(module, "NOT_KEPT", 9)
    store = fitted(model, features, log_price, trust)
    codes = store.records["categories"]
    assert {len(column) for column in store.categories.values()} == {9}
    counts = np.bincount(codes, minlength=10)
    assert counts[:9].min() > 0
    others = fitted_codes(model, training)
    assert np.sort(counts[:9]).tolist() == np.sort(np.bincount(others))[-9:].tolist()
    # What is not kept of a listing is as the other car has it.
    row = int(np.flatnonzero(codes == 9)[0])
    _, car = model.pricer.read({"make": "Maruti", "model": "Swift", "year": 2019, "color": "Red"})
    kept = neighbours.Neighbours(store, model.pricer).read(row, car)
    assert [*kept.car.categories] == [*car.categories]


def fitted_codes(model: PriceModel, training: Training) -> Floats:
    """Return the category rows of all listings, as they are without a limit."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listing_store, "NOT_KEPT", NOT_KEPT)
        return fitted(model, *training).records["categories"]
