"""Optuna studies that several processes share, and that survive the death of any of them."""

import json
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import optuna
from optuna import Study, pruners, samplers
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, SQLAlchemyError

from carprice.errors import InputError, RefusedError
from carprice.experiments.search_space import Pruner, Sampler, Space, Values, rounded
from carprice.redaction import redact
from carprice.registry.database_file import address_of
from carprice.registry.local_database import problem_of
from carprice.settings import flatten

PLAN: Final = "plan"
RUN: Final = "mlflow_run"
REASON: Final = "reason"
FOLDS: Final = "folds"
PRESENT: Final = "present"
"""Marks the trial that has the present values."""
_HEARTBEAT_SECONDS: Final = 20
GRACE_SECONDS: Final = 40
"""A trial without a heartbeat for so long counts as lost and is run again."""
_LOCK_SECONDS: Final = 60
_STARTUP_TRIALS: Final = 5
_ATTEMPTS: Final = 3
_PAUSE_SECONDS: Final = 1.0

optuna.logging.set_verbosity(optuna.logging.ERROR)


def storage_url(workdir: Path) -> str:
    """Return the address of the study database in a working folder."""
    return address_of((workdir / "optuna.db").resolve())


@contextmanager
def storage_errors(url: str) -> Iterator[None]:
    """Turn an error of the storage into a RefusedError of one line that names the storage."""
    try:
        with warnings.catch_warnings():  # heartbeats, which Optuna still calls experimental
            warnings.simplefilter("ignore", ExperimentalWarning)
            yield
    except (SQLAlchemyError, StorageInternalError) as error:
        reason = problem_of(error, "move it away, to begin a new study", "check --storage")
        raise RefusedError(f"the storage {redact(url)} {reason}") from None


def open_study(
    url: str, name: str, sampler: Sampler, pruner: Pruner, plan: Mapping[str, Any]
) -> Study:
    """Open a study; create it if there is none of that name.

    Parameters
    ----------
    plan : what all trials of the study have in common: search space, data, folds, metric.

    Raises
    ------
    InputError
        If the study has another plan, or the address is not that of a database.
    """
    study = optuna.create_study(
        study_name=name,
        storage=_storage(url),
        sampler=_sampler(sampler),
        pruner=_pruner(pruner),
        load_if_exists=True,
    )
    # Trials are read before the plan: a process that creates a study sets the plan first.
    is_new = not study.get_trials(deepcopy=False)
    written = json.dumps(plan)
    if is_new and PLAN not in study.user_attrs:
        study.set_user_attr(PLAN, written)
    _refuse_other_plan(name, json.loads(study.user_attrs.get(PLAN, "null")), json.loads(written))
    return study


def _refuse_other_plan(
    name: str, stored: Mapping[str, Any] | None, plan: Mapping[str, Any]
) -> None:
    if stored is None:
        raise InputError(f"study {name!r} was not made by carprice; give another with --study")
    was, now = flatten(stored), flatten(plan)
    keys = [key for key in sorted({*was, *now}) if was.get(key) != now.get(key)]
    if keys:
        is_space = any(key.startswith("space") for key in keys)
        what = "is of another search space" if is_space else "measures something else"
        told = [f"{key} was {was.get(key)}, is {now.get(key)}" for key in keys[:3]]
        more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
        raise InputError(
            f"study {name!r} {what}: {'; '.join(told)}{more}; give another name with --study, or "
            "the same data and options as then"
        )


def _storage(url: str) -> RDBStorage:
    """Open a storage; try again if another process was creating its tables at the same time."""
    options = {"connect_args": {"timeout": _LOCK_SECONDS}} if url.startswith("sqlite") else {}
    for left in reversed(range(_ATTEMPTS)):
        try:
            return RDBStorage(
                url,
                engine_kwargs=options,
                heartbeat_interval=_HEARTBEAT_SECONDS,
                grace_period=GRACE_SECONDS,
                heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(),
            )
        except DBAPIError as error:
            is_created_now = isinstance(error, IntegrityError) or "already exists" in str(error)
            if not (left and is_created_now):
                raise
        except (ArgumentError, ImportError, ValueError) as error:
            raise InputError(
                f"--storage {redact(url)} cannot be opened: {error}; give a database's address "
                "such as sqlite:///optuna.db or postgresql+psycopg://…; pip install "
                "'carprice[sql]' brings drivers"
            ) from None
        time.sleep(_PAUSE_SECONDS)
    raise AssertionError("the last attempt returns or raises")


def _sampler(sampler: Sampler) -> samplers.BaseSampler:
    if sampler is Sampler.RANDOM:
        return samplers.RandomSampler()
    if sampler is Sampler.QMC:
        return samplers.QMCSampler(warn_independent_sampling=False)
    # constant_liar counts running trials as bad, so that two processes do not try the same values.
    return samplers.TPESampler(multivariate=True, constant_liar=True)


def _pruner(pruner: Pruner) -> pruners.BasePruner:
    if pruner is Pruner.MEDIAN:
        return pruners.MedianPruner(n_startup_trials=_STARTUP_TRIALS)
    return pruners.SuccessiveHalvingPruner() if pruner is Pruner.HALVING else pruners.NopPruner()


def trials_of(study: Study, *states: str) -> list[FrozenTrial]:
    """Return the trials that are in one of the states, as :func:`state_of` names them."""
    return [one for one in study.get_trials(deepcopy=False) if state_of(one) in states]


def state_of(trial: FrozenTrial) -> str:
    """Return complete, pruned, failed, running or waiting; empty if killed, to be run again."""
    state = trial.state.name.lower()
    if state == "fail":
        return "failed" if REASON in trial.user_attrs else ""
    return state


def ended(study: Study) -> list[FrozenTrial]:
    """Return the trials that ended: complete, pruned or failed; not the interrupted ones."""
    return trials_of(study, "complete", "pruned", "failed")


def retry(study: Study, number: int) -> None:
    """Put the values of an interrupted trial back into the queue."""
    trial = study.get_trials()[number]
    if not state_of(trial):
        RetryHeartbeatStaleTrialCallback()(study, trial)


def trials_with(study: Study, values: Values, space: Space) -> list[FrozenTrial]:
    """Return the trials with given values that are waiting, running, complete or failed."""

    def values_of(trial: FrozenTrial) -> Values:
        enqueued = trial.system_attrs.get("fixed_params", {})
        return rounded({**enqueued, **trial.params}, space)

    found = trials_of(study, "waiting", "running", "complete", "failed")
    return [trial for trial in found if values_of(trial) == rounded(values, space)]
