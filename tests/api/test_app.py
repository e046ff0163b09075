import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from api.serving import ServedModel, load_production
from api.settings import ServiceSettings
from carprice.errors import NoProductionModelError
from carprice.model import PriceModel
from carprice.registry import Registry, promote
from carprice.schema import example_listing
from carprice.workspace import Workspace

BARE = {"make": "Hyundai", "model": "Creta", "year": 2018, "odometer": 61000}
REFERENCE = {
    "make": "Hyundai",
    "model": "Creta",
    "variant": "SX 1.6 CRDI",
    "year": 2018,
    "transmissionType": "Manual",
    "bodyType": "SUV",
    "fuelType": "Diesel",
    "ownership": "2",
    "color": "White",
    "odometer": 61000,
    "fitnessAge": 14,
}


def wait_for(client: TestClient, status: int) -> Any:
    deadline = time.monotonic() + 60
    while (answer := client.get("/")).status_code != status:
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.01)
    return answer


@pytest.fixture(scope="module")
def model(finished) -> PriceModel:
    return PriceModel.load(finished[0].model)


@pytest.fixture(scope="module")
def client(model: PriceModel) -> Iterator[TestClient]:
    with TestClient(create_app(load=lambda: ServedModel(model, "7"))) as client:
        wait_for(client, 200)
        yield client


def price(client: TestClient, listing: dict[str, Any], **query: Any) -> dict[str, Any]:
    answer = client.post("/predict", json=listing, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def problem(answer: Any, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    content = answer.json()
    assert (content["status"], content["type"]) == (status, "about:blank")
    assert content["title"]
    assert content["detail"]
    return content


def test_before_there_is_a_model_every_answer_is_503_with_the_reason() -> None:
    def load() -> ServedModel:
        raise NoProductionModelError("no production version; run `carprice promote`")

    with TestClient(create_app(load=load)) as client:
        deadline = time.monotonic() + 60
        while "promote" not in (health := client.get("/")).text:
            assert time.monotonic() < deadline, health.text
        assert health.status_code == 503
        assert health.json()["status"] == "loading"
        assert int(health.headers["Retry-After"]) > 0
        refused = client.post("/predict", json=BARE)
        assert "carprice promote" in problem(refused, 503)["detail"]
        assert int(refused.headers["Retry-After"]) > 0
        assert client.get("/docs").status_code == 200


def test_the_service_heals_when_the_registry_gets_its_production_model(
    finished, registry_address: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datetime
    import shutil

    monkeypatch.setattr("api.serving._FIRST_WAIT_SECONDS", 0.05)
    workspace = Workspace(tmp_path / "workspace")
    shutil.copytree(finished[0].root, workspace.root)
    uri = registry_address(workspace)
    settings = ServiceSettings(tracking_uri=uri, model_cache=tmp_path / "cache")
    with TestClient(create_app(settings)) as client:
        deadline = time.monotonic() + 60
        while "no production version" not in client.get("/").text:
            assert time.monotonic() < deadline
        now = datetime.datetime(2025, 7, 1, tzinfo=datetime.UTC)
        promote(Registry(uri, "used-car-price"), now, "at last")
        assert wait_for(client, 200).json()["modelVersion"] == "1"
        assert price(client, BARE)["modelVersion"] == "1"


def test_health_names_status_and_version_as_json(client: TestClient) -> None:
    answer = client.get("/")
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json() == {"status": "ok", "modelVersion": "7", "detail": None}


def test_a_price_comes_with_range_currency_date_version_and_warnings(
    client: TestClient, model: PriceModel
) -> None:
    answer = client.post("/predict", json=example_listing())
    content = answer.json()
    assert answer.headers["X-Model-Version"] == content["modelVersion"] == "7"
    assert 0 < content["priceLow"] <= content["predictedPrice"] <= content["priceHigh"]
    assert content["confidence"] == 0.9
    assert content["currency"] == "INR"
    assert content["valuationDate"] == model.market.valuation_date.isoformat()
    assert content["modelDigest"] == model.digest
    assert isinstance(content["warnings"], list)


def test_the_price_is_for_the_day_of_the_listing_where_there_is_one(client: TestClient) -> None:
    dated = price(client, {**BARE, "listedOn": "2024-11-30"})
    assert dated["valuationDate"] == "2024-11-30"


def test_camel_case_and_snake_case_are_the_same_listing(client: TestClient) -> None:
    camel = {**BARE, "fuelType": "Diesel", "transmissionType": "Automatic", "bodyType": "SUV"}
    snake = {**BARE, "fuel_type": "Diesel", "transmission_type": "Automatic", "body_type": "SUV"}
    assert price(client, camel) == price(client, snake)
    assert price(client, camel) != price(client, BARE)


@pytest.mark.parametrize(
    "twelfth", [{"features": ["Bluetooth", "AlloyWheels"]}, {"featureCount": 26}]
)
def test_the_reference_services_twelve_fields_get_a_price(
    client: TestClient, twelfth: dict[str, Any]
) -> None:
    listing = {**REFERENCE, **twelfth}
    assert len(listing) == 12
    answer = price(client, listing)
    assert answer["predictedPrice"] > 0
    unused = [one for one in answer["warnings"] if one["kind"] == "not_used"]
    assert [one["field"] for one in unused] == (
        ["featureCount"] if "featureCount" in twelfth else []
    )


@pytest.mark.parametrize("spelling", ["2", "Second", "Second Owner", "2nd owner"])
def test_ownership_may_be_words(client: TestClient, spelling: str) -> None:
    assert price(client, {**BARE, "ownership": spelling}) == price(client, {**BARE, "ownership": 2})


def test_more_confidence_gives_a_wider_range_around_the_same_price(client: TestClient) -> None:
    narrow, wide = (price(client, BARE, confidence=share) for share in (0.5, 0.99))
    assert (narrow["confidence"], wide["confidence"]) == (0.5, 0.99)
    assert narrow["predictedPrice"] == wide["predictedPrice"]
    assert wide["priceLow"] < narrow["priceLow"]
    assert narrow["priceHigh"] < wide["priceHigh"]


@pytest.mark.parametrize(
    ("change", "kind", "field", "words"),
    [
        ({"make": "Trabant"}, "unseen_make", "make", "'Trabant' was not in the training data"),
        ({"model": "Nonesuch"}, "unseen_model", "model", "priced like its make on average"),
        ({"variant": "Moon Buggy"}, "unseen_variant", "variant", "'Moon Buggy'"),
        ({"year": 1950}, "out_of_range", "year", "an age of"),
        ({"powerBhp": 2400}, "out_of_range", "powerBhp", "2400 is outside"),
        ({"odometer": 5}, "implausible", "odometer", "5 km cannot be right"),
        ({"odometer": 900000}, "implausible", "odometer", "900,000 km"),
    ],
)
def test_what_the_model_has_not_seen_is_warned_of(
    client: TestClient, change: dict[str, Any], kind: str, field: str, words: str
) -> None:
    warnings = price(client, {**BARE, **change})["warnings"]
    (warning,) = [one for one in warnings if one["kind"] == kind]
    assert warning["field"] == field
    assert words in warning["message"]


def test_a_usual_car_is_answered_without_warnings(client: TestClient, finished) -> None:
    import pandas as pd

    car = pd.read_parquet(finished[0].train_listings).iloc[0]
    names = ["make", "model", "variant", "fuel_type", "transmission_type"]
    listing = {name: car[name] for name in names} | {
        "year": int(car["year"]),
        "odometer": float(car["odometer"]),
    }
    assert price(client, listing)["warnings"] == []


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"milage": 5}, "milage", "there is no such field; see /docs"),
        ({"odometr": 5}, "odometr", "there is no such field; did you mean odometer?"),
        ({"odometer": "far"}, "odometer", "found 'far'"),
        ({"odometer": "far"}, "odometer", "valid number"),
        ({"odometer": None}, "odometer", "valid number"),
        ({"odometer": -1}, "odometer", "greater than or equal to 0 (found -1"),
        ({"odometer": 1e300}, "odometer", "less than or equal to 10000000"),
        ({"odometer": 10**400}, "odometer", "odometer"),
        ({"year": 10**400}, "year", "year"),
        ({"year": 2018.5}, "year", "found 2018.5"),
        ({"year": 1700}, "year", "1900"),
        ({"make": ""}, "make", "at least 1 character"),
        ({"make": 5}, "make", "valid string (found 5)"),
        ({"make": "x" * 100_000}, "make", "at most 200 characters"),
        ({"ownership": "many"}, "ownership", "found 'many'"),
        ({"features": {"a": 1}}, "features", "features"),
        ({"features": [1]}, "features.0", "valid string"),
        ({"features": ["x"] * 300}, "features", "200"),
        ({"listedOn": "yesterday"}, "listedOn", "found 'yesterday'"),
        ({"fuelType": ["Petrol"]}, "fuelType", "valid string"),
    ],
)
def test_a_bad_value_is_refused_with_its_field_and_the_value(
    client: TestClient, change: dict[str, Any], field: str, words: str
) -> None:
    answer = client.post("/predict", json={**BARE, **change})
    content = problem(answer, 422)
    assert [one["field"] for one in content["errors"]] == [field]
    assert words in content["detail"]
    assert len(answer.content) < 5000


@pytest.mark.parametrize("name", ["make", "model", "year", "odometer"])
def test_a_missing_field_is_named(client: TestClient, name: str) -> None:
    listing = {key: value for key, value in BARE.items() if key != name}
    content = problem(client.post("/predict", json=listing), 422)
    assert content["detail"] == f"{name}: this field is required"


def test_all_that_is_wrong_is_named_at_once(client: TestClient) -> None:
    content = problem(client.post("/predict", json={"make": "Kia", "year": "x"}), 422)
    assert {one["field"] for one in content["errors"]} == {"model", "year", "odometer"}


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize("name", ["odometer", "year", "powerBhp", "ownership", "featureCount"])
def test_a_number_that_is_not_finite_is_refused(client: TestClient, name: str, number: str) -> None:
    body = json.dumps({**BARE, name: "@"}).replace('"@"', number)
    answer = client.post("/predict", content=body, headers={"Content-Type": "application/json"})
    content = problem(answer, 422)
    assert content["errors"][0]["field"] == name
    assert not any(isinstance(v, float) and math.isnan(v) for v in content["errors"][0].values())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not JSON",
        b'{"make": "Kia",}',
        b"[]",
        b"null",
        b"5",
        b'"text"',
        b'[{"make": "Kia"}]',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"make": ' + b"9" * 10_000 + b"}",
    ],
    ids=lambda body: repr(body[:12]),
)
def test_a_body_that_is_no_listing_is_refused(client: TestClient, body: bytes) -> None:
    answer = client.post("/predict", content=body, headers={"Content-Type": "application/json"})
    assert 400 <= answer.status_code < 500
    problem(answer, answer.status_code)


def test_half_a_surrogate_pair_is_refused_or_priced_but_no_failure(client: TestClient) -> None:
    body = json.dumps({**BARE, "make": "@"}).replace("@", "\\ud800")
    answer = client.post("/predict", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (200, 400, 422), answer.text


def test_a_body_of_another_type_is_refused(client: TestClient) -> None:
    form = client.post("/predict", data={"make": "Kia"})
    problem(form, 422)


@pytest.mark.parametrize("confidence", ["0.3", "1", "NaN", "much"])
def test_a_confidence_outside_its_limits_is_refused(client: TestClient, confidence: str) -> None:
    answer = client.post("/predict", json=BARE, params={"confidence": confidence})
    content = problem(answer, 422)
    assert content["errors"][0]["field"] == "confidence"


def test_unknown_pages_and_wrong_methods_are_problems_too(client: TestClient) -> None:
    problem(client.get("/nowhere"), 404)
    wrong = client.get("/predict")
    problem(wrong, 405)
    assert wrong.headers["Allow"] == "POST"


def test_openapi_shows_an_example_that_gets_a_price(client: TestClient) -> None:
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    (example,) = schemas["ListingRequest"]["examples"]
    assert price(client, example)["predictedPrice"] > 0
    assert {"make", "model", "year", "odometer"} == set(schemas["ListingRequest"]["required"])
    assert schemas["PriceAnswer"]["properties"]["currency"]["examples"] == ["INR"]


def test_openapi_declares_the_problems_of_predict(client: TestClient) -> None:
    responses = client.get("/openapi.json").json()["paths"]["/predict"]["post"]["responses"]
    assert set(responses) == {"200", "422", "503"}
    for status in ("422", "503"):
        assert "application/problem+json" in responses[status]["content"]


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://registry:5000")
    settings = ServiceSettings.from_environment(
        {"CARPRICE_MODEL_NAME": "other", "CARPRICE_MODEL_CACHE": "/var/cache"}
    )
    assert settings.tracking_uri == "http://registry:5000"
    assert (settings.model_name, settings.model_cache) == ("other", Path("/var/cache"))


def test_the_production_model_is_loaded_from_the_registry(
    promoted: Workspace, registry_address: Any, tmp_path: Path
) -> None:
    uri = registry_address(promoted)
    served = load_production(ServiceSettings(tracking_uri=uri, model_cache=tmp_path / "cache"))
    assert served.version == "1"
    assert served.model.digest == PriceModel.load(promoted.model).digest


def test_uvicorn_serves_the_registry_that_the_environment_names(
    promoted: Workspace, client: TestClient, registry_address: Any, serve: Any, tmp_path: Path
) -> None:
    import sys

    root = str(Path(__file__).resolve().parents[2])
    command = [
        *(sys.executable, "-m", "uvicorn", "api.main:app"),
        *("--host", "127.0.0.1", "--port", "{port}"),
    ]
    environment = {
        "MLFLOW_TRACKING_URI": registry_address(promoted),
        "PYTHONPATH": root,
    }
    with serve(command, tmp_path, "/", environment) as server:
        assert json.loads(server.get("/")[1])["modelVersion"] == "1"
        status, answer = server.post("/predict", REFERENCE)
        assert status == 200
        assert answer["predictedPrice"] == price(client, REFERENCE)["predictedPrice"]
        status, answer = server.post("/predict", {**REFERENCE, "odometer": "far"})
        assert (status, answer["errors"][0]["value"]) == (422, "far")


def test_an_explanation_multiplies_and_sums_to_the_price(client: TestClient) -> None:
    answer = client.post("/explain", json=BARE)
    assert answer.status_code == 200
    told = answer.json()
    assert answer.headers["X-Model-Version"] == told["modelVersion"]
    product, total = told["start"], told["start"]
    for reason in told["reasons"]:
        product *= reason["factor"]
        total += reason["amount"]
    assert product == pytest.approx(told["predictedPrice"], rel=1e-6)
    assert total == pytest.approx(told["predictedPrice"], rel=1e-6)
    assert told["predictedPrice"] == pytest.approx(price(client, BARE)["predictedPrice"], abs=0.01)
    assert problem(client.post("/explain", json={**BARE, "odometer": "far"}), 422)
