import contextlib
import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import optuna
import pytest

from carprice.errors import InputError, RefusedError
from carprice.experiments import search_space, studies, tuning
from carprice.experiments.data import Data
from carprice.experiments.fitting import CrossValidation
from carprice.experiments.ranking import FIGURES, TIMES
from carprice.experiments.search_space import Pruner, Sampler, space_of
from carprice.experiments.time_limit import WorkFailed
from carprice.experiments.tracked import Reporting
from carprice.experiments.tuning import study_name
from carprice.experiments.tuning_report import Search, TuningReport
from carprice.settings import TreeSettings

DEPTH = space_of(["train.booster.direct.max_depth"])
TWO = space_of(["train.booster.direct.max_depth", "train.booster.direct.reg_lambda"])


@pytest.fixture
def search(how: CrossValidation) -> Search:
    return Search(TWO, how, trials=3, timeout=None)


def changed(search: Search, **values: object) -> Search:
    """Return the search with other values of how trials are measured."""
    return replace(search, how=replace(search.how, **values))


def with_depth(search: Search, max_depth: int) -> Search:
    direct = TreeSettings(max_depth=max_depth)
    booster = search.how.train.booster.model_copy(update={"direct": direct})
    return changed(search, train=search.how.train.model_copy(update={"booster": booster}))


@pytest.fixture(scope="session")
def storage(tmp_path_factory: pytest.TempPathFactory) -> str:
    return studies.storage_url(tmp_path_factory.mktemp("studies"))


@pytest.fixture
def tuned(data: Data, to: Reporting, storage: str, request: pytest.FixtureRequest):
    """Return what works on a study of the test's own."""

    def run(
        search: Search,
        sampler: Sampler = Sampler.RANDOM,
        pruner: Pruner = Pruner.NONE,
        *,
        storage: str = storage,
        to: Reporting = to,
        **of_search: Any,
    ) -> TuningReport:
        place = {"storage": storage, "name": request.node.name}
        search = replace(search, **of_search)
        return tuning.tune(search, data, to, **place, sampler=sampler, pruner=pruner)

    return run


@pytest.fixture
def study(storage: str, request: pytest.FixtureRequest) -> Callable[[], optuna.Study]:
    """Return what loads the test's study."""
    return lambda: optuna.load_study(study_name=request.node.name, storage=storage)


@pytest.fixture
def runs(runs_of, request: pytest.FixtureRequest):
    """Return what finds the client, the parent run and the nested runs by name."""
    return lambda: runs_of("tuning", study=request.node.name)


@pytest.fixture
def instant(monkeypatch: pytest.MonkeyPatch):
    """Trials that cost nothing: the error is the tree depth, and rises by 1 a fold.

    ``instant(measurement, fold, act)`` has something done before a fold of a measurement: an
    error is raised, a function called.
    """
    meddle: dict[tuple[int, int], BaseException | Callable[[], object]] = {}
    measurements = iter(range(1000))

    def act(number: int, fold: int) -> None:
        match meddle.get((number, fold)):
            case BaseException() as error:
                raise error
            case None:
                pass
            case call:
                call()

    def measure(how: CrossValidation, *_: object):
        number = next(measurements)
        for fold in range(how.folds):
            act(number, fold)
            depth = how.train.booster.direct.max_depth + float(fold)
            yield {**dict.fromkeys((*FIGURES, *TIMES), 1.0), "mape": depth}
        act(number, how.folds)

    monkeypatch.setattr(CrossValidation, "measure", measure)
    return lambda measurement, fold, what: meddle.update({(measurement, fold): what})


def test_a_study_is_run_drawn_and_tracked(search: Search, tuned, to: Reporting, runs) -> None:
    outcome = tuned(search, space=space_of([]))
    assert outcome.counts == {"counted": 3, "complete": 3, "pruned": 0, "fail": 0, "others": 0}
    assert outcome.present["train.booster.direct.max_depth"] == 2
    assert outcome.best_result.mean("mape") <= outcome.present_result.mean("mape")
    client, parent, nested = runs()
    assert {*nested} == {"trial 0", "trial 1", "trial 2"}
    assert {run.info.status for run in (parent, *nested.values())} == {"FINISHED"}
    first = nested["trial 0"]
    assert float(first.data.params["train.booster.direct.reg_lambda"]) == 1
    history = client.get_metric_history(first.info.run_id, "fold_mape")
    assert [one.step for one in history] == [1, 2]
    names = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert {"trials.csv", "trials.json", "parameters.json", "history.png"} <= names
    assert (to.out / "history.png").stat().st_size > 5000


@pytest.mark.parametrize("space", [space_of([]), DEPTH], ids=["all", "one parameter"])
def test_the_pictures_are_those_of_optuna(
    search: Search, tuned, instant, to: Reporting, space: search_space.Space
) -> None:
    tuned(search, Sampler.TPE, space=space, trials=12)
    names = {path.name for path in to.out.iterdir()}
    assert names == {"history.png", "importances.png", "slices.png", "trials.csv"}
    assert (to.out / "slices.png").stat().st_size > 5000


def test_trials_are_those_of_the_study_in_all_and_tables_are_written_anew(
    search: Search, tuned, instant, runs
) -> None:
    with pytest.raises(RefusedError, match=r"no trial of the study .* to an end: none was run"):
        tuned(search, timeout=-1.0)
    assert tuned(search, trials=1).counts["counted"] == 1
    shown = tuned(search, trials=5, timeout=-1.0)  # time that is up starts no more trials
    assert shown.resumed
    assert shown.counts["counted"] == 1
    assert runs()[1].info.status == "FINISHED"
    assert tuned(search).counts["counted"] == 3
    assert tuned(search, trials=2).counts["counted"] == 3
    client, parent, _ = runs()
    rows = {
        name: client.load_table(parent.info.experiment_id, f"{name}.json", [parent.info.run_id])
        for name in ("trials", "parameters")
    }
    assert rows["trials"]["trial"].tolist() == [0, 1, 2]
    assert rows["parameters"]["parameter"].tolist() == [*search.space]
    logged = json.loads(parent.data.tags["mlflow.loggedArtifacts"])
    assert logged == [{"path": f"{name}.json", "type": "table"} for name in rows]


def test_worse_trials_are_given_up_after_a_fold_but_never_the_present_values(
    search: Search, tuned, instant, runs
) -> None:
    outcome = tuned(search, trials=16, pruner=Pruner.MEDIAN)
    assert outcome.counts["pruned"] > 0
    assert outcome.counts["counted"] == 16
    states = {run.data.tags["state"] for run in runs()[2].values()}
    assert states == {"complete", "pruned"}
    outcome = tuned(with_depth(search, 12), trials=17, pruner=Pruner.MEDIAN)
    assert outcome.present_result.mean("mape") == 12.5


def test_a_trial_out_of_time_counts_and_without_present_values_nothing_is_written(
    search: Search, tuned, instant, runs
) -> None:
    tuned(search, trials=1).refuse_unmeasured()
    instant(1, 0, WorkFailed("out of time: over 1 s"))
    outcome = tuned(with_depth(search, 9))
    assert (outcome.counts["fail"], outcome.counts["complete"]) == (1, 2)
    assert outcome.trials["reason"].tolist() == ["", "out of time: over 1 s", ""]
    assert runs()[2]["trial 1"].info.status == "FAILED"
    assert outcome.present_result is None
    with pytest.raises(RefusedError, match=r"nothing was written: .* failed: out of time: over"):
        outcome.refuse_unmeasured()


def test_an_interrupted_trial_is_run_again(search: Search, tuned, instant, runs) -> None:
    instant(1, 0, KeyboardInterrupt())
    with pytest.raises(RefusedError, match="interrupted after 1 of 3 trials; the same command"):
        tuned(search)
    assert runs()[1].info.status == "KILLED"
    outcome = tuned(search)
    assert outcome.counts["counted"] == 3
    _, parent, nested = runs()
    assert nested["trial 1"].info.status == "KILLED"
    again, lost = nested["trial 2"].data.params, nested["trial 1"].data.params
    assert {**again, "trial": "1"} == lost
    assert parent.info.status == "FINISHED"


KILLED = """
import os, sys
import optuna
from optuna.storages import RDBStorage
storage = RDBStorage(sys.argv[1], heartbeat_interval=60)
study = optuna.load_study(study_name=sys.argv[2], storage=storage)
def objective(trial):
    trial.set_user_attr("mlflow_run", sys.argv[3])
    trial.suggest_int("train.booster.direct.max_depth", 2, 12)
    os._exit(9)
study.optimize(objective, n_trials=1)
"""


def beat(storage: str, when: str) -> None:
    """Date the heartbeats of all trials from now."""
    change = "update trial_heartbeats set heartbeat = strftime('%Y-%m-%d %H:%M:%f', 'now', ?)"
    with contextlib.closing(sqlite3.connect(storage.removeprefix("sqlite:///"))) as database:
        database.execute(change, [when])
        database.commit()


def test_a_trial_of_a_killed_process_is_run_again_when_its_heartbeats_are_old(
    search: Search, tuned, instant, runs, study, storage: str
) -> None:
    search = replace(search, space=DEPTH)
    tuned(search, trials=1)
    client, parent, _ = runs()
    tags = {"mlflow.parentRunId": parent.info.run_id}
    run = client.create_run(parent.info.experiment_id, run_name="lost", tags=tags).info.run_id
    command = [sys.executable, "-c", KILLED, storage, study().study_name, run]
    assert subprocess.run(command, check=False, capture_output=True).returncode == 9
    (lost,) = studies.trials_of(study(), "running")
    assert studies.GRACE_SECONDS <= 45
    beat(storage, "+1 hour")
    early = tuned(search)
    assert (early.counts["counted"], early.counts["others"]) == (2, 1)
    assert runs()[2]["lost"].info.status == "RUNNING"
    beat(storage, f"-{2 * studies.GRACE_SECONDS} seconds")
    outcome = tuned(search)
    assert (outcome.counts["complete"], outcome.counts["others"]) == (3, 0)
    trials = study().get_trials()
    assert trials[lost.number].state.name == "FAIL"
    assert lost.params in [trial.params for trial in trials[lost.number + 1 :]]
    _, parent, nested = runs()
    assert (parent.info.status, nested["lost"].info.status) == ("FINISHED", "KILLED")


@pytest.mark.parametrize("fold", [1, 2])
def test_a_trial_that_another_process_gave_up_is_left_and_the_study_goes_on(
    search: Search, tuned, instant, fold: int, runs, study
) -> None:
    instant(1, fold, lambda: study().tell(1, state=optuna.trial.TrialState.FAIL))
    assert tuned(search).counts["complete"] == 3
    states = {name: run.info.status for name, run in runs()[2].items()}
    assert states.pop("trial 1") == "KILLED"
    assert {*states.values()} == {"FINISHED"}


def test_an_error_of_our_own_is_not_taken_for_one_of_another_process(
    search: Search, tuned, instant, runs
) -> None:
    instant(0, 0, ValueError("a bug"))
    with pytest.raises(ValueError, match="a bug"):
        tuned(search)
    assert runs()[1].info.status == "KILLED"


def test_present_values_that_were_lost_and_then_queued_twice_are_measured_once(
    search: Search, tuned, instant, study
) -> None:
    with pytest.raises(RefusedError, match="none was run"):
        tuned(search, timeout=-1.0)
    study().tell(study().ask(), state=optuna.trial.TrialState.FAIL)
    with pytest.raises(RefusedError, match="none was run"):
        tuned(search, timeout=-1.0)
    study().add_trial(study().get_trials()[-1])
    outcome = tuned(search)
    present = [
        row["train.booster.direct.reg_lambda"] == 1 for row in outcome.trials.to_dict("records")
    ]
    assert present == [True, False, False]
    assert outcome.present_result is not None


def test_trials_that_others_work_on_count_and_are_left_to_them(
    search: Search, tuned, instant, study
) -> None:
    tuned(search, trials=1)
    study().ask()
    outcome = tuned(search)
    assert (outcome.counts["counted"], outcome.counts["others"]) == (2, 1)


def test_a_study_of_another_space_or_of_other_data_is_refused(
    search: Search, tuned, instant
) -> None:
    tuned(search, space=space_of([]))
    with pytest.raises(
        InputError, match=r"another search space: space\.train\.booster\..* --study"
    ):
        tuned(search, space=DEPTH)
    with pytest.raises(InputError, match=r"measures something else: folds was 2, is 3; .* --study"):
        tuned(changed(search, folds=3), space=space_of([]))


def test_a_study_that_is_not_of_carprice_is_refused(
    search: Search, tuned, storage: str, request: pytest.FixtureRequest
) -> None:
    optuna.create_study(study_name=request.node.name, storage=storage).ask()
    with pytest.raises(InputError, match="was not made by carprice; give another with --study"):
        tuned(search)


@pytest.mark.parametrize(
    ("address", "error", "words"),
    [
        ("nonsense", InputError, "--storage nonsense cannot be opened"),
        (
            "sqlite:////no/such/folder/optuna.db",
            RefusedError,
            "cannot be opened; see that its folder is",
        ),
    ],
)
def test_a_storage_that_cannot_be_used_is_named(
    search: Search, tuned, address: str, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        tuned(search, storage=address)


def test_present_values_outside_of_the_space_are_told_and_not_measured(
    search: Search, tuned, instant, to: Reporting
) -> None:
    told = list[str]()
    outcome = tuned(with_depth(search, 16), to=replace(to, say=told.append))
    assert outcome.present_result is None
    (line,) = told
    assert "train.booster.direct.max_depth is 16, and searched from 2 to 12" in line


def test_the_name_of_a_study_depends_on_data_and_options_and_not_on_tuned_values(
    search: Search, data: Data
) -> None:
    name = study_name(search, data)
    assert name.startswith("sample-")
    assert study_name(replace(with_depth(search, 9), trials=9), data) == name
    assert study_name(changed(search, folds=4), data) != name


def test_without_optuna_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(InputError, match=r"pip install 'carprice\[experiments\]'"):
        search_space.require_optuna()
