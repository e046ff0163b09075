"""What a tuning study searches, and what it has found so far."""

from dataclasses import dataclass
from functools import reduce
from operator import getitem
from typing import Any, Final

import pandas as pd
from optuna import Study
from optuna.trial import FrozenTrial

from carprice.errors import RefusedError
from carprice.experiments import studies
from carprice.experiments.candidates import ComparedModel
from carprice.experiments.data import Data
from carprice.experiments.fitting import CrossValidation
from carprice.experiments.ranking import Difference, Result, paired_difference
from carprice.experiments.search_space import Space, present_values, rounded

MODEL: Final = ComparedModel("carprice")


@dataclass(frozen=True)
class Search:
    """What a study searches, and how each trial is measured.

    Attributes
    ----------
    how : the cross-validation of a trial, with the fixed parameters and the present values.
    trials : number of the study's trials in all, whichever process runs them.
    timeout : seconds after which this process starts no more trials; None for no limit.
    """

    space: Space
    how: CrossValidation
    trials: int
    timeout: float | None

    def plan(self, data: Data) -> dict[str, Any]:
        """Return what all trials of a study have in common, except the search space."""
        fixed = self.how.train.model_dump()
        for name in self.space:
            *sections, key = name.split(".")[1:]
            del reduce(getitem, sections, fixed)[key]
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
        """The values that the searched parameters have, where they do not follow the data."""
        return present_values(self.how.train, self.space)

    def outside(self) -> str:
        """Tell the first present value that is outside its range; empty if all are inside."""
        for name, value in self.present.items():
            low, high = self.space[name].low, self.space[name].high
            if not low <= value <= high:
                return f"{name} is {value:g}, and searched from {low:g} to {high:g}"
        return ""

    def refuse_values_outside(self) -> None:
        """Raise a RefusedError, before the first trial, if a present value cannot be measured."""
        if outside := self.outside():
            raise RefusedError(
                f"--write compares with the present values, and {outside}; bring it into that "
                "range in the params file, or tune without --write"
            )


class TuningReport:
    """What a study has found so far.

    Attributes
    ----------
    name : of the study.
    best, present : values by key of the params file, of the best trial and as the file has them.
    best_number : of the best trial.
    best_result, present_result : their folds; None where the present values were not measured.
    gain : present error less best error, paired by fold; None also where they are one trial.
    counts : number of trials by state; ``others`` are being run by other processes.
    trials : one row a trial.
    resumed : whether the study had trials before.

    Raises
    ------
    RefusedError
        If no trial was measured on all folds.
    """

    def __init__(self, study: Study, search: Search, *, resumed: bool) -> None:
        complete, ended = studies.trials_of(study, "complete"), studies.ended(study)
        if not complete:
            reasons = {trial.user_attrs.get(studies.REASON, "") for trial in ended}
            told = "; ".join(sorted(filter(None, reasons))) or "none was run"
            raise RefusedError(f"no trial of the study {study.study_name!r} came to an end: {told}")
        self.name, self.resumed, self.present = study.study_name, resumed, search.present
        best = min(complete, key=lambda trial: (trial.value or 0.0, trial.number))
        self.best, self.best_number = rounded(best.params, search.space), best.number
        self.best_result = _result(best)
        self.present_result: Result | None = None
        self.gain: Difference | None = None
        tried = studies.trials_with(study, search.present, search.space)
        if measured := [trial for trial in tried if studies.state_of(trial) == "complete"]:
            self.present_result = _result(measured[0])
            if best.number != measured[0].number:
                pair = (self.present_result, self.best_result)
                self.gain = paired_difference(*(one.values(search.how.metric) for one in pair))
        failed = next((why for one in tried if (why := one.user_attrs.get(studies.REASON))), None)
        missing = f"their trial failed: {failed}" if failed else "their trial has not ended yet"
        self._why_not = search.outside() or missing
        states = [studies.state_of(trial) for trial in ended]
        self.counts = {
            "counted": len(states),
            "complete": states.count("complete"),
            "pruned": states.count("pruned"),
            "fail": states.count("failed"),
            "others": len(studies.trials_of(study, "running")),
        }
        self.trials = pd.DataFrame(
            [
                {
                    "trial": trial.number,
                    "state": trial.state.name.lower(),
                    search.how.metric: trial.value if trial.state.name == "COMPLETE" else None,
                    "folds": len(trial.user_attrs.get(studies.FOLDS, ())),
                    "reason": trial.user_attrs.get(studies.REASON, ""),
                    **{name: trial.params.get(name) for name in search.space},
                }
                for trial in ended
            ]
        )

    def figures(self, metric: str) -> dict[str, float]:
        """Return the errors of the best and the present values, and the numbers of trials."""
        results = {"best": self.best_result, "present": self.present_result}
        errors = {f"{name}_{metric}": one.mean(metric) for name, one in results.items() if one}
        return errors | {f"trials_{name}": float(count) for name, count in self.counts.items()}

    def parameters(self) -> pd.DataFrame:
        """Return one row for each parameter: its present value and the best trial's."""
        rows = [(name, self.present[name], value) for name, value in self.best.items()]
        return pd.DataFrame(rows, columns=["parameter", "present", "best"])

    def note(self) -> str:
        """Return best and present values as Markdown, for the run's description in MLflow."""
        head = (
            f"Trial {self.best_number} is the best of {self.counts['complete']} that were measured "
            f"on all folds; {self.counts['pruned']} were pruned.\n",
            "| parameter | present | best |",
            "| --- | --- | --- |",
        )
        values = self.parameters().itertuples(index=False)
        rows = (f"| {name} | {present:g} | {best:g} |" for name, present, best in values)
        return "\n".join((*head, *rows))

    def refuse_unmeasured(self) -> None:
        """Raise a RefusedError if the present values were not measured: the best may be worse."""
        if self.present_result is None:
            raise RefusedError(
                f"nothing was written: the present values were not measured ({self._why_not}), so "
                f"that trial {self.best_number} may be worse than they are; run the command again "
                "with more --trials, or with more time for each"
            )


def _result(trial: FrozenTrial) -> Result:
    return Result(MODEL, tuple(trial.user_attrs[studies.FOLDS]))
