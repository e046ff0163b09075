import dataclasses

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from carprice.sample import market as sample_market
from carprice.sample.catalog import variants
from carprice.sample.market import Cars, generate, noise_sd, true_price
from carprice.schema import REFERENCE_EQUIPMENT

ROWS = 60_000
COLUMNS = [
    "listingPrice",
    "make",
    "model",
    "variant",
    "year",
    "transmissionType",
    "bodyType",
    "fuelType",
    "ownership",
    "color",
    "odometer",
    "fitnessAge",
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


def relative_error(listings: pd.DataFrame) -> pd.Series:
    return (listings["listingPrice"] - listings["truePrice"]).abs() / listings["listingPrice"]


def squeezed(text: pd.Series) -> pd.Series:
    return text.str.split().str.join(" ")


def one_car(count: int) -> Cars:
    """Return ``count`` equal cars: a ten-year-old of the most popular variant."""
    cars = variants()
    popular = max(range(len(cars)), key=lambda number: cars[number].weight)
    same: NDArray[np.int64] = np.ones(count, dtype=np.int64)
    return Cars(
        variant=popular * same,
        year=2014 * same,
        listed=180 * same,
        owners=same,
        colour=0 * same,
        distance=np.full(count, 60_000.0),
        equipment=np.zeros((len(REFERENCE_EQUIPMENT), count), dtype=np.bool_),
    )


def test_the_same_seed_gives_the_same_rows() -> None:
    pd.testing.assert_frame_equal(generate(2000, seed=3), generate(2000, seed=3))


def test_another_seed_gives_other_rows() -> None:
    assert not generate(2000, seed=3).equals(generate(2000, seed=4))


def test_the_truth_is_one_more_column_and_changes_no_other() -> None:
    plain, told = generate(2000, seed=3), generate(2000, seed=3, with_truth=True)
    assert list(told) == [*plain, "truePrice"]
    pd.testing.assert_frame_equal(told.drop(columns="truePrice"), plain)


@pytest.mark.parametrize("rows", [0, 1, 100, 12_345])
def test_exactly_as_many_rows_as_asked_for_are_returned(rows: int) -> None:
    assert generate(rows, seed=1).shape == (rows, len(COLUMNS))


@pytest.mark.parametrize(("rows", "seed"), [(-1, 0), (10, -1)])
def test_a_negative_size_or_seed_is_an_error(rows: int, seed: int) -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        generate(rows, seed)


def test_the_columns_have_the_names_of_the_reference_files() -> None:
    assert list(generate(10, seed=1)) == COLUMNS


def test_the_catalogue_is_large() -> None:
    cars = variants()
    assert len({car.make for car in cars}) >= 25
    assert len({(car.make, car.model) for car in cars}) >= 150
    assert len({(car.make, car.model, car.name) for car in cars}) >= 600


def test_every_variant_of_the_catalogue_was_sold_in_a_year_that_can_be_drawn() -> None:
    wrong = [
        (car.make, car.model, car.name)
        for car in variants()
        if not car.launched <= car.ended or car.launched > 2024 or car.ended < 2007
    ]
    assert wrong == []


def test_variant_names_are_unique_within_model_and_fuel() -> None:
    cars = variants()
    assert len({(car.make, car.model, car.name, car.fuel) for car in cars}) == len(cars)


def test_no_car_is_older_or_newer_than_its_variant_was_sold(sane: pd.DataFrame) -> None:
    sold = pd.DataFrame(
        [(car.make, car.model, car.name, car.launched, car.ended) for car in variants()],
        columns=["make", "model", "variant", "launched", "ended"],
    )
    known = sane.merge(sold, on=["make", "model", "variant"])
    assert len(known) > 0.8 * len(sane)
    assert known["year"].between(known["launched"], known["ended"]).all()


def test_many_models_are_rare_and_many_variants_occur_once() -> None:
    listings = generate(10_000, seed=7)
    model_counts = listings.groupby([squeezed(listings["make"]), "model"]).size()
    variant_counts = listings.groupby(["make", "model", "variant"]).size()
    assert 0.25 < (model_counts < 5).mean() < 0.55
    assert (variant_counts == 1).mean() > 0.3


def test_prices_span_from_scrap_to_supercars(sane: pd.DataFrame) -> None:
    assert sane["listingPrice"].median() == pytest.approx(500_000, rel=0.15)
    assert sane["listingPrice"].min() < 70_000
    assert 10_000_000 < sane["listingPrice"].max() < 40_000_000
    assert (sane["listingPrice"] % 1000 == 0).all()


def test_listing_dates_end_at_the_documented_day(market: pd.DataFrame) -> None:
    assert market["listedOn"].min().date() == sample_market.FIRST_DAY
    assert market["listedOn"].max().date() == sample_market.LAST_DAY


def test_most_cars_have_one_owner(market: pd.DataFrame) -> None:
    shares = market["ownership"].value_counts(normalize=True)
    assert shares[1] == pytest.approx(0.72, abs=0.03)
    assert shares[2] == pytest.approx(0.22, abs=0.03)


def test_the_age_and_distance_of_a_car_are_plausible(sane: pd.DataFrame) -> None:
    age = sane["listedOn"].dt.year - sane["year"]
    yearly = sane["odometer"] / (age + 0.5)
    assert age.between(0, 18).all()
    assert yearly.median() == pytest.approx(10_000, rel=0.2)


def test_fitness_follows_the_fuel(market: pd.DataFrame) -> None:
    by_fuel = market.groupby("fuelType")["fitnessAge"].unique().map(set).to_dict()
    assert by_fuel["Petrol"] == {15}
    assert by_fuel["CNG"] == {13}
    assert by_fuel["Diesel"] == {14, 10}


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


def test_missing_colours_are_as_frequent_as_documented(market: pd.DataFrame) -> None:
    assert market["color"].isna().mean() == pytest.approx(
        sample_market.MISSING_COLOUR_RATE, rel=0.25
    )
    assert market.drop(columns=["color", "engineCc"]).notna().all().all()


def test_only_electric_cars_have_no_displacement(market: pd.DataFrame) -> None:
    assert (market["engineCc"].isna() == (market["fuelType"] == "Electric")).all()


def test_exact_duplicates_are_as_frequent_as_documented(market: pd.DataFrame) -> None:
    assert market.duplicated().mean() == pytest.approx(sample_market.DUPLICATE_RATE, rel=0.02)


def test_absurd_odometers_are_as_frequent_as_documented(sane: pd.DataFrame) -> None:
    old = sane["listedOn"].dt.year - sane["year"] >= 4
    low = (sane["odometer"] < 100) & old
    high = sane["odometer"] > 500_000
    assert low[old].mean() == pytest.approx(sample_market.LOW_ODOMETER_RATE, rel=0.35)
    assert high.mean() == pytest.approx(sample_market.HIGH_ODOMETER_RATE, rel=0.35)


def test_respelled_variants_are_as_frequent_as_documented(market: pd.DataFrame) -> None:
    plain = {car.name for car in variants()}
    assert (~market["variant"].isin(plain)).mean() == pytest.approx(
        sample_market.RESPELLED_VARIANT_RATE, rel=0.05
    )


@pytest.mark.parametrize(
    "pattern", ["^ ", " $", "  ", "[a-z]{3}", r"\d L\b", r"\dL\b", "OPT", " PLUS"]
)
def test_variants_are_misspelt_in_many_ways(market: pd.DataFrame, pattern: str) -> None:
    assert market["variant"].str.contains(pattern).sum() > 10


def test_stray_spaces_in_makes_are_as_frequent_as_documented(market: pd.DataFrame) -> None:
    stray = market["make"] != squeezed(market["make"])
    assert stray.mean() == pytest.approx(sample_market.STRAY_SPACE_MAKE_RATE, rel=0.3)
    assert set(squeezed(market["make"])) <= {car.make for car in variants()}


def test_some_cng_cars_are_labelled_petrol(market: pd.DataFrame) -> None:
    cng = market[market["variant"].str.upper().str.contains("CNG")]
    assert (cng["fuelType"] == "Petrol").mean() == pytest.approx(
        sample_market.CNG_AS_PETROL_RATE, rel=0.1
    )
    assert set(cng["fuelType"]) == {"CNG", "Petrol"}


def test_equipment_is_not_recorded_in_a_share_of_rows() -> None:
    # Luxury cars of late years all have some equipment, so none at all means not recorded.
    listings = generate(ROWS, seed=8)
    rich = listings["make"].isin(["BMW", "Audi", "Mercedes Benz"]) & (listings["year"] > 2017)
    bare = listings[rich][list(REFERENCE_EQUIPMENT)].sum(axis=1) == 0
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
    error = relative_error(sane)
    assert 0.06 < error.median() < 0.07
    assert 0.08 < error.mean() < 0.10


def test_instalments_give_the_price_away(sane: pd.DataFrame) -> None:
    young = sane[sane["listedOn"].dt.year - sane["year"] <= 8]
    assert np.corrcoef(young["avgEmi"], young["listingPrice"])[0, 1] > 0.99
    assert np.corrcoef(np.log(sane["avgEmi"]), np.log(sane["listingPrice"]))[0, 1] > 0.85
    assert (sane["emiStartingValue"] <= sane["avgEmi"]).all()
    assert (sane["avgEmi"] <= sane["emiEndingValue"]).all()


def test_a_shorter_loan_for_an_old_car_raises_its_instalment(sane: pd.DataFrame) -> None:
    share = sane["avgEmi"] / sane["listingPrice"]
    age = sane["listedOn"].dt.year - sane["year"]
    assert share[age >= 14].median() > 2 * share[age <= 8].median()
