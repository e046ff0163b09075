import dataclasses

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from carprice.sample import market as sample_market
from carprice.sample.catalog import variants
from carprice.sample.market import Cars, generate, noise_sd, true_price
from carprice.schema import REFERENCE_EQUIPMENT, REFERENCE_FIELDS, alias

ROWS = 60_000
COLUMNS = [
    "listingPrice",
    *(alias(field) for field in REFERENCE_FIELDS if field != "features"),
    *REFERENCE_EQUIPMENT,
    "featureCount",
    "engineCc",
    "powerBhp",
    "seats",
    "listedOn",
    "cashDownPayment",
    "emiStartingValue",
    "emiEndingValue",
    "avgEmi",
    "roiMinDiscounted",
]


@pytest.fixture(scope="module")
def market() -> pd.DataFrame:
    return generate(ROWS, seed=7, with_truth=True)


@pytest.fixture(scope="module")
def sane(market: pd.DataFrame) -> pd.DataFrame:
    """Rows without an impossible year or price."""
    return market[(market["listingPrice"] > 1) & market["year"].between(2000, 2025)]


def squeezed(text: pd.Series) -> pd.Series:
    return text.str.split().str.join(" ")


def one_car(count: int) -> Cars:
    """Return ``count`` equal cars: a ten-year-old of the most popular variant."""
    same: NDArray[np.int64] = np.ones(count, dtype=np.int64)
    return Cars(
        variant=variants()["weight"].to_numpy().argmax() * same,
        year=2014 * same,
        listed=180 * same,
        owners=same,
        colour=0 * same,
        distance=np.full(count, 60_000.0),
        equipment=np.zeros((len(REFERENCE_EQUIPMENT), count), dtype=np.bool_),
    )


def test_a_seed_gives_the_same_rows_and_another_gives_others() -> None:
    listings = generate(2000, seed=3)
    pd.testing.assert_frame_equal(generate(2000, seed=3), listings)
    assert not generate(2000, seed=4).equals(listings)
    assert list(listings) == COLUMNS
    told = generate(2000, seed=3, with_truth=True)
    assert list(told) == [*COLUMNS, "truePrice"]
    pd.testing.assert_frame_equal(told.drop(columns="truePrice"), listings)


@pytest.mark.parametrize("rows", [0, 1, 100, 12_345])
def test_exactly_as_many_rows_as_asked_for_are_returned(rows: int) -> None:
    assert generate(rows, seed=1).shape == (rows, len(COLUMNS))


@pytest.mark.parametrize(("rows", "seed"), [(-1, 0), (10, -1)])
def test_a_negative_size_or_seed_is_an_error(rows: int, seed: int) -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        generate(rows, seed)


def test_the_catalogue_is_large_and_its_names_are_unique() -> None:
    cars = variants()
    assert cars["make"].nunique() >= 25
    assert len(cars.groupby(["make", "model"])) >= 150
    assert len(cars.groupby(["make", "model", "name"])) >= 600
    assert not cars.duplicated(["make", "model", "name", "fuel"]).any()


def test_every_variant_was_sold_in_a_year_that_can_be_drawn() -> None:
    cars = variants()
    assert (cars["launched"] <= cars["ended"]).all()
    assert cars["launched"].max() <= 2024
    assert cars["ended"].min() >= 2007


def test_no_car_is_older_or_newer_than_its_variant_was_sold(sane: pd.DataFrame) -> None:
    sold = variants().rename(columns={"name": "variant"})
    columns = ["make", "model", "variant"]
    known = sane.merge(sold[[*columns, "launched", "ended"]], on=columns)
    assert len(known) > 0.8 * len(sane)
    assert known["year"].between(known["launched"], known["ended"]).all()


def test_many_models_are_rare_and_many_variants_occur_once() -> None:
    listings = generate(10_000, seed=7)
    model_counts = listings.groupby([squeezed(listings["make"]), "model"]).size()
    variant_counts = listings.groupby(["make", "model", "variant"]).size()
    assert 0.25 < (model_counts < 5).mean() < 0.55
    assert (variant_counts == 1).mean() > 0.3


def test_prices_span_from_scrap_to_supercars_of_plausible_age_and_distance(
    sane: pd.DataFrame,
) -> None:
    assert sane["listingPrice"].median() == pytest.approx(500_000, rel=0.15)
    assert sane["listingPrice"].min() < 70_000
    assert 10_000_000 < sane["listingPrice"].max() < 40_000_000
    assert (sane["listingPrice"] % 1000 == 0).all()
    age = sane["listedOn"].dt.year - sane["year"]
    assert age.between(0, 18).all()
    assert (sane["odometer"] / (age + 0.5)).median() == pytest.approx(10_000, rel=0.2)


def test_what_is_drawn_follows_its_rules(market: pd.DataFrame) -> None:
    owners = market["ownership"].value_counts(normalize=True)
    assert owners[1] == pytest.approx(0.72, abs=0.03)
    assert owners[2] == pytest.approx(0.22, abs=0.03)
    fitness = market.groupby("fuelType")["fitnessAge"].unique().map(set).to_dict()
    assert (fitness["Petrol"], fitness["CNG"], fitness["Diesel"]) == ({15}, {13}, {14, 10})
    assert (market["engineCc"].isna() == (market["fuelType"] == "Electric")).all()
    assert market.drop(columns=["color", "engineCc"]).notna().all().all()
    days = market["listedOn"].dt.date
    assert (days.min(), days.max()) == (sample_market.FIRST_DAY, sample_market.LAST_DAY)


def test_the_feature_count_is_the_length_of_the_printed_list() -> None:
    listings = generate(300, seed=5)
    flags = listings[list(REFERENCE_EQUIPMENT)]
    printed = [
        len(str([name for name, is_on in row.items() if is_on]))
        for row in flags.to_dict(orient="records")
    ]
    assert listings["featureCount"].tolist() == printed


def test_later_and_better_cars_have_more_equipment(sane: pd.DataFrame) -> None:
    recorded = sane[sane["featureCount"] > 2]
    count = recorded[list(REFERENCE_EQUIPMENT)].sum(axis=1)
    assert count[recorded["year"] >= 2021].mean() > count[recorded["year"] <= 2014].mean() + 2
    trims = squeezed(recorded["variant"]).str.upper()
    baleno = recorded["model"] == "Baleno"
    assert (
        count[baleno & trims.str.startswith("ALPHA")].mean()
        > count[baleno & trims.str.startswith("SIGMA")].mean() + 2
    )


def test_errors_are_as_frequent_as_documented(market: pd.DataFrame) -> None:
    cng = market[market["variant"].str.upper().str.contains("CNG")]
    makes = squeezed(market["make"])
    shares = {
        "MISSING_COLOUR_RATE": (market["color"].isna(), 0.25),
        "DUPLICATE_RATE": (market.duplicated(), 0.02),
        "RESPELLED_VARIANT_RATE": (~market["variant"].isin(variants()["name"]), 0.05),
        "STRAY_SPACE_MAKE_RATE": (market["make"] != makes, 0.3),
        "CNG_AS_PETROL_RATE": (cng["fuelType"] == "Petrol", 0.1),
    }
    for name, (found, tolerance) in shares.items():
        expected = pytest.approx(getattr(sample_market, name), rel=tolerance)
        assert found.mean() == expected, name
    assert set(cng["fuelType"]) == {"CNG", "Petrol"}
    assert set(makes) <= set(variants()["make"])


def test_absurd_odometers_are_as_frequent_as_documented(sane: pd.DataFrame) -> None:
    old = sane["listedOn"].dt.year - sane["year"] >= 4
    low = (sane["odometer"] < 100) & old
    high = sane["odometer"] > 500_000
    assert low[old].mean() == pytest.approx(sample_market.LOW_ODOMETER_RATE, rel=0.35)
    assert high.mean() == pytest.approx(sample_market.HIGH_ODOMETER_RATE, rel=0.35)


@pytest.mark.parametrize(
    "pattern", ["^ ", " $", "  ", "[a-z]{3}", r"\d L\b", r"\dL\b", "OPT", " PLUS"]
)
def test_variants_are_misspelt_in_many_ways(market: pd.DataFrame, pattern: str) -> None:
    assert market["variant"].str.contains(pattern).sum() > 10


def test_equipment_is_not_recorded_in_a_share_of_rows(sane: pd.DataFrame) -> None:
    # Luxury cars of late years all have some equipment, so none at all means not recorded.
    rich = sane["make"].isin(["BMW", "Audi", "Mercedes Benz"]) & (sane["year"] > 2017)
    bare = sane[rich][list(REFERENCE_EQUIPMENT)].sum(axis=1) == 0
    assert bare.mean() == pytest.approx(sample_market.UNRECORDED_EQUIPMENT_RATE, rel=0.4)


def test_impossible_years_and_prices_are_as_frequent_as_documented() -> None:
    listings = generate(200_000, seed=7)
    years = listings["year"].isin([1899, 2060])
    prices = listings["listingPrice"].isin([0, 1])
    assert (years | prices).mean() == pytest.approx(sample_market.IMPOSSIBLE_RATE, rel=0.4)
    assert set(listings.loc[years, "year"]) == {1899, 2060}
    assert set(listings.loc[prices, "listingPrice"]) == {0, 1}


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("year", [2020, 2018, 2016, 2012, 2008]),
        ("distance", [1_000.0, 20_000.0, 60_000.0, 150_000.0, 400_000.0]),
        ("owners", [1, 2, 3, 4, 5]),
    ],
)
def test_an_older_farther_or_passed_on_car_is_truly_cheaper(name: str, values: list[float]) -> None:
    cars = one_car(len(values))
    changed = np.array(values, dtype=getattr(cars, name).dtype)
    price = true_price(dataclasses.replace(cars, **{name: changed}))
    assert (np.diff(price) < 0).all()


def test_no_variant_gains_value_by_a_year_of_age() -> None:
    count = len(variants())
    car = dataclasses.replace(one_car(count), variant=np.arange(count))
    prices = [
        true_price(dataclasses.replace(car, year=car.year * 0 + year)) for year in range(2006, 2025)
    ]
    assert (np.diff(prices, axis=0) > 0).all()


def test_the_market_rises_a_little_while_the_year_of_the_car_stands_still() -> None:
    car = dataclasses.replace(one_car(2), year=np.array([2024, 2025]), listed=np.array([100, 466]))
    early, late = true_price(car)
    assert late / early == pytest.approx(np.exp(0.03 * 366 / 365.25), rel=2e-3)


def test_more_equipment_is_truly_dearer() -> None:
    car = one_car(2)
    car.equipment[:, 1] = True
    bare, full = true_price(car)
    assert full / bare == pytest.approx(np.exp(sum(sample_market.EQUIPMENT_WORTH.values())))


def test_the_noise_grows_with_age_as_documented(sane: pd.DataFrame) -> None:
    log_error = np.log(sane["listingPrice"] / sane["truePrice"])
    age = (sane["listedOn"].dt.year - sane["year"]).clip(0, 15)
    spread = log_error.groupby(age // 4).std()
    assert spread.is_monotonic_increasing
    assert log_error[age == 8].std() == pytest.approx(noise_sd(np.array([8.0]))[0], rel=0.08)
    assert abs(log_error.median()) < 0.005


def test_the_irreducible_error_is_that_of_real_listings(sane: pd.DataFrame) -> None:
    error = (sane["truePrice"] / sane["listingPrice"] - 1).abs()
    assert 0.06 < error.median() < 0.07
    assert 0.08 < error.mean() < 0.10


def test_instalments_give_the_price_away(sane: pd.DataFrame) -> None:
    young = sane[sane["listedOn"].dt.year - sane["year"] <= 8]
    assert np.corrcoef(young["avgEmi"], young["listingPrice"])[0, 1] > 0.99
    assert np.corrcoef(np.log(sane["avgEmi"]), np.log(sane["listingPrice"]))[0, 1] > 0.85
    assert (sane["emiStartingValue"] <= sane["avgEmi"]).all()
    assert (sane["avgEmi"] <= sane["emiEndingValue"]).all()
    share = sane["avgEmi"] / sane["listingPrice"]
    age = sane["listedOn"].dt.year - sane["year"]
    assert share[age >= 14].median() > 2 * share[age <= 8].median()  # of a shorter loan
