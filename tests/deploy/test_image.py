"""The image with real podman: what it holds, and that it serves with next to no privileges.

Builds it, or takes the one that CARPRICE_IMAGE names.
"""

import base64
import datetime
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from asking import ask_every_route
from containers import (
    HARDENED,
    LISTING,
    PLAIN,
    Container,
    built,
    inspected,
    podman,
    real_docker,
    running,
)
from delivery import Instance, free_port

from api.environment import DEFAULT_PORT, SECRETS

ROOT = Path(__file__).resolve().parents[2]
LARGEST = 350_000_000
SECRET = re.compile(r"(?i)(?:token|password|passwd|secret|api_?key)\w*\s*[=:]\s*[\"']?[^\s\"'/]")

pytestmark = pytest.mark.usefixtures("base_image")


@pytest.fixture(scope="module")
def details(image: str) -> dict[str, Any]:
    return inspected(image)


def test_it_is_small(details: dict[str, Any], record_property: Callable[..., None]) -> None:
    record_property("bytes", details["Size"])
    record_property("layers", len(details["RootFS"]["Layers"]))
    print(f"{details['Size'] / 1e6:.0f} MB in {len(details['RootFS']['Layers'])} layers")  # noqa: T201
    assert details["Size"] <= LARGEST
    assert len(details["RootFS"]["Layers"]) <= 16


def test_it_says_how_it_runs(details: dict[str, Any]) -> None:
    config = details["Config"]
    user, _, group = config["User"].partition(":")
    assert int(user) > 0
    assert int(group) > 0
    assert config["Entrypoint"] == ["python3", "-m", "api"]
    assert config["Cmd"] == ["serve"]
    assert list(config["ExposedPorts"]) == [f"{DEFAULT_PORT}/tcp"]
    assert details["Healthcheck"]["Test"] == ["CMD", "python3", "-m", "api.healthcheck"]
    labels = {name.rpartition(".")[2]: text for name, text in config["Labels"].items()}
    assert labels["title"] == "carprice"
    assert labels["licenses"] == "MIT"
    assert re.fullmatch(r"[0-9a-f]{7,40}(-dirty)?", labels["revision"])
    datetime.datetime.fromisoformat(labels["created"])


def test_neither_its_history_nor_its_settings_hold_a_secret(
    image: str, details: dict[str, Any]
) -> None:
    history = podman("history", "--no-trunc", "--format", "{{.CreatedBy}}", image).stdout
    for text in (history, json.dumps(details["Config"]), json.dumps(details["History"])):
        assert not SECRET.search(text)
        assert not any(name in text for name in SECRETS)
        assert not re.search(r"://[^/\s\"]*@", text)


def test_it_holds_what_serving_needs_and_no_more(image: str) -> None:
    script = """
import importlib.metadata, importlib.util, json, os, pathlib, shutil
names = "dvc pandas sklearn mlflow mlflow_skinny xgboost boto3 scipy matplotlib pip setuptools " \\
    "hatchling pytest"
opt = pathlib.Path("/opt")
print(json.dumps({
    "modules": [name for name in names.split() if importlib.util.find_spec(name)],
    "programs": [name for name in "gcc cc g++ make curl git".split() if shutil.which(name)],
    "pip": [str(path) for path in pathlib.Path("/opt/venv/bin").glob("pip*")],
    "locked": {one.name.lower().replace("_", "-"): one.version
               for one in importlib.metadata.distributions(path=[
                   *map(str, pathlib.Path("/opt/venv/lib").glob("python*/site-packages"))])},
    "carprice": importlib.metadata.version("carprice"),
    "top": sorted(path.name for path in pathlib.Path("/opt/carprice").iterdir()),
    "writable": [str(path) for path in opt.rglob("*") if os.access(path, os.W_OK)],
    "source": [str(path) for path in pathlib.Path("/opt/carprice").rglob("*.py")
               if not list(path.parent.glob("__pycache__/" + path.stem + ".*.pyc"))],
}))
"""
    done = podman("run", "--rm", *PLAIN, "--entrypoint", "python3", image, "-c", script)
    found = json.loads(done.stdout)
    assert found["modules"] == found["programs"] == found["pip"] == []
    assert found["carprice"] == version("carprice")
    assert [name for name in found["top"] if not name.endswith(".dist-info")] == ["api", "carprice"]
    assert found["writable"] == []
    assert found["source"] == []  # without byte code
    lock = (ROOT / "deploy" / "locks" / "serving.txt").read_text(encoding="utf-8")
    pins = dict(re.findall(r"^([a-z0-9-]+)==([^ ;]+)", re.sub(
        r"^.*python_full_version >= .*$", "", lock, flags=re.MULTILINE), re.MULTILINE))  # fmt: skip
    assert found["locked"] == pins


@pytest.fixture(scope="module")
def serving(image: str, model_folder: Path) -> Iterator[Container]:
    """A hardened container that started with a model folder of its own."""
    with running(
        image,
        f"--volume={model_folder}:/opt/model:ro",
        environment={"CARPRICE_BAKED_MODEL": "/opt/model"},
    ) as container:
        yield container


def test_it_predicts_and_its_process_may_do_next_to_nothing(serving: Container) -> None:
    answer = serving.ask("/predict", LISTING)
    assert answer.status_code == 200, answer.text
    assert answer.json()["predictedPrice"] > 0
    assert serving.health()["source"] == "image"
    lines = serving.run("cat", "/proc/1/status").stdout.splitlines()
    found = dict(line.split(":", 1) for line in lines)
    assert found["Uid"].split() == found["Gid"].split() == ["10001"] * 4
    assert {int(found[name], 16) for name in ("CapEff", "CapPrm", "CapBnd", "CapInh")} == {0}
    assert found["NoNewPrivs"].strip() == "1"
    for path in ("/opt/carprice/x", "/var/lib/carprice/x", "/x"):
        assert "Read-only file system" in serving.run("touch", path).stderr
    # Without a shell before it, which would keep SIGTERM to itself.
    words = serving.run("cat", "/proc/1/cmdline").stdout.split("\0")
    assert words[1:-1] == ["-m", "api", "serve"]


def test_no_route_fails_in_the_image(serving: Container) -> None:
    ask_every_route(serving.request)
    assert '"trace"' not in serving.log


def test_the_health_check_in_the_container(serving: Container, image: str) -> None:
    healthy = serving.run("python3", "-m", "api.healthcheck")
    assert (healthy.returncode, json.loads(healthy.stdout)["status"]) == (0, "ok")
    with running(image, ready=503) as container:
        loading = container.run("python3", "-m", "api.healthcheck")
        assert (loading.returncode, json.loads(loading.stdout)["modelVersion"]) == (1, None)
        assert container.ask("/live").status_code == 200
        assert container.stop() == 0
    elsewhere = serving.run("env", f"PORT={free_port()}", "python3", "-m", "api.healthcheck")
    assert elsewhere.returncode == 1


@pytest.mark.parametrize("value", ["eighty", "70000"])
def test_a_bad_port_is_told(image: str, value: str) -> None:
    done = podman("run", "--rm", *PLAIN, *HARDENED, f"--env=PORT={value}", image, check=False)
    assert done.returncode == 2
    assert f"PORT must be a port's number from 0 to 65535 (found '{value}')" in done.stderr


@pytest.fixture(scope="module")
def registry(
    dagshub: Any,
    model_folder: Path,
    register: Callable[[str, str, Path, Path], int],
    tmp_path_factory: pytest.TempPathFactory,
) -> SimpleNamespace:
    """The MLflow server behind the stand-in for DagsHub: it wants a login of its own."""
    from carprice.registry.versions import Registry

    url, name = dagshub.upstream.url, f"cars-{secrets.token_hex(4)}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_USERNAME", dagshub.user)
        patch.setenv("MLFLOW_TRACKING_PASSWORD", dagshub.token)
        number = register(url, name, model_folder, tmp_path_factory.mktemp("scratch"))
        now = datetime.datetime.now(datetime.UTC)
        Registry(url, name).point("production", number, now)
    return SimpleNamespace(
        url=url, name=name, version=number, user=dagshub.user, token=dagshub.token
    )


def folder_of_the_user(path: Path, **files: str) -> Path:
    """Make a folder with files that only the container's user can read and write."""
    path.mkdir()
    for name, text in files.items():
        (path / name).write_text(text)
    for made in (path, *path.iterdir()):
        os.chown(made, 10001, 10001)
        made.chmod(0o700 if made.is_dir() else 0o400)
    return path


def test_a_login_of_secret_files_is_used_and_seen_nowhere(
    image: str, registry: SimpleNamespace, tmp_path: Path, record_property: Callable[..., None]
) -> None:
    login = folder_of_the_user(
        tmp_path / "secrets",
        MLFLOW_TRACKING_USERNAME=f"{registry.user}\n",
        MLFLOW_TRACKING_PASSWORD=f"{registry.token}\n",
    )
    cache = folder_of_the_user(tmp_path / "cache")
    mounts = (f"--volume={login}:/run/secrets:ro", f"--volume={cache}:/var/lib/carprice/models")
    environment = {
        "MLFLOW_TRACKING_URI": registry.url,
        "CARPRICE_MODEL_NAME": registry.name,
        "CARPRICE_START_SECONDS": "20",
    }
    with running(image, *mounts, environment=environment) as container:
        record_property("ready with the registry's model after", container.seconds)
        assert container.health()["source"] == "registry"
        answer = container.ask("/predict", LISTING)
        assert answer.status_code == 200
        assert answer.headers["X-Model-Version"] == str(registry.version)
        seen = {
            "inspect": podman("inspect", container.name).stdout,
            "environment": container.run("cat", "/proc/1/environ").stdout,
            "arguments": container.run("cat", "/proc/1/cmdline").stdout,
            "log": container.log,
            "log after the end": f"{container.stop()} {container.log}",
        }
    hidden = base64.b64encode(f"{registry.user}:{registry.token}".encode()).decode()
    for place, text in seen.items():
        assert text, place
        assert registry.token not in text, place
        assert hidden not in text, place

    with running(image, *mounts, environment={**environment, "CARPRICE_START_SECONDS": "5"}) as one:
        record_property("ready with the model in its cache after", one.seconds)
        print(f"ready with the model in its cache after {one.seconds:.1f} s")  # noqa: T201
        assert one.health()["source"] == "registry"

    wrong = folder_of_the_user(tmp_path / "wrong", MLFLOW_TRACKING_PASSWORD="<wrong>")
    mounts = (f"--volume={wrong}:/run/secrets:ro", mounts[1])
    with running(image, *mounts, environment=environment) as container:
        assert container.health()["source"] == "cache"


def test_a_model_can_be_baked_in(
    model_folder: Path, copy_project: Callable[[Path], Path], tmp_path: Path
) -> None:
    """With the build argument, from a folder below ``models``."""
    context = copy_project(tmp_path / "context")
    shutil.copytree(model_folder, context / "models" / "champion")
    baked = built(context, "--build-arg", "MODEL=models/champion")
    try:
        assert inspected(baked)["Size"] <= LARGEST
        with running(baked) as container:
            health = container.health()
            assert (health["status"], health["source"]) == ("ok", "image")
            assert container.ask("/predict", LISTING).status_code == 200
    finally:
        podman("rmi", baked, check=False)


@pytest.mark.skipif(
    os.environ.get("CARPRICE_ACT") != "all",
    reason="two builds from the start take a minute; CARPRICE_ACT=all runs it",
)
def test_two_builds_give_the_same_layers() -> None:
    names = [built(ROOT, "--no-cache") for _ in range(2)]
    try:
        first, second = (inspected(name) for name in names)
        assert first["RootFS"]["Layers"] == second["RootFS"]["Layers"]
        assert first["Config"] == second["Config"]
    finally:
        podman("rmi", *names, check=False)


def test_the_hooks_deploy_it_with_real_podman(
    image: str, details: dict[str, Any], registry: SimpleNamespace, instance: Instance
) -> None:
    container = real_docker(instance.programs / "docker")
    instance.settings |= {
        "IMAGE": details["RepoDigests"][0],
        "PORT": free_port(),
        "MLFLOW_TRACKING_URI": registry.url,
        "MODEL_VERSION": registry.version,
        "CARPRICE_MODEL_NAME": registry.name,
        "CARPRICE_DRAIN_SECONDS": 0,
        "HEALTH_SECONDS": 60,
        "LOWEST": 10000,
        "HIGHEST": 10000000,
    }
    instance.reads("MLFLOW_TRACKING_USERNAME", "ssm:/user")
    instance.reads("MLFLOW_TRACKING_PASSWORD", "ssm:/password")
    region = f"aws ssm get-parameter --region {instance.settings['AWS_REGION']} --name"
    instance.answers(f"{region} /user", f"{registry.user}\n")
    instance.answers(f"{region} /password", f"{registry.token}\n")
    instance.listing(LISTING)

    def hooks(*names: str) -> None:
        for name in names:
            done = instance.run(f"{name}.sh")
            assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"
            assert registry.token not in done.stdout + done.stderr

    try:
        hooks("stop_docker", "pull_image", "start_docker", "wait_for_health", "validate_service")
        first = podman("inspect", container)
        assert registry.token not in first.stdout
        hooks("pull_image", "start_docker", "wait_for_health", "validate_service")
        (before,), (after,) = (
            json.loads(one.stdout) for one in (first, podman("inspect", container))
        )
        assert before["Id"] != after["Id"]
        for one in (before, after):
            one["Mounts"].sort(key=lambda mount: mount["Destination"])
        for key in ("Image", "Mounts", "Args", "Path"):
            assert before[key] == after[key]
        instance.settings["MODEL_VERSION"] = registry.version + 1
        done = instance.run("validate_service.sh")
        assert done.returncode == 1
        assert f"model version {registry.version} answered" in done.stderr
        hooks("stop_docker", "stop_docker")
        assert podman("container", "exists", container, check=False).returncode == 1
    finally:
        podman("rm", "--force", "--time", "0", container, check=False)
