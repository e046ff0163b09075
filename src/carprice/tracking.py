"""Where runs are logged: a local database by default, any MLflow server by configuration."""

import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carprice.errors import RefusedError
from carprice.redaction import redact

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_CLIENT_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


_STATUS = re.compile(r"too many (\d{3}) error responses")


def tracking_uri(workdir: Path, configured: str | None) -> str:
    """Return the MLflow address: the environment's, the configured one or a local database."""
    return (
        os.environ.get("MLFLOW_TRACKING_URI")
        or configured
        or f"sqlite:///{(workdir / 'mlflow.db').resolve().as_posix()}"
    )


def connect(uri: str) -> "MlflowClient":
    """Return a client of the MLflow server or database at ``uri``, with bounded retries."""
    for name, value in _CLIENT_DEFAULTS.items():
        os.environ.setdefault(name, value)
    import mlflow

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)

    use(uri)
    with clear_errors(uri):
        return mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)


def use(uri: str) -> None:
    """Point MLflow's module-level functions at a server, without leaving it in the environment."""
    import mlflow

    given = os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    if given is None:
        os.environ.pop("MLFLOW_TRACKING_URI", None)
    else:
        os.environ["MLFLOW_TRACKING_URI"] = given


@contextmanager
def clear_errors(uri: str) -> Iterator[None]:
    """Turn what MLflow and its transport raise into one line that names the server.

    Raises
    ------
    RefusedError
        If the server cannot be reached, or refuses.
    """
    from mlflow.exceptions import MlflowException
    from requests.exceptions import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, RequestException, SQLAlchemyError, OSError) as error:
        raise RefusedError(
            f"MLflow at {redact(uri)} {_reason(str(error).replace(uri, redact(uri)))}; check "
            "MLFLOW_TRACKING_URI, the server and its login"
        ) from None


def _reason(text: str) -> str:
    if status := _STATUS.search(text):
        return f"answers with HTTP status {status[1]}"
    if "Max retries exceeded" in text:
        cause = text.rpartition(": ")[2].strip(" '\")>")
        return f"cannot be reached ({cause})"
    return f"did not do what was asked: {' '.join(text.split())[:300]}"


@contextmanager
def start_run(
    uri: str,
    experiment: str,
    workdir: Path,
    *,
    params: Mapping[str, Any],
    tags: Mapping[str, str],
) -> "Iterator[Run]":
    """Start a run under an experiment's name, making the experiment where it is new."""
    import mlflow

    client = connect(uri)
    with clear_errors(uri):
        if client.get_experiment_by_name(experiment) is None:
            local = uri.startswith("sqlite:")
            artifacts = (workdir / "mlartifacts").resolve().as_uri() if local else None
            client.create_experiment(experiment, artifact_location=artifacts)
        mlflow.set_experiment(experiment)
        with mlflow.start_run(tags=dict(tags)) as run:
            mlflow.log_params(dict(params))
            yield run


def log_results(uri: str, figures: Mapping[str, float], files: Mapping[Path, str | None]) -> None:
    """Log figures to the active run, and files and folders under the artifact folder of each."""
    import mlflow

    with clear_errors(uri):
        mlflow.log_metrics(dict(figures))
        for path, folder in files.items():
            log = mlflow.log_artifacts if path.is_dir() else mlflow.log_artifact
            log(str(path), folder)


def flatten(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings or figures as dotted keys.

    Examples
    --------
    >>> flatten({"train": {"seed": 0, "booster": {"max_depth": 6}}})
    {'train.seed': 0, 'train.booster.max_depth': 6}
    """
    flat: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
