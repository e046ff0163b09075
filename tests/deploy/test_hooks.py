"""What all hook scripts have in common, and their questions to AWS against moto."""

import itertools
import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from delivery import Done, Instance

SCRIPTS = Path(__file__).parents[2] / "deploy" / "scripts"
HOOKS = sorted(path.name for path in SCRIPTS.glob("*.sh") if path.read_bytes()[:2] == b"#!")
VARIABLE = "MLFLOW_TRACKING_PASSWORD"
HEX = "0" * 64
NO_IMAGES = ["r.io/carprice", "r.io/carprice:latest", f"carprice@sha256:{HEX}",
             "r.io/carprice@sha256:abc", f"--privileged/carprice@sha256:{HEX}"]  # fmt: skip
NO_PORTS = ["0", "65536", "-1", "80a", "8 0", "8000.0", "9" * 30]
NO_AMOUNTS = ["cheap", "-1", "1e9", "3,5", "300000.", "0x10"]
NO_SECONDS = ["111", "120", "0", "1.5", "two"]
GONE = "image.env has no {key}; make the bundle again with deploy/bundle.sh"
NO_IMAGE = "IMAGE must be REGISTRY/REPOSITORY@sha256:DIGEST (found '{value}')"
NO_AMOUNT = "{key} must be an amount such as 250000 (found '{value}')"

pytestmark = pytest.mark.skipif(not shutil.which("bash"), reason="the hooks need bash")


@pytest.mark.parametrize("script", HOOKS)
def test_help_says_what_it_does(instance: Instance, script: str) -> None:
    instance.settings = {}
    for option in ("--help", "-h"):
        done = instance.succeeds(script, option)
        assert done.stderr == ""
        assert done.stdout.startswith(f"{script}: ")
        assert not re.search(r"^#|set -euo", done.stdout, re.MULTILINE)
    assert instance.calls == []


@pytest.mark.parametrize("script", [name for name in HOOKS if name != "stop_docker.sh"])
def test_an_unknown_argument_is_refused(instance: Instance, script: str) -> None:
    instance.fails(2, ["unknown argument '--fast'", "--help"], script, "--fast")
    assert instance.calls == []


@pytest.mark.parametrize("script", ["pull_image.sh", "start_docker.sh", "validate_service.sh",
                                    "wait_for_health.sh"])  # fmt: skip
def test_no_image_env(instance: Instance, script: str) -> None:
    instance.settings = {}
    instance.fails(2, [f"{instance.bundle}/image.env is missing", "deploy/bundle.sh"], script)
    assert instance.calls == []


@pytest.mark.parametrize(
    ("script", "keys", "values", "told"),
    [
        ("pull_image.sh", ["IMAGE", "AWS_REGION"], [None], GONE),
        ("start_docker.sh", ["IMAGE", "AWS_REGION", "MLFLOW_TRACKING_URI"], [None], GONE),
        ("validate_service.sh", ["MODEL_VERSION", "LOWEST", "HIGHEST"], [None], GONE),
        ("pull_image.sh", ["IMAGE"], NO_IMAGES, NO_IMAGE),
        ("start_docker.sh", ["PORT"], NO_PORTS, "1 to 65535 (found "),
        ("validate_service.sh", ["PORT"], NO_PORTS, "1 to 65535 (found "),
        ("wait_for_health.sh", ["PORT"], NO_PORTS, "1 to 65535 (found "),
        ("validate_service.sh", ["LOWEST", "HIGHEST"], NO_AMOUNTS, NO_AMOUNT),
        ("wait_for_health.sh", ["HEALTH_SECONDS"], NO_SECONDS, "1 to 100 (found "),
    ],
)
def test_a_setting_that_is_missing_or_wrong(
    instance: Instance, script: str, keys: list[str], values: list[str | None], told: str
) -> None:
    usual = instance.settings
    for key, value in itertools.product(keys, values):
        instance.settings = {**usual, key: value or ""}
        if value is None:
            del instance.settings[key]
        named = f"image.env: {key} must be " if value else f"no {key}"
        instance.fails(2, [named, told.format(key=key, value=value), value or ""], script)
        assert instance.calls == []


def test_a_comment_and_a_longer_name_are_no_setting(instance: Instance) -> None:
    instance.settings = {"# IMAGE": "a", "OTHER_IMAGE": "b", **instance.settings}
    instance.succeeds("pull_image.sh")
    instance.settings.pop("IMAGE")
    instance.fails(2, [], "pull_image.sh")


def test_ubuntus_aws_is_found() -> None:
    """The agent's PATH lacks /snap/bin."""
    path = subprocess.check_output(["bash", "-c", f". {SCRIPTS}/common.sh; echo $PATH"], text=True)
    assert path.strip().endswith(":/snap/bin")


@pytest.fixture
def real_aws(instance: Instance, aws: str) -> Callable[[str], Done]:
    """Runs a hook where the AWS command line is the real one, logged in to moto."""
    program = shutil.which("aws")
    version = [str(program), "--version"]
    if program is None or subprocess.run(version, capture_output=True, check=False).returncode:
        pytest.skip("no aws command line that works is on the PATH")
    instance.lacks("aws")
    instance.settings["AWS_REGION"] = os.environ["AWS_DEFAULT_REGION"]
    given = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    path = os.pathsep.join([str(instance.programs), os.environ["PATH"]])

    def run(script: str) -> Done:
        return instance.run(script, **given, PATH=path, NO_PROXY="*", HOME=os.environ["HOME"])

    return run


def test_secrets_of_the_real_aws_command_line(
    instance: Instance, real_aws: Callable[[str], Done]
) -> None:
    import boto3

    password, token = (f"{secrets.token_urlsafe(24)} $x\"'=" for _ in range(2))
    name = f"/carprice/{secrets.token_hex(4)}"
    store, manager = boto3.client("ssm"), boto3.client("secretsmanager")
    store.put_parameter(Name=name, Value=password, Type="SecureString")
    manager.create_secret(Name=name, SecretString=token)
    instance.reads(VARIABLE, f"ssm:{name}")
    instance.reads("MLFLOW_TRACKING_TOKEN", f"secretsmanager:{name}")
    done = real_aws("start_docker.sh")
    assert done.returncode == 0, done.stderr
    found = {path.name: path.read_text() for path in instance.secrets.iterdir()}
    assert found == {VARIABLE: f"{password}\n", "MLFLOW_TRACKING_TOKEN": f"{token}\n"}
    for secret in (password, token):
        instance.never_shows(secret, done)

    manager.put_secret_value(SecretId=name, SecretBinary=b"\x00")
    for place, told in (
        (f"ssm:{name}-gone", "ParameterNotFound"),
        (f"secretsmanager:{name}", "has no text"),
    ):
        instance.reads(VARIABLE, place)
        done = real_aws("start_docker.sh")
        assert done.returncode == 1
        assert told in done.stderr
        assert f"the secret {place}" in done.stderr
    store.close()
    manager.close()


def test_the_login_of_the_real_aws_command_line(
    instance: Instance, real_aws: Callable[[str], Done]
) -> None:
    instance.answers("docker image inspect", code=1)
    done = real_aws("pull_image.sh")
    assert done.returncode == 0, done.stderr
    (logged_in,) = instance.called("docker login")
    assert logged_in.input.strip()
    instance.never_shows(logged_in.input.strip(), done)
