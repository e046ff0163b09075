"""The params file's model tuned: trials in a study, measured fold by fold, the worse pruned."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Final

import numpy as np
from optuna import Study, Trial, TrialPruned
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import fail_stale_trials

from carprice.errors import RefusedError
from carprice.experiments import studies
from carprice.experiments.data import Data
from carprice.experiments.fitting import shuffled_folds
from carprice.experiments.pictures import draw_study
from carprice.experiments.ranking import Result
from carprice.experiments.search_space import Pruner, Sampler, suggest, with_all_values, with_values
from carprice.experiments.time_limit import WorkFailed
from carprice.experiments.tracked import ParentRun, Reporting, open_parent, plan_digest
from carprice.experiments.tuning_report import MODEL, Search, TuningReport
from carprice.redaction import redact

TUNING: Final = "tuning"


def study_name(search: Search, data: Data) -> str:
    """Return the name of a study that is given none: the same for the same data and options."""
    return f"{data.short_source.partition('.')[0]}-{plan_digest(search.plan(data))[:8]}"


def tune(
    search: Search,
    data: Data,
    to: Reporting,
    *,
    storage: str,
    name: str | None,
    sampler: Sampler,
    pruner: Pruner,
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
    cars = data.features.car_weights().sum() * (1 - 1 / search.how.folds)
    train = with_all_values(search.how.train, cars)
    search = replace(search, how=replace(search.how, train=train))
    metric = search.how.metric
    shuffled_folds(len(data.log_price), search.how.folds, search.how.train.seed, data.features.cars)
    name = name or study_name(search, data)
    plan = {"space": {key: asdict(one) for key, one in search.space.items()}, **search.plan(data)}
    with studies.storage_errors(storage):
        study = studies.open_study(storage, name, sampler, pruner, plan)
        if odd := search.outside():
            to.say(f"The present values are not measured, for {odd}.")
        elif not studies.trials_with(study, search.present, search.space):
            study.enqueue_trial(search.present, user_attrs={studies.PRESENT: True})
        ranges = {f"space.{key}": one for key, one in search.space.items()}
        params = {"study": name, **search.how.params, **ranges}
        digest = plan_digest([redact(storage), name, plan])
        parent = open_parent(
            to, TUNING, f"tune {name}", data, plan=digest, params=params, reopen=True
        )
        resumed = bool(studies.ended(study))
        try:
            _Worker(study, search, data, parent, to).run()
            to.progress("tables and pictures")
            report = TuningReport(study, search, resumed=resumed)
            files = to.write({"trials": report.trials})
            files += draw_study(study, metric, to.out)
        except BaseException as error:
            if not studies.trials_of(study, "running"):
                parent.kill(parent.id)
            if not isinstance(error, KeyboardInterrupt):
                raise
            raise RefusedError(
                f"interrupted after {len(studies.ended(study))} of {search.trials} trials; the "
                "same command goes on from there"
            ) from None
    tables = {"trials": report.trials, "parameters": report.parameters()}
    parent.log(report.figures(metric), tables, files, report.note())
    if not report.counts["others"]:
        parent.finish()
    return report


@dataclass
class _Worker:
    """One process's part in a study.

    Attributes
    ----------
    number : of the trial that is measured.
    is_lost : whether another process took that trial for lost.
    """

    study: Study
    search: Search
    data: Data
    parent: ParentRun
    to: Reporting
    number: int = -1
    is_lost: bool = False

    def run(self) -> None:
        """Run trials until the study has enough, or time is up."""
        started = time.monotonic()
        while True:
            fail_stale_trials(self.study)
            running = studies.trials_of(self.study, "running")
            self.parent.kill_running(but=[one.user_attrs.get(studies.RUN, "") for one in running])
            begun = len(studies.ended(self.study)) + len(running)
            seconds, timeout = time.monotonic() - started, self.search.timeout
            if begun >= self.search.trials or (timeout is not None and seconds > timeout):
                return
            self._run_trial()

    def _run_trial(self) -> None:
        self.number, self.is_lost = -1, False
        try:
            self.study.optimize(self._objective, n_trials=1, catch=WorkFailed)
        except KeyboardInterrupt:
            if self.number >= 0:
                studies.retry(self.study, self.number)
            raise
        except (ValueError, AssertionError):  # Optuna stumbles over a trial that has ended
            if not self.is_lost:
                raise

    def _objective(self, trial: Trial) -> float:
        self.number = trial.number
        values = suggest(trial, self.search.space)
        if self._is_surplus(trial, values):
            raise WorkFailed("another process has this trial already")
        run = self.parent.begin(f"trial {trial.number}", {"trial": trial.number, **values})
        try:
            trial.set_user_attr(studies.RUN, run)
            result, end = self._measured(trial, values)
        except BaseException as error:
            self.parent.kill(run)
            self.is_lost = isinstance(error, UpdateFinishedTrialError)
            raise
        state = "failed" if isinstance(end, WorkFailed) else "pruned" if end else "complete"
        self.parent.end(run, result, state)
        self.to.done(f"trial {trial.number}: {result.in_short(self.search.how.metric)}")
        if end:
            raise end
        return result.mean(self.search.how.metric)

    def _is_surplus(self, trial: Trial, values: Mapping[str, float]) -> bool:
        """Return whether earlier trials suffice, or one of them has the present values already."""
        running = studies.trials_of(self.study, "running")
        earlier = sum(one.number < trial.number for one in running)
        if len(studies.ended(self.study)) + earlier >= self.search.trials:
            return True
        same = studies.trials_with(self.study, values, self.search.space)
        is_repeated = any(one.number < trial.number for one in same)
        return is_repeated and bool(trial.user_attrs.get(studies.PRESENT))

    def _measured(
        self, trial: Trial, values: Mapping[str, float]
    ) -> tuple[Result, WorkFailed | TrialPruned | None]:
        """Return the trial's folds, and what ended it before the last."""
        how = replace(self.search.how, train=with_values(self.search.how.train, values))
        done = len(studies.ended(self.study))
        place = f"trial {trial.number}, {done} of {self.search.trials} done"
        folds: list[dict[str, float]] = []
        end: WorkFailed | TrialPruned | None = None
        try:
            for figures in how.measure(MODEL, self.data, self.to.progress, place):
                folds.append(figures)
                trial.report(float(np.mean([fold[how.metric] for fold in folds])), len(folds))
                is_free = len(folds) < how.folds and not trial.user_attrs.get(studies.PRESENT)
                if is_free and trial.should_prune():
                    raise TrialPruned(f"pruned after fold {len(folds)} of {how.folds}")
        except TrialPruned as pruned:
            end = pruned
        except WorkFailed as failure:
            end = failure
            trial.set_user_attr(studies.REASON, str(failure))
        trial.set_user_attr(studies.FOLDS, folds)
        return Result(MODEL, tuple(folds), str(end or "")), end
