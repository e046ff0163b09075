import contextlib
import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import optuna
import pytest

from carprice.errors import InputError, RefusedError
from carprice.experiments import studies, tuning
from carprice.experiments.data import Data
from carprice.experiments.fitting import CrossValidation
from carprice.experiments.ranking import FIGURES
from carprice.experiments.search_space import space_of
from carprice.experiments.studies import Pruner, Sampler
from carprice.experiments.time_limit import WorkFailed
from carprice.experiments.tracked import Reporting
from carprice.experiments.tuning import study_name
from carprice.experiments.tuning_report import (
    Search,
    TuningReport,
    refuse_unmeasurable,
    refuse_unmeasured,
)


@pytest.fixture
def search(how: CrossValidation) -> Search:
    return Search(space_of([]), how, trials=3, timeout=None)


def changed(search: Search, **values: object) -> Search:
    """Return the search with other values of how trials are measured."""
    return replace(search, how=replace(search.how, **values))


def with_depth(search: Search, max_depth: int) -> Search:
    booster = search.how.train.booster.model_copy(update={"max_depth": max_depth})
    return changed(search, train=search.how.train.model_copy(update={"booster": booster}))


@pytest.fixture(scope="session")
def storage(tmp_path_factory: pytest.TempPathFactory) -> str:
    return studies.storage_url(tmp_path_factory.mktemp("studies"))


@dataclass(frozen=True)
class Tuned:
    """A study of the test's own, tuned when it is called."""

    name: str
    storage: str
    data: Data
    to: Reporting
    runs_of: Callable[..., tuple]

    def __call__(self, search: Search, **options) -> TuningReport:
        given = {
            "storage": self.storage,
            "name": self.name,
            "sampler": Sampler.RANDOM,
            "pruner": Pruner.NONE,
            **options,
        }
        of_search = {
            name: given.pop(name) for name in ("space", "trials", "timeout") if name in given
        }
        to = replace(self.to, say=given.pop("say", self.to.say))
        return tuning.tune(replace(search, **of_search), self.data, to, **given)

    @property
    def study(self) -> optuna.Study:
        return optuna.load_study(study_name=self.name, storage=self.storage)

    def runs(self):
        """Return the client, the parent run and the nested runs by name."""
        return self.runs_of("tuning", study=self.name)

    def states(self) -> dict[str, str]:
        """Return the states of the nested runs."""
        return {name: run.info.status for name, run in self.runs()[2].items()}


@pytest.fixture
def tuned(
    data: Data, to: Reporting, storage: str, runs_of, request: pytest.FixtureRequest
) -> Tuned:
    return Tuned(request.node.name, storage, data, to, runs_of)


@pytest.fixture
def instant(monkeypatch: pytest.MonkeyPatch):
    """Trials that cost nothing: the error is the tree depth, and rises by 1 a fold.

    The function that this gives is called with the number of each measurement and of its folds.
    """
    meddle: list[Callable[[int, int], None]] = []
    measurements = iter(range(1000))

    def measure(how: CrossValidation, *_: object):
        number = next(measurements)
        for fold in range(how.folds):
            for one in meddle:
                one(number, fold)
            names = (*FIGURES, "fit_seconds", "predict_seconds")
            yield {**dict.fromkeys(names, 1.0), "mape": how.train.booster.max_depth + float(fold)}
        for one in meddle:
            one(number, how.folds)

    monkeypatch.setattr(CrossValidation, "measure", measure)
    return meddle.append


def at(measurement: int, act: Callable[[], object], fold: int = 0) -> Callable[[int, int], None]:
    """Return what acts before a fold of a measurement."""

    def meddle(number: int, of_fold: int) -> None:
        if (number, of_fold) == (measurement, fold):
            act()

    return meddle


def raising(error: BaseException) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


def test_a_study_is_run_drawn_and_tracked(search: Search, tuned, tmp_path: Path) -> None:
    outcome = tuned(search)
    assert outcome.counts == {"counted": 3, "complete": 3, "pruned": 0, "fail": 0, "others": 0}
    assert outcome.present["train.booster.max_depth"] == 2
    assert outcome.best_result.mean("mape") <= outcome.present_result.mean("mape")
    client, parent, nested = tuned.runs()
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
    tuned(search, trials=8, sampler=Sampler.TPE)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"history.png", "importances.png", "slices.png", "trials.csv"}


def test_a_single_parameter_is_drawn_too(search: Search, tuned, instant, tmp_path: Path) -> None:
    tuned(search, space=space_of(["train.booster.max_depth"]), trials=12)
    assert (tmp_path / "out" / "slices.png").stat().st_size > 5000


def test_trials_are_those_of_the_study_in_all(search: Search, tuned, instant) -> None:
    assert tuned(search).counts["counted"] == 3
    more = tuned(search, trials=5)
    assert more.resumed
    assert more.counts["counted"] == 5
    assert tuned(search).counts["counted"] == 5


def test_tables_in_mlflow_are_written_anew_when_a_study_goes_on(
    search: Search, tuned, instant
) -> None:
    tuned(search, trials=2)
    tuned(search)
    client, parent, _ = tuned.runs()
    rows = {
        name: client.load_table(parent.info.experiment_id, f"{name}.json", [parent.info.run_id])
        for name in ("trials", "parameters")
    }
    assert rows["trials"]["trial"].tolist() == [0, 1, 2]
    assert rows["parameters"]["parameter"].tolist() == [*search.space]
    logged = json.loads(parent.data.tags["mlflow.loggedArtifacts"])
    assert logged == [{"path": f"{name}.json", "type": "table"} for name in rows]


def test_a_study_whose_time_is_up_is_shown_as_it_is(search: Search, tuned, instant) -> None:
    tuned(search, trials=1)
    outcome = tuned(search, trials=5, timeout=-1.0)
    assert outcome.counts["counted"] == 1
    assert tuned.runs()[1].info.status == "FINISHED"


def test_time_that_is_up_starts_no_more_trials(search: Search, tuned, instant) -> None:
    with pytest.raises(
        RefusedError, match=r"no trial of the study .* came to an end: none was run"
    ):
        tuned(search, timeout=-1.0)


def test_worse_trials_are_given_up_after_a_fold(search: Search, tuned, instant) -> None:
    outcome = tuned(search, trials=12, pruner=Pruner.MEDIAN)
    assert outcome.counts["pruned"] > 0
    assert outcome.counts["counted"] == 12
    states = {run.data.tags["state"] for run in tuned.runs()[2].values()}
    assert states == {"complete", "pruned"}


def test_a_trial_out_of_time_counts_and_is_not_the_end(search: Search, tuned, instant) -> None:
    instant(at(1, raising(WorkFailed("out of time: over 1 s"))))
    outcome = tuned(search)
    assert (outcome.counts["fail"], outcome.counts["complete"]) == (1, 2)
    assert outcome.trials["reason"].tolist() == ["", "out of time: over 1 s", ""]
    assert tuned.runs()[2]["trial 1"].info.status == "FAILED"


def test_an_interrupted_trial_is_run_again(search: Search, tuned, instant) -> None:
    instant(at(1, raising(KeyboardInterrupt())))
    with pytest.raises(RefusedError, match="interrupted after 1 of 3 trials; the same command"):
        tuned(search)
    assert tuned.runs()[1].info.status == "KILLED"
    outcome = tuned(search)
    assert outcome.counts["counted"] == 3
    _, parent, nested = tuned.runs()
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
    trial.suggest_int("train.booster.max_depth", 2, 12)
    os._exit(9)
study.optimize(objective, n_trials=1)
"""


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_trial_of_a_killed_process_is_run_again_when_its_heartbeats_are_old(
    search: Search, tuned, instant
) -> None:
    search = replace(search, space=space_of(["train.booster.max_depth"]))
    tuned(search, trials=1)
    client, parent, _ = tuned.runs()
    tags = {"mlflow.parentRunId": parent.info.run_id}
    run = client.create_run(parent.info.experiment_id, run_name="lost", tags=tags).info.run_id
    command = [sys.executable, "-c", KILLED, tuned.storage, tuned.name, run]
    assert subprocess.run(command, check=False, capture_output=True).returncode == 9
    study = tuned.study
    (lost,) = studies.trials_of(study, "running")
    early = tuned(search)
    assert (early.counts["counted"], early.counts["others"]) == (2, 1)
    assert tuned.runs()[2]["lost"].info.status == "RUNNING"
    with contextlib.closing(sqlite3.connect(tuned.storage.removeprefix("sqlite:///"))) as database:
        database.execute("update trial_heartbeats set heartbeat = '2020-01-01 00:00:00.000000'")
        database.commit()
    outcome = tuned(search)
    assert outcome.counts == {"counted": 3, "complete": 3, "pruned": 0, "fail": 0, "others": 0}
    trials = study.get_trials()
    assert trials[lost.number].state.name == "FAIL"
    assert lost.params in [trial.params for trial in trials[lost.number + 1 :]]
    _, parent, nested = tuned.runs()
    assert (parent.info.status, nested["lost"].info.status) == ("FINISHED", "KILLED")


@pytest.mark.parametrize("fold", [1, 2])
def test_a_trial_that_another_process_gave_up_is_left_and_the_study_goes_on(
    search: Search, tuned, instant, fold: int
) -> None:
    def give_up() -> None:
        tuned.study.tell(1, state=optuna.trial.TrialState.FAIL)

    instant(at(1, give_up, fold))
    assert tuned(search).counts["complete"] == 3
    states = tuned.states()
    assert states.pop("trial 1") == "KILLED"
    assert {*states.values()} == {"FINISHED"}


def test_an_error_of_our_own_is_not_taken_for_one_of_another_process(
    search: Search, tuned, instant
) -> None:
    instant(at(0, raising(ValueError("a bug"))))
    with pytest.raises(ValueError, match="a bug"):
        tuned(search)
    assert tuned.runs()[1].info.status == "KILLED"


def test_present_values_whose_trial_was_lost_are_measured(search: Search, tuned, instant) -> None:
    with pytest.raises(RefusedError, match="none was run"):
        tuned(search, timeout=-1.0)
    study = tuned.study
    study.tell(study.ask(), state=optuna.trial.TrialState.FAIL)
    outcome = tuned(search)
    assert outcome.present_result is not None


def test_present_values_that_two_processes_queued_are_measured_once(
    search: Search, tuned, instant
) -> None:
    with pytest.raises(RefusedError, match="none was run"):
        tuned(search, timeout=-1.0)
    study = tuned.study
    (queued,) = study.get_trials()
    study.add_trial(queued)
    outcome = tuned(search)
    present = [row["train.hedonic.make"] == 2.98 for row in outcome.trials.to_dict("records")]
    assert present == [True, False, False]


def test_present_values_are_measured_to_the_end(search: Search, tuned, instant) -> None:
    tuned(search, trials=10)
    worse = replace(with_depth(search, 12), trials=11)
    outcome = tuned(worse, pruner=Pruner.MEDIAN)
    assert outcome.present_result.mean("mape") == 12.5


def test_trials_that_others_work_on_count_and_are_left_to_them(
    search: Search, tuned, instant
) -> None:
    tuned(search, trials=1)
    tuned.study.ask()
    outcome = tuned(search)
    assert (outcome.counts["counted"], outcome.counts["others"]) == (2, 1)


def test_a_study_of_another_space_or_of_other_data_is_refused(
    search: Search, tuned, instant
) -> None:
    tuned(search)
    with pytest.raises(
        InputError, match=r"another search space: space\.train\.hedonic\..* --study"
    ):
        tuned(search, space=space_of(["booster"]))
    with pytest.raises(InputError, match=r"measures something else: folds was 2, is 3; .* --study"):
        tuned(changed(search, folds=3))


def test_a_study_that_is_not_of_carprice_is_refused(search: Search, tuned) -> None:
    study = optuna.create_study(study_name=tuned.name, storage=tuned.storage)
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
    deep, told = with_depth(search, 16), list[str]()
    outcome = tuned(deep, say=told.append)
    assert outcome.present_result is None
    (line,) = told
    assert "train.booster.max_depth is 16, and searched from 2 to 12" in line
    with pytest.raises(RefusedError, match=r"max_depth is 16, and searched .* into that range"):
        refuse_unmeasurable(deep)


def test_nothing_is_written_where_the_present_values_were_not_measured(
    search: Search, tuned, instant
) -> None:
    refuse_unmeasured(tuned(search, trials=1))
    instant(at(1, raising(WorkFailed("out of time: over 1 s"))))
    outcome = tuned(with_depth(search, 9))
    assert outcome.present_result is None
    with pytest.raises(RefusedError, match=r"nothing was written: .* failed: out of time: over"):
        refuse_unmeasured(outcome)


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
        studies.require_optuna()
