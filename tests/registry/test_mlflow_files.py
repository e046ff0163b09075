"""Versions that somebody forged in the registry: nothing of them is loaded by ``test-model``."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from carprice.components.workspace import Workspace
from carprice.errors import CorruptModelError
from carprice.model_folder import file_digest, folder_digest
from carprice.registry.versions import FILES, Registry, Version


@pytest.fixture(scope="module")
def registry(promoted: Workspace, registry_address: Callable[..., str]) -> Registry:
    return Registry(registry_address(promoted), "used-car-price")


@pytest.fixture(scope="module")
def version(registry: Registry) -> Version:
    return registry.numbered(1)


@pytest.fixture(scope="module")
def logged(registry: Registry, version: Version, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return registry.download(version, tmp_path_factory.mktemp("logged"))


@pytest.fixture
def downloaded(logged: Path, tmp_path: Path) -> Path:
    """A copy of what MLflow's client downloads, to be forged."""
    return shutil.copytree(logged, tmp_path / "downloaded")


def signed(version: Version, downloaded: Path) -> Version:
    """Return the version with tags that are right for whatever was downloaded."""
    files = {
        path.relative_to(downloaded).as_posix(): file_digest(path)
        for path in downloaded.rglob("*")
        if path.is_file() and path.name != "registered_model_meta"
    }
    (manifest,) = downloaded.glob("data/*/model.json")
    tags = {"digest": folder_digest(manifest.parent), FILES: json.dumps(files)}
    return replace(version, tags={**version.tags, **tags})


@pytest.mark.parametrize("tag", [None, "", "{}", "[]", "null", "5", "{", '{"MLmodel": 5}'])
def test_a_version_without_the_digests_of_its_files_is_refused(
    tag: str | None, registry: Registry, version: Version, downloaded: Path
) -> None:
    tags = {**version.tags, FILES: tag or ""}
    if tag is None:
        del tags[FILES]
    with pytest.raises(CorruptModelError, match="register it again"):
        registry.verified(replace(version, tags=tags), downloaded)
    assert registry.verified(version, downloaded).parent == downloaded / "data"


LOADER = "import os; os.environ['RAN'] = 'yes'\n"
PLACE = ("flavors", "python_function")


def set_key(*keys: str, value: Any) -> Callable[[Path], None]:
    def change(downloaded: Path) -> None:
        content = yaml.safe_load((downloaded / "MLmodel").read_text())
        inner = content
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = value
        (downloaded / "MLmodel").write_text(yaml.safe_dump(content))

    return change


def add(name: str) -> Callable[[Path], None]:
    def change(downloaded: Path) -> None:
        (downloaded / name).parent.mkdir(parents=True, exist_ok=True)
        (downloaded / name).write_text(LOADER)

    return change


def write(content: bytes) -> Callable[[Path], object]:
    return lambda downloaded: (downloaded / "MLmodel").write_bytes(content)


BOMB = b"a: &a [1, 1, 1]\n" + b"".join(
    b"%c: &%c [*%c, *%c, *%c, *%c]\n" % (two, two, one, one, one, one)
    for one, two in zip(range(97, 119), range(98, 120), strict=True)
)


@pytest.mark.parametrize(
    "forge",
    [
        set_key(*PLACE, "loader_module", value="evil"),
        set_key(*PLACE, "loader_module", value="carprice.pyfunc.evil"),
        set_key(*PLACE, "loader_module", value=["carprice.pyfunc"]),
        set_key(*PLACE, "loader_module", value="mlflow.pyfunc.model"),
        set_key(*PLACE, "code", value="code"),
        set_key(*PLACE, "code", value=["code"]),
        set_key(*PLACE, "config", value={"a": 1}),
        set_key(*PLACE, "python_model", value="python_model.pkl"),
        set_key(*PLACE, "model_code_path", value="model.py"),
        set_key(*PLACE, "data", value="../../elsewhere"),
        set_key(*PLACE, "data", value=None),
        set_key(*PLACE, "env", value="evil.yaml"),
        set_key(*PLACE, "env", value={"conda": "../conda.yaml"}),
        set_key("flavors", "sklearn", value={"pickled_model": "model.pkl"}),
        set_key("flavors", value={}),
        set_key("flavors", value="python_function"),
        set_key("flavors", value=None),
        set_key("saved_input_example_info", "artifact_path", value="/etc/passwd"),
        add("code/evil.py"),
        add("code/carprice/pyfunc.py"),
        add("python_model.pkl"),
        add("model.cloudpickle"),
        add("evil.py"),
        add("data/evil.py"),
        add("data/more/evil.py"),
        write(b""),
        write(b"- 1\n"),
        write(b"\xff\xfe"),
        write(b"a: [" * 20_000),
        write(b"!!python/object/apply:os.system ['true']\n"),
        write(BOMB),
        write(b"#" * 2_000_000),
        lambda downloaded: (downloaded / "MLmodel").unlink(),
    ],
)
def test_a_version_that_would_run_anything_else_is_refused_though_every_digest_is_right(
    forge: Callable[[Path], object], registry: Registry, version: Version, downloaded: Path
) -> None:
    forge(downloaded)
    with pytest.raises(CorruptModelError, match="register it again") as told:
        registry.verified(signed(version, downloaded), downloaded)
    assert str(told.value).startswith("version 1 of used-car-price in sqlite:///")
    assert "\n" not in str(told.value)


def test_a_link_in_place_of_a_file_is_refused(
    registry: Registry, version: Version, downloaded: Path, tmp_path: Path
) -> None:
    conda = downloaded / "conda.yaml"
    conda.rename(tmp_path / "conda.yaml")
    conda.symlink_to(tmp_path / "conda.yaml")
    with pytest.raises(CorruptModelError, match=r"holds conda\.yaml"):
        registry.verified(signed(version, downloaded), downloaded)


def test_older_versions_that_mlflow_wrote_with_fewer_keys_are_taken(
    registry: Registry, version: Version, downloaded: Path
) -> None:
    """What MLflow 2 wrote: one name for the environment, and no example for serving."""
    for forge in (
        set_key(*PLACE, "env", value="conda.yaml"),
        set_key("saved_input_example_info", value={"artifact_path": "input_example.json"}),
    ):
        forge(downloaded)
    content = yaml.safe_load((downloaded / "MLmodel").read_text())
    for key in ("code", "streamable"):
        content["flavors"]["python_function"].pop(key, None)
    (downloaded / "MLmodel").write_text(yaml.safe_dump(content))
    (downloaded / "serving_input_example.json").unlink()
    assert registry.verified(signed(version, downloaded), downloaded).is_dir()
