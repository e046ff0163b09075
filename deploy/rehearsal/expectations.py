"""What a deployment of the rehearsal should do, what it did, and where the two differ."""

import time
from dataclasses import dataclass
from typing import Final

from rehearsal.agent import Diagnostics
from rehearsal.codedeploy import Deployment
from rehearsal.traffic import Traffic

_LEAST_OF_DUE: Final = 0.95


@dataclass(frozen=True)
class Expected:
    """What a deployment should do.

    Attributes
    ----------
    stopped_by : script that stops it; None: it succeeds.
    versions : model versions that may answer while it goes on; none where there is no load yet.
    needs_previous : ApplicationStop must have run a script of the revision before.
    log : text that the log of the failed script must contain.
    """

    stopped_by: str | None
    versions: tuple[str, ...]
    needs_previous: bool = False
    log: str = ""


@dataclass(frozen=True)
class DeploymentResult:
    """What a deployment did.

    Attributes
    ----------
    name, what : of the release, and what is new or wrong about it.
    exit_code : of deploy/rollout.sh.
    due : requests that the load had to make while it went on.
    """

    name: str
    what: str
    expected: Expected
    deployment: Deployment
    exit_code: int
    traffic: Traffic
    due: float = 0.0

    @property
    def succeeded(self) -> bool:
        """Whether CodeDeploy says so."""
        return self.deployment.status == "Succeeded"

    @property
    def began(self) -> float:
        """Its start, in seconds since 1970."""
        return self.deployment.created

    @property
    def ended(self) -> float:
        """Its end, in seconds since 1970; now, where it goes on."""
        return self.deployment.completed or time.time()

    @property
    def hook(self) -> str:
        """The lifecycle event that failed first, or nothing."""
        return self.deployment.failure.name if self.deployment.failure else ""

    @property
    def diagnostics(self) -> Diagnostics:
        """Why that event failed; empty if none did."""
        failure = self.deployment.failure
        return (failure and failure.diagnostics) or Diagnostics("", "", "", "")

    @property
    def script(self) -> str:
        """The name of the script that failed first, without its folder."""
        return self.diagnostics.script.rpartition("/")[2]

    @property
    def stopped_by(self) -> str:
        """Hook and script that stopped it."""
        return f"{self.hook}: {self.script}" if self.hook else "–"

    @property
    def ran_previous(self) -> bool:
        """Whether ApplicationStop ran a script on every instance."""
        events = [event for one in self.deployment.targets.values() for event in one.events]
        return all(event.ran for event in events if event.name == "ApplicationStop")


def differences(result: DeploymentResult) -> list[str]:
    """Return where a deployment did not do what it should, one sentence each."""
    expected, found, name = result.expected, result.traffic, result.name
    problems = _wrong_ends(result)
    if result.succeeded is not (result.exit_code == 0):
        problems.append(f"{name}: deploy/rollout.sh ended with {result.exit_code}")
    if expected.needs_previous and not result.ran_previous:
        problems.append(f"{name}: ApplicationStop did not run the script of the revision before")
    if found.failed:
        reasons = ", ".join(f"{count} × {reason}" for reason, count in found.reasons)
        problems.append(f"{name}: {found.failed} of {found.requests} requests failed ({reasons})")
    if found.requests < _LEAST_OF_DUE * result.due:
        problems.append(
            f"{name}: the load made {found.requests} requests, and {result.due:.0f} were due"
        )
    if expected.versions and found.requests and found.versions != expected.versions:
        problems.append(
            f"{name}: answers came from model versions {', '.join(found.versions) or 'none'}, not "
            f"{', '.join(expected.versions)}"
        )
    return problems


def _wrong_ends(result: DeploymentResult) -> list[str]:
    expected, name, why = result.expected, result.name, result.diagnostics
    if expected.stopped_by is None:
        told = f"{result.hook or 'no hook failed'} {why.script} {why.message}".rstrip()
        return [] if result.succeeded else [f"{name} did not succeed: {told}"]
    if result.succeeded:
        return [f"{name} is in production, and should have been stopped"]
    problems = []
    if result.script != expected.stopped_by:
        problems.append(
            f"{name} was stopped by {why.script or 'no script'} ({why.message}), not by "
            f"{expected.stopped_by}"
        )
    elif expected.log not in why.log_tail:
        problems.append(f"{name}: the log of {why.script} does not contain {expected.log!r}")
    if "failed to" in why.message:
        problems.append(f"{name}: the hook's own limit had to end it: {why.message}")
    return problems
