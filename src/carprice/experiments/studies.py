"""Optuna studies that many processes share, and that go on after one of them was killed."""

import datetime
import json
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from carprice.errors import InputError, RefusedError
from carprice.experiments.candidates import EXTRA
from carprice.experiments.processes import is_alive, this_process
from carprice.experiments.search_space import Space, differences, to_json
from carprice.redaction import redact

if TYPE_CHECKING:
    from optuna import Study
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

PLAN: Final = "plan"
PROCESS: Final = "process"
RUN: Final = "mlflow_run"
REASON: Final = "reason"
FOLDS: Final = "folds"
PRESENT: Final = "present"
"""Marks the trial that has the present values."""
_HEARTBEAT_SECONDS: Final = 15
_GRACE_SECONDS: Final = 120
_LOCK_SECONDS: Final = 60
_STARTUP_TRIALS: Final = 5
_OPENINGS: Final = 3
_OPENING_SECONDS: Final = 1.0


class Sampler(StrEnum):
    """How the next values are chosen."""

    TPE = "tpe"
    RANDOM = "random"
    QMC = "qmc"


class Pruner(StrEnum):
    """When a trial is given up before its last fold."""

    MEDIAN = "median"
    HALVING = "halving"
    NONE = "none"


def need_optuna() -> None:
    """Tell what to install.

    Raises
    ------
    InputError
        If Optuna is not installed.
    """
    try:
        import optuna
    except ModuleNotFoundError as error:
        if error.name != "optuna":
            raise
        raise InputError(f"tuning needs Optuna, which is not installed; {EXTRA}") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def storage_url(workdir: Path) -> str:
    """Return the address of the study database in a working folder."""
    return f"sqlite:///{(workdir / 'optuna.db').resolve().as_posix()}"


@contextmanager
def clear_errors(url: str) -> Iterator[None]:
    """Turn what the storage raises into one line that names it."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        told = " ".join(str(error).split())[:300]
        raise RefusedError(
            f"the storage {redact(url)} did not do what was asked: {told}; check --storage"
        ) from None


def open_study(
    url: str, name: str, sampler: Sampler, pruner: Pruner, plan: Mapping[str, Any], space: Space
) -> "Study":
    """Open a study, or make it where it is new.

    Parameters
    ----------
    plan : what all trials of the study have in common: data, folds, metric.

    Raises
    ------
    InputError
        If the study searches another space or measures on something else, or if the address is
        none of a database.
    RefusedError
        If the database cannot be reached.
    """
    import optuna

    with clear_errors(url), _without_warnings():
        study = optuna.create_study(
            study_name=name,
            storage=_storage(url),
            sampler=_sampler(sampler),
            pruner=_pruner(pruner),
            load_if_exists=True,
        )
        # The trials first: another process that makes the study sets its plan before it has any.
        is_new = not study.get_trials(deepcopy=False)
        whole = {"space": to_json(space), **plan}
        if is_new and PLAN not in study.user_attrs:
            study.set_user_attr(PLAN, json.dumps(whole))
        stored = study.user_attrs.get(PLAN)
        _refuse_other(name, json.loads(stored) if stored else {}, whole, space)
        return study


def _refuse_other(
    name: str, stored: Mapping[str, Any], whole: Mapping[str, Any], space: Space
) -> None:
    remedy = "give another name with --study, or the same data and options as then"
    if not stored:
        raise InputError(f"study {name!r} was not made by carprice; give another with --study")
    if told := differences(stored["space"], space):
        more = f" and {len(told) - 3} more" if len(told) > 3 else ""
        raise InputError(
            f"study {name!r} is of another search space: {'; '.join(told[:3])}{more}; {remedy}"
        )
    other = [key for key in whole if stored.get(key) != whole[key]]
    if other:
        told = [f"{key} was {stored.get(key)}, is {whole[key]}" for key in other]
        raise InputError(f"study {name!r} measures something else: {'; '.join(told)}; {remedy}")


def _storage(url: str) -> "BaseStorage":
    from sqlalchemy.exc import ArgumentError

    try:
        return _opened(url)
    except (ArgumentError, ImportError, ValueError) as error:
        raise InputError(
            f"--storage {redact(url)} cannot be opened: {error}; give a database's address such as "
            "sqlite:///optuna.db or postgresql+psycopg://…; pip install 'carprice[sql]' brings "
            "drivers"
        ) from None


def _opened(url: str) -> "BaseStorage":
    """Open a storage, again where another process was making its tables at the same time."""
    from optuna.storages import RDBStorage
    from sqlalchemy.exc import DBAPIError, IntegrityError

    options = {"connect_args": {"timeout": _LOCK_SECONDS}} if url.startswith("sqlite") else {}
    for left in reversed(range(_OPENINGS)):
        try:
            return RDBStorage(
                url,
                engine_kwargs=options,
                heartbeat_interval=_HEARTBEAT_SECONDS,
                grace_period=_GRACE_SECONDS,
                heartbeat_stale_trial_callback=_queue,
            )
        except DBAPIError as error:
            is_made_meanwhile = isinstance(error, IntegrityError) or "already exists" in str(error)
            if not (left and is_made_meanwhile):
                raise
        time.sleep(_OPENING_SECONDS)
    raise AssertionError("the last opening returns or raises")


def _sampler(sampler: Sampler) -> "BaseSampler":
    from optuna import samplers

    if sampler is Sampler.RANDOM:
        return samplers.RandomSampler()
    if sampler is Sampler.QMC:
        return samplers.QMCSampler(warn_independent_sampling=False)
    # constant_liar: what others are trying counts as bad, so that two do not try the same.
    return samplers.TPESampler(multivariate=True, constant_liar=True)


def _pruner(pruner: Pruner) -> "BasePruner":
    from optuna import pruners

    if pruner is Pruner.NONE:
        return pruners.NopPruner()
    if pruner is Pruner.HALVING:
        return pruners.SuccessiveHalvingPruner()
    return pruners.MedianPruner(n_startup_trials=_STARTUP_TRIALS)


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Optuna calls much that it has had for years experimental."""
    from optuna.exceptions import ExperimentalWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield


def counted(study: "Study") -> list["FrozenTrial"]:
    """Return the trials that came to an end: measured, pruned, or failed by themselves."""
    from optuna.trial import TrialState

    ended = (TrialState.COMPLETE, TrialState.PRUNED)
    return [
        trial
        for trial in study.get_trials(deepcopy=False)
        if trial.state in ended or (trial.state is TrialState.FAIL and REASON in trial.user_attrs)
    ]


def running(study: "Study") -> list["FrozenTrial"]:
    """Return the trials that somebody works on."""
    from optuna.trial import TrialState

    return study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))


def retry_of_the_dead(study: "Study") -> list["FrozenTrial"]:
    """Fail the trials whose process is gone, and put their values in the queue; return them.

    Those of this host are found at once. Those of other hosts are found by their heartbeat, and
    those whose process went before it gave its name, two minutes after they began.
    """
    from optuna.exceptions import UpdateFinishedTrialError
    from optuna.storages import fail_stale_trials

    before = running(study)
    for trial in before:
        if _is_of_the_dead(trial):
            try:
                give_back(study, trial)
            except (UpdateFinishedTrialError, ValueError):
                continue  # another process was quicker
    with _without_warnings():
        fail_stale_trials(study)
    return [trial for trial in before if was_given_up(study, trial.number)]


def _is_of_the_dead(trial: "FrozenTrial") -> bool:
    process = trial.user_attrs.get(PROCESS, "")
    if process:
        return process != this_process() and is_alive(process) is False
    grace = datetime.timedelta(seconds=_GRACE_SECONDS)
    began = trial.datetime_start  # Optuna's is of the local time, without a zone
    return began is not None and datetime.datetime.now() - began > grace


def was_given_up(study: "Study", number: int) -> bool:
    """Tell whether a trial was failed from outside: by another process, or for want of one."""
    from optuna.trial import TrialState

    trial = study.get_trials(deepcopy=False)[number]
    return trial.state is TrialState.FAIL and REASON not in trial.user_attrs


def give_back(study: "Study", trial: "FrozenTrial") -> None:
    """Fail a trial that its process did not end, and put its values in the queue."""
    from optuna.trial import TrialState

    if not trial.state.is_finished():
        study.tell(trial.number, state=TrialState.FAIL)
    _queue(study, trial)


def _queue(study: "Study", trial: "FrozenTrial") -> None:
    kept = {PRESENT: True} if trial.user_attrs.get(PRESENT) else None
    study.enqueue_trial(given_values(trial), user_attrs=kept, skip_if_exists=False)


def has_failed(trial: "FrozenTrial") -> bool:
    """Tell whether a trial failed by itself."""
    return trial.state.name == "FAIL" and REASON in trial.user_attrs


def given_values(trial: "FrozenTrial") -> dict[str, Any]:
    """Return a trial's values, those too that wait in the queue to become its own."""
    return {**trial.system_attrs.get("fixed_params", {}), **trial.params}


def of_values(study: "Study", is_same: Callable[[Mapping[str, Any]], bool]) -> list["FrozenTrial"]:
    """Return the trials of some values that wait, are run, or were measured till their end."""
    from optuna.trial import TrialState

    waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
    ended = [trial for trial in counted(study) if trial.state is not TrialState.PRUNED]
    return [trial for trial in (*waiting, *running(study), *ended) if is_same(given_values(trial))]
