"""The stand-in for CodeDeploy moves traffic only when every hook has succeeded."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from rehearsal.agent import Diagnostics, EventError
from rehearsal.codedeploy import CodeDeploy
from rehearsal.processes import RehearsalError

REQUEST = {
    "applicationName": "cars",
    "deploymentGroupName": "blue-green",
    "revision": {"s3Location": {"bucket": "bundles", "key": "a.tgz", "bundleType": "tgz"}},
}


@dataclass
class Instance:
    name: str
    fails_at: str = ""

    def run(self, event: str, _revision: Any) -> bool:
        if event == self.fails_at:
            raise EventError(Diagnostics("ScriptFailed", "a.sh", "a.sh failed", "because"))
        return event == "ValidateService"


@dataclass
class Balancer:
    calls: list[str] = field(default_factory=list)
    finds_unhealthy: bool = False

    def register(self, instances: Sequence[Instance]) -> None:
        self.calls += [f"+{one.name}" for one in instances]
        if self.finds_unhealthy:
            raise RehearsalError("unhealthy")

    def deregister(self, instances: Sequence[Instance]) -> None:
        self.calls += [f"-{one.name}" for one in instances]


@dataclass
class Stage:
    balancer: Balancer = field(default_factory=Balancer)
    discarded: list[str] = field(default_factory=list)

    def deploy(self, blue: Sequence[Instance], green: Sequence[Instance], **more: Any) -> Any:
        service: Any = CodeDeploy(
            self.balancer,  # type: ignore[arg-type]
            lambda instance: instance,
            lambda instance: self.discarded.append(instance.name),
        )
        service.blue, service.green = blue, green
        for name, value in more.items():
            setattr(service, name, value)
        service.start("d-1", REQUEST)
        service.wait(10)
        return service

    def status(self, service: Any) -> str:
        found: str = service.answer("GetDeployment", {"deploymentId": "d-1"})["deploymentInfo"][
            "status"
        ]
        return found


def test_green_gets_the_traffic_before_blue_loses_it() -> None:
    stage = Stage()
    service = stage.deploy([Instance("b1")], [Instance("g1"), Instance("g2")])
    assert stage.status(service) == "Succeeded"
    assert stage.balancer.calls == ["+g1", "+g2", "-b1"]
    assert [one.name for one in service.blue] == ["g1", "g2"]
    assert stage.discarded == []


def test_one_failed_hook_leaves_blue_alone_and_throws_green_away() -> None:
    stage = Stage()
    green = [Instance("g1"), Instance("g2", fails_at="ApplicationStart")]
    service = stage.deploy([Instance("b1")], green)
    assert stage.status(service) == "Failed"
    assert stage.balancer.calls == []
    assert sorted(stage.discarded) == ["g1", "g2"]
    assert [one.name for one in service.blue] == ["b1"]


def test_instances_that_served_before_are_kept_after_a_failure() -> None:
    stage = Stage()
    green = [Instance("g1", fails_at="ValidateService")]
    service = stage.deploy([Instance("b1")], green, green_is_new=False)
    assert stage.status(service) == "Failed"
    assert stage.discarded == []


def test_what_the_balancer_finds_unhealthy_gets_no_traffic() -> None:
    stage = Stage(Balancer(finds_unhealthy=True))
    service = stage.deploy([Instance("b1")], [Instance("g1")])
    assert stage.status(service) == "Failed"
    assert stage.balancer.calls == ["+g1", "-g1"]
    assert stage.discarded == ["g1"]


def test_the_answers_name_hook_script_and_log() -> None:
    stage = Stage()
    service = stage.deploy([], [Instance("g1", fails_at="BeforeInstall")])
    asked = {"deploymentId": "d-1"}
    info = service.answer("GetDeployment", asked)["deploymentInfo"]
    assert info["errorInformation"]["code"] == "HEALTH_CONSTRAINTS"
    assert info["deploymentOverview"]["Failed"] == 1
    assert service.answer("ListDeploymentTargets", asked) == {"targetIds": ["g1"]}
    one = service.answer("GetDeploymentTarget", {**asked, "targetId": "g1"})["deploymentTarget"]
    (many,) = service.answer("BatchGetDeploymentTargets", {**asked, "targetIds": ["g1"]})[
        "deploymentTargets"
    ]
    for target in (one, many):
        events = target["instanceTarget"]["lifecycleEvents"]
        (failed,) = [event for event in events if event["status"] == "Failed"]
        assert failed["lifecycleEventName"] == "BeforeInstall"
        assert failed["diagnostics"]["scriptName"] == "a.sh"
        assert failed["diagnostics"]["logTail"] == "because"


@pytest.mark.parametrize("action", ["GetDeployment", "GetDeploymentGroup", "ListDeployments"])
def test_other_questions_are_motos(action: str) -> None:
    service = Stage().deploy([], [Instance("g1")])
    assert service.answer(action, {"deploymentId": "d-2"}) is None
    assert service.answer("GetDeploymentGroup", {"deploymentId": "d-1"}) is None
