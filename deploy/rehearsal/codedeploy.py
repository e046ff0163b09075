"""CodeDeploy's part of a blue/green deployment, and its answers about it.

Modelled
    - every lifecycle event on all green instances at once (CodeDeployDefault.AllAtOnce); the first
      instance that fails fails the deployment, and the others end what they are at;
    - only when all green instances passed all hooks are they registered; only when the balancer
      finds them healthy are the blue ones taken out of it, and they finish what they have;
    - KEEP_ALIVE: blue instances run on without requests. DISCOVER_EXISTING: the green ones are
      those that are there, new ones or such that served before;
    - after a failure blue serves on untouched. New green instances are thrown away, others stay;
    - GetDeployment, ListDeploymentTargets, GetDeploymentTarget, BatchGetDeploymentTargets,
      StopDeployment.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from rehearsal.agent import EVENTS, Agent, Diagnostics, EventError, Revision
from rehearsal.balancer import Balancer
from rehearsal.shell import RehearsalError, say

GROUP_ID: Final = "8f3f0f2a-5a4c-4d0b-9f57-rehearsal000"
_TOO_MANY: Final = (
    "The overall deployment failed because too many individual instances failed deployment, too "
    "few healthy instances are available for deployment, or some instances in your deployment "
    "group are experiencing problems."
)


@dataclass
class Event:
    """A lifecycle event of an instance; ``ran``: it had something to do."""

    name: str
    status: str = "Pending"
    started: float | None = None
    ended: float | None = None
    diagnostics: Diagnostics | None = None
    ran: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return it as the API shows it."""
        told: dict[str, Any] = {"lifecycleEventName": self.name, "status": self.status}
        if self.started is not None:
            told["startTime"] = self.started
        if self.ended is not None:
            told["endTime"] = self.ended
        if self.diagnostics is not None:
            told["diagnostics"] = self.diagnostics.to_json()
        return told


@dataclass
class Target:
    """A deployment's instance, and what became of each event."""

    name: str
    label: str
    status: str = "Pending"
    events: list[Event] = field(default_factory=list)

    def to_json(self, deployment: str) -> dict[str, Any]:
        """Return it as the API shows it."""
        return {
            "deploymentTargetType": "InstanceTarget",
            "instanceTarget": {
                "deploymentId": deployment,
                "targetId": self.name,
                "targetArn": f"arn:aws:ec2:rehearsal:instance/{self.name}",
                "status": self.status,
                "lastUpdatedAt": time.time(),
                "lifecycleEvents": [event.to_json() for event in self.events],
                "instanceLabel": self.label,
            },
        }


@dataclass
class Deployment:
    """A deployment and its state."""

    revision: Revision
    created: float
    status: str = "Created"
    completed: float | None = None
    error: tuple[str, str] | None = None
    targets: dict[str, Target] = field(default_factory=dict)

    @property
    def failures(self) -> list[tuple[str, Event]]:
        """Instances and their failed events, the earliest first."""
        found = [
            (target.name, event)
            for target in self.targets.values()
            for event in target.events
            if event.status == "Failed"
        ]
        return sorted(found, key=lambda one: one[1].ended or 0.0)

    def to_json(self) -> dict[str, Any]:
        """Return it as the API shows it."""
        count = [target.status for target in self.targets.values()]
        told: dict[str, Any] = {
            "applicationName": self.revision.application,
            "deploymentGroupName": self.revision.group,
            "deploymentId": self.revision.deployment,
            "status": self.status,
            "createTime": self.created,
            "revision": {
                "revisionType": "S3",
                "s3Location": {
                    "bucket": self.revision.bucket,
                    "key": self.revision.key,
                    "bundleType": "tgz",
                },
            },
            "deploymentOverview": {
                name: count.count(name)
                for name in ("Pending", "InProgress", "Succeeded", "Failed", "Skipped", "Ready")
            },
            "computePlatform": "Server",
        }
        if self.completed is not None:
            told["completeTime"] = self.completed
        if self.error is not None:
            told["errorInformation"] = dict(zip(("code", "message"), self.error, strict=True))
        return told


class CodeDeploy:
    """The stand-in for the service.

    Parameters
    ----------
    agent_of : gives an instance's agent.
    discard : throws a new instance away.
    """

    def __init__(
        self,
        balancer: Balancer,
        agent_of: Callable[[Any], Agent],
        discard: Callable[[Any], None],
    ) -> None:
        self._balancer, self._agent_of, self._discard = balancer, agent_of, discard
        self._all: dict[str, Deployment] = {}
        self._threads: list[threading.Thread] = []
        self._stopping = threading.Event()
        self.blue: Sequence[Any] = ()
        self.green: Sequence[Any] = ()
        self.green_is_new = True

    @property
    def last(self) -> Deployment | None:
        """The deployment that began last."""
        return list(self._all.values())[-1] if self._all else None

    def start(self, deployment: str, request: dict[str, Any]) -> None:
        """Begin a deployment to the green instances."""
        location = request["revision"]["s3Location"]
        revision = Revision(
            deployment,
            request["applicationName"],
            request["deploymentGroupName"],
            GROUP_ID,
            location["bucket"],
            location["key"],
            request.get("fileExistsBehavior") or "DISALLOW",
        )
        begun = Deployment(revision, time.time())
        for instance in self.green:
            begun.targets[instance.name] = Target(
                instance.name, "Green", events=[Event(name) for name in (*EVENTS, "AllowTraffic")]
            )
        self._all[deployment] = begun
        thread = threading.Thread(target=self._deploy, args=(begun,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def wait(self, seconds: float) -> None:
        """Wait until nothing is being deployed.

        Raises
        ------
        RehearsalError
            If that takes longer.
        """
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                raise RehearsalError(f"a deployment goes on for more than {seconds:.0f} s")

    def answer(self, action: str, request: dict[str, Any]) -> dict[str, Any] | None:
        """Return the answer to an action, None where it is not ours."""
        known = self._all.get(str(request.get("deploymentId")))
        if known is None:
            return None
        number = known.revision.deployment
        targets = known.targets
        answer: dict[str, Any] | None = None
        match action:
            case "GetDeployment":
                answer = {"deploymentInfo": known.to_json()}
            case "ListDeploymentTargets":
                answer = {"targetIds": list(targets)}
            case "GetDeploymentTarget" if request.get("targetId") in targets:
                answer = {"deploymentTarget": targets[request["targetId"]].to_json(number)}
            case "BatchGetDeploymentTargets":
                asked = request.get("targetIds") or list(targets)
                found = [targets[name].to_json(number) for name in asked if name in targets]
                answer = {"deploymentTargets": found}
            case "StopDeployment":
                self._stopping.set()
                answer = {"status": "Pending", "statusMessage": "being stopped"}
        return answer

    def _deploy(self, deployment: Deployment) -> None:
        try:
            deployment.status = "InProgress"
            self._stopping.clear()
            threads = [
                threading.Thread(target=self._prepare, args=(deployment, instance), daemon=True)
                for instance in self.green
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            if deployment.failures or self._stopping.is_set():
                self._give_up(deployment)
                return
            self._shift(deployment)
        except Exception as error:
            say(f"CodeDeploy's stand-in failed: {error}")
            self._end(deployment, "Failed", ("INTERNAL_ERROR", str(error)))

    def _prepare(self, deployment: Deployment, instance: Any) -> None:
        """Run the agent's events on an instance, until one fails there or anywhere."""
        target, agent = deployment.targets[instance.name], self._agent_of(instance)
        target.status = "InProgress"
        for event in target.events:
            if event.name not in EVENTS:
                continue
            if deployment.failures or self._stopping.is_set():
                event.status = "Skipped"
                target.status = "Skipped"
                continue
            event.status, event.started = "InProgress", time.time()
            try:
                event.ran = agent.run(event.name, deployment.revision)
            except EventError as error:
                event.ended, event.diagnostics = time.time(), error.diagnostics
                event.status = target.status = "Failed"
                return
            event.ended, event.status = time.time(), "Succeeded"

    def _shift(self, deployment: Deployment) -> None:
        allowing = [target.events[-1] for target in deployment.targets.values()]
        for event in allowing:
            event.status, event.started = "InProgress", time.time()
        try:
            self._balancer.register(self.green)
        except RehearsalError as error:
            for event in allowing:
                event.status, event.ended = "Failed", time.time()
                event.diagnostics = Diagnostics("UnknownError", "", str(error), "")
            self._balancer.deregister(self.green)
            self._give_up(deployment)
            return
        for target, event in zip(deployment.targets.values(), allowing, strict=True):
            event.status, event.ended = "Succeeded", time.time()
            target.status = "Succeeded"
        for instance in self.blue:
            begun = Event("BlockTraffic", "InProgress", time.time())
            deployment.targets[instance.name] = Target(instance.name, "Blue", "InProgress", [begun])
        self._balancer.deregister(self.blue)
        for instance in self.blue:
            target = deployment.targets[instance.name]
            target.status = target.events[0].status = "Succeeded"
            target.events[0].ended = time.time()
        self.blue, self.green = self.green, ()
        self._end(deployment, "Succeeded", None)

    def _give_up(self, deployment: Deployment) -> None:
        stopped = self._stopping.is_set()
        self._end(
            deployment,
            "Stopped" if stopped else "Failed",
            ("MANUAL_STOP", "Stopped.") if stopped else ("HEALTH_CONSTRAINTS", _TOO_MANY),
        )
        if self.green_is_new:
            for instance in self.green:
                self._discard(instance)
        self.green = ()

    @staticmethod
    def _end(deployment: Deployment, status: str, error: tuple[str, str] | None) -> None:
        deployment.completed, deployment.error = time.time(), error
        deployment.status = status
