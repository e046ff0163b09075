import csv
import io
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from asking import BARE, FULL, post, prices_of, refused
from fastapi.testclient import TestClient

from api.bodies import BatchAnswer

AS_CSV = {"Content-Type": "text/csv"}


def batch(client: TestClient, listings: object, **headers: str) -> Any:
    return post(client, "/predict/batch", {"listings": listings}, **headers)


def as_csv(client: TestClient, text: str | bytes, **headers: str) -> Any:
    return client.post("/predict/batch", content=text, headers={**AS_CSV, **headers})


def test_each_row_gets_the_price_that_it_gets_alone_in_its_place(client: TestClient) -> None:
    listings = [FULL, {**BARE, "make": "Trabant"}, BARE, {**BARE, "featureCount": 3}]
    answer = batch(client, listings)
    found = BatchAnswer.model_validate_json(answer.content)
    assert (found.priced, [row.row for row in found.rows]) == (4, [0, 1, 2, 3])
    for row, alone in zip(answer.json()["rows"], prices_of(client, listings), strict=True):
        assert row["price"] == {key: alone[key] for key in row["price"]}
        assert row["problem"] is None
        for key in ("currency", "modelVersion", "modelDigest"):
            assert alone[key] == answer.json()[key]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ('{"make": "Kia"}', "odometer: this field is required"),
        (json.dumps({**BARE, "odometr": 5}), "did you mean odometer?"),
        (json.dumps({**BARE, "odometer": "far"}), "found 'far'"),
        (json.dumps({**BARE, "year": "@"}).replace('"@"', "9" * 4000), "year"),
        (json.dumps({**BARE, "year": "@"}).replace('"@"', "NaN"), "year"),
        ("5", "must be a JSON object"),
        ("null", "must be a JSON object"),
        ("[]", "must be a JSON object"),
        (json.dumps({f"odometer{n}": n for n in range(5000)}), "5,000 keys"),
        ('{"make":"Kia","make":"Kia"}', "make: is there twice; leave one out"),
    ],
    ids=lambda text: text[:40],
)
def test_a_row_that_is_wrong_gets_its_own_problem(client: TestClient, row: str, words: str) -> None:
    good = {**BARE, "variant": "a:b"}
    body = json.dumps({"listings": [good, "@", good]}).replace('"@"', row)
    found = BatchAnswer.model_validate_json(post(client, "/predict/batch", body.encode()).content)
    assert [row.price is not None for row in found.rows] == [True, False, True]
    problem = found.rows[1].problem
    assert problem is not None
    assert (problem.status, found.priced) == (422, 2)
    assert words in problem.detail


def test_no_row_is_no_error(client: TestClient) -> None:
    assert batch(client, []).json()["rows"] == []


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        (b"", 422, "malformed-body"),
        (b"[]", 422, "malformed-body"),
        (b"{}", 422, "malformed-body"),
        (b'{"listings": []', 422, "malformed-body"),
        (b'{"listings": [], "more": 1}', 422, "malformed-body"),
        (b'{"listings": 5}', 422, "invalid-listing"),
        (b'{"listings": [], "listings": []}', 422, "invalid-listing"),
        (b'{"listings": [' + b"[" * 5000, 422, "malformed-body"),
        (b'{"listings": ["\xff"]}', 422, "malformed-body"),
    ],
)
def test_a_body_that_is_no_batch_is_refused(
    client: TestClient, body: bytes, status: int, kind: str
) -> None:
    refused(post(client, "/predict/batch", body), status, kind)


def test_csv_columns_may_come_in_any_order_and_both_spellings(client: TestClient) -> None:
    text = (
        "odometer,year,fuel_type,model,make,variant,features,bodyType\r\n"
        "61000,2018,Diesel,Creta,Hyundai,SX 1.6 CRDI,Bluetooth|Tpms,\r\n"
    )
    answer = as_csv(client, "\ufeff" + text)
    (row,) = answer.json()["rows"]
    alone = client.post("/predict", json=FULL).json()
    assert row["price"]["predictedPrice"] == alone["predictedPrice"]


def test_csv_comes_back_with_the_columns_that_came_and_each_row_in_its_place(
    client: TestClient,
) -> None:
    text = (
        "make,model,year,odometer,ownership\n"
        "Hyundai,Creta,2018,61000,2.0\n"
        "Hyundai,Creta,2018,far,\n"
        "Hyundai,Creta,2018\n"
        '"Hyundai","Creta",2018,61000,Second Owner\n'
    )
    answer = as_csv(client, text, Accept="text/csv")
    assert answer.headers["Content-Type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["make"] for row in rows] == ["Hyundai"] * 4
    alone = client.post("/predict", json={**BARE, "ownership": 2}).json()
    assert float(rows[0]["predictedPrice"]) == alone["predictedPrice"]
    assert rows[0]["predictedPrice"] == rows[3]["predictedPrice"]
    assert (rows[1]["predictedPrice"], rows[2]["predictedPrice"]) == ("", "")
    assert "found 'far'" in rows[1]["problem"]
    assert rows[2]["problem"] == "the row has 3 cells, the header 5"
    assert (rows[0]["currency"], rows[0]["modelVersion"]) == ("INR", "7")


def test_json_can_be_answered_as_csv(client: TestClient) -> None:
    answer = batch(client, [BARE, {}], Accept="text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["row"] for row in rows] == ["0", "1"]
    assert (rows[0]["problem"], rows[1]["predictedPrice"]) == ("", "")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "make: this column is required"),
        (b"make,model,year\n", "odometer: this column is required"),
        (b"make,model,year,odometer,colour\n", "colour: there is no such column; did you mean"),
        (b"make,model,year,odometer,make\n", "make: is there twice"),
        (b"fuelType,fuel_type,make,model,year,odometer\n", "fuel_type: is there twice"),
        (b"make,model,year,odometer\n\xff,b,1,2\n", "is not UTF-8 (byte 25)"),
        (b'make,model,year,odometer\n"a"b,c,1,2\n', "line 2 is not CSV"),
    ],
)
def test_csv_that_cannot_be_read_is_refused(client: TestClient, text: bytes, words: str) -> None:
    answer = as_csv(client, text)
    assert answer.status_code == 422
    assert words in answer.json()["detail"]


def test_a_batch_may_have_so_many_rows_and_bytes(client_with: Any) -> None:
    with client_with(batch_rows=2, batch_bytes=400) as client:
        assert batch(client, [BARE] * 2).json()["priced"] == 2
        three = refused(batch(client, [BARE] * 3), 413, "request-too-large")
        assert "3 rows; send at most 2" in three["detail"]
        assert "more than 400 bytes" in batch(client, [BARE] * 10).json()["detail"]
        text = "make,model,year,odometer\n" + "Kia,Rio,2018,5000\n" * 3
        refused(as_csv(client, text), 413, "request-too-large")


def test_the_batches_that_wait_are_few(client_with: Any) -> None:
    with client_with(batch_queue=0) as client, ThreadPoolExecutor(4) as threads:
        start = threading.Barrier(4)

        def ask(_: int) -> int:
            start.wait()
            return int(batch(client, [FULL] * 3000).status_code)

        assert set(threads.map(ask, range(4))) == {200, 429}


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        *((text, f"'{text}") for text in ("=1+1", "=HYPERLINK(0)", "@SUM(A1)", "+1+1", "-1+1")),
        *(
            (text, f"'{text}")
            for text in ("\t=1", "\r=1", "\n=1", "＝1+1", "-", "=", "--5", "+91 9")
        ),
        *(
            (text, text)
            for text in ("-5", "+5", "-12.50", "-.5", "-1e3", "SX 1.6", "a=b", "", "'=1")
        ),
    ],
)
def test_no_cell_of_a_csv_answer_is_a_formula(client: TestClient, cell: str, told: str) -> None:
    names = ("make", "model", "year", "odometer", "variant", "listedOn")
    sent = io.StringIO(newline="")
    writer = csv.writer(sent)
    writer.writerow(names)
    writer.writerow(["Kia", cell, "2019", "42000", cell, ""])
    writer.writerow([cell, "Seltos", cell, "42000", "", cell])
    answer = as_csv(client, sent.getvalue(), Accept="text/csv")
    header, first, second = csv.reader(io.StringIO(answer.text, newline=""))
    assert header[: len(names)] == [*names]
    assert first[:6] == ["Kia", told, "2019", "42000", told, ""]
    assert second[:6] == [told, "Seltos", told, "42000", "", told]
    for line in (header, first, second):
        assert not [one for one in line if one and one[0] in "=@\t\r\n"]


def test_a_header_and_warnings_are_no_formulas_either(client: TestClient) -> None:
    text = "\tmake,model,year,odometer\n=1+1,=cmd|x!A0,2019,42000\n"
    answer = as_csv(client, text, Accept="text/csv")
    header, row = csv.reader(io.StringIO(answer.text, newline=""))
    assert header[0] == "'\tmake"
    assert row[:2] == ["'=1+1", "'=cmd|x!A0"]
    assert "was not in the training data" in row[header.index("warnings")]
    assert not [one for one in row if one and one[0] in "=+@\t\r\n"]
