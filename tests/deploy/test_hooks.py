"""The hook scripts against stand-ins that record calls, and against moto where ``aws`` is there."""

import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Instance

SCRIPTS = Path(__file__).parents[2] / "deploy" / "scripts"
HOOKS = sorted(path.name for path in SCRIPTS.glob("*.sh") if path.read_bytes()[:2] == b"#!")
CHECKING = [name for name in HOOKS if name != "stop_docker.sh"]
VARIABLE = "MLFLOW_TRACKING_PASSWORD"

pytestmark = pytest.mark.skipif(not shutil.which("bash"), reason="the hooks need bash")


@pytest.mark.parametrize("script", HOOKS)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_says_what_it_does(instance: "Instance", script: str, option: str) -> None:
    instance.settings = {}
    done = instance.run(script, option)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{script}: " if script != "stop_docker.sh" else script)
    assert not re.search(r"^#|set -euo", done.stdout, re.MULTILINE)
    assert instance.calls == []


@pytest.mark.parametrize("script", CHECKING)
def test_an_unknown_argument_is_refused(instance: "Instance", script: str) -> None:
    instance.fails(2, ["unknown argument '--fast'", "--help"], script, "--fast")
    assert instance.calls == []


@pytest.mark.parametrize("script", ["pull_image.sh", "start_docker.sh", "validate_service.sh",
                                    "wait_for_health.sh"])  # fmt: skip
def test_no_image_env(instance: "Instance", script: str) -> None:
    instance.settings = {}
    instance.fails(2, [f"{instance.bundle}/image.env is missing", "deploy/bundle.sh"], script)
    assert instance.calls == []


@pytest.mark.parametrize(
    ("script", "key"),
    [
        *(("pull_image.sh", key) for key in ("IMAGE", "AWS_REGION")),
        *(("start_docker.sh", key) for key in ("IMAGE", "AWS_REGION", "MLFLOW_TRACKING_URI")),
        *(("validate_service.sh", key) for key in ("MODEL_VERSION", "LOWEST", "HIGHEST")),
    ],
)
def test_a_key_that_is_not_there(instance: "Instance", script: str, key: str) -> None:
    del instance.settings[key]
    instance.fails(
        2, [f"image.env has no {key}; make the bundle again with deploy/bundle.sh"], script
    )
    assert instance.calls == []


@pytest.mark.parametrize("value", ["0", "65536", "-1", "80a", "8 0", "8000.0", "9" * 30])
@pytest.mark.parametrize("script", ["start_docker.sh", "validate_service.sh", "wait_for_health.sh"])
def test_a_port_that_is_none(instance: "Instance", script: str, value: str) -> None:
    instance.settings["PORT"] = value
    done = instance.fails(2, [], script)
    assert re.search(rf"image.env: PORT must be .*1 to 65535 \(found '?{value}", done.stderr)
    assert instance.calls == []


def test_a_comment_and_a_longer_name_are_no_setting(instance: "Instance") -> None:
    instance.settings = {"# IMAGE": "a", "OTHER_IMAGE": "b", **instance.settings}
    instance.succeeds("pull_image.sh")
    instance.settings.pop("IMAGE")
    assert instance.run("pull_image.sh").returncode == 2


def test_ubuntus_aws_is_found() -> None:
    """The agent's PATH lacks /snap/bin."""
    path = subprocess.run(
        ["bash", "-c", f". {SCRIPTS}/common.sh; echo $PATH"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert path.strip().endswith(":/snap/bin")


def _fails(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode != 0


@pytest.fixture
def real_aws(instance: "Instance", aws: str) -> "tuple[Instance, Callable[..., Any]]":
    """An instance with the real AWS command line, logged in to moto; and a way to run a hook."""
    program = shutil.which("aws")
    if program is None or _fails([program, "--version"]):
        pytest.skip("no aws command line that works is on the PATH")
    instance.lacks("aws")
    instance.settings["AWS_REGION"] = os.environ["AWS_DEFAULT_REGION"]
    given = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    path = os.pathsep.join([str(instance.programs), os.environ["PATH"]])

    def run(script: str) -> Any:
        return instance.run(script, **given, PATH=path, NO_PROXY="*", HOME=os.environ["HOME"])

    return instance, run


def test_secrets_of_the_real_aws_command_line(real_aws: Any) -> None:
    import boto3

    instance, run = real_aws
    password, token = (f"{secrets.token_urlsafe(24)} $x\"'=" for _ in range(2))
    name = f"/carprice/{secrets.token_hex(4)}"
    store, manager = boto3.client("ssm"), boto3.client("secretsmanager")
    store.put_parameter(Name=name, Value=password, Type="SecureString")
    manager.create_secret(Name=name, SecretString=token)
    instance.reads(VARIABLE, f"ssm:{name}")
    instance.reads("MLFLOW_TRACKING_TOKEN", f"secretsmanager:{name}")
    done = run("start_docker.sh")
    assert done.returncode == 0, done.stderr
    found = {path.name: path.read_text() for path in instance.secrets.iterdir()}
    assert found == {
        "MLFLOW_TRACKING_PASSWORD": f"{password}\n",
        "MLFLOW_TRACKING_TOKEN": f"{token}\n",
    }
    for secret in (password, token):
        instance.never_shows(secret, done)

    instance.reads(VARIABLE, f"ssm:{name}-gone")
    done = run("start_docker.sh")
    assert done.returncode == 1
    assert "ParameterNotFound" in done.stderr
    assert f"the secret ssm:{name}-gone" in done.stderr

    manager.put_secret_value(SecretId=name, SecretBinary=b"\x00")
    instance.reads(VARIABLE, f"secretsmanager:{name}")
    done = run("start_docker.sh")
    assert done.returncode == 1
    assert "has no text" in done.stderr
    store.close()
    manager.close()


def test_the_login_of_the_real_aws_command_line(real_aws: Any) -> None:
    instance, run = real_aws
    instance.answers("docker image inspect", code=1)
    done = run("pull_image.sh")
    assert done.returncode == 0, done.stderr
    (logged_in,) = instance.called("docker login")
    assert logged_in.input.strip()
    instance.never_shows(logged_in.input.strip(), done)
