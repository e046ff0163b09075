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
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

from rehearsal.agent import EVENTS, Agent, Diagnostics, EventError, Revision
from rehearsal.balancer import Balancer
from rehearsal.processes import RehearsalError, say

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

    def begin(self) -> None:
        """Note that it begins."""
        self.status, self.started = "InProgress", time.time()

    def end(self, diagnostics: Diagnostics | None = None) -> None:
        """Note that it succeeded, or that it failed and why."""
        self.status = "Failed" if diagnostics else "Succeeded"
        self.ended, self.diagnostics = time.time(), diagnostics

    def to_json(self) -> dict[str, Any]:
        """Return it as the API shows it."""
        return {
            "lifecycleEventName": self.name,
            "status": self.status,
            "startTime": self.started,
            "endTime": self.ended,
            "diagnostics": self.diagnostics and self.diagnostics.to_json(),
        }


@dataclass
class Target:
    """An instance of a deployment, and what became of each event on it."""

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


@dataclass(frozen=True)
class EventSpan:
    """A lifecycle event of a deployment over all instances; times are seconds since 1970."""

    name: str
    started: float
    ended: float
    failed: bool


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
    def failure(self) -> Event | None:
        """The event that failed first, on any instance."""
        events = [event for target in self.targets.values() for event in target.events]
        failed = [event for event in events if event.status == "Failed"]
        return min(failed, key=lambda event: event.ended or 0.0, default=None)

    @property
    def spans(self) -> list[EventSpan]:
        """The events that were tried, each over all instances."""
        found: dict[str, EventSpan] = {}
        for event in (event for target in self.targets.values() for event in target.events):
            if event.started is None or event.ended is None:
                continue
            failed = event.status == "Failed"
            known = found.get(event.name, EventSpan(event.name, event.started, event.ended, failed))
            found[event.name] = EventSpan(
                event.name,
                min(known.started, event.started),
                max(known.ended, event.ended),
                known.failed or failed,
            )
        return list(found.values())

    def to_json(self) -> dict[str, Any]:
        """Return it as the API shows it."""
        count = [target.status for target in self.targets.values()]
        location = {"bucket": self.revision.bucket, "key": self.revision.key, "bundleType": "tgz"}
        return {
            "applicationName": self.revision.application,
            "deploymentGroupName": self.revision.group,
            "deploymentId": self.revision.deployment,
            "status": self.status,
            "createTime": self.created,
            "completeTime": self.completed,
            "revision": {"revisionType": "S3", "s3Location": location},
            "deploymentOverview": {
                name: count.count(name)
                for name in ("Pending", "InProgress", "Succeeded", "Failed", "Skipped", "Ready")
            },
            "computePlatform": "Server",
            "errorInformation": self.error
            and dict(zip(("code", "message"), self.error, strict=True)),
        }


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
        self._pool = ThreadPoolExecutor(1)
        self._going_on: Future[None] | None = None
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
            events = [Event(name) for name in (*EVENTS, "AllowTraffic")]
            begun.targets[instance.name] = Target(instance.name, "Green", events=events)
        self._all[deployment] = begun
        self._going_on = self._pool.submit(self._deploy, begun)

    def wait(self, seconds: float) -> None:
        """Wait until nothing is being deployed.

        Raises
        ------
        RehearsalError
            If that takes longer.
        """
        try:
            if self._going_on is not None:
                self._going_on.result(seconds)
        except TimeoutError:
            raise RehearsalError(f"a deployment goes on for more than {seconds:.0f} s") from None

    def answer(self, action: str, request: dict[str, Any]) -> dict[str, Any] | None:
        """Return the answer to an action, None where moto is to answer it."""
        known = self._all.get(str(request.get("deploymentId")))
        if known is None:
            return None
        if action == "StopDeployment":
            self._stopping.set()
        number = known.revision.deployment
        targets = {name: target.to_json(number) for name, target in known.targets.items()}
        asked = request.get("targetIds") or list(targets)
        answers: dict[str, dict[str, Any]] = {
            "GetDeployment": {"deploymentInfo": known.to_json()},
            "ListDeploymentTargets": {"targetIds": list(targets)},
            "GetDeploymentTarget": {"deploymentTarget": targets.get(request.get("targetId", ""))},
            "BatchGetDeploymentTargets": {
                "deploymentTargets": [targets[name] for name in asked if name in targets]
            },
            "StopDeployment": {"status": "Pending", "statusMessage": "being stopped"},
        }
        return answers.get(action)

    def _deploy(self, deployment: Deployment) -> None:
        try:
            deployment.status = "InProgress"
            self._stopping.clear()
            with ThreadPoolExecutor(max(len(self.green), 1)) as pool:
                list(pool.map(lambda instance: self._prepare(deployment, instance), self.green))
            if deployment.failure or self._stopping.is_set():
                self._give_up(deployment)
            else:
                self._shift_traffic(deployment)
        except Exception as error:
            say(f"CodeDeploy's stand-in failed: {error}")
            self._end(deployment, "Failed", ("INTERNAL_ERROR", str(error)))

    def _prepare(self, deployment: Deployment, instance: Any) -> None:
        """Run the agent's events on an instance, until one fails there or anywhere."""
        target, agent = deployment.targets[instance.name], self._agent_of(instance)
        target.status = "InProgress"
        for event in target.events[: len(EVENTS)]:
            if deployment.failure or self._stopping.is_set():
                event.status = target.status = "Skipped"
                continue
            event.begin()
            try:
                event.ran = agent.run(event.name, deployment.revision)
            except EventError as error:
                event.end(error.diagnostics)
                target.status = "Failed"
                return
            event.end()

    def _shift_traffic(self, deployment: Deployment) -> None:
        green = list(deployment.targets.values())
        allowing = [target.events[-1] for target in green]
        for event in allowing:
            event.begin()
        try:
            self._balancer.register(self.green)
        except RehearsalError as error:
            for event in allowing:
                event.end(Diagnostics("UnknownError", "", str(error), ""))
            self._balancer.deregister(self.green)
            self._give_up(deployment)
            return
        for target in green:
            target.events[-1].end()
            target.status = "Succeeded"
        blocking = [
            Target(instance.name, "Blue", "InProgress", [Event("BlockTraffic")])
            for instance in self.blue
        ]
        for target in blocking:
            target.events[0].begin()
            deployment.targets[target.name] = target
        self._balancer.deregister(self.blue)
        for target in blocking:
            target.events[0].end()
            target.status = "Succeeded"
        self.blue, self.green = self.green, ()
        self._end(deployment, "Succeeded", None)

    def _give_up(self, deployment: Deployment) -> None:
        if self._stopping.is_set():
            self._end(deployment, "Stopped", ("MANUAL_STOP", "Stopped."))
        else:
            self._end(deployment, "Failed", ("HEALTH_CONSTRAINTS", _TOO_MANY))
        if self.green_is_new:
            for instance in self.green:
                self._discard(instance)
        self.green = ()

    @staticmethod
    def _end(deployment: Deployment, status: str, error: tuple[str, str] | None) -> None:
        deployment.completed, deployment.error = time.time(), error
        deployment.status = status
