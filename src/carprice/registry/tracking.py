"""Where runs are logged: a local database by default, any MLflow server by configuration."""

import datetime
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from carprice.errors import InputError, RefusedError
from carprice.files import refusal_in, told
from carprice.redaction import LOGIN_VARIABLES, hide_secrets, redact
from carprice.registry import dagshub, database_file, local_database, logins
from carprice.registry.artifacts import refuse_other_servers

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

    from carprice.settings import TrackingSettings

_CLIENT_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
_DATABASES: Final = ("postgresql", "mysql", "mssql")
_STATUS: Final = re.compile(r"too many (\d{3}) error responses|failed with error code (40[13])\b")
_CALL: Final = re.compile(r"API request to endpoint (\S+) failed with error code (\d{3})")
_LACKING: Final = (404, 405, 501)
_NO_SUCH_CALL: Final = re.compile(
    r"(?i)\b(unsupported|unknown|no such) (api )?(endpoint|route)\b"
    r"|\b(endpoint|route)\b.{0,80}\b(not found|not supported|unsupported|does not exist)"
    r"|requested url was not found"
    r"|'(detail|error|message)': '(not found|method not allowed|not implemented)\b"
)
_RESOURCE: Final = re.compile(r"(?i)\b(registered model|model version|experiment|run|alias)\b")

# What was put into the environment for MLflow's client: a variable's value before, and ours.
_set_variables: dict[str, tuple[str | None, str]] = {}


def tracking_uri(workdir: Path, tracking: "TrackingSettings | None" = None) -> str:
    """Return the MLflow address: the environment's, the configured one or a local database."""
    if given := os.environ.get("MLFLOW_TRACKING_URI"):
        return given
    if tracking and tracking.uri:
        return tracking.uri
    if tracking and tracking.dagshub:
        return logins.dagshub_address(tracking.dagshub)
    return database_file.address_of((workdir / "mlflow.db").resolve())


def is_local(uri: str) -> bool:
    """Whether a registry is a file or folder of this machine.

    Examples
    --------
    >>> [is_local(uri) for uri in ("sqlite:///mlflow.db", "mlruns", "https://dagshub.com/a/b.mlflow")]
    [True, True, False]
    """
    return _scheme(uri) in ("", "file", "sqlite") or len(_scheme(uri)) == 1  # C:\\mlruns


def connect(uri: str, *, checks_login: bool = True) -> "MlflowClient":
    """Return MLflow's client of a server or database, with bounded retries.

    Parameters
    ----------
    checks_login : whether DagsHub is asked first if it takes the login.

    Raises
    ------
    InputError
        If there is no login for DagsHub, or MLflow is not installed.
    RefusedError
        If DagsHub refuses the login or has no such repository, or a database does not answer.
    """
    if checks_login:
        dagshub.check_login(uri)
    for name, value in _CLIENT_DEFAULTS.items():
        os.environ.setdefault(name, value)
    try:
        import mlflow
    except ModuleNotFoundError as error:
        if error.name != "mlflow":
            raise
        raise InputError(
            f"{redact(uri)} needs MLflow's own client, which is not installed here: "
            "without it, MLFLOW_TRACKING_URI must be an MLflow server's http address that is "
            "reached without a proxy or client certificate and serves its artifacts itself"
        ) from None

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # It logs a trace of each error of a database, and raises the error too.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)

    address = use(uri)
    with clear_errors(uri):
        _try_database(address)
        with database_file.opening(address, mlflow.MlflowClient):
            return mlflow.MlflowClient(tracking_uri=address, registry_uri=address)


def _scheme(uri: str) -> str:
    return logins.split(uri).scheme.partition("+")[0]


def _try_database(uri: str) -> None:
    """Connect once to a registry that is a database; MLflow would go on trying for minutes."""
    if _scheme(uri) == "sqlite":
        local_database.refuse_unusable(uri)
    if _scheme(uri) not in _DATABASES:
        return
    from sqlalchemy import create_engine

    try:
        engine = create_engine(uri)
    except ModuleNotFoundError as error:
        raise InputError(
            f"MLflow at {redact(uri)} needs the database driver {error.name}; pip install "
            "'carprice[sql]' and write postgresql+psycopg:// or mysql+pymysql://"
        ) from None
    engine.connect().close()
    engine.dispose()


def _log_in(uri: str) -> str:
    """Give MLflow's client the login for a DagsHub address; return the address to hand to it."""
    for name, (before, ours) in _set_variables.items():
        if os.environ.get(name) == ours:
            _set(name, before)
    _set_variables.clear()
    token = logins.dagshub_token(uri)
    if token is None:
        return uri
    # MLflow's client reads a login from the environment alone, and from an address, where it would
    # be shown. Processes that this one starts need it too. It is for this server only.
    for name, value in zip(LOGIN_VARIABLES, (dagshub.user_of(uri, token), token), strict=True):
        _set_variables[name] = (os.environ.get(name), value)
        os.environ[name] = value
    return logins.without_login(uri)


def use(uri: str) -> str:
    """Point MLflow's module-level functions at a server; return the address without a login.

    MLflow would leave the address in the environment, too, and would send the login to any server
    that artifacts are said to lie on.
    """
    import mlflow

    refuse_other_servers()
    address, given = _log_in(uri), os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(address)
    mlflow.set_registry_uri(address)
    _set("MLFLOW_TRACKING_URI", given)
    return address


def _set(variable: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(variable, None)
    else:
        os.environ[variable] = value


@contextmanager
def clear_errors(
    uri: str, call: str = "that it was asked", *, only_asks: bool = False
) -> Iterator[None]:
    """Turn what MLflow and its transport raise into one line that names the server.

    Parameters
    ----------
    call : the method of MLflow's client that is called; an error by JSON does not name it.
    only_asks : whether nothing else is done, so that a value that is none is the server's.

    Raises
    ------
    RefusedError
        If the server cannot be reached, refuses, or answers what no registry answers.
    """
    from google.protobuf.json_format import ParseError  # type: ignore[import-untyped]
    from mlflow.exceptions import MlflowException

    expected: tuple[type[Exception], ...] = (MlflowException, OSError)  # of requests, too
    if _scheme(uri) not in ("http", "https"):
        import sqlite3

        from sqlalchemy.exc import SQLAlchemyError

        expected = (*expected, SQLAlchemyError, sqlite3.Error)
    try:
        yield
    except expected as error:
        raise RefusedError(f"MLflow at {redact(uri)} {_problem(uri, error, call)}") from None
    except (ParseError, ValueError, TypeError, AttributeError, RecursionError) as error:
        if not only_asks and not isinstance(error, ParseError):
            raise
        found = " ".join(hide_secrets(str(error), uri).split())[:200]
        raise RefusedError(
            f"MLflow at {redact(uri)} does not answer {call} as an MLflow registry does ({found}); "
            f"{logins.remedy(uri)}"
        ) from None


def _problem(uri: str, error: Exception, call: str) -> str:
    if _scheme(uri) == "sqlite":
        return local_database.problem_of(error)
    if refusal := refusal_in(error):
        return f"cannot write {refusal.filename or 'its artifacts'}: {told(refusal)}"
    unknown = unknown_call(error)
    if unknown is not None:
        import mlflow

        return (
            f"does not know the call {unknown or call}, which the client (MLflow "
            f"{mlflow.__version__}) makes: "
            "the server runs an older MLflow, or its address is not that of an MLflow server; "
            "update it, or use another server"
        )
    text = hide_secrets(str(error), uri)
    if status := _STATUS.search(text):
        reason = f"answers with HTTP status {status[1] or status[2]}"
    elif "Max retries exceeded" in text:
        cause = text.rpartition(": ")[2].strip(" '\")>")
        reason = f"cannot be reached ({cause})"
    else:
        reason = f"did not do what was asked: {' '.join(text.split())[:300]}"
    return f"{reason}; {logins.remedy(uri)}"


def unknown_call(error: Exception) -> str | None:
    """Return the path that a server does not know, or None if that is not what an error says.

    Servers say it in many ways: MLflow's own by a page or ``ENDPOINT_NOT_FOUND``, others by JSON of
    their own, or even by the code of a resource that does not exist. By JSON they do not name the
    path: it is empty then.
    """
    found, code = _CALL.search(str(error)), getattr(error, "error_code", "")
    path, status = (found[1], int(found[2])) if found else ("", 0)
    text = str(error).replace(path, "")
    says_so = bool(_NO_SUCH_CALL.search(text))
    if code == "RESOURCE_DOES_NOT_EXIST":
        lacks = says_so and not _RESOURCE.search(text)
    elif status in _LACKING:
        # An answer without an error's code is not of MLflow.
        lacks = code in ("ENDPOINT_NOT_FOUND", "INTERNAL_ERROR", "NOT_IMPLEMENTED") or says_so
    else:
        lacks = code == "ENDPOINT_NOT_FOUND" or (code == "INTERNAL_ERROR" and says_so)
    return path if lacks else None


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
        experiment_id(client, uri, experiment, workdir)
        mlflow.set_experiment(experiment)
        with mlflow.start_run(tags=dict(tags)) as run:
            mlflow.log_params(dict(params))
            yield run


def experiment_id(client: "MlflowClient", uri: str, name: str, workdir: Path) -> str:
    """Return the id of an experiment, which is made where it is new."""
    from mlflow.exceptions import MlflowException

    if found := client.get_experiment_by_name(name):
        return found.experiment_id
    artifacts = database_file.artifacts_of(uri)
    if artifacts is None and _scheme(uri) == "sqlite":  # in memory
        artifacts = (workdir / "mlartifacts").resolve().as_uri()
    try:
        return client.create_experiment(name, artifact_location=artifacts)
    except MlflowException:
        if found := client.get_experiment_by_name(name):  # another process was quicker
            return found.experiment_id
        raise


def log_values(
    client: "MlflowClient",
    run: str,
    params: Mapping[str, Any],
    figures: Mapping[str, float | Sequence[float]],
    now: datetime.datetime,
) -> None:
    """Log params and figures to a run in one call; of a sequence each value is a step, from 1."""
    from mlflow.entities import Metric, Param

    time = int(1000 * now.timestamp())
    metrics = [
        Metric(name, float(value), time, step)
        for name, values in figures.items()
        for step, value in enumerate(values if isinstance(values, Sequence) else [values], start=1)
    ]
    client.log_batch(run, metrics, [Param(name, str(value)) for name, value in params.items()])


def log_outputs(uri: str, files: Mapping[Path, str | None]) -> None:
    """Log files and folders to the active run, under the artifact folder of each."""
    import mlflow

    with clear_errors(uri):
        for path, folder in files.items():
            log = mlflow.log_artifacts if path.is_dir() else mlflow.log_artifact
            log(str(path), folder)
