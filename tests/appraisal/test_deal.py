"""Whether asking prices are judged as the docs say, on the sample market."""

import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from forged import changed_json, forged

from carprice.appraisal.deal import LABELS, Deal, deal_of, value_all_with_deals, value_with_deal
from carprice.arrays import quiet
from carprice.listings.features import listings_of
from carprice.listings.frames import as_columns, read_features
from carprice.model import PriceModel
from carprice.model.deal_limits import DealLimits
from carprice.model.intervals import AGE_BANDS, age_bands
from carprice.schema import PRICE
from carprice.settings import TrainSettings

Listings = list[dict[str, Any]]


@pytest.fixture(scope="module")
def model(finished: Any) -> PriceModel:
    return PriceModel.load(finished[0].model)


@pytest.fixture(scope="module")
def test_rows(finished: Any) -> pd.DataFrame:
    return pd.read_parquet(finished[0].test_listings)


@pytest.fixture(scope="module")
def held_out(test_rows: pd.DataFrame) -> Listings:
    return [*listings_of(as_columns(test_rows))]


@pytest.fixture(scope="module")
def learned(finished: Any) -> pd.DataFrame:
    return pd.read_parquet(finished[0].train_listings)


@pytest.fixture(scope="module")
def usual(model: PriceModel, held_out: Listings) -> dict[str, Any]:
    """A held-out car whose asking price gets a label."""
    return next(one for one in held_out if deal_of(model, one, 500_000).label != "none")


@pytest.fixture(scope="module")
def deals(model: PriceModel, test_rows: pd.DataFrame, held_out: Listings) -> list[Deal]:
    pairs = zip(held_out, test_rows[PRICE].tolist(), strict=True)
    return [deal_of(model, *pair) for pair in pairs]


@pytest.mark.parametrize("confidence", [0.5, 0.8, 0.9, 0.95, 0.99])
@pytest.mark.parametrize(
    "change", [{}, {"variant": None, "fuel_type": None}, {"make": "Trabant"}, {"year": 1950}]
)
def test_the_percentile_agrees_with_the_ends_of_every_range(
    confidence: float, change: dict[str, Any], model: PriceModel, usual: dict[str, Any]
) -> None:
    listing = usual | change
    value = model.pricer.value(listing, confidence)
    for price, side in ((value.price_low, -1), (value.price_high, 1)):
        expected = 50 * (1 + side * confidence)
        assert deal_of(model, listing, price).percentile == pytest.approx(expected, abs=0.051)


@pytest.mark.parametrize("change", [{}, {"variant": None}, {"make": "Trabant"}])
def test_a_higher_asking_price_never_has_a_lower_percentile_or_a_better_label(
    change: dict[str, Any], model: PriceModel, usual: dict[str, Any]
) -> None:
    listing = usual | change
    price = model.pricer.value(listing).predicted_price
    found = [deal_of(model, listing, price * times) for times in np.geomspace(1e-9, 1e9, 2001)]
    percentiles = [one.percentile for one in found]
    assert percentiles == sorted(percentiles)
    assert (percentiles[0], percentiles[-1]) == (0, 100)
    assert len({*percentiles}) > 20
    if not change:
        places = [LABELS.index(one.label) for one in found if one.label != "none"]
        assert places == sorted(places)
        assert {*places} == {*range(5)}


def test_all_prices_within_the_range_at_90_per_cent_are_fair(
    model: PriceModel, usual: dict[str, Any]
) -> None:
    value = model.pricer.value(usual)
    for price in (value.price_low, value.predicted_price, value.price_high):
        assert deal_of(model, usual, price).label == "fair"
    assert deal_of(model, usual, 0.97 * value.price_low).label in ("good", "great")
    assert deal_of(model, usual, 1.03 * value.price_high).label in ("high", "overpriced")


def test_a_price_far_beyond_all_others_is_not_praised_but_questioned(
    model: PriceModel, usual: dict[str, Any]
) -> None:
    value = model.pricer.value(usual, 0.99)
    low, high = value.price_low / 3, value.price_high * 3
    for price, words in (
        (value.predicted_price / 1000, "neither an instalment nor in thousands"),
        (0.99 * low, f"is less than a third of {value.price_low:,.0f}"),
        (1.01 * high, f"is more than three times {value.price_high:,.0f}"),
        (1e12, "1,000,000,000,000.00 INR is more than three times"),
    ):
        deal = deal_of(model, usual, price)
        assert (deal.label, deal.percentile) == ("none", 100 if price > high else 0)
        assert deal.reason is not None
        assert deal.reason.kind == "implausible_price"
        assert words in deal.reason.message
    assert deal_of(model, usual, 1.01 * low).label == "great"
    assert deal_of(model, usual, 0.99 * high).label == "overpriced"


def test_hardly_any_held_out_price_is_far_beyond_all_others(deals: list[Deal]) -> None:
    odd = [one for one in deals if one.reason and one.reason.kind == "implausible_price"]
    assert len(odd) <= 0.005 * len(deals)


def test_the_difference_is_in_money_and_in_per_cent(
    model: PriceModel, usual: dict[str, Any]
) -> None:
    price = model.pricer.value(usual).predicted_price
    deal = deal_of(model, usual, price + 1234.567)
    assert deal.difference == pytest.approx(1234.57, abs=0.006)
    assert deal.per_cent == round(100 * 1234.567 / price, 1)
    assert deal_of(model, usual, price).difference == 0


def test_percentiles_are_those_of_held_out_prices(deals: list[Deal]) -> None:
    found = np.array([one.percentile for one in deals if one.percentile is not None])
    assert len(found) > 300
    for level in (10, 25, 50, 75, 90):
        share = 100 * np.mean(found <= level)
        assert abs(share - level) <= 2 + 3 * math.sqrt(level * (100 - level) / len(found))


@pytest.mark.parametrize("band", range(len(AGE_BANDS)), ids=list(AGE_BANDS))
def test_labels_are_as_frequent_as_their_cuts_say(
    band: int, deals: list[Deal], test_rows: pd.DataFrame, model: PriceModel
) -> None:
    day = model.market.valuation_date
    years = test_rows["listed_on"].dt.year.fillna(day.year) - test_rows["year"]
    ages = np.maximum(years.to_numpy(dtype=np.float64), 0)
    pairs = zip(deals, age_bands(ages), strict=True)
    own = [deal.label for deal, place in pairs if place == band and deal.label != "none"]
    assert len(own) > 40
    for labels, share in ((LABELS[:2], 0.05), (LABELS[2:3], 0.9), (LABELS[3:], 0.05)):
        error = 4 * math.sqrt(share * (1 - share) / len(own))
        assert abs(np.mean([one in labels for one in own]) - share) <= 0.02 + error, labels


def test_few_labels_differ_between_models_of_two_random_nine_tenths(
    finished: Any, test_rows: pd.DataFrame, model: PriceModel
) -> None:
    features, log_price = read_features(finished[0].train_features)
    settings = TrainSettings.model_validate({"folds": 2, "booster": {"n_estimators": 20}})
    labels = []
    for seed in (0, 1):
        rows = np.flatnonzero(np.random.default_rng(seed).permutation(800) % 10)
        parts = (features.take(rows), log_price[rows], model.market, settings, quiet)
        other = PriceModel.fit(*parts)
        prices = test_rows[PRICE].tolist()
        found = value_all_with_deals(other, listings_of(as_columns(test_rows)), prices)
        labels.append([one.content()["deal"]["label"] for one in found])
    assert np.mean([one != other for one, other in zip(*labels, strict=True)]) <= 0.08


def test_a_car_that_the_model_learned_from_is_not_judged(
    model: PriceModel, learned: pd.DataFrame
) -> None:
    for listing in listings_of(as_columns(learned)):
        deal = deal_of(model, listing, 1_000_000)
        assert (deal.label, deal.percentile) == ("none", None)
        assert deal.reason is not None
        assert deal.reason.kind == "learned_from"


@pytest.mark.parametrize("is_round", [False, True])
def test_it_is_known_again_however_it_is_spelled(
    is_round: bool, model: PriceModel, learned: pd.DataFrame
) -> None:
    rows = learned.loc[(learned["odometer"] % 500 == 0) == is_round].dropna(
        subset=["features", "color", "variant", "fuel_type"]
    )
    for listing in [*listings_of(as_columns(rows))][:20]:
        respelled = listing | {
            "make": f" {listing['make'].upper()} ",
            "model": listing["model"].lower(),
            "variant": listing["variant"].lower().replace(" ", "  "),
            "fuel_type": listing["fuel_type"].upper(),
            "color": f"{listing['color'].swapcase()} ",
            "features": [*reversed(listing["features"].split("|"))],
            "region": "Elsewhere",
        }
        assert model.pricer.learned_from(respelled)
        assert not model.pricer.learned_from(respelled | {"odometer": listing["odometer"] + 7})
        assert not model.pricer.learned_from(respelled | {"year": listing["year"] - 1})
        if not is_round:  # fewer words do: hardly two cars have such an odometer
            few = {name: listing[name] for name in ("make", "model", "year", "odometer")}
            assert model.pricer.learned_from(few)


def test_a_car_that_it_did_not_learn_from_is_hardly_ever_taken_for_one(
    model: PriceModel, held_out: Listings
) -> None:
    assert np.mean([*map(model.pricer.learned_from, held_out)]) <= 0.02


def test_a_saved_model_judges_alike(
    model: PriceModel, usual: dict[str, Any], tmp_path: Path, learned: pd.DataFrame
) -> None:
    model.save(tmp_path / "model")
    again = PriceModel.load(tmp_path / "model")
    prices = [5e4, 4e5, 5e5, 6e5, 5e6]
    assert [deal_of(again, usual, one) for one in prices] == [
        deal_of(model, usual, one) for one in prices
    ]
    assert again.deal == model.deal
    assert again.pricer.learned_from(next(listings_of(as_columns(learned))))


@pytest.mark.parametrize(
    ("change", "limits", "kind", "words"),
    [
        ({"make": "Trabant"}, {}, "unseen_model", "make 'Trabant'"),
        ({"model": "Nonesuch"}, {}, "unseen_model", "model 'Nonesuch'"),
        ({"year": 1950}, {}, "out_of_range", "an age of 7"),
        ({"power_bhp": 2400.0}, {}, "out_of_range", "2400 is outside"),
        ({"odometer": 5.0}, {}, "out_of_range", "cannot be right"),
        ({}, {"oldest": 0.0}, "too_old", "of cars above 0 years"),
        ({}, {"dearest": 100.0}, "too_dear", "of cars above 100 there"),
        ({}, {"widest": 1.01}, "range_too_wide", "more than 1.01 times"),
    ],
)
def test_there_is_a_reason_where_there_is_no_label(
    change: dict[str, Any],
    limits: dict[str, Any],
    kind: str,
    words: str,
    model: PriceModel,
    usual: dict[str, Any],
) -> None:
    assert model.deal is not None
    strict = replace(model, deal=replace(model.deal, **limits))
    deal = deal_of(strict, {**usual, **change}, 500_000)
    assert deal.label == "none"
    assert deal.reason is not None
    assert deal.reason.kind == kind
    assert words in deal.reason.message
    assert deal.percentile is not None


def test_the_cuts_of_the_folder_are_those_that_count(
    model: PriceModel, usual: dict[str, Any]
) -> None:
    limits = DealLimits((10, 25, 75, 90), 5, 30, 1e9)
    other, value = replace(model, deal=limits), model.pricer.value(usual, 0.7)
    assert deal_of(other, usual, 0.999 * value.price_low).label == "good"  # 15 %
    assert deal_of(model, usual, 0.999 * value.price_low).label == "fair"


@pytest.mark.parametrize("lacking", ["learned.bin", "deal", "middle"])
def test_folders_of_before_give_a_price_and_no_label(
    lacking: str, finished: Any, usual: dict[str, Any], tmp_path: Path
) -> None:
    good, folder = finished[0].model, tmp_path / "before"
    if lacking == "learned.bin":
        forged(good, folder, {lacking: None})
    elif lacking == "middle":
        forged(good, folder, changed_json(good, "ranges.json", lambda it: it.pop("middle")))
    else:
        shutil.copytree(good, tmp_path / "copy")
        model = PriceModel.load(tmp_path / "copy")
        replace(model, deal=None).save(folder)
    before = PriceModel.load(folder)
    value = value_with_deal(before, usual, 500_000)
    assert value.prices == PriceModel.load(good).pricer.value(usual).prices
    deal = value.content()["deal"]
    assert (deal["label"], deal["reason"]["kind"]) == ("none", "model_of_before")
    assert deal["difference"] == round(500_000 - value.predicted_price, 2)
    assert (deal["percentile"] is None) == (lacking == "middle")


def test_many_are_judged_as_one_by_one(
    model: PriceModel, held_out: Listings, test_rows: pd.DataFrame
) -> None:
    prices = [None if row % 3 else price for row, price in enumerate(test_rows[PRICE].tolist())]
    some = [*zip(held_out, prices, strict=True)][:60]
    together = value_all_with_deals(model, (one for one, _ in some), (one for _, one in some), 0.8)
    alone = [value_with_deal(model, listing, price, 0.8) for listing, price in some]
    assert [one.content() for one in together] == [one.content() for one in alone]
    assert [("deal" in one.content()) for one in alone] == [row % 3 == 0 for row in range(60)]
