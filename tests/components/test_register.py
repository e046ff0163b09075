import datetime
import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from carprice.components.evaluate import evaluate
from carprice.components.ingest import ingest
from carprice.components.register import register
from carprice.components.train import train
from carprice.components.transform import transform
from carprice.components.workspace import Workspace
from carprice.errors import InputError, RefusedError
from carprice.registry.promotion import history, promote, record_tests, rollback
from carprice.registry.provenance import git_commit
from carprice.registry.tracking import connect
from carprice.registry.versions import Registry
from carprice.settings import Settings

NOW = datetime.datetime(2025, 7, 2, 12, 0, tzinfo=datetime.UTC)


def quiet(_: str) -> None:
    """Tell nobody."""


@pytest.fixture
def workspace(promoted: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A finished run of its own, with version 1 in production."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copytree(promoted.root, tmp_path / "workspace")
    return Workspace(tmp_path / "workspace")


def address(workspace: Workspace) -> str:
    return f"sqlite:///{workspace.root}/mlflow.db"


def registry_of(workspace: Workspace) -> Registry:
    return Registry(address(workspace), "used-car-price")


def tolerant(settings: Settings) -> Settings:
    """Settings whose gate asks only how a candidate compares with production."""
    gate = {
        "max_mape": None,
        "naive_factor": 1,
        "min_within_10": None,
        "coverage": [0, 1],
        "band_coverage": 0,
        "segment_factor": 1000,
        "latency_factor": 1000,
    }
    return Settings.model_validate(
        {**settings.model_dump(by_alias=True), "register": {"gate": gate}}
    )


def put_in_place(workspace: Workspace, model: Path) -> None:
    shutil.rmtree(workspace.model)
    shutil.copytree(model, workspace.model)


def run_until_evaluated(settings: Settings, workspace: Workspace) -> None:
    ingest(settings.ingest, workspace, quiet)
    transform(workspace)
    train(settings.train, workspace, quiet)
    evaluate(workspace, quiet)


def promote_after_tests(workspace: Workspace) -> int:
    registry = registry_of(workspace)
    staged = registry.at("staging")
    record_tests(registry, staged, (), NOW)
    return promote(registry, NOW, "for the test").number


def train_on_shuffled_prices(settings: Settings, workspace: Workspace) -> None:
    features = pd.read_parquet(workspace.train_features)
    rng = np.random.default_rng(0)
    features["ln_price"] = rng.permutation(features["ln_price"].to_numpy())
    features.to_parquet(workspace.train_features, index=False)
    train(settings.train, workspace, quiet)
    evaluate(workspace, quiet)


def test_a_worse_candidate_is_refused_with_reasons_and_not_staged(
    workspace: Workspace, small_settings: Settings
) -> None:
    train_on_shuffled_prices(small_settings, workspace)
    registration = register(tolerant(small_settings), workspace, NOW, quiet)
    assert (registration.version, registration.is_new, registration.accepted) == (2, True, False)
    failed = [reason for reason in registration.reasons if reason.startswith("failed")]
    assert len(failed) == 2
    assert failed[0].startswith("failed: MAPE beside a model of medians ")
    assert failed[1].startswith("failed: MAPE beside production (version 1) ")
    assert failed[1].endswith(" in 10 folds of 396 rows; needs at most +2 %")
    registry = registry_of(workspace)
    assert registry.at("staging") is None
    assert registry.at("production").number == 1
    refused = registry.versions()[0]
    assert (refused.aliases, refused.accepted) == ((), False)
    assert refused.tags["gate_reasons"] == " | ".join(registration.reasons)


def test_production_is_judged_on_the_rows_of_the_candidate(
    workspace: Workspace, small_settings: Settings
) -> None:
    test = pd.read_parquet(workspace.test_listings)
    test.iloc[:100].to_parquet(workspace.test_listings, index=False)
    train_on_shuffled_prices(small_settings, workspace)
    registration = register(small_settings, workspace, NOW, quiet)
    published = json.loads(
        (workspace.root / "reports" / "registration.json").read_text(encoding="utf-8")
    )
    assert published["reasons"] == list(registration.reasons)
    assert published["checks"][0]["name"] == "MAPE"
    from carprice.evaluation.champion import compare
    from carprice.model import PriceModel

    registry = registry_of(workspace)
    champion = PriceModel.load(registry.fetch(registry.at("production"), workspace.model_cache))
    nobody = np.array([], dtype=np.uint64)
    pair = compare(PriceModel.load(workspace.model), champion, test.iloc[:100], nobody)
    own, other = map(np.mean, pair.fold_mape)
    (beside,) = [
        check for check in registration.checks if check.name.startswith("MAPE beside prod")
    ]
    assert beside.found.startswith(f"{own:.2f} % and {other:.2f} %, +")
    assert beside.found.endswith("in 10 folds of 100 rows")


def test_an_equal_candidate_is_accepted_and_staged(
    workspace: Workspace, small_settings: Settings, another_model: Callable[..., Path]
) -> None:
    equal = another_model(workspace.model, workspace.root / "equal")
    put_in_place(workspace, equal)
    registration = register(small_settings, workspace, NOW, quiet)
    assert (registration.version, registration.accepted) == (2, True)
    registry = registry_of(workspace)
    assert registry.at("staging").number == 2
    assert registry.at("production").number == 1
    assert promote_after_tests(workspace) == 2


def test_the_same_model_again_makes_no_second_version_and_no_run(
    workspace: Workspace, small_settings: Settings
) -> None:
    client = connect(address(workspace))
    experiment = client.get_experiment_by_name("dvc-pipeline").experiment_id
    before = len(client.search_runs([experiment]))
    registration = register(small_settings, workspace, NOW, quiet)
    assert (registration.version, registration.is_new, registration.accepted) == (1, False, True)
    assert registration.reasons[-1] == "note: no production model to compare with"
    assert len(client.search_runs([experiment])) == before
    assert len(registry_of(workspace).versions()) == 1


def test_a_known_model_made_again_goes_back_to_staging(
    workspace: Workspace, small_settings: Settings, another_model: Callable[..., Path]
) -> None:
    shutil.copytree(workspace.model, workspace.root / "first")
    for mark in (1, 2):
        shutil.rmtree(workspace.model)
        another_model(workspace.root / "first", workspace.model, mark)
        register(small_settings, workspace, NOW, quiet)
        promote_after_tests(workspace)
    put_in_place(workspace, workspace.root / "first")
    registration = register(small_settings, workspace, NOW, quiet)
    assert (registration.version, registration.is_new) == (1, False)
    assert registry_of(workspace).at("staging").number == 1
    assert registry_of(workspace).at("production").number == 3


def test_a_corrupt_production_model_does_not_block_its_successor_but_is_reported(
    workspace: Workspace, small_settings: Settings, another_model: Callable[..., Path]
) -> None:
    registry = registry_of(workspace)
    registry.tag(registry.at("production").number, {"digest": "0" * 64})
    equal = another_model(workspace.model, workspace.root / "equal")
    put_in_place(workspace, equal)
    registration = register(small_settings, workspace, NOW, quiet)
    assert registration.accepted
    assert registration.reasons[-1].startswith(
        "note: version 1 cannot be compared with: version 1 of used-car-price in "
    )


def test_a_known_model_is_judged_again_beside_another_production_model(
    workspace: Workspace, small_settings: Settings, another_model: Callable[..., Path]
) -> None:
    folders = [another_model(workspace.model, workspace.root / f"m{mark}", mark) for mark in (1, 2)]
    for folder in folders:
        put_in_place(workspace, folder)
        register(small_settings, workspace, NOW, quiet)
    registry = registry_of(workspace)
    registry.point("staging", 2, NOW)
    assert promote_after_tests(workspace) == 2
    record_tests(registry, registry.versions()[0], (), NOW)
    registry.point("staging", 3, NOW)
    with pytest.raises(RefusedError, match=r"compared it with another .* run `carprice register`"):
        promote(registry, NOW, "")
    registration = register(small_settings, workspace, NOW, quiet)
    assert (registration.version, registration.is_new, registration.accepted) == (3, False, True)
    assert registration.checks[-1].name == "time of one price beside production (version 2)"
    assert promote(registry, NOW, "").number == 3


def test_a_known_model_is_judged_again_by_other_thresholds(
    workspace: Workspace, small_settings: Settings, another_model: Callable[..., Path]
) -> None:
    put_in_place(workspace, another_model(workspace.model, workspace.root / "m1", 1))
    first = register(small_settings, workspace, NOW, quiet)
    assert first.accepted, first.reasons
    strict = {**small_settings.model_dump(by_alias=True), "register": {"gate": {"max_mape": 1}}}
    registration = register(Settings.model_validate(strict), workspace, NOW, quiet)
    assert (registration.version, registration.is_new, registration.accepted) == (2, False, False)
    registry = registry_of(workspace)
    assert registry.at("staging") is None
    assert not registry.versions()[0].accepted
    assert register(small_settings, workspace, NOW, quiet).accepted
    assert registry.at("staging").number == 2


def test_beside_a_damaged_production_model_the_one_before_stands_in(
    workspace: Workspace, small_settings: Settings, another_model: Callable[..., Path]
) -> None:
    put_in_place(workspace, another_model(workspace.model, workspace.root / "m1", 1))
    register(small_settings, workspace, NOW, quiet)
    promote_after_tests(workspace)
    registry_of(workspace).tag(2, {"digest": "0" * 64})
    train_on_shuffled_prices(small_settings, workspace)
    registration = register(small_settings, workspace, NOW, quiet)
    assert not registration.accepted
    assert "MAPE beside production (version 1)" in [check.name for check in registration.checks]
    assert any("version 2 cannot be compared with" in one for one in registration.reasons)


def test_a_judgement_that_was_broken_off_is_made_again(
    workspace: Workspace,
    small_settings: Settings,
    another_model: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put_in_place(workspace, another_model(workspace.model, workspace.root / "m1", 1))
    register(small_settings, workspace, NOW, quiet)
    strict = Settings.model_validate(
        {**small_settings.model_dump(by_alias=True), "register": {"gate": {"max_mape": 1}}}
    )
    content = strict.register_.gate.model_dump_json()
    write = Registry._write

    def broken_off(self: Registry, action: object, *values: str) -> None:
        if values[-1] in (content, "refused"):
            raise KeyboardInterrupt
        write(self, action, *values)

    monkeypatch.setattr(Registry, "_write", broken_off)
    with pytest.raises(KeyboardInterrupt):
        register(strict, workspace, NOW, quiet)
    monkeypatch.undo()
    registry = registry_of(workspace)
    record_tests(registry, registry.at("staging"), (), NOW)
    with pytest.raises(RefusedError, match="the gate compared it with another production model"):
        promote(registry, NOW, "")
    assert not register(strict, workspace, NOW, quiet).accepted


def test_a_damaged_model_that_was_rolled_back_stays_so_under_its_new_number(
    workspace: Workspace, small_settings: Settings, another_model: Callable[..., Path]
) -> None:
    put_in_place(workspace, another_model(workspace.model, workspace.root / "m1", 1))
    register(small_settings, workspace, NOW, quiet)
    promote_after_tests(workspace)
    registry = registry_of(workspace)
    rollback(registry, NOW, "wrong prices for diesels")
    registry.untag(2, "files")
    registration = register(small_settings, workspace, NOW, quiet)
    assert (registration.version, registration.accepted) == (3, False)
    assert registry.at("staging") is None
    assert registry.versions()[0].withdrawn.endswith("wrong prices for diesels")


def test_a_model_that_was_damaged_in_the_registry_is_registered_anew(
    workspace: Workspace, small_settings: Settings, another_model: Callable[..., Path]
) -> None:
    put_in_place(workspace, another_model(workspace.model, workspace.root / "m1", 1))
    register(small_settings, workspace, NOW, quiet)
    registry = registry_of(workspace)
    digest = registry.at("staging").digest
    experiment = connect(address(workspace)).get_experiment_by_name("dvc-pipeline")
    for path in Path(experiment.artifact_location.removeprefix("file://")).rglob("model.json"):
        if hashlib.sha256(path.read_bytes()).hexdigest() == digest:
            path.with_name("ranges.json").write_text("{}")
    assert not register(small_settings, workspace, NOW, quiet).is_new
    record_tests(registry, registry.at("staging"), ("digest: ranges.json",), NOW)
    registration = register(small_settings, workspace, NOW, quiet)
    assert (registration.version, registration.is_new) == (3, True)
    assert registry.at("staging").digest == digest
    assert promote_after_tests(workspace) == 3


def test_a_model_that_was_rolled_back_is_not_staged_again(
    workspace: Workspace, small_settings: Settings, another_model: Callable[..., Path]
) -> None:
    put_in_place(workspace, another_model(workspace.model, workspace.root / "m1", 1))
    register(small_settings, workspace, NOW, quiet)
    promote_after_tests(workspace)
    registry = registry_of(workspace)
    rollback(registry, NOW, "complaints")
    registration = register(small_settings, workspace, NOW, quiet)
    assert (registration.version, registration.accepted) == (2, False)
    assert "note: version 2 was rolled back on 2025-07-02: complaints" in registration.reasons
    assert registry.at("staging") is None
    assert registry.at("production").number == 1


def test_what_happens_to_a_version_is_recorded(
    workspace: Workspace, small_settings: Settings
) -> None:
    train_on_shuffled_prices(small_settings, workspace)
    register(small_settings, workspace, NOW, quiet)
    events = [(event.version, event.what) for event in history(registry_of(workspace))]
    assert sorted(events) == [
        (1, "accepted by the gate"),
        (1, "passed the model tests"),
        (1, "promoted"),
        (1, "registered"),
        (2, "refused by the gate"),
        (2, "registered"),
    ]


def test_of_other_data_the_cars_that_production_learned_from_are_left_out(
    workspace: Workspace, small_settings: Settings
) -> None:
    content = small_settings.model_dump(by_alias=True)
    content["ingest"]["split"].update(seed=1, test_size=0.4)
    other = Settings.model_validate(content)
    run_until_evaluated(other, workspace)
    registration = register(tolerant(other), workspace, NOW, quiet)
    first, second = [reason for reason in registration.reasons if reason.startswith("note: ")]
    assert first.startswith("note: the data are not those of version 1 in production (")
    assert "test rows were left out beside production, which learned from these cars" in second


def test_the_run_holds_params_metrics_artifacts_and_a_described_model(
    finished, small_settings: Settings
) -> None:
    import mlflow

    workspace, outcome = finished
    client = connect(address(workspace))
    experiment = client.get_experiment_by_name("dvc-pipeline")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.params["ingest.source"] == "sample"
    assert run.data.params["train.booster.n_estimators"] == "60"
    assert run.data.params["register.gate.max_mape"] == "30.0"
    assert run.data.metrics["mape"] == pytest.approx(outcome.figures["mape"])
    assert run.data.metrics["by.age_band.10 and more.coverage"] > 0
    assert run.data.tags["data_digest"] == outcome.report["data_digest"]
    names = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert {"evaluation.png", "metrics.json", "plots", "data"} <= names
    plots = {file.path for file in client.list_artifacts(run.info.run_id, "plots")}
    assert "plots/coverage_by_age_band.csv" in plots
    gate = client.list_artifacts(run.info.run_id, "gate")
    assert [file.path for file in gate] == ["gate/registration.json"]
    data = {file.path for file in client.list_artifacts(run.info.run_id, "data")}
    assert data == {"data/report.json", "data/data_card.md", "data/train_cars.npy"}
    info = mlflow.models.get_model_info("models:/used-car-price/1")
    columns = info.signature.inputs.input_names()
    assert columns[:3] == ["make", "model", "variant"]
    assert "transmissionType" in columns
    assert info.signature.inputs.required_input_names() == ["make", "model", "year", "odometer"]
    assert info.signature.outputs.input_names() == ["predictedPrice", "priceLow", "priceHigh"]
    assert info.saved_input_example_info is not None


def test_a_version_names_data_figures_and_gate(finished) -> None:
    workspace, outcome = finished
    (version,) = registry_of(workspace).versions()
    assert version.tags["data_digest"] == outcome.report["data_digest"]
    assert version.tags["gate"] == "accepted"
    assert version.tags["mape"] == f"{outcome.figures['mape']:.4g}"
    assert version.tags["git_commit"] == ""


def test_the_commit_of_the_repository_is_recorded(
    workspace: Workspace, small_settings: Settings, another_model: Callable[..., Path]
) -> None:
    def git(*arguments: str) -> str:
        identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
        asked = ["git", *identity, "-C", str(workspace.root), *arguments]
        return subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()

    lock = b"schema: '2.0'\n"
    (workspace.root / "dvc.lock").write_bytes(lock)
    git("init", "--quiet")
    git("commit", "--quiet", "--allow-empty", "-m", "first")
    commit = git("rev-parse", "HEAD")
    assert git_commit(workspace.root) == commit
    equal = another_model(workspace.model, workspace.root / "equal")
    put_in_place(workspace, equal)
    number = register(small_settings, workspace, NOW, quiet).version
    newest = registry_of(workspace).versions()[0]
    assert (newest.number, newest.tags["git_commit"]) == (number, commit)
    client = connect(address(workspace))
    tags = client.get_run(newest.run).data.tags
    assert {tags[name] for name in ("git_commit", "mlflow.source.git.commit")} == {commit}
    assert tags["dvc_lock"] == hashlib.sha256(lock).hexdigest()
    assert tags["data_digest"] == newest.tags["data_digest"]
    names = {file.path for file in client.list_artifacts(newest.run)}
    assert "dvc.lock" in names


def test_registering_before_evaluating_names_the_stage(
    workspace: Workspace, small_settings: Settings
) -> None:
    workspace.metrics.unlink()
    with pytest.raises(InputError, match=r"metrics\.json does not exist; run `carprice evaluate`"):
        register(small_settings, workspace, NOW, quiet)


def test_an_unreachable_registry_leaves_no_registration(
    workspace: Workspace, small_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.registration.unlink()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(RefusedError, match=r"MLflow at http://127\.0\.0\.1:9"):
        register(small_settings, workspace, NOW, quiet)
    assert not workspace.registration.exists()
