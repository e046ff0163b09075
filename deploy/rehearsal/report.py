"""What a rehearsal's deployments should do and did; docs/rehearsal.md and the picture in it."""

import gzip
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from rehearsal.agent import EventError
from rehearsal.codedeploy import Deployment
from rehearsal.processes import PROJECT

_LEAST_OF_DUE: Final = 0.95
_COLUMNS: Final = ("due", "seconds", "status", "version", "problem")
_HEAD: Final = "|  | what | result | stopped by | s | requests | failed | p99, ms |"
_RED, _GREEN = "#d62728", "#59a14f"
_STANDING: Final = "## What is real and what is not"
"""In docs/rehearsal.md, what follows is written by hand."""


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
        """Why a lifecycle event failed first; empty if none did."""
        return next((error for _, error in self.deployment.failures), EventError("", "", "", ""))

    @property
    def script(self) -> str:
        """The name of the script that failed first, without its folder."""
        return self.error.script.rpartition("/")[2]

    @property
    def stopped_by(self) -> str:
        """Hook and script that stopped it."""
        return next((f"{hook}: {self.script}" for hook, _ in self.deployment.failures), "–")

    @property
    def row(self) -> str:
        """Its line in the table."""
        asked = self.requests
        counts = f"{len(asked):,} | {len(failed(asked))}" if len(asked) else "– | –"
        outcome = "in production" if self.deployment.succeeded else "refused"
        return (
            f"| {self.plan.name} | {self.plan.what} | {outcome} | {self.stopped_by} | "
            f"{self.deployment.seconds:.0f} | {counts} | {p99(asked)} |"
        )


def differences(result: DeploymentResult) -> list[str]:
    """Return how a deployment differs from its plan, one sentence each."""
    plan, requests, succeeded = result.plan, result.requests, result.deployment.succeeded
    problems = _wrong_outcome(result)
    if succeeded is not (result.exit_code == 0):
        problems.append(f"deploy/rollout.sh ended with {result.exit_code}")
    if not plan.is_new and not all(result.deployment.stops):
        problems.append("ApplicationStop did not run the script of the revision before")
    reasons = failed(requests)["problem"].value_counts()
    if len(reasons):
        told = ", ".join(f"{count} × {reason}" for reason, count in reasons.items())
        problems.append(f"{reasons.sum()} of {len(requests)} requests failed ({told})")
    if len(requests) < _LEAST_OF_DUE * result.due:
        problems.append(f"the load made {len(requests)} requests, and {result.due:.0f} were due")
    versions = tuple(sorted(set(requests["version"]) - {""}))
    if plan.versions and len(requests) and versions != plan.versions:
        told = f"{', '.join(versions) or 'none'}, not {', '.join(plan.versions)}"
        problems.append(f"answers came from model versions {told}")
    return [f"{plan.name}: {problem}" for problem in problems]


def _wrong_outcome(result: DeploymentResult) -> list[str]:
    plan, error, succeeded = result.plan, result.error, result.deployment.succeeded
    if plan.stopped_by is None:
        told = f"{result.stopped_by} {error.message}".rstrip()
        return [] if succeeded else [f"it did not succeed: {told}"]
    if succeeded:
        return ["it is in production, and should have been stopped"]
    if "failed to" in error.message:
        return [f"the hook's own limit had to end it: {error.message}"]
    if result.script != plan.stopped_by:
        stopped_by = f"{error.script or 'no script'} ({error.message})"
        return [f"it was stopped by {stopped_by}, not by {plan.stopped_by}"]
    if plan.log not in error.log_tail:
        return [f"the log of {error.script} does not contain {plan.log!r}"]
    return []


def table(results: Sequence[DeploymentResult]) -> str:
    """Return a table in Markdown, one deployment a row."""
    ruler = "| --- | --- | --- | --- | ---: | ---: | ---: | ---: |"
    return "\n".join([_HEAD, ruler, *(result.row for result in results)])


def markdown(
    made: str,
    settle_seconds: float,
    results: Sequence[DeploymentResult],
    asked: pd.DataFrame,
    problems: Sequence[str],
) -> str:
    """Return what a rehearsal did.

    Parameters
    ----------
    made : which command it was, when and where.
    settle_seconds : see :class:`rehearsal.processes.Options`.
    asked : all of the load, as :func:`read_requests` returns it.
    problems : what was not as it must be, one sentence each.
    """
    settle, verdict = f"{settle_seconds:.0f} s", "Everything was as it must be."
    if problems:
        verdict = "\n".join(["Not as it must be:\n", *(f"- {one}" for one in problems)])
    return f"""\
# Rehearsal

Written by {made}.
{verdict}

{table(results)}

{len(asked):,} requests in all, {len(failed(asked))} failed, p99 {p99(asked)} ms.
A row counts the requests that were due from {settle} before its deployment to {settle} after it.
There was no load during v1, because nothing served before it.

![Answers by model version while v1 to v5 are deployed](rehearsal.png)

*Who answered, each second; a green deployment came into production, a red one was refused.*
"""


def write(folder: Path, text: str) -> None:
    """Write rehearsal.md, whose last part is that of docs/rehearsal.md."""
    page = (PROJECT / "docs" / "rehearsal.md").read_text(encoding="utf-8")
    _, head, standing = page.partition(_STANDING)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "rehearsal.md"
    path.write_text(f"{text}\n{head}{standing}", encoding="utf-8", newline="\n")


def draw(path: Path, results: Sequence[DeploymentResult], requests: pd.DataFrame) -> None:
    """Write the picture: answers a second by model version, and when each deployment went on."""
    origin = min([*requests["due"], *(one.deployment.created for one in results)])
    requests = requests.assign(second=(requests["due"] - origin) // 1)
    figure = Figure(figsize=(11, 4), layout="constrained")
    axes: Any = figure.subplots()
    good = requests[requests["problem"] == ""]
    if not good.empty:
        counts = good.groupby(["second", "version"]).size().unstack(fill_value=0)
        whole = range(int(counts.index.min()) + 1, int(counts.index.max()))  # the ends are cut
        counts = counts.reindex(whole, fill_value=0)
        labels = [f"model version {version}" for version in counts]
        axes.stackplot(counts.index, counts.T, labels=labels, step="mid")
    failures = failed(requests).groupby("second").size()
    label = f"failed: {failures.sum()}"
    axes.scatter(failures.index, failures, color=_RED, zorder=3, label=label)
    for result in results:
        begin = result.deployment.created - origin
        end = begin + result.deployment.seconds
        color = _GREEN if result.deployment.succeeded else _RED
        axes.axvspan(begin, end, color=color, alpha=0.5, linewidth=0, zorder=0)
        place = {"ha": "center", "va": "bottom", "transform": axes.get_xaxis_transform()}
        axes.text((begin + end) / 2, 1.01, result.plan.name, **place)
    axes.set_xlabel("seconds")
    axes.set_ylabel("requests a second")
    axes.set_ylim(0, 1.15 * axes.get_ylim()[1])  # the deployments are seen above the answers
    axes.legend(loc="lower right", ncols=4, framealpha=0.9)
    figure.suptitle("Answers by model version while v1 to v5 are deployed", x=0.01, ha="left")
    figure.savefig(path, dpi=120, metadata={"Software": None})


def files_with(folders: Iterable[Path], secrets: Sequence[str]) -> list[str]:
    """Return the files under some folders that contain a secret; bundles are unpacked.

    The secret itself is not returned.
    """
    found = []
    for path in sorted(path for folder in folders for path in folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        content = gzip.decompress(content) if path.suffix == ".tgz" else content
        if any(secret.encode() in content for secret in secrets if secret):
            found.append(str(path))
    return found
