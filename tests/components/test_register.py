import datetime
import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from gates import ANY_FIGURES

from carprice.arrays import quiet
from carprice.components.evaluate import evaluate
from carprice.components.ingest import ingest
from carprice.components.register import Registration, register
from carprice.components.train import train
from carprice.components.transform import transform
from carprice.components.workspace import Workspace
from carprice.errors import RefusedError
from carprice.evaluation.champion import score_pair
from carprice.model import PriceModel
from carprice.registry.promotion import history, promote, record_tests, rollback
from carprice.registry.provenance import git_commit
from carprice.registry.tracking import connect
from carprice.registry.versions import Registry
from carprice.settings import Settings

NOW = datetime.datetime(2025, 7, 2, 12, 0, tzinfo=datetime.UTC)
STRICT = {"max_mape": 1}


@dataclass(frozen=True)
class Project:
    """A finished run of a test's own, with version 1 in production."""

    workspace: Workspace
    settings: Settings
    another_model: Callable[..., Path]

    @property
    def address(self) -> str:
        return f"sqlite:///{self.workspace.root}/mlflow.db"

    @property
    def registry(self) -> Registry:
        return Registry(self.address, "used-car-price")

    def with_gate(self, gate: dict[str, Any] | None) -> Settings:
        content = self.settings.model_dump(by_alias=True)
        return Settings.model_validate({**content, "register": {"gate": gate}} if gate else content)

    def register(self, gate: dict[str, Any] | None = None) -> Registration:
        return register(self.with_gate(gate), self.workspace, NOW, quiet)

    def model(self, mark: int = 1) -> Path:
        """Return a model that prices like the candidate, under another digest."""
        return self.another_model(self.workspace.model, self.workspace.root / f"m{mark}", mark)

    def register_model(self, folder: Path) -> Registration:
        shutil.rmtree(self.workspace.model)
        shutil.copytree(folder, self.workspace.model)
        return self.register()

    def promote(self) -> int:
        staged = self.registry.at("staging")
        assert staged is not None
        record_tests(self.registry, staged, (), NOW)
        return promote(self.registry, NOW, "for the test").number

    def number_at(self, alias: str) -> int | None:
        version = self.registry.at(alias)
        return version and version.number


def outcome(registration: Registration) -> tuple[int, bool, bool]:
    return registration.version, registration.is_new, registration.accepted


@pytest.fixture
def project(
    promoted: Workspace, small_settings: Settings, another_model: Any, tmp_path: Path
) -> Project:
    root = shutil.copytree(promoted.root, tmp_path / "workspace")
    return Project(Workspace(root), small_settings, another_model)


def make_worse(project: Project, shuffled: Workspace) -> None:
    shutil.rmtree(project.workspace.model)
    shutil.copytree(shuffled.model, project.workspace.model)
    shutil.copy(shuffled.metrics, project.workspace.metrics)


def test_a_worse_candidate_is_refused_with_reasons_and_not_staged(
    project: Project, shuffled: Workspace
) -> None:
    make_worse(project, shuffled)
    registration = project.register(ANY_FIGURES)
    assert outcome(registration) == (2, True, False)
    failed = [reason for reason in registration.reasons if reason.startswith("failed")]
    assert len(failed) == 2
    assert failed[0].startswith("failed: MAPE beside a model of medians ")
    assert failed[1].startswith("failed: MAPE beside production (version 1) ")
    assert failed[1].endswith(" in 10 folds of 396 rows; needs at most +2 %")
    assert (project.number_at("staging"), project.number_at("production")) == (None, 1)
    refused = project.registry.versions()[0]
    assert (refused.aliases, refused.accepted) == ((), False)
    assert refused.tags["gate_reasons"] == " | ".join(registration.reasons)
    events = [(event.version, event.what) for event in history(project.registry)]
    assert sorted(events) == [
        (1, "accepted by the gate"),
        (1, "passed the model tests"),
        (1, "promoted"),
        (1, "registered"),
        (2, "refused by the gate"),
        (2, "registered"),
    ]


def test_production_is_judged_on_the_rows_of_the_candidate(
    project: Project, shuffled: Workspace
) -> None:
    make_worse(project, shuffled)
    workspace, registry = project.workspace, project.registry
    test = pd.read_parquet(workspace.test_listings).iloc[:100]
    test.to_parquet(workspace.test_listings, index=False)
    registration = project.register()
    published = json.loads(workspace.registration.read_text(encoding="utf-8"))
    assert published["reasons"] == list(registration.reasons)
    assert published["checks"][0]["name"] == "MAPE"
    champion = PriceModel.load(registry.fetch(registry.at("production"), workspace.model_cache))
    nobody = np.array([], dtype=np.uint64)
    pair = score_pair(PriceModel.load(workspace.model), champion, test, nobody)
    own, other = map(np.mean, pair.fold_mape)
    (beside,) = [one for one in registration.checks if one.name.startswith("MAPE beside prod")]
    assert beside.found.startswith(f"{own:.2f} % and {other:.2f} %, +")
    assert beside.found.endswith("in 10 folds of 100 rows")


def test_the_same_model_again_makes_no_second_version_and_no_run(project: Project) -> None:
    client = connect(project.address)
    experiment = client.get_experiment_by_name("dvc-pipeline").experiment_id
    before = len(client.search_runs([experiment]))
    registration = project.register()
    assert outcome(registration) == (1, False, True)
    assert registration.reasons[-1] == "note: no production model to compare with"
    assert len(client.search_runs([experiment])) == before
    assert len(project.registry.versions()) == 1


def test_a_corrupt_production_model_does_not_block_its_successor_but_is_reported(
    project: Project,
) -> None:
    project.registry.tag(1, {"digest": "0" * 64})
    registration = project.register_model(project.model())
    assert registration.accepted
    assert registration.reasons[-1].startswith(
        "note: version 1 cannot be compared with: version 1 of used-car-price in "
    )


def test_a_known_model_is_judged_again_beside_another_production_model_and_staged_again(
    project: Project,
) -> None:
    first = shutil.copytree(project.workspace.model, project.workspace.root / "first")
    for model in (project.model(1), project.model(2)):
        project.register_model(model)
    registry = project.registry
    registry.point("staging", 2, NOW)
    assert project.promote() == 2
    registry.point("staging", 3, NOW)
    with pytest.raises(RefusedError, match=r"compared it with another .* run `carprice register`"):
        project.promote()
    registration = project.register()
    assert outcome(registration) == (3, False, True)
    assert registration.checks[-1].name == "time of one price beside production (version 2)"
    assert promote(registry, NOW, "").number == 3
    assert outcome(project.register_model(first))[:2] == (1, False)
    assert (project.number_at("staging"), project.number_at("production")) == (1, 3)


def test_a_known_model_is_judged_again_by_other_thresholds_also_where_that_was_broken_off(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = project.register_model(project.model())
    assert first.accepted, first.reasons
    assert outcome(project.register(STRICT)) == (2, False, False)
    assert project.number_at("staging") is None
    assert not project.registry.versions()[0].accepted
    assert project.register().accepted
    assert project.number_at("staging") == 2

    content = project.with_gate(STRICT).register_.gate.model_dump_json()
    write = Registry._write

    def broken_off(self: Registry, action: object, *values: str) -> None:
        if values[-1] in (content, "refused"):
            raise KeyboardInterrupt
        write(self, action, *values)

    monkeypatch.setattr(Registry, "_write", broken_off)
    with pytest.raises(KeyboardInterrupt):
        project.register(STRICT)
    monkeypatch.undo()
    with pytest.raises(RefusedError, match="the gate compared it with another production model"):
        project.promote()
    assert not project.register(STRICT).accepted


def test_beside_a_damaged_production_model_the_one_before_stands_in(
    project: Project, shuffled: Workspace
) -> None:
    project.register_model(project.model())
    project.promote()
    project.registry.tag(2, {"digest": "0" * 64})
    make_worse(project, shuffled)
    registration = project.register()
    assert not registration.accepted
    assert "MAPE beside production (version 1)" in [check.name for check in registration.checks]
    assert any("version 2 cannot be compared with" in one for one in registration.reasons)


def test_an_equal_candidate_is_staged_until_it_is_rolled_back(project: Project) -> None:
    assert outcome(project.register_model(project.model())) == (2, True, True)
    assert (project.number_at("staging"), project.number_at("production")) == (2, 1)
    assert project.promote() == 2
    registry = project.registry
    rollback(registry, NOW, "wrong prices for diesels")
    registration = project.register()
    assert outcome(registration) == (2, False, False)
    note = "note: version 2 was rolled back on 2025-07-02: wrong prices for diesels"
    assert note in registration.reasons
    assert (project.number_at("staging"), project.number_at("production")) == (None, 1)
    registry.untag(2, "files")  # so that it is registered anew, under another number
    assert outcome(project.register()) == (3, True, False)
    assert project.number_at("staging") is None
    assert registry.versions()[0].withdrawn.endswith("wrong prices for diesels")


def test_a_model_that_was_damaged_in_the_registry_is_registered_anew(project: Project) -> None:
    project.register_model(project.model())
    registry = project.registry
    digest = registry.at("staging").digest
    experiment = connect(project.address).get_experiment_by_name("dvc-pipeline")
    for path in Path(experiment.artifact_location.removeprefix("file://")).rglob("model.json"):
        if hashlib.sha256(path.read_bytes()).hexdigest() == digest:
            path.with_name("ranges.json").write_text("{}")
    assert not project.register().is_new
    record_tests(registry, registry.at("staging"), ("digest: ranges.json",), NOW)
    assert outcome(project.register())[:2] == (3, True)
    assert registry.at("staging").digest == digest
    assert project.promote() == 3


def test_a_model_whose_files_are_lost_is_registered_anew(project: Project) -> None:
    assert not project.register().is_new
    shutil.rmtree(project.workspace.root / "mlartifacts")
    assert outcome(project.register())[:2] == (2, True)
    assert project.promote() == 2


def test_of_other_data_the_cars_that_production_learned_from_are_left_out(
    project: Project,
) -> None:
    other, workspace = project.with_gate(ANY_FIGURES), project.workspace
    split = other.ingest.split.model_copy(update={"seed": 1, "test_size": 0.4})
    ingest(other.ingest.model_copy(update={"split": split}), workspace, quiet)
    transform(workspace)
    train(other.train, workspace, quiet)
    evaluate(workspace, quiet)
    registration = project.register(ANY_FIGURES)
    first, second = [reason for reason in registration.reasons if reason.startswith("note: ")]
    assert first.startswith("note: the data are not those of version 1 in production (")
    assert "test rows were left out beside production, which learned from these cars" in second


def test_the_run_holds_params_metrics_artifacts_and_a_described_model(finished: Any) -> None:
    import mlflow

    workspace, result = finished
    client = connect(f"sqlite:///{workspace.root}/mlflow.db")
    experiment = client.get_experiment_by_name("dvc-pipeline")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.params["ingest.source"] == "sample"
    assert run.data.params["train.booster.n_estimators"] == "60"
    assert run.data.params["register.gate.max_mape"] == "30.0"
    assert run.data.metrics["mape"] == pytest.approx(result.figures["mape"])
    assert run.data.metrics["by.age_band.10 and more.coverage"] > 0
    assert run.data.tags["data_digest"] == result.report["data_digest"]

    def files(folder: str | None = None) -> set[str]:
        return {file.path for file in client.list_artifacts(run.info.run_id, folder)}

    assert {"evaluation.png", "metrics.json", "plots", "data"} <= files()
    assert "plots/coverage_by_age_band.csv" in files("plots")
    assert files("gate") == {"gate/registration.json"}
    assert files("data") == {"data/report.json", "data/data_card.md", "data/train_cars.npy"}
    info = mlflow.models.get_model_info("models:/used-car-price/1")
    columns = info.signature.inputs.input_names()
    assert columns[:3] == ["make", "model", "variant"]
    assert "transmissionType" in columns
    assert info.signature.inputs.required_input_names() == ["make", "model", "year", "odometer"]
    assert info.signature.outputs.input_names() == ["predictedPrice", "priceLow", "priceHigh"]
    assert info.saved_input_example_info is not None
    (version,) = Registry(f"sqlite:///{workspace.root}/mlflow.db", "used-car-price").versions()
    assert version.tags["data_digest"] == result.report["data_digest"]
    assert version.tags["gate"] == "accepted"
    assert version.tags["mape"] == f"{result.figures['mape']:.4g}"
    assert version.tags["git_commit"] == ""


def test_the_commit_of_the_repository_is_recorded(project: Project) -> None:
    root = project.workspace.root

    def git(*arguments: str) -> str:
        identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
        asked = ["git", *identity, "-C", str(root), *arguments]
        return subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()

    lock = b"schema: '2.0'\n"
    (root / "dvc.lock").write_bytes(lock)
    git("init", "--quiet")
    git("commit", "--quiet", "--allow-empty", "-m", "first")
    commit = git("rev-parse", "HEAD")
    assert git_commit(root) == commit
    number = project.register_model(project.model()).version
    newest = project.registry.versions()[0]
    assert (newest.number, newest.tags["git_commit"]) == (number, commit)
    client = connect(project.address)
    tags = client.get_run(newest.run).data.tags
    assert {tags[name] for name in ("git_commit", "mlflow.source.git.commit")} == {commit}
    assert tags["dvc_lock"] == hashlib.sha256(lock).hexdigest()
    assert tags["data_digest"] == newest.tags["data_digest"]
    assert "dvc.lock" in {file.path for file in client.list_artifacts(newest.run)}


def test_an_unreachable_registry_leaves_no_registration(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.workspace.registration.unlink()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(RefusedError, match=r"MLflow at http://127\.0\.0\.1:9"):
        project.register()
    assert not project.workspace.registration.exists()
