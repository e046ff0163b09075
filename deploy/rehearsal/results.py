"""What a deployment of the rehearsal should do, what it did, and where the two differ."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from rehearsal.agent import EventError
from rehearsal.codedeploy import Deployment

_LEAST_OF_DUE: Final = 0.95
_COLUMNS: Final = ("due", "seconds", "status", "version", "problem")


def read_requests(notes: Path) -> pd.DataFrame:
    """Read the load's notes, except a last line that is still being written.

    A request is a row: when it was due (seconds since 1970), seconds until its answer, status,
    model version, and the problem with the answer; empty if there was none.
    """
    text = notes.read_text(encoding="utf-8") if notes.is_file() else ""
    lines = text[: text.rfind("\n") + 1].splitlines()
    found = pd.DataFrame([json.loads(line) for line in lines], columns=list(_COLUMNS))
    wrong = (found["status"] != 200) & (found["problem"] == "")
    found.loc[wrong, "problem"] = "status " + found["status"].astype(str)
    return found


def failed(requests: pd.DataFrame) -> pd.DataFrame:
    """Return the requests that got anything but 200 with a price."""
    return requests[requests["problem"] != ""]


def p99(requests: pd.DataFrame) -> str:
    """Return the 99th percentile of the seconds until an answer, as milliseconds."""
    if requests.empty:
        return "–"
    return f"{1000 * np.quantile(requests['seconds'], 0.99, method='inverted_cdf'):.0f}"


@dataclass(frozen=True)
class Plan:
    """A deployment, and what it should do.

    Attributes
    ----------
    name, what : name of the release, and what is new or wrong about it.
    stopped_by : script that stops it; None: it succeeds.
    versions : model versions that must answer while it goes on; none if there is no load yet.
    is_new : whether it goes onto new instances. On others, ApplicationStop runs a script of the
        revision before.
    log : text that the log of the failed script must contain.
    """

    name: str
    what: str
    stopped_by: str | None = None
    versions: tuple[str, ...] = ()
    is_new: bool = False
    log: str = ""


@dataclass(frozen=True)
class DeploymentResult:
    """What a deployment did.

    Attributes
    ----------
    exit_code : of deploy/rollout.sh.
    requests : those of the load while it went on, as :func:`read_requests` returns them.
    due : number of requests that the load had to make.
    """

    plan: Plan
    deployment: Deployment
    exit_code: int
    requests: pd.DataFrame
    due: float = 0.0

    @property
    def error(self) -> EventError:
        """Why a lifecycle event failed; empty if none did."""
        failure = self.deployment.failure
        return (failure and failure.error) or EventError("", "", "", "")

    @property
    def script(self) -> str:
        """The name of the script that failed first, without its folder."""
        return self.error.script.rpartition("/")[2]

    @property
    def stopped_by(self) -> str:
        """Hook and script that stopped it."""
        failure = self.deployment.failure
        return f"{failure.name}: {self.script}" if failure else "–"


def differences(result: DeploymentResult) -> list[str]:
    """Return how a deployment differs from its plan, one sentence each."""
    plan, name, requests = result.plan, result.plan.name, result.requests
    problems = _wrong_outcome(result)
    if result.deployment.succeeded is not (result.exit_code == 0):
        problems.append(f"{name}: deploy/rollout.sh ended with {result.exit_code}")
    stops = [one for one in result.deployment.events if one.name == "ApplicationStop"]
    if not plan.is_new and not all(event.ran for event in stops):
        problems.append(f"{name}: ApplicationStop did not run the script of the revision before")
    reasons = failed(requests)["problem"].value_counts()
    if len(reasons):
        told = ", ".join(f"{count} × {reason}" for reason, count in reasons.items())
        problems.append(f"{name}: {reasons.sum()} of {len(requests)} requests failed ({told})")
    if len(requests) < _LEAST_OF_DUE * result.due:
        problems.append(
            f"{name}: the load made {len(requests)} requests, and {result.due:.0f} were due"
        )
    versions = tuple(sorted(set(requests["version"]) - {""}))
    if plan.versions and len(requests) and versions != plan.versions:
        problems.append(
            f"{name}: answers came from model versions {', '.join(versions) or 'none'}, not "
            f"{', '.join(plan.versions)}"
        )
    return problems


def _wrong_outcome(result: DeploymentResult) -> list[str]:
    plan, name, error = result.plan, result.plan.name, result.error
    succeeded = result.deployment.succeeded
    if plan.stopped_by is None:
        told = f"{result.stopped_by} {error.message}".rstrip()
        return [] if succeeded else [f"{name} did not succeed: {told}"]
    if succeeded:
        return [f"{name} is in production, and should have been stopped"]
    problems = []
    if result.script != plan.stopped_by:
        problems.append(
            f"{name} was stopped by {error.script or 'no script'} ({error.message}), not by "
            f"{plan.stopped_by}"
        )
    elif plan.log not in error.log_tail:
        problems.append(f"{name}: the log of {error.script} does not contain {plan.log!r}")
    if "failed to" in error.message:
        problems.append(f"{name}: the hook's own limit had to end it: {error.message}")
    return problems
