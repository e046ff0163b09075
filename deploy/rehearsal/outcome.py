"""What became of each deployment, and what should have."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rehearsal.traffic import Traffic

_LEAST_OF_DUE: Final = 0.95


@dataclass(frozen=True)
class Expected:
    """What a deployment should do.

    Attributes
    ----------
    stopped_by : script that stops it; None: it succeeds.
    before : model versions that may answer while it goes on.
    needs_previous : ApplicationStop must have run a script of the revision before.
    log : what the failed script's log must tell, besides.
    """

    stopped_by: str | None
    before: tuple[str, ...]
    needs_previous: bool = False
    log: str = ""


@dataclass(frozen=True)
class Stage:
    """A lifecycle event of a deployment over all instances; times are seconds since 1970."""

    name: str
    started: float
    ended: float
    failed: bool


@dataclass(frozen=True)
class Outcome:
    """What a deployment did.

    Attributes
    ----------
    version, what : its name, and what is new or wrong about it.
    succeeded : whether CodeDeploy says so.
    hook, script, message, log : of the first failure, empty if there was none.
    began, ended : seconds since 1970.
    exit_code : of deploy/rollout.sh.
    ran_previous : whether ApplicationStop ran a script on every instance.
    due : requests that the load had to make while it went on.
    """

    version: str
    what: str
    expected: Expected
    succeeded: bool
    hook: str
    script: str
    message: str
    log: str
    began: float
    ended: float
    exit_code: int
    ran_previous: bool
    stages: tuple[Stage, ...]
    traffic: Traffic
    due: float = 0.0

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended - self.began

    @property
    def stopped_by(self) -> str:
        """Hook and script that stopped it."""
        return f"{self.hook}: {self.script}" if self.hook else "–"


def broken(outcome: Outcome) -> list[str]:
    """Return what is not as it must be, one sentence each."""
    expected, found, name = outcome.expected, outcome.traffic, outcome.version
    problems = []
    if expected.stopped_by is None and not outcome.succeeded:
        problems.append(
            f"{name} did not succeed: {outcome.hook or 'no hook failed'} {outcome.script} "
            f"{outcome.message}".rstrip()
        )
    if expected.stopped_by is not None and outcome.succeeded:
        problems.append(f"{name} is in production, and should have been stopped")
    if expected.stopped_by is not None and not outcome.succeeded:
        if outcome.script.rpartition("/")[2] != expected.stopped_by:
            problems.append(
                f"{name} was stopped by {outcome.script or 'no script'} "
                f"({outcome.message}), not by {expected.stopped_by}"
            )
        elif expected.log not in outcome.log:
            problems.append(f"{name}: the log of {outcome.script} does not tell {expected.log!r}")
        if "failed to" in outcome.message:
            problems.append(f"{name}: the hook's own limit had to end it: {outcome.message}")
    if outcome.succeeded is not (outcome.exit_code == 0):
        problems.append(f"{name}: deploy/rollout.sh ended with {outcome.exit_code}")
    if expected.needs_previous and not outcome.ran_previous:
        problems.append(f"{name}: ApplicationStop did not run the script of the revision before")
    if found.failed:
        reasons = ", ".join(f"{count} × {reason}" for reason, count in found.reasons)
        problems.append(f"{name}: {found.failed} of {found.requests} requests failed ({reasons})")
    if found.requests < _LEAST_OF_DUE * outcome.due:
        problems.append(
            f"{name}: the load made {found.requests} requests, and {outcome.due:.0f} were due"
        )
    if expected.before and found.requests and found.versions != expected.before:
        problems.append(
            f"{name}: answers came from model versions {', '.join(found.versions) or 'none'}, not "
            f"{', '.join(expected.before)}"
        )
    return problems


def all_broken(outcomes: Sequence[Outcome], others: Sequence[str]) -> list[str]:
    """Return every broken expectation of a rehearsal."""
    return [problem for outcome in outcomes for problem in broken(outcome)] + list(others)
