import asyncio
import datetime
import json
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest
from asking import BARE, refused, wait_until
from cryptography.fernet import Fernet
from fastapi.testclient import TestClient
from mlflow.webhooks.delivery import _generate_hmac_signature
from pydantic import SecretStr

from api import siblings as module
from api.app import create_app
from api.gateway import WEBHOOK
from api.keys import entry
from api.problems import ProblemError
from api.routes.webhooks import Receiver
from api.service_settings import ServiceSettings
from api.siblings import Siblings
from carprice.errors import InputError
from carprice.registry.promotion import promote
from carprice.registry.versions import production_version

Start = Callable[..., AbstractContextManager[Any]]
SECRET = "<a webhook secret of enough characters>"
NAME = "used-car-price"
NOW = datetime.datetime(2025, 7, 2, 12, 0, tzinfo=datetime.UTC)


def event(name: str = NAME, entity: str = "model_version_alias", **more: Any) -> str:
    data = {"name": name, "alias": "production", "version": "2"}
    return json.dumps({"entity": entity, "action": "created", "data": data, **more})


def deliver(client: Any, body: str, secret: str = SECRET, number: str = "1", age: int = 0) -> Any:
    moment = str(int(time.time()) - age)
    headers = {
        "X-MLflow-Signature": _generate_hmac_signature(secret, number, moment, body),
        "X-MLflow-Delivery-Id": number,
        "X-MLflow-Timestamp": moment,
        "Content-Type": "application/json",
    }
    return client.post(WEBHOOK, content=body, headers=headers)


@pytest.fixture
def asked(client_with: Any) -> Any:
    """A client of a service with keys and a webhook, and how often its keeper was asked to ask."""
    counts: list[None] = []
    with client_with(webhook_secret=SECRET, api_keys=entry("a", "k" * 20)) as client:
        client.app.state.service.ask_soon = lambda: counts.append(None)
        yield client, counts


def test_a_signed_event_about_the_model_asks_once_and_others_do_not(asked: Any) -> None:
    client, counts = asked
    assert deliver(client, event()).status_code == 204
    assert deliver(client, event()).status_code == 204  # the same delivery again
    assert len(counts) == 1
    others = (event("another"), event(entity="prompt"), "[]", "no JSON", "[" * 60_000, "{}")
    for number, body in enumerate(others):
        answer = deliver(client, body, number=f"other {number}")
        assert (answer.status_code, answer.content) == (204, b"")
    assert len(counts) == 1
    assert deliver(client, event(), number="2").status_code == 204
    assert len(counts) == 2


def test_what_is_not_signed_or_not_fresh_is_refused(asked: Any) -> None:
    client, counts = asked
    for answer in (
        client.post(WEBHOOK, content=event()),
        deliver(client, event(), "x" * 40),
        deliver(client, event(), age=301),
        deliver(client, event(), age=-301),
        client.post(WEBHOOK, content=event(), headers={"X-API-Key": "k" * 20}),
        client.post(WEBHOOK, content=event(), headers={"X-MLflow-Signature": b"\xff"}),
    ):
        told = refused(answer, 401, "unauthorized")
        assert SECRET not in answer.text
        assert "CARPRICE_WEBHOOK_SECRET" in told["detail"] or "clocks" in told["detail"]
    refused(deliver(client, " " * 70_000), 413, "request-too-large")
    assert counts == []


def test_the_time_is_signed_and_must_be_one() -> None:
    receiver = Receiver(SecretStr(SECRET), lambda: 1000.0)

    def signed(moment: str, told: str | None = None) -> bool:
        signature = _generate_hmac_signature(SECRET, "1", moment, "{}")
        return receiver.is_new(signature, "1", told or moment, b"{}")

    for moment in ("", "nan", "inf", "699", "1301", "soon"):
        with pytest.raises(ProblemError, match="clocks"):
            signed(moment)
    with pytest.raises(ProblemError, match="signature"):
        signed("10", "1000")
    assert signed("1300")
    assert not signed("1300")


def test_there_is_no_such_route_without_a_secret(client: Any) -> None:
    assert deliver(client, event()).status_code == 404


def test_the_secret_is_long_and_never_shown(settings: ServiceSettings) -> None:
    with pytest.raises(InputError, match="CARPRICE_WEBHOOK_SECRET: needs 32 char") as told:
        ServiceSettings.from_environment({"CARPRICE_WEBHOOK_SECRET": "<short secret>"})
    assert "<short secret>" not in str(told.value)
    given = ServiceSettings(**{**settings.model_dump(), "webhook_secret": SECRET})
    assert SECRET not in f"{given!r}{given.model_dump()}"


@pytest.mark.slow
def test_a_real_registry_tells_a_real_service_of_its_new_production_version(
    start: Start,
    serve: Any,
    empty_database: Path,
    finished: Any,
    another_model: Any,
    register: Any,
    tmp_path: Path,
) -> None:
    from mlflow import MlflowClient

    shutil.copy(empty_database, tmp_path / "mlflow.db")
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--workers", "1", "--host", "127.0.0.1"),
        *("--backend-store-uri", f"sqlite:///{tmp_path / 'mlflow.db'}", "--port", "{port}"),
        *("--artifacts-destination", str(tmp_path / "artifacts"), "--serve-artifacts"),
    ]
    allowed = {
        "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
        "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
        "MLFLOW_WEBHOOK_CACHE_TTL": "1",
        "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": Fernet.generate_key().decode(),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    with serve(command, tmp_path, "/health", allowed) as registry:
        first = register(registry.url, NAME, finished[0].model, tmp_path)
        client = MlflowClient(registry.url)
        client.set_registered_model_alias(NAME, "production", str(first))
        second = register(
            registry.url, NAME, another_model(finished[0].model, tmp_path / "new"), tmp_path
        )
        settings = {"MLFLOW_TRACKING_URI": registry.url, "CARPRICE_WEBHOOK_SECRET": SECRET}
        with start(**settings, CARPRICE_BAKED_MODEL="") as server:
            assert server.post("/predict", BARE)[1]["modelVersion"] == str(first)
            client.create_webhook(
                name="carprice",
                url=server.url + WEBHOOK,
                events=["model_version_alias.created", "model_version_alias.deleted"],
                secret=SECRET,
            )
            client.set_registered_model_alias(NAME, "production", str(second))
            wait_until(lambda: server.post("/predict", BARE)[1]["modelVersion"] == str(second))
            assert SECRET not in server.log.read_text()


@pytest.mark.parametrize("store", ["server"], indirect=True)
def test_a_webhook_that_one_worker_gets_is_heard_by_all(
    store: Any,
    following: dict[str, str],
    start: Start,
    another_model: Any,
    finished: Any,
    tmp_path: Path,
) -> None:
    """Nothing is polled, so that only the webhook can have told them."""
    name, second = store.registry.name, another_model(finished[0].model, tmp_path / "new")
    told = {**following, "CARPRICE_POLL_SECONDS": "0", "CARPRICE_WEBHOOK_SECRET": SECRET}
    with start("--workers", "2", **told) as server:
        store.stage(second)
        promote(store.registry, NOW, "it is newer")
        with httpx.Client(base_url=server.url) as client:
            assert deliver(client, event(name)).status_code == 204
        version = f"Serving version {production_version(store.registry).number} from the registry"
        wait_until(lambda: server.log.read_text().count(version) == 2)
        assert server.log.read_text().count("Another process was told") == 1


def test_where_the_others_cannot_be_told_the_webhook_is_taken_and_listening_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    by_itself: list[str] = []
    heard: list[str] = []
    cache, in_the_way = tmp_path / "cache", tmp_path / "cache" / module._FILE
    cache.write_text("no folder")
    monkeypatch.setattr(module, "_LOOK_SECONDS", 0.01)

    async def failing(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    async def scenario() -> None:
        one = Siblings(cache, lambda: by_itself.append("heard"))
        other = Siblings(cache, lambda: heard.append("heard"))
        await one.tell()  # an OSError
        cache.unlink()
        in_the_way.mkdir(parents=True)
        await one.tell()  # a CarpriceError, as where the disk refuses
        assert caplog.text.count("are not told of the registry's change") == 2
        listening = [asyncio.create_task(each.run()) for each in (one, other)]
        with monkeypatch.context() as patched:
            patched.setattr(module, "in_thread", failing)
            await one.tell()
            await asyncio.sleep(0.1)
        in_the_way.rmdir()
        await one.tell()
        await one.tell()
        async with asyncio.timeout(60):
            while not heard or one._known != other._known:
                await asyncio.sleep(0.01)
        assert by_itself == []
        for task in listening:
            task.cancel()

    asyncio.run(scenario())


def test_a_keeper_that_is_told_asks_and_goes_on_asking_where_that_fails(
    served: Any, settings: ServiceSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.keeper._LONGEST_WAIT_SECONDS", 0.05)
    told = ServiceSettings(**{**settings.model_dump(), "webhook_secret": SECRET})
    with TestClient(create_app(told, served)) as client:
        keeper = client.app.state.service.keeper
        failures: list[str] = []
        keeper.on_failure = failures.append
        time.sleep(0.3)
        assert failures == []
        deliver(client, event())
        wait_until(lambda: len(failures) > 2)
