"""The model registry by aliases: ``staging``, ``production`` and ``previous``.

MLflow is imported inside the functions that talk to it, so that importing the service stays light.
"""

import datetime
import getpass
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from carprice.errors import CorruptModelError, NoProductionModelError, RefusedError
from carprice.model_folder import MANIFEST, check, is_intact
from carprice.redaction import redact
from carprice.schema import KINDS, REQUIRED, Kind, alias, example_listing
from carprice.tracking import clear_errors, connect, use

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

STAGING: Final = "staging"
PRODUCTION: Final = "production"
PREVIOUS: Final = "previous"


@dataclass(frozen=True)
class Version:
    """A registered model version: its number, aliases and tags."""

    number: int
    aliases: tuple[str, ...]
    tags: Mapping[str, str]

    @property
    def digest(self) -> str:
        """SHA-256 that names the model folder."""
        return self.tags.get("digest", "")

    @property
    def accepted(self) -> bool:
        """Whether the gate accepted this version."""
        return self.tags.get("gate") == "accepted"


class Registry:
    """The versions of one registered model on one MLflow server or database.

    Every method raises :class:`~carprice.errors.RefusedError` when the server does not answer.
    """

    def __init__(self, uri: str, name: str) -> None:
        self.uri = uri
        self.name = name
        self._client = connect(uri)

    def versions(self) -> list[Version]:
        """Return all versions, newest first; none where the model is not registered."""
        with clear_errors(self.uri):
            found = self._client.search_model_versions(f"name='{self.name}'")
            by_alias = self._numbers_by_alias() if found else {}
        versions = [
            Version(
                int(one.version),
                tuple(name for name, number in by_alias.items() if number == int(one.version)),
                dict(one.tags),
            )
            for one in found
        ]
        return sorted(versions, key=lambda version: version.number, reverse=True)

    def at(self, alias_name: str) -> Version | None:
        """Return the version under an alias, or None."""
        from mlflow.exceptions import MlflowException

        with clear_errors(self.uri):
            try:
                one = self._client.get_model_version_by_alias(self.name, alias_name)
            except MlflowException as error:
                if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                    return None
                raise
        return Version(int(one.version), (alias_name,), dict(one.tags))

    def find(self, digest: str) -> Version | None:
        """Return the version with this digest, or None."""
        return next((one for one in self.versions() if one.digest == digest), None)

    def log_version(self, folder: Path, tags: Mapping[str, str]) -> Version:
        """Log a model folder to the active run as a pyfunc, and register it as a new version."""
        import mlflow

        use(self.uri)
        with clear_errors(self.uri):
            logged = mlflow.pyfunc.log_model(
                name="model",
                loader_module="carprice.pyfunc",
                data_path=str(folder),
                signature=_signature(),
                input_example=_input_example(),
                pip_requirements=_serving_requirements(),
            )
            if not self._client.search_registered_models(f"name='{self.name}'"):
                self._client.create_registered_model(self.name)
            created = self._client.create_model_version(
                self.name,
                logged.model_uri,
                run_id=logged.run_id,
                model_id=logged.model_id,
                tags=dict(tags),
            )
        return Version(int(created.version), (), dict(tags))

    def tag(self, number: int, tags: Mapping[str, str]) -> None:
        """Set tags of a version."""
        with clear_errors(self.uri):
            for key, value in tags.items():
                self._client.set_model_version_tag(self.name, str(number), key, value)

    def point(self, alias_name: str, number: int, now: datetime.datetime, why: str) -> None:
        """Point an alias at a version, and record who did so, when and why."""
        record = f"{now.isoformat(timespec='seconds')} {_user()}: {why}"
        with clear_errors(self.uri):
            self._client.set_registered_model_alias(self.name, alias_name, str(number))
        self.tag(
            number,
            {f"{alias_name}_since": now.isoformat(timespec="seconds"), f"{alias_name}_by": record},
        )

    def fetch(self, version: Version, cache: Path) -> Path:
        """Return the version's model folder, downloaded into ``cache`` unless it is there.

        Raises
        ------
        CorruptModelError
            If the bytes are not those that were registered.
        InputError
            If the folder's format is newer than this program reads.
        """
        target = cache / version.digest
        if version.digest and is_intact(target, version.digest):
            return target
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".download-", dir=cache) as scratch:
            folder = self._download(version, Path(scratch))
            what = f"version {version.number} of {self.name} in {redact(self.uri)}"
            check(folder, version.digest, what)
            shutil.rmtree(target, ignore_errors=True)
            folder.rename(target)
        return target

    def _download(self, version: Version, scratch: Path) -> Path:
        import mlflow

        use(self.uri)
        with clear_errors(self.uri):
            downloaded = mlflow.artifacts.download_artifacts(
                artifact_uri=f"models:/{self.name}/{version.number}", dst_path=str(scratch)
            )
        found = list(Path(downloaded).glob(f"data/*/{MANIFEST}"))
        if len(found) != 1:
            raise CorruptModelError(
                f"version {version.number} of {self.name} in {redact(self.uri)} holds no model "
                "folder of carprice; register it with `carprice register`"
            )
        return found[0].parent

    def _numbers_by_alias(self) -> dict[str, int]:
        model = self._client.get_registered_model(self.name)
        return {name: int(number) for name, number in model.aliases.items()}


def production_version(registry: Registry) -> Version:
    """Return the production version.

    Raises
    ------
    NoProductionModelError
        If there is none.
    """
    version = registry.at(PRODUCTION)
    if version is None:
        raise NoProductionModelError.of(redact(registry.uri), registry.name)
    return version


def promote(registry: Registry, now: datetime.datetime, why: str) -> Version:
    """Point ``production`` at the staging version, and ``previous`` at the one it replaces.

    Raises
    ------
    RefusedError
        If no version is in staging.
    """
    candidate = registry.at(STAGING)
    if candidate is None:
        raise RefusedError(_nothing_staged(registry))
    current = registry.at(PRODUCTION)
    if current is not None and current.number == candidate.number:
        return current
    if current is not None:
        registry.point(PREVIOUS, current.number, now, f"replaced by version {candidate.number}")
    registry.point(PRODUCTION, candidate.number, now, why)
    return candidate


def rollback(registry: Registry, now: datetime.datetime, why: str) -> Version:
    """Swap ``production`` and ``previous``.

    Raises
    ------
    RefusedError
        If no earlier production version is known.
    """
    current, earlier = registry.at(PRODUCTION), registry.at(PREVIOUS)
    if earlier is None or current is None or earlier.number == current.number:
        raise RefusedError(
            f"registry {redact(registry.uri)} knows no earlier production version of "
            f"{registry.name} to go back to"
        )
    registry.point(PRODUCTION, earlier.number, now, why)
    registry.point(PREVIOUS, current.number, now, f"rolled back to version {earlier.number}")
    return earlier


def _nothing_staged(registry: Registry) -> str:
    message = f"registry {redact(registry.uri)} has no staging version of {registry.name}"
    refused = next((one for one in registry.versions() if one.tags.get("gate") == "refused"), None)
    if refused is None:
        return f"{message}; run the pipeline first: carprice register"
    return f"{message}; the gate refused version {refused.number}: {refused.tags['gate_reasons']}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


def _serving_requirements() -> list[str]:
    import importlib.metadata

    return [
        f"{name}=={importlib.metadata.version(name)}"
        for name in ("carprice", "numpy", "onnxruntime", "pydantic", "pandas")
    ]


def _signature() -> "ModelSignature":
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec
    from mlflow.types.schema import AnyType

    any_type = AnyType()  # type: ignore[no-untyped-call]
    types: dict[Kind, Any] = {
        Kind.TEXT: DataType.string,
        Kind.NUMBER: any_type,  # MLflow refuses whole numbers for a column of doubles
        Kind.INTEGER: any_type,
        Kind.DATE: DataType.string,
        Kind.FEATURES: any_type,  # an array of strings may not be missing
    }
    inputs: list[ColSpec | TensorSpec] = [
        ColSpec(types[kind], alias(field), required=field in REQUIRED)
        for field, kind in KINDS.items()
    ]
    outputs: list[ColSpec | TensorSpec] = [
        ColSpec(DataType.double, name) for name in ("predictedPrice", "priceLow", "priceHigh")
    ]
    parameters = ParamSchema([ParamSpec("confidence", DataType.double, 0.9)])
    return ModelSignature(Schema(inputs), Schema(outputs), parameters)


def _input_example() -> Any:
    import pandas as pd

    return pd.DataFrame([example_listing()])
