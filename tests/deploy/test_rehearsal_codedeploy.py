"""The stand-in for CodeDeploy moves traffic only when every hook has succeeded."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from rehearsal.agent import EventError, Revision
from rehearsal.codedeploy import CodeDeploy
from rehearsal.processes import RehearsalError

REVISION = Revision("d-1", "cars", "blue-green", "bundles", "a.tgz")


@dataclass
class Instance:
    name: str
    fails_at: str = ""

    def run(self, event: str, _revision: Any) -> bool:
        if event == self.fails_at:
            raise EventError("ScriptFailed", "a.sh", "a.sh failed", "because")
        return event == "ValidateService"


@dataclass
class Stage:
    """A deployment beside a balancer that notes its calls."""

    finds_unhealthy: bool = False
    calls: list[str] = field(default_factory=list)
    discarded: list[str] = field(default_factory=list)

    def register(self, instances: Sequence[Instance]) -> None:
        self.calls += [f"+{one.name}" for one in instances]
        if self.finds_unhealthy:
            raise RehearsalError("unhealthy")

    def deregister(self, instances: Sequence[Instance]) -> None:
        self.calls += [f"-{one.name}" for one in instances]

    def deploy(self, *green: Instance, is_new: bool = True) -> Any:
        service: Any = CodeDeploy(
            self,  # type: ignore[arg-type]
            lambda instance: instance,
            lambda instance: self.discarded.append(instance.name),
        )
        service.blue, service.green, service.green_is_new = [Instance("b1")], green, is_new
        service.start(REVISION)
        service.wait()
        return service


def test_green_gets_the_traffic_before_blue_loses_it() -> None:
    stage = Stage()
    service = stage.deploy(Instance("g1"), Instance("g2"))
    assert service.answer("get_deployment")["deploymentInfo"]["status"] == "Succeeded"
    assert stage.calls == ["+g1", "+g2", "-b1"]
    assert [one.name for one in service.blue] == ["g1", "g2"]
    assert stage.discarded == []


@pytest.mark.parametrize(
    ("finds_unhealthy", "fails_at", "is_new", "calls", "discarded"),
    [
        (False, "ApplicationStart", True, [], ["g1", "g2"]),
        (False, "ValidateService", False, [], []),
        (True, "", True, ["+g1", "+g2", "-g1", "-g2"], ["g1", "g2"]),
    ],
    ids=["new instances go", "old instances stay", "the balancer finds them unhealthy"],
)
def test_a_failure_leaves_blue_alone_and_throws_new_instances_away(
    finds_unhealthy: bool, fails_at: str, is_new: bool, calls: list[str], discarded: list[str]
) -> None:
    stage = Stage(finds_unhealthy)
    service = stage.deploy(Instance("g1"), Instance("g2", fails_at), is_new=is_new)
    assert service.answer("get_deployment")["deploymentInfo"]["status"] == "Failed"
    assert stage.calls == calls
    assert stage.discarded == discarded
    assert [one.name for one in service.blue] == ["b1"]


def test_the_answers_name_hook_script_and_log() -> None:
    service = Stage().deploy(Instance("g1", fails_at="BeforeInstall"))
    info = service.answer("get_deployment")["deploymentInfo"]
    assert info["errorInformation"]["code"] == "HEALTH_CONSTRAINTS"
    assert service.answer("list_deployment_targets") == {"targetIds": ["g1"]}
    shown = service.answer("get_deployment_target", "g1")
    events = shown["deploymentTarget"]["instanceTarget"]["lifecycleEvents"]
    (failed,) = [event for event in events if event["status"] == "Failed"]
    assert failed["lifecycleEventName"] == "BeforeInstall"
    assert failed["diagnostics"]["scriptName"] == "a.sh"
    assert failed["diagnostics"]["logTail"] == "because"
