"""The rehearsal itself: v1, a good v2 with a new model, and four bad ones, under constant load."""

import contextlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rehearsal import base_image, traffic
from rehearsal.agent import Agent
from rehearsal.aws import Aws
from rehearsal.balancer import Balancer
from rehearsal.codedeploy import CodeDeploy
from rehearsal.expectations import DeploymentResult, Expected
from rehearsal.image_registry import ImageRegistry
from rehearsal.instances import Instance, Machines, Network
from rehearsal.model_registry import USER, ModelRegistry
from rehearsal.options import Options
from rehearsal.processes import Background, RehearsalError, say, stop_all, tail
from rehearsal.releases import Releases, secret_places
from rehearsal.secret_search import ProcessList
from rehearsal.traffic import Request

_ROLLOUT_SECONDS: Final = 600
_PREPARATION_SECONDS: Final = 900
_TIMEOUT_SECONDS: Final = 5
_LISTINGS: Final = (
    {"make": "Maruti", "model": "Swift", "year": 2019, "odometer": 42000},
    {"make": "Maruti", "model": "Swift", "variant": "VXI 1.2 AMT", "year": 2017, "odometer": 61000},
    {"make": "Hyundai", "model": "i20", "year": 2016, "odometer": 75000, "ownership": 2},
    {"make": "Hyundai", "model": "Creta", "year": 2020, "odometer": 33000, "fuelType": "Diesel"},
    {"make": "Honda", "model": "City", "year": 2015, "odometer": 88000},
    {"make": "Toyota", "model": "Innova", "year": 2014, "odometer": 120000, "ownership": 3},
)


@dataclass(frozen=True)
class Result:
    """All that is known at the end; ``problems`` are those of no deployment."""

    results: list[DeploymentResult]
    requests: list[Request]
    problems: list[str]
    passwords: tuple[str, ...] = field(repr=False)


def rehearse(options: Options) -> Result:
    """Do all of it; whatever happens, nothing of it is left running.

    Raises
    ------
    RehearsalError
        If something failed that is no part of what is rehearsed.
    """
    with contextlib.ExitStack() as stack:
        return _Rehearsal(options, stack).run()


class _StoppedError(Exception):
    """What should be in production is not, so that there is nothing to go on with."""


class _Rehearsal:
    def __init__(self, options: Options, stack: contextlib.ExitStack) -> None:
        self.options, self.stack = options, stack
        self.notes = options.run / "requests.jsonl"
        self.results: list[DeploymentResult] = []
        self.problems: list[str] = []
        network = Network(options)
        stack.callback(network.close)
        network.open()
        self.processes = ProcessList(options.logs / "process-list.log")
        stack.callback(self.processes.stop)
        self.models = ModelRegistry(options)
        stack.callback(self.models.stop)
        self.aws = Aws(options)
        stack.callback(self.aws.stop)
        self.machines = Machines(options)
        stack.callback(self.machines.end)

    def run(self) -> Result:
        with contextlib.suppress(_StoppedError):
            self._rehearse()
        return self._result()

    def _rehearse(self) -> None:
        models = self.models
        with self._preparing() as (first, second, image):
            say("v1: the first model")
            _await(first)
            blue = self._fleet("a")
            self._deploy("v1", "the first release", image, 1, blue, Expected(None, ()), is_new=True)
            load = self._start_load()
            image_id = self.images.image_id(image)
            unhealthy = self.releases.break_image(image, image_id, "unhealthy")
            wrong_port = self.releases.break_image(image, image_id, "wrong-port")
            _await(second)

        say("v2: a new model")
        models.promote(2)
        green = self._fleet("b")
        self._deploy("v2", "a new model", image, 2, green, Expected(None, ("1", "2")), is_new=True)
        serving = self._containers(green)

        say("v3: an image that never gets healthy, where v1 was")
        refused = Expected("wait_for_health.sh", ("2",), needs_previous=True)
        with ThreadPoolExecutor(1) as pool:
            like = pool.submit(models.stage_copy, 2)
            self._deploy("v3", "an image that never gets healthy", unhealthy, 2, blue, refused)

        say("v4: a model that is corrupt in the registry")
        models.promote(3)
        models.corrupt(_await(like))
        corrupt = Expected("wait_for_health.sh", ("2",), log="SHA-256 differs")
        fresh = self._fleet("c")
        self._deploy("v4a", "a corrupt model, new instances", image, 3, fresh, corrupt, is_new=True)
        older = Expected("validate_service.sh", ("2",), needs_previous=True, log="not 3")
        self._deploy("v4b", "a corrupt model, instances of v1", image, 3, blue, older)
        models.roll_back(3)

        say("v5: an image on the wrong port")
        self._deploy("v5", "an image on the wrong port", wrong_port, 2, blue, refused)

        if self._containers(green) != serving:
            self.problems.append("the containers of v2 are not those that were started for it")
        load.stop()
        for instance in (*blue, *green):
            self._look_into(instance, "end")

    @contextlib.contextmanager
    def _preparing(self) -> Iterator[tuple["Future[None]", "Future[None]", str]]:
        """Train models, and build the image meanwhile."""
        options = self.options
        with ThreadPoolExecutor(3) as pool:
            archive = pool.submit(base_image.make_archive, options)
            first = pool.submit(self._train_first)
            second = pool.submit(self._train_second, first)
            try:
                password = self.aws.registry_password()
                self.images = ImageRegistry(options, password)
                self.stack.callback(self.images.stop)
                self.aws.know_images_of(self.images)
                self.passwords = (*self.models.spellings, password)
                settings = options.project / "deploy" / "service.env"
                stores = secret_places(settings.read_text(encoding="utf-8"))
                values = {
                    "MLFLOW_TRACKING_USERNAME": USER,
                    "MLFLOW_TRACKING_PASSWORD": self.models.password,
                }
                self.aws.fill({stores[name]: values[name] for name in values})
                self.balancer = Balancer(options)
                self.stack.callback(self.balancer.stop)
                self.codedeploy = CodeDeploy(self.balancer, self._agent, self._discard)
                self.aws.front.deployments = self.codedeploy
                builder = self.machines.builder()
                base_image.have_base(options, builder, _await(archive))
                say("Building, pushing and scanning the image")
                address = {"MLFLOW_TRACKING_URI": options.mlflow_url}
                self.releases = Releases(options, builder, self.aws, address)
                image = self.releases.build()
                self.releases.log_in(password)
                yield first, second, image
            except BaseException:
                for one in (archive, first, second):
                    one.cancel()
                stop_all()
                raise

    def _train_first(self) -> None:
        self.models.wait()
        self.models.train(1)
        self.models.promote(1)

    def _train_second(self, first: "Future[None]") -> None:
        _await(first)
        self.models.train(2)

    def _fleet(self, name: str) -> list[Instance]:
        numbers = range(1, self.options.instances + 1)
        return [self.machines.fresh(f"{name}{number}") for number in numbers]

    def _agent(self, instance: Instance) -> Agent:
        def download(bucket: str, key: str, path: Path) -> None:
            path.write_bytes(
                self.aws.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
            )

        copy = self.options.logs / f"hooks-{instance.name}.log"
        return Agent(instance, download, self.aws.environment, copy)

    def _discard(self, instance: Instance) -> None:
        with contextlib.suppress(RehearsalError):
            self._look_into(instance, "discarded")
        instance.end()

    def _deploy(
        self,
        name: str,
        what: str,
        image: str,
        model_version: int,
        green: Sequence[Instance],
        expected: Expected,
        *,
        is_new: bool = False,
    ) -> None:
        options, codedeploy = self.options, self.codedeploy
        address = self.releases.bundle(image, model_version)
        self._keep_bundle(name, address)
        codedeploy.green, codedeploy.green_is_new = green, is_new
        if self.results:
            time.sleep(options.settle_seconds)
        began = time.time()
        log = options.logs / f"rollout-{name}.log"
        code = self.releases.roll_out(address, log, _ROLLOUT_SECONDS)
        if codedeploy.last is None or codedeploy.last.created < began:
            raise RehearsalError(f"deploy/rollout.sh began no deployment; see {log}:\n{tail(log)}")
        codedeploy.wait(_ROLLOUT_SECONDS)
        ended = time.time()
        if self.results:
            time.sleep(options.settle_seconds + 0.5)
        if not is_new:
            for instance in green:
                self._look_into(instance, name)
        begin, end = began - options.settle_seconds, ended + options.settle_seconds
        asked = traffic.between(traffic.read(self.notes), begin, end) if self.results else []
        result = DeploymentResult(
            name,
            what,
            expected,
            codedeploy.last,
            code,
            traffic.summary(asked),
            due=options.rate * (end - begin) if expected.versions else 0.0,
        )
        self.results.append(result)
        done = "is in production" if result.succeeded else f"was stopped by {result.stopped_by}"
        say(
            f"{name} {done} after {result.ended - result.began:.0f} s; {result.traffic.failed} of "
            f"{result.traffic.requests} requests failed"
        )
        if expected.stopped_by is None and not result.succeeded:
            say(f"{result.diagnostics.message}; see {log}:\n{result.diagnostics.log_tail}")
            raise _StoppedError

    def _start_load(self) -> Background:
        options = self.options
        bodies = options.run / "listings.jsonl"
        bodies.write_text("".join(f"{json.dumps(one)}\n" for one in _LISTINGS), encoding="utf-8")
        host, port = options.load_balancer.split(":")
        script = options.project / "benchmarks" / "load_generator.py"
        command = [
            *(sys.executable, str(script), port, "/predict", str(bodies), "--host", host),
            *("--rate", str(options.rate), "--notes", str(self.notes)),
            *("--timeout", f"{_TIMEOUT_SECONDS:.0f}"),
            # So many that no request ever waits for a connection.
            *("--connections", str(options.rate * _TIMEOUT_SECONDS)),
        ]
        load = Background(command, options.logs / "load.log", {"PATH": "/usr/bin:/bin"})
        self.stack.callback(load.stop)
        deadline = time.monotonic() + 20
        while len(traffic.read(self.notes)) < options.rate:
            if time.monotonic() > deadline or load.process.poll() is not None:
                raise RehearsalError(f"the load does not start; see {load.log}")
            time.sleep(0.2)
        return load

    def _containers(self, instances: Sequence[Instance]) -> list[str]:
        shown = "{{.Id}} {{.State.StartedAt}} {{.RestartCount}}"
        words = ["podman", "inspect", "--format", shown, "carprice"]
        return [instance.run(words, seconds=30)[1] for instance in instances]

    def _look_into(self, instance: Instance, when: str) -> None:
        """Keep what Docker shows of a container, for the search for secrets."""
        for verb in ("inspect", "logs"):
            log = self.options.logs / f"{verb}-{instance.name}-{when}.log"
            instance.run(["podman", verb, "carprice"], seconds=30, allowed=(0, 125), log=log)

    def _keep_bundle(self, version: str, address: str) -> None:
        bucket, _, key = address.removeprefix("s3://").partition("/")
        folder = self.options.run / "bundles"
        folder.mkdir(exist_ok=True)
        content = self.aws.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
        (folder / f"{version}.tgz").write_bytes(content)

    def _result(self) -> Result:
        requests = traffic.read(self.notes)
        failed = [request for request in requests if request.failed]
        counted = sum(result.traffic.failed for result in self.results)
        if len(failed) > counted:
            self.problems.append(
                f"{len(failed) - counted} requests failed between the deployments, the first with "
                f"{failed[0].reason}"
            )
        return Result(self.results, requests, self.problems, self.passwords)


def _await(future: "Future[Any]") -> Any:
    try:
        return future.result(_PREPARATION_SECONDS)
    except TimeoutError:
        raise RehearsalError(
            f"the preparation takes more than {_PREPARATION_SECONDS} s; see the logs"
        ) from None
