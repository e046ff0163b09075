"""Optuna studies that many processes share, and that go on after one of them was killed."""

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
from carprice.redaction import redact
from carprice.registry.tracking import flatten

if TYPE_CHECKING:
    from optuna import Study
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

PLAN: Final = "plan"
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


def require_optuna() -> None:
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
def storage_errors(url: str) -> Iterator[None]:
    """Turn what the storage raises into one line that names it."""
    from optuna.exceptions import ExperimentalWarning, StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with warnings.catch_warnings():  # of heartbeats, which Optuna has had for years
            warnings.simplefilter("ignore", ExperimentalWarning)
            yield
    except (SQLAlchemyError, StorageInternalError) as error:
        reason = " ".join(str(error).split())[:300]
        raise RefusedError(
            f"the storage {redact(url)} did not do what was asked: {reason}; check --storage"
        ) from None


def open_study(
    url: str, name: str, sampler: Sampler, pruner: Pruner, plan: Mapping[str, Any]
) -> "Study":
    """Open a study, or make it where it is new.

    Parameters
    ----------
    plan : what all trials of the study have in common: search space, data, folds, metric.

    Raises
    ------
    InputError
        If the study has another plan, or if the address is none of a database.
    RefusedError
        If the database cannot be reached.
    """
    import optuna

    with storage_errors(url):
        study = optuna.create_study(
            study_name=name,
            storage=_storage(url),
            sampler=_sampler(sampler),
            pruner=_pruner(pruner),
            load_if_exists=True,
        )
        # The trials first: another process that makes the study sets its plan before it has any.
        is_new = not study.get_trials(deepcopy=False)
        if is_new and PLAN not in study.user_attrs:
            study.set_user_attr(PLAN, json.dumps(plan))
        _refuse_other_plan(name, json.loads(study.user_attrs.get(PLAN, "null")), plan)
        return study


def _refuse_other_plan(
    name: str, stored: Mapping[str, Any] | None, plan: Mapping[str, Any]
) -> None:
    if stored is None:
        raise InputError(f"study {name!r} was not made by carprice; give another with --study")
    was, now = flatten(stored), flatten(plan)
    keys = [key for key in sorted({*was, *now}) if was.get(key) != now.get(key)]
    if keys:
        what = "is of another search space" if keys[-1] >= "space" else "measures something else"
        told = [f"{key} was {was.get(key)}, is {now.get(key)}" for key in keys[:3]]
        more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
        raise InputError(
            f"study {name!r} {what}: {'; '.join(told)}{more}; give another name with --study, or "
            "the same data and options as then"
        )


def _storage(url: str) -> "BaseStorage":
    """Open a storage, again where another process was making its tables at the same time."""
    from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
    from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError

    options = {"connect_args": {"timeout": _LOCK_SECONDS}} if url.startswith("sqlite") else {}
    for left in reversed(range(_OPENINGS)):
        try:
            return RDBStorage(
                url,
                engine_kwargs=options,
                heartbeat_interval=_HEARTBEAT_SECONDS,
                grace_period=_GRACE_SECONDS,
                heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(),
            )
        except DBAPIError as error:
            is_made_meanwhile = isinstance(error, IntegrityError) or "already exists" in str(error)
            if not (left and is_made_meanwhile):
                raise
        except (ArgumentError, ImportError, ValueError) as error:
            raise InputError(
                f"--storage {redact(url)} cannot be opened: {error}; give a database's address "
                "such as sqlite:///optuna.db or postgresql+psycopg://…; pip install "
                "'carprice[sql]' brings drivers"
            ) from None
        time.sleep(_OPENING_SECONDS)
    raise AssertionError("the last opening returns or raises")


def _sampler(sampler: Sampler) -> "BaseSampler":
    from optuna import samplers

    # constant_liar: what others are trying counts as bad, so that two do not try the same.
    known: dict[Sampler, Callable[[], BaseSampler]] = {
        Sampler.TPE: lambda: samplers.TPESampler(multivariate=True, constant_liar=True),
        Sampler.RANDOM: samplers.RandomSampler,
        Sampler.QMC: lambda: samplers.QMCSampler(warn_independent_sampling=False),
    }
    return known[sampler]()


def _pruner(pruner: Pruner) -> "BasePruner":
    from optuna import pruners

    known: dict[Pruner, Callable[[], BasePruner]] = {
        Pruner.MEDIAN: lambda: pruners.MedianPruner(n_startup_trials=_STARTUP_TRIALS),
        Pruner.HALVING: pruners.SuccessiveHalvingPruner,
        Pruner.NONE: pruners.NopPruner,
    }
    return known[pruner]()


def trials_of(study: "Study", *states: str) -> list["FrozenTrial"]:
    """Return the trials of some states: complete, pruned, failed, running or waiting.

    A trial that failed for want of its process, and not by itself, is of no state: it is run again.
    """
    return [one for one in study.get_trials(deepcopy=False) if state_of(one) in states]


def state_of(trial: "FrozenTrial") -> str:
    """Return the state of a trial, as :func:`trials_of` names it."""
    state = trial.state.name.lower()
    if state == "fail":
        return "failed" if REASON in trial.user_attrs else ""
    return state


def ended(study: "Study") -> list["FrozenTrial"]:
    """Return the trials that came to an end: measured, pruned, or failed by themselves."""
    return trials_of(study, "complete", "pruned", "failed")


def retry(study: "Study", number: int) -> None:
    """Put the values of a trial that was interrupted back into the queue."""
    from optuna.storages import RetryHeartbeatStaleTrialCallback

    trial = study.get_trials()[number]
    if not state_of(trial):
        RetryHeartbeatStaleTrialCallback()(study, trial)


def values_given(trial: "FrozenTrial") -> dict[str, Any]:
    """Return a trial's values, also those that wait in the queue to become its own."""
    return {**trial.system_attrs.get("fixed_params", {}), **trial.params}


def trials_with(
    study: "Study", is_wanted: Callable[[Mapping[str, Any]], bool]
) -> list["FrozenTrial"]:
    """Return the trials of some values that wait, are run, or were measured till their end."""
    found = trials_of(study, "waiting", "running", "complete", "failed")
    return [trial for trial in found if is_wanted(values_given(trial))]
