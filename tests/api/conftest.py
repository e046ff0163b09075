import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from api.keeper import ServedModel
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


@pytest.fixture(scope="session")
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
def start(
    promoted: Any, registry_address: Any, serve: Any, tmp_path_factory: pytest.TempPathFactory
) -> Start:
    """Starts ``python -m api``, as its image does, with the production model of the registry."""

    def starting(*options: str, **environment: str) -> AbstractContextManager[Any]:
        command = [sys.executable, "-m", "api", "--host", "127.0.0.1", "--port", "{port}", *options]
        settings = {
            "MLFLOW_TRACKING_URI": registry_address(promoted),
            "CARPRICE_MODEL_CACHE": str(promoted.root / "served"),
            "CARPRICE_DRAIN_SECONDS": "0",
            **environment,
        }
        return serve(command, tmp_path_factory.mktemp("service"), "/", settings)  # type: ignore[no-any-return]

    return starting


@pytest.fixture(scope="session")
def running(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A running service that fetched its model from the registry."""
    cache = tmp_path_factory.mktemp("fetched") / "cache"
    with start(CARPRICE_MODEL_CACHE=str(cache)) as server:
        yield server
