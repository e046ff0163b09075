"""What the rehearsal tells, and what it calls broken."""

import json
import tarfile
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from rehearsal.agent import EventError, Revision
from rehearsal.codedeploy import Deployment
from rehearsal.report import (
    DeploymentResult,
    Plan,
    differences,
    draw,
    failed,
    files_with,
    markdown,
    p99,
    read_requests,
    write,
)

ROOT = Path(__file__).resolve().parents[2]
REVISION = Revision("d", "cars", "group", "bucket", "key")


def requests(*groups: tuple[int, str, float, str]) -> pd.DataFrame:
    """Return so many requests of a version, with their seconds and problem."""
    rows = [
        (100 + number / 50, seconds, 200, version, problem)
        for count, version, seconds, problem in groups
        for number in range(count)
    ]
    return pd.DataFrame(rows, columns=["due", "seconds", "status", "version", "problem"])


def deployed(
    *failures: tuple[str, EventError], status: str = "Failed", stopped: bool = True
) -> Deployment:
    return Deployment(REVISION, 140.0, 240.0, status, stops=[stopped], failures=[*failures])


def refused(
    script: str = "wait.sh",
    message: str = "failed with exit code 1",
    log: str = "503\n",
    *,
    stopped: bool = True,
) -> Deployment:
    why = EventError("ScriptFailed", f"deploy/scripts/{script}", f"{script} {message}", log)
    return deployed(("ApplicationStart", why), stopped=stopped)


SUCCEEDED = deployed(status="Succeeded")
GOOD = DeploymentResult(
    Plan("v2", "a new model", versions=("1", "2"), is_new=True),
    *(SUCCEEDED, 0, requests((1000, "1", 0.012, ""), (500, "2", 0.012, ""))),
)
REFUSED = DeploymentResult(
    Plan("v3", "never healthy", "wait.sh", ("2",), log="503"),
    *(refused(), 1, requests((5000, "2", 0.015, ""))),
)
FAILED = requests(
    *((1000, "1", 0.012, ""), (497, "2", 0.012, "")),
    *((2, "", 0.012, "status 503"), (1, "", 5.0, "TimeoutError")),
)


@pytest.mark.parametrize(
    ("result", "told"),
    [
        (GOOD, ""),
        (REFUSED, ""),
        (replace(GOOD, deployment=refused(), exit_code=1), "did not succeed"),
        (replace(GOOD, exit_code=1), "rollout.sh ended with 1"),
        (replace(GOOD, requests=FAILED), "3 of 1500 requests failed (2 × status 503, 1 × Timeout"),
        (replace(GOOD, due=2000.0), "the load made 1500 requests, and 2000 were due"),
        (replace(REFUSED, deployment=SUCCEEDED, exit_code=0), "is in production"),
        (replace(REFUSED, deployment=refused("start.sh")), "was stopped by"),
        (replace(REFUSED, deployment=refused(log="nothing")), "does not contain '503'"),
        (replace(REFUSED, deployment=refused(message="failed to complete in 2 s")), "own limit"),
        (replace(REFUSED, deployment=refused(stopped=False)), "ApplicationStop"),
        (
            replace(REFUSED, requests=requests((9, "2", 0.1, ""), (9, "3", 0.1, ""))),
            "versions 2, 3",
        ),
    ],
)
def test_what_is_not_as_it_must_be_is_told(result: DeploymentResult, told: str) -> None:
    problems = differences(result)
    assert len(problems) == bool(told)
    for problem in problems:
        assert told in problem
        assert result.plan.name in problem


def test_the_percentile_is_that_of_an_answer() -> None:
    assert p99(requests((99, "1", 0.01, ""), (1, "", 0.5, "status 503"))) == "10"
    assert p99(requests()) == "–"


def test_notes_tell_which_requests_failed_but_for_a_line_that_is_being_written(
    tmp_path: Path,
) -> None:
    notes = tmp_path / "notes"
    assert read_requests(notes).empty
    assert failed(read_requests(notes)).empty
    lines = [[1.0, 0.01, 200, "1", ""], [1.1, 0.01, 503, "1", ""], [1.2, 0.01, 200, "", "no price"]]
    notes.write_text("".join(f"{json.dumps(line)}\n" for line in lines) + "[2.0, 0.0")
    found = read_requests(notes)
    assert found["due"].tolist() == [1.0, 1.1, 1.2]
    assert failed(found)["problem"].tolist() == ["status 503", "no price"]


@pytest.mark.parametrize("problems", [(), ("v2: 1 request failed",)])
def test_the_report_has_a_row_for_each_deployment_and_what_is_broken(
    tmp_path: Path, problems: tuple[str, ...]
) -> None:
    write(tmp_path, markdown("`deploy/rehearse`", 3.0, [GOOD, REFUSED], FAILED, problems))
    text = (tmp_path / "rehearsal.md").read_text(encoding="utf-8")
    assert "| v2 | a new model | in production | – | 100 | 1,500 | 0 | 12 |" in text
    assert "| v3 | never healthy | refused | ApplicationStart: wait.sh | 100 | 5,000" in text
    assert ("Everything was as it must be" in text) == (not problems)
    assert all(f"\n- {one}\n" in text for one in problems)
    standing = (ROOT / "docs" / "rehearsal.md").read_text(encoding="utf-8").partition("\n## ")
    assert text.endswith(standing[2])


@pytest.mark.parametrize("asked", [GOOD.requests, FAILED, requests()])
def test_the_picture_is_drawn_of_any_load(tmp_path: Path, asked: pd.DataFrame) -> None:
    draw(tmp_path / "rehearsal.png", [GOOD, REFUSED], asked)
    assert (tmp_path / "rehearsal.png").read_bytes().startswith(b"\x89PNG")


def test_a_password_is_found_in_logs_and_in_packed_bundles(tmp_path: Path) -> None:
    password = "<a password of the tests>"
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "clean.log").write_text("nothing")
    (logs / "hooks.log").write_text(f"--password {password}")
    with tarfile.open(tmp_path / "bundle.tgz", "w:gz") as packed:
        packed.add(logs / "hooks.log", "image.env")
    found = files_with([tmp_path], [password, ""])
    assert found == [str(tmp_path / "bundle.tgz"), str(logs / "hooks.log")]
