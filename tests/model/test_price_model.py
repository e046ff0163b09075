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
from carprice.errors import CorruptModelError
from carprice.listings.frames import as_columns, read_features
from carprice.model import PriceModel, price_model
from carprice.model_folder import MANIFEST, folder_digest
from carprice.settings import TrainSettings

ROWS = 60
FILES = (
    MANIFEST,
    "booster.onnx",
    "defaults.json",
    "encoder.json",
    "hedonic.json",
    "learned.bin",
    "listings.bin",
    "listings.json",
    "ranges.json",
    "reference.json",
    "scale.onnx",
    "segments.json",
    "support.json",
)


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


def test_saved_and_loaded_it_has_the_same_digest_and_prices_to_the_bit(
    finished, columns: Columns, tmp_path: Path
) -> None:
    rows, log_price = read_features(finished[0].train_features)
    color, gearbox = (np.array(rows.texts[name]) for name in ("color", "transmission"))
    for_trees_alone = (color == "white") != (gearbox == "automatic")
    booster = {"n_estimators": 60, "learning_rate": 0.1}
    settings = TrainSettings.model_validate({"folds": 2, "booster": booster})
    market = PriceModel.load(finished[0].model).market
    fitted = PriceModel.fit(rows, log_price + 0.5 * for_trees_alone, market, settings)
    digest = fitted.save(tmp_path / "model")
    loaded = PriceModel.load(tmp_path / "model")
    assert loaded.digest == digest == loaded.save(tmp_path / "again")
    for side in ("price", "low", "high"):
        expected = getattr(fitted.predict(columns), side)
        assert np.array_equal(getattr(loaded.predict(columns), side), expected), side
    assert loaded.explain(columns) == fitted.explain(columns)
    for name in ("market", "trained_on", "metrics", "importance"):
        assert getattr(loaded, name) == getattr(fitted, name)
    assert max(value for name, value in fitted.importance.items() if "=" in name) > 0
    assert set(loaded.importance) == set(loaded.encoder.columns)
    assert sum(loaded.importance.values()) == pytest.approx(1, abs=1e-4)


def test_trained_again_it_has_the_same_digest(finished, small_settings, tmp_path: Path) -> None:
    workspace, again = finished[0], Workspace(tmp_path)
    for path in (workspace.train_features, workspace.market, workspace.report):
        target = again.root / path.relative_to(workspace.root)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    train(small_settings.train, again, lambda _: None)
    assert folder_digest(again.model) == folder_digest(workspace.model)


def test_of_many_rows_the_trees_learn_from_a_sample(
    finished, model: PriceModel, columns: Columns, small_settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, log_price = read_features(finished[0].train_features)
    rows = len(features)
    monkeypatch.setattr(price_model, "_TREE_ROWS", rows * 3 // 4)
    monkeypatch.setattr(price_model, "_MOST_CROSS_FITTED", rows // 2)
    monkeypatch.setattr(price_model, "_CALIBRATION_ROWS", rows // 4)
    sampled = PriceModel.fit(features, log_price, model.market, small_settings.train)
    assert sampled.hedonic == model.hedonic  # which learns from all rows
    assert sampled.cars == model.cars
    assert sampled.reference is not None
    assert sampled.reference.rows <= rows // 4
    assert sampled.metrics["mape"] == pytest.approx(model.metrics["mape"], rel=0.2)
    assert sampled.metrics["coverage"] == pytest.approx(90, abs=4)
    apart = np.abs(np.log(sampled.predict(columns).price / model.predict(columns).price))
    assert 0 < np.median(apart) < 0.03


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


def test_a_listing_of_nothing_but_the_required_fields_is_priced(
    model: PriceModel, common_car: dict[str, Any]
) -> None:
    needed = {name: common_car[name] for name in ("make", "model", "year", "odometer")}
    missing = common_car | {name: None for name in common_car if name not in needed}
    numbers = ("ownership", "fitness_age", "engine_cc", "power_bhp", "seats", "cylinders")
    left_out = model.pricer.value(needed)
    assert left_out == model.pricer.value(missing)
    assert left_out == model.pricer.value(missing | dict.fromkeys(numbers, math.nan))
    assert left_out.predicted_price == pytest.approx(price(model, common_car), rel=0.5)


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


def test_spellings_of_one_car_have_one_price(model: PriceModel, common_car: dict[str, Any]) -> None:
    variant = common_car["variant"]
    respelled = {
        "make": f" {common_car['make'].upper()} ",
        "model": common_car["model"].lower(),
        "variant": variant.lower().replace(" ", "  "),
        "features": tuple(reversed(common_car["features"].split("|"))),
    }
    assert price(model, common_car | respelled) == price(model, common_car)


def test_no_listings_have_no_prices(model: PriceModel, columns: Columns) -> None:
    nothing = model.predict({name: values[:0] for name, values in columns.items()})
    assert nothing.price.shape == nothing.low.shape == nothing.high.shape == (0,)


def test_the_folder_holds_no_pickle_and_names_the_data(finished) -> None:
    folder = finished[0].model
    names = {path.name for path in folder.iterdir()}
    assert names == set(FILES)
    manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
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
