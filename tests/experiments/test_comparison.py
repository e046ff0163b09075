import dataclasses
import time
from pathlib import Path

import pytest

from carprice.errors import RefusedError
from carprice.experiments import comparison
from carprice.experiments.candidates import ALGORITHMS, Algorithm, ComparedModel
from carprice.experiments.comparison import ComparisonReport, Plan, compare_models
from carprice.experiments.data import Data
from carprice.experiments.fitting import CrossValidation, measure_folds
from carprice.experiments.time_limit import run_with_time_limit
from carprice.experiments.tracked import ParentRun, Reporting

MEDIAN = ComparedModel("median", "raw")
RIDGE = ComparedModel("ridge", "log", "one-hot", "median")
RAW_RIDGE = ComparedModel("ridge", "raw", "one-hot", "median")


@pytest.fixture
def plan(request: pytest.FixtureRequest, how: CrossValidation) -> Plan:
    """A plan under an experiment's name of the test's own."""
    quick = dataclasses.replace(how, folds=3, quick=True)
    return Plan(request.node.name, (MEDIAN, RIDGE, RAW_RIDGE), quick)


@pytest.fixture
def compared(data: Data, to: Reporting):
    def run(plan: Plan) -> ComparisonReport:
        return compare_models(plan, data, to)

    return run


def test_a_parent_run_has_the_table_and_pictures_and_a_nested_run_each_candidate(
    plan: Plan, compared, runs_of, data: Data, tmp_path: Path
) -> None:
    outcome = compared(plan)
    client, parent, nested = runs_of(plan.experiment)
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
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        name for name in names if not name.endswith(".json")
    }
    ridge = nested[RIDGE.name]
    assert ridge.data.params["encoding"] == "one-hot"
    assert ridge.data.params["parameters.alpha"] == "1.0"
    history = client.get_metric_history(ridge.info.run_id, "fold_mape")
    assert [one.step for one in history] == [1, 2, 3]
    assert ridge.data.metrics["mape"] == pytest.approx(sum(one.value for one in history) / 3)
    assert outcome.ranking["candidate"].tolist()[0] == RIDGE.name
    assert outcome.choices["change"].tolist()[0] < 0


def test_an_interrupted_experiment_goes_on_where_it_was(
    plan: Plan, compared, runs_of, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[str] = []
    measure = comparison.measure

    def until_the_last(model: ComparedModel, *rest):
        measured.append(model.name)
        if len(measured) == 3:
            raise KeyboardInterrupt
        return measure(model, *rest)

    monkeypatch.setattr(comparison, "measure", until_the_last)
    with pytest.raises(RefusedError, match="interrupted after 2 of 3 candidates; the same command"):
        compared(plan)
    assert runs_of(plan.experiment)[1].info.status == "KILLED"
    outcome = compared(plan)
    assert outcome.resumed
    assert measured == [MEDIAN.name, RIDGE.name, RAW_RIDGE.name, RAW_RIDGE.name]
    assert len(outcome.ranking) == 3
    again = compared(plan)  # one that is finished is not gone on with
    assert not again.resumed
    assert len(measured) == 7


def test_a_killed_experiment_leaves_no_run_that_seems_to_go_on(
    plan: Plan, compared, runs_of, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparison, "measure", _killed)
        patch.setattr(ParentRun, "kill", lambda *_: None)
        with pytest.raises(RefusedError):
            compared(plan)
    assert runs_of(plan.experiment)[2][MEDIAN.name].info.status == "RUNNING"
    compared(plan)
    client, parent, _ = runs_of(plan.experiment)
    states = [run.info.status for run in client.search_runs([parent.info.experiment_id])]
    assert sorted(states) == ["FINISHED"] * 4 + ["KILLED"]


def _killed(*_):
    raise KeyboardInterrupt


def test_what_was_remembered_is_what_was_measured(
    plan: Plan, compared, runs_of, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = comparison.measure
    found = {}

    def first(model: ComparedModel, *rest):
        if model != MEDIAN:
            raise KeyboardInterrupt
        found[MEDIAN] = measure(model, *rest)
        return found[MEDIAN]

    monkeypatch.setattr(comparison, "measure", first)
    with pytest.raises(RefusedError):
        compared(plan)
    monkeypatch.setattr(comparison, "measure", measure)
    remembered = next(one for one in compared(plan).results if one.model == MEDIAN)
    assert remembered == found[MEDIAN]


def test_a_candidate_out_of_time_is_a_row_with_its_reason(
    plan: Plan, compared, runs_of, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_a_slow_ridge(how: CrossValidation, model: ComparedModel, data: Data):
        if model == RIDGE:
            return run_with_time_limit(map, (time.sleep, [300]), 0.5)
        return measure_folds(model, data.file, data.market, how)

    monkeypatch.setattr(CrossValidation, "measure", with_a_slow_ridge)
    outcome = compared(plan)
    last = outcome.ranking.to_dict("records")[-1]
    assert last["candidate"] == RIDGE.name
    assert last["reason"] == "out of time: over 0.5 s (fold 1 of 3)"
    nested = runs_of(plan.experiment)[2][RIDGE.name]
    assert nested.info.status == "FAILED"
    assert nested.data.tags["reason"] == last["reason"]


def test_an_algorithm_that_is_not_installed_names_its_extra(
    plan: Plan, compared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ALGORITHMS, "lightgbm", Algorithm("no_such_module"))
    missing = ComparedModel("lightgbm", "log", "native", "none")
    outcome = compared(dataclasses.replace(plan, models=(MEDIAN, missing)))
    reason = outcome.ranking["reason"].tolist()[-1]
    assert reason == "lightgbm is not installed; pip install 'carprice[experiments]'"
    only = dataclasses.replace(plan, models=(missing,))
    with pytest.raises(RefusedError, match=r"no candidate came to an end: .* is not installed"):
        compared(only)


def test_a_plan_is_another_with_other_folds_candidates_or_parameters_and_not_by_limits(
    plan: Plan, data: Data
) -> None:
    def changed(**values: object) -> Plan:
        return dataclasses.replace(plan, how=dataclasses.replace(plan.how, **values))

    others = (
        changed(folds=4),
        dataclasses.replace(plan, models=(MEDIAN,)),
        changed(quick=False),
        changed(train=plan.how.train.model_copy(update={"seed": 5})),
    )
    assert changed(seconds=1, metric="mdape").digest(data) == plan.digest(data)
    assert len({one.digest(data) for one in (plan, *others)}) == 1 + len(others)


def test_the_package_s_own_models_have_the_parameters_of_the_params_file(
    how: CrossValidation,
) -> None:
    assert how.parameters(ComparedModel("carprice"))["booster"]["n_estimators"] == 10
    assert how.parameters(ComparedModel("hedonic")).keys() == {"hedonic"}
