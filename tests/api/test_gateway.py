import dataclasses
import gzip
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asking import BARE, post, refused
from fastapi.testclient import TestClient

from api.app import create_app
from api.keys import RateLimit, entry, hashed, new_key, read_keys
from api.routes.prices import DirectRoute
from api.served import ServedModel
from api.service_settings import ServiceSettings
from carprice.errors import InputError


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Any:
    """The access log's lines so far, by request id; other clients have ids of their own."""

    def read(own: str) -> dict[str, dict[str, Any]]:
        found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        return {line["requestId"]: line for line in found if line["requestId"].startswith(own)}

    return read


def test_a_request_id_is_echoed_and_logged_once(client_with: Any, lines: Any) -> None:
    with client_with() as client:
        answer = client.post(
            "/predict?confidence=0.8", json=BARE, headers={"X-Request-ID": "mine-7/a"}
        )
        assert answer.headers["X-Request-ID"] == "mine-7/a"
        assert answer.headers["X-Model-Version"] == "7"
        refused = client.post("/predict", json={}, headers={"X-Request-ID": "mine-bad"})
    logged = lines("mine")
    assert set(logged) == {"mine-7/a", "mine-bad"}
    line = logged["mine-7/a"]
    assert (line["method"], line["path"], line["status"]) == ("POST", "/predict", 200)
    assert (line["modelVersion"], line["key"]) == ("7", None)
    assert line["milliseconds"] > 0
    assert refused.headers["X-Model-Version"] == "7"
    assert logged["mine-bad"]["status"] == 422
    assert "Creta" not in json.dumps(logged)


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, 'a"b', "é"])
def test_a_request_id_that_is_none_is_replaced(client: TestClient, given: str) -> None:
    answer = client.get("/live", headers={"X-Request-ID": given.encode()})
    assert len(answer.headers["X-Request-ID"]) == 32


def test_health_stays_out_of_the_log(client_with: Any, lines: Any) -> None:
    with client_with() as client:
        for path in ("/", "/ready", "/live", "/metrics"):
            assert client.get(path, headers={"X-Request-ID": "probe"}).status_code == 200
    assert lines("probe") == {}


@pytest.mark.parametrize("path", ["/", "/model", "/nowhere", "/docs"])
def test_all_answers_have_security_headers(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert ("script-src" in headers["Content-Security-Policy"]) == (path == "/docs")


def test_a_crash_is_a_problem_without_its_insides(
    settings: ServiceSettings,
    model: Any,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Broken:
        def value(self, *_: object) -> None:
            raise RuntimeError("secret place /srv/models")

    broken = ServedModel.of(dataclasses.replace(model), "7")
    vars(broken.model)["pricer"] = Broken()
    monkeypatch.setattr(logging.getLogger("carprice"), "propagate", True)
    with (
        TestClient(create_app(settings, broken)) as client,
        caplog.at_level(logging.ERROR, "carprice.service"),
    ):
        answer = client.post("/predict", json=BARE, headers={"X-Request-ID": "crash-1"})
    refused(answer, 500, "internal-error")
    assert "srv" not in answer.text
    assert answer.headers["X-Request-ID"] == "crash-1"
    (record,) = [one for one in caplog.records if one.name == "carprice.service"]
    assert "secret place" in str(record.exc_info and record.exc_info[1])


def test_a_body_may_have_so_many_bytes(client_with: Any) -> None:
    with client_with(body_bytes=100) as client:
        assert client.post("/predict", json=BARE).status_code == 200
        declared = client.post("/predict", json={**BARE, "variant": "x" * 100})
        headers = {"Content-Type": "application/json"}
        chunks = iter([b"{" + b" " * 60, b" " * 60])
        streamed = client.post("/predict", content=chunks, headers=headers)
    for answer in (declared, streamed):
        assert "more than 100 bytes" in refused(answer, 413, "request-too-large")["detail"]


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("Application/JSON;charset=UTF-8", 200),
        ("text/plain", 415),
        ("application/json; charset=latin-1", 415),
        ("application/x-www-form-urlencoded", 415),
        ("", 415),
    ],
)
def test_a_body_is_of_a_known_type(client: TestClient, kind: str, status: int) -> None:
    assert post(client, "/predict", BARE, **{"Content-Type": kind}).status_code == status


@pytest.mark.parametrize(
    "path",
    [
        *("/predict", "/appraise", "/explain", "/predict/batch", "/invocations"),
        *(f"/v2/models/used-car-price{version}/infer" for version in ("", "/versions/7")),
    ],
)
@pytest.mark.parametrize("value", ["gzip", "GZIP", "br", "identity, gzip", "aws-chunked", "x"])
def test_a_body_that_is_encoded_is_refused_by_name(
    client: TestClient, path: str, value: str
) -> None:
    body = gzip.compress(json.dumps(BARE).encode())
    answer = post(client, path, body, **{"Content-Encoding": value})
    detail = refused(answer, 415, "unsupported-media-type")["detail"]
    assert f"Content-Encoding is {value!r}; send the body as it is" in detail
    assert answer.headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("value", ["", "identity", " Identity "])
def test_a_body_may_say_that_it_is_not_encoded(client: TestClient, value: str) -> None:
    assert post(client, "/predict", BARE, **{"Content-Encoding": value}).status_code == 200


def test_of_several_encodings_each_is_looked_at(client: TestClient) -> None:
    headers = [("Content-Encoding", "identity"), ("Content-Encoding", "gzip")]
    refused(client.post("/predict", json=BARE, headers=headers), 415, "unsupported-media-type")


KEYS = {name: new_key() for name in ("market", "dealer")}


@pytest.fixture
def locked(client_with: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    file: Path = tmp_path_factory.mktemp("keys") / "keys"
    file.write_text(f"# of dealers\n\n{entry('dealer', KEYS['dealer'])}\n")
    keys = entry("market", KEYS["market"])
    with client_with(api_keys=keys, api_keys_file=file, rate_limit=60) as client:
        yield client


@pytest.mark.parametrize("name", KEYS)
def test_each_key_opens_by_either_header(locked: TestClient, name: str) -> None:
    for header in ({"X-API-Key": KEYS[name]}, {"Authorization": f"Bearer {KEYS[name]}"}):
        assert locked.post("/predict", json=BARE, headers=header).status_code == 200


@pytest.mark.parametrize("path", ["/predict", "/model", "/metrics", "/nowhere"])
@pytest.mark.parametrize(
    "header", [{}, {"X-API-Key": ""}, {"X-API-Key": "wrong"}, {"X-API-Key": hashed("wrong")}]
)
def test_without_a_key_there_is_nothing_to_see(
    locked: TestClient, path: str, header: dict[str, str]
) -> None:
    answer = locked.post(path, json=BARE, headers=header)
    refused(answer, 401, "unauthorized")
    assert "X-API-Key" in answer.headers["WWW-Authenticate"]


def test_health_and_pages_need_no_key(locked: TestClient) -> None:
    for path in ("/", "/ready", "/live", "/docs", "/openapi.json"):
        assert locked.get(path).status_code == 200
    document = locked.get("/openapi.json").json()
    assert document["components"]["securitySchemes"]["ApiKey"]["name"] == "X-API-Key"


def test_a_key_that_asks_too_often_is_told_when_to_come_back(locked: TestClient) -> None:
    header = {"X-API-Key": KEYS["dealer"]}
    answers = [locked.post("/predict", json=BARE, headers=header) for _ in range(70)]
    assert {answer.status_code for answer in answers} == {200, 429}
    refused(answers[-1], 429, "too-many-requests")
    assert int(answers[-1].headers["Retry-After"]) == 1
    other = locked.post("/predict", json=BARE, headers={"X-API-Key": KEYS["market"]})
    assert other.status_code == 200


def test_the_allowance_comes_back_with_time() -> None:
    clock = [0.0]
    limit = RateLimit(6, now=lambda: clock[0])
    assert [limit.wait("a") for _ in range(7)] == [0] * 6 + [10]
    clock[0] = 10.0
    assert [limit.wait("a"), limit.wait("a"), limit.wait("b")] == [0, 10, 0]
    assert RateLimit(0).wait("a") == 0


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("api_keys", "secret", "CARPRICE_API_KEYS, entry 1: is not name:hash"),
        ("api_keys", f"{entry('a', 'k')},b:123", "CARPRICE_API_KEYS, entry 2"),
        ("api_keys", "a b:" + "0" * 64, "carprice api-key"),
        ("api_keys_file", "missing", r"CARPRICE_API_KEYS_FILE: cannot read .*missing"),
        ("api_keys_file", "empty", "empty holds no entry"),
        ("rate_limit", 5, "CARPRICE_RATE_LIMIT is for each API key"),
    ],
)
def test_keys_that_are_none_do_not_open_the_service_and_are_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: object, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").write_text("# none\n")
    with pytest.raises(InputError, match=words) as caught:
        read_keys(ServiceSettings(tracking_uri="x", **{name: value}))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "a b", "a:b", "x" * 65])
def test_a_key_has_a_plain_name(name: str) -> None:
    with pytest.raises(InputError, match="no name of a key"):
        entry(name, "k")


def test_pages_and_metrics_can_be_closed(client_with: Any) -> None:
    with client_with(docs=False, metrics=False) as client:
        for path in ("/docs", "/redoc", "/openapi.json", "/metrics"):
            assert client.get(path).status_code == 404
        assert client.post("/predict", json=BARE).status_code == 200


def test_pages_of_other_origins_may_ask_only_where_they_are_named(
    client_with: Any, client: TestClient
) -> None:
    ask = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
    closed = client.post("/predict", json=BARE, headers=ask)
    assert "Access-Control-Allow-Origin" not in closed.headers
    named = {"cors_origins": "https://shop.example, https://b.example"}
    keyed = {"X-API-Key": KEYS["market"]}
    with client_with(**named, api_keys=entry("shop", KEYS["market"])) as shop:
        preflight = shop.options("/predict", headers=ask)
        answer = shop.post("/predict", json=BARE, headers={**ask, **keyed})
        for one in (preflight, answer):
            assert one.status_code == 200
            assert one.headers["X-Request-ID"]
            assert one.headers["Access-Control-Allow-Origin"] == "https://shop.example"
        assert "X-Request-ID" in answer.headers["Access-Control-Expose-Headers"]
        evil = {"Origin": "https://evil.example", **keyed}
        other = shop.post("/predict", json=BARE, headers=evil)
        assert "Access-Control-Allow-Origin" not in other.headers
        assert shop.app.user_middleware[-1].cls is DirectRoute  # the innermost


def test_such_pages_can_read_every_refusal(
    client_with: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask, keyed = {"Origin": "https://shop.example"}, {"X-API-Key": KEYS["market"]}
    found = {}
    with client_with(
        cors_origins="https://shop.example",
        api_keys=entry("shop", KEYS["market"]),
        rate_limit=10,
        body_bytes=1000,
    ) as shop:
        for status, method, path, body, headers in (
            (401, "POST", "/predict", b"{}", {}),
            (404, "GET", "/nowhere", None, keyed),
            (405, "GET", "/predict", None, keyed),
            (413, "POST", "/predict", b" " * 2000, keyed),
            (415, "POST", "/predict", b"{}", {**keyed, "Content-Encoding": "gzip"}),
            (422, "POST", "/predict", b"[]", keyed),
        ):
            found[status] = shop.request(method, path, content=body, headers={**ask, **headers})
        monkeypatch.setattr("api.routes.prices.confidence_of", lambda _: 1 / 0)
        found[500] = shop.post("/predict", json=BARE, headers={**ask, **keyed})
        for _ in range(10):
            found[429] = shop.post("/predict", json=BARE, headers={**ask, **keyed})
        shop.app.state.service.keeper.served = None
        found[503] = shop.get("/ready", headers=ask)
    assert {status: one.status_code for status, one in found.items()} == {one: one for one in found}
    for one in found.values():
        assert one.headers["Access-Control-Allow-Origin"] == "https://shop.example"
        assert "Retry-After" in one.headers["Access-Control-Expose-Headers"]
        assert one.headers["X-Request-ID"]


def test_the_log_tells_that_traces_close_the_short_way(
    settings: ServiceSettings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("carprice"), "propagate", True)
    with caplog.at_level("INFO", "carprice.service"):
        app = create_app(settings.model_copy(update={"opentelemetry": True}))
    assert DirectRoute not in [one.cls for one in app.user_middleware]
    assert "all requests go through the router" in caplog.text


def test_metrics_count_requests_batches_and_warnings(client_with: Any, served: ServedModel) -> None:
    with client_with() as client:
        for _ in range(3):
            client.post("/predict", json={**BARE, "make": "Trabant"})
        client.post("/predict", json={})
        client.post("/predict/batch", json={"listings": [BARE] * 25})
        client.get("/no/such/page")
        client.get("/another")
        text = client.get("/metrics").text
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    requests = 'carprice_requests_total{method="%s",path="%s",status="%s"}'
    assert float(values[requests % ("POST", "/predict", 200)]) == 3
    assert float(values[requests % ("POST", "/predict", 422)]) == 1
    assert float(values[requests % ("GET", "unmatched", 404)]) == 2
    assert float(values['carprice_request_seconds_count{path="/predict"}']) == 4
    assert float(values['carprice_warnings_total{kind="unseen_make"}']) == 3
    assert float(values["carprice_batch_rows_sum"]) == 25
    assert float(values["carprice_requests_in_flight"]) == 1
    digest = served.model.digest
    info = f'carprice_model_info{{digest="{digest}",source="registry",version="7"}}'
    assert float(values[info]) == 1
    assert float(values["carprice_model_loaded_age_seconds"]) > 0


def test_a_trailing_slash_is_another_path(client: TestClient) -> None:
    headers = {"Host": "evil.example"}
    assert client.get("/model/", headers=headers, follow_redirects=False).status_code == 404
