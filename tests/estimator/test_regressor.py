import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from carprice import CarpriceError, CarpriceWarning, InputError, PriceRegressor, load_sample
from carprice.components.workspace import Workspace
from carprice.model import PriceModel
from carprice.model.blocks import FACTORS
from carprice.settings import Settings

Change = Callable[[pd.DataFrame], Any]


def test_prices_are_those_of_the_pipeline_trained_on_the_same_rows(
    finished: Any, small_settings: Settings
) -> None:
    workspace: Workspace = finished[0]
    of_pipeline = PriceRegressor.load(workspace.model)
    market, train = of_pipeline.model_.market, small_settings.train
    learned, others = map(pd.read_parquet, (workspace.train_listings, workspace.test_listings))
    own = PriceRegressor(valuation_date=market.valuation_date, **train.model_dump()).fit(learned)
    assert own.rejected_ == {}
    np.testing.assert_array_equal(own.predict(others), of_pipeline.predict(others))
    pd.testing.assert_frame_equal(
        own.predict_interval(others, 0.8), of_pipeline.predict_interval(others, 0.8)
    )
    assert own.model_.metrics == of_pipeline.model_.metrics


def test_it_is_quiet_where_nothing_is_lost_and_says_what_it_has_learned_from(
    fitted: PriceRegressor, cars: pd.DataFrame
) -> None:
    assert fitted.columns_["fuel_type"] == ("fuelType",)
    assert fitted.columns_["features"] == ("Bluetooth",)
    assert fitted.ignored_columns_ == ()
    assert fitted.rejected_ == {}
    assert fitted.feature_names_in_.tolist() == [*cars][:-1]
    assert fitted.n_features_in_ == 7
    assert 0 < fitted.model_.metrics["mape"] < 40


def test_a_range_holds_the_price_and_widens_with_confidence(
    fitted: PriceRegressor, cars: pd.DataFrame
) -> None:
    some = cars[:5].set_axis([*"abcde"])
    wide, narrow = fitted.predict_interval(some), fitted.predict_interval(some, confidence=0.5)
    assert [*wide] == ["predictedPrice", "priceLow", "priceHigh", "warnings", "problem"]
    assert [*wide.index] == [*"abcde"]
    assert wide["predictedPrice"].tolist() == fitted.predict(some).tolist()
    assert (wide["priceLow"] < narrow["priceLow"]).all()
    assert (narrow["priceLow"] <= narrow["predictedPrice"]).all()
    assert (narrow["priceHigh"] < wide["priceHigh"]).all()


def test_reasons_sum_and_multiply_to_the_price(fitted: PriceRegressor, cars: pd.DataFrame) -> None:
    some = cars[:20].set_axis(range(100, 120))
    price = fitted.predict(some)
    amounts, factors = fitted.explain(some), fitted.explain(some, unit="factor")
    assert [*amounts] == [*factors] == ["start", *FACTORS]
    assert [*amounts.index] == [*range(100, 120)]
    np.testing.assert_allclose(amounts.sum(axis=1), price, atol=0.01)
    np.testing.assert_allclose(factors.prod(axis=1), price, atol=0.01)
    with pytest.raises(InputError, match="unit is 'percent'; it must be 'currency' or 'factor'"):
        fitted.explain(some, unit="percent")  # type: ignore[arg-type]


def test_a_saved_folder_is_the_model_and_loads_again(
    fitted: PriceRegressor, cars: pd.DataFrame, tmp_path: Path
) -> None:
    digest = fitted.save(tmp_path / "model")
    assert PriceModel.load(tmp_path / "model").digest == digest
    loaded = PriceRegressor.load(str(tmp_path / "model"), columns={"make": "brand"})
    renamed = cars.rename(columns={"make": "brand"})
    np.testing.assert_array_equal(loaded.predict(renamed), fitted.predict(cars))
    with pytest.raises(InputError, match="is not a model folder"):
        PriceRegressor.load(tmp_path)


def test_a_pickled_regressor_prices_alike(fitted: PriceRegressor, cars: pd.DataFrame) -> None:
    again = pickle.loads(pickle.dumps(fitted))  # noqa: S301
    np.testing.assert_array_equal(again.predict(cars), fitted.predict(cars))


def test_a_column_map_follows_the_rules_of_params_yaml(
    quick: PriceRegressor, fitted: PriceRegressor, cars: pd.DataFrame
) -> None:
    other = pd.DataFrame(
        {
            "name": cars["make"].str.strip() + " / " + cars["model"],
            "variant": cars["variant"],
            "built": cars["year"].astype("Int64"),
            "driven": cars["odometer"].map(lambda km: f"{km:,.0f} km", na_action="ignore"),
            "fuel": cars["fuelType"].astype("category"),
            "Bluetooth": cars["Bluetooth"].astype(bool),
            "asked": cars["price"].map("Rs {:,.0f}".format),
        }
    )
    quick.set_params(
        columns={
            "price": {"from": "asked", "number": True},
            "make": {"from": "name", "match": "(.*) /"},
            "model": {"from": "name", "match": "/ (.*)"},
            "year": "built",
            "odometer": {"from": "driven", "number": True},
            "fuelType": "fuel",
        },
        decimal=".",
    )
    np.testing.assert_allclose(quick.fit(other).predict(other), fitted.predict(cars), rtol=1e-9)


def test_prices_may_come_as_y_and_a_price_beside_them_is_not_read(
    quick: PriceRegressor, fitted: PriceRegressor, cars: pd.DataFrame
) -> None:
    listings, price = cars.drop(columns="price"), cars["price"]
    own = clone(quick).fit(listings, price)
    np.testing.assert_array_equal(own.predict(listings), fitted.predict(cars))
    beside = clone(quick).fit(listings.assign(price="n/a"), price.to_numpy()[:, np.newaxis])
    np.testing.assert_array_equal(beside.predict(listings), own.predict(listings))


def test_prices_that_are_no_cars_count_only_where_they_are_to_be_believed(
    quick: PriceRegressor, fitted: PriceRegressor, cars: pd.DataFrame
) -> None:
    junk = cars.assign(price=cars["price"].where(cars.index % 12 > 0, 9_999.0))
    apart = {}
    for rule, told in (("discount", "They do not count"), ("believe", "They count like all")):
        own = clone(quick.set_params(junk=rule))
        assert own.get_params()["junk"] == rule
        with pytest.warns(CarpriceWarning, match=f"no car's price.*{told}"):
            own.fit(junk)
        apart[rule] = abs(np.log(own.predict(cars) / fitted.predict(cars))).mean()
    assert apart["discount"] < 0.06
    assert apart["believe"] > 0.12 > 2 * apart["discount"]


def test_cross_validation_clones_it(quick: PriceRegressor, cars: pd.DataFrame) -> None:
    errors = cross_val_score(
        quick, cars, cars["price"], cv=2, scoring="neg_mean_absolute_percentage_error"
    )
    assert (errors > -0.5).all()
    assert not hasattr(quick, "model_")


def test_it_is_the_end_of_a_pipeline_whose_parameters_are_searched(
    quick: PriceRegressor, cars: pd.DataFrame
) -> None:
    def renamed(table: pd.DataFrame) -> pd.DataFrame:
        return table.rename(columns={"brand": "make"})

    pipeline = make_pipeline(FunctionTransformer(renamed), quick)
    trees = [{"n_estimators": count, "max_depth": 3} for count in (1, 20)]
    search = GridSearchCV(
        pipeline,
        {"priceregressor__booster": trees},
        cv=2,
        scoring="neg_median_absolute_error",
        error_score="raise",
    )
    search.fit(cars.rename(columns={"make": "brand"}), cars["price"])
    assert search.best_params_["priceregressor__booster"] in trees
    assert len(search.predict(cars[:3].rename(columns={"make": "brand"}))) == 3


@pytest.mark.parametrize("ask", ["predict", "predict_interval", "explain", "save"])
def test_without_fit_it_says_so(quick: PriceRegressor, ask: str, cars: pd.DataFrame) -> None:
    with pytest.raises(NotFittedError, match="not fitted yet"):
        getattr(quick, ask)("folder" if ask == "save" else cars)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda cars: cars.to_numpy(), "X is a ndarray; give a pandas DataFrame"),
        (lambda cars: cars.iloc[0], r"X is a Series; .* df.iloc\[\[0\]\]"),
        (lambda cars: cars.drop(columns="make"), r"X has no column for make .* to columns; .*year"),
        (lambda cars: cars.drop(columns="price"), "X has no column for price"),
        (lambda cars: cars.drop(columns="odometer"), "no column for odometer.*'odometer: null'"),
        (lambda cars: pd.concat([cars, cars[["make"]]], axis=1), "two columns named 'make'"),
        (lambda cars: cars[:20], "X leaves 20 listings to learn from, fewer than 50"),
        (lambda cars: cars.assign(year="new"), "year is 'new' in row 0, and cannot be read in 100"),
        (
            lambda _: load_sample(2000, 7).assign(roadTax=lambda some: some["listingPrice"] / 100),
            r"roadTax \(column roadTax\) explains 100 % .* switch it off in columns, .* 'roadTax:",
        ),
    ],
)
def test_what_cannot_be_learned_from_is_an_error(
    quick: PriceRegressor, cars: pd.DataFrame, change: Change, told: str
) -> None:
    with pytest.raises(CarpriceError, match=told) as found:
        quick.fit(change(cars))
    assert isinstance(found.value, InputError)
    assert isinstance(found.value, ValueError)
    assert "ingest" not in str(found.value)


@pytest.mark.parametrize(
    ("y", "told"),
    [
        (lambda price: price[:-1], r"y has the shape \(\d+,\), X has \d+ rows"),
        (lambda price: price.astype(object).where(price.index > 1, "ask"), "y is 'ask' in row 0, "),
        (
            lambda price: price.where(price.index != 3),
            "y is 'nan' in row 3, and no finite .* 1 rows",
        ),
    ],
)
def test_prices_that_are_none_are_an_error(
    quick: PriceRegressor, cars: pd.DataFrame, y: Change, told: str
) -> None:
    with pytest.raises(InputError, match=told):
        quick.fit(cars, y(cars["price"]))


@pytest.mark.parametrize(
    ("parameter", "told"),
    [
        ({"columns": {"brand": "make"}}, "columns: 'brand' is not a field of a listing; .* price"),
        ({"columns": {"make": "brand"}}, "X has no column 'brand', which columns names for make"),
        ({"columns": {"color": {"from": "make", "number": True}}}, "columns.color.number does not"),
        ({"distance": "mi"}, "units.distance: .* 'km' or 'miles' .found 'mi'"),
        ({"booster": {"depth": 3}}, "booster.depth is not a parameter"),
        ({"junk": "drop"}, "junk: .* 'discount' or 'believe' .found 'drop'"),
        ({"folds": 1}, "folds: .* greater than or equal to 2 .found 1"),
        ({"valuation_date": "soon"}, "valuation_date: .* .found 'soon'"),
    ],
)
def test_a_wrong_setting_is_an_error_at_fit(
    quick: PriceRegressor, cars: pd.DataFrame, parameter: dict[str, Any], told: str
) -> None:
    quick.set_params(**parameter)
    with pytest.raises(InputError, match=told):
        quick.fit(cars)


def test_what_is_lost_at_fit_is_warned_of(quick: PriceRegressor, cars: pd.DataFrame) -> None:
    poor = cars.assign(odometer=cars["odometer"].astype(object), notes="nice")
    poor.loc[2, "odometer"] = "low"
    poor.loc[3, "make"] = None
    poor = pd.concat([poor, poor[-2:]])
    with pytest.warns(CarpriceWarning) as caught:
        quick.fit(poor)
    told = [str(warning.message) for warning in caught]
    assert told[0].startswith("X has columns that are no field of a listing, and are ignored: note")
    assert "odometer is 'low' in row 2 and cannot be read in 1 rows" in told[1]
    rule = "columns={'odometer': {'from': 'odometer', 'values': {'low': None}}}"
    assert told[1].endswith(f"which are taken as missing; write {rule}")
    assert told[2].startswith(f"3 of {len(poor)} rows are not learned from: 2 exact duplicate, 1 ")
    assert {warning.filename for warning in caught} == {__file__}
    assert quick.ignored_columns_ == ("notes",)
    assert quick.rejected_ == {"exact duplicate": 2, "make missing or unreadable": 1}
    assert quick.repaired_["odometer unreadable, made missing"] == 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda cars: cars.drop(columns="fuelType"), "X has no column for fuelType, which the mod"),
        (
            lambda cars: cars.assign(fueltype="Petrol"),
            "and are ignored: fueltype; name them in col",
        ),
        (
            lambda cars: cars.assign(odometer="low"),
            "odometer is 'low' in row 0 and cannot be read in 9",
        ),
        (
            lambda cars: cars.assign(make=cars["make"].where(cars.index > 1)),
            "2 of 9 listings have no price, the first in row 0: make: this field is required",
        ),
    ],
)
def test_what_is_lost_when_pricing_is_warned_of(
    fitted: PriceRegressor, cars: pd.DataFrame, change: Change, told: str
) -> None:
    with pytest.warns(CarpriceWarning, match=told):
        fitted.predict(change(cars[:9]))


def test_units_in_a_column_beside_are_warned_of(fitted: PriceRegressor, cars: pd.DataFrame) -> None:
    with pytest.warns(CarpriceWarning) as caught:
        fitted.predict(cars[:9].assign(odometer_unit=["km", "km", "mi"] * 3))
    told = str(caught[0].message)
    assert "the column 'odometer_unit' tells km in 6, mi in 3 rows; to keep the rows of one" in told
    assert "give only the rows whose odometer_unit is in [km], or, if all" in told
    assert told.endswith("write columns={'odometer': {'from': 'odometer', 'unit': 'km'}}")


@pytest.mark.filterwarnings("ignore::carprice.CarpriceWarning")
def test_a_listing_without_a_price_says_why_and_the_others_have_theirs(
    fitted: PriceRegressor, cars: pd.DataFrame
) -> None:
    some = cars[:3].assign(model=["?", None, cars["model"][2]])
    found = fitted.predict_interval(some)
    assert found["problem"].tolist() == ["", "model: this field is required", ""]
    assert np.isnan(fitted.predict(some)).tolist() == [False, True, False]
    assert fitted.explain(some).isna().all(axis=1).tolist() == [False, True, False]
    assert found["warnings"][0].startswith("model '?' was not in the training data")
    assert fitted.predict(some)[2] == fitted.predict(cars[2:3])[0]
    assert len(fitted.predict(cars[:0])) == 0
