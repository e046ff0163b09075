"""appspec.yml, the scripts, the Dockerfile, the locks and the workflows say the same."""

import contextlib
import json
import os
import posixpath
import re
import subprocess
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
import yaml
from image_env import LOG_FOLDER, service_settings
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from api.environment import SECRETS
from api.service_settings import ServiceSettings
from carprice.model_tests.serving_requirements import installed, requirements
from carprice.monitoring.canary import share_of

ROOT = Path(__file__).resolve().parents[2]
APPSPEC = yaml.load((ROOT / "appspec.yml").read_text(encoding="utf-8"), yaml.BaseLoader)  # noqa: S506
SETTINGS = service_settings(ROOT / "deploy" / "service.env")
HOOKS = [(event, hook) for event, hooks in APPSPEC["hooks"].items() for hook in hooks]
LONGEST_EVENT = 3600
# What the image's Python and machine say of themselves to a requirement's marker.
IMAGE = {
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "python_full_version": "3.11.0",
    "python_version": "3.11",
    "sys_platform": "linux",
}
TOO_MUCH = {"boto3", "dvc", "matplotlib", "mlflow", "mlflow-skinny", "onnxmltools", "pandas", "pip",
            "pyarrow", "scikit-learn", "scipy", "setuptools", "xgboost", "xgboost-cpu"}  # fmt: skip


def text_of(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def the_one(pattern: str, text: str) -> str:
    (found,) = re.findall(pattern, text, re.MULTILINE)
    return str(found)


def instructions() -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions, each with what it is told."""
    text = re.sub(r"^ *#.*\n", "", text_of("Dockerfile"), flags=re.MULTILINE)
    lines = re.sub(r" *\\\n *", " ", text).splitlines()
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines if line]


def told(instruction: str) -> list[str]:
    return [rest for name, rest in instructions() if name == instruction]


def test_the_hooks_run_in_an_order_that_works() -> None:
    """An image is there before its container starts, and a price is asked of a healthy one."""
    assert set(APPSPEC) == {"version", "os", "files", "file_exists_behavior", "hooks"}
    assert (APPSPEC["version"], APPSPEC["os"]) == ("0.0", "linux")
    assert APPSPEC["file_exists_behavior"] == "OVERWRITE"
    assert [(event, posixpath.basename(hook["location"])) for event, hook in HOOKS] == [
        ("ApplicationStop", "stop_docker.sh"),
        ("BeforeInstall", "install_dependencies.sh"),
        ("AfterInstall", "pull_image.sh"),
        ("ApplicationStart", "start_docker.sh"),
        ("ApplicationStart", "wait_for_health.sh"),
        ("ValidateService", "validate_service.sh"),
    ]


def test_git_has_the_scripts_as_executable() -> None:
    command = ["git", "ls-files", "--stage", "deploy"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    modes = {line.split("\t")[1]: line.split()[0] for line in done.stdout.splitlines()}
    if not modes:
        pytest.skip("no git repository here that has the scripts")
    for path, mode in modes.items():
        is_program = (ROOT / path).is_file() and (ROOT / path).read_bytes().startswith(b"#!")
        assert mode == ("100755" if is_program else "100644"), path


def aws_seconds() -> int:
    """Return for how long one question to AWS can last."""
    common = text_of("deploy/scripts/common.sh")
    times = re.findall(r"--cli-(?:connect|read)-timeout (\d+)", common)
    assert len(times) == 2
    return int(the_one(r"AWS_MAX_ATTEMPTS=(\d+)", common)) * sum(map(int, times))


def waits(script: str) -> int:
    """Return for how long a script itself waits for others, where they never answer."""
    text = re.sub(r"^ *#.*\n", "", text_of(f"deploy/scripts/{script}"), flags=re.MULTILINE)
    text = re.sub(r"(timeout \d+ docker stop) -t \d+", r"\1", text)
    own = sum(map(int, re.findall(r"(?:\btimeout |--max-time |sleep |stop -t )(\d+)", text)))
    questions = 0
    if re.search(r"^pull$", text, re.MULTILINE):
        questions += 1
        common = text_of("deploy/scripts/common.sh")
        own += sum(map(int, re.findall(r"\btimeout (\d+) docker", common)))
    if "SECRET_" in text:
        questions += sum(key.startswith("SECRET_") for key in SETTINGS)
    if "VALIDATION_API_KEY" in text:
        questions += 1
    if script == "install_dependencies.sh":
        tries = int(the_one(r"for try in \{1\.\.(\d+)\}", text)) - 1  # of an update
        own = tries * int(the_one(r"\bsleep (\d+)", text)) + own - 10
    for largest in re.findall(r"\(number HEALTH_SECONDS \d+ (\d+)\)", text):
        own += int(largest)
    return own + questions * aws_seconds()


def test_what_may_take_long_has_a_limit_of_its_own() -> None:
    slow = r"docker (?:login|pull|run|stop|rm|logs)|apt-get|dnf|snap (?:wait|install)"
    for script in (ROOT / "deploy" / "scripts").glob("*.sh"):
        text = re.sub(r"^ *(?:#|fail ).*\n", "", script.read_text("utf-8"), flags=re.MULTILINE)
        for line in re.findall(rf"^.*\b(?:{slow}) .*-.*$", text, flags=re.MULTILINE):
            assert re.search(rf"\btimeout \d+ (?:{slow})", line), f"{script.name}: {line}"


@pytest.mark.parametrize("hook", [hook for _, hook in HOOKS], ids=lambda hook: hook["location"])
def test_a_hooks_script_can_be_run_and_waits_no_longer_than_its_limit(hook: dict[str, str]) -> None:
    assert set(hook) == {"location", "timeout", "runas"}
    location = hook["location"]
    assert posixpath.normpath(location) == location
    assert not location.startswith(("/", ".."))
    content = (ROOT / location).read_bytes()
    assert os.access(ROOT / location, os.X_OK)
    assert content.startswith(b"#!/usr/bin/env bash\n")
    assert b"\r" not in content
    assert hook["runas"] == "root"  # of the users that every /etc/passwd has, the one for Docker
    longest = waits(posixpath.basename(location))
    assert longest < int(hook["timeout"])
    if "wait_for_health" in location or "stop" in location:
        assert longest > 0.9 * int(hook["timeout"])  # or else the rule above was not tried


def test_no_event_is_longer_than_codedeploy_lets_it_be() -> None:
    for hooks in APPSPEC["hooks"].values():
        assert sum(int(hook["timeout"]) for hook in hooks) <= LONGEST_EVENT


def test_the_limit_that_wait_for_health_tells_is_its_hooks() -> None:
    (hook,) = (hook for _, hook in HOOKS if hook["location"].endswith("wait_for_health.sh"))
    script = text_of(hook["location"])
    assert f"ends the hook at {hook['timeout']}" in re.sub(r"\n# ", " ", script)
    default, largest = re.findall(r"number HEALTH_SECONDS (\d+) (\d+)", script)[0]
    assert f"({default}; at most {largest}," in script
    assert int(SETTINGS.get("HEALTH_SECONDS", default)) <= int(largest)


def test_the_container_listens_where_it_is_published() -> None:
    script = text_of("deploy/scripts/start_docker.sh")
    assert '--publish "$port:$port"' in script
    assert '--env "PORT=$port"' in script
    for name in ("start_docker.sh", "wait_for_health.sh", "validate_service.sh"):
        text = text_of(f"deploy/scripts/{name}")
        assert "$(port)" in text
        assert not re.search(r"(?:127\.0\.0\.1|localhost|--publish \S*):\d", text)


def test_the_guide_tells_the_events_scripts_and_limits_of_appspec() -> None:
    event, rows = "", []
    for line in text_of("docs/aws.md").splitlines():
        if row := re.match(r"\| (\w*) ?\| `(\w+\.sh)` \| (\d+) s \|", line):
            event = row[1] or event
            rows.append((event, f"deploy/scripts/{row[2]}", row[3]))
    assert rows == [(event, hook["location"], hook["timeout"]) for event, hook in HOOKS]
    for name in SECRETS:
        assert f"`{name}`" in text_of("docs/deploy.md")


def test_the_healthcheck_needs_no_curl() -> None:
    (check,) = told("HEALTHCHECK")
    _, _, command = check.partition(" CMD ")
    assert json.loads(command) == ["python3", "-m", "api.healthcheck"]
    assert not re.search(r"\b(apt-get|curl|wget)\b", text_of("Dockerfile"))


def test_the_image_is_started_without_a_shell_as_nobody_much() -> None:
    assert json.loads(told("ENTRYPOINT")[-1]) == ["python3", "-m", "api"]
    assert json.loads(told("CMD")[-1]) == ["serve"]
    assert not told("ADD")
    stages = told("FROM")
    assert len(stages) == 2
    assert {stage.split()[0] for stage in stages} == {"${BASE}"}
    user = the_one(r"^user=(\S+)", text_of("deploy/scripts/start_docker.sh"))
    assert told("USER") == [user]
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user)
    assert f"chown -R {user} /var/lib/carprice" in text_of("Dockerfile")


def test_the_container_finds_its_mounts() -> None:
    script = text_of("deploy/scripts/start_docker.sh")
    cache = the_one(r"CARPRICE_MODEL_CACHE=(\S+)", text_of("Dockerfile"))
    assert f'--volume "$state/models:{cache}"' in script
    spool = the_one(r"^keep (\S+) CARPRICE_PREDICTION_LOG$", script)
    assert f"{posixpath.dirname(cache)}/{spool}" == LOG_FOLDER


def test_the_settings_on_the_instances_are_ones_that_the_service_reads() -> None:
    passed_on = the_one(
        r"grep -E '(.*?)' \"\$image_env\"", text_of("deploy/scripts/start_docker.sh")
    )
    own = {"PORT", "HEALTH_SECONDS", "HEALTHY_ANSWERS", "VALIDATION_API_KEY"}
    for key in SETTINGS:
        if key.startswith("SECRET_"):
            assert key.removeprefix("SECRET_") in SECRETS
        elif key.startswith("CARPRICE_"):
            assert key.removeprefix("CARPRICE_").lower() in ServiceSettings.model_fields
        else:
            assert key in own or re.match(passed_on, f"{key}=")


def test_a_decision_in_the_registry_reaches_instances_that_run() -> None:
    """And not before the hooks have seen the version that their bundle promises."""
    seconds = int(SETTINGS["CARPRICE_POLL_SECONDS"])
    (validation,) = (hook for _, hook in HOOKS if "validate_service" in hook["location"])
    assert int(validation["timeout"]) < 0.75 * seconds
    for guide in ("docs/ci.md", "docs/aws.md"):
        assert f"`CARPRICE_POLL_SECONDS={seconds}`" in text_of(guide)


def test_no_canary_answers_for_the_known_listing() -> None:
    """Whatever its share, at most a half: the hook wants production's version."""
    known = json.loads(text_of("deploy/known_listing.json"))["listing"]
    assert share_of(known) >= 0.5


def locked(name: str, folder: str = "locks") -> dict[str, Version]:
    """Return the locked versions for the image's Python, each line checked."""
    text = text_of(f"deploy/{folder}/{name}")
    found: dict[str, Version] = {}
    for block in re.split(r"\n(?=\S)", text.strip()):
        head, *hashes = re.split(r" *\\\n *", block)
        requirement = Requirement(head)
        assert hashes, f"{head} has no hash"
        for one in hashes:
            assert re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", one), one
        (pin,) = requirement.specifier
        assert pin.operator == "=="
        assert requirement.url is None
        if requirement.marker is None or requirement.marker.evaluate(IMAGE):
            assert requirement.name not in found
            found[canonicalize_name(requirement.name)] = Version(pin.version)
    return found


def test_the_locks_hold_hashes_and_no_address() -> None:
    for path in (ROOT / "deploy").glob("*/*.txt"):
        assert locked(path.name, path.parent.name)
        assert not re.search(
            r"https?:|--(?:extra-)?index-url|--find-links", path.read_text("utf-8")
        )
    assert "--require-hashes" in text_of("Dockerfile")
    for command in told("RUN"):
        for install in re.findall(r"install (.*?)(?:&&|$)", command):
            assert ("--require-hashes" in install) == ("--requirement" in install)
            assert "--no-deps" in install


def test_the_locked_versions_are_the_ones_that_the_project_wants() -> None:
    found = locked("serving.txt")
    for requirement in map(Requirement, requirements()):
        if requirement.marker is None or requirement.marker.evaluate(IMAGE):
            pin = found[canonicalize_name(requirement.name)]
            assert requirement.specifier.contains(pin), requirement
    of_log = locked("log.txt")
    wanted = requirements(["pyarrow", "sqlalchemy"])
    assert len(wanted) == 2
    (driver,) = re.findall(r'"(psycopg\[binary\].*?)"', text_of("pyproject.toml"))
    for one in map(Requirement, (*wanted, driver)):
        assert one.specifier.contains(of_log.pop(one.name))
    assert of_log.pop("psycopg-binary") == locked("training.txt", "training")["psycopg-binary"]
    assert of_log.items() <= found.items()  # the same pins as without a log
    built_by = locked("build.txt")
    (wanted,) = re.findall(r'^requires = \["(.*)"\]', text_of("pyproject.toml"), re.MULTILINE)
    assert Requirement(wanted).specifier.contains(built_by[Requirement(wanted).name])


def test_nothing_is_locked_that_serving_does_not_need() -> None:
    found = locked("serving.txt")
    assert not TOO_MUCH & set(found)
    needed = {canonicalize_name(name) for name in installed()}
    if set(found) == needed:
        return
    for name, pin in found.items():
        with contextlib.suppress(PackageNotFoundError):
            if Version(version(name)) != pin:
                pytest.skip(f"{name} {version(name)} is installed, not {pin}: it may need others")
    assert set(found) == needed


def test_only_what_the_dockerfile_copies_is_sent_to_the_build() -> None:
    sources = set()
    for copy in told("COPY"):
        if not copy.startswith("--from"):
            sources |= {source.rstrip("/") for source in copy.split()[:-1]}
    assert "${MODEL:-LICENSE}" in sources
    sources = sources - {"${MODEL:-LICENSE}"} | {"models"}
    lines = [line for line in text_of(".dockerignore").splitlines() if line and line[0] != "#"]
    assert lines[0] == "*"
    assert {line[1:] for line in lines if line.startswith("!")} == sources
    for line in lines[1:]:
        assert line.startswith(("!", "**/"))
    checked = the_one(r"git status --porcelain -- (.*?)\)", text_of("deploy/release.sh"))
    beside = {"Dockerfile", ".dockerignore", "deploy/base_image.txt"}
    assert set(checked.split()) == sources - {"models"} | beside


def test_listings_and_bundles_lie_apart() -> None:
    data = the_one(r"^ *url = s3://<your-bucket>/(.+)$", text_of(".dvc/config"))
    bundles = the_one(r"^\| `BUNDLE_BUCKET` \| `<bucket>/(.+)` \|$", text_of("docs/aws.md"))
    assert the_one(r"BUNDLE_BUCKET=<bucket>/(\S+)$", text_of("docs/aws.md")) == bundles
    assert not f"{bundles}/".startswith(f"{data}/")
    assert not f"{data}/".startswith(f"{bundles}/")


def test_the_jobs_with_secrets_install_what_is_locked() -> None:
    training, built_by = locked("training.txt", "training"), locked("build.txt", "training")
    here = {**IMAGE, "python_full_version": "3.12.0", "python_version": "3.12", "extra": ""}
    wanted = tomllib.loads(text_of("pyproject.toml"))
    for text in wanted["project"]["dependencies"]:
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate(here):
            assert requirement.specifier.contains(training[canonicalize_name(requirement.name)])
    for text in wanted["build-system"]["requires"]:
        assert Requirement(text).specifier.contains(built_by[Requirement(text).name])
    script = text_of("deploy/install_training.sh")
    for install in re.findall(r"^pip install (.*)$", script, re.MULTILINE):
        assert "--no-deps" in install
        assert ("--require-hashes" in install) == ("--requirement" in install)
    for workflow in ("ci", "retrain", "rollback", "deploy"):
        jobs = yaml.safe_load(text_of(f".github/workflows/{workflow}.yml"))["jobs"]
        for job in jobs.values():
            text = str(job.get("steps", ""))
            if "${{ secrets." in text:
                assert "deploy/install_training.sh" in text
                assert "pip install" not in text
