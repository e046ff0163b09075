import sys
from typing import Any

import pandas as pd
import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from api.served import ServedModel
from carprice.components.workspace import Workspace
from carprice.errors import InputError
from carprice.model import PriceModel
from carprice.pyfunc import PricePyfunc, _load_pyfunc
from carprice.schema import example_listing

BARE = {"make": "Hyundai", "model": "Creta", "year": 2018, "odometer": 61000}
RECORDS: list[dict[str, Any]] = [
    example_listing(),
    BARE,
    {**BARE, "fuelType": "Diesel", "transmissionType": "Automatic", "ownership": 2},
    {**BARE, "features": ["Bluetooth", "Sunroof/Moonroof"], "listedOn": "2024-11-30"},
    {**BARE, "make": "Unheard", "model": "Of", "odometer": 5},
]


@pytest.fixture(scope="module")
def priced_by_service(promoted: Workspace) -> list[dict[str, Any]]:
    """What POST /predict of our own service answers."""
    served = ServedModel.of(PriceModel.load(promoted.model), "1")
    with TestClient(create_app(served=served)) as client:
        while client.get("/").status_code != 200:
            pass
        return [client.post("/predict", json=record).json() for record in RECORDS]


@pytest.fixture(scope="module")
def pyfunc(promoted: Workspace, registry_address: Any) -> Any:
    import mlflow

    mlflow.set_tracking_uri(registry_address(promoted))
    mlflow.set_registry_uri(registry_address(promoted))
    return mlflow.pyfunc.load_model("models:/used-car-price@production")


def frame(record: dict[str, Any]) -> pd.DataFrame:
    numbers = {"year", "ownership", "odometer", "fitnessAge", "engineCc", "powerBhp", "seats"}
    return pd.DataFrame([{name: float(v) if name in numbers else v for name, v in record.items()}])


def test_the_pyfunc_answers_each_listing_as_the_service_does(
    pyfunc: Any, priced_by_service: list[dict[str, Any]]
) -> None:
    for record, expected in zip(RECORDS, priced_by_service, strict=True):
        (answer,) = pyfunc.predict(frame(record)).to_dict("records")
        assert {**answer, "modelVersion": expected["modelVersion"]} == expected, record


def test_the_pyfunc_takes_a_confidence(pyfunc: Any) -> None:
    wide, narrow = (
        pyfunc.predict(frame(BARE), params={"confidence": share}).iloc[0] for share in (0.99, 0.5)
    )
    assert wide["predictedPrice"] == narrow["predictedPrice"]
    assert wide["priceLow"] < narrow["priceLow"] < narrow["priceHigh"] < wide["priceHigh"]


@pytest.fixture(scope="module")
def loaded(promoted: Workspace) -> PricePyfunc:
    return _load_pyfunc(str(promoted.model))


def test_the_loaded_model_takes_snake_case_too(loaded: PricePyfunc) -> None:
    camel = loaded.predict(pd.DataFrame([{**BARE, "fuelType": "Diesel", "bodyType": "SUV"}]))
    snake = loaded.predict(pd.DataFrame([{**BARE, "fuel_type": "Diesel", "body_type": "SUV"}]))
    assert camel.equals(snake)
    petrol = {**BARE, "fuelType": "Petrol", "bodyType": "SUV"}
    assert not camel.equals(loaded.predict(pd.DataFrame([petrol])))


def test_rows_with_and_without_optional_fields_do_not_disturb_each_other(
    loaded: PricePyfunc,
) -> None:
    together = loaded.predict(pd.DataFrame(RECORDS))
    for number, record in enumerate(RECORDS):
        alone = loaded.predict(pd.DataFrame([record]))
        assert together["predictedPrice"][number] == alone["predictedPrice"][0], record


def test_a_folder_that_is_no_model_names_itself(tmp_path) -> None:
    with pytest.raises((RuntimeError, InputError), match=r"is not a model folder"):
        _load_pyfunc(str(tmp_path))


def test_mlflow_models_serve_answers_as_the_service_does(
    promoted: Workspace,
    priced_by_service: list[dict[str, Any]],
    registry_address: Any,
    serve: Any,
    tmp_path: Any,
) -> None:
    command = [
        *(sys.executable, "-m", "mlflow", "models", "serve"),
        *("-m", "models:/used-car-price@production", "--env-manager", "local"),
        *("--host", "127.0.0.1", "--port", "{port}"),
    ]
    environment = {
        "MLFLOW_TRACKING_URI": registry_address(promoted),
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    prices = [answer["predictedPrice"] for answer in priced_by_service]
    with serve(command, tmp_path, "/ping", environment) as server:
        for record, price in zip(RECORDS, prices, strict=True):
            status, answer = server.post("/invocations", {"dataframe_records": [record]})
            assert status == 200, answer
            assert answer["predictions"][0]["predictedPrice"] == price, record
        status, answer = server.post("/invocations", {"dataframe_records": RECORDS})
        assert status == 200, answer
        assert [one["predictedPrice"] for one in answer["predictions"]] == prices
