from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from carprice.components.workspace import Workspace
from carprice.model import PriceModel
from carprice.model_tests.clean_process import RunningService, running
from carprice.model_tests.evidence import Evidence
from carprice.model_tests.panel import Panel


@pytest.fixture(scope="session")
def model(finished: Any) -> PriceModel:
    return PriceModel.load(finished[0].model)


@pytest.fixture(scope="session")
def panel(model: PriceModel) -> Panel:
    return Panel.of(model)


@pytest.fixture(scope="session")
def evidence(finished: Any, model: PriceModel) -> Evidence:
    return Evidence.of(model, pd.read_parquet(finished[0].train_listings))


@pytest.fixture(scope="session")
def downloaded(promoted: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The MLflow model of version 1, as the registry gives it. Read only."""
    from carprice.registry.versions import Registry

    uri = f"sqlite:///{(promoted.root / 'mlflow.db').as_posix()}"
    registry = Registry(uri, "used-car-price")
    version = registry.at("production")
    assert version is not None
    return registry.download(version, tmp_path_factory.mktemp("downloaded"))


@pytest.fixture(scope="session")
def pyfunc(downloaded: Path) -> Any:
    from mlflow.pyfunc import load_model

    return load_model(str(downloaded), suppress_warnings=True)


@pytest.fixture(scope="session")
def service(finished: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """The service with the finished model, in a clean process."""
    with running(finished[0].model, tmp_path_factory.mktemp("service"), 120) as found:
        yield found
