"""The params file's model tuned: trials in a study, measured fold by fold, the worse pruned."""

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from carprice.arrays import Progress
from carprice.errors import RefusedError
from carprice.experiments import studies
from carprice.experiments.candidates import Candidate
from carprice.experiments.data import Data
from carprice.experiments.fitting import Task, measure_folds
from carprice.experiments.folds import shuffled_folds
from carprice.experiments.limits import Failed, Limits, run_limited
from carprice.experiments.pictures import draw_study
from carprice.experiments.processes import this_process
from carprice.experiments.race import figures_of, quick_train, run_name, tags_of
from carprice.experiments.ranking import Difference, Result, paired_difference
from carprice.experiments.search_space import (
    Space,
    is_same,
    outside,
    present_values,
    suggest,
    to_json,
    values_of,
    with_values,
)
from carprice.experiments.tracked import Clock, ParentRun, open_parent
from carprice.files import writing
from carprice.redaction import redact
from carprice.registry.provenance import git_tags
from carprice.settings import TrainSettings

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

TUNING: Final = "tuning"
_MODEL: Final = Candidate("carprice")


@dataclass(frozen=True)
class Search:
    """What is searched for, on what, and for how long.

    Attributes
    ----------
    trials : of the study in all, whoever ran them.
    timeout : seconds after which this process starts no more; None for no limit.
    limits : of each trial.
    """

    space: Space
    train: TrainSettings
    folds: int
    quick: bool
    metric: str
    trials: int
    timeout: float | None
    limits: Limits

    def plan(self, data: Data) -> dict[str, Any]:
        """Return what all trials of a study have in common, beside the space."""
        fixed = self.train.model_dump()
        for name in self.space:
            _, section, key = name.split(".")
            del fixed[section][key]
        return {
            "data": data.market.data_digest,
            "rows": len(data.log_price),
            "folds": self.folds,
            "metric": self.metric,
            "quick": self.quick,
            "train": fixed,
        }


def study_name(search: Search, data: Data) -> str:
    """Return the name of a study that is given none: the same for the same data and options."""
    last = data.source.rstrip("/").rpartition("/")[2] or data.source
    plan = json.dumps(search.plan(data), sort_keys=True)
    return f"{last.partition('.')[0]}-{hashlib.sha256(plan.encode()).hexdigest()[:8]}"


class _Surplus(Exception):  # noqa: N818
    """Another process has the study's last trial, or the one of the present values, already."""


@dataclass(frozen=True)
class Outcome:
    """What a study came to so far.

    Attributes
    ----------
    name : of the study.
    best, present : values, by their keys in a params file; ``present`` as the file has them.
    best_result, present_result : their folds; None where the present values were not measured.
    present_missing : why they were not; empty where they were.
    gain : how much lower the best one's error is, in pairs of folds; None likewise.
    counts : trials by state; ``others`` are being run by other processes.
    trials : one row a trial.
    """

    name: str
    best: Mapping[str, float]
    present: Mapping[str, float]
    best_number: int
    best_result: Result
    present_result: Result | None
    present_missing: str
    gain: Difference | None
    counts: Mapping[str, int]
    trials: pd.DataFrame
    files: tuple[Path, ...]
    resumed: bool


@dataclass
class _Session:
    """One process's part in a study."""

    study: "Study"
    search: Search
    data: Data
    parent: ParentRun
    progress: Progress
    done: Progress
    current: "Trial | None" = None
    run_id: str = ""
    started: float = field(default_factory=time.monotonic)

    def run(self) -> None:
        """Run trials until the study has enough, or time is up."""
        while True:
            for trial in studies.retry_of_the_dead(self.study):
                if run := trial.user_attrs.get(studies.RUN):
                    self.parent.kill(run)
            ended, others = len(studies.counted(self.study)), len(studies.running(self.study))
            if ended + others >= self.search.trials or self._is_late():
                return
            self._run_one()

    def _run_one(self) -> None:
        from optuna.exceptions import UpdateFinishedTrialError

        try:
            self.study.optimize(self._objective, n_trials=1, catch=(Failed, _Surplus))
        except (UpdateFinishedTrialError, ValueError, AssertionError) as error:
            if not _is_of_a_trial_given_up(error):
                raise
            if self.run_id:
                self.parent.kill(self.run_id)
        self.current = None

    def give_back(self) -> None:
        """Put the values of the trial that was interrupted, if one was, back into the queue."""
        if self.current is not None:
            trial = self.study.trials[self.current.number]
            ended = {one.number for one in studies.counted(self.study)}
            if studies.given_values(trial) and trial.number not in ended:
                studies.give_back(self.study, trial)

    def _is_late(self) -> bool:
        timeout = self.search.timeout
        return timeout is not None and time.monotonic() - self.started > timeout

    def _objective(self, trial: "Trial") -> float:
        self.current, self.run_id = trial, ""
        trial.set_user_attr(studies.PROCESS, this_process())
        earlier = [one for one in studies.running(self.study) if one.number < trial.number]
        if len(studies.counted(self.study)) + len(earlier) >= self.search.trials:
            raise _Surplus
        if self._is_present(trial) and self._others_have_the_present(trial):
            raise _Surplus
        values = suggest(trial, self.search.space)
        run = self.parent.begin(f"trial {trial.number}", {"trial": trial.number, **values})
        self.run_id = run
        trial.set_user_attr(studies.RUN, run)
        folds: list[dict[str, float]] = []
        mean = float("nan")
        try:
            for mean in self._measure(trial, values, folds):
                trial.report(mean, len(folds))
                trial.set_user_attr(studies.FOLDS, folds)
                if self._may_prune(trial, folds) and trial.should_prune():
                    reason = f"pruned after fold {len(folds)} of {self.search.folds}"
                    self._end(trial.number, run, folds, "pruned", reason=reason)
                    raise _pruned(reason)
        except Failed as failure:
            trial.set_user_attr(studies.REASON, str(failure))
            self._end(trial.number, run, folds, "failed", failed=str(failure))
            raise
        except KeyboardInterrupt:
            self.parent.kill(run)
            raise
        self._end(trial.number, run, folds, "complete")
        return mean

    @staticmethod
    def _is_present(trial: "Trial") -> bool:
        return bool(trial.user_attrs.get(studies.PRESENT))

    def _others_have_the_present(self, trial: "Trial") -> bool:
        """Whether an earlier trial of the same values is there, queued by another process."""
        own = studies.given_values(self.study.get_trials(deepcopy=False)[trial.number])
        same = studies.of_values(self.study, lambda values: is_same(own, values))
        return any(one.number < trial.number for one in same)

    def _may_prune(self, trial: "Trial", folds: list[dict[str, float]]) -> bool:
        return len(folds) < self.search.folds and not self._is_present(trial)

    def _measure(
        self, trial: "Trial", values: Mapping[str, float], folds: list[dict[str, float]]
    ) -> Iterator[float]:
        search, data = self.search, self.data
        train = quick_train(with_values(search.train, values), quick=search.quick)
        task = Task(_MODEL, data.file, data.market, train, search.folds, search.quick)
        done = len(studies.counted(self.study))
        place = f"trial {trial.number}, {done} of {search.trials} done"
        self.progress(f"{place}, fold 1 of {search.folds}")
        for step in run_limited(measure_folds, (task,), search.limits):
            folds.append(step.content)
            self.progress(f"{place}, fold {min(len(folds) + 1, search.folds)} of {search.folds}")
            yield float(np.mean([fold[search.metric] for fold in folds]))

    def _end(
        self,
        number: int,
        run: str,
        folds: list[dict[str, float]],
        state: str,
        *,
        reason: str = "",
        failed: str = "",
    ) -> None:
        whole = Result(_MODEL, tuple(folds), 0.0, reason or failed)
        figures = {name: value for name, value in figures_of(whole).items() if "peak" not in name}
        tags = {"state": state, **({"reason": reason} if reason else {})}
        self.parent.end(run, figures, failed=failed, tags=tags)
        metric = self.search.metric
        self.done(f"trial {number}: {reason or failed or f'{metric} {whole.mean(metric):,.4g}'}")


def _is_of_a_trial_given_up(error: Exception) -> bool:
    """Tell whether Optuna raised it as another process had ended the trial that was run here.

    Where the trial's value was there already, it stumbles over its own error.
    """
    from optuna.exceptions import UpdateFinishedTrialError

    return isinstance(error, UpdateFinishedTrialError) or any(
        str(one).startswith("Cannot tell a") for one in (error, error.__context__)
    )


def _pruned(reason: str) -> Exception:
    from optuna import TrialPruned

    return TrialPruned(reason)


def tune(
    search: Search,
    data: Data,
    *,
    storage: str,
    name: str | None,
    sampler: studies.Sampler,
    pruner: studies.Pruner,
    uri: str,
    workdir: Path,
    out: Path,
    clock: Clock,
    progress: Progress,
    done: Progress,
    tell: Progress,
) -> Outcome:
    """Run trials of a study until it has enough; draw and log what it came to so far.

    The first trial of a study has the present values, so that its best is no worse than they.

    Parameters
    ----------
    storage, name : of the study; processes that name the same work on it together. Without a name
        it is :func:`study_name`.
    uri, workdir, out : as of :func:`carprice.experiments.comparison.hold`.
    done : is told of each trial that came to an end.
    tell : is told what a person should know.

    Raises
    ------
    InputError
        If the study is of another search space, its storage cannot be used, or there are too few
        listings for so many folds.
    RefusedError
        If storage or MLflow do not answer, no trial came to an end, or on Ctrl-C.
    """
    shuffled_folds(len(data.log_price), search.folds, search.train.seed)
    name = name or study_name(search, data)
    with studies.clear_errors(storage):
        study = studies.open_study(storage, name, sampler, pruner, search.plan(data), search.space)
        present = present_values(search.train, search.space)
        _enqueue(study, present, search.space, tell)
        parent = _open_parent(search, data, storage, name, uri, workdir, clock)
        session = _Session(study, search, data, parent, progress, done)
        resumed = bool(studies.counted(study))
        try:
            session.run()
            progress("tables and pictures")
            outcome = _outcome(study, search, present, out, resumed=resumed)
        except KeyboardInterrupt:
            session.give_back()
            _leave(study, parent)
            ended = len(studies.counted(study))
            raise RefusedError(
                f"interrupted after {ended} of {search.trials} trials; the same command goes on "
                "from there"
            ) from None
        except Exception:
            _leave(study, parent)
            raise
    parent.log(_figures(outcome, search.metric), _tables(outcome), outcome.files, _note(outcome))
    if not outcome.counts["others"]:
        parent.finish()
    return outcome


def _leave(study: "Study", parent: ParentRun) -> None:
    """End the study's run, unless other processes work on it."""
    if not studies.running(study):
        parent.kill(parent.id)


def _enqueue(study: "Study", present: Mapping[str, float], space: Space, tell: Progress) -> None:
    if odd := outside(present, space):
        tell(f"The present values are not measured, for {_told_outside(odd[0], present, space)}.")
    elif not studies.of_values(study, lambda values: is_same(present, values)):
        study.enqueue_trial(dict(present), user_attrs={studies.PRESENT: True})


def _open_parent(
    search: Search, data: Data, storage: str, name: str, uri: str, workdir: Path, clock: Clock
) -> ParentRun:
    plan = search.plan(data)
    content = [redact(storage), name, plan, to_json(search.space)]
    params = {
        "source": data.source,
        "study": name,
        "folds": search.folds,
        "seed": search.train.seed,
        "metric": search.metric,
        "quick": search.quick,
        "rows": len(data.log_price),
        **{
            f"space.{key}": f"{one.low:g} to {one.high:g}" + (", log" if one.log else "")
            for key, one in search.space.items()
        },
    }
    return open_parent(
        uri,
        TUNING,
        workdir,
        name=run_name(f"tune {name}", data.source, clock()),
        plan=hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest(),
        params=params,
        tags={**tags_of(data), **git_tags(Path())},
        now=clock,
        shared=True,
    )


def _outcome(
    study: "Study", search: Search, present: Mapping[str, float], out: Path, *, resumed: bool
) -> Outcome:
    complete = _complete(study)
    if not complete:
        reasons = {trial.user_attrs.get(studies.REASON, "") for trial in studies.counted(study)}
        told = "; ".join(sorted(filter(None, reasons))) or "none was run"
        raise RefusedError(f"no trial of the study {study.study_name!r} came to an end: {told}")
    best = min(complete, key=lambda trial: (trial.value, trial.number))
    same = [trial for trial in complete if is_same(present, values_of(trial.params, search.space))]
    now_result = _result(same[0]) if same else None
    best_result = _result(best)
    gain = None
    if now_result is not None and best.number != same[0].number:
        gain = paired_difference(
            now_result.values(search.metric), best_result.values(search.metric)
        )
    trials = _trials_table(study, search)
    return Outcome(
        study.study_name,
        values_of(best.params, search.space),
        present,
        best.number,
        best_result,
        now_result,
        "" if same else _why_missing(study, present, search.space),
        gain,
        _counts(study),
        trials,
        tuple(_write(study, trials, search.metric, out)),
        resumed,
    )


def _why_missing(study: "Study", present: Mapping[str, float], space: Space) -> str:
    if odd := outside(present, space):
        return _told_outside(odd[0], present, space)
    tried = studies.of_values(study, lambda values: is_same(present, values))
    reasons = [trial.user_attrs[studies.REASON] for trial in tried if studies.has_failed(trial)]
    return f"their trial failed: {reasons[0]}" if reasons else "their trial has not ended yet"


def _told_outside(name: str, present: Mapping[str, float], space: Space) -> str:
    return (
        f"{name} is {present[name]:g}, and searched from {space[name].low:g} to "
        f"{space[name].high:g}"
    )


def refuse_unmeasurable(train: TrainSettings, space: Space) -> None:
    """Refuse to write, before the first trial, where the present values cannot be measured.

    Raises
    ------
    RefusedError
        If a present value is outside of the space.
    """
    present = present_values(train, space)
    if odd := outside(present, space):
        raise RefusedError(
            f"--write compares with the present values, and {_told_outside(odd[0], present, space)}"
            "; bring it into that range in the params file, or tune without --write"
        )


def refuse_unmeasured(outcome: Outcome) -> None:
    """Refuse to write values of which nobody knows whether they are better than the present ones.

    Raises
    ------
    RefusedError
        If the present values were not measured.
    """
    if outcome.present_result is None:
        raise RefusedError(
            f"nothing was written: the present values were not measured ({outcome.present_missing})"
            ", so that trial "
            f"{outcome.best_number} may be worse than they are; run the command again with more "
            "--trials, or with more time for each"
        )


def _complete(study: "Study") -> list["FrozenTrial"]:
    return [trial for trial in studies.counted(study) if trial.value is not None and _whole(trial)]


def _whole(trial: "FrozenTrial") -> bool:
    return trial.state.name == "COMPLETE"


def _result(trial: "FrozenTrial") -> Result:
    return Result(_MODEL, tuple(trial.user_attrs[studies.FOLDS]), 0.0)


def _counts(study: "Study") -> dict[str, int]:
    ended = [trial.state.name.lower() for trial in studies.counted(study)]
    names = ("complete", "pruned", "fail")
    return {
        "counted": len(ended),
        **{name: ended.count(name) for name in names},
        "others": len(studies.running(study)),
    }


def _trials_table(study: "Study", search: Search) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "trial": trial.number,
                "state": trial.state.name.lower(),
                search.metric: trial.value if _whole(trial) else None,
                "folds": len(trial.user_attrs.get(studies.FOLDS, ())),
                "reason": trial.user_attrs.get(studies.REASON, ""),
                **{name: trial.params.get(name) for name in search.space},
            }
            for trial in studies.counted(study)
        ]
    )


def _write(study: "Study", trials: pd.DataFrame, metric: str, out: Path) -> list[Path]:
    with writing(out / "trials.csv") as path:
        trials.to_csv(path, index=False, lineterminator="\n")
    return [out / "trials.csv", *draw_study(study, metric, out)]


def _tables(outcome: Outcome) -> dict[str, pd.DataFrame]:
    return {"trials": outcome.trials, "parameters": parameters_table(outcome)}


def parameters_table(outcome: Outcome) -> pd.DataFrame:
    """Return one row a parameter: its present value and the best trial's."""
    return pd.DataFrame(
        [
            {"parameter": name, "present": outcome.present[name], "best": value}
            for name, value in outcome.best.items()
        ]
    )


def _figures(outcome: Outcome, metric: str) -> dict[str, float]:
    figures = {f"best_{metric}": outcome.best_result.mean(metric)}
    if outcome.present_result is not None:
        figures[f"present_{metric}"] = outcome.present_result.mean(metric)
    return {**figures, **{f"trials_{name}": float(n) for name, n in outcome.counts.items()}}


def _note(outcome: Outcome) -> str:
    lines = [
        f"Trial {outcome.best_number} is the best of {outcome.counts['complete']} that were "
        f"measured on all folds; {outcome.counts['pruned']} were pruned.",
        "",
        "| parameter | present | best |",
        "| --- | --- | --- |",
    ]
    rows = parameters_table(outcome).to_dict("records")
    return "\n".join(
        [
            *lines,
            *(f"| {row['parameter']} | {row['present']:g} | {row['best']:g} |" for row in rows),
        ]
    )
