"""The challenger beside the model in production: real registries, real processes, broken models."""

import asyncio
import csv
import dataclasses
import datetime
import io
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from asking import BARE, FULL, wait_until
from fastapi.testclient import TestClient

from api import challenger as module
from api.app import create_app
from api.production import RegistryReply
from api.routes import appraisals
from api.served import ChallengerModel, ServedModel
from api.service_settings import ServiceSettings
from api.shadow import Shadow, ShadowJob
from api.watch import FEWEST_TIMES, LAST_PRICES, MOST_FAILURES, Watch
from carprice.errors import NoProductionModelError, RefusedError
from carprice.model import PriceModel
from carprice.monitoring.canary import share_of
from carprice.registry.record import Record
from carprice.registry.versions import CHALLENGER

NOW = datetime.datetime(2025, 7, 1, 12, 0, tzinfo=datetime.UTC)
Row = tuple[tuple[Any, ...], dict[str, Any]]


class Log:
    """Takes what the prediction log is given."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.new_id = lambda: f"quote-{len(self.rows)}"

    def put(self, *told: Any, **more: Any) -> None:
        self.rows.append((told, more))


def cars(count: int) -> list[dict[str, Any]]:
    return [{**BARE, "odometer": 40_000 + 7 * number} for number in range(count)]


@pytest.fixture(scope="session")
def other(finished: Any, another_model: Callable[..., Path], tmp_path_factory: Any) -> Path:
    """The folder of a model that prices alike and has another digest."""
    return another_model(finished[0].model, tmp_path_factory.mktemp("other") / "model", 21)


@pytest.fixture
def replies(monkeypatch: pytest.MonkeyPatch, served: ServedModel) -> list[Any]:
    """What the registry says of the challenger; the last for ever, and it is known to be good."""
    found: list[Any] = []
    recorded = {"tests": "passed", "production_since": NOW.isoformat()}
    recorded["tests_digest"] = served.model.digest

    async def answer(_: ServiceSettings, have: str, alias: str = "production") -> RegistryReply:
        await asyncio.sleep(0)
        if alias != CHALLENGER:
            return RegistryReply(served.version, served.model.digest, None, tags=recorded)
        told = found[0] if len(found) == 1 else found.pop(0)
        if isinstance(told, Exception):
            raise told
        return dataclasses.replace(told, folder=None if told.digest == have else told.folder)

    async def tried(*_: object) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr("api.keeper.ask", answer)
    monkeypatch.setattr(module, "ask", answer)
    monkeypatch.setattr(module, "try_out", tried)
    monkeypatch.setattr(module, "_FIRST_WAIT_SECONDS", 0.05)
    monkeypatch.setattr(module, "_PROBE_SECONDS", 0.1)
    return found


def told(folder: Path, version: str = "8", **tags: str) -> RegistryReply:
    digest = PriceModel.load(folder).digest
    passed = {"tests": "passed", "tests_digest": digest}
    return RegistryReply(version, digest, folder, tags={**passed, **tags})


@pytest.fixture
def beside(
    settings: ServiceSettings, served: ServedModel, replies: list[Any], other: Path
) -> Callable[..., Any]:
    """Gives a client of a service with a challenger, and the service."""

    @contextmanager
    def begun(*given: Any, waits: bool = True, **change: Any) -> Iterator[tuple[TestClient, Any]]:
        replies[:] = given or [told(other)]
        changed = ServiceSettings(
            **{**settings.model_dump(), "poll_seconds": 0.05, "canary_share": 0.5, **change}
        )
        app = create_app(changed, served)
        service = app.state.service
        service.log = Log()
        service.challenger._log = service.batches._log = service.log
        service.log.begin = service.log.end = lambda: None
        with TestClient(app) as client:
            if waits:
                wait_until(lambda: service.challenger.state == "prices")
            yield client, service

    return begun


def metric(client: Any, name: str) -> float:
    found = [one for one in client.get("/metrics").text.splitlines() if one.startswith(name)]
    return sum(float(one.rpartition(" ")[2]) for one in found)


def test_a_canary_answers_for_the_share_of_cars_and_says_so(beside: Any, served: Any) -> None:
    with beside(challenger="canary") as (client, service):
        digest = service.challenger.served.model.digest
        for car in cars(200):
            is_canary = share_of(car) < 0.5
            answer = client.post("/predict", json=car)
            content = answer.json()
            assert answer.status_code == 200
            assert content.get("alias") == ("challenger" if is_canary else None)
            assert content["modelVersion"] == ("8" if is_canary else "7")
            assert answer.headers["X-Model-Version"] == content["modelVersion"]
            assert content["modelDigest"] == (digest if is_canary else served.model.digest)
        tried = next(car for car in cars(200) if share_of(car) < 0.5)
        for path in ("/appraise", "/explain"):
            content = client.post(path, json={**tried, "make": "HYUNDAI"}).json()
            assert (content["alias"], content["modelVersion"]) == ("challenger", "8")
        assert (
            client.post("/predict/batch", json={"listings": [tried]}).json()["modelVersion"] == "7"
        )
        logged = Counter(more["alias"] for _, more in service.log.rows if "alias" in more)
        by_hand = sum(share_of(car) < 0.5 for car in cars(200)) + 2  # /explain is not in the log
        assert logged == {"challenger": by_hand, "production": 202 - by_hand}
        assert {more.get("shadow") for _, more in service.log.rows} == {None}
        about = client.get("/model").json()["challenger"]
        assert (about["mode"], about["share"], about["state"]) == ("canary", 0.5, "prices")
        assert (about["version"], about["digest"]) == ("8", digest)
        assert metric(client, 'carprice_challenger_state{state="prices"}') == 1
        assert metric(client, "carprice_challenger_prices_total") >= by_hand


def test_a_canary_answers_for_its_cars_in_batches_too(beside: Any) -> None:
    with beside(challenger="canary") as (client, service):
        listings = [*cars(40), {"make": "Kia"}, *cars(60)[40:]]
        theirs = [len(one) > 1 and share_of(one) < 0.5 for one in listings]
        assert 10 < sum(theirs) < 50
        answer = client.post("/predict/batch", json={"listings": listings}).json()
        assert (answer["modelVersion"], answer["priced"]) == ("7", 60)
        assert [row["row"] for row in answer["rows"]] == [*range(61)]
        for one, row in zip(theirs, answer["rows"], strict=True):
            told = ("challenger", "8") if one else (None, None)
            assert (row.get("alias"), row.get("modelVersion")) == told
        assert answer["rows"][40]["problem"]["title"]
        alone = client.post("/predict", json=listings[0]).json()
        assert answer["rows"][0]["price"]["predictedPrice"] == alone["predictedPrice"]
        logged = [(row[0], row[2].version) for row, _ in service.log.rows[:-1]]
        quotes = [row["price"]["quoteId"] for row in answer["rows"] if row["price"]]
        versions = [
            "8" if one else "7"
            for one, row in zip(theirs, answer["rows"], strict=True)
            if row["price"]
        ]
        assert logged == [*zip(quotes, versions, strict=True)]
        columns = ("make", "model", "year", "odometer")
        lines = [",".join(str(car[name]) for name in columns) for car in listings[:40]]
        text = client.post(
            "/predict/batch",
            content="\n".join([",".join(columns), *lines]),
            headers={"Content-Type": "text/csv", "Accept": "text/csv"},
        ).text
        rows = csv.DictReader(io.StringIO(text))
        assert [row["modelVersion"] == "8" for row in rows] == theirs[:40]


@pytest.mark.parametrize("kind", ["error", "no_price", "no_answer"])
def test_where_a_canary_fails_at_a_batch_production_prices_all(
    kind: str, beside: Any, monkeypatch: Any
) -> None:
    value_all = ServedModel.value_all

    def failing(self: ServedModel, batch: Any) -> Any:
        if kind == "error":
            raise ZeroDivisionError
        if kind == "no_answer":
            time.sleep(0.5)
        return [
            dataclasses.replace(one, predicted_price=math.nan) for one in value_all(self, batch)
        ]

    monkeypatch.setattr(ChallengerModel, "value_all", failing, raising=False)
    monkeypatch.setattr("api.challenger._PROBE_SECONDS", 3600.0)
    if kind == "no_answer":
        monkeypatch.setattr("api.challenger.LONGEST_SECONDS", 0.1)
        monkeypatch.setattr("api.challenger._ROW_SECONDS", 0.0)
    with beside(challenger="canary") as (client, service):
        listings = cars(20)
        answer = client.post("/predict/batch", json={"listings": listings}).json()
        assert answer["priced"] == 20
        assert not any("alias" in row for row in answer["rows"])
        theirs = [place for place, one in enumerate(listings) if share_of(one) < 0.5]
        assert len(theirs) > 1
        ((row, more),) = [one for one in service.log.rows if one[1].get("shadow")]
        assert more["problem"] == kind
        assert row[0] == answer["rows"][theirs[0]]["price"]["quoteId"]
        assert metric(client, f'carprice_challenger_prices_total{{outcome="{kind}"}}') == 1


def test_few_rows_of_a_canarys_batch_take_no_place(beside: Any, monkeypatch: Any) -> None:
    hold, asked, value_all = threading.Event(), [], ServedModel.value_all

    def held_up(self: ServedModel, batch: Any) -> Any:
        asked.append(len(batch.rows))
        hold.wait(30)
        return value_all(self, batch)

    def ask(client: TestClient, few: list[Any]) -> tuple[int, str | None]:
        answer = client.post("/predict/batch", json={"listings": few})
        return answer.status_code, answer.json()["rows"][0].get("alias")

    monkeypatch.setattr(module, "LONGEST_SECONDS", 60.0)
    change = {"batch_workers": 1, "batch_queue": 0, "canary_share": 0.5}
    with beside(challenger="canary", **change) as (client, service), ThreadPoolExecutor(5) as many:
        monkeypatch.setattr(ServedModel, "value_all", held_up)
        batches = [many.submit(ask, client, [car]) for car in canaries(4)]
        batches.append(many.submit(ask, client, canaries(20)))
        wait_until(lambda: sorted(asked) == [1, 1, 1, 1, 20])
        hold.set()
        assert {one.result() for one in batches} == {(200, "challenger")}
        service.challenger._drop(service.challenger.served, "error", "it is tried out")
        assert ask(client, canaries(1)) == (200, None)
        assert not service.challenger.answers_some


def test_a_batch_waits_no_longer_for_a_challenger_that_is_dropped(
    beside: Any, monkeypatch: Any
) -> None:
    hold, asked = threading.Event(), threading.Event()

    def hanging(*_: object) -> None:
        asked.set()
        hold.wait(30)

    monkeypatch.setattr(module, "_PROBE_SECONDS", 3600.0)
    monkeypatch.setattr(module, "LONGEST_SECONDS", 3600.0)
    monkeypatch.setattr(module, "_LONGEST_BATCH_SECONDS", 3600.0)
    monkeypatch.setattr(ChallengerModel, "value_all", hanging, raising=False)
    with beside(challenger="canary") as (client, service), ThreadPoolExecutor(1) as thread:
        batch = {"listings": canaries(20)}
        answer = thread.submit(client.post, "/predict/batch", json=batch)
        assert asked.wait(60)
        service.challenger._drop(service.challenger.served, "error", "it is tried out")
        assert answer.result(60).json()["priced"] == 20
        assert not any(more.get("shadow") for _, more in service.log.rows)
        hold.set()


def test_a_shadow_prices_beside_and_both_are_in_the_log(beside: Any) -> None:
    with beside(challenger="shadow", shadow_share=1) as (client, service):
        rows, listing = service.log.rows, {**FULL, "askingPrice": 900_000}
        for path in ("/predict", "/appraise"):
            rows.clear()
            content = client.post(path, json=listing).json()
            assert content["modelVersion"] == "7"
            assert "alias" not in content
            wait_until(lambda: len(rows) == 2)
            (answer, by_champion), (shadow, by_challenger) = rows
            assert by_champion["alias"] == "production"
            assert by_challenger == {"alias": "challenger", "shadow": True, "problem": ""}
            assert answer[0] == shadow[0] == content["quoteId"]
            assert (answer[1], shadow[1]) == (path, path)
            assert (answer[2].version, shadow[2].version) == ("7", "8")
            assert answer[4].prices == shadow[4].prices
            assert shadow[3]["odometer"] == 61000
        rows.clear()
        batch = {"listings": [BARE, {"make": "Kia"}, FULL]}
        priced = client.post("/predict/batch", json=batch).json()["rows"]
        wait_until(lambda: len(rows) == 4)
        quotes = [row["price"]["quoteId"] for row in priced if row["price"]]
        assert [one[0] for one, _ in rows] == [*quotes, *quotes]
        assert [more.get("shadow", False) for _, more in rows] == [False, False, True, True]
        assert metric(client, "carprice_challenger_left_out_total") == 0


def test_with_the_share_of_none_nothing_is_priced_beside(beside: Any) -> None:
    with beside(challenger="shadow", shadow_share=0) as (client, service):
        for car in cars(20):
            assert client.post("/predict", json=car).json()["modelVersion"] == "7"
        assert len(service.log.rows) == 20


BROKEN = ("error", "no_price", "no_answer", "slow")


def broken(kind: str) -> Callable[..., Any]:
    price = ServedModel.value

    def value(self: ServedModel, *args: Any, **more: Any) -> Any:
        if kind == "error":
            raise ZeroDivisionError
        if kind == "no_answer":
            time.sleep(0.2)
        if kind == "slow":
            time.sleep(0.06)
        found = price(self, *args, **more)
        return dataclasses.replace(found, predicted_price=math.nan) if kind == "no_price" else found

    return value


@pytest.mark.parametrize("mode", ["canary", "shadow"])
@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_challenger_is_dropped_and_no_request_fails(
    kind: str, mode: str, beside: Any, monkeypatch: Any, caplog: Any
) -> None:
    monkeypatch.setattr("api.challenger._PROBE_SECONDS", 3600.0)
    monkeypatch.setattr(ChallengerModel, "value", broken(kind), raising=False)
    monkeypatch.setattr("api.watch.FEWEST_TIMES", 10)
    if kind == "no_answer":
        monkeypatch.setattr("api.challenger.LONGEST_SECONDS", 0.1)
    change = {"challenger": mode, "shadow_share": 1.0}
    with beside(**change) as (client, service), ThreadPoolExecutor(8) as threads:

        def ask(car: dict[str, Any]) -> tuple[int, str]:
            answer = client.post("/predict", json=car)
            return answer.status_code, answer.json()["modelVersion"]

        found: set[tuple[int, str]] = set()
        many = iter(cars(2_000))
        while service.challenger.state == "prices":
            found |= {*threads.map(ask, [next(many) for _ in range(16)])}
            time.sleep(0.05)
        assert found <= ({(200, "7"), (200, "8")} if kind == "slow" else {(200, "7")})
        assert {*threads.map(ask, cars(16))} == {(200, "7")}
        about = client.get("/model").json()["challenger"]
        assert (about["state"], about["version"]) == ("dropped", None)
        assert about["detail"].startswith("version 8 was dropped: ")
        assert metric(client, f'carprice_challenger_dropped_total{{reason="{kind}"}}') == 1
        assert metric(client, 'carprice_challenger_state{state="dropped"}') == 1
        time.sleep(0.2)  # for some polls more
        assert service.challenger.state == "dropped"
        failed = [one for one in service.log.rows if one[1].get("shadow")]
        if kind in ("error", "no_price") or (mode == "canary" and kind == "no_answer"):
            assert {more["problem"] for _, more in failed} == {kind}
            assert {(row[2].version, row[4]) for row, _ in failed} == {("8", None)}
            answers = {row[0] for row, more in service.log.rows if not more.get("shadow")}
            assert {row[0] for row, _ in failed} <= answers
    dropped = [one for one in caplog.messages if "is dropped" in one]
    assert len(dropped) == 1
    assert caplog.text.count("Traceback") == (kind == "error")


@pytest.mark.parametrize("kind", BROKEN[:2])
def test_a_broken_challenger_is_dropped_without_any_request(
    kind: str, beside: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(ChallengerModel, "value", broken(kind), raising=False)
    with beside(challenger="canary", waits=False) as (_, service):
        wait_until(lambda: service.challenger.state == "dropped")


def test_a_challenger_that_hangs_beside_is_dropped_and_the_next_one_prices(
    beside: Any,
    replies: list[Any],
    finished: Any,
    another_model: Any,
    monkeypatch: Any,
    tmp_path: Any,
) -> None:
    monkeypatch.setattr(module, "_STUCK_SECONDS", 0.2)
    hold, price = threading.Event(), ServedModel.value
    next_one = another_model(finished[0].model, tmp_path / "next", 22)

    def value(self: ServedModel, listing: Any, *args: Any, **more: Any) -> Any:
        if self.version == "8" and listing.odometer == 61000:
            hold.wait(30)
        return price(self, listing, *args, **more)

    monkeypatch.setattr(ChallengerModel, "value", value, raising=False)
    with beside(challenger="shadow", shadow_share=1) as (client, service):
        assert client.post("/predict", json=BARE).status_code == 200
        wait_until(lambda: service.challenger.state == "dropped")
        assert "at one answer" in service.challenger.problem
        replies[:] = [told(next_one, "9")]
        wait_until(lambda: service.challenger.state == "prices")
        assert client.post("/predict", json=BARE).status_code == 200
        wait_until(lambda: any(more.get("shadow") for _, more in service.log.rows))
        hold.set()


def held(monkeypatch: Any, version: str) -> threading.Event:
    """Have a version hang at prices of :func:`cars`, not of the example, until the event is set."""
    hold, price = threading.Event(), ServedModel.value

    def value(self: ServedModel, listing: Any, *args: Any, **more: Any) -> Any:
        if self.version == version and 40_000 <= listing.odometer < 50_000:
            hold.wait(30)
        return price(self, listing, *args, **more)

    monkeypatch.setattr(ChallengerModel, "value", value, raising=False)
    return hold


def canaries(count: int) -> list[dict[str, Any]]:
    return [car for car in cars(5 * count) if share_of(car) < 0.5][:count]


def ask_all(client: TestClient, given: list[dict[str, Any]]) -> set[str]:
    with ThreadPoolExecutor(len(given)) as threads:
        answers = threads.map(lambda car: client.post("/predict", json=car), given)
        return {answer.json()["modelVersion"] for answer in answers}


def test_many_requests_at_once_for_cars_of_the_challenger_are_all_answered_by_it(
    beside: Any, monkeypatch: Any
) -> None:
    price = ServedModel.value

    def value(self: ServedModel, *args: Any, **more: Any) -> Any:
        time.sleep(0.02)
        return price(self, *args, **more)

    monkeypatch.setattr(ChallengerModel, "value", value, raising=False)
    monkeypatch.setattr(module, "LONGEST_SECONDS", 20.0)
    with beside(challenger="canary") as (client, _):
        assert ask_all(client, canaries(40)) == {"8"}
        assert metric(client, "carprice_challenger_left_out_total") == 0


def test_after_a_canary_that_hangs_the_next_one_answers_for_its_cars(
    beside: Any,
    replies: list[Any],
    finished: Any,
    another_model: Any,
    monkeypatch: Any,
    tmp_path: Any,
) -> None:
    next_one = another_model(finished[0].model, tmp_path / "next", 22)
    monkeypatch.setattr(module, "LONGEST_SECONDS", 0.5)
    hold = held(monkeypatch, "8")
    with beside(challenger="canary") as (client, service):
        assert ask_all(client, canaries(30)) == {"7"}
        wait_until(lambda: service.challenger.state == "dropped")
        assert metric(client, "carprice_challenger_left_out_total") > 0
        replies[:] = [told(next_one, "9")]
        monkeypatch.setattr(module, "LONGEST_SECONDS", 20.0)
        wait_until(lambda: service.challenger.state == "prices")
        assert ask_all(client, canaries(20)) == {"9"}
        hold.set()


def test_a_canary_that_hangs_at_a_single_car_is_dropped(beside: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "_STUCK_SECONDS", 0.3)
    monkeypatch.setattr(module, "LONGEST_SECONDS", 0.1)
    hold = held(monkeypatch, "8")
    with beside(challenger="canary") as (client, service):
        assert ask_all(client, canaries(1)) == {"7"}
        wait_until(lambda: service.challenger.state == "dropped")
        hold.set()


@pytest.mark.parametrize("told_by", ["poll", "webhook"])
def test_a_challenger_is_asked_for_again_where_production_is_not_polled(
    told_by: str, beside: Any, replies: list[Any], other: Path, monkeypatch: Any
) -> None:
    if told_by == "poll":
        monkeypatch.setattr(module, "_POLL_SECONDS", 0.05)
    none = NoProductionModelError("there is none")
    change = {"challenger": "canary", "poll_seconds": 0, "canary_share": 0.5}
    with beside(none, waits=False, **change) as (client, service):

        def becomes(state: str, reply: Any) -> None:
            time.sleep(0.3)
            replies[:] = [reply]
            if told_by == "webhook":
                service.ask_soon()
            wait_until(lambda: service.challenger.state == state)

        becomes("prices", told(other))
        assert ask_all(client, canaries(1)) == {"8"}
        becomes("none", none)
        assert ask_all(client, canaries(1)) == {"7"}


def test_the_shadow_of_an_appraisal_is_a_price(beside: Any, monkeypatch: Any) -> None:
    appraised: list[str] = []
    parts = appraisals.parts_of

    def counted(asked: Any, *args: Any) -> Any:
        appraised.append(asked.model.digest)
        return parts(asked, *args)

    monkeypatch.setattr(appraisals, "parts_of", counted)
    with beside(challenger="shadow", shadow_share=1) as (client, service):
        assert client.post("/appraise", json={**FULL, "askingPrice": 900_000}).status_code == 200
        wait_until(lambda: len(service.log.rows) == 2)
        (answer, _), (shadow, more) = service.log.rows
        assert appraised == [answer[2].model.digest]
        assert more["problem"] == ""
        assert (answer[4].deal, answer[4].prices) == (shadow[4].deal, shadow[4].prices)
        assert answer[4].deal is not None


def test_few_failures_among_many_prices_drop_nobody() -> None:
    found: list[Any] = []
    watch = Watch(lambda *why: found.append(why))
    for _ in range(20):
        for _ in range(MOST_FAILURES - 1):
            watch.note("error", 0.001)
        for _ in range(LAST_PRICES):
            watch.note(None, 0.001)
    assert found == []
    for _ in range(MOST_FAILURES + 3):
        watch.note("no_price", 0.001)
    assert found == [("no_price", f"what it gives is no price (5 of the last {LAST_PRICES})")]


@pytest.mark.parametrize(
    ("own", "champions", "is_slow"), [(0.2, 0.05, False), (0.3, 0.05, True), (0.04, 0.001, False)]
)
def test_a_challenger_is_slow_beside_production(
    own: float, champions: float, is_slow: bool
) -> None:
    found: list[Any] = []
    watch = Watch(lambda reason, _: found.append(reason))
    for _ in range(FEWEST_TIMES - 1):
        watch.note(None, own)
        watch.champion_took(champions)
    assert found == []
    watch.champion_took(champions)
    watch.note(None, own)
    assert found == (["slow"] if is_slow else [])


def test_what_finds_no_room_in_the_queue_is_left_out_and_counted(served: Any) -> None:
    hold, left_out = threading.Event(), []
    done: list[ShadowJob] = []

    def do(job: ShadowJob) -> None:
        hold.wait(30)
        done.append(job)

    shadow = Shadow(do, left_out.append)
    jobs = [
        ShadowJob(None, lambda _: ([], {}), "/predict/batch", 0.9, [BARE] * count, [""] * count)
        for count in (6_000, 4_000, 1, 5_000, 2)
    ]
    for job in jobs:
        shadow.put(job)
    assert left_out == [1, 5_000, 2]
    hold.set()
    wait_until(lambda: len(done) == 2)
    shadow.put(jobs[2])
    wait_until(lambda: len(done) == 3)
    shadow.close()


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        (NoProductionModelError("there is none"), "none", ""),
        (RefusedError("MLflow at http://secret:1 is away"), "unavailable", "is away"),
        (KeyError("odd"), "unavailable", "the challenger cannot be loaded (KeyError)"),
    ],
)
def test_a_challenger_that_cannot_be_had_disturbs_nobody(
    answer: Exception, state: str, words: str, beside: Any, other: Path, replies: list[Any]
) -> None:
    with beside(answer, challenger="canary", waits=False) as (client, service):
        wait_until(lambda: service.challenger.state == state)
        for car in cars(20):
            assert client.post("/predict", json=car).json()["modelVersion"] == "7"
        health = client.get("/").json()
        assert (health["status"], health["detail"]) == ("ok", None)
        about = client.get("/model").json()["challenger"]
        assert words in (about["detail"] or "")
        counted = metric(client, "carprice_challenger_registry_failures_total")
        assert (counted > 0) == (state == "unavailable")
        replies[:] = [told(other)]
        wait_until(lambda: service.challenger.state == "prices")
        replies[:] = [answer]
        if state == "none":
            wait_until(lambda: service.challenger.state == "none")
        else:
            time.sleep(0.3)  # for some polls
            assert service.challenger.state == "prices"


def test_the_model_in_production_is_nobodys_challenger(
    beside: Any, finished: Any, replies: list[Any], other: Path
) -> None:
    with beside(told(finished[0].model), challenger="canary", waits=False) as (client, service):
        time.sleep(0.3)
        assert service.challenger.state == "none"
        replies[:] = [told(other)]
        wait_until(lambda: service.challenger.state == "prices")
        own = service.challenger.served
        service.keeper.served = ServedModel.of(own.model, "8")  # promoted, and not polled since
        for car in cars(20):
            assert "alias" not in client.post("/predict", json=car).json()
        wait_until(lambda: service.challenger.state == "none")


@pytest.mark.parametrize("key", ["", "k" * 32])
def test_where_a_record_is_required_a_challenger_has_to_have_passed_the_tests(
    key: str, beside: Any, other: Path, replies: list[Any]
) -> None:
    digest = PriceModel.load(other).digest
    limits = {"tests": "passed", "tests_digest": digest, "tests_limits": "x"}
    signed = Record("used-car-price", "8", digest).signed_tests(b"k" * 32, "x")
    untested = told(other, tests="failed")
    change = {"require_record": True, "promotion_key": key, "challenger": "canary"}
    with beside(untested, waits=False, **change) as (_, service):
        wait_until(lambda: "it failed the model tests" in service.challenger.problem)
        if key:
            replies[:] = [told(other, **limits)]
            wait_until(lambda: "nobody who has" in service.challenger.problem)
        replies[:] = [told(other, **limits, **(signed if key else {}))]
        wait_until(lambda: service.challenger.state == "prices")


def test_an_untested_challenger_is_told_of_where_no_record_is_required(
    beside: Any, other: Path, caplog: Any
) -> None:
    with beside(told(other, tests=""), challenger="canary"):
        pass
    assert "is challenger, but it has not been through the model tests" in caplog.text


def test_a_challenger_of_another_market_is_refused(
    beside: Any, finished: Any, tmp_path: Path
) -> None:
    model = PriceModel.load(finished[0].model)
    market = dataclasses.replace(model.market, currency="EUR")
    dataclasses.replace(model, market=market).save(tmp_path / "euro")
    with beside(told(tmp_path / "euro"), challenger="canary", waits=False) as (_, service):
        wait_until(lambda: "has currency EUR, production INR" in service.challenger.problem)
        assert service.challenger.state == "unavailable"


def test_the_names_of_the_alias_are_one() -> None:
    assert ChallengerModel.alias == CHALLENGER


@pytest.mark.parametrize(
    ("name", "value"),
    [("challenger", "on"), ("canary_share", 0.6), ("shadow_share", 1.1), ("shadow_share", -0.1)],
)
def test_shares_have_bounds(settings: ServiceSettings, name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        ServiceSettings(**{**settings.model_dump(), name: value})
