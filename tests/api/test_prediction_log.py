import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from asking import BARE, FULL, Traffic, post, wait_until
from delivery import free_port

from api.keys import entry
from api.service_settings import ServiceSettings
from carprice.errors import InputError
from carprice.monitoring import log_settings, records

Start = Callable[..., AbstractContextManager[Any]]
PRICED = ("/predict", "/appraise", "/app", "/predict/batch", "/invocations")
LOG = "CARPRICE_PREDICTION_LOG"


def rows_of(folder: Path) -> list[dict[str, Any]]:
    paths = sorted(folder.glob("*.parquet"))
    return [row for path in paths for row in pq.read_table(path).to_pylist()]


@contextmanager
def store_at(port: int) -> Iterator[None]:
    """Run an S3 store at a port that others know already."""
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1"]
    pipes: dict[str, Any] = dict.fromkeys(("stdout", "stderr"), subprocess.DEVNULL)
    with subprocess.Popen([*command, "-p", str(port)], **pipes) as process:

        def answers() -> bool:
            assert process.poll() is None
            with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                return True
            return False

        try:
            wait_until(answers)
            yield
        finally:
            process.kill()


def counted(server: Any, name: str) -> float:
    """Return the sum of a counter over its labels."""
    lines = server.get("/metrics")[1].splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(f"{name}{{"[:-1]))


def test_without_the_log_answers_say_nothing_of_it(client: Any) -> None:
    csv = {"Content-Type": "text/csv", "Accept": "text/csv"}
    rows = b"make,model,year,odometer\nHyundai,Creta,2018,61000\n"
    for answer in (
        post(client, "/predict", FULL),
        post(client, "/appraise", FULL),
        post(client, "/predict/batch", {"listings": [FULL]}),
        client.post("/predict/batch", content=rows, headers=csv),
    ):
        assert answer.status_code == 200
        assert "quoteId" not in answer.text
    assert client.app.state.service.log is None


def test_each_price_has_an_id_and_a_row(client_with: Any, served: Any, tmp_path: Path) -> None:
    asked = {**FULL, "askingPrice": 900_000}
    frame = {"dataframe_records": [FULL]}
    csv = b"make,model,year,odometer,askingPrice\nHyundai,Creta,2018,61000,400000\nKia,Rio,x,1,\n"
    with client_with(prediction_log=str(tmp_path)) as client:
        one = post(client, "/predict?confidence=0.8", asked).json()
        appraised = post(client, "/appraise", asked).json()
        short = post(client, "/appraise?without=quote,curve", asked).json()
        batch = post(client, "/predict/batch", {"listings": [FULL, {"make": "Kia"}, BARE]}).json()
        kinds = {"Content-Type": "text/csv", "Accept": "text/csv"}
        lines = client.post("/predict/batch", content=csv, headers=kinds).text.split("\r\n")
        page = client.get("/app", params=BARE)
        invoked = post(client, "/invocations", frame)
        assert post(client, "/explain", FULL).status_code == 200
        assert post(client, "/predict", {"make": "Kia"}).status_code == 422
    head, first, second, _ = lines
    assert page.status_code == invoked.status_code == 200
    assert "quoteId" not in invoked.text
    assert appraised["quoteId"] == appraised["quote"]["id"] != short["quoteId"]
    assert "quoteId" not in str(batch["rows"][1])
    assert head.endswith(",perCent,quoteId")
    assert second.endswith(",,")
    told = [one["quoteId"], appraised["quoteId"], short["quoteId"], first.split(",")[-1]]
    told += [row["price"]["quoteId"] for row in batch["rows"] if row["price"]]
    rows = rows_of(tmp_path)
    by_id = {row[records.QUOTE_ID]: row for row in rows}
    assert len(by_id) == len(rows) == len(told) + 2
    assert by_id.keys() > set(told)
    found = by_id[one["quoteId"]]
    prices = (records.PRICE, records.LOW, records.HIGH)
    assert [found[name] for name in prices] == [
        one[name] for name in ("predictedPrice", "priceLow", "priceHigh")
    ]
    assert found[records.MODEL_DIGEST] == one["modelDigest"] == served.model.digest
    assert (found[records.CONFIDENCE], found[records.LABEL]) == (0.8, one["deal"]["label"])
    assert found[records.ASKING_PRICE] == 900_000
    cautions = [f"{warning['kind']}:{warning['field']}" for warning in one["warnings"]]
    assert found[records.CAUTIONS] == cautions == ["unseen_variant:variant"]
    assert 0 < found[records.MILLISECONDS] < 60_000
    routes = [row[records.ROUTE] for row in rows]
    expected = ("/predict", "/appraise", "/appraise", "/predict/batch", "/predict/batch")
    assert sorted(routes) == sorted((*expected, "/predict/batch", "/app", "/invocations"))


def test_rows_of_the_stock_page_tell_their_ids(client_with: Any, tmp_path: Path) -> None:
    text = "make,model,year,odometer\nMaruti,Swift,2018,41500\nKia,,2018,1\n"
    with client_with(prediction_log=str(tmp_path)) as client:
        answer = client.post("/app/stock/rows", content=text, headers={"Content-Type": "text/csv"})
    good, wrong = answer.json()["rows"]
    (row,) = rows_of(tmp_path)
    assert (row[records.QUOTE_ID], row[records.ROUTE]) == (good["quoteId"], "/app/stock/rows")
    assert "quoteId" not in wrong


def test_nothing_but_the_listing_is_kept(client_with: Any, tmp_path: Path) -> None:
    key = "a-key-that-nobody-may-read"
    keys = entry("somebody", key)
    with client_with(
        prediction_log=str(tmp_path), api_keys=keys, prediction_log_without="color, variant"
    ) as client:
        headers = {"X-API-Key": key, "X-Request-ID": "request-name", "User-Agent": "agent-name"}
        headers |= {"X-Forwarded-For": "203.0.113.9", "Cookie": "a=cookie-value"}
        car = {**FULL, "variant": "variant-text", "color": "colour-text"}
        for path in ("/predict", "/appraise", "/predict/batch"):
            content = {"listings": [car]} if path.endswith("batch") else car
            assert post(client, path, content, **headers).status_code == 200
        seen = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for row in rows_of(tmp_path):
        text = str(row)
        for secret in (
            key,
            "somebody",
            "request-name",
            "agent-name",
            "203.0.113.9",
            "cookie-value",
        ):
            assert secret not in text
            assert secret.encode() not in seen
        assert "variant-text" not in text
        assert "colour-text" not in text
        assert row["make"] == "Hyundai"
    assert len(rows_of(tmp_path)) == 3
    assert b"variant-text" not in seen


def test_a_service_says_which_own_column_its_model_does_not_have(
    client_with: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    left_out = "flag:acident,askingPrice"
    with client_with(prediction_log=str(tmp_path), prediction_log_without=left_out) as client:
        assert post(client, "/predict", {**BARE, "askingPrice": 500_000}).status_code == 200
    (told,) = [one for one in caplog.records if "names flag:acident, which no col" in one.message]
    assert told.levelname == "ERROR"
    assert [row[records.ASKING_PRICE] for row in rows_of(tmp_path)] == [None]


def test_a_killed_service_loses_a_moment_and_the_next_one_finds_the_rest(
    start: Start, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    told = []
    with start(**{LOG: str(log)}) as server:
        for _ in range(200):
            status, answer = server.post("/predict", BARE)
            assert status == 200
            told.append(answer["quoteId"])
        wait_until(lambda: counted(server, "carprice_prediction_log_rows_total") == 200)
        told += [server.post("/predict", BARE)[1]["quoteId"] for _ in range(20)]
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
    assert not rows_of(log)
    with start("--workers", "2", **{LOG: str(log)}) as server:
        wait_until(lambda: len(rows_of(log)) >= 200)
        more = [server.post("/predict", BARE)[1]["quoteId"] for _ in range(50)]
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(25) == 0
    found = [row[records.QUOTE_ID] for row in rows_of(log)]
    assert len(found) == len(set(found))
    assert {*told[:200], *more} <= set(found) <= {*told, *more}
    assert all(path.suffix == ".parquet" for path in log.iterdir())


def test_a_full_disk_fails_no_request(start: Start, full_disk: Path) -> None:
    with start(**{LOG: str(full_disk)}) as server:
        # One alone finds room; of many together none may.
        assert server.post("/predict", BARE)[0] == 200
        wait_until(lambda: counted(server, "carprice_prediction_log_rows_total") > 0)
        traffic = Traffic(server.port)
        with traffic.flowing(pause=0.001):
            wait_until(lambda: counted(server, "carprice_prediction_log_dropped_total") > 50)
        assert {*traffic.statuses} == {200}
        dropped = 'carprice_prediction_log_dropped_total{reason="disk"}'
        assert dropped in server.get("/metrics")[1]
        written = counted(server, "carprice_prediction_log_rows_total")
        lost = counted(server, "carprice_prediction_log_dropped_total")
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(25) == 0
        lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    told = [line["message"] for line in lines if "are dropped" in line.get("message", "")]
    assert len(told) == 1
    assert "No space left on device" in told[0]
    assert 0 < written < written + lost <= 1 + traffic.statuses[200]


def test_s3_that_is_away_fails_no_request_and_gets_all_when_it_is_back(
    start: Start, no_aws_login: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import boto3

    pytest.importorskip("moto.server", reason="moto[server] is not installed")
    port, spool = free_port(), tmp_path / "spool"
    logged = {
        LOG: "s3://market/answers/service",
        f"{LOG}_SPOOL": str(spool),
        f"{LOG}_SECONDS": "0.5",
    }
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-s3")
    with start(**logged) as server:
        told = [server.post("/predict", BARE)[1]["quoteId"] for _ in range(30)]
        wait_until(lambda: "cannot be finished" in server.log.read_text())
        wait_until(lambda: [*spool.glob("*.parquet")] != [])
        wait_until(lambda: counted(server, "carprice_prediction_log_unsent_bytes") > 100)
        assert counted(server, "carprice_prediction_log_last_file_timestamp_seconds") == 0
        with store_at(port):
            client = boto3.client("s3")
            client.create_bucket(Bucket="market")
            told.append(server.post("/predict", BARE)[1]["quoteId"])
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(25) == 0
            names = client.list_objects_v2(Bucket="market")["Contents"]
            for item in names:
                target = tmp_path / Path(item["Key"]).name
                client.download_file("market", item["Key"], str(target))
            client.close()
        assert "secret-of-s3" not in server.log.read_text()
    assert all(item["Key"].startswith("answers/service/predictions-") for item in names)
    assert sorted(row[records.QUOTE_ID] for row in rows_of(tmp_path)) == sorted(told)
    assert not [*spool.iterdir()]


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({LOG: "gs://bucket/x"}, f"{LOG}: is neither a folder nor s3://bucket/prefix"),
        ({LOG: "s3://"}, f"{LOG}: is no s3://bucket/prefix"),
        ({LOG: "s3://key:{}@bucket".format("secret")}, f"{LOG}: is no s3://bucket/prefix"),
        ({f"{LOG}_WITHOUT": "colour"}, "'colour' is no field of a listing"),
        ({f"{LOG}_SHARE": "0"}, "greater than 0"),
        ({f"{LOG}_SHARE": "1.5"}, "less than or equal to 1"),
        ({f"{LOG}_DAYS": "-1"}, "greater than or equal to 0"),
        ({f"{LOG}_DAYS": "1", f"{LOG}_SECONDS": "86400"}, "DAYS=1, after which it is del"),
        ({f"{LOG}_SPOOL_BYTES": "1000"}, "write at least 16777216, or make files smaller"),
    ],
)
def test_settings_that_are_not_allowed(variables: dict[str, str], told: str) -> None:
    with pytest.raises(InputError, match="CARPRICE_PREDICTION_LOG") as refused:
        ServiceSettings.from_environment(variables)
    assert told in str(refused.value)


def test_a_service_without_what_the_log_needs_does_not_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(log_settings, "find_spec", lambda name: None)
    told = "needs pyarrow, which is not installed here; build the image with --build-arg"
    with pytest.raises(InputError, match=told):
        ServiceSettings.from_environment({LOG: str(tmp_path)})
    assert ServiceSettings.from_environment({}).prediction_log == ""
