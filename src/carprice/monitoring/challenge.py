"""What a challenge comes to: the challenger is promoted, dropped, or waited for."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final

from carprice.monitoring.sequential import Difference
from carprice.settings import ChallengeSettings

_FEWEST_PROBLEMS: Final = 5
_FEWEST_ANSWERS: Final = 20
_UNNOTICED: Final = 50.0
"""Milliseconds of a price that nobody minds."""


class Step(StrEnum):
    """What is to be done with the newer of two models."""

    WAIT = "wait"
    PROMOTE = "promote"
    DROP = "drop"
    GO_BACK = "roll back"

    @property
    def exit_code(self) -> int:
        """What ``carprice challenge decide`` exits with where it does not act."""
        return {Step.WAIT: 0, Step.PROMOTE: 4}.get(self, 3)


@dataclass(frozen=True)
class Decision:
    """A step, and one sentence with the figures that led to it."""

    step: Step
    why: str


@dataclass(frozen=True)
class Served:
    """How the service fared with a model, by the prediction log.

    Attributes
    ----------
    answers : how many listings it was to price, in the shadow or not.
    problems : of how many there is no price.
    milliseconds, beside : medians of the time of a price, of this model and of the other one; NaN
        where there is none.
    """

    answers: int = 0
    problems: int = 0
    milliseconds: float = math.nan
    beside: float = math.nan

    def objection(self, limits: ChallengeSettings) -> str:
        """Return why the model counts as broken; empty where it does not."""
        share = self.problems / max(self.answers, 1)
        if self.problems >= _FEWEST_PROBLEMS and share > limits.max_problems:
            return (
                f"no price for {self.problems:,} of {self.answers:,} listings; at most "
                f"{100 * limits.max_problems:g} % are put up with"
            )
        # NaN where there is nothing to compare with, and then no time is too long.
        is_slower = self.milliseconds > limits.max_slower * self.beside
        if self.answers >= _FEWEST_ANSWERS and is_slower and self.milliseconds > _UNNOTICED:
            return (
                f"a price takes {self.milliseconds:.1f} ms, production's {self.beside:.1f} ms; at "
                f"most {limits.max_slower:g} times are put up with"
            )
        return ""


def decide(found: Difference, served: Served, limits: ChallengeSettings, passed: float) -> Decision:
    """Decide about a challenger.

    Parameters
    ----------
    found : how its errors differ from the champion's.
    passed : days since the challenge began.

    Examples
    --------
    >>> better = Difference(900, 20, 0.09, 0.1, -0.1, -0.15, -0.05)
    >>> decide(better, Served(), ChallengeSettings(), passed=20).step
    <Step.PROMOTE: 'promote'>
    """
    if broken := served.objection(limits):
        return Decision(Step.DROP, f"it is broken: {broken}")
    told, needed = told_difference(found), -limits.margin
    if is_enough(found, limits):
        if found.high < needed:
            return Decision(Step.PROMOTE, f"{told}: better{_by(limits.margin)} beyond doubt")
        if found.low > needed:
            return Decision(Step.DROP, f"{told}: not better{_by(limits.margin)}, beyond doubt")
    if passed < limits.longest_days:
        undecided = "the interval does not decide yet"
        if not math.isfinite(found.high):
            undecided = "the steps are too few, or the market's level lasts longer than they do"
        missing = _missing(found, limits) or undecided
        return Decision(Step.WAIT, f"{told}: {missing}")
    over = f"nothing else was decided within {limits.longest_days} days"
    if limits.as_good is not None and is_enough(found, limits) and found.high < limits.as_good:
        return Decision(
            Step.PROMOTE,
            f"{told}: {over}, and it is at most {100 * limits.as_good:g} % worse beyond doubt",
        )
    return Decision(Step.DROP, f"{told}: {over}")


def watch(found: Difference, limits: ChallengeSettings) -> Decision:
    """Decide about a champion that a challenge brought to production, beside the one before it.

    To be asked for ``watch_days`` after it came there, and then no more: it stays.
    """
    told = told_difference(found)
    if is_enough(found, limits) and found.low > 0:
        return Decision(Step.GO_BACK, f"{told}: worse than the version before, beyond doubt")
    missing = _missing(found, limits) or "it is not worse beyond doubt"
    return Decision(Step.WAIT, f"{told}: {missing}")


def is_enough(found: Difference, limits: ChallengeSettings) -> bool:
    """Whether there are as many outcomes and days as there have to be."""
    return not _missing(found, limits)


def told_difference(found: Difference) -> str:
    """Return a difference as one says it.

    Examples
    --------
    >>> told_difference(Difference(900, 20, 0.09, 0.1, -0.1, -0.15, -0.05))
    'error −10.0 % (−15.0 to −5.0 %) on 900 cars of 20 days'
    >>> told_difference(Difference(900, 20, 0.11, 0.1, 0.1, 0.02, math.inf))
    'error +10.0 % (from +2.0 %) on 900 cars of 20 days'
    """
    pairs = f"on {found.cars:,} cars of {found.days:,} days"
    if not math.isfinite(found.low):
        return f"error not known {pairs}"
    value, low, high = map(_percent, (found.value, found.low, found.high))
    if not math.isfinite(found.high):
        return f"error {value} % (from {low} %) {pairs}"
    return f"error {value} % ({low} to {high} %) {pairs}"


def to_json(decision: Decision, found: Difference, served: Served) -> dict[str, Any]:
    """Return all three as JSON has it; what is not known is null."""
    both: Mapping[str, Any] = {"difference": asdict(found), "served": asdict(served)}
    plain = {
        name: {key: None if _is_unknown(one) else one for key, one in values.items()}
        for name, values in both.items()
    }
    step = decision.step
    return {"step": step.value, "exitCode": step.exit_code, "why": decision.why, **plain}


def _is_unknown(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _missing(found: Difference, limits: ChallengeSettings) -> str:
    """Return what there is too little of; empty where there is enough."""
    if found.cars < limits.fewest:
        return f"it takes {limits.fewest:,} cars"
    return f"it takes {limits.fewest_days} days" if found.days < limits.fewest_days else ""


def _by(margin: float) -> str:
    return f" by {100 * margin:g} %" if margin else ""


def _percent(value: float) -> str:
    return f"{100 * value:+.1f}".replace("-", "−")
