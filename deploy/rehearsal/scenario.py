"""The rehearsal itself: v1, a good v2 with a new model, and four bad ones, under constant load."""

import contextlib
import itertools
import json
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import psutil
from image_env import service_settings

from rehearsal import aws
from rehearsal.agent import Agent
from rehearsal.balancer import LOAD_BALANCER, Balancer
from rehearsal.codedeploy import CodeDeploy
from rehearsal.instances import Instance, prepare
from rehearsal.model_registry import ModelRegistry
from rehearsal.processes import (
    PROJECT,
    Background,
    Options,
    RehearsalError,
    say,
    tail,
)
from rehearsal.releases import Releases
from rehearsal.report import DeploymentResult, Plan, differences, failed, read_requests

_RATE: Final = 50  # requests a second
_ROLLOUT_SECONDS: Final = 600
_TIMEOUT_SECONDS: Final = 5
_LISTINGS: Final = (
    {"make": "Maruti", "model": "Swift", "variant": "VXI 1.2 AMT", "year": 2017, "odometer": 61000},
    {"make": "Hyundai", "model": "i20", "year": 2016, "odometer": 75000, "ownership": 2},
    {"make": "Toyota", "model": "Innova", "year": 2014, "odometer": 120000, "fuelType": "Diesel"},
)


class Rehearsal:
    """One rehearsal, and its results.

    Attributes
    ----------
    results : what each deployment did.
    requests : all of the load, as :func:`rehearsal.report.read_requests` returns them.
    problems : what was not as it must be, one sentence each.
    passwords : secrets that no log, bundle or report may contain.

    Raises
    ------
    RehearsalError
        If something failed that is not itself rehearsed.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self.results: list[DeploymentResult] = []
        self.problems: list[str] = []
        self._notes = options.run / "requests.jsonl"
        self._start()
        self._rehearse()
        self.requests = read_requests(self._notes)
        self.problems += [one for result in self.results for one in differences(result)]
        failures = failed(self.requests)
        between = len(failures) - sum(len(failed(result.requests)) for result in self.results)
        if between > 0:
            first = failures["problem"].iloc[0]
            self.problems.append(
                f"{between} requests failed between the deployments, the first with {first}"
            )

    def _start(self) -> None:
        """Start the servers, and what runs in the background of the deployments."""
        options = self.options
        prepare(options)
        listed = options.logs / "process-list.log"
        threading.Thread(target=_note_processes, args=[listed], daemon=True).start()
        self.models = ModelRegistry(options)
        self.background = ThreadPoolExecutor(1)
        self.numbers = itertools.count(11)
        self.codedeploy = CodeDeploy(Balancer(options), self._agent, self._discard)
        settings = service_settings(PROJECT / "deploy" / "service.env")
        login = self.models.login.items()
        parameters = {settings[f"SECRET_{name}"].removeprefix("ssm:"): text for name, text in login}
        servers = aws.Aws(options, self.codedeploy, parameters)
        self.passwords = (*self.models.password_forms, servers.password)
        self.releases = Releases(options, servers)

    def _rehearse(self) -> None:
        models, releases = self.models, self.releases

        def make(version: int) -> None:
            models.train(version)
            models.carprice(version, "promote", "--why", f"rehearsal of version {version}")

        first = self.background.submit(make, 1)
        second = self.background.submit(models.train, 2)
        say("Building, pushing and scanning the image, and training models")
        image = releases.build()
        first.result()

        say("v1: the first model")
        blue = self._fleet("a")
        self._deploy(Plan("v1", "the first release", is_new=True), image, 1, blue)
        load = self._start_load()
        unhealthy = releases.break_image(image, "unhealthy")
        wrong_port = releases.break_image(image, "wrong-port")
        second.result()

        say("v2: a new model")
        models.carprice(2, "promote", "--why", "rehearsal of version 2")
        green = self._fleet("b")
        plan = Plan("v2", "a new model", versions=("1", "2"), is_new=True)
        self._deploy(plan, image, 2, green)

        say("v3: an image that never gets healthy, where v1 was")
        third = self.background.submit(models.train, 3)
        plan = Plan("v3", "an image that never gets healthy", "wait_for_health.sh", ("2",))
        self._deploy(plan, unhealthy, 2, blue)
        third.result()

        say("v4: a model that is corrupt in the registry")
        models.carprice(3, "promote", "--why", "rehearsal of version 3")
        models.corrupt_newest()
        what = "a corrupt model, new instances"
        plan = Plan("v4a", what, "wait_for_health.sh", ("2",), is_new=True, log="SHA-256 differs")
        self._deploy(plan, image, 3, self._fleet("c"))
        what = "a corrupt model, instances of v1"
        plan = Plan("v4b", what, "validate_service.sh", ("2",), log="not 3")
        self._deploy(plan, image, 3, blue)
        models.carprice(3, "rollback", "--why", "the rehearsal's corrupt model")

        say("v5: an image on the wrong port")
        plan = Plan("v5", "an image on the wrong port", "wait_for_health.sh", ("2",))
        self._deploy(plan, wrong_port, 2, blue)

        load.stop()
        for instance in (*blue, *green):
            self._save_container_logs(instance)

    def _fleet(self, name: str) -> list[Instance]:
        names = [f"i-{name}{number}" for number in range(1, 2 if self.options.is_quick else 3)]
        return [Instance(self.options, name, next(self.numbers)) for name in names]

    def _agent(self, instance: Instance) -> Agent:
        log = self.options.logs / f"hooks-{instance.name}.log"
        return Agent(instance, aws.download, aws.ENVIRONMENT, log)

    def _discard(self, instance: Instance) -> None:
        with contextlib.suppress(RehearsalError):
            self._save_container_logs(instance)
        instance.end()

    def _deploy(
        self, plan: Plan, image: str, model_version: int, green: Sequence[Instance]
    ) -> None:
        codedeploy, log = self.codedeploy, self.options.logs / f"rollout-{plan.name}.log"
        address = self.releases.bundle(image, model_version, plan.name)
        codedeploy.green, codedeploy.green_is_new = green, plan.is_new
        settle = self.options.settle_seconds if self.results else 0.0  # v1 has no load
        time.sleep(settle)
        began = time.time()
        code = self.releases.roll_out(address, log, _ROLLOUT_SECONDS)
        deployment = codedeploy.last
        if deployment is None or deployment.created < began:
            raise RehearsalError(f"deploy/rollout.sh began no deployment; see {log}:\n{tail(log)}")
        codedeploy.wait()
        ended = time.time()
        time.sleep(settle + 0.5)
        if not plan.is_new:
            for instance in green:
                self._save_container_logs(instance)
        begin, end = began - settle, ended + settle
        requests = read_requests(self._notes)
        asked = requests[requests["due"].between(begin, end)]
        due = _RATE * (end - begin) if plan.versions else 0.0
        result = DeploymentResult(plan, deployment, code, asked, due)
        self.results.append(result)
        done = "is in production" if deployment.succeeded else f"was stopped by {result.stopped_by}"
        say(
            f"{plan.name} {done} after {deployment.seconds:.0f} s; {len(failed(asked))} of "
            f"{len(asked)} requests failed"
        )
        if plan.stopped_by is None and not deployment.succeeded:
            message = f"{plan.name}: {result.error.message}; see {log}:\n{result.error.log_tail}"
            raise RehearsalError(message)

    def _start_load(self) -> Background:
        bodies = self.options.run / "listings.jsonl"
        bodies.write_text("".join(f"{json.dumps(one)}\n" for one in _LISTINGS), encoding="utf-8")
        host, port = LOAD_BALANCER
        script = PROJECT / "benchmarks" / "load_generator.py"
        command = [
            *(sys.executable, str(script), str(port), "/predict", str(bodies), "--host", host),
            *("--rate", str(_RATE), "--notes", str(self._notes)),
            *("--timeout", str(_TIMEOUT_SECONDS)),
            # So many that no request ever waits for a connection.
            *("--connections", str(_RATE * _TIMEOUT_SECONDS)),
        ]
        load = Background(command, self.options.logs / "load.log", {"PATH": "/usr/bin:/bin"})
        load.wait_for(lambda: len(read_requests(self._notes)) >= _RATE, 20)
        return load

    def _save_container_logs(self, instance: Instance) -> None:
        """Save what Docker shows of the container, to be searched for secrets."""
        for verb in ("inspect", "logs"):
            instance.run(["podman", verb, "carprice"], seconds=30, check=False)


def _note_processes(path: Path) -> None:
    """Note every new command line on the machine in a file, five times a second, without end.

    The processes of instances and containers are among them.
    """
    seen: set[str] = set()
    while True:
        found = set()
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                found.add(" ".join(process.cmdline()))
        with path.open("a", encoding="utf-8", errors="surrogateescape") as listed:
            listed.writelines(f"{line}\n" for line in sorted(found - seen))
        seen |= found
        time.sleep(0.2)
