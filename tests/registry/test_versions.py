import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from carprice.errors import CorruptModelError, NoProductionModelError, RefusedError
from carprice.model import PriceModel
from carprice.model_folder import folder_digest
from carprice.registry.tracking import start_run
from carprice.registry.versions import production_version

NOW = datetime.datetime(2025, 7, 1, 12, 0, tzinfo=datetime.UTC)


@pytest.fixture
def model(finished) -> Path:
    return finished[0].model


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_registry_without_the_model_has_no_versions(store: Any) -> None:
    assert store.registry.versions() == []
    assert store.registry.at("production") is None
    assert store.registry.with_digest("0" * 64) == []


def test_without_production_the_remedy_is_named(store: Any) -> None:
    with pytest.raises(NoProductionModelError) as none:
        production_version(store.registry)
    assert str(none.value).endswith(
        f"has no production version of {store.registry.name}; run the pipeline, "
        "`carprice test-model` and `carprice promote`"
    )


def test_a_registered_version_is_found_by_its_digest_with_its_tags(store: Any, model: Path) -> None:
    version = store.log(model, git_commit="abc")
    (found,) = store.registry.with_digest(folder_digest(model))
    assert (found.number, found.tags["git_commit"]) == (version.number, "abc")
    assert found.accepted


def test_a_fetched_model_is_the_registered_one(store: Any, model: Path, tmp_path: Path) -> None:
    version = store.log(model)
    folder = store.registry.fetch(version, tmp_path / "cache")
    assert folder == tmp_path / "cache" / folder_digest(model)
    assert PriceModel.load(folder).digest == folder_digest(model)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [folder.name]


def test_a_fetched_model_is_taken_from_the_cache_the_second_time(
    store: Any, model: Path, tmp_path: Path
) -> None:
    version = store.log(model)
    first = store.registry.fetch(version, tmp_path / "cache")
    store.artifact(version, "booster.onnx").unlink()
    assert store.registry.fetch(version, tmp_path / "cache") == first


@pytest.mark.parametrize("name", ["booster.onnx", "hedonic.json"])
def test_a_byte_changed_in_the_store_is_refused_and_leaves_no_folder(
    store: Any, model: Path, tmp_path: Path, name: str
) -> None:
    version = store.log(model)
    flip_a_byte(store.artifact(version, name))
    with pytest.raises(CorruptModelError, match=f"{name} is missing or not the file"):
        store.registry.fetch(version, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_another_model_in_the_place_of_the_registered_one_is_refused(
    store: Any, model: Path, another_model: Callable[..., Path], tmp_path: Path
) -> None:
    version = store.log(model)
    impostor = another_model(model, tmp_path / "impostor")
    store.artifact(version, "model.json").write_bytes((impostor / "model.json").read_bytes())
    with pytest.raises(CorruptModelError, match=r"version 1 of .* \(its digest differs\)"):
        store.registry.fetch(version, tmp_path / "cache")


def test_a_byte_changed_in_the_cache_is_mended_from_the_registry(
    store: Any, model: Path, tmp_path: Path
) -> None:
    version = store.log(model)
    cached = store.registry.fetch(version, tmp_path / "cache")
    flip_a_byte(cached / "booster.onnx")
    assert store.registry.fetch(version, tmp_path / "cache") == cached
    assert (cached / "booster.onnx").read_bytes() == (model / "booster.onnx").read_bytes()


def test_a_missing_artifact_is_one_line(store: Any, model: Path, tmp_path: Path) -> None:
    version = store.log(model)
    for path in store.artifact(version, "model.json").parent.iterdir():
        path.unlink()
    with pytest.raises((CorruptModelError, RefusedError)) as refused:
        store.registry.fetch(version, tmp_path / "cache")
    assert "\n" not in str(refused.value)


def test_a_version_that_carprice_did_not_log_is_refused(store: Any, tmp_path: Path) -> None:
    import mlflow

    other = tmp_path / "other.txt"
    other.write_text("no model")
    with start_run(store.registry.uri, "test", store.folder, params={}, tags={}):
        mlflow.pyfunc.log_model(
            name="model",
            loader_module="carprice.pyfunc",
            data_path=str(other),
            registered_model_name=store.registry.name,
            pip_requirements=[],
        )
    (version,) = store.registry.versions()
    with pytest.raises(CorruptModelError, match="holds no model folder of carprice"):
        store.registry.fetch(version, tmp_path / "cache")
