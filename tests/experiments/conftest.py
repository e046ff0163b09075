import datetime
import shutil
from pathlib import Path

import pytest

from carprice.arrays import quiet
from carprice.experiments.data import Data, read_data
from carprice.experiments.fitting import CrossValidation
from carprice.experiments.tracked import Reporting
from carprice.registry.tracking import connect
from carprice.settings import Settings

NOW = datetime.datetime(2025, 7, 1, 12, 0, tzinfo=datetime.UTC)
QUICK = {
    "ingest": {"source": "sample", "sample": {"rows": 400, "seed": 7}},
    "train": {
        "folds": 2,
        "patience": 5,
        "booster": {"n_estimators": 10, "max_depth": 2, "learning_rate": 0.3},
    },
}


@pytest.fixture(scope="session")
def settings() -> Settings:
    return Settings.model_validate(QUICK)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory, settings: Settings) -> Data:
    """320 training listings of the sample market. Read only."""
    return read_data(settings, tmp_path_factory.mktemp("experiment-data"), quiet)


@pytest.fixture(scope="session")
def how(settings: Settings) -> CrossValidation:
    """Two folds, as fast as can be."""
    return CrossValidation(settings.train, folds=2, quick=False, metric="mape", seconds=120)


@pytest.fixture(scope="session")
def tracking(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Path:
    """The folder of the tests' MLflow; each test uses experiments or studies of its own."""
    return shutil.copytree(empty_database.parent, tmp_path_factory.mktemp("experiments") / "runs")


@pytest.fixture
def to(tracking: Path, tmp_path: Path) -> Reporting:
    """Results go to the tests' MLflow and a folder of the test's own; nobody is told."""
    uri = f"sqlite:///{(tracking / 'mlflow.db').as_posix()}"
    return Reporting(uri, tracking, tmp_path / "out", lambda: NOW, quiet, quiet, quiet)


@pytest.fixture
def runs_of(to: Reporting):
    """Return what finds an experiment's client, parent run with some params, and nested runs."""

    def find(experiment: str, **params: str):
        client = connect(to.uri)
        runs = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
        parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
        (parent,) = (run for run in parents if run.data.params.items() >= params.items())
        nested = {
            run.info.run_name: run
            for run in runs
            if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id
        }
        return client, parent, nested

    return find
