"""A registry to serve from: a real MLflow server with a model in production."""

import contextlib
import datetime
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from servers import clean_environment, free_port, running

from carprice.arrays import Progress
from carprice.components.pipeline import run
from carprice.components.workspace import Workspace
from carprice.registry.promotion import promote, record_tests, staged_version
from carprice.registry.versions import PRODUCTION, Registry
from carprice.settings import Settings

SETTINGS: Final = Settings.model_validate(
    {"ingest": {"source": "sample", "sample": {"rows": 5000, "seed": 7}}}
)
MODEL: Final = SETTINGS.register_.name
MODEL_URI: Final = f"models:/{MODEL}@{PRODUCTION}"


@contextlib.contextmanager
def sample_registry(workdir: Path | None, scratch: Path, progress: Progress) -> Iterator[str]:
    """Serve a registry over HTTP until the block ends; return its address.

    Parameters
    ----------
    workdir : folder with the database ``mlflow.db`` of an earlier run; default: train a model.
    scratch : folder for all that is written.
    progress : told what is being done.
    """
    progress("starting an MLflow server")
    database = (workdir or scratch) / "mlflow.db"
    port = free_port()
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--workers", "1"),
        *("--backend-store-uri", f"sqlite:///{database.resolve().as_posix()}"),
        *("--artifacts-destination", str(scratch / "artifacts"), "--serve-artifacts"),
        *("--host", "127.0.0.1", "--port", str(port)),
    ]
    environment = clean_environment({"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"})
    with running(command, port, scratch, environment) as server:
        server.wait_for_answer("/version")
        uri = f"http://127.0.0.1:{port}"
        if workdir is None:
            progress("training a model on the sample market")
            _train(uri, scratch)
        yield uri


def _train(uri: str, scratch: Path) -> None:
    os.environ["MLFLOW_TRACKING_URI"] = uri
    now = datetime.datetime.now(datetime.UTC)
    run(SETTINGS, Workspace(scratch / "work"), now)
    registry = Registry(uri, MODEL)
    # What is measured here is the service, so that the model tests are not run.
    record_tests(registry, staged_version(registry), (), now)
    promote(registry, now, "for the benchmark")
