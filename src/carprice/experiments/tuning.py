"""The params file's model tuned: trials in a study, measured fold by fold, the worse pruned."""

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from carprice.errors import RefusedError
from carprice.experiments import studies
from carprice.experiments.data import Data
from carprice.experiments.fitting import shuffled_folds
from carprice.experiments.pictures import draw_study
from carprice.experiments.ranking import Result
from carprice.experiments.search_space import as_text, is_same, suggest, to_json, with_values
from carprice.experiments.time_limit import WorkFailed
from carprice.experiments.tracked import ParentRun, Reporting, open_parent
from carprice.experiments.tuning_report import MODEL, Search, TuningReport, report_on
from carprice.redaction import redact

if TYPE_CHECKING:
    from optuna import Study, Trial

TUNING: Final = "tuning"


def study_name(search: Search, data: Data) -> str:
    """Return the name of a study that is given none: the same for the same data and options."""
    plan = json.dumps(search.plan(data), sort_keys=True)
    return f"{data.short_source.partition('.')[0]}-{hashlib.sha256(plan.encode()).hexdigest()[:8]}"


def tune(
    search: Search,
    data: Data,
    to: Reporting,
    *,
    storage: str,
    name: str | None,
    sampler: studies.Sampler,
    pruner: studies.Pruner,
) -> TuningReport:
    """Run trials of a study until it has enough; draw and log what it found so far.

    The first trial of a study has the present values, so that its best is no worse than they.

    Parameters
    ----------
    storage, name : of the study; processes that name the same work on it together. Without a name
        it is :func:`study_name`.

    Raises
    ------
    InputError
        If the study is of another search space, its storage cannot be used, or there are too few
        listings for so many folds.
    RefusedError
        If storage or MLflow do not answer, no trial came to an end, or on Ctrl-C.
    """
    shuffled_folds(len(data.log_price), search.how.folds, search.how.train.seed)
    name = name or study_name(search, data)
    plan = {"space": to_json(search.space), **search.plan(data)}
    with studies.storage_errors(storage):
        study = studies.open_study(storage, name, sampler, pruner, plan)
        _enqueue_present(study, search, to)
        parent = _open_parent(search, data, to, redact(storage), name, plan)
        resumed = bool(studies.ended(study))
        try:
            _Worker(study, search, data, parent, to).run()
            to.progress("tables and pictures")
            report = report_on(study, search, resumed=resumed)
            files = to.write({"trials": report.trials})
            files += draw_study(study, search.how.metric, to.out)
        except BaseException as error:
            if not studies.trials_of(study, "running"):
                parent.kill(parent.id)
            if not isinstance(error, KeyboardInterrupt):
                raise
            raise RefusedError(
                f"interrupted after {len(studies.ended(study))} of {search.trials} trials; the "
                "same command goes on from there"
            ) from None
    _log(report, search.how.metric, files, parent)
    return report


def _enqueue_present(study: "Study", search: Search, to: Reporting) -> None:
    if odd := search.outside():
        to.say(f"The present values are not measured, for {odd}.")
    elif not studies.trials_with(study, lambda values: is_same(search.present, values)):
        study.enqueue_trial(search.present, user_attrs={studies.PRESENT: True})


def _open_parent(
    search: Search, data: Data, to: Reporting, storage: str, name: str, plan: Mapping[str, Any]
) -> ParentRun:
    params = {
        "source": data.source,
        "study": name,
        "folds": search.how.folds,
        "seed": search.how.train.seed,
        "metric": search.how.metric,
        "quick": search.how.quick,
        "rows": len(data.log_price),
        **{f"space.{key}": as_text(one) for key, one in search.space.items()},
    }
    content = json.dumps([storage, name, plan], sort_keys=True).encode()
    digest = hashlib.sha256(content).hexdigest()
    return open_parent(to, TUNING, f"tune {name}", data, plan=digest, params=params, reopen=True)


class _Surplus(Exception):  # noqa: N818
    """Another process has the study's last trial, or the one of the present values, already."""


@dataclass
class _Worker:
    """One process's part in a study."""

    study: "Study"
    search: Search
    data: Data
    parent: ParentRun
    to: Reporting
    number: int = -1
    """Of the trial that is measured."""
    is_lost: bool = False
    """Whether another process took that trial for lost."""

    def run(self) -> None:
        """Run trials until the study has enough, or time is up."""
        from optuna.storages import fail_stale_trials

        started = time.monotonic()
        while True:
            fail_stale_trials(self.study)
            self._kill_lost_runs()
            begun = len(studies.ended(self.study)) + len(studies.trials_of(self.study, "running"))
            seconds, timeout = time.monotonic() - started, self.search.timeout
            if begun >= self.search.trials or (timeout is not None and seconds > timeout):
                return
            self._run_trial()

    def _kill_lost_runs(self) -> None:
        known = {
            one.user_attrs.get(studies.RUN) for one in studies.trials_of(self.study, "running")
        }
        self.parent.kill(*(run for run in self.parent.running() if run not in known))

    def _run_trial(self) -> None:
        self.number, self.is_lost = -1, False
        try:
            self.study.optimize(self._objective, n_trials=1, catch=(WorkFailed, _Surplus))
        except KeyboardInterrupt:
            if self.number >= 0:
                studies.retry(self.study, self.number)
            raise
        except (ValueError, AssertionError):  # Optuna stumbles over a trial that has ended
            if not self.is_lost:
                raise

    def _objective(self, trial: "Trial") -> float:
        from optuna import TrialPruned
        from optuna.exceptions import UpdateFinishedTrialError

        self.number = trial.number
        self._refuse_surplus(trial)
        values = suggest(trial, self.search.space)
        run = self.parent.begin(f"trial {trial.number}", {"trial": trial.number, **values})
        try:
            trial.set_user_attr(studies.RUN, run)
            result, state = self._measured(trial, values)
        except BaseException as error:
            self.parent.kill(run)
            self.is_lost = isinstance(error, UpdateFinishedTrialError)
            raise
        tags = {"state": state, **({"reason": result.reason} if result.reason else {})}
        self.parent.end(run, result, tags, failed=state == "failed")
        self.to.done(f"trial {trial.number}: {result.in_short(self.search.how.metric)}")
        if state == "failed":
            raise WorkFailed(result.reason)
        if state == "pruned":
            raise TrialPruned(result.reason)
        return result.mean(self.search.how.metric)

    def _refuse_surplus(self, trial: "Trial") -> None:
        """Leave the study's last trial, and the present values, to a process that was earlier."""
        running = studies.trials_of(self.study, "running")
        earlier = [one for one in running if one.number < trial.number]
        if len(studies.ended(self.study)) + len(earlier) >= self.search.trials:
            raise _Surplus
        if trial.user_attrs.get(studies.PRESENT):
            own = studies.values_given(self.study.get_trials(deepcopy=False)[trial.number])
            same = studies.trials_with(self.study, lambda values: is_same(own, values))
            if any(one.number < trial.number for one in same):
                raise _Surplus

    def _measured(self, trial: "Trial", values: Mapping[str, float]) -> tuple[Result, str]:
        """Return the trial's folds, and whether it is complete, pruned or failed."""
        how = replace(self.search.how, train=with_values(self.search.how.train, values))
        done = len(studies.ended(self.study))
        place = f"trial {trial.number}, {done} of {self.search.trials} done"
        folds: list[dict[str, float]] = []
        self.to.progress(f"{place}, fold 1 of {how.folds}")
        try:
            for figures in how.measure(MODEL, self.data):
                folds.append(figures)
                self.to.progress(f"{place}, fold {min(len(folds) + 1, how.folds)} of {how.folds}")
                trial.report(float(np.mean([fold[how.metric] for fold in folds])), len(folds))
                is_free = len(folds) < how.folds and not trial.user_attrs.get(studies.PRESENT)
                if is_free and trial.should_prune():
                    reason = f"pruned after fold {len(folds)} of {how.folds}"
                    return Result(MODEL, tuple(folds), reason), "pruned"
        except WorkFailed as failure:
            trial.set_user_attr(studies.REASON, str(failure))
            return Result(MODEL, tuple(folds), str(failure)), "failed"
        finally:
            trial.set_user_attr(studies.FOLDS, folds)
        return Result(MODEL, tuple(folds)), "complete"


def _log(report: TuningReport, metric: str, files: list[Path], parent: ParentRun) -> None:
    figures = {f"best_{metric}": report.best_result.mean(metric)}
    if report.present_result is not None:
        figures[f"present_{metric}"] = report.present_result.mean(metric)
    figures |= {f"trials_{name}": float(count) for name, count in report.counts.items()}
    tables = {"trials": report.trials, "parameters": report.parameters()}
    parent.log(figures, tables, files, report.note())
    if not report.counts["others"]:
        parent.finish()
