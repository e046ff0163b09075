import csv
import io
import json
from typing import Any

import pytest
import requests
from asking import BARE, FULL, post, prices_of, refused
from fastapi.testclient import TestClient

from api.app import create_app
from api.protocols.messages import Predictions
from api.service_settings import ServiceSettings
from carprice.schema import example_listing

ODD = {**BARE, "make": "Trabant", "powerBhp": 2400}
ROWS = [FULL, ODD, example_listing(), {**BARE, "listedOn": "2024-11-30"}]
NAMES = list(dict.fromkeys(name for row in ROWS for name in row))
AS_CSV = {"Content-Type": "text/csv"}
COLUMNS = ["predictedPrice", "priceLow", "priceHigh", "confidence", "currency", "valuationDate",
           "modelDigest", "warnings"]  # fmt: skip


def split(rows: list[dict[str, Any]], missing: object = None) -> dict[str, Any]:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return {"columns": names, "data": [[row.get(name, missing) for name in names] for row in rows]}


def by_column(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {name: [row.get(name) for row in rows] for name in NAMES}


def alone(client: TestClient, rows: list[dict[str, Any]], **query: Any) -> list[dict[str, Any]]:
    answers = prices_of(client, rows, **query)
    return [{name: answer[name] for name in COLUMNS} for answer in answers]


def invoke(client: TestClient, content: object, **headers: str) -> Any:
    return post(client, "/invocations", content, **headers)


@pytest.mark.parametrize(
    "content",
    [
        {"dataframe_split": split(ROWS)},
        {"dataframe_split": {**split(ROWS, float("nan")), "index": [3, 1, 4, 1]}},
        {"dataframe_records": ROWS},
        {"dataframe_records": [{"color": float("nan"), "seats": float("nan"), **r} for r in ROWS]},
        {"inputs": ROWS},
        {"inputs": by_column(ROWS)},
        {"instances": ROWS},
        {"instances": by_column(ROWS), "params": {}},
        ROWS,
        split(ROWS),
    ],
    ids=lambda content: json.dumps(content)[:30],
)
def test_each_form_prices_its_rows_as_predict_does(client: TestClient, content: object) -> None:
    answer = invoke(client, content)
    assert answer.json() == {"predictions": alone(client, ROWS)}
    assert len(Predictions.model_validate_json(answer.content).predictions) == len(ROWS)


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json; format=pandas-split",
        "application/json; format=pandas-records",
        "application/json;charset=utf-8",
        "APPLICATION/JSON",
    ],
)
def test_parameters_of_the_content_type_do_not_matter(
    client: TestClient, content_type: str
) -> None:
    answer = invoke(client, split([FULL]), **{"Content-Type": content_type})
    assert answer.json()["predictions"] == alone(client, [FULL])


def test_snake_case_whole_floats_and_equipment_in_one_text_are_the_same_listing(
    client: TestClient,
) -> None:
    snake = {**BARE, "year": 2018.0, "ownership": 2.0, "fuel_type": "Diesel",
             "features": "Bluetooth|Tpms"}  # fmt: skip
    camel = {**BARE, "ownership": 2, "fuelType": "Diesel", "features": ["Bluetooth", "Tpms"]}
    for content in ({"dataframe_records": [snake]}, {"dataframe_split": split([snake])}):
        assert invoke(client, content).json()["predictions"] == alone(client, [camel])


@pytest.mark.parametrize("one", [BARE, FULL])
def test_inputs_may_be_one_record(client: TestClient, one: dict[str, Any]) -> None:
    for form in ("inputs", "instances"):
        assert invoke(client, {form: one}).json()["predictions"] == alone(client, [one])


@pytest.mark.parametrize("form", ["dataframe_split", "dataframe_records", "inputs"])
def test_params_set_the_confidence(client: TestClient, form: str) -> None:
    rows = split([FULL]) if form == "dataframe_split" else [FULL]
    for query, params, expected in (
        ("", {"confidence": 0.8}, 0.8),
        ("?confidence=0.6", {"confidence": 0.8}, 0.8),
        ("?confidence=0.6", {}, 0.6),
    ):
        body = {form: rows, "params": params}
        answer = client.post(f"/invocations{query}", json=body)
        assert answer.json()["predictions"] == alone(client, [FULL], confidence=expected)


def test_many_rows_keep_their_order_and_prices(client: TestClient) -> None:
    rows = [{**BARE, "odometer": 10_000 + 100 * number} for number in range(700)]
    answer = invoke(client, {"dataframe_split": split(rows)}).json()["predictions"]
    assert len(answer) == 700
    assert [answer[0], answer[16], answer[699]] == alone(client, [rows[0], rows[16], rows[699]])
    few = invoke(client, {"dataframe_split": split(rows[:20])}).json()["predictions"]
    assert few == answer[:20]


@pytest.mark.parametrize(
    "content",
    [{"inputs": []}, [], {"dataframe_split": split([BARE]) | {"data": []}},
     {"inputs": {name: [] for name in BARE}}],
)  # fmt: skip
def test_no_rows_are_answered_with_none(client: TestClient, content: object) -> None:
    assert invoke(client, content).json() == {"predictions": []}


def test_csv_is_priced_and_answered(client: TestClient) -> None:
    body = b"make,model,year,odometer,fuel_type\r\nHyundai,Creta,2018,61000,\r\nKia,X,2019,5,Petrol"
    rows = [BARE, {"make": "Kia", "model": "X", "year": 2019, "odometer": 5, "fuelType": "Petrol"}]
    answer = invoke(client, body, **AS_CSV)
    assert answer.json()["predictions"] == alone(client, rows)
    for headers, content in ((AS_CSV, body), ({}, {"inputs": rows})):
        answer = invoke(client, content, **headers, Accept="text/csv")
        assert answer.headers["Content-Type"].startswith("text/csv")
        told = list(csv.DictReader(io.StringIO(answer.text)))
        assert [set(row) for row in told] == [set(COLUMNS)] * 2
        for row, expected in zip(told, alone(client, rows), strict=True):
            assert float(row["predictedPrice"]) == expected["predictedPrice"]
            assert float(row["confidence"]) == 0.9
            assert row["modelDigest"] == expected["modelDigest"]
            assert row["warnings"] == "; ".join(one["message"] for one in expected["warnings"])
    answer = client.post("/invocations?confidence=0.7", content=body, headers=AS_CSV)
    assert answer.json()["predictions"] == alone(client, rows, confidence=0.7)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"dataframe_records": [BARE, {**BARE, "odometer": "far"}]},
         "dataframe_records[1].odometer: Input should be a valid number (found 'far')"),
        ({"dataframe_split": split([BARE, {**BARE, "year": 1700}])},
         "dataframe_split.data[1].year: Input should be greater than or equal to 1900"),
        ({"inputs": by_column([BARE, {**BARE, "odometer": None}])},
         "inputs[1].odometer: this field is required"),
        ({"instances": [BARE, 5]}, "instances[1].body: must be a JSON object"),
        ([{**BARE, "milage": 1}], "rows[0].milage: there is no such field"),
        ([{**BARE, "fuelType": "Petrol", "fuel_type": "Petrol"}], "rows[0].fuel_type: there is no"),
        ([{**BARE, "features": ["a", 5]}], "rows[0].features.1: Input should be a valid string"),
        ([{**BARE, "odometer": float("inf")}], "rows[0].odometer: Input should be a finite number"),
        ([{"make": "Kia"}] * 12, "rows[9].odometer: this field is required"),
        ({"dataframe_split": {"columns": ["make", "yaer"], "data": []}}, "did you mean year?"),
        ({"dataframe_split": {"columns": [*BARE, "make"], "data": []}}, "make: is there twice"),
        ({"dataframe_split": {"columns": [*BARE, "fuelType", "fuel_type"], "data": []}},
         "fuel_type: is there twice"),
        ({"dataframe_split": {"columns": ["make"], "data": []}}, "model: this column is required"),
        ({"dataframe_split": {"columns": list(BARE), "data": [["Kia", "Rio", 2019]]}},
         "dataframe_split.data[0]: has 3 cells; there are 4 columns"),
        ({"dataframe_split": {"columns": list(BARE), "data": [5]}},
         "dataframe_split.data.0: Input should be a valid list"),
        ({"dataframe_split": {"data": []}}, "dataframe_split.columns: this field is required"),
        ({"dataframe_split": {"columns": [0, 1], "data": []}}, "dataframe_split.columns.0"),
        ({"dataframe_split": {**split([BARE]), "index": 5}}, "dataframe_split.index"),
        ({**split([BARE]), "name": 5}, "name: there is no such field"),
        ({"inputs": {**by_column([BARE]), "make": "Kia"}}, "inputs.make: must be an array of 1"),
        ({"inputs": {**by_column([BARE]), "make": ["Kia"] * 2}}, "inputs.model: must be an array"),
        ({"inputs": [BARE], "params": {"confidence": 2}}, "params.confidence"),
        ({"inputs": [BARE], "params": {"confidence": True}}, "params.confidence"),
        ({"inputs": [BARE], "params": {"confidance": 0.8}}, "params.confidance: there is no"),
    ],
    ids=lambda part: str(part)[:40],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_place(
    client: TestClient, content: object, words: str
) -> None:
    assert words in refused(invoke(client, content), 422, "invalid-listing")["detail"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "exactly one of dataframe_split, dataframe_records, inputs, instances"),
        ({"inputs": [BARE], "instances": [BARE]}, "found the keys inputs, instances"),
        ({"inputs": [BARE], "signature_name": "x"}, "found the keys inputs, signature_name"),
        ({"listings": [BARE]}, "found the keys listings"),
        (5, "found something else"),
        (None, "found something else"),
        ({"dataframe_records": BARE}, "dataframe_records: must be an array of records"),
        ({"dataframe_split": [BARE]}, "dataframe_split: must be a JSON object"),
        ({"inputs": "Kia"}, "inputs: must be an array"),
        ({"inputs": [BARE], "params": None}, "params: must be a JSON object"),
        (b"{", "not valid JSON"),
        (b"", "not valid JSON"),
        (b"\xff", "not valid JSON"),
    ],
    ids=lambda part: str(part)[:40],
)
def test_a_body_of_another_form_is_refused(client: TestClient, content: object, words: str) -> None:
    assert words in refused(invoke(client, content), 422, "malformed-body")["detail"]


@pytest.mark.parametrize(
    "body",
    [
        b'{"inputs": [], "params": {"confidence": 0.5, "confidence": 0.9}}',
        b'{"inputs": [], "inputs": []}',
        b'{"inputs": [{"make": "Kia", "make": "Kia"}]}',
    ],
)
def test_a_key_that_is_there_twice_is_refused(client: TestClient, body: bytes) -> None:
    assert "is there twice" in refused(invoke(client, body), 422, "invalid-listing")["detail"]


def test_csv_that_is_wrong_is_named_with_its_row(client: TestClient) -> None:
    head = "make,model,year,odometer\nKia,Rio,2019,5000\n"
    for tail, words in (
        ("Kia,Rio,2019,far\n", "rows[1].odometer: Input should be a valid number"),
        ("Kia,Rio,2019\n", "rows[1]: the row has 3 cells, the header 4"),
    ):
        answer = invoke(client, (head + tail).encode(), **AS_CSV)
        assert words in refused(answer, 422, "invalid-listing")["detail"]


def test_other_bodies_and_parameters_are_refused(client: TestClient) -> None:
    parquet = invoke(client, b"PAR1", **{"Content-Type": "application/vnd.apache.parquet"})
    detail = refused(parquet, 415, "unsupported-media-type")["detail"]
    assert "application/json or text/csv" in detail
    other = client.post("/invocations?confidance=0.8", json={"inputs": []})
    refused(other, 422, "invalid-parameter")


def test_the_limits_of_batches_hold(client_with: Any) -> None:
    with client_with(batch_rows=3, batch_bytes=2000) as client:
        for content in ([BARE] * 4, {"inputs": by_column([BARE] * 4)}, split([BARE] * 4)):
            assert "4 rows" in refused(invoke(client, content), 413, "request-too-large")["detail"]
        refused(invoke(client, b" " * 2001), 413, "request-too-large")
        assert invoke(client, [BARE] * 3).status_code == 200


def test_rows_and_warnings_are_counted(client_with: Any) -> None:
    with client_with() as client:
        assert invoke(client, [ODD, ODD]).status_code == 200
        counted = client.get("/metrics").text
    assert 'carprice_warnings_total{kind="unseen_make"} 2.0' in counted
    assert "carprice_batch_rows_sum 2.0" in counted


def test_ping_is_200_with_no_body_only_while_there_is_a_model(
    client: TestClient, settings: ServiceSettings
) -> None:
    answer = client.get("/ping")
    assert (answer.status_code, answer.content) == (200, b"")
    assert client.get("/version").text.split(".")[0].isdigit()
    with TestClient(create_app(settings)) as empty:
        refused(empty.get("/ping"), 503, "no-model")
        refused(invoke(empty, [BARE]), 503, "no-model")


def test_a_service_about_to_stop_is_not_ready_and_still_answers(client_with: Any) -> None:
    with client_with() as client:
        client.app.state.service.drain.begun = True
        for path in ("/ping", "/v2/health/ready", "/v2/models/used-car-price/ready"):
            detail = refused(client.get(path), 503, "busy")["detail"]
            assert detail == "the service is about to stop"
        assert invoke(client, [BARE]).status_code == 200


def test_mlflows_own_client_gets_the_right_prices(running: Any) -> None:
    import mlflow
    import pandas as pd
    from mlflow.pyfunc.scoring_server.client import ScoringServerClient

    client = ScoringServerClient("127.0.0.1", running.port)
    client.wait_server_ready(timeout=60)
    assert client.get_version() == mlflow.__version__
    expected = [running.post("/predict", row)[1] for row in ROWS]
    assert pd.DataFrame(ROWS)["powerBhp"].isna().any()
    for data in (pd.DataFrame(ROWS), ROWS, {"instances": ROWS}):
        answer = client.invoke(json.dumps(data) if isinstance(data, dict) else data)
        told = answer.get_predictions()
        assert list(told["predictedPrice"]) == [one["predictedPrice"] for one in expected]
        assert list(told["warnings"]) == [one["warnings"] for one in expected]
    narrow = client.invoke(pd.DataFrame(ROWS), params={"confidence": 0.5}).get_predictions()
    assert set(narrow["confidence"]) == {0.5}
    assert (narrow["priceLow"] > told["priceLow"]).all()


def test_a_call_as_sagemaker_passes_it_on_gets_the_right_price(running: Any) -> None:
    assert running.get("/ping") == (200, "")
    headers = {
        "Content-Type": "application/json",
        "Accept": "*/*",
        "X-Amzn-SageMaker-Custom-Attributes": "trace=1",
        "X-Amzn-SageMaker-Target-Variant": "AllTraffic",
        "X-Amzn-SageMaker-Inference-Id": "42",
    }
    for kind, body in (
        ("application/json", json.dumps({"instances": [FULL]}).encode()),
        ("text/csv", b"make,model,variant,year,odometer,fuelType,features\n"
         b"Hyundai,Creta,SX 1.6 CRDI,2018,61000,Diesel,Bluetooth|Tpms\n"),
    ):  # fmt: skip
        answer = requests.post(
            f"{running.url}/invocations",
            data=body,
            headers={**headers, "Content-Type": kind},
            timeout=60,
        )
        (told,) = answer.json()["predictions"]
        assert told["predictedPrice"] == running.post("/predict", FULL)[1]["predictedPrice"]
