import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from carprice.errors import CorruptModelError, NoProductionModelError, RefusedError
from carprice.model import PriceModel
from carprice.model_folder import folder_digest
from carprice.registry.tracking import start_run
from carprice.registry.versions import production_version


@pytest.fixture
def model(finished) -> Path:
    return finished[0].model


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_registry_without_the_model_has_no_versions_and_names_the_remedy(store: Any) -> None:
    registry = store.registry
    assert registry.versions() == registry.with_digest("0" * 64) == []
    assert registry.at("production") is None
    with pytest.raises(NoProductionModelError) as none:
        production_version(registry)
    assert str(none.value).endswith(
        f"has no production version of {registry.name}; run the pipeline, "
        "`carprice test-model` and `carprice promote`"
    )


def test_a_registered_version_is_found_and_fetched_once(
    store: Any, model: Path, tmp_path: Path
) -> None:
    digest, cache = folder_digest(model), tmp_path / "cache"
    version = store.log(model, is_shared=False, git_commit="abc")
    (found,) = store.registry.with_digest(digest)
    assert (found.number, found.tags["git_commit"]) == (version.number, "abc")
    assert found.accepted
    folder = store.registry.fetch(version, cache)
    assert folder == cache / digest
    assert PriceModel.load(folder).digest == digest
    assert [path.name for path in cache.iterdir()] == [digest]
    flip_a_byte(folder / "booster.onnx")
    assert store.registry.fetch(version, cache) == folder
    assert (folder / "booster.onnx").read_bytes() == (model / "booster.onnx").read_bytes()
    store.artifact(version, "booster.onnx").unlink()
    assert store.registry.fetch(version, cache) == folder


def test_of_two_that_make_the_registered_model_at_once_both_log_their_version(
    store: Any, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, client = store.log(model, is_shared=False), store.registry._client
    found = [[], client.search_registered_models(f"name='{store.registry.name}'")]
    monkeypatch.setattr(client, "search_registered_models", lambda _: found.pop(0))
    assert store.log(model, is_shared=False).number == first.number + 1


def test_pages_of_versions_that_never_end_are_refused(
    store: Any, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.log(model)
    client, asked = store.registry._client, []
    search = client.search_model_versions

    def same(query: str, page_token: str | None = None) -> Any:
        asked.append(page_token)
        page = search(query)
        page.token = "again"
        return page

    monkeypatch.setattr(client, "search_model_versions", same)
    with pytest.raises(RefusedError, match="sends the same page of versions again and again"):
        store.registry.versions()
    assert asked == [None, "again"]


def replace_it(path: Path) -> None:
    """Write the description of another, whole model over that of the registered one."""
    content = json.loads(path.read_text(encoding="utf-8"))
    del content["checksum"]
    content["mark"] = 1
    text = json.dumps(content, indent=2, sort_keys=True) + "\n"
    content["checksum"] = hashlib.sha256(text.encode()).hexdigest()
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def delete_all(path: Path) -> None:
    for one in path.parent.iterdir():
        one.unlink()


@pytest.mark.parametrize(
    ("name", "damage", "words"),
    [
        ("booster.onnx", flip_a_byte, "booster.onnx is missing or not the file"),
        ("hedonic.json", flip_a_byte, "hedonic.json is missing or not the file"),
        ("model.json", replace_it, r"version 1 of .* \(its digest differs\)"),
        ("model.json", delete_all, None),
    ],
)
def test_what_was_changed_in_the_store_is_refused_in_one_line_and_leaves_no_folder(
    store: Any,
    model: Path,
    tmp_path: Path,
    name: str,
    damage: Callable[[Path], None],
    words: str | None,
) -> None:
    version = store.log(model, is_shared=False)
    damage(store.artifact(version, name))
    expected = (CorruptModelError, *(() if words else (RefusedError,)))
    with pytest.raises(expected, match=words) as refused:
        store.registry.fetch(version, tmp_path / "cache")
    assert "\n" not in str(refused.value)
    assert list((tmp_path / "cache").iterdir()) == []


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
