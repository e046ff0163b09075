import json
import time
from pathlib import Path
from typing import Any

import pytest
from asking import BARE, post, refused
from fastapi.testclient import TestClient

from api.app import create_app
from api.bodies import Health, ModelAnswer, PriceAnswer, VocabularyAnswer
from api.service_settings import ServiceSettings
from carprice.errors import InputError
from carprice.model import PriceModel
from carprice.schema import example_listing

REFERENCE = {
    **BARE,
    **{"variant": "SX 1.6 CRDI", "transmissionType": "Manual", "bodyType": "SUV"},
    **{"fuelType": "Diesel", "ownership": "2", "color": "White", "fitnessAge": 14},
}


def price(client: TestClient, listing: dict[str, Any], **query: Any) -> dict[str, Any]:
    answer = client.post("/predict", json=listing, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


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
        answer = client.post("/predict", json=BARE)
        assert "MLflow at the registry" in refused(answer, 503, "no-model")["detail"]
        assert "127.0.0.1" not in health.text + answer.text
        assert int(answer.headers["Retry-After"]) > 0
        assert client.get("/docs").status_code == client.get("/live").status_code == 200


def test_health_names_status_and_version_as_json(client: TestClient) -> None:
    answer = client.get("/")
    assert answer.headers["Content-Type"] == "application/json"
    health = Health.model_validate_json(answer.content)
    assert (health.status, health.model_version) == ("ok", "7")
    assert (health.source, health.detail) == ("registry", None)


def test_a_price_comes_with_range_currency_date_version_and_warnings(
    client: TestClient, model: PriceModel
) -> None:
    answer = client.post("/predict", json={**example_listing(), "featureCount": 3})
    content = PriceAnswer.model_validate_json(answer.content)
    assert answer.headers["X-Model-Version"] == content.model_version == "7"
    assert 0 < content.price_low <= content.predicted_price <= content.price_high
    assert (content.confidence, content.currency) == (0.9, "INR")
    assert content.valuation_date == model.market.valuation_date
    assert content.model_digest == model.digest
    assert content.warnings[-1].kind == "not_used"


def test_the_price_is_for_the_day_of_the_listing_where_there_is_one(client: TestClient) -> None:
    dated = price(client, {**BARE, "listedOn": "2024-11-30"})
    assert dated["valuationDate"] == "2024-11-30"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"fuelType": "Diesel", "transmissionType": "Automatic", "bodyType": "SUV"},
         {"fuel_type": "Diesel", "transmission_type": "Automatic", "body_type": "SUV"}),
        *[({"ownership": words}, {"ownership": 2})
          for words in ("2", "Second", "Second Owner", "2nd owner")],
    ],
)  # fmt: skip
def test_spellings_of_one_listing_get_one_price(
    client: TestClient, one: dict[str, Any], other: dict[str, Any]
) -> None:
    assert price(client, {**BARE, **one}) == price(client, {**BARE, **other})
    assert price(client, {**BARE, **one}) != price(client, BARE)


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
        ({"milage": 5}, "milage", "there is no such field; the fields are make, model"),
        ({"odometr": 5}, "odometr", "there is no such field; did you mean odometer?"),
        ({"odometer": "far"}, "odometer", "found 'far'"),
        ({"odometer": "far"}, "odometer", "valid number"),
        ({"odometer": None}, "odometer", "this field is required"),
        ({"odometer": -1}, "odometer", "greater than or equal to 0 (found -1"),
        ({"odometer": 1e300}, "odometer", "less than or equal to 10000000"),
        ({"odometer": 10**400}, "odometer", "odometer"),
        ({"year": 10**400}, "year", "year"),
        ({"year": 2018.5}, "year", "found 2018.5"),
        ({"year": 1700}, "year", "1900"),
        ({"make": ""}, "make", "this field is required"),
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
    content = refused(answer, 422, "invalid-listing")
    assert [one["field"] for one in content["errors"]] == [field]
    assert words in content["detail"]
    assert len(answer.content) < 5000


def test_all_that_is_missing_or_wrong_is_named_at_once(client: TestClient) -> None:
    content = refused(client.post("/predict", json={"ownership": "x"}), 422, "invalid-listing")
    assert {one["field"] for one in content["errors"]} == {"ownership", *BARE}
    for name in BARE:
        assert f"{name}: this field is required" in content["detail"]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_that_is_not_finite_is_refused(client: TestClient, number: str) -> None:
    names = ["odometer", "year", "powerBhp", "ownership", "featureCount"]
    body = json.dumps({**BARE, **dict.fromkeys(names, "@")}).replace('"@"', number)
    answer = post(client, "/predict", body.encode())
    content = refused(answer, 422, "invalid-listing")
    assert {one["field"] for one in content["errors"]} == set(names)
    assert "NaN" not in answer.text


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
    answer = post(client, "/predict", body)
    assert answer.status_code in (413, 422)
    kinds = {413: ("request-too-large",), 422: ("malformed-body", "invalid-listing")}
    assert answer.json()["type"].rpartition(":")[2] in kinds[answer.status_code]


def test_half_a_surrogate_pair_is_refused_or_priced_but_no_failure(client: TestClient) -> None:
    answer = post(client, "/predict", {**BARE, "make": "\ud800"})
    assert answer.status_code in (200, 400, 422), answer.text


def test_a_body_of_another_type_is_refused(client: TestClient) -> None:
    form = client.post("/predict", data={"make": "Kia"})
    refused(form, 415, "unsupported-media-type")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        *[(f"confidence={value}", "confidence") for value in ("0.3", "1", "NaN", "much", "")],
        ("confidance=0.8", "confidance"),
        ("confidence=0.8&confidence=0.9", "confidence"),
        ("confidence=0.8&x=1", "x"),
    ],
)
def test_other_parameters_and_values_are_refused_by_name(
    client: TestClient, query: str, field: str
) -> None:
    answer = client.post(f"/predict?{query}", json=BARE)
    (error,) = refused(answer, 422, "invalid-parameter")["errors"]
    assert error["field"] == field


def test_unknown_pages_and_wrong_methods_are_problems_too(client: TestClient) -> None:
    refused(client.get("/nowhere"), 404, "not-found")
    wrong = client.get("/predict")
    refused(wrong, 405, "method-not-allowed")
    assert wrong.headers["Allow"] == "POST"


def test_each_example_of_openapi_gets_an_answer(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    sent = 0
    for path, methods in document["paths"].items():
        known = path.format(name="used-car-price", version="7")
        body = methods.get("post", {}).get("requestBody", {"content": {}})
        for media_type, shown in body["content"].items():
            examples = [one["value"] for one in shown.get("examples", {}).values()]
            for example in examples or [shown["example"]]:
                content = example.encode() if isinstance(example, str) else example
                answer = post(client, known, content, **{"Content-Type": media_type})
                assert answer.status_code == 200, (path, answer.text)
                sent += 1
    assert sent >= 10
    schemas = document["components"]["schemas"]
    (example,) = schemas["ListingRequest"]["examples"]
    assert price(client, example)["predictedPrice"] > 0
    assert set(BARE) == set(schemas["ListingRequest"]["required"])
    assert schemas["PriceAnswer"]["properties"]["currency"]["examples"] == ["INR"]
    infer = document["paths"]["/v2/models/{name}/infer"]["post"]
    assert [one["name"] for one in infer["parameters"]] == ["name", "confidence"]


def test_openapi_declares_the_problems_of_predict(client: TestClient) -> None:
    responses = client.get("/openapi.json").json()["paths"]["/predict"]["post"]["responses"]
    problems = {"400", "401", "404", "405", "408", "413", "415", "422", "429", "431", "500", "503"}
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
    content = refused(post(client, "/predict", body.encode()), 422, "invalid-listing")
    assert content["errors"][0]["field"] == key


def test_a_colon_in_a_value_is_not_a_key(client: TestClient) -> None:
    assert price(client, {**BARE, "variant": "SX: 1.6:2"})["predictedPrice"] > 0


def test_the_model_tells_what_it_is(client: TestClient, model: PriceModel) -> None:
    content = ModelAnswer.model_validate_json(client.get("/model").content)
    assert (content.version, content.digest) == ("7", model.digest)
    assert (content.valuation_date, content.currency) == (model.market.valuation_date, "INR")
    assert content.metrics["mape"] == model.metrics["mape"]
    assert content.training_data == model.market.data_digest


def test_the_vocabulary_lists_what_is_priced_without_a_warning(client: TestClient) -> None:
    makes = VocabularyAnswer.model_validate_json(client.get("/vocabulary").content).makes
    make, models = next(iter(makes.items()))
    name, variants = next(iter(models.items()))
    car = {**BARE, "make": make, "model": name, "variant": variants[0]}
    assert not [one for one in price(client, car)["warnings"] if "unseen" in one["kind"]]


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://registry:5000")
    names = {"CARPRICE_MODEL_NAME": "other", "CARPRICE_MODEL_CACHE": "/var/cache"}
    settings = ServiceSettings.from_environment(names)
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
def test_a_setting_that_is_not_allowed_is_named(variable: str, value: str) -> None:
    with pytest.raises(InputError, match=f"{variable}: .*found '{value}'"):
        ServiceSettings.from_environment({variable: value})


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31", "2100-06-30"])
def test_a_day_far_from_the_data_is_priced_as_a_near_one_with_a_warning(
    client: TestClient, day: str
) -> None:
    answer = price(client, {**BARE, "listedOn": day})
    assert 1_000 < answer["predictedPrice"] < 1e8
    told = {warning["field"] for warning in answer["warnings"]}
    assert "listedOn" in told
