"""ECS with real tools: the image as its task runs it, the guide's commands by AWS's program."""

import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cfnlint.decode.cfn_yaml
import pytest
import requests
from aws_account import REGION, aws_account
from containers import ENGINE, LISTING, Container, inspected, podman, running
from moto.cloudformation.models import CloudFormationBackend, Stack
from moto.server import ThreadedMotoServer

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "deploy" / "ecs" / "service.yaml"
GUIDE = (ROOT / "deploy" / "ecs" / "README.md").read_text(encoding="utf-8")
TASK: dict[str, Any] = cfnlint.decode.cfn_yaml.load(TEMPLATE)["Resources"]["TaskDefinition"][
    "Properties"
]
(CONTAINER,) = TASK["ContainerDefinitions"]
IMAGE = f"123456789012.dkr.ecr.us-east-1.amazonaws.com/carprice@sha256:{7:064d}"


@contextmanager
def task(image: str, model: Path) -> Iterator[Container]:
    """Run the image with the task definition's settings, but for the port, until the block ends."""
    environment = {
        one["Name"]: one["Value"]
        for one in CONTAINER["Environment"]
        if isinstance(one.get("Value"), str)
    }
    del environment["PORT"]  # a free one instead
    environment["CARPRICE_BAKED_MODEL"] = "/opt/model"
    linux = CONTAINER["LinuxParameters"]
    tmpfs = (
        f"--tmpfs={one['ContainerPath']}:{','.join(one['MountOptions'])},size={one['Size']}m"
        for one in linux["Tmpfs"]
    )
    options = (
        f"--user={CONTAINER['User']}",
        f"--read-only={str(CONTAINER['ReadonlyRootFilesystem']).lower()}",
        "--read-only-tmpfs=false",
        *(f"--cap-drop={one}" for one in linux["Capabilities"]["Drop"]),
        *tmpfs,
        f"--cpus={int(TASK['Cpu']) / 1024}",
        f"--memory={TASK['Memory']}m",
        f"--stop-timeout={CONTAINER['StopTimeout']}",
        f"--volume={model}:/opt/model:ro",
    )
    with running(image, environment=environment, hardening=options) as container:
        yield container


@pytest.mark.usefixtures("base_image")
def test_a_task_loses_no_request_when_it_is_stopped(image: str, model_folder: Path) -> None:
    with task(image, model_folder) as container:
        health = CONTAINER["HealthCheck"]["Command"]
        assert inspected(image)["Healthcheck"]["Test"] == health
        assert container.run(*health[1:]).returncode == 0
        cache = next(
            one["Value"]
            for one in CONTAINER["Environment"]
            if one.get("Name") == "CARPRICE_MODEL_CACHE"
        )
        assert container.run("mkdir", "-p", cache).returncode == 0
        for path in ("/opt/a", "/var/lib/carprice/a"):
            assert "Read-only file system" in container.run("touch", path).stderr
        found = dict(
            line.split(":", 1)
            for line in container.run("cat", "/proc/1/status").stdout.splitlines()
        )
        assert found["Uid"].split() == ["10001"] * 4
        assert int(found["CapBnd"], 16) == 0

        answers: list[int] = []
        lost: list[str] = []
        draining = threading.Event()

        def asks() -> None:
            left = 10
            while left:
                left -= draining.is_set()
                try:
                    answers.append(container.ask("/predict", LISTING).status_code)
                except requests.RequestException as error:
                    lost.append(repr(error))

        clients = [threading.Thread(target=asks) for _ in range(4)]
        try:
            for client in clients:
                client.start()
            while len(answers) < 20 and not lost:
                time.sleep(0.01)
            stopping = subprocess.Popen([*ENGINE, "stop", container.name], stdout=subprocess.PIPE)
            while container.ask("/ready").status_code == 200:
                time.sleep(0.01)
            told = len(answers)
        finally:
            draining.set()
            for client in clients:
                client.join()
        stopping.communicate(timeout=60)
        print(f"{len(answers)} answers, {len(answers) - told} of them after SIGTERM, 0 lost")  # noqa: T201
        assert lost == []
        assert set(answers) == {200}
        assert len(answers) >= told + 36
        # 137 would be a task that was killed when StopTimeout was over.
        state = podman("inspect", "--format", "{{.State.ExitCode}}", container.name)
        assert int(state.stdout) == 0
        assert "Application shutdown complete" in container.log


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("aws"), reason="no AWS command line")
def test_the_commands_of_the_guide(no_aws_login: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up and down as they are written, with the real program, but for the build of the image.

    moto cannot update a stack by a change set, which ``aws cloudformation deploy`` makes.
    """
    execute = CloudFormationBackend.execute_change_set

    def with_outputs(self: Any, *words: Any, **more: Any) -> None:
        """Tell the outputs of a stack that a change set made, which moto forgets."""
        execute(self, *words, **more)
        for stack in self.stacks.values():
            stack._parse_template()
            stack.output_map = stack._create_output_map()

    def as_aws_tells_them(self: Any) -> list[dict[str, Any]]:
        """Return a stack's parameters, with lists by commas."""
        return [
            {"ParameterKey": key, "ParameterValue": ",".join(v) if isinstance(v, list) else v}
            for key, v in self.resource_map.resolved_parameters.items()
        ]

    monkeypatch.setattr(CloudFormationBackend, "execute_change_set", with_outputs)
    monkeypatch.setattr(Stack, "parameter_list", property(as_aws_tells_them))
    blocks = re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL)
    (down,) = re.findall(r"`(aws cloudformation delete-stack [^`]+)`", GUIDE)
    script = "\n".join([*blocks, "outputs ecs"])
    for text, instead in {
        "$(deploy/release.sh)": IMAGE,
        "<registry>": "mlflow.example.org",
        "<domain>": "a.example.org",
        "file:///dev/stdin": "a",
    }.items():
        script = script.replace(text, instead)
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.setenv(f"AWS_{name}", "test")
    with aws_account(monkeypatch) as account:
        issued = account.client("acm").request_certificate(DomainName="a.example.org")
        script = script.replace("<certificate>", issued["CertificateArn"])
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
        server.start()
        host, port = server.get_host_and_port()
        environment = {
            **{key: value for key, value in os.environ.items() if "proxy" not in key.lower()},
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_DEFAULT_REGION": REGION,
        }
        try:
            for words, stays in ((script, True), (down, False)):
                done = subprocess.run(
                    ["bash", "-euo", "pipefail", "-c", words],
                    cwd=ROOT,
                    env=environment,
                    capture_output=True,
                    text=True,
                    timeout=300,
                    check=False,
                )
                assert done.returncode == 0, done.stderr
                for service in ("carprice-ecs-Service", "carprice-ecs-tls-Service"):
                    assert (f"ServiceName={service}" in done.stdout) == stays
                there = account.resources()["cloudformation"]
                assert ("carprice-ecs" in there) == stays
                assert "carprice-ecs-tls" not in there
        finally:
            server.stop()
