import datetime
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from asking import wait_until
from fastapi.testclient import TestClient

from api.app import create_app
from api.served import ServedModel
from api.service_settings import ServiceSettings
from carprice.model import PriceModel
from carprice.redaction import PROMOTION_KEY
from carprice.registry.promotion import promote

NOW = datetime.datetime(2025, 7, 1, 12, 0, tzinfo=datetime.UTC)
NOWHERE = "http://127.0.0.1:9"


ClientWith = Callable[..., AbstractContextManager[TestClient]]
Start = Callable[..., AbstractContextManager[Any]]


@pytest.fixture(scope="session")
def model(finished) -> PriceModel:
    return PriceModel.load(finished[0].model)


@pytest.fixture(scope="session")
def served(model: PriceModel) -> ServedModel:
    return ServedModel.of(model, "7")


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> ServiceSettings:
    """Settings of a service whose registry never answers."""
    cache: Path = tmp_path_factory.mktemp("no-models")
    return ServiceSettings(tracking_uri=NOWHERE, model_cache=cache)


@pytest.fixture(scope="module")  # its log comes 50 ms late: no other file's test may catch it
def client(settings: ServiceSettings, served: ServedModel) -> Iterator[TestClient]:
    """A client of a service with version 7 of a small model."""
    with TestClient(create_app(settings, served)) as client:
        yield client


@pytest.fixture(scope="session")
def client_with(settings: ServiceSettings, served: ServedModel) -> ClientWith:
    """Gives a client of the same service with some settings changed."""

    @contextmanager
    def changed(**change: Any) -> Iterator[TestClient]:
        changed = ServiceSettings(**{**settings.model_dump(), **change})
        with TestClient(create_app(changed, served)) as client:
            yield client

    return changed


@pytest.fixture(scope="session")
def start(finished: Any, serve: Any, tmp_path_factory: pytest.TempPathFactory) -> Start:
    """Starts ``python -m api``, as its image does, with the image's model and without a registry.

    It waits until every worker serves. Asking a local registry would start MLflow beside every
    service; ``test_keeper.py`` does.
    """

    @contextmanager
    def starting(*options: str, **environment: str) -> Iterator[Any]:
        command = [sys.executable, "-m", "api", "--host", "127.0.0.1", "--port", "{port}", *options]
        folder = tmp_path_factory.mktemp("service")
        settings = {
            "MLFLOW_TRACKING_URI": NOWHERE,
            "CARPRICE_BAKED_MODEL": str(finished[0].model),
            "CARPRICE_MODEL_CACHE": str(folder / "cache"),
            "CARPRICE_DRAIN_SECONDS": "0",
            **environment,
        }
        workers = int(options[options.index("--workers") + 1]) if "--workers" in options else 1
        with serve(command, folder, "/", settings) as server:
            wait_until(lambda: server.log.read_text().count("Serving version") >= workers)
            yield server

    return starting


@pytest.fixture(scope="session")
def running(start: Start) -> Iterator[Any]:
    """A running service."""
    with start() as server:
        yield server


@pytest.fixture
def following(store: Any, finished: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A small model in production of ``store``, signed; what makes a service follow its aliases."""
    monkeypatch.setenv(PROMOTION_KEY, "k" * 32)
    store.stage(finished[0].model)
    promote(store.registry, NOW, "it passed")
    return {
        "MLFLOW_TRACKING_URI": store.registry.uri,
        "CARPRICE_MODEL_NAME": store.registry.name,
        "CARPRICE_POLL_SECONDS": "0.3",
        "CARPRICE_BAKED_MODEL": "",
    }
