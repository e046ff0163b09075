"""What the service is told by its environment."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from carprice.tracking import tracking_uri


class ServiceSettings(BaseModel):
    """Where the model comes from.

    Attributes
    ----------
    tracking_uri : MLflow server or database that holds the registry.
    model_name : name of the registered model; its alias ``production`` is served.
    model_cache : folder for downloaded models.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    tracking_uri: str = Field(min_length=1)
    model_name: str = Field("used-car-price", min_length=1)
    model_cache: Path = Path(".carprice") / "models"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Read ``MLFLOW_TRACKING_URI``, ``CARPRICE_MODEL_NAME`` and ``CARPRICE_MODEL_CACHE``."""
        given = {
            "model_name": environment.get("CARPRICE_MODEL_NAME"),
            "model_cache": environment.get("CARPRICE_MODEL_CACHE"),
        }
        return cls(
            tracking_uri=tracking_uri(Path(), None),
            **{name: value for name, value in given.items() if value},
        )
