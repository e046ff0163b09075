import datetime
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import Carprice, caller, environment_kept
from gates import ANY_FIGURES
from junitparser import JUnitXml

from carprice.components.pipeline import PipelineResult
from carprice.components.register import register
from carprice.components.workspace import Workspace, read_json
from carprice.errors import RefusedError
from carprice.files import write_json
from carprice.model_tests import clean_process
from carprice.model_tests.behaviour import NEED_EVIDENCE
from carprice.registry.promotion import history, promote, record_tests
from carprice.registry.versions import Registry
from carprice.settings import Settings

NOW = datetime.datetime(2025, 7, 3, 12, 0, tzinfo=datetime.UTC)


@pytest.fixture(scope="module")
def registered(
    finished: tuple[Workspace, PipelineResult],
    small_settings: Settings,
    empty_database: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Workspace:
    """A finished run with its own registry, whose version 1 is in staging."""
    workspace = Workspace(tmp_path_factory.mktemp("registered"))
    shutil.copy(empty_database, workspace.root)
    for name in ("data", "models", "reports"):
        shutil.copytree(finished[0].root / name, workspace.root / name)
    with environment_kept():
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        assert register(small_settings, workspace, NOW, lambda _: None).accepted
    return workspace


@pytest.fixture
def workspace(registered: Workspace, tmp_path: Path) -> Workspace:
    """A copy of its own, but for the artifacts, which stay where they are."""
    folder = tmp_path / "workspace"
    shutil.copytree(registered.root, folder, ignore=shutil.ignore_patterns("mlartifacts"))
    return Workspace(folder)


@pytest.fixture
def carprice(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    workspace: Workspace,
    small_settings: Settings,
) -> Carprice:
    """Run a command in the workspace's folder, with the settings of the finished run."""
    monkeypatch.chdir(workspace.root)
    monkeypatch.setenv("COLUMNS", "300")
    write_params(workspace, small_settings)

    return caller(monkeypatch, capsys)


def write_params(workspace: Workspace, settings: Settings, **register_section: Any) -> None:
    content = settings.model_dump(mode="json", by_alias=True, exclude_none=True)
    content["register"].update(register_section)
    path = workspace.root / "params.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")


def registry_of(workspace: Workspace) -> Registry:
    return Registry(f"sqlite:///{(workspace.root / 'mlflow.db').as_posix()}", "used-car-price")


def junit(folder: Path) -> JUnitXml:
    return JUnitXml.fromfile(str(folder / "junit.xml"))


def not_passed(workspace: Workspace) -> dict[str, str]:
    return {
        f"{case.classname}: {case.name}": case.result[0].message
        for suite in junit(workspace.model_tests)
        for case in suite
        if not case.is_passed
    }


@contextmanager
def changed_byte(workspace: Workspace, name: str) -> Iterator[None]:
    """Change one byte of a file of version 1 until the block ends."""
    source = registry_of(workspace)._client.get_model_version("used-car-price", "1").source
    (path,) = workspace.root.rglob(f"{source.removeprefix('models:/')}/**/{name}")
    good = path.read_bytes()
    middle = len(good) // 2
    path.write_bytes(good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :])
    try:
        yield
    finally:
        path.write_bytes(good)


def test_a_model_that_passes_may_go_to_production(
    carprice: Carprice, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    started: list[subprocess.Popen[bytes]] = []

    class Recorded(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *arguments: Any, **more: Any) -> None:
            super().__init__(*arguments, **more)
            started.append(self)

    temporary, out = tmp_path / "temporary", workspace.model_tests
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(clean_process.subprocess, "Popen", Recorded)
    done = carprice("test-model")
    assert done.code == 0, done.printed
    assert "Version 1 passed all 39 tests; see reports/model-tests" in done.printed
    assert (junit(out).tests, junit(out).failures, junit(out).skipped) == (39, 0, 0)
    assert "All 39 model tests passed." in (out / "model_card.md").read_text(encoding="utf-8")
    assert [process.poll() for process in started] == [0]
    assert {one.name for one in temporary.iterdir()} <= {".ses"}  # of ONNX Runtime itself
    registry = registry_of(workspace)
    version = registry.at("staging")
    assert version is not None
    assert (version.tags["tests"], version.tags["tests_digest"]) == ("passed", version.digest)
    written = {one.name: one.read_bytes() for one in out.iterdir()}
    assert written.keys() == {"junit.xml", "model_card.md", "model_card.html"}
    for name, content in written.items():
        logged = registry.read_file(version, f"model_tests/{name}", temporary)
        assert logged is not None
        assert logged.read_bytes() == content
    assert promote(registry, NOW, "it passed").number == 1


def test_one_changed_byte_fails_and_nothing_else_is_claimed(
    carprice: Carprice, workspace: Workspace, registered: Workspace
) -> None:
    registry = registry_of(workspace)
    record_tests(registry, registry.numbered(1), (), NOW)
    with changed_byte(registered, "booster.onnx"):
        done = carprice("test-model")
        refused = carprice("promote")
    assert done.code == refused.code == 1
    assert "it failed the model tests" in refused.refusal
    assert "booster.onnx is missing" in refused.refusal
    assert "booster.onnx is missing or not the file that was written" in done.refusal
    assert done.refusal.endswith(f"; see {Path('reports/model-tests/junit.xml')}")
    found = not_passed(workspace)
    assert len(found) == junit(workspace.model_tests).tests == 6
    whys = {name: why for name, why in found.items() if not name.startswith("digest")}
    assert {*whys.values()} == {"failed before: every byte is the registered one"}
    card = (workspace.model_tests / "model_card.md").read_text(encoding="utf-8")
    assert "**6 of 6 model tests not passed.**" in card
    assert registry.numbered(1).tags["tests"] == "failed"
    assert "booster.onnx" in history(registry)[-1].why


def test_what_is_gone_from_the_store_fails_and_is_reported(
    carprice: Carprice, workspace: Workspace, registered: Workspace
) -> None:
    artifacts, elsewhere = registered.root / "mlartifacts", registered.root / "elsewhere"
    artifacts.rename(elsewhere)
    try:
        done = carprice("test-model")
    finally:
        shutil.rmtree(artifacts, ignore_errors=True)
        elsewhere.rename(artifacts)
    assert done.code == 1
    assert len(not_passed(workspace)) == 6
    assert "digest: every byte is the registered one" in done.refusal


def test_a_model_of_shuffled_prices_fails_with_reasons(
    carprice: Carprice, workspace: Workspace, shuffled: Workspace, small_settings: Settings
) -> None:
    for name in ("models", "reports"):
        shutil.copytree(shuffled.root / name, workspace.root / name, dirs_exist_ok=True)
    content = small_settings.model_dump(mode="json", by_alias=True)
    content["register"]["gate"].update(ANY_FIGURES)
    tolerant = Settings.model_validate(content)
    registered = register(tolerant, workspace, NOW, lambda _: None)
    registry_of(workspace).point("staging", registered.version, NOW)
    write_params(workspace, small_settings, gate=tolerant.register_.gate.model_dump(mode="json"))
    done = carprice("test-model")
    assert done.code == 1
    found = not_passed(workspace)
    assert {name for name in found if not name.startswith("behaviour")} == {
        "figures: MAPE beside a model of medians",
        "figures: prices have to do with the cars",
    }
    assert "half of the cars change by" in found["behaviour: price falls with age"]
    for name in found:
        assert name in done.refusal
    assert carprice("promote").code == 1


def test_the_floors_are_those_of_the_settings_and_a_pyfunc_must_not_differ(
    carprice: Carprice,
    workspace: Workspace,
    small_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from carprice.model_tests.mlflow_process import MlflowProcess

    def wider(pyfunc: MlflowProcess, listings: Any) -> Any:
        answer = original(pyfunc, listings)
        return answer.assign(priceLow=0.9 * answer["priceLow"])

    write_params(workspace, small_settings, tests={"max_rise": 0.5})
    refused = carprice("test-model")
    assert refused.code == 2
    assert "register.tests.max_rise is not a parameter" in refused.refusal
    original = MlflowProcess.predict
    monkeypatch.setattr(MlflowProcess, "predict", wider)
    write_params(workspace, small_settings, gate={"max_mape": 1})
    assert carprice("test-model").code == 1
    found = not_passed(workspace)
    assert {*found} == {
        "figures: MAPE",
        "agreement: the panel, one by one",
        "agreement: the panel, in a batch",
        "agreement: test listings, one by one",
        "agreement: test listings, in a batch",
    }
    assert "first listing 1 (" in found["agreement: the panel, one by one"]


def test_other_data_in_the_workspace_fail_with_the_remedy_and_the_rest_is_tested(
    carprice: Carprice, workspace: Workspace
) -> None:
    market = read_json(workspace.market, made_by="ingest")
    write_json(workspace.market, {**market, "data_digest": "f" * 64})
    done = carprice("test-model")
    assert done.code == 1
    assert "`dvc pull`" in done.refusal
    assert {*not_passed(workspace)} == {
        "figures: the data are those of the model",
        *(f"behaviour: {name}" for name in NEED_EVIDENCE),
        "agreement: test listings, one by one",
        "agreement: test listings, in a batch",
    }


def test_a_service_that_does_not_start_fails_and_the_rest_is_tested(
    carprice: Carprice, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clean_process, "installed", lambda: ("pydantic",))
    assert carprice("test-model").code == 1
    found = not_passed(workspace)
    assert {*found} == {"clean process: it starts", "agreement: all"}
    assert "serving does not require it" in found["clean process: it starts"]


def test_without_a_version_the_next_step_is_named(carprice: Carprice, workspace: Workspace) -> None:
    registry = registry_of(workspace)
    registry.clear("staging")
    done = carprice("test-model")
    assert done.code == 1
    assert "has no staging version of used-car-price; run `carprice register`" in done.refusal
    registry.tag(1, {"gate": "refused", "gate_reasons": "failed: MAPE 45 %; needs at most 30 %"})
    assert "the gate refused version 1: failed: MAPE 45 %" in carprice("test-model").refusal
    other = carprice("test-model", "--version", 7)
    assert "has no version 7; see `carprice status`" in other.refusal
    assert "has no champion version" in carprice("test-model", "--alias", "champion").refusal
    assert not workspace.model_tests.exists()


@pytest.mark.parametrize("out", ["afile", "/dev/null/x"])
def test_a_folder_that_cannot_be_written_to_is_found_out_before_the_tests(
    out: str, carprice: Carprice, workspace: Workspace
) -> None:
    (workspace.root / "afile").write_text("mine")
    done = carprice("test-model", "--out", out)
    assert done.code == 1
    assert f"{out}/junit.xml cannot be written: " in done.refusal
    assert "Traceback" not in done.printed
    version = registry_of(workspace).at("staging")
    assert version is not None
    assert "tests" not in version.tags


def test_what_cannot_be_written_later_does_not_lose_the_verdict(
    carprice: Carprice,
    workspace: Workspace,
    registered: Workspace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_room(*_: object) -> None:
        raise RefusedError("told/model_card.md cannot be written: no space left on device")

    monkeypatch.setattr("carprice.model_tests.run.write_text", no_room)
    with changed_byte(registered, "booster.onnx"):  # so that there is little to test
        done = carprice("test-model", "--out", "told")
    assert done.code == 1
    assert "version 1 is recorded, but told/model_card.md cannot be written: " in done.refusal
    version = registry_of(workspace).at("staging")
    assert version is not None
    assert version.tags["tests"] == "failed"


def test_over_http_a_version_of_a_number_is_tested(
    carprice: Carprice,
    workspace: Workspace,
    small_settings: Settings,
    mlflow_server: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    name = f"tested-{tmp_path.name}"[:80]
    content = small_settings.model_dump(mode="json", by_alias=True)
    content["register"]["name"] = name
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server.url)
    settings = Settings.model_validate(content)
    with environment_kept():
        assert register(settings, workspace, NOW, lambda _: None).version == 1
    write_params(workspace, settings)
    shutil.rmtree(workspace.root / "models")
    workspace.report.unlink()
    done = carprice("test-model", "--version", 1)
    assert done.code == 0, done.printed
    card = (workspace.model_tests / "model_card.md").read_text(encoding="utf-8")
    assert "| source | `sample` |" in card
    version = Registry(mlflow_server.url, name).at("staging")
    assert version is not None
    assert version.tags["tests"] == "passed"
