import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from api.keeper import ServedModel
from api.service_settings import ServiceSettings
from carprice.model import PriceModel

NOWHERE = "http://127.0.0.1:9"


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
def running(
    promoted: Any, registry_address: Any, serve: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """A running service, as its image starts it, with the registry's version in production."""
    folder = tmp_path_factory.mktemp("service")
    command = [sys.executable, "-m", "api", "--host", "127.0.0.1", "--port", "{port}"]
    environment = {
        "MLFLOW_TRACKING_URI": registry_address(promoted),
        "CARPRICE_MODEL_CACHE": str(folder / "cache"),
    }
    with serve(command, folder, "/", environment) as server:
        yield server
