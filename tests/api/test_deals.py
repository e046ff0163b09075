"""Asking prices at the service's doors."""

import csv
import io
import json
from typing import Any

import pytest
from asking import BARE, FULL, post, refused
from fastapi.testclient import TestClient

from api.bodies import BatchAnswer, PriceAnswer
from carprice.appraisal.deal import deal_of
from carprice.model import PriceModel

AS_CSV = {"Content-Type": "text/csv"}
REMEDY = "Input should be a number above 0 and at most 1,000,000,000,000, in the currency"


@pytest.mark.parametrize("name", ["askingPrice", "asking_price"])
@pytest.mark.parametrize("confidence", [0.5, 0.9])
def test_an_asking_price_is_judged_beside_the_price(
    name: str, confidence: float, client: TestClient, model: PriceModel
) -> None:
    query = {"confidence": confidence}
    without = client.post("/predict", json=FULL, params=query).json()
    answer = client.post("/predict", json={**FULL, name: 500_000}, params=query)
    PriceAnswer.model_validate_json(answer.content)
    deal = answer.json().pop("deal")
    assert {key: value for key, value in answer.json().items() if key != "deal"} == without
    listing = {"make": "Hyundai", "model": "Creta", "year": 2018, "odometer": 61000.0} | {
        "variant": FULL["variant"],
        "fuel_type": FULL["fuelType"],
        "features": FULL["features"],
    }
    assert deal == deal_of(model, listing, 500_000).content()
    assert [*deal] == ["label", "reason", "percentile", "difference", "perCent"]
    assert deal["difference"] == pytest.approx(500_000 - without["predictedPrice"], abs=0.006)


@pytest.mark.parametrize("given", [{}, {"askingPrice": None}])
def test_without_an_asking_price_the_answer_has_no_deal(
    given: dict[str, Any], client: TestClient
) -> None:
    answer = client.post("/predict", json={**BARE, **given})
    assert "deal" not in answer.json()
    assert answer.content == client.post("/predict", json=BARE).content


def test_low_and_high_asking_prices_have_other_labels(client: TestClient) -> None:
    price = client.post("/predict", json=FULL).json()["predictedPrice"]
    labels = [
        client.post("/predict", json={**FULL, "askingPrice": price * times}).json()["deal"]["label"]
        for times in (0.001, 0.4, 1, 2.5, 1000)
    ]
    assert labels == ["none", "great", "fair", "overpriced", "none"]


@pytest.mark.parametrize(
    "wrong",
    ["0", "-5", "1e13", "1e400", '"12000"', '"12,000 EUR"', '"$9,500"', '""', "true", "[5]", "{}",
     "9" * 400],
)  # fmt: skip
def test_what_is_no_asking_price_is_refused_with_the_remedy(wrong: str, client: TestClient) -> None:
    body = json.dumps({**BARE, "askingPrice": "@"}).replace('"@"', wrong).encode()
    problem = refused(post(client, "/predict", body), 422, "invalid-listing")
    (error,) = problem["errors"]
    assert error["field"] == "askingPrice"
    assert error["message"].startswith(REMEDY)
    assert error["value"] is not None
    assert "such as 12000" in problem["detail"]


def test_nan_is_no_asking_price(client: TestClient) -> None:
    body = json.dumps({**BARE, "askingPrice": float("nan")}).encode()
    assert post(client, "/predict", body).status_code == 422


def test_rows_of_a_batch_are_judged_where_they_have_an_asking_price(client: TestClient) -> None:
    rows = [{**FULL, "askingPrice": 500_000}, FULL, {**FULL, "askingPrice": "12,000 EUR"}]
    found = post(client, "/predict/batch", {"listings": rows})
    BatchAnswer.model_validate_json(found.content)
    judged, plain, wrong = found.json()["rows"]
    alone = client.post("/predict", json=rows[0]).json()
    assert judged["price"]["deal"] == alone["deal"]
    assert "deal" not in plain["price"]
    assert "askingPrice" in wrong["problem"]["detail"]
    assert "12,000 EUR" in wrong["problem"]["detail"]


def test_a_csv_has_columns_for_the_deal_where_it_has_asking_prices(client: TestClient) -> None:
    text = (
        "make,model,year,odometer,askingPrice\r\nHyundai,Creta,2018,61000,500000\r\n"
        "Hyundai,Creta,2018,61000,\r\nHyundai,Creta,2018,61000,12000 EUR\r\n"
        "Trabant,601,2018,61000,500000\r\n"
    )
    headers = {**AS_CSV, "Accept": "text/csv"}
    answer = client.post("/predict/batch", content=text, headers=headers).text
    judged, plain, wrong, unseen = csv.DictReader(io.StringIO(answer))
    alone = client.post("/predict", json={**BARE, "askingPrice": 500_000}).json()["deal"]
    assert judged["deal"] == alone["label"]
    for name in ("percentile", "difference", "perCent"):
        assert float(judged[name]) == alone[name]
        assert plain[name] == wrong[name] == ""
    assert "askingPrice: Input should be a number" in wrong["problem"]
    assert unseen["deal"] == "none"
    assert "'Trabant' was not in the training data" in unseen["dealReason"]
    without = "\r\n".join(line.rpartition(",")[0] for line in text.split("\r\n")[:3]) + "\r\n"
    header = client.post("/predict/batch", content=without, headers=headers).text.split("\r\n")[0]
    assert header.endswith("warnings,problem")
    empty = "make,model,year,odometer,asking_price\r\nHyundai,Creta,2018,61000,\r\n"
    header = client.post("/predict/batch", content=empty, headers=headers).text.split("\r\n")[0]
    assert header.endswith("problem,deal,dealReason,percentile,difference,perCent")


def test_other_protocols_and_explanations_do_not_use_it(client: TestClient) -> None:
    listing = {**BARE, "askingPrice": 500_000}
    records = post(client, "/invocations", {"dataframe_records": [listing]}).json()
    (found,) = records["predictions"]
    assert "deal" not in found
    assert [one["field"] for one in found["warnings"] if one["kind"] == "not_used"] == [
        "askingPrice"
    ]
    tensors = [
        {"name": name, "shape": [1], "datatype": kind, "data": [listing[name]]}
        for name, kind in (
            *(("make", "BYTES"), ("model", "BYTES"), ("year", "INT64"), ("odometer", "FP64")),
            ("askingPrice", "FP64"),
        )
    ]
    path = "/v2/models/used-car-price/infer"
    outputs = post(client, path, {"inputs": tensors}).json()["outputs"]
    assert "askingPrice is not used here" in str(outputs)
    why, plain = (post(client, "/explain", one).json() for one in (listing, BARE))
    assert why.pop("warnings").pop()["field"] == "askingPrice"
    del plain["warnings"]
    assert why == plain
    form = {**AS_CSV, "Accept": "text/csv"}
    text = "make,model,year,odometer,askingPrice\nHyundai,Creta,2018,61000,500000\n"
    assert "not used here" in client.post("/invocations", content=text, headers=form).text


def test_the_document_says_what_is_asked_for_and_answered(client: TestClient) -> None:
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    asked = schemas["ListingRequest"]["properties"]["askingPrice"]["anyOf"][0]
    assert (asked["type"], asked["exclusiveMinimum"], asked["maximum"]) == ("number", 0, 1e12)
    assert schemas["DealAnswer"]["properties"]["label"]["enum"][-1] == "none"
    assert "deal" not in schemas["PriceAnswer"]["required"]
