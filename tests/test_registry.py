import datetime
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from carprice.errors import CorruptModelError, NoProductionModelError, RefusedError
from carprice.model import PriceModel
from carprice.model_folder import folder_digest
from carprice.registry import Registry, Version, production_version, promote, rollback
from carprice.tracking import connect, start_run, tracking_uri

NOW = datetime.datetime(2025, 7, 1, 12, 0, tzinfo=datetime.UTC)
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Store:
    """A registry and where its artifacts lie on the disk."""

    registry: Registry
    folder: Path

    def log(self, model: Path, **tags: str) -> Version:
        registry = self.registry
        tags = {"digest": folder_digest(model), "gate": "accepted", **tags}
        with start_run(registry.uri, "test", self.folder, params={}, tags={}):
            return registry.log_version(model, tags)

    def stage(self, model: Path) -> Version:
        version = self.log(model)
        self.registry.point("staging", version.number, NOW, "accepted by the gate")
        return version

    def artifact(self, version: Version, name: str) -> Path:
        client = connect(self.registry.uri)
        source = client.get_model_version(self.registry.name, str(version.number)).source
        (path,) = self.folder.rglob(f"{source.removeprefix('models:/')}/**/{name}")
        return path


@pytest.fixture(scope="session")
def local_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("local-registry")


@pytest.fixture(params=["database", "server"])
def store(request: pytest.FixtureRequest, local_folder: Path) -> Store:
    """A registry of its own name: in a local database, and on a real server."""
    name = f"cars-{next(_numbers)}"
    if request.param == "database":
        return Store(Registry(tracking_uri(local_folder, None), name), local_folder)
    server = request.getfixturevalue("mlflow_server")
    return Store(Registry(server.url, name), server.log.parent)


@pytest.fixture
def model(finished) -> Path:
    return finished[0].model


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def aliases(registry: Registry) -> Mapping[str, int]:
    return {name: one.number for one in registry.versions() for name in one.aliases}


def test_a_registry_without_the_model_has_no_versions(store: Store) -> None:
    assert store.registry.versions() == []
    assert store.registry.at("production") is None
    assert store.registry.find("0" * 64) is None


def test_without_production_the_remedy_is_named(store: Store) -> None:
    with pytest.raises(NoProductionModelError) as none:
        production_version(store.registry)
    assert str(none.value).endswith(
        f"has no production version of {store.registry.name}; run the pipeline, then "
        "`carprice promote`"
    )


def test_a_registered_version_is_found_by_its_digest_with_its_tags(
    store: Store, model: Path
) -> None:
    version = store.log(model, git_commit="abc")
    found = store.registry.find(folder_digest(model))
    assert found is not None
    assert (found.number, found.tags["git_commit"]) == (version.number, "abc")
    assert found.accepted


def test_promoting_points_production_at_staging_and_previous_at_the_one_before(
    store: Store, model: Path, another_model: Callable[..., Path], tmp_path: Path
) -> None:
    first = store.stage(model)
    assert promote(store.registry, NOW, "first").number == first.number
    assert aliases(store.registry) == {"staging": 1, "production": 1}
    store.stage(another_model(model, tmp_path / "second"))
    later = NOW + datetime.timedelta(days=1)
    assert promote(store.registry, later, "better").number == 2
    assert aliases(store.registry) == {"staging": 2, "production": 2, "previous": 1}
    tags = store.registry.versions()[0].tags
    assert tags["production_since"] == "2025-07-02T12:00:00+00:00"
    assert tags["production_by"].endswith(": better")


def test_promoting_what_is_in_production_changes_nothing(store: Store, model: Path) -> None:
    store.stage(model)
    promote(store.registry, NOW, "first")
    promote(store.registry, NOW + datetime.timedelta(days=1), "again")
    assert aliases(store.registry) == {"staging": 1, "production": 1}
    assert store.registry.versions()[0].tags["production_by"].endswith(": first")


def test_promoting_without_staging_is_refused_with_the_next_step(store: Store) -> None:
    with pytest.raises(RefusedError, match=r"no staging version.*carprice register"):
        promote(store.registry, NOW, "")


def test_promoting_a_refused_version_names_the_reasons_of_the_gate(
    store: Store, model: Path
) -> None:
    store.log(model, gate="refused", gate_reasons="failed: MAPE 45.00 % against 30 %")
    with pytest.raises(RefusedError, match=r"the gate refused version 1: failed: MAPE 45.00 %"):
        promote(store.registry, NOW, "")
    assert store.registry.at("production") is None


def test_rolling_back_without_an_earlier_version_is_refused(store: Store, model: Path) -> None:
    with pytest.raises(RefusedError, match="knows no earlier production version"):
        rollback(store.registry, NOW, "")
    store.stage(model)
    promote(store.registry, NOW, "first")
    with pytest.raises(RefusedError, match="knows no earlier production version"):
        rollback(store.registry, NOW, "")
    assert aliases(store.registry)["production"] == 1


def test_rolling_back_swaps_production_and_previous_and_back_again(
    store: Store, model: Path, another_model: Callable[..., Path], tmp_path: Path
) -> None:
    for number, folder in enumerate((model, another_model(model, tmp_path / "second"))):
        store.stage(folder)
        promote(store.registry, NOW, f"number {number}")
    assert rollback(store.registry, NOW, "complaints").number == 1
    assert aliases(store.registry) == {"staging": 2, "production": 1, "previous": 2}
    assert store.registry.versions()[1].tags["production_by"].endswith(": complaints")
    assert rollback(store.registry, NOW, "false alarm").number == 2
    assert aliases(store.registry) == {"staging": 2, "production": 2, "previous": 1}


def test_a_fetched_model_is_the_registered_one(store: Store, model: Path, tmp_path: Path) -> None:
    version = store.log(model)
    folder = store.registry.fetch(version, tmp_path / "cache")
    assert folder == tmp_path / "cache" / folder_digest(model)
    assert PriceModel.load(folder).digest == folder_digest(model)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [folder.name]


def test_a_fetched_model_is_taken_from_the_cache_the_second_time(
    store: Store, model: Path, tmp_path: Path
) -> None:
    version = store.log(model)
    first = store.registry.fetch(version, tmp_path / "cache")
    store.artifact(version, "booster.onnx").unlink()
    assert store.registry.fetch(version, tmp_path / "cache") == first


@pytest.mark.parametrize("name", ["booster.onnx", "hedonic.json"])
def test_a_byte_changed_in_the_store_is_refused_and_leaves_no_folder(
    store: Store, model: Path, tmp_path: Path, name: str
) -> None:
    version = store.log(model)
    flip_a_byte(store.artifact(version, name))
    with pytest.raises(CorruptModelError, match=f"{name} is missing or not the file"):
        store.registry.fetch(version, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_another_model_in_the_place_of_the_registered_one_is_refused(
    store: Store, model: Path, another_model: Callable[..., Path], tmp_path: Path
) -> None:
    version = store.log(model)
    impostor = another_model(model, tmp_path / "impostor")
    store.artifact(version, "model.json").write_bytes((impostor / "model.json").read_bytes())
    with pytest.raises(CorruptModelError, match=r"version 1 of .* \(its digest differs\)"):
        store.registry.fetch(version, tmp_path / "cache")


def test_a_byte_changed_in_the_cache_is_mended_from_the_registry(
    store: Store, model: Path, tmp_path: Path
) -> None:
    version = store.log(model)
    cached = store.registry.fetch(version, tmp_path / "cache")
    flip_a_byte(cached / "booster.onnx")
    assert store.registry.fetch(version, tmp_path / "cache") == cached
    assert (cached / "booster.onnx").read_bytes() == (model / "booster.onnx").read_bytes()


def test_a_missing_artifact_is_one_line(store: Store, model: Path, tmp_path: Path) -> None:
    version = store.log(model)
    for path in store.artifact(version, "model.json").parent.iterdir():
        path.unlink()
    with pytest.raises((CorruptModelError, RefusedError)) as refused:
        store.registry.fetch(version, tmp_path / "cache")
    assert "\n" not in str(refused.value)


def test_a_version_that_carprice_did_not_log_is_refused(store: Store, tmp_path: Path) -> None:
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
