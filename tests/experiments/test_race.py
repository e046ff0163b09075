import dataclasses
import time
from pathlib import Path

import pytest

from carprice.errors import RefusedError
from carprice.experiments import race
from carprice.experiments.candidates import ALGORITHMS, Algorithm, Candidate
from carprice.experiments.comparison import Outcome, hold
from carprice.experiments.data import Data
from carprice.experiments.limits import Limits
from carprice.experiments.race import Plan, params_of
from carprice.experiments.tracked import ParentRun
from carprice.registry.tracking import connect
from carprice.settings import Settings

MEDIAN = Candidate("median", "raw")
RIDGE = Candidate("ridge", "log", "one-hot", "median")
RAW_RIDGE = Candidate("ridge", "raw", "one-hot", "median")


@pytest.fixture
def plan(request: pytest.FixtureRequest, settings: Settings, limits: Limits) -> Plan:
    """A plan under an experiment's name of the test's own."""
    return Plan(request.node.name, (MEDIAN, RIDGE, RAW_RIDGE), 3, settings.train, True, limits)


@pytest.fixture
def held(data: Data, tracking, clock, tmp_path: Path):
    def run(plan: Plan) -> Outcome:
        return hold(
            plan,
            data,
            uri=tracking.uri,
            workdir=tracking.folder,
            out=tmp_path / "out",
            clock=clock,
            progress=lambda _: None,
            done=lambda _: None,
        )

    return run


def runs_of(tracking, experiment: str):
    client = connect(tracking.uri)
    number = client.get_experiment_by_name(experiment).experiment_id
    runs = client.search_runs([number])
    (parent,) = (run for run in runs if "mlflow.parentRunId" not in run.data.tags)
    nested = {run.info.run_name: run for run in runs if run is not parent}
    assert {run.data.tags["mlflow.parentRunId"] for run in nested.values()} == {parent.info.run_id}
    return client, parent, nested


def test_a_parent_run_has_the_table_and_pictures_and_a_nested_run_each_candidate(
    plan: Plan, held, tracking, data: Data, tmp_path: Path
) -> None:
    outcome = held(plan)
    client, parent, nested = runs_of(tracking, plan.experiment)
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
    plan: Plan, held, tracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[str] = []
    measure = race.measure

    def until_the_last(candidate: Candidate, *rest):
        measured.append(candidate.name)
        if len(measured) == 3:
            raise KeyboardInterrupt
        return measure(candidate, *rest)

    monkeypatch.setattr(race, "measure", until_the_last)
    with pytest.raises(RefusedError, match="interrupted after 2 of 3 candidates; the same command"):
        held(plan)
    assert runs_of(tracking, plan.experiment)[1].info.status == "KILLED"
    outcome = held(plan)
    assert outcome.resumed
    assert measured == [MEDIAN.name, RIDGE.name, RAW_RIDGE.name, RAW_RIDGE.name]
    assert len(outcome.ranking) == 3
    again = held(plan)  # one that is finished is not gone on with
    assert not again.resumed
    assert len(measured) == 7


def test_a_killed_experiment_leaves_no_run_that_seems_to_go_on(
    plan: Plan, held, tracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(race, "measure", _killed)
        patch.setattr(ParentRun, "kill", lambda *_: None)
        with pytest.raises(RefusedError):
            held(plan)
    assert runs_of(tracking, plan.experiment)[2][MEDIAN.name].info.status == "RUNNING"
    held(plan)
    client, parent, _ = runs_of(tracking, plan.experiment)
    states = [run.info.status for run in client.search_runs([parent.info.experiment_id])]
    assert sorted(states) == ["FINISHED"] * 4 + ["KILLED"]


def _killed(*_):
    raise KeyboardInterrupt


def test_what_was_remembered_is_what_was_measured(
    plan: Plan, held, tracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = race.measure
    found = {}

    def first(candidate: Candidate, *rest):
        if candidate != MEDIAN:
            raise KeyboardInterrupt
        found[MEDIAN] = measure(candidate, *rest)
        return found[MEDIAN]

    monkeypatch.setattr(race, "measure", first)
    with pytest.raises(RefusedError):
        held(plan)
    monkeypatch.setattr(race, "measure", measure)
    remembered = next(one for one in held(plan).results if one.candidate == MEDIAN)
    assert remembered == found[MEDIAN]


def test_a_candidate_out_of_time_is_a_row_with_its_reason(plan: Plan, held, tracking) -> None:
    slow = Algorithm("sklearn", {"n_estimators": 100_000})
    forest = Candidate("forest", "log", "ordinal", "none")
    short = dataclasses.replace(plan, candidates=(MEDIAN, forest), limits=Limits(12, 3000))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(race, "measure_folds", _Slow())
        patch.setitem(ALGORITHMS, "forest", slow)
        outcome = held(short)
    last = outcome.ranking.to_dict("records")[-1]
    assert last["candidate"] == forest.name
    assert last["reason"] == "out of time: over 12 s (fold 1 of 3)"
    nested = runs_of(tracking, plan.experiment)[2][forest.name]
    assert nested.info.status == "FAILED"
    assert nested.data.tags["reason"] == last["reason"]


class _Slow:
    """The real work, but for forests, which sleep."""

    def __call__(self, task):
        from carprice.experiments.fitting import measure_folds

        if task.candidate.algorithm == "forest":
            time.sleep(300)
        yield from measure_folds(task)


def test_an_algorithm_that_is_not_installed_names_its_extra(
    plan: Plan, held, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ALGORITHMS, "lightgbm", Algorithm("no_such_module"))
    missing = Candidate("lightgbm", "log", "native", "none")
    outcome = held(dataclasses.replace(plan, candidates=(MEDIAN, missing)))
    reason = outcome.ranking["reason"].tolist()[-1]
    assert reason == "lightgbm is not installed; pip install 'carprice[experiments]'"
    only = dataclasses.replace(plan, candidates=(missing,))
    with pytest.raises(RefusedError, match=r"no candidate came to an end: .* is not installed"):
        held(only)


def test_two_processes_do_not_do_the_same(
    plan: Plan, held, tracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    from carprice.experiments import tracked

    def elsewhere(candidate: Candidate, *_):
        monkeypatch.setattr(tracked, "this_process", lambda: "another")
        monkeypatch.setattr(tracked, "is_alive", lambda _: True)
        with pytest.raises(RefusedError, match="works on the same experiment"):
            held(plan)
        raise KeyboardInterrupt

    monkeypatch.setattr(race, "measure", elsewhere)
    with pytest.raises(RefusedError, match="interrupted after 0"):
        held(plan)


def test_a_plan_is_another_with_other_folds_candidates_or_parameters_and_not_by_limits(
    plan: Plan, data: Data
) -> None:
    same = dataclasses.replace(plan, limits=Limits(1, 1000), metric="mdape")
    others = (
        dataclasses.replace(plan, folds=4),
        dataclasses.replace(plan, candidates=(MEDIAN,)),
        dataclasses.replace(plan, quick=False),
        dataclasses.replace(plan, train=plan.train.model_copy(update={"seed": 5})),
    )
    assert same.digest(data) == plan.digest(data)
    assert len({one.digest(data) for one in (plan, *others)}) == 1 + len(others)


def test_the_package_s_own_models_have_the_parameters_of_the_params_file(plan: Plan) -> None:
    full = params_of(Candidate("carprice"), plan.train, quick=False)
    assert full["booster"]["n_estimators"] == 10
    assert params_of(Candidate("hedonic"), plan.train, quick=False).keys() == {"hedonic"}
