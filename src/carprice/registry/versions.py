"""The model registry: versions of one model, their aliases, tags and files.

MLflow is imported inside the functions that talk to it, so that importing the service stays light.
"""

import datetime
import importlib.metadata
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from carprice.errors import CorruptModelError, NoProductionModelError, RefusedError
from carprice.evaluation.gate import reasons_from_tag
from carprice.model_folder import MANIFEST, check, file_digest, own_columns
from carprice.redaction import redact
from carprice.registry import artifacts
from carprice.registry.cache import stored
from carprice.registry.mlflow_files import check_mlflow_files
from carprice.registry.tracking import clear_errors, connect, unknown_call, use
from carprice.schema import (
    DEFAULT_CONFIDENCE,
    KINDS,
    PRICE_NAMES,
    REQUIRED,
    FieldKind,
    alias,
    example_listing,
    kind_of,
)

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.models import ModelSignature

STAGING: Final = "staging"
PRODUCTION: Final = "production"
CHALLENGER: Final = "challenger"
PREVIOUS: Final = "previous"
WITHDRAWN: Final = "withdrawn"
FILES: Final = "files"
_MOST_PAGES: Final = 1000


@dataclass(frozen=True)
class Version:
    """A registered model version: its number, aliases and tags, and the run that logged it."""

    number: int
    aliases: tuple[str, ...]
    tags: Mapping[str, str]
    run: str = ""

    @property
    def digest(self) -> str:
        """SHA-256 that names the model folder."""
        return self.tags.get("digest", "")

    @property
    def accepted(self) -> bool:
        """Whether the gate accepted this version."""
        return self.tags.get("gate") == "accepted"

    @property
    def gate_reasons(self) -> tuple[str, ...]:
        """What the gate said of this version, one sentence for each check and note."""
        return reasons_from_tag(self.tags.get("gate_reasons", ""))

    @property
    def withdrawn(self) -> str:
        """Why it was rolled back; empty where it was not, or was brought back."""
        return self.tags.get(WITHDRAWN, "")


class Registry:
    """The versions of one registered model on one MLflow server or database.

    At DagsHub the login is checked first, unless ``checks_login`` is false, as the service has it.
    Every method raises :class:`~carprice.errors.RefusedError` when the server does not answer;
    :meth:`fetch` and :meth:`verified` also :class:`~carprice.errors.CorruptModelError` where bytes
    are not those that were registered, and :class:`~carprice.errors.InputError` where the format
    is newer than this program reads.
    """

    def __init__(self, uri: str, name: str, *, checks_login: bool = True) -> None:
        self.uri, self.name = uri, name
        self._client = connect(uri, checks_login=checks_login)

    def versions(self) -> list[Version]:
        """Return all versions, newest first; none where the model is not registered."""
        query = f"name='{self.name}'"
        with clear_errors(self.uri, "search_model_versions", only_asks=True):
            page = self._client.search_model_versions(query)
            found = list(page)
            tokens: set[str] = set()
            while page.token and len(tokens) < _MOST_PAGES:
                if page.token in tokens:
                    raise RefusedError(
                        f"MLflow at {redact(self.uri)} sends the same page of versions again and "
                        "again; check MLFLOW_TRACKING_URI and the server"
                    )
                tokens.add(page.token)
                page = self._client.search_model_versions(query, page_token=page.token)
                found += page
            model = self._client.get_registered_model(self.name) if found else None
            aliases = model.aliases.items() if model else ()
            versions = [
                _version(
                    one, *(name for name, number in aliases if int(number) == int(one.version))
                )
                for one in found
            ]
        return sorted(versions, key=lambda version: version.number, reverse=True)

    def numbered(self, number: int) -> Version:
        """Return the version of a number.

        Raises
        ------
        RefusedError
            If there is none.
        """
        for version in self.versions():
            if version.number == number:
                return version
        raise RefusedError(f"{self.name} has no version {number}; see `carprice status`")

    def at(self, alias_name: str) -> Version | None:
        """Return the version under an alias, or None."""
        from mlflow.exceptions import MlflowException

        with clear_errors(self.uri, "get_model_version_by_alias", only_asks=True):
            try:
                found = self._client.get_model_version_by_alias(self.name, alias_name)
            except MlflowException as error:
                nothing = error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
                if nothing and unknown_call(error) is None:
                    return None
                raise
            return _version(found, alias_name)

    def with_digest(self, digest: str) -> list[Version]:
        """Return the versions with this digest, newest first."""
        return [one for one in self.versions() if one.digest == digest]

    def log_version(
        self, folder: Path, tags: Mapping[str, str], figures: Mapping[str, float] | None = None
    ) -> Version:
        """Log a model folder to the active run as a pyfunc, and register it as a new version.

        Figures that the run had before would be asked for one by one, so they are logged here.
        """
        import mlflow
        import pandas as pd

        use(self.uri)
        with clear_errors(self.uri, "create_logged_model"):  # its first call, and MLflow 3's own
            logged = mlflow.pyfunc.log_model(
                name="model",
                loader_module="carprice.pyfunc",
                data_path=str(folder),
                signature=_signature(own_columns(folder)),
                input_example=pd.DataFrame([example_listing()]),
                pip_requirements=_pyfunc_requirements(),
            )
        with clear_errors(self.uri):
            if figures:
                mlflow.log_metrics(dict(figures))
            self._make_registered_model()
            with tempfile.TemporaryDirectory(prefix="carprice-") as scratch:
                files = _file_digests(self._downloaded(logged.model_uri, Path(scratch)))
            tags = {**tags, FILES: json.dumps(files)}
            created = self._client.create_model_version(
                self.name,
                logged.model_uri,
                run_id=logged.run_id,
                model_id=logged.model_id,
                tags=tags,
            )
        return Version(int(created.version), (), tags, logged.run_id)

    def _make_registered_model(self) -> None:
        """Make the model that versions are of, where there is none."""
        from mlflow.exceptions import MlflowException

        def is_there() -> bool:
            return bool(self._client.search_registered_models(f"name='{self.name}'"))

        if not is_there():
            try:
                self._client.create_registered_model(self.name)
            except MlflowException:
                if not is_there():  # no other process was quicker
                    raise

    def tag(self, number: int, tags: Mapping[str, str]) -> None:
        """Set tags of a version."""
        for key, value in tags.items():
            self._write(self._client.set_model_version_tag, self.name, str(number), key, value)

    def untag(self, number: int, key: str) -> None:
        """Remove a tag of a version, if it has it."""
        self._ask(self._client.delete_model_version_tag, self.name, str(number), key)

    def delete(self, number: int) -> None:
        """Delete a version; its run and files stay."""
        self._ask(self._client.delete_model_version, self.name, str(number))

    def model_tags(self) -> dict[str, str]:
        """Return the tags of the registered model itself; none where there is no such model."""
        with clear_errors(self.uri, "search_registered_models", only_asks=True):
            found = self._client.search_registered_models(f"name='{self.name}'")
            return {key: value for model in found for key, value in model.tags.items()}

    def tag_model(self, key: str, value: str) -> None:
        """Set a tag of the registered model itself."""
        self._write(self._client.set_registered_model_tag, self.name, key, value)

    def untag_model(self, key: str) -> None:
        """Remove a tag of the registered model itself, if it has it."""
        self._ask(self._client.delete_registered_model_tag, self.name, key)

    def point(self, alias_name: str, number: int, now: datetime.datetime) -> None:
        """Note since when an alias points at a version, and point it there.

        In this order, so that whoever finds the alias finds the note.
        """
        self.tag(number, {f"{alias_name}_since": now.isoformat(timespec="seconds")})
        self._write(self._client.set_registered_model_alias, self.name, alias_name, str(number))

    def clear(self, alias_name: str) -> None:
        """Point an alias at nothing."""
        self._ask(self._client.delete_registered_model_alias, self.name, alias_name)

    def log_files(self, version: Version, files: Mapping[Path, str]) -> None:
        """Log files to the run of a version, each under the artifact folder that it maps to."""
        for path, folder in files.items():
            self._ask(self._client.log_artifact, version.run, str(path), folder)

    def read_file(self, version: Version, path: str, folder: Path) -> Path | None:
        """Download a file of a version's run into a folder; None where the run has none of it.

        :class:`~carprice.errors.CorruptModelError` if it is larger than any file of a model.
        """
        if not version.run:
            return None
        with clear_errors(self.uri, "get_run"):
            address = use(self.uri)
            told = str(self._client.get_run(version.run).info.artifact_uri)
            place = artifacts.place_of(self._client, self.uri, told)
            return artifacts.download_file(self.uri, address, place, path, folder)

    def fetch(self, version: Version, cache: Path) -> Path:
        """Return the version's model folder, downloaded into ``cache`` unless it is there."""

        def download(folder: Path) -> Path:
            return self.model_folder(version, self.download(version, folder))

        return stored(cache, version.digest, download)

    def download(self, version: Version, folder: Path) -> Path:
        """Download the MLflow model of a version, unchecked, into an empty folder.

        :class:`~carprice.errors.CorruptModelError` if it has more, or other, files than any model.
        """
        with clear_errors(self.uri, "get_model_version_download_uri"):
            use(self.uri)
            number = str(version.number)
            place = self._client.get_model_version_download_uri(self.name, number)
            return self._downloaded(place, folder)

    def _downloaded(self, place: str, folder: Path) -> Path:
        address = use(self.uri)
        found = artifacts.place_of(self._client, self.uri, place)
        return artifacts.download(self.uri, address, found, folder)

    def has_model(self, version: Version) -> bool:
        """Whether there are files of a model at the place that a version names."""
        with tempfile.TemporaryDirectory(prefix="carprice-") as scratch:
            return bool(_model_folders(self.download(version, Path(scratch))))

    def model_folder(self, version: Version, downloaded: Path) -> Path:
        """Return the model folder inside of a version's MLflow model, its bytes checked.

        For who loads that folder alone; the files of MLflow around it are not checked.
        """
        what = self._told(version)
        found = _model_folders(downloaded)
        if len(found) != 1:
            raise CorruptModelError(
                f"{what} holds no model folder of carprice; register it with `carprice register`"
            )
        check(found[0], version.digest, what)
        return found[0]

    def verified(self, version: Version, downloaded: Path) -> Path:
        """Return the model folder of a version whose every byte is the registered one.

        The files of MLflow around it are those that the version's tags tell, and have MLflow load
        it by :mod:`carprice.pyfunc` and nothing else. All that before anything is loaded.
        """
        what, folder = self._told(version), self.model_folder(version, downloaded)
        try:
            registered = {*dict(json.loads(version.tags.get(FILES) or "{}")).items()}
        except (ValueError, TypeError, RecursionError):
            raise CorruptModelError(
                f"{what}: its tag {FILES!r} is not what was written; register it again"
            ) from None
        if not registered:
            raise CorruptModelError(
                f"{what}: it has no tag {FILES!r} with the digests of its files, so that nobody "
                "can tell whether they are the registered ones; register it again"
            )
        if odd := registered ^ {*_file_digests(downloaded).items()}:
            name = min(str(name) for name, _ in odd)
            raise CorruptModelError(
                f"{what}: {name} is missing, new, or not the file that was registered; "
                "register it again"
            )
        check_mlflow_files(downloaded, folder, what)
        return folder

    def _told(self, version: Version) -> str:
        return f"version {version.number} of {self.name} in {redact(self.uri)}"

    def parameters(self, version: Version) -> dict[str, str]:
        """Return the parameters of the run that made a version; none where it has no run."""
        if not version.run:
            return {}
        return dict(self._ask(self._client.get_run, version.run).data.params)

    def _ask(self, call: Callable[..., Any], *values: str) -> Any:
        with clear_errors(self.uri, call.__name__, only_asks=True):
            return call(*values)

    def _write(self, write: Callable[..., Any], *values: str) -> None:
        """Call a setter, and once more if it fails because somebody else sets the same."""
        try:
            self._ask(write, *values)
        except RefusedError:
            self._ask(write, *values)


def production_version(registry: Registry) -> Version:
    """Return the production version; see :func:`version_at`."""
    return version_at(registry, PRODUCTION)


def version_at(registry: Registry, alias_name: str) -> Version:
    """Return the version under an alias.

    Raises
    ------
    NoProductionModelError
        If there is none.
    """
    if version := registry.at(alias_name):
        return version
    raise NoProductionModelError.of(redact(registry.uri), registry.name, alias_name)


def described(downloaded: Path) -> Any:
    """Return what the file ``MLmodel`` says, as MLflow's ``Model``; nothing else is loaded."""
    from mlflow.models import Model

    return Model.load(str(downloaded))


def load_pyfunc(downloaded: Path) -> Any:
    """Load a model, whose files were checked, as MLflow's own clients do.

    It does not look for the modules of every distribution first, to warn of other versions.
    """
    from mlflow.pyfunc import load_model

    return load_model(str(downloaded), suppress_warnings=True)


def _model_folders(downloaded: Path) -> list[Path]:
    return [path.parent for path in downloaded.glob(f"data/*/{MANIFEST}")]


def _file_digests(downloaded: Path) -> dict[str, str]:
    """Return the SHA-256 of every file of an MLflow model; MLflow adds one at the download."""
    return {
        path.relative_to(downloaded).as_posix(): file_digest(path)
        for path in sorted(downloaded.rglob("*"))
        if path.is_file() and path.name != "registered_model_meta"
    }


def _version(found: "ModelVersion", *aliases: str) -> Version:
    return Version(int(found.version), aliases, dict(found.tags), found.run_id or "")


def _pyfunc_requirements() -> list[str]:
    """Return what ``mlflow models serve`` installs."""
    names = ("carprice", "numpy", "onnxruntime", "pydantic", "pandas")
    return [f"{name}=={importlib.metadata.version(name)}" for name in names]


def _signature(own: Sequence[str]) -> "ModelSignature":
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec
    from mlflow.types.schema import AnyType

    # MLflow refuses whole numbers for a column of doubles, and an array that is missing.
    any_type = AnyType()  # type: ignore[no-untyped-call]
    inputs: list[ColSpec | TensorSpec] = [
        ColSpec(
            DataType.string if kind_of(field) in (FieldKind.TEXT, FieldKind.DATE) else any_type,
            alias(field),
            required=field in REQUIRED,
        )
        for field in (*KINDS, *own)
    ]
    outputs: list[ColSpec | TensorSpec] = [ColSpec(DataType.double, one) for one in PRICE_NAMES]
    parameters = ParamSchema([ParamSpec("confidence", DataType.double, DEFAULT_CONFIDENCE)])
    return ModelSignature(Schema(inputs), Schema(outputs), parameters)
