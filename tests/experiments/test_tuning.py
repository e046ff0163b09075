import contextlib
import dataclasses
import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import optuna
import pytest

from carprice.errors import InputError, RefusedError
from carprice.experiments import studies, tuning
from carprice.experiments.data import Data
from carprice.experiments.limits import Failed, Limits
from carprice.experiments.search_space import space_of
from carprice.experiments.studies import Pruner, Sampler
from carprice.experiments.tuning import Outcome, Search, study_name
from carprice.registry.tracking import connect
from carprice.settings import Settings


@pytest.fixture
def search(settings: Settings, limits: Limits) -> Search:
    return Search(space_of([]), settings.train, 2, False, "mape", 3, None, limits)


@pytest.fixture(scope="session")
def storage(tmp_path_factory: pytest.TempPathFactory) -> str:
    return studies.storage_url(tmp_path_factory.mktemp("studies"))


@pytest.fixture
def tuned(data: Data, tracking, storage: str, clock, tmp_path: Path, request):
    def run(search: Search, **options) -> Outcome:
        given = {
            "storage": storage,
            "name": request.node.name,
            "sampler": Sampler.RANDOM,
            "pruner": Pruner.NONE,
            "uri": tracking.uri,
            "workdir": tracking.folder,
            "out": tmp_path / "out",
            "clock": clock,
            "progress": lambda _: None,
            "done": lambda _: None,
            "tell": lambda _: None,
        }
        return tuning.tune(search, data, **{**given, **options})

    return run


@pytest.fixture
def instant(monkeypatch: pytest.MonkeyPatch):
    """Trials that cost nothing: the error is the tree depth, and rises by 1 a fold."""

    def measure(session, trial, values, folds):
        names = ("mape", "mdape", "within_10", "rmsle", "mae", "rmse", "r2")
        for fold in range(session.search.folds):
            error = float(values["train.booster.max_depth"]) + fold
            folds.append({**dict.fromkeys((*names, "fit_seconds", "predict_seconds"), 1.0)})
            folds[-1]["mape"] = error
            yield sum(one["mape"] for one in folds) / len(folds)

    monkeypatch.setattr(tuning._Session, "_measure", measure)


def runs_of(tracking, study: str):
    client = connect(tracking.uri)
    number = client.get_experiment_by_name("tuning").experiment_id
    runs = client.search_runs([number])
    (parent,) = (run for run in runs if run.data.params.get("study") == study)
    nested = {
        run.info.run_name: run
        for run in runs
        if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id
    }
    return client, parent, nested


def test_a_study_is_run_drawn_and_tracked(
    search: Search, tuned, tracking, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    outcome = tuned(search)
    assert outcome.counts == {"counted": 3, "complete": 3, "pruned": 0, "fail": 0, "others": 0}
    assert outcome.present["train.booster.max_depth"] == 2
    assert outcome.best_result.mean("mape") <= outcome.present_result.mean("mape")
    client, parent, nested = runs_of(tracking, request.node.name)
    assert {*nested} == {"trial 0", "trial 1", "trial 2"}
    assert {run.info.status for run in (parent, *nested.values())} == {"FINISHED"}
    first = nested["trial 0"]
    assert float(first.data.params["train.hedonic.make"]) == 2.98
    history = client.get_metric_history(first.info.run_id, "fold_mape")
    assert [one.step for one in history] == [1, 2]
    names = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert {"trials.csv", "trials.json", "parameters.json", "history.png"} <= names
    assert (tmp_path / "out" / "history.png").stat().st_size > 5000


def test_the_pictures_are_those_of_optuna(search: Search, tuned, instant, tmp_path: Path) -> None:
    tuned(dataclasses.replace(search, trials=8), sampler=Sampler.TPE)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"history.png", "importances.png", "slices.png", "trials.csv"}


def test_a_single_parameter_is_drawn_too(search: Search, tuned, instant, tmp_path: Path) -> None:
    tuned(dataclasses.replace(search, space=space_of(["train.booster.max_depth"]), trials=12))
    assert (tmp_path / "out" / "slices.png").stat().st_size > 5000


def test_trials_are_those_of_the_study_in_all(search: Search, tuned, instant) -> None:
    assert tuned(search).counts["counted"] == 3
    more = tuned(dataclasses.replace(search, trials=5))
    assert more.resumed
    assert more.counts["counted"] == 5
    assert tuned(search).counts["counted"] == 5


def test_tables_in_mlflow_are_written_anew_when_a_study_goes_on(
    search: Search, tuned, instant, tracking, request: pytest.FixtureRequest
) -> None:
    tuned(dataclasses.replace(search, trials=2))
    tuned(search)
    client, parent, _ = runs_of(tracking, request.node.name)
    rows = {
        name: client.load_table(parent.info.experiment_id, f"{name}.json", [parent.info.run_id])
        for name in ("trials", "parameters")
    }
    assert rows["trials"]["trial"].tolist() == [0, 1, 2]
    assert rows["parameters"]["parameter"].tolist() == [*search.space]
    logged = json.loads(parent.data.tags["mlflow.loggedArtifacts"])
    assert logged == [{"path": f"{name}.json", "type": "table"} for name in rows]


def test_a_study_whose_time_is_up_is_shown_as_it_is(
    search: Search, tuned, instant, tracking, request: pytest.FixtureRequest
) -> None:
    tuned(dataclasses.replace(search, trials=1))
    outcome = tuned(dataclasses.replace(search, trials=5, timeout=-1.0))
    assert outcome.counts["counted"] == 1
    assert runs_of(tracking, request.node.name)[1].info.status == "FINISHED"


def test_time_that_is_up_starts_no_more_trials(search: Search, tuned, instant) -> None:
    with pytest.raises(
        RefusedError, match=r"no trial of the study .* came to an end: none was run"
    ):
        tuned(dataclasses.replace(search, timeout=-1.0))


def test_worse_trials_are_given_up_after_a_fold(search: Search, tuned, instant, tracking, request):
    outcome = tuned(dataclasses.replace(search, trials=12), pruner=Pruner.MEDIAN)
    assert outcome.counts["pruned"] > 0
    assert outcome.counts["counted"] == 12
    states = {run.data.tags["state"] for run in runs_of(tracking, request.node.name)[2].values()}
    assert states == {"complete", "pruned"}


def test_a_trial_out_of_time_counts_and_is_not_the_end(
    search: Search, tuned, instant, tracking, monkeypatch: pytest.MonkeyPatch, request
) -> None:
    measure = tuning._Session._measure

    def sometimes(session, trial, values, folds):
        if trial.number == 1:
            raise Failed("out of time: over 1 s", 0.0)
        return measure(session, trial, values, folds)

    monkeypatch.setattr(tuning._Session, "_measure", sometimes)
    outcome = tuned(search)
    assert (outcome.counts["fail"], outcome.counts["complete"]) == (1, 2)
    assert outcome.trials["reason"].tolist() == ["", "out of time: over 1 s", ""]
    assert runs_of(tracking, request.node.name)[2]["trial 1"].info.status == "FAILED"


def test_an_interrupted_trial_is_run_again(
    search: Search, tuned, instant, tracking, monkeypatch: pytest.MonkeyPatch, request
) -> None:
    measure = tuning._Session._measure

    def interrupted(session, trial, values, folds):
        if trial.number == 1:
            raise KeyboardInterrupt
        return measure(session, trial, values, folds)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuning._Session, "_measure", interrupted)
        with pytest.raises(RefusedError, match="interrupted after 1 of 3 trials; the same command"):
            tuned(search)
    assert runs_of(tracking, request.node.name)[1].info.status == "KILLED"
    outcome = tuned(search)
    assert outcome.counts["counted"] == 3
    _, parent, nested = runs_of(tracking, request.node.name)
    assert nested["trial 1"].info.status == "KILLED"
    again, lost = nested["trial 2"].data.params, nested["trial 1"].data.params
    assert {**again, "trial": "1"} == lost
    assert parent.info.status == "FINISHED"


KILLED = """
import os, sys
from carprice.experiments import studies
import optuna
study = optuna.load_study(study_name=sys.argv[2], storage=sys.argv[1])
trial = study.ask()
trial.set_user_attr(studies.PROCESS, studies.this_process())
trial.suggest_int("train.booster.max_depth", 2, 12)
os._exit(9)
"""


def test_a_trial_of_a_killed_process_is_run_again(
    search: Search, tuned, instant, storage: str, request: pytest.FixtureRequest
) -> None:
    search = dataclasses.replace(search, space=space_of(["train.booster.max_depth"]))
    tuned(dataclasses.replace(search, trials=1))
    command = [sys.executable, "-c", KILLED, storage, request.node.name]
    assert subprocess.run(command, check=False, capture_output=True).returncode == 9
    study = optuna.load_study(study_name=request.node.name, storage=storage)
    (lost,) = studies.running(study)
    outcome = tuned(search)
    assert outcome.counts == {"counted": 3, "complete": 3, "pruned": 0, "fail": 0, "others": 0}
    trials = study.get_trials()
    assert trials[lost.number].state.name == "FAIL"
    assert trials[lost.number + 1].params == lost.params


def test_trials_whose_process_went_without_a_trace_are_run_again(
    search: Search, tuned, instant, storage: str, tracking, request: pytest.FixtureRequest
) -> None:
    search = dataclasses.replace(search, space=space_of(["train.booster.max_depth"]))
    tuned(dataclasses.replace(search, trials=1))
    study = optuna.load_study(study_name=request.node.name, storage=storage)
    client, parent, _ = runs_of(tracking, request.node.name)
    run = client.create_run(
        parent.info.experiment_id,
        run_name="lost",
        tags={"mlflow.parentRunId": parent.info.run_id, "process": dead_process()},
    )
    elsewhere, nameless = study.ask(), study.ask()
    elsewhere.set_user_attr(studies.PROCESS, "elsewhere/1/2")
    elsewhere.set_user_attr(studies.RUN, run.info.run_id)
    elsewhere.suggest_int("train.booster.max_depth", 2, 12)
    ids = {"gone": elsewhere._trial_id, "nameless": nameless._trial_id}
    began = {"began": "2020-01-01 00:00:00.000000"}
    with contextlib.closing(sqlite3.connect(storage.removeprefix("sqlite:///"))) as database:
        for statement in (
            "insert into trial_heartbeats (trial_id, heartbeat) values (:gone, :began)",
            "update trials set datetime_start = :began where trial_id = :nameless",
        ):
            database.execute(statement, ids | began)
        database.commit()
    outcome = tuned(search)
    assert outcome.counts == {"counted": 3, "complete": 3, "pruned": 0, "fail": 0, "others": 0}
    trials = study.get_trials()
    assert [trial.state.name for trial in trials[1:3]] == ["FAIL", "FAIL"]
    assert elsewhere.params in [trial.params for trial in trials[3:]]
    _, parent, nested = runs_of(tracking, request.node.name)
    assert (parent.info.status, nested["lost"].info.status) == ("FINISHED", "KILLED")


def dead_process() -> str:
    program = "from carprice.experiments.processes import this_process; print(this_process())"
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("lost", ["in a fold", "at the end"])
def test_a_trial_that_another_process_gave_up_is_left_and_the_study_goes_on(
    search: Search,
    tuned,
    instant,
    tracking,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    lost: str,
) -> None:
    measure = tuning._Session._measure

    def given_up(session, trial, values, folds):
        for fold, mean in enumerate(measure(session, trial, values, folds)):
            if trial.number == 1 and fold == 0 and lost == "in a fold":
                session.study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
            yield mean
        if trial.number == 1 and lost == "at the end":
            session.study.tell(trial.number, state=optuna.trial.TrialState.FAIL)

    monkeypatch.setattr(tuning._Session, "_measure", given_up)
    assert tuned(search).counts["complete"] == 3
    states = {
        name: run.info.status for name, run in runs_of(tracking, request.node.name)[2].items()
    }
    assert states.pop("trial 1") == "KILLED"
    assert {*states.values()} == {"FINISHED"}


def test_an_error_of_our_own_is_not_taken_for_one_of_another_process(
    search: Search, tuned, instant, monkeypatch: pytest.MonkeyPatch, tracking, request
) -> None:
    def broken(*_):
        raise ValueError("a bug")

    monkeypatch.setattr(tuning._Session, "_measure", broken)
    with pytest.raises(ValueError, match="a bug"):
        tuned(search)
    assert runs_of(tracking, request.node.name)[1].info.status == "KILLED"


def test_present_values_whose_trial_was_lost_are_measured(
    search: Search, tuned, instant, storage: str, request: pytest.FixtureRequest
) -> None:
    with pytest.raises(RefusedError, match="none was run"):
        tuned(dataclasses.replace(search, timeout=-1.0))
    study = optuna.load_study(study_name=request.node.name, storage=storage)
    study.tell(study.ask(), state=optuna.trial.TrialState.FAIL)
    outcome = tuned(search)
    assert outcome.present_result is not None


def test_present_values_that_two_processes_queued_are_measured_once(
    search: Search, tuned, instant, storage: str, request: pytest.FixtureRequest
) -> None:
    with pytest.raises(RefusedError, match="none was run"):
        tuned(dataclasses.replace(search, timeout=-1.0))
    study = optuna.load_study(study_name=request.node.name, storage=storage)
    (queued,) = study.get_trials()
    study.add_trial(queued)
    outcome = tuned(search)
    present = [row["train.hedonic.make"] == 2.98 for row in outcome.trials.to_dict("records")]
    assert present == [True, False, False]


def test_present_values_are_measured_to_the_end(search: Search, tuned, instant) -> None:
    tuned(dataclasses.replace(search, trials=10))
    booster = search.train.booster.model_copy(update={"max_depth": 12})
    worse = search.train.model_copy(update={"booster": booster})
    outcome = tuned(dataclasses.replace(search, train=worse, trials=11), pruner=Pruner.MEDIAN)
    assert outcome.present_result.mean("mape") == 12.5


def test_trials_that_others_work_on_count_and_are_left_to_them(
    search: Search, tuned, instant, storage: str, request: pytest.FixtureRequest
) -> None:
    tuned(dataclasses.replace(search, trials=1))
    study = optuna.load_study(study_name=request.node.name, storage=storage)
    study.ask().set_user_attr(studies.PROCESS, "elsewhere/1/2")
    outcome = tuned(search)
    assert (outcome.counts["counted"], outcome.counts["others"]) == (2, 1)


def test_a_study_of_another_space_or_of_other_data_is_refused(
    search: Search, tuned, instant
) -> None:
    tuned(search)
    with pytest.raises(InputError, match=r"another search space: train\.hedonic\..* --study"):
        tuned(dataclasses.replace(search, space=space_of(["booster"])))
    with pytest.raises(InputError, match=r"measures something else: folds was 2, is 3; .* --study"):
        tuned(dataclasses.replace(search, folds=3))


def test_a_study_that_is_not_of_carprice_is_refused(
    search: Search, tuned, storage: str, request: pytest.FixtureRequest
) -> None:
    study = optuna.create_study(study_name=request.node.name, storage=storage)
    study.ask()
    with pytest.raises(InputError, match="was not made by carprice; give another with --study"):
        tuned(search)


@pytest.mark.parametrize(
    ("address", "error", "words"),
    [
        ("nonsense", InputError, "--storage nonsense cannot be opened"),
        ("sqlite:////no/such/folder/optuna.db", RefusedError, "unable to open database file"),
    ],
)
def test_a_storage_that_cannot_be_used_is_named(
    search: Search, tuned, address: str, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        tuned(search, storage=address)


def test_present_values_outside_of_the_space_are_told_and_not_measured(
    search: Search, tuned, instant
) -> None:
    train = search.train.model_copy(
        update={"booster": search.train.booster.model_copy(update={"max_depth": 16})}
    )
    told: list[str] = []
    outcome = tuned(dataclasses.replace(search, train=train), tell=told.append)
    assert outcome.present_result is None
    (line,) = told
    assert "train.booster.max_depth is 16, and searched from 2 to 12" in line
    with pytest.raises(RefusedError, match=r"max_depth is 16, and searched .* into that range"):
        tuning.refuse_unmeasurable(train, search.space)


def test_nothing_is_written_where_the_present_values_were_not_measured(
    search: Search, tuned, instant, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuning.refuse_unmeasured(tuned(dataclasses.replace(search, trials=1)))
    measure = tuning._Session._measure

    def failing(session, trial, values, folds):
        if trial.number == 1:
            raise Failed("out of time: over 1 s", 0.0)
        return measure(session, trial, values, folds)

    monkeypatch.setattr(tuning._Session, "_measure", failing)
    booster = search.train.booster.model_copy(update={"max_depth": 9})
    other = search.train.model_copy(update={"booster": booster})
    outcome = tuned(dataclasses.replace(search, train=other))
    assert outcome.present_result is None
    with pytest.raises(RefusedError, match=r"nothing was written: .* failed: out of time: over"):
        tuning.refuse_unmeasured(outcome)


def test_the_name_of_a_study_depends_on_data_and_options_and_not_on_tuned_values(
    search: Search, data: Data
) -> None:
    name = study_name(search, data)
    assert name.startswith("sample-")
    booster = search.train.booster.model_copy(update={"max_depth": 9})
    written = dataclasses.replace(
        search, train=search.train.model_copy(update={"booster": booster}), trials=9
    )
    assert study_name(written, data) == name
    assert study_name(dataclasses.replace(search, folds=4), data) != name


def test_without_optuna_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(InputError, match=r"pip install 'carprice\[experiments\]'"):
        studies.need_optuna()
