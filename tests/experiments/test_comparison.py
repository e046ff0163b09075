import time
from dataclasses import replace

import pytest

from carprice.errors import RefusedError
from carprice.experiments import comparison
from carprice.experiments.candidates import ComparedModel
from carprice.experiments.comparison import compare_models, plan_of
from carprice.experiments.data import Data
from carprice.experiments.fitting import CrossValidation, measure_folds
from carprice.experiments.time_limit import run_with_time_limit
from carprice.experiments.tracked import ParentRun, Reporting

MEDIAN = ComparedModel("median", "raw")
RIDGE = ComparedModel("ridge", "log", "one-hot", "median")
RAW_RIDGE = ComparedModel("ridge", "raw", "one-hot", "median")


ALL = (MEDIAN, RIDGE, RAW_RIDGE)


@pytest.fixture
def compared(request: pytest.FixtureRequest, how: CrossValidation, data: Data, to: Reporting):
    """Return what compares models, in an experiment of the test's own name."""
    quick = replace(how, folds=3, quick=True)
    return lambda *models: compare_models(request.node.name, models or ALL, quick, data, to)


@pytest.fixture
def runs(request: pytest.FixtureRequest, runs_of):
    """Return what finds the client, the parent run and the nested runs by name."""
    return lambda: runs_of(request.node.name)


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models are fitted without a process of their own."""

    def measure(how: CrossValidation, model: ComparedModel, data: Data, *_: object):
        return measure_folds(model, data.file, data.market, how)

    monkeypatch.setattr(CrossValidation, "measure", measure)


def test_a_parent_run_has_the_table_and_pictures_and_a_nested_run_each_candidate(
    compared, runs, data: Data, to: Reporting
) -> None:
    results, _ = compared()
    client, parent, nested = runs()
    assert set(nested) == {MEDIAN.name, RIDGE.name, RAW_RIDGE.name}
    assert {run.info.status for run in (parent, *nested.values())} == {"FINISHED"}
    assert parent.data.tags["data_digest"] == data.market.data_digest
    assert parent.data.tags["raw_digest"] == data.raw_digest
    assert "git_commit" in parent.data.tags
    assert "| 1 | ridge/log/one-hot/median |" in parent.data.tags["mlflow.note.content"]
    assert parent.data.metrics["finished"] == 3
    names = {file.path for file in client.list_artifacts(parent.info.run_id)}
    files = {"ranking.csv", "folds.csv", "choices.csv", "ranking.json", "folds.json"}
    assert files | {"error_and_time.png", "behind_the_best.png"} <= names
    assert {path.name for path in to.out.iterdir()} == {
        name for name in names if not name.endswith(".json")
    }
    ridge = nested[RIDGE.name]
    assert ridge.data.params["encoding"] == "one-hot"
    assert ridge.data.params["parameters.alpha"] == "1.0"
    history = client.get_metric_history(ridge.info.run_id, "fold_mape")
    assert [one.step for one in history] == [1, 2, 3]
    assert ridge.data.metrics["mape"] == pytest.approx(sum(one.value for one in history) / 3)
    mape = {one.model: one.mean("mape") for one in results}
    assert mape[RIDGE] < mape[RAW_RIDGE] < mape[MEDIAN]


@pytest.mark.usefixtures("in_process")
def test_an_experiment_that_was_killed_or_interrupted_goes_on_where_it_was(
    compared, runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[str] = []
    measure = comparison.measure
    found = {}

    def ends_with_the_second_and_the_fourth(model: ComparedModel, *rest):
        measured.append(model.name)
        if len(measured) in (2, 4):
            raise KeyboardInterrupt
        found[model] = measure(model, *rest)
        return found[model]

    monkeypatch.setattr(comparison, "measure", ends_with_the_second_and_the_fourth)
    with monkeypatch.context() as killed:
        killed.setattr(ParentRun, "kill", lambda *_: None)
        with pytest.raises(RefusedError):
            compared()
    assert runs()[2][RIDGE.name].info.status == "RUNNING"
    with pytest.raises(RefusedError, match="interrupted after 2 of 3 candidates; the same command"):
        compared()
    client, parent, _ = runs()
    assert parent.info.status == "KILLED"
    results, resumed = compared()
    assert resumed
    assert measured == [MEDIAN.name, RIDGE.name, RIDGE.name, RAW_RIDGE.name, RAW_RIDGE.name]
    assert {one.model: one for one in results} == found
    states = [run.info.status for run in client.search_runs([parent.info.experiment_id])]
    assert sorted(states) == ["FINISHED"] * 4 + ["KILLED"] * 2
    _, resumed = compared()  # one that is finished is not gone on with
    assert not resumed
    assert len(measured) == 8


@pytest.mark.usefixtures("in_process")
def test_a_candidate_out_of_time_is_a_row_with_its_reason(
    compared, runs, to: Reporting, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = CrossValidation.measure

    def with_a_slow_ridge(how: CrossValidation, model: ComparedModel, *rest):
        if model == RIDGE:
            return run_with_time_limit(map, (time.sleep, [300]), 0.5)
        return measure(how, model, *rest)

    monkeypatch.setattr(CrossValidation, "measure", with_a_slow_ridge)
    results, _ = compared()
    (failed,) = (one for one in results if one.reason)
    assert failed.model == RIDGE
    assert failed.reason == "out of time: over 0.5 s (fold 1 of 3)"
    assert (to.out / "ranking.csv").read_text().splitlines()[-1].endswith(failed.reason)
    nested = runs()[2][RIDGE.name]
    assert nested.info.status == "FAILED"
    assert nested.data.tags["reason"] == failed.reason


def test_a_plan_is_another_with_other_folds_candidates_or_parameters_and_not_by_limits(
    how: CrossValidation, data: Data
) -> None:
    def plan(models=ALL, experiment: str = "one", **values: object) -> str:
        return plan_of(experiment, models, replace(how, **values), data)

    seed = how.train.model_copy(update={"seed": 5})
    others = {plan(ALL[:1]), plan(experiment="two"), *(plan(folds=4), plan(quick=True))}
    assert len({plan(), *others, plan(train=seed)}) == 6
    assert plan(seconds=1, metric="mdape") == plan()


def test_the_package_s_own_models_have_the_parameters_of_the_params_file(
    how: CrossValidation,
) -> None:
    assert how.parameters(ComparedModel("carprice"))["booster"]["n_estimators"] == 10
    assert how.parameters(ComparedModel("hedonic")).keys() == {"hedonic"}
