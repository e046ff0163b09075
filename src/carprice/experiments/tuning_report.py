"""What a study is to search, and what it found so far."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from carprice.errors import RefusedError
from carprice.experiments import studies
from carprice.experiments.candidates import ComparedModel
from carprice.experiments.data import Data
from carprice.experiments.fitting import CrossValidation
from carprice.experiments.ranking import Difference, Result, paired_difference
from carprice.experiments.search_space import Space, is_same, present_values, values_of

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

MODEL: Final = ComparedModel("carprice")


@dataclass(frozen=True)
class Search:
    """What is searched, how each trial is measured, and for how long.

    Attributes
    ----------
    trials : of the study in all, whoever ran them.
    timeout : seconds after which this process starts no more trials; None for no limit.
    """

    space: Space
    how: CrossValidation
    trials: int
    timeout: float | None

    def plan(self, data: Data) -> dict[str, Any]:
        """Return what all trials of a study have in common, beside the space."""
        fixed = self.how.train.model_dump()
        for name in self.space:
            _, section, key = name.split(".")
            del fixed[section][key]
        return {
            "data": data.market.data_digest,
            "rows": len(data.log_price),
            "folds": self.how.folds,
            "metric": self.how.metric,
            "quick": self.how.quick,
            "train": fixed,
        }

    @property
    def present(self) -> dict[str, float]:
        """The values that the params file has."""
        return present_values(self.how.train, self.space)

    def outside(self) -> str:
        """Return which present value is outside of its range, and of which; nothing if none is."""
        for name, value in self.present.items():
            low, high = self.space[name].low, self.space[name].high
            if not low <= value <= high:
                return f"{name} is {value:g}, and searched from {low:g} to {high:g}"
        return ""


@dataclass(frozen=True)
class TuningReport:
    """What a study found so far.

    Attributes
    ----------
    name : of the study.
    best, present : values, by their keys in a params file; ``present`` as the file has them.
    best_number : of the best trial.
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
    resumed: bool

    def parameters(self) -> pd.DataFrame:
        """Return one row a parameter: its present value and the best trial's."""
        rows = [(name, self.present[name], value) for name, value in self.best.items()]
        return pd.DataFrame(rows, columns=["parameter", "present", "best"])

    def note(self) -> str:
        """Return best and present values as Markdown, for the run's description in MLflow."""
        rows = (
            f"| {name} | {self.present[name]:g} | {value:g} |" for name, value in self.best.items()
        )
        return "\n".join(
            [
                f"Trial {self.best_number} is the best of {self.counts['complete']} that were "
                f"measured on all folds; {self.counts['pruned']} were pruned.",
                "",
                "| parameter | present | best |",
                "| --- | --- | --- |",
                *rows,
            ]
        )


def report_on(study: "Study", search: Search, *, resumed: bool) -> TuningReport:
    """Return what a study found so far.

    Raises
    ------
    RefusedError
        If no trial was measured on all folds.
    """
    complete = studies.trials_of(study, "complete")
    if not complete:
        reasons = {trial.user_attrs.get(studies.REASON, "") for trial in studies.ended(study)}
        told = "; ".join(sorted(filter(None, reasons))) or "none was run"
        raise RefusedError(f"no trial of the study {study.study_name!r} came to an end: {told}")
    metric = search.how.metric
    best = min(complete, key=lambda trial: (trial.value or 0.0, trial.number))
    best_result, present_result, gain = _result(best), None, None
    with_present = (
        trial for trial in complete if is_same(search.present, _values(trial, search.space))
    )
    if present := next(with_present, None):
        present_result = _result(present)
        if best.number != present.number:
            gain = paired_difference(present_result.values(metric), best_result.values(metric))
    states = [studies.state_of(trial) for trial in studies.ended(study)]
    counts = {
        "counted": len(states),
        "complete": states.count("complete"),
        "pruned": states.count("pruned"),
        "fail": states.count("failed"),
        "others": len(studies.trials_of(study, "running")),
    }
    return TuningReport(
        name=study.study_name,
        best=_values(best, search.space),
        present=search.present,
        best_number=best.number,
        best_result=best_result,
        present_result=present_result,
        present_missing="" if present else _why_missing(study, search),
        gain=gain,
        counts=counts,
        trials=_trials_table(study, search),
        resumed=resumed,
    )


def _values(trial: "FrozenTrial", space: Space) -> dict[str, float]:
    return values_of(trial.params, space)


def _result(trial: "FrozenTrial") -> Result:
    return Result(MODEL, tuple(trial.user_attrs[studies.FOLDS]))


def _why_missing(study: "Study", search: Search) -> str:
    if outside := search.outside():
        return outside
    tried = studies.trials_with(study, lambda values: is_same(search.present, values))
    reasons = [trial.user_attrs.get(studies.REASON) for trial in tried]
    failed = next(filter(None, reasons), "")
    return f"their trial failed: {failed}" if failed else "their trial has not ended yet"


def _trials_table(study: "Study", search: Search) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "trial": trial.number,
                "state": trial.state.name.lower(),
                search.how.metric: trial.value if trial.state.name == "COMPLETE" else None,
                "folds": len(trial.user_attrs.get(studies.FOLDS, ())),
                "reason": trial.user_attrs.get(studies.REASON, ""),
                **{name: trial.params.get(name) for name in search.space},
            }
            for trial in studies.ended(study)
        ]
    )


def refuse_unmeasurable(search: Search) -> None:
    """Refuse to write, before the first trial, where the present values cannot be measured.

    Raises
    ------
    RefusedError
        If a present value is outside of the space.
    """
    if outside := search.outside():
        raise RefusedError(
            f"--write compares with the present values, and {outside}; bring it into that range in "
            "the params file, or tune without --write"
        )


def refuse_unmeasured(report: TuningReport) -> None:
    """Refuse to write values of which nobody knows whether they are better than the present ones.

    Raises
    ------
    RefusedError
        If the present values were not measured.
    """
    if report.present_result is None:
        raise RefusedError(
            f"nothing was written: the present values were not measured ({report.present_missing})"
            f", so that trial {report.best_number} may be worse than they are; run the command "
            "again with more --trials, or with more time for each"
        )
