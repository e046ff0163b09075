import json
import math
import time
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from api.messages import ExplanationAnswer, Health, ModelAnswer, PriceAnswer, VocabularyAnswer
from api.service_settings import ServiceSettings
from carprice.errors import InputError
from carprice.model import PriceModel
from carprice.schema import example_listing

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


def price(client: TestClient, listing: dict[str, Any], **query: Any) -> dict[str, Any]:
    answer = client.post("/predict", json=listing, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def problem(answer: Any, status: int, kind: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    content = answer.json()
    assert (content["status"], content["type"]) == (status, f"urn:carprice:problem:{kind}")
    assert content["title"]
    assert content["detail"]
    return content


def test_before_there_is_a_model_every_answer_is_503_with_the_reason(tmp_path: Path) -> None:
    settings = ServiceSettings(tracking_uri="http://127.0.0.1:9", model_cache=tmp_path)
    with TestClient(create_app(settings)) as client:
        deadline = time.monotonic() + 60
        while "cannot be reached" not in (health := client.get("/")).text:
            assert time.monotonic() < deadline, health.text
            time.sleep(0.01)
        assert health.status_code == client.get("/ready").status_code == 503
        assert health.json()["status"] == "loading"
        assert int(health.headers["Retry-After"]) > 0
        refused = client.post("/predict", json=BARE)
        assert "MLflow at the registry" in problem(refused, 503, "no-model")["detail"]
        assert "127.0.0.1" not in health.text + refused.text
        assert int(refused.headers["Retry-After"]) > 0
        assert client.get("/docs").status_code == client.get("/live").status_code == 200


def test_health_names_status_and_version_as_json(client: TestClient) -> None:
    answer = client.get("/")
    assert answer.headers["Content-Type"] == "application/json"
    content = answer.json()
    assert (content["status"], content["modelVersion"], content["source"]) == (
        "ok",
        "7",
        "registry",
    )
    assert content["detail"] is None


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
        ({"make": "x" * 60_000}, "make", "at most 200 characters"),
        ({"ownership": "many"}, "ownership", "found 'many'"),
        ({"features": {"a": 1}}, "features", "features"),
        ({"odometer": "42000"}, "odometer", "valid number (found '42000')"),
        ({"odometer": True}, "odometer", "valid number (found True)"),
        ({"year": "2018"}, "year", "valid integer (found '2018')"),
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
    content = problem(answer, 422, "invalid-listing")
    assert [one["field"] for one in content["errors"]] == [field]
    assert words in content["detail"]
    assert len(answer.content) < 5000


@pytest.mark.parametrize("name", ["make", "model", "year", "odometer"])
def test_a_missing_field_is_named(client: TestClient, name: str) -> None:
    listing = {key: value for key, value in BARE.items() if key != name}
    content = problem(client.post("/predict", json=listing), 422, "invalid-listing")
    assert content["detail"] == f"{name}: this field is required"


def test_all_that_is_wrong_is_named_at_once(client: TestClient) -> None:
    content = problem(
        client.post("/predict", json={"make": "Kia", "year": "x"}), 422, "invalid-listing"
    )
    assert {one["field"] for one in content["errors"]} == {"model", "year", "odometer"}


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize("name", ["odometer", "year", "powerBhp", "ownership", "featureCount"])
def test_a_number_that_is_not_finite_is_refused(client: TestClient, name: str, number: str) -> None:
    body = json.dumps({**BARE, name: "@"}).replace('"@"', number)
    answer = client.post("/predict", content=body, headers={"Content-Type": "application/json"})
    content = problem(answer, 422, "invalid-listing")
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
    assert answer.status_code in (413, 422)
    kinds = {413: ("request-too-large",), 422: ("malformed-body", "invalid-listing")}
    assert answer.json()["type"].rpartition(":")[2] in kinds[answer.status_code]


def test_half_a_surrogate_pair_is_refused_or_priced_but_no_failure(client: TestClient) -> None:
    body = json.dumps({**BARE, "make": "@"}).replace("@", "\\ud800")
    answer = client.post("/predict", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (200, 400, 422), answer.text


def test_a_body_of_another_type_is_refused(client: TestClient) -> None:
    form = client.post("/predict", data={"make": "Kia"})
    problem(form, 415, "unsupported-media-type")


@pytest.mark.parametrize("confidence", ["0.3", "1", "NaN", "much"])
def test_a_confidence_outside_its_limits_is_refused(client: TestClient, confidence: str) -> None:
    answer = client.post("/predict", json=BARE, params={"confidence": confidence})
    content = problem(answer, 422, "invalid-parameter")
    assert content["errors"][0]["field"] == "confidence"


def test_unknown_pages_and_wrong_methods_are_problems_too(client: TestClient) -> None:
    problem(client.get("/nowhere"), 404, "not-found")
    wrong = client.get("/predict")
    problem(wrong, 405, "method-not-allowed")
    assert wrong.headers["Allow"] == "POST"


def test_openapi_shows_an_example_that_gets_a_price(client: TestClient) -> None:
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    (example,) = schemas["ListingRequest"]["examples"]
    assert price(client, example)["predictedPrice"] > 0
    assert {"make", "model", "year", "odometer"} == set(schemas["ListingRequest"]["required"])
    assert schemas["PriceAnswer"]["properties"]["currency"]["examples"] == ["INR"]


def test_openapi_declares_the_problems_of_predict(client: TestClient) -> None:
    responses = client.get("/openapi.json").json()["paths"]["/predict"]["post"]["responses"]
    problems = {"401", "404", "405", "408", "413", "415", "422", "429", "500", "503"}
    assert set(responses) == {"200", *problems}
    for status in problems:
        (shown,) = responses[status]["content"].items()
        assert shown[0] == "application/problem+json"
        for example in shown[1]["examples"].values():
            assert example["value"]["status"] == int(status)


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ('{"make":"Kia","make":"Kia","model":"Rio","year":2018,"odometer":5000}', "make"),
        ('{"fuelType":"Petrol","fuel_type":"Petrol","make":"Kia","model":"Rio","year":2018,'
         '"odometer":5000}', "fuel_type"),
        ('{"make":"Kia:Rio","model":"Rio","year":2018,"odometer":5000,"y\\u0065ar":2018}', "year"),
    ],
)  # fmt: skip
def test_a_key_that_is_there_twice_is_refused(client: TestClient, body: str, key: str) -> None:
    answer = client.post("/predict", content=body, headers={"Content-Type": "application/json"})
    content = problem(answer, 422, "invalid-listing")
    assert content["errors"][0]["field"] == key


def test_a_colon_in_a_value_is_not_a_key(client: TestClient) -> None:
    assert price(client, {**BARE, "variant": "SX: 1.6:2"})["predictedPrice"] > 0


@pytest.mark.parametrize(
    "query", ["confidance=0.8", "confidence=0.8&confidence=0.9", "confidence=0.8&x=1"]
)
def test_other_parameters_are_refused_by_name(client: TestClient, query: str) -> None:
    problem(client.post(f"/predict?{query}", json=BARE), 422, "invalid-parameter")


def test_the_model_tells_what_it_is(client: TestClient, model: PriceModel) -> None:
    content = client.get("/model").json()
    assert (content["version"], content["digest"]) == ("7", model.digest)
    assert content["valuationDate"] == model.market.valuation_date.isoformat()
    assert content["metrics"]["mape"] == model.metrics["mape"]
    assert content["trainingData"] == model.market.data_digest
    assert ModelAnswer.model_validate_json(client.get("/model").content).currency == "INR"


def test_the_vocabulary_lists_what_is_priced_without_a_warning(client: TestClient) -> None:
    makes = VocabularyAnswer.model_validate_json(client.get("/vocabulary").content).makes
    make, models = next(iter(makes.items()))
    name, variants = next(iter(models.items()))
    car = {**BARE, "make": make, "model": name, "variant": variants[0]}
    assert not [one for one in price(client, car)["warnings"] if "unseen" in one["kind"]]


def test_answers_have_the_form_that_openapi_promises(client: TestClient) -> None:
    answer = client.post("/predict", json={**BARE, "model": "Nonesuch", "featureCount": 3})
    assert len(PriceAnswer.model_validate_json(answer.content).warnings) == 2
    ExplanationAnswer.model_validate_json(client.post("/explain", json=BARE).content)
    Health.model_validate_json(client.get("/").content)


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://registry:5000")
    monkeypatch.setenv("CARPRICE_MODEL_NAME", "other")
    monkeypatch.setenv("CARPRICE_MODEL_CACHE", "/var/cache")
    settings = ServiceSettings.from_environment()
    assert settings.tracking_uri == "http://registry:5000"
    assert (settings.model_name, settings.model_cache) == ("other", Path("/var/cache"))


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CARPRICE_POLL_SECONDS", "-1"),
        ("CARPRICE_BATCH_ROWS", "many"),
        ("CARPRICE_DOCS", "perhaps"),
    ],
)
def test_a_setting_that_is_not_allowed_is_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(InputError, match=f"{variable}: .*found '{value}'"):
        ServiceSettings.from_environment()


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31", "2100-06-30"])
def test_a_day_far_from_the_data_is_priced_as_a_near_one_with_a_warning(
    client: TestClient, day: str
) -> None:
    answer = price(client, {**BARE, "listedOn": day})
    assert 1_000 < answer["predictedPrice"] < 1e8
    told = {warning["field"] for warning in answer["warnings"]}
    assert "listedOn" in told


def test_a_row_with_thousands_of_keys_is_refused_at_once(client: TestClient) -> None:
    row = {f"odometer{number}": number for number in range(5000)}
    answer = client.post("/predict/batch", json={"listings": [row]})
    assert "5,000 keys" in answer.json()["rows"][0]["problem"]["detail"]
