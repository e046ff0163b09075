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
    - GetDeployment, ListDeploymentTargets, GetDeploymentTarget.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

from rehearsal.agent import EVENTS, Agent, EventError, Revision
from rehearsal.balancer import Balancer
from rehearsal.processes import RehearsalError, say

ACTIONS: Final = ("get_deployment", "list_deployment_targets", "get_deployment_target")
_TOO_MANY: Final = (
    "The overall deployment failed because too many individual instances failed deployment, too "
    "few healthy instances are available for deployment, or some instances in your deployment "
    "group are experiencing problems."
)


@dataclass
class Deployment:
    """A deployment and its state; times are seconds since 1970.

    Attributes
    ----------
    events : lifecycle events by instance, as the API shows them.
    stops : whether ApplicationStop ran a script, one for each instance where it ended.
    failures : hook and error of each event that failed, the first one first.
    """

    revision: Revision
    created: float = field(default_factory=time.time)
    completed: float = 0.0
    status: str = "InProgress"
    error: dict[str, str] = field(default_factory=dict)
    events: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    stops: list[bool] = field(default_factory=list)
    failures: list[tuple[str, EventError]] = field(default_factory=list)

    @property
    def succeeded(self) -> bool:
        """Whether its revision is in production."""
        return self.status == "Succeeded"

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.completed - self.created

    @contextlib.contextmanager
    def event(self, instance: str, name: str) -> Iterator[None]:
        """Note an event on an instance, and the error with which the block ends, if it does."""
        shown: dict[str, Any] = {"lifecycleEventName": name, "status": "InProgress"}
        self.events.setdefault(instance, []).append(shown)
        try:
            yield
        except EventError as error:
            shown |= {"status": "Failed", "diagnostics": error.diagnostics}
            self.failures.append((name, error))
        else:
            shown["status"] = "Succeeded"

    def end(self, status: str, code: str = "", message: str = "") -> None:
        """Note the end, and the error if it failed."""
        self.error = {"code": code, "message": message} if code else {}
        self.completed, self.status = time.time(), status


class CodeDeploy:
    """The stand-in for CodeDeploy, which knows the last deployment.

    Parameters
    ----------
    agent_of : returns an instance's agent.
    discard : ends a new instance whose deployment failed.
    """

    def __init__(
        self, balancer: Balancer, agent_of: Callable[[Any], Agent], discard: Callable[[Any], None]
    ) -> None:
        self._balancer, self._agent_of, self._discard = balancer, agent_of, discard
        self.last: Deployment | None = None
        self.blue: Sequence[Any] = ()
        self.green: Sequence[Any] = ()
        self.green_is_new = True

    def start(self, revision: Revision) -> None:
        """Begin a deployment to the green instances."""
        self.last = Deployment(revision)
        self._thread = threading.Thread(target=self._deploy, args=[self.last], daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Wait until nothing is being deployed."""
        self._thread.join()

    def answer(self, action: str, target: str | None = None) -> dict[str, Any]:
        """Return the answer to one of :data:`ACTIONS`."""
        known = self.last or Deployment(Revision("", "", "", "", ""))
        if action == "get_deployment":
            return {"deploymentInfo": {"status": known.status, "errorInformation": known.error}}
        if action == "list_deployment_targets":
            return {"targetIds": list(known.events)}
        told = {"targetId": target, "lifecycleEvents": known.events.get(target or "", [])}
        return {"deploymentTarget": {"instanceTarget": told}}

    def _deploy(self, deployment: Deployment) -> None:
        try:
            with ThreadPoolExecutor(max(len(self.green), 1)) as pool:
                list(pool.map(lambda instance: self._prepare(deployment, instance), self.green))
            if not deployment.failures:
                self._shift_traffic(deployment)
            if deployment.failures:
                deployment.end("Failed", "HEALTH_CONSTRAINTS", _TOO_MANY)
                for instance in self.green if self.green_is_new else ():
                    self._discard(instance)
        except Exception as error:
            say(f"CodeDeploy's stand-in failed: {error}")
            deployment.end("Failed", "INTERNAL_ERROR", str(error))

    def _prepare(self, deployment: Deployment, instance: Any) -> None:
        """Run the agent's events on an instance, until one fails on any instance."""
        agent = self._agent_of(instance)
        for name in EVENTS:
            if deployment.failures:
                return
            with deployment.event(instance.name, name):
                ran = agent.run(name, deployment.revision)
                if name == "ApplicationStop":
                    deployment.stops.append(ran)

    def _shift_traffic(self, deployment: Deployment) -> None:
        with contextlib.ExitStack() as allowing:
            for instance in self.green:
                allowing.enter_context(deployment.event(instance.name, "AllowTraffic"))
            try:
                self._balancer.register(self.green)
            except RehearsalError as problem:
                self._balancer.deregister(self.green)
                raise EventError("UnknownError", "", str(problem), "") from None
        if deployment.failures:
            return
        with contextlib.ExitStack() as blocking:
            for instance in self.blue:
                blocking.enter_context(deployment.event(instance.name, "BlockTraffic"))
            self._balancer.deregister(self.blue)
        self.blue = self.green
        deployment.end("Succeeded")
