import datetime
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from carprice.pipeline import Outcome, run
from carprice.settings import Settings
from carprice.workspace import Workspace

ROOT = Path(__file__).resolve().parent.parent
NOW = datetime.datetime(2025, 7, 1, 12, 0, tzinfo=datetime.UTC)
SMALL = {
    "ingest": {"source": "sample", "sample": {"rows": 2000, "seed": 7}},
    "train": {"folds": 3, "booster": {"n_estimators": 60, "max_depth": 4, "learning_rate": 0.1}},
}


@contextmanager
def silent_step(_: str) -> Iterator:
    yield lambda text: None


@pytest.fixture(autouse=True)
def _no_tracking_server_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="session")
def small_settings() -> Settings:
    return Settings.model_validate(SMALL)


@pytest.fixture(scope="session")
def finished(
    tmp_path_factory: pytest.TempPathFactory, small_settings: Settings
) -> tuple[Workspace, Outcome]:
    """A finished run of all stages on a small sample, with its own local registry. Read only."""
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    workspace = Workspace(tmp_path_factory.mktemp("finished"))
    return workspace, run(small_settings, workspace, NOW, silent_step)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real listings; tests that need it are skipped where it is missing."""
    folder = Path(os.environ.get("CARPRICE_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real listings: {folder} does not exist (set CARPRICE_DATA)")
    return folder
