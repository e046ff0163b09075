import datetime
import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from carprice.arrays import Columns
from carprice.components.train import train
from carprice.components.workspace import Workspace
from carprice.errors import CorruptModelError, InputError
from carprice.files import write_json
from carprice.listings.frames import as_columns
from carprice.model import PriceModel, Prices
from carprice.model_folder import MANIFEST, folder_digest

ROWS = 60
FILES = (
    MANIFEST,
    "booster.onnx",
    "defaults.json",
    "encoder.json",
    "hedonic.json",
    "ranges.json",
    "scale.onnx",
)


@pytest.fixture(scope="module")
def model(finished) -> PriceModel:
    return PriceModel.load(finished[0].model)


@pytest.fixture(scope="module")
def columns(finished) -> Columns:
    listings = pd.read_parquet(finished[0].test_listings).iloc[:ROWS].copy()
    listings.loc[listings.index[::9], ["variant", "color", "features"]] = None
    listings.loc[listings.index[::7], ["odometer", "engine_cc", "power_bhp"]] = np.nan
    listings.loc[listings.index[::5], "listed_on"] = pd.NaT
    return as_columns(listings)


@pytest.fixture(scope="module")
def common_car(finished) -> dict[str, Any]:
    """Return a car of the model with most training rows, known in full."""
    listings = pd.read_parquet(finished[0].train_listings)
    make, model = listings.groupby(["make", "model"]).size().idxmax()
    rows = listings[(listings["make"] == make) & (listings["model"] == model)]
    rows = rows.dropna(axis=1, how="all").dropna()
    return rows.iloc[0].drop("price").to_dict() | {"listed_on": None}


def one(car: dict[str, Any]) -> Columns:
    return {name: [value] for name, value in car.items()}


def price(model: PriceModel, car: dict[str, Any]) -> float:
    return model.predict(one(car)).price.item()


def test_row_by_row_gives_the_prices_of_the_batch(model: PriceModel, columns: Columns) -> None:
    batch = model.predict(columns)
    for row in range(ROWS):
        single = model.predict({name: values[row : row + 1] for name, values in columns.items()})
        for side in ("price", "low", "high"):
            expected = getattr(batch, side)[row]
            assert getattr(single, side).item() == pytest.approx(expected, rel=1e-6)


def test_the_order_of_rows_does_not_matter(model: PriceModel, columns: Columns) -> None:
    turned = {name: values[::-1] for name, values in columns.items()}
    assert model.predict(turned).price == pytest.approx(model.predict(columns).price[::-1])


def test_saved_and_loaded_it_has_the_same_digest_and_prices(
    model: PriceModel, columns: Columns, tmp_path: Path
) -> None:
    assert model.save(tmp_path / "again") == model.digest
    again = PriceModel.load(tmp_path / "again")
    assert again.digest == model.digest
    for side in ("price", "low", "high"):
        expected = getattr(model.predict(columns), side)
        assert np.array_equal(getattr(again.predict(columns), side), expected)
    assert (again.market, again.trained_on, again.metrics) == (
        model.market,
        model.trained_on,
        model.metrics,
    )


def test_trained_again_it_has_the_same_digest(finished, small_settings, tmp_path: Path) -> None:
    workspace, again = finished[0], Workspace(tmp_path)
    for path in (workspace.train_features, workspace.market, workspace.report):
        target = again.root / path.relative_to(workspace.root)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    train(small_settings.train, again, lambda _: None)
    assert folder_digest(again.model) == folder_digest(workspace.model)


def test_it_knows_more_than_nothing(model: PriceModel, finished) -> None:
    figures = finished[1].figures
    assert figures["mape"] < 0.7 * figures["naive"]["mape"]
    assert figures["mape"] == pytest.approx(model.metrics["mape"], rel=0.25)
    assert 84 <= figures["coverage"] <= 96


@pytest.mark.parametrize(
    "change",
    [
        {"variant": "NEVER SEEN 9.9"},
        {"model": "Never Seen", "variant": "NEVER SEEN 9.9"},
        {"make": "Nobody", "model": "Never Seen", "variant": None},
        {"fuel_type": "Steam", "transmission_type": "Lever", "body_type": "Sofa", "color": "Odd"},
        {"features": "Never|Seen"},
        {"features": ""},
        {"odometer": math.nan},
        {"odometer": 1e7},
        {"year": 1900},
        {"year": 2100},
        {"ownership": 20},
    ],
)
def test_what_was_never_seen_is_priced(
    change: dict[str, Any], model: PriceModel, common_car: dict[str, Any]
) -> None:
    prices = model.predict(one(common_car | change))
    low, high = model.trained_on["price"]
    assert low / 2 <= prices.price.item() <= high * 2
    assert 0 < prices.low.item() <= prices.price.item() <= prices.high.item()


def test_an_unseen_variant_costs_about_what_its_model_does(
    model: PriceModel, common_car: dict[str, Any]
) -> None:
    known = price(model, common_car)
    assert price(model, common_car | {"variant": "NEVER SEEN"}) == pytest.approx(known, rel=0.5)


def test_a_listing_of_nothing_but_the_required_fields_is_priced(
    model: PriceModel, common_car: dict[str, Any]
) -> None:
    needed = {name: common_car[name] for name in ("make", "model", "year", "odometer")}
    missing = common_car | {name: None for name in common_car if name not in needed}
    numbers = ("ownership", "fitness_age", "engine_cc", "power_bhp", "seats", "cylinders")
    nan = missing | dict.fromkeys(numbers, math.nan)
    left_out = price(model, needed)
    assert left_out == price(model, missing) == price(model, nan)
    assert left_out == pytest.approx(price(model, common_car), rel=0.5)


@pytest.mark.parametrize(
    ("number", "field", "scale"),
    [("power_bhp", "power_bhp", 1), ("seats", "seats", 1), ("litres", "engine_cc", 1000)],
)
def test_a_missing_number_is_priced_as_the_usual_one(
    number: str, field: str, scale: float, model: PriceModel, common_car: dict[str, Any]
) -> None:
    missing = common_car | {field: math.nan, "variant": None}
    usual = model.pricer._read(missing).car.numbers[number] * scale
    assert price(model, missing) == pytest.approx(price(model, missing | {field: usual}))
    assert not math.isnan(usual)


@pytest.mark.parametrize(
    ("low", "high"), [({"year": 2013}, {"year": 2022}), ({"odometer": 200_000}, {"odometer": 9000})]
)
def test_a_better_car_costs_more(
    low: dict[str, Any], high: dict[str, Any], model: PriceModel, common_car: dict[str, Any]
) -> None:
    assert price(model, common_car | low) < price(model, common_car | high)


def test_spellings_of_one_car_have_one_price(model: PriceModel, common_car: dict[str, Any]) -> None:
    variant = common_car["variant"]
    respelled = {
        "make": f" {common_car['make'].upper()} ",
        "model": common_car["model"].lower(),
        "variant": variant.lower().replace(" ", "  "),
        "features": tuple(reversed(common_car["features"].split("|"))),
    }
    assert price(model, common_car | respelled) == price(model, common_car)


def test_more_confidence_gives_a_wider_range(model: PriceModel, columns: Columns) -> None:
    def width(prices: Prices) -> float:
        return float(np.mean(prices.high - prices.low))

    widths = [width(model.predict(columns, confidence)) for confidence in (0.5, 0.8, 0.9, 0.99)]
    assert widths == sorted(set(widths))


def test_a_confidence_outside_is_an_error(model: PriceModel, columns: Columns) -> None:
    with pytest.raises(ValueError, match=r"confidence is 0\.4"):
        model.predict(columns, 0.4)


def test_no_listings_have_no_prices(model: PriceModel, columns: Columns) -> None:
    nothing = model.predict({name: values[:0] for name, values in columns.items()})
    assert nothing.price.shape == nothing.low.shape == nothing.high.shape == (0,)


def test_importance_names_every_column_of_the_matrix(model: PriceModel) -> None:
    assert set(model.importance) == set(model.encoder.columns)
    assert sum(model.importance.values()) == pytest.approx(1, abs=1e-4)


def test_the_folder_holds_no_pickle_and_names_the_data(finished) -> None:
    folder = finished[0].model
    names = {path.name for path in folder.iterdir()}
    assert names == set(FILES)
    manifest = json.loads((folder / MANIFEST).read_text())
    assert manifest["market"]["data_digest"] == finished[1].report["data_digest"]
    assert datetime.date.fromisoformat(manifest["market"]["valuation_date"]).year == 2025
    assert {"numpy", "onnxruntime"} <= set(manifest["libraries"])


@pytest.mark.parametrize("name", FILES)
def test_a_changed_byte_anywhere_keeps_it_from_loading(name: str, finished, tmp_path: Path) -> None:
    shutil.copytree(finished[0].model, tmp_path / "model")
    path = tmp_path / "model" / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(CorruptModelError, match=name):
        PriceModel.load(tmp_path / "model")


def test_a_folder_without_a_model_cannot_be_loaded(tmp_path: Path) -> None:
    write_json(tmp_path / "other.json", {})
    with pytest.raises(InputError, match="is not a model folder"):
        PriceModel.load(tmp_path)
