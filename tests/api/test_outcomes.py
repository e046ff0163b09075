import datetime
import hashlib
import json
import secrets
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from delivery import free_port

from api import outcome_pool
from carprice.errors import InputError
from carprice.monitoring.observations import observe, read_log
from carprice.monitoring.outcomes import Added, OutcomeStore

RIO = {"make": "Kia", "model": "Rio", "year": 2020, "odometer": 9000}
SOLD = {"listing": RIO, "soldPrice": 487000, "soldOn": "2025-06-14"}
NONE = {"new": 0, "repeated": 0, "corrections": 0}


@pytest.fixture
def told(client_with: Any, tmp_path: Path) -> Any:
    """A client of a service that keeps outcomes, batches of 20 at most."""
    with client_with(outcomes=str(tmp_path), batch_rows=20) as client:
        yield client


def kept(folder: Path) -> list[Any]:
    return OutcomeStore(str(folder)).latest()


def test_one_and_many_are_kept_once_and_corrected(told: Any, tmp_path: Path) -> None:
    assert told.post("/outcomes", json=SOLD).json() == {**NONE, "new": 1}
    withdrawn = {"quoteId": "q", "soldOn": "2025-06-14", "kind": "withdrawn"}
    many = [SOLD, {**SOLD, "soldPrice": 5}, withdrawn]
    answer = told.post("/outcomes", json={"outcomes": many})
    assert (answer.status_code, answer.json()) == (200, {"new": 1, "repeated": 1, "corrections": 1})
    assert told.post("/outcomes", json={"outcomes": []}).json() == NONE
    found = {one.quote_id: one for one in kept(tmp_path)}
    assert found[""].sold_price == 5.0
    assert found[""].listing == RIO
    assert (found["q"].kind, found["q"].sold_price) == ("withdrawn", None)


TOMORROW = datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(days=1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"soldPrice": 0}, "soldPrice: Input should be a number above 0"),
        ({"soldPrice": 1e13}, "soldPrice: Input should be a number above 0"),
        ({"soldPrice": True}, "soldPrice: Input should be a number above 0"),
        ({"soldPrice": "487000"}, "soldPrice: Input should be a number above 0"),
        ({"soldPrice": None}, "body: needs soldPrice, unless its kind is withdrawn"),
        ({"soldOn": "14.06.2025"}, "soldOn: Input should be a day such as 2024-11-30"),
        ({"soldOn": str(TOMORROW + datetime.timedelta(days=1))}, "soldOn: Input should be a day"),
        ({"soldOn": "0025-06-14"}, "soldOn: Input should be a day since 1950, not to come"),
        ({"kind": "gone"}, "kind: Input should be 'sold', 'offered' or 'withdrawn'"),
        ({"listing": None}, "body: needs the quoteId of the answer that priced the car, or its"),
        ({"listing": [RIO]}, "listing: must be a JSON object of a listing's fields"),
        ({"listing": {**RIO, "year": 1800}}, "listing.year: Input should be greater than"),
        (
            {"listing": {**RIO, "odometr": 5}},
            "listing.odometr: there is no such field; did",
        ),
        ({"listing": {"make": "Kia"}}, "listing.model: this field is required"),
        ({"quoteId": "a b"}, "quoteId: String should match pattern"),
        ({"quoteId": "x" * 101}, "quoteId: String should have at most 100 characters"),
        ({"revision": -1}, "revision: Input should be greater than or equal to 0"),
        ({"revision": "1"}, "revision: Input should be a valid integer"),
        ({"price": 5}, "price: there is no such field; the fields are quoteId, listing, sold"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(told: Any, change: Any, words: str) -> None:
    answer = told.post("/outcomes", json={**SOLD, **change})
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert words in answer.json()["detail"]
    row = told.post("/outcomes", json={"outcomes": [SOLD, {**SOLD, **change}]})
    assert row.status_code == 422
    place = words.partition(":")[0]
    assert next(one["field"] for one in row.json()["errors"]) == (
        "outcomes.1" if place == "body" else f"outcomes.1.{place}"
    )


def test_the_body_that_was_priced_can_be_sent_back(told: Any, tmp_path: Path) -> None:
    priced = {**RIO, "askingPrice": 480000, "featureCount": 2}
    assert told.post("/predict", json=priced).status_code == 200
    assert told.post("/outcomes", json={**SOLD, "listing": priced}).json() == {**NONE, "new": 1}
    assert told.post("/outcomes", json={**SOLD, "revision": 1}).json() == {**NONE, "corrections": 1}
    assert kept(tmp_path)[0].listing == RIO


def test_where_one_is_wrong_none_is_kept(told: Any, tmp_path: Path) -> None:
    answer = told.post("/outcomes", json={"outcomes": [SOLD, {**SOLD, "soldPrice": -1}]})
    assert answer.status_code == 422
    assert kept(tmp_path) == []


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", 422, "the body is not valid JSON"),
        (b"[]", 422, "must be a JSON object of an outcome"),
        (b"null", 422, "must be a JSON object of an outcome"),
        (b'{"outcomes": 5}', 422, "must be an array of outcomes"),
        (b'{"outcomes": [], "more": 1}', 422, "and nothing else"),
        (b'{"outcomes": [1, "a", null, []]}', 422, "outcomes.3: must be a JSON object"),
        (b'{"soldOn": "2025-06-14", "soldOn": "2025-06-14"}', 422, "twice"),
        (b'{"listing": {"make": "a", "make": "b"}}', 422, "twice"),
        (b'{"soldPrice": NaN}', 422, "soldPrice: Input should be a number above 0"),
        (b'{"soldPrice": ' + b"9" * 5000 + b"}", 422, "the body is not valid JSON"),
        (b"[" * 5000, 413, "opening brackets"),
        (b'{"outcomes": [' + b"[" * 900 + b"]" * 900 + b"]}", 422, "recursion limit exceeded"),
        (json.dumps({"outcomes": [SOLD] * 21}).encode(), 413, "21 rows; send at most 20"),
        (b'{"quoteId": "\xff"}', 422, "the body is not valid JSON"),
        (b'{"quoteId": "\\u0000", "soldOn": "2025-06-14", "soldPrice": 1}', 422, "quoteId"),
        (b'{"quoteId": "\\ud800", "soldOn": "2025-06-14", "soldPrice": 1}', 422, "JSON"),
    ],
)
def test_hostile_bodies_are_refused(told: Any, body: bytes, status: int, words: str) -> None:
    answer = told.post("/outcomes", content=body)
    assert answer.status_code == status, answer.text
    assert words in answer.json()["detail"]
    assert len(answer.content) < 20_000


def test_a_long_body_is_read_as_a_short_one(client_with: Any, tmp_path: Path) -> None:
    many = [{**SOLD, "quoteId": f"q{row}"} for row in range(2000)]
    with client_with(outcomes=str(tmp_path)) as client:
        answer = client.post("/outcomes", json={"outcomes": many})
        assert answer.json() == {**NONE, "new": 2000}
        many[1999] = {**SOLD, "soldPrice": 0}
        answer = client.post("/outcomes", json={"outcomes": many})
        assert answer.json()["errors"][0]["field"] == "outcomes.1999.soldPrice"


def test_text_of_a_listing_may_hold_any_sign(told: Any, tmp_path: Path) -> None:
    car = {**RIO, "model": "R\u0000io'; DROP TABLE outcomes; --", "color": "\U0001f697"}
    assert told.post("/outcomes", json={**SOLD, "listing": car}).json()["new"] == 1
    assert kept(tmp_path)[0].listing == car


def test_only_json_without_parameters_is_read(told: Any) -> None:
    csv = told.post("/outcomes", content=b"a", headers={"content-type": "text/csv"})
    assert csv.status_code == 415
    assert told.post("/outcomes?dry=1", json=SOLD).status_code == 422
    assert told.get("/outcomes").status_code == 405


def test_where_no_outcomes_are_kept_it_says_so(client: Any) -> None:
    answer = client.post("/outcomes", json=SOLD)
    assert answer.status_code == 404
    assert "keeps no outcomes; whoever runs it sets CARPRICE_OUTCOMES" in answer.json()["detail"]
    assert "/outcomes" not in client.get("/openapi.json").json()["paths"]


def test_a_key_is_needed_where_keys_are_on(client_with: Any, tmp_path: Path) -> None:
    key = secrets.token_hex(20)
    entry = f"shop:{hashlib.sha256(key.encode()).hexdigest()}"
    with client_with(outcomes=str(tmp_path), api_keys=entry) as client:
        assert client.post("/outcomes", json=SOLD).status_code == 401
        assert kept(tmp_path) == []
        answer = client.post("/outcomes", json=SOLD, headers={"X-API-Key": key})
        assert answer.json() == {**NONE, "new": 1}


def test_only_named_keys_may_tell(client_with: Any, tmp_path: Path) -> None:
    keys = {name: secrets.token_hex(20) for name in ("shop", "dealer")}
    entries = ",".join(f"{n}:{hashlib.sha256(key.encode()).hexdigest()}" for n, key in keys.items())
    some = {"outcomes": str(tmp_path), "api_keys": entries, "outcomes_keys": "dealer, "}
    with client_with(**some) as client:
        shop, dealer = ({"X-API-Key": keys[name]} for name in keys)
        refused = client.post("/outcomes", json=SOLD, headers=shop)
        assert (refused.status_code, refused.json()["title"]) == (403, "Forbidden")
        assert client.post("/predict", json=RIO, headers=shop).status_code == 200
        assert client.post("/outcomes", json=SOLD, headers=dealer).json() == {**NONE, "new": 1}
    wrong = pytest.raises(InputError, match="OUTCOMES_KEYS: there is no API key named 'no'")
    with wrong, client_with(**{**some, "outcomes_keys": "dealer,no"}):
        pass


def test_a_log_alone_opens_nothing_and_no_keys_are_warned_of(
    client_with: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with client_with(prediction_log=str(tmp_path)) as client:
        assert client.post("/outcomes", json=SOLD).status_code == 404
    assert "takes what cars sold for from anybody" not in caplog.text
    with client_with(outcomes=str(tmp_path)):
        pass
    assert caplog.text.count("takes what cars sold for from anybody") == 1


def test_a_database_that_hangs_is_503_and_takes_no_prices_with_it(
    told: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = threading.Event()
    monkeypatch.setattr(outcome_pool, "_SECONDS", 0.2)
    monkeypatch.setattr(OutcomeStore, "add", lambda *_: free.wait(60) and Added(new=1))
    for _ in range(4):  # the first two hang, the others wait for their turn
        answer = told.post("/outcomes", json=SOLD)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert "does not answer in time; send it again: what was kept counts once" in answer.text
    assert told.post("/predict", json=RIO).status_code == 200
    free.set()
    monkeypatch.setattr(outcome_pool, "_SECONDS", 10.0)
    assert told.post("/outcomes", json=SOLD).json() == {**NONE, "new": 1}


def test_a_database_that_is_away_is_503_without_its_address(client_with: Any) -> None:
    address = f"postgresql+psycopg://ann:<pw>@127.0.0.1:{free_port()}/cars"
    with client_with(outcomes=address) as client:
        answer = client.post("/outcomes", json=SOLD)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert answer.json()["detail"] == (
            "the database of outcomes does not answer; nothing was kept, send it again"
        )
        assert client.post("/predict", json=RIO).status_code == 200


def test_prices_are_answered_while_the_database_is_locked(told: Any, tmp_path: Path) -> None:
    told.post("/outcomes", json=SOLD)
    lock = sqlite3.connect(tmp_path / "outcomes.db", isolation_level=None, check_same_thread=False)
    lock.execute("BEGIN EXCLUSIVE")
    asked = threading.Event()
    long = b" " * 9000 + json.dumps(SOLD).encode()
    with ThreadPoolExecutor(21) as pool:

        def correct() -> Any:
            asked.set()
            return told.post("/outcomes", json={**SOLD, "soldPrice": 5})

        waiting = pool.submit(correct)
        asked.wait()
        assert [told.post("/predict", json=RIO).status_code for _ in range(20)] == [200] * 20
        more = [pool.submit(told.post, "/outcomes", content=long) for _ in range(20)]
        while sum(one.done() for one in more) < 5:  # of 16 places the first post has one
            time.sleep(0.01)
        assert {one.result().status_code for one in more if one.done()} == {429}
        batch = json.dumps({"listings": [RIO] * 20}).encode() + b" " * 9000
        assert told.post("/predict/batch", content=batch).status_code == 200
        assert not waiting.done()
        lock.execute("ROLLBACK")
        lock.close()
        assert waiting.result().json() == {**NONE, "corrections": 1}
        answers = [one.result() for one in more if one.result().status_code != 429]
        assert [one.json() for one in answers] == [{**NONE, "repeated": 1}] * 15


def test_openapi_describes_what_is_told(told: Any) -> None:
    document = told.get("/openapi.json").json()
    body = document["paths"]["/outcomes"]["post"]["requestBody"]["content"]["application/json"]
    assert told.post("/outcomes", json=body["example"]).status_code == 200
    assert {"OutcomeForm", "OutcomesRequest"} <= {*document["components"]["schemas"]}


def test_an_outcome_is_kept_beside_the_log_and_joined_with_its_answer(
    client_with: Any, tmp_path: Path
) -> None:
    log = str(tmp_path / "log")
    with client_with(prediction_log=log, outcomes=log) as client:
        cheap = client.post("/predict", json=RIO).json()
        quote = client.post("/appraise", json={**RIO, "year": 2021}).json()["quote"]["id"]
        for told in ({"quoteId": cheap["quoteId"]}, {"quoteId": quote}, {"listing": RIO}):
            outcome = {"soldPrice": 487000, "soldOn": "2025-06-14", **told}
            assert client.post("/outcomes", json=outcome).json() == {**NONE, "new": 1}
    seen = observe(read_log(log), kept(tmp_path / "log"))
    assert seen["quote_id"].tolist() == [cheap["quoteId"], quote]  # the third is the first's sale
    assert seen["quoted_price"].iloc[0] == cheap["predictedPrice"]
    assert seen["year"].tolist() == [2020.0, 2021.0]
    assert seen["model_version"].tolist() == ["7", "7"]
