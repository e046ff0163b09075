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
