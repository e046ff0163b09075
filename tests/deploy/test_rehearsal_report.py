"""What the rehearsal tells, and what it calls broken."""

import json
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rehearsal.agent import Diagnostics, Revision
from rehearsal.base_image import base_name
from rehearsal.codedeploy import Deployment, Event, Target
from rehearsal.outcome import Expected, Outcome, Stage, broken
from rehearsal.plan import Plan
from rehearsal.releases import pip_settings, secret_places
from rehearsal.report import Facts, markdown, write
from rehearsal.scenario import stages
from rehearsal.secret_search import places
from rehearsal.shell import RehearsalError
from rehearsal.traffic import Request, Traffic, between, per_second, read, summary

ROOT = Path(__file__).resolve().parents[2]
FACTS = Facts("2025-07-01", "2 cores", 300.0, "deploy/rehearse", 3.0)
GOOD = Outcome(
    *("v2", "a new model", Expected(None, ("1", "2")), True, "", "", "", ""),
    *(100.0, 130.0, 0, False, (Stage("AllowTraffic", 125.0, 128.0, False),)),
    Traffic(1500, 0, 12.0, ("1", "2"), ()),
)
REFUSED = Outcome(
    *("v3", "never healthy", Expected("wait.sh", ("2",), needs_previous=True, log="503"), False),
    *("ApplicationStart", "deploy/scripts/wait.sh", "wait.sh failed with exit code 1", "503\n"),
    *(140.0, 240.0, 1, True, (Stage("ApplicationStart", 150.0, 239.0, True),)),
    Traffic(5000, 0, 15.0, ("2",), ()),
)
FAILED = Traffic(1500, 3, 12.0, ("1", "2"), (("status 503", 2), ("TimeoutError", 1)))


def requests(count: int, version: str = "1", **more: Any) -> list[Request]:
    usual = {"seconds": 0.01, "status": 200, "version": version, "problem": ""}
    return [Request(due=100 + number / 50, **{**usual, **more}) for number in range(count)]


def test_as_it_must_be_nothing_is_broken() -> None:
    assert broken(GOOD) == []
    assert broken(REFUSED) == []


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (replace(GOOD, succeeded=False, exit_code=1), "did not succeed"),
        (replace(GOOD, exit_code=1), "rollout.sh ended with 1"),
        (replace(GOOD, traffic=FAILED), "3 of 1500 requests failed (2 × status 503, 1 × Timeout"),
        (replace(GOOD, due=2000.0), "the load made 1500 requests, and 2000 were due"),
        (replace(REFUSED, succeeded=True, exit_code=0), "is in production"),
        (replace(REFUSED, script="deploy/scripts/start.sh"), "was stopped by"),
        (replace(REFUSED, log="nothing"), "does not tell '503'"),
        (replace(REFUSED, message="wait.sh failed to complete in 120 seconds"), "own limit"),
        (replace(REFUSED, ran_previous=False), "ApplicationStop"),
        (replace(REFUSED, traffic=replace(REFUSED.traffic, versions=("2", "3"))), "versions 2, 3"),
    ],
)
def test_what_is_not_as_it_must_be_is_told(outcome: Outcome, told: str) -> None:
    (problem,) = broken(outcome)
    assert told in problem
    assert outcome.version in problem


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


def test_the_events_of_all_instances_are_one_stage() -> None:
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
    assert stages(deployment) == (Stage("Install", 10.0, 15.0, True),)
    assert [name for name, _ in deployment.failures] == ["i-2"]


def test_the_report_has_a_row_for_each_deployment_and_what_stopped_it() -> None:
    text = markdown([GOOD, REFUSED], requests(100), [], FACTS)
    assert "| v2 | a new model | in production | – | 30 | 1,500 | 0 | 12 |" in text
    assert "| v3 | never healthy | refused | ApplicationStart: wait.sh | 100 | 5,000" in text
    assert "Everything was as it must be" in text
    assert "$" not in text


def test_the_report_lists_what_is_broken(tmp_path: Path) -> None:
    write(tmp_path, [GOOD], [], ["v2: 1 request failed"], FACTS)
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
    plan = Plan(tmp_path, tmp_path, tmp_path)
    addresses = (plan.aws_url, plan.mlflow_url, plan.service_url, f"http://{plan.image_registry}")
    assert len(set(addresses)) == len(addresses)
