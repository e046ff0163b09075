"""What the rehearsal tells, and what it calls broken."""

import datetime
import json
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rehearsal.agent import Diagnostics, Revision
from rehearsal.base_image import base_name
from rehearsal.codedeploy import Deployment, Event, EventSpan, Target
from rehearsal.expectations import DeploymentResult, Expected, differences
from rehearsal.options import Options
from rehearsal.processes import RehearsalError
from rehearsal.releases import pip_settings, secret_places
from rehearsal.report import Report
from rehearsal.secret_search import places
from rehearsal.traffic import Request, Traffic, between, per_second, read, summary

ROOT = Path(__file__).resolve().parents[2]


def deployed(created: float, completed: float, event: Event) -> Deployment:
    """Return a deployment to one instance, which ends with an event."""
    stop = Event("ApplicationStop", "Succeeded", created, created, ran=event.status == "Failed")
    status = {"Failed": "Failed"}.get(event.status, "Succeeded")
    revision = Revision("d", "cars", "group", "id", "bucket", "key")
    targets = {"i-1": Target("i-1", "Green", events=[stop, event])}
    return Deployment(revision, created, status, completed, targets=targets)


def refused(
    script: str = "wait.sh", message: str = "failed with exit code 1", log: str = "503\n"
) -> Deployment:
    why = Diagnostics("ScriptFailed", f"deploy/scripts/{script}", f"{script} {message}", log)
    return deployed(140.0, 240.0, Event("ApplicationStart", "Failed", 150.0, 239.0, why))


GOOD = DeploymentResult(
    *("v2", "a new model", Expected(None, ("1", "2"))),
    deployed(100.0, 130.0, Event("AllowTraffic", "Succeeded", 125.0, 128.0)),
    *(0, Traffic(1500, 0, 12.0, ("1", "2"), ())),
)
REFUSED = DeploymentResult(
    *("v3", "never healthy", Expected("wait.sh", ("2",), needs_previous=True, log="503")),
    *(refused(), 1, Traffic(5000, 0, 15.0, ("2",), ())),
)
SUCCEEDED = deployed(140.0, 240.0, Event("AllowTraffic", "Succeeded", 150.0, 239.0))
SUCCEEDED.targets["i-1"].events[0].ran = True
WITHOUT_STOP = refused()
WITHOUT_STOP.targets["i-1"].events[0].ran = False
FAILED = Traffic(1500, 3, 12.0, ("1", "2"), (("status 503", 2), ("TimeoutError", 1)))


def report(results: list[DeploymentResult], asked: list[Request], problems: list[str]) -> Report:
    day = datetime.date(2025, 7, 1)
    return Report(results, asked, problems, day, "2 cores", 300.0, "deploy/rehearse", 3.0)


def requests(count: int, version: str = "1", **more: Any) -> list[Request]:
    usual = {"seconds": 0.01, "status": 200, "version": version, "problem": ""}
    return [Request(due=100 + number / 50, **{**usual, **more}) for number in range(count)]


def test_as_it_must_be_nothing_is_broken() -> None:
    assert differences(GOOD) == []
    assert differences(REFUSED) == []


@pytest.mark.parametrize(
    ("result", "told"),
    [
        (replace(GOOD, deployment=refused(), exit_code=1), "did not succeed"),
        (replace(GOOD, exit_code=1), "rollout.sh ended with 1"),
        (replace(GOOD, traffic=FAILED), "3 of 1500 requests failed (2 × status 503, 1 × Timeout"),
        (replace(GOOD, due=2000.0), "the load made 1500 requests, and 2000 were due"),
        (replace(REFUSED, deployment=SUCCEEDED, exit_code=0), "is in production"),
        (replace(REFUSED, deployment=refused("start.sh")), "was stopped by"),
        (replace(REFUSED, deployment=refused(log="nothing")), "does not contain '503'"),
        (
            replace(REFUSED, deployment=refused(message="failed to complete in 2 seconds")),
            "own limit",
        ),
        (replace(REFUSED, deployment=WITHOUT_STOP), "ApplicationStop"),
        (replace(REFUSED, traffic=replace(REFUSED.traffic, versions=("2", "3"))), "versions 2, 3"),
    ],
)
def test_what_is_not_as_it_must_be_is_told(result: DeploymentResult, told: str) -> None:
    (problem,) = differences(result)
    assert told in problem
    assert result.name in problem


def test_the_figures_of_the_traffic() -> None:
    found = summary([*requests(99), *requests(1, status=503, version="", seconds=0.5)])
    assert (found.requests, found.failed, found.p99) == (100, 1, 10.0)
    assert found.versions == ("1",)
    assert summary([]) == Traffic(0, 0, None, (), ())


def test_an_answer_without_a_price_has_failed() -> None:
    assert summary(requests(1, problem="no price")).failed == 1


def test_requests_are_counted_by_second_and_version() -> None:
    asked = [*requests(100), *requests(2, status=0, problem="TimeoutError")]
    assert per_second(asked) == {"1": {100: 50, 101: 50}, "": {100: 2}}
    assert len(between(asked, 100.0, 101.0)) == 52


def test_a_line_that_is_being_written_is_left_out(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    assert read(notes) == []
    notes.write_text(json.dumps([1.0, 0.01, 200, "1", ""]) + "\n[2.0, 0.0")
    assert read(notes) == [Request(1.0, 0.01, 200, "1", "")]


def test_the_events_of_all_instances_are_one_span() -> None:
    reason = Diagnostics("ScriptFailed", "a.sh", "", "")
    targets = {
        "i-1": Target("i-1", "Green", events=[Event("Install", "Succeeded", 10.0, 12.0)]),
        "i-2": Target(
            *("i-2", "Green", "Failed"), [Event("Install", "Failed", 11.0, 15.0, reason)]
        ),
        "i-3": Target("i-3", "Green", events=[Event("Install")]),
    }
    revision = Revision("d", "cars", "group", "id", "bucket", "key")
    deployment = Deployment(revision, 10.0, targets=targets)
    assert deployment.spans == [EventSpan("Install", 10.0, 15.0, True)]
    assert deployment.failure is targets["i-2"].events[0]


def test_the_report_has_a_row_for_each_deployment_and_what_stopped_it() -> None:
    text = report([GOOD, REFUSED], requests(100), []).markdown()
    assert "| v2 | a new model | in production | – | 30 | 1,500 | 0 | 12 |" in text
    assert "| v3 | never healthy | refused | ApplicationStart: wait.sh | 100 | 5,000" in text
    assert "Everything was as it must be" in text
    assert "$" not in text


def test_the_report_lists_what_is_broken(tmp_path: Path) -> None:
    report([GOOD], [], ["v2: 1 request failed"]).write(tmp_path)
    assert "- v2: 1 request failed" in (tmp_path / "rehearsal.md").read_text(encoding="utf-8")
    assert (tmp_path / "rehearsal.png").read_bytes().startswith(b"\x89PNG")


def test_a_password_is_found_in_logs_and_in_packed_bundles(tmp_path: Path) -> None:
    password = "<a password of the tests>"
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "clean.log").write_text("nothing")
    (logs / "hooks.log").write_text(f"--password {password}")
    with tarfile.open(tmp_path / "bundle.tgz", "w:gz") as packed:
        packed.add(logs / "hooks.log", "image.env")
    found = places([tmp_path], [password, ""])
    assert found == [f"{tmp_path / 'bundle.tgz'}: image.env", str(logs / "hooks.log")]


def test_the_dockerfile_names_a_base_that_can_be_made() -> None:
    name, suite = base_name((ROOT / "Dockerfile").read_text(encoding="utf-8"))
    assert name.endswith(f"-{suite}")
    with pytest.raises(RehearsalError, match="ARG BASE"):
        base_name("FROM scratch\n")


def test_the_service_asks_the_parameter_store_for_its_login() -> None:
    stores = secret_places((ROOT / "deploy" / "service.env").read_text(encoding="utf-8"))
    assert {"MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"} <= set(stores)


def test_only_what_reaches_the_index_is_told_to_pip() -> None:
    listed = "global.cert='/c'\ninstall.user='1'\n:env:.index-url='https://x'\n"
    assert pip_settings(listed) == "[global]\ncert = /c\nindex-url = https://x\n"


def test_no_two_servers_share_an_address(tmp_path: Path) -> None:
    options = Options(tmp_path, tmp_path, tmp_path)
    urls = (options.aws_url, options.mlflow_url)
    addresses = (*urls, f"http://{options.load_balancer}", f"http://{options.image_registry}")
    assert len(set(addresses)) == len(addresses)
