"""CodeDeploy's part of a blue/green deployment, and its answers about it.

Modelled
    - Every lifecycle event runs on all green instances at once (CodeDeployDefault.AllAtOnce). The
      first instance that fails fails the deployment; the others finish the event that they are in.
    - Green instances are registered only when all of them passed all hooks. Blue instances are
      deregistered only when the load balancer finds the green ones healthy.
    - Blue instances run on without requests (KEEP_ALIVE). Green instances exist already
      (DISCOVER_EXISTING): they are new, or served before.
    - After a failure the blue instances serve as before. New green instances are discarded, others
      stay.
    - GetDeployment, ListDeploymentTargets, GetDeploymentTarget, StopDeployment.
"""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

from rehearsal.agent import EVENTS, Agent, EventError, Revision
from rehearsal.balancer import Balancer
from rehearsal.processes import RehearsalError, say

_TOO_MANY: Final = (
    "The overall deployment failed because too many individual instances failed deployment, too "
    "few healthy instances are available for deployment, or some instances in your deployment "
    "group are experiencing problems."
)


@dataclass
class LifecycleEvent:
    """A lifecycle event on an instance; times are seconds since 1970.

    ``ran`` tells whether there was something to do, ``error`` why it failed, if it did.
    """

    instance: str
    name: str
    started: float = field(default_factory=time.time)
    ended: float | None = None
    ran: bool = False
    error: EventError | None = None

    def end(self, error: EventError | None = None) -> None:
        """Note the end, and the error if it failed."""
        self.error, self.ended = error, time.time()

    def to_json(self) -> dict[str, Any]:
        """Return it as the API shows it."""
        shown: dict[str, Any] = {"lifecycleEventName": self.name, "status": "InProgress"}
        if self.ended is not None:
            shown["status"] = "Failed" if self.error else "Succeeded"
        if self.error:
            shown["diagnostics"] = {
                "errorCode": self.error.code,
                "scriptName": self.error.script,
                "message": self.error.message,
                "logTail": self.error.log_tail,
            }
        return shown


@dataclass
class Deployment:
    """A deployment and its state; times are seconds since 1970."""

    revision: Revision
    created: float = field(default_factory=time.time)
    status: str = "InProgress"
    completed: float = 0.0
    error: dict[str, str] | None = None
    events: list[LifecycleEvent] = field(default_factory=list)

    @property
    def succeeded(self) -> bool:
        """Whether its revision is in production."""
        return self.status == "Succeeded"

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.completed - self.created

    @property
    def failure(self) -> LifecycleEvent | None:
        """The event that failed first, on any instance."""
        failed = [event for event in self.events if event.error]
        return min(failed, key=lambda event: event.ended or 0.0, default=None)

    def begin(self, instance: str, name: str) -> LifecycleEvent:
        """Note that an event begins on an instance."""
        event = LifecycleEvent(instance, name)
        self.events.append(event)
        return event

    def end(self, status: str, code: str = "", message: str = "") -> None:
        """Note the end, and the error if it failed."""
        self.error = {"code": code, "message": message} if code else None
        self.completed, self.status = time.time(), status


class CodeDeploy:
    """The stand-in for CodeDeploy.

    Parameters
    ----------
    agent_of : returns an instance's agent.
    discard : ends a new instance whose deployment failed.
    """

    def __init__(
        self, balancer: Balancer, agent_of: Callable[[Any], Agent], discard: Callable[[Any], None]
    ) -> None:
        self._balancer, self._agent_of, self._discard = balancer, agent_of, discard
        self._stopping = threading.Event()
        self.last: Deployment | None = None
        self.blue: Sequence[Any] = ()
        self.green: Sequence[Any] = ()
        self.green_is_new = True

    def start(self, number: str, request: dict[str, Any]) -> None:
        """Begin a deployment to the green instances."""
        location = request["revision"]["s3Location"]
        names = request["applicationName"], request["deploymentGroupName"]
        revision = Revision(number, *names, location["bucket"], location["key"])
        self.last = Deployment(revision)
        self._thread = threading.Thread(target=self._deploy, args=[self.last], daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Wait until nothing is being deployed."""
        self._thread.join()

    def answer(self, action: str, request: dict[str, Any]) -> dict[str, Any] | None:
        """Return the answer to an action; None if moto is to answer it."""
        known = self.last
        if known is None or known.revision.deployment != request.get("deploymentId"):
            return None
        match action:
            case "GetDeployment":
                return {"deploymentInfo": {"status": known.status, "errorInformation": known.error}}
            case "ListDeploymentTargets":
                return {"targetIds": list(dict.fromkeys(event.instance for event in known.events))}
            case "GetDeploymentTarget":
                asked = request["targetId"]
                events = [event.to_json() for event in known.events if event.instance == asked]
                target = {"targetId": asked, "lifecycleEvents": events}
                return {"deploymentTarget": {"instanceTarget": target}}
            case "StopDeployment":
                self._stopping.set()
                return {"status": "Pending", "statusMessage": "being stopped"}
        return None

    def _deploy(self, deployment: Deployment) -> None:
        try:
            self._stopping.clear()
            with ThreadPoolExecutor(max(len(self.green), 1)) as pool:
                list(pool.map(lambda instance: self._prepare(deployment, instance), self.green))
            if not (deployment.failure or self._stopping.is_set()):
                self._shift_traffic(deployment)
            if not deployment.completed:
                self._give_up(deployment)
        except Exception as error:
            say(f"CodeDeploy's stand-in failed: {error}")
            deployment.end("Failed", "INTERNAL_ERROR", str(error))

    def _prepare(self, deployment: Deployment, instance: Any) -> None:
        """Run the agent's events on an instance, until one fails on any instance."""
        agent = self._agent_of(instance)
        for name in EVENTS:
            if deployment.failure or self._stopping.is_set():
                return
            event = deployment.begin(instance.name, name)
            try:
                event.ran = agent.run(name, deployment.revision)
                event.end()
            except EventError as error:
                event.end(error)

    def _shift_traffic(self, deployment: Deployment) -> None:
        allowing = [deployment.begin(instance.name, "AllowTraffic") for instance in self.green]
        error = None
        try:
            self._balancer.register(self.green)
        except RehearsalError as problem:
            error = EventError("UnknownError", "", str(problem), "")
            self._balancer.deregister(self.green)
        for event in allowing:
            event.end(error)
        if error:
            return
        blocking = [deployment.begin(instance.name, "BlockTraffic") for instance in self.blue]
        self._balancer.deregister(self.blue)
        for event in blocking:
            event.end()
        self.blue, self.green = self.green, ()
        deployment.end("Succeeded")

    def _give_up(self, deployment: Deployment) -> None:
        if self._stopping.is_set():
            deployment.end("Stopped", "MANUAL_STOP", "Stopped.")
        else:
            deployment.end("Failed", "HEALTH_CONSTRAINTS", _TOO_MANY)
        if self.green_is_new:
            for instance in self.green:
                self._discard(instance)
        self.green = ()
