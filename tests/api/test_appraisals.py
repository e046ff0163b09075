"""``POST /appraise`` and ``POST /explain``: all that is told of one listing, and that it agrees."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from asking import BARE, post, refused
from fastapi.testclient import TestClient

from api.bodies import AppraisalAnswer, ExplanationAnswer, PriceAnswer
from carprice.appraisal.appraisal import PARTS
from carprice.appraisal.comparables import comparables_of
from carprice.appraisal.quote import Quote
from carprice.arrays import quiet
from carprice.components.replay import Verdict, read_quotes, replay
from carprice.listings.problems import read_value
from carprice.model import PriceModel
from carprice.schema import Listing, example_listing

CAR = example_listing()
ODD = (
    {**BARE, "year": 1985},
    {**BARE, "odometer": 9_000_000},
    {**BARE, "make": "Nobody", "model": "Never Seen"},
    {**BARE, "odometer": 480_000, "year": 2024},
    {**CAR, "listedOn": "2024-11-30", "ownership": "Third"},
    {**CAR, "year": 2026, "odometer": 5},
    {**CAR, "features": "Bluetooth|AlloyWheels", "featureCount": 2},
)


@pytest.fixture(scope="module")
def cars(finished: Any) -> list[dict[str, Any]]:
    """Odd listings and some of the test ones, as requests have them."""
    frame = pd.read_parquet(finished[0].test_listings)[[*Listing.model_fields]].head(40)
    rows = (row.dropna().to_dict() for _, row in frame.iterrows())
    listings = (
        Listing.model_validate({name: read_value(name, value) for name, value in row.items()})
        for row in rows
    )
    dumped = (one.model_dump(mode="json", by_alias=True, exclude_none=True) for one in listings)
    return [CAR, *ODD, *dumped]


def appraise(client: TestClient, car: dict[str, Any], query: str = "") -> dict[str, Any]:
    answer = client.post(f"/appraise{query}", json=car)
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()
    return content


def test_the_answer_has_the_form_that_openapi_promises(client: TestClient) -> None:
    answer = client.post("/appraise", json=CAR)
    told = AppraisalAnswer.model_validate_json(answer.content)
    assert told.curve is not None
    assert told.reasons is not None
    assert len(told.reasons) == 10
    assert len(told.curve.ahead.points) > 1
    assert answer.headers["Content-Type"] == "application/json"


def test_appraise_explain_and_predict_say_the_same(
    client: TestClient, cars: list[dict[str, Any]]
) -> None:
    for car in cars:
        price = client.post("/predict", json=car).json()
        told, why = appraise(client, car), client.post("/explain", json=car).json()
        assert {name: told[name] for name in price} == price
        shared = price.keys() & why.keys()
        assert shared == price.keys() - {"priceLow", "priceHigh", "confidence"}
        assert {name: why[name] for name in shared} == {name: price[name] for name in shared}
        assert (told["start"], told["reasons"]) == (why["start"], why["reasons"])


def test_deal_and_comparables_are_told_as_elsewhere(
    client: TestClient, cars: list[dict[str, Any]], model: PriceModel
) -> None:
    for car in cars:
        told = appraise(client, {**car, "askingPrice": 480_000})
        priced = client.post("/predict", json={**car, "askingPrice": 480_000}).json()
        assert told["deal"] == priced["deal"]
        listing = Listing.model_validate({k: v for k, v in car.items() if k != "featureCount"})
        assert told["comparables"] == comparables_of(model, vars(listing)).content()
        assert "deal" not in appraise(client, car)


def test_reasons_add_up_to_the_cent_and_multiply_to_the_price(
    client: TestClient, cars: list[dict[str, Any]]
) -> None:
    for car in cars:
        text = client.post("/explain", json=car).text
        why = json.loads(text, parse_float=Decimal)
        amounts = [one["amount"] for one in why["reasons"]]
        assert why["start"] + sum(amounts) == why["predictedPrice"]
        assert all(amount == round(amount, 2) for amount in (why["start"], *amounts))
        product = float(why["start"])
        for one in why["reasons"]:
            assert one["factor"] == round(one["factor"], 6)
            product *= float(one["factor"])
        assert product == pytest.approx(float(why["predictedPrice"]), rel=1e-4)


@pytest.mark.parametrize("name", PARTS)
def test_each_part_can_be_left_out(client: TestClient, name: str) -> None:
    car = {**CAR, "askingPrice": 480_000}
    every, without = appraise(client, car), appraise(client, car, f"?without={name}")
    members = {"reasons": {"start", "reasons"}}.get(name, {name})
    assert every.keys() - without.keys() == members
    if name == "deal":  # nor is it in the quote
        assert without["quote"] == appraise(client, CAR)["quote"] != every["quote"]
        every, without = ({**one, "quote": None} for one in (every, without))
    assert {key: every[key] for key in without} == without


def test_without_all_parts_it_is_the_price(client: TestClient) -> None:
    car = {**CAR, "askingPrice": 480_000}
    told = client.post(f"/appraise?without={','.join(PARTS)}&confidence=0.8", json=car)
    assert PriceAnswer.model_validate_json(told.content).confidence == 0.8
    assert told.json() == client.post("/predict?confidence=0.8", json=CAR).json()


@pytest.mark.parametrize(
    ("query", "field", "words"),
    [
        ("without=curve,colour", "without", "'colour' is no part; the parts are deal, reasons"),
        ("without=", "without", "'' is no part"),
        ("without=curve&without=basis", "without", "is given more than once"),
        ("yearlyDistance=-1", "yearlyDistance", "must be a number from 0 to 200,000"),
        ("yearlyDistance=far", "yearlyDistance", "must be a number from 0 to 200,000"),
        ("yearlyDistance=1e9", "yearlyDistance", "must be a number from 0 to 200,000"),
        ("confidence=2", "confidence", "must be a number from 0.5 to 0.99"),
        ("confidence=0.8&confidence=0.8", "confidence", "is given more than once"),
        ("color=red", "color", "there is no such parameter"),
    ],
)
def test_a_parameter_that_is_wrong_is_named(
    client: TestClient, query: str, field: str, words: str
) -> None:
    answer = client.post(f"/appraise?{query}", json=CAR)
    (error,) = refused(answer, 422, "invalid-parameter")["errors"]
    assert error["field"] == field
    assert words in error["message"]


def test_a_listing_that_is_wrong_gets_the_problem_that_predict_gives(client: TestClient) -> None:
    for body in (b"", b"[]", b'{"make": 5}', json.dumps({**CAR, "odometer": "far"}).encode()):
        expected, found = (post(client, path, body) for path in ("/predict", "/appraise"))
        assert found.json() == expected.json()
        assert found.status_code == expected.status_code == 422


def test_warnings_of_appraisals_are_counted(client: TestClient) -> None:
    def counted() -> float:
        lines = client.get("/metrics").text.split("\n")
        (line,) = [
            one for one in lines if one.startswith('carprice_warnings_total{kind="unseen_make"')
        ]
        return float(line.split()[-1])

    appraise(client, ODD[2])
    before = counted()
    appraise(client, ODD[2])
    assert counted() == before + 1
    assert 'path="/appraise"' in client.get("/metrics").text


def test_each_answer_is_a_quote_that_bears_itself_out(
    client: TestClient, cars: list[dict[str, Any]], model: PriceModel
) -> None:
    ids = set()
    for car in cars:
        quote = Quote.read(appraise(client, car, "?confidence=0.7"))
        assert quote.is_as_told
        assert quote.differences(model) == []
        ids.add(quote.id)
    assert len(ids) == len(cars) - 1  # the last odd one is the first, written otherwise


def test_answers_that_are_kept_as_sent_are_replayed(
    client: TestClient, cars: list[dict[str, Any]], finished: Any, tmp_path: Path
) -> None:
    kept = tmp_path / "quotes.jsonl"
    asked = [
        car | ({"askingPrice": 480_000} if place % 2 else {}) for place, car in enumerate(cars)
    ]
    sent = (client.post("/appraise", json=car).content for car in asked)
    kept.write_bytes(b"".join(answer + b"\n" for answer in sent))
    outcome = replay(read_quotes([str(kept)]), lambda _: finished[0].model, quiet)
    assert outcome.odd == []
    assert outcome.count(Verdict.SAME) == len(cars)
    judged = appraise(client, {**CAR, "askingPrice": 480_000})
    judged["deal"]["label"] = "great"
    kept.write_text(json.dumps(judged))
    (changed,) = replay(read_quotes([str(kept)]), lambda _: finished[0].model, quiet).rows
    assert (changed.verdict, changed.why) == (
        Verdict.REFUSED,
        "it was changed: its id is not of what it says",
    )


def test_the_basis_counts_training_cars_and_tells_the_error_of_such_cars(
    client: TestClient, model: PriceModel, finished: Any
) -> None:
    counts = pd.read_parquet(finished[0].train_listings).groupby(["make", "model"]).size()
    make, name = counts.idxmax()
    car = {**BARE, "make": make, "model": name}
    basis = appraise(client, car)["basis"]
    assert basis["trainingCars"]["model"] == counts.max()
    assert basis["trainingCars"]["market"] == counts.sum()
    assert (basis["trainingCars"]["trim"], basis["trainingCars"]["variant"]) == (None, None)
    assert basis["error"]["of"] == "cross-validation"
    assert basis["error"]["listings"] >= 50
    nobody = appraise(client, ODD[2])["basis"]
    assert nobody["trainingCars"]["model"] == 0
    assert nobody["error"]["segment"].startswith("all cars")
    whole = appraise(client, CAR)["basis"]["trainingCars"]
    assert whole["model"] >= whole["trim"] >= whole["variant"]


def test_the_id_is_of_what_was_asked_and_not_of_what_is_told_beside(client: TestClient) -> None:
    def told(query: str = "", **change: Any) -> str:
        found: str = appraise(client, {**CAR, **change}, query)["quote"]["id"]
        return found

    same = {told(), told("?without=curve,basis"), told("?yearlyDistance=5"), told(featureCount=3)}
    assert len(same) == 1
    others = {told("?confidence=0.8"), told(odometer=42_001), told(color="Red")}
    assert len(same | others) == 4
    snake = {"fuel_type" if name == "fuelType" else name: value for name, value in CAR.items()}
    assert appraise(client, snake)["quote"]["id"] in same


def test_reasons_have_the_form_that_openapi_promises(client: TestClient) -> None:
    told = ExplanationAnswer.model_validate_json(client.post("/explain", json=BARE).content)
    assert told.valuation_date.isoformat() == "2025-06-30"
