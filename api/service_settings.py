"""What the service is told by its environment."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from api.root_path import OWN_PATHS
from carprice.errors import InputError
from carprice.monitoring.log_settings import check_arrow, check_location, check_needs, fields_of
from carprice.monitoring.s3 import S3, check_file
from carprice.registry.record import SHORTEST_KEY
from carprice.registry.tracking import tracking_uri

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

T = TypeVar("T")
_PREFIX = "CARPRICE_"
_DAY_SECONDS = 86_400
_SECRET = ("api_keys", "outcomes", "promotion_key", "webhook_secret")
_PART = re.compile(r"[A-Za-z0-9._~-]+")


class ServiceSettings(BaseModel):
    """Where the model comes from, and what the service allows.

    Each setting is read from the environment variable of its name in capitals with ``CARPRICE_``
    before it (``poll_seconds``: ``CARPRICE_POLL_SECONDS``), the first from
    ``MLFLOW_TRACKING_URI``.

    Attributes
    ----------
    tracking_uri : MLflow server or database that holds the registry.
    model_name : name of the registered model; its alias ``production`` is served.
    model_cache : folder for downloaded models; the last one in production is kept.
    baked_model : model folder to start from when neither registry nor cache has a model.
    registry : whether there is a registry to ask; without it ``baked_model`` is what is served.
    start_seconds : after so long without the registry's answer, start from cache or folder.
    load_seconds : after so long a model that this machine has not served before is given up.
    require_record : whether a production version is refused whose record in the registry does not
        bear it out; else that is only told.
    promotion_key : key that model tests and promotions have to be signed with; empty: none.
    webhook_secret : secret with which MLflow signs what its webhook tells of the registry; empty:
        there is no such route.
    poll_seconds : how often to look for a new production model; 0: never once it was had.
    challenger : what the model under the alias ``challenger`` is for: nothing (off), pricing some
        requests beside production (shadow), or answering for some cars (canary).
    shadow_share : share of the requests that both price.
    canary_share : share of the cars that the challenger answers for.
    drain_seconds : how long to go on serving after SIGTERM, so that load balancers notice.
    body_seconds : how long a client may take to send a request's head, and then its body.
    body_bytes : largest request for one listing.
    receiving_bytes : bytes of all bodies of more than 8 KB that are in flight in each worker.
    batch_bytes, batch_rows : largest batch.
    batch_workers : threads that price batches.
    batch_queue : batches that may wait for a thread; more are turned away.
    api_keys : comma-separated ``name:SHA-256 of a key``; empty: no key is asked for.
    api_keys_file : file with one ``name:SHA-256`` a line, beside ``api_keys``.
    rate_limit : requests a minute that a key may make in each worker; 0: any number.
    cors_origins : comma-separated origins whose pages may ask; empty: none.
    docs : whether to answer ``/docs`` and ``/openapi.json``.
    pages : whether to answer ``/app``, ``/app/stock`` and ``/model-card``, and browsers at ``/``
        with a page.
    metrics : whether to answer ``/metrics``.
    outcomes : database or folder that keeps what cars sold for; empty: there is no
        ``POST /outcomes``.
    outcomes_keys : comma-separated names of the API keys that may tell outcomes; empty: all.
    monitoring : the ``monitoring.json`` of ``carprice monitor`` whose figures ``/metrics`` tells,
        a file or ``s3://bucket/folder/name``; empty: none.
    prediction_log : folder, or ``s3://bucket/prefix``, that keeps what was answered; empty: none.
    prediction_log_spool : folder for what is not sent to S3 yet; default: beside the model cache.
    prediction_log_share : share of the answers that are kept, above 0 and at most 1.
    prediction_log_without : comma-separated fields of the listing that are not kept.
    prediction_log_days : after so many days files of the log are deleted; 0: never.
    prediction_log_seconds : after so many seconds a file of the log is finished.
    prediction_log_bytes : so large, in bytes before it is compressed, it is finished sooner.
    prediction_log_spool_bytes : what may wait to be sent to S3; more is dropped.
    opentelemetry : whether to send traces where ``OTEL_EXPORTER_OTLP_ENDPOINT`` says.
    root_path : prefix of a reverse proxy, such as ``/cars``; the service answers with it and
        without it, whether the proxy strips it or not.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False
    )

    tracking_uri: str = Field(min_length=1)
    model_name: str = Field("used-car-price", min_length=1)
    model_cache: Path = Path(".carprice") / "models"
    baked_model: Path | None = None
    registry: bool = True
    start_seconds: float = Field(30.0, gt=0)
    load_seconds: float = Field(30.0, gt=0)
    require_record: bool = False
    promotion_key: SecretStr = SecretStr("")
    webhook_secret: SecretStr = SecretStr("")
    poll_seconds: float = Field(0.0, ge=0)
    challenger: Literal["off", "shadow", "canary"] = "off"
    shadow_share: float = Field(0.1, ge=0, le=1)
    canary_share: float = Field(0.05, ge=0, le=0.5)
    drain_seconds: float = Field(5.0, ge=0, le=15)
    body_seconds: float = Field(10.0, gt=0)
    body_bytes: int = Field(64 * 1024, gt=0)
    receiving_bytes: int = Field(64 * 1024 * 1024, gt=0)
    batch_bytes: int = Field(10 * 1024 * 1024, gt=0)
    batch_rows: int = Field(10_000, gt=0)
    batch_workers: int = Field(1, gt=0)
    batch_queue: int = Field(8, ge=0)
    api_keys: SecretStr = SecretStr("")
    api_keys_file: Path | None = None
    rate_limit: int = Field(0, ge=0)
    cors_origins: str = ""
    docs: bool = True
    pages: bool = True
    metrics: bool = True
    outcomes: SecretStr = SecretStr("")
    outcomes_keys: str = ""
    monitoring: str = ""
    prediction_log: str = ""
    prediction_log_spool: Path | None = None
    prediction_log_share: float = Field(1.0, gt=0, le=1)
    prediction_log_without: str = ""
    prediction_log_days: int = Field(365, ge=0, le=36_500)
    prediction_log_seconds: float = Field(3600.0, gt=0)
    prediction_log_bytes: int = Field(16 * 1024 * 1024, gt=0)
    prediction_log_spool_bytes: int = Field(1024 * 1024 * 1024, gt=0)
    opentelemetry: bool = False
    root_path: str = ""

    @field_validator("promotion_key", "webhook_secret")
    @classmethod
    def _as_key(cls, value: SecretStr) -> SecretStr:
        if 0 < len(value.get_secret_value()) < SHORTEST_KEY:
            raise ValueError(f"needs {SHORTEST_KEY} characters or more")
        return value

    @field_validator("registry")
    @classmethod
    def _has_another_model(cls, value: bool, info: ValidationInfo) -> bool:
        if not value and info.data.get("baked_model") is None:
            raise ValueError("leaves no model to serve; name its folder in CARPRICE_BAKED_MODEL")
        return value

    @field_validator("challenger", "poll_seconds", "webhook_secret")
    @classmethod
    def _has_whom_to_ask(cls, value: T, info: ValidationInfo) -> T:
        is_on = value not in (0, "off", SecretStr(""))
        if is_on and info.data.get("registry") is False:
            raise ValueError("needs the registry, which CARPRICE_REGISTRY=false leaves out")
        return value

    @field_validator("prediction_log")
    @classmethod
    def _as_location(cls, value: str) -> str:
        if value:
            check_location(value)
            check_needs()
        return value

    @field_validator("monitoring")
    @classmethod
    def _as_file(cls, value: str) -> str:
        if value.startswith(S3):
            check_file(value)
            check_arrow()
        elif "://" in value:
            raise ValueError("is neither a file nor s3://bucket/folder/name")
        return value

    @field_validator("prediction_log_without")
    @classmethod
    def _as_fields(cls, value: str) -> str:
        fields_of(value)
        return value

    @field_validator("prediction_log_seconds")
    @classmethod
    def _before_it_is_deleted(cls, value: float, info: ValidationInfo) -> float:
        days = info.data.get("prediction_log_days", 0)
        if days and value >= days * _DAY_SECONDS:
            raise ValueError(
                f"keeps a file open as long as CARPRICE_PREDICTION_LOG_DAYS={days}, after which it "
                f"is deleted; write less than {days * _DAY_SECONDS}, such as 3600"
            )
        return value

    @field_validator("prediction_log_spool_bytes")
    @classmethod
    def _has_room_for_a_file(cls, value: int, info: ValidationInfo) -> int:
        least = info.data.get("prediction_log_bytes", 0)
        if value < least:
            raise ValueError(
                "is less than a file has, CARPRICE_PREDICTION_LOG_BYTES; write at least "
                f"{least}, or make files smaller"
            )
        return value

    @field_validator("root_path")
    @classmethod
    def _as_prefix(cls, value: str) -> str:
        parts = value.strip("/").split("/")
        if parts == [""]:
            return ""
        if parts[0] in OWN_PATHS:
            raise ValueError(f"/{parts[0]} is a path of the service itself; take another prefix")
        if not all(_PART.fullmatch(part) and part not in (".", "..") for part in parts):
            raise ValueError("is no path; write it without host and spaces, such as /cars")
        return "/" + "/".join(parts)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ, **given: object) -> Self:
        """Read the environment; what is given goes before it.

        :class:`InputError` if a variable's value is not allowed; that of a secret is not shown.
        """
        variables = {name: environment.get(_PREFIX + name.upper()) for name in cls.model_fields}
        found = {name: value for name, value in variables.items() if value}
        found["tracking_uri"] = tracking_uri(Path())
        try:
            return cls.model_validate({**found, **given})
        except ValidationError as error:
            raise InputError("; ".join(map(_told, error.errors()))) from None


def _told(error: "ErrorDetails") -> str:
    field = str(error["loc"][0])
    message = error["msg"].removeprefix("Value error, ")
    found = "a secret" if field in _SECRET else repr(error["input"])
    return f"{_PREFIX}{field.upper()}: {message} (found {found})"
