"""The stand-in for CodeDeploy's agent follows the agent's rules."""

import tarfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from rehearsal.agent import EVENTS, Agent, EventError, Revision, run_script
from rehearsal.appspec import AppSpecError, copies, parse

SPEC: dict[str, Any] = {"version": 0.0, "os": "linux"}


class Instance:
    """A folder that stands in for an instance's root."""

    def __init__(self, folder: Path) -> None:
        self.name, self._folder = "i-1", folder

    def path(self, inside: str) -> Path:
        return self._folder / inside.lstrip("/")

    def command(self, words: list[str]) -> list[str]:
        return [str(self.path(words[0])), *words[1:]]


class Bundles:
    """A bucket of bundles, and an agent that deploys them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.instance = Instance(folder / "instance")
        copy = folder / "hooks.log"
        self.agent = Agent(self.instance, self._download, {"AWS_REGION": "x"}, copy)  # type: ignore[arg-type]

    def put(self, name: str, spec: Mapping[str, Any], files: Mapping[str, str]) -> None:
        source = self.folder / name
        for path, text in {"appspec.yml": yaml.safe_dump({**SPEC, **spec}), **files}.items():
            (source / path).parent.mkdir(parents=True, exist_ok=True)
            (source / path).write_text(text)
            (source / path).chmod(0o755)
        with tarfile.open(self.folder / f"{name}.tgz", "w:gz") as packed:
            packed.add(source, ".")

    def deploy(self, name: str, until: str = EVENTS[-1]) -> dict[str, bool]:
        revision = Revision(f"d-{name}", "cars", "blue-green", "group", "bucket", f"{name}.tgz")
        done = {}
        for event in EVENTS:
            done[event] = self.agent.run(event, revision)
            if event == until:
                break
        return done

    def _download(self, _bucket: str, key: str, path: Path) -> None:
        path.write_bytes((self.folder / key).read_bytes())

    @property
    def log(self) -> str:
        return (self.folder / "hooks.log").read_text()


@pytest.fixture
def bundles(tmp_path: Path) -> Bundles:
    return Bundles(tmp_path)


def hook(event: str, script: str, **more: Any) -> dict[str, Any]:
    return {"hooks": {event: [{"location": script, **more}]}}


def script(text: str) -> str:
    return f"#!/bin/sh\n{text}\n"


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"version": 1.0}, "invalid version"),
        ({"os": "windows"}, "unsupported operating system"),
        ({"file_exists_behavior": "REPLACE"}, "REPLACE"),
        ({"hooks": {"AfterInstall": [{"timeout": 5}]}}, "no location"),
        ({"hooks": {"AfterInstall": [{"location": "a.sh", "timeout": -1}]}}, "a.sh"),
        ({"files": [{"source": "/"}]}, "only a source"),
    ],
)
def test_an_appspec_that_the_agent_refuses_is_refused(spec: dict[str, Any], told: str) -> None:
    with pytest.raises(AppSpecError, match=told):
        parse(yaml.safe_dump({**SPEC, **spec}))


def test_a_script_without_a_limit_has_an_hour() -> None:
    spec = parse(yaml.safe_dump({**SPEC, **hook("AfterInstall", "a.sh", runas="root")}))
    (found,) = spec.hooks["AfterInstall"]
    assert (found.location, found.runas, found.seconds) == ("a.sh", "root", 3600)


def test_a_folders_content_and_a_file_go_into_the_destination(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "a.sh").touch()
    (tmp_path / "b.txt").touch()
    whole = {str(path) for path in copies(tmp_path, "/", "/opt/cars").values()}
    assert whole == {"/opt/cars/scripts/a.sh", "/opt/cars/b.txt"}
    assert [str(path) for path in copies(tmp_path, "b.txt", "/opt").values()] == ["/opt/b.txt"]
    with pytest.raises(AppSpecError, match=r"c\.txt"):
        copies(tmp_path, "c.txt", "/opt")


def test_a_hook_runs_with_the_agents_environment(bundles: Bundles) -> None:
    files = {"show.sh": script("env; cat")}
    bundles.put("v1", hook("AfterInstall", "show.sh"), files)
    done = bundles.deploy("v1")
    assert done["AfterInstall"]
    assert not done["ApplicationStop"]
    assert not done["ValidateService"]
    for line in (
        *("LIFECYCLE_EVENT=AfterInstall", "DEPLOYMENT_ID=d-v1", "APPLICATION_NAME=cars"),
        *("DEPLOYMENT_GROUP_NAME=blue-green", "DEPLOYMENT_GROUP_ID=group", "AWS_REGION=x"),
    ):
        assert f"[stdout]{line}\n" in bundles.log


def test_application_stop_is_the_revisions_that_was_installed_last(bundles: Bundles) -> None:
    for name in ("v1", "v2", "v3"):
        spec = {
            "hooks": {
                "ApplicationStop": [{"location": "stop.sh"}],
                "ValidateService": [{"location": "validate.sh"}],
            }
        }
        files = {
            "stop.sh": script(f"echo stopping {name}"),
            "validate.sh": script("exit 1" if name == "v2" else "exit 0"),
        }
        bundles.put(name, spec, files)
    assert not bundles.deploy("v1")["ApplicationStop"]
    with pytest.raises(EventError):
        bundles.deploy("v2")
    assert bundles.deploy("v3")["ApplicationStop"]
    stopped = [line for line in bundles.log.splitlines() if "stopping" in line]
    assert [line.split()[-1] for line in stopped] == ["v1", "v2"]


@pytest.mark.parametrize("location", ["/opt/cars/gone.sh", "gone.sh"])
def test_a_location_that_is_not_in_the_bundle_fails(bundles: Bundles, location: str) -> None:
    bundles.put("v1", hook("AfterInstall", location), {})
    with pytest.raises(EventError) as failure:
        bundles.deploy("v1")
    found = failure.value.diagnostics
    assert (found.error_code, found.script) == ("ScriptMissing", location)
    assert "Script does not exist at specified location" in found.message


def test_a_script_that_is_not_executable_is_made_so(bundles: Bundles) -> None:
    bundles.put("v1", hook("AfterInstall", "a.sh"), {"a.sh": script("echo ran")})
    bundles.deploy("v1", until="Install")
    for path in bundles.folder.rglob("deployment-archive/a.sh"):
        path.chmod(0o644)
    revision = Revision("d-v1", "cars", "blue-green", "group", "bucket", "v1.tgz")
    assert bundles.agent.run("AfterInstall", revision)
    assert "not executable" in bundles.log
    assert "[stdout]ran" in bundles.log


def test_a_script_that_fails_is_told_with_its_log(bundles: Bundles) -> None:
    files = {"bad.sh": script("echo out; echo why >&2; exit 3")}
    bundles.put("v1", hook("BeforeInstall", "bad.sh"), files)
    with pytest.raises(EventError) as failure:
        bundles.deploy("v1")
    found = failure.value.diagnostics
    assert (found.error_code, found.script) == ("ScriptFailed", "bad.sh")
    assert found.message.endswith("failed with exit code 3")
    assert "[stdout]out" in found.log_tail
    assert "[stderr]why" in found.log_tail


def test_the_log_tail_is_short(bundles: Bundles) -> None:
    text = script("seq 10000; exit 1")
    bundles.put("v1", hook("BeforeInstall", "long.sh"), {"long.sh": text})
    with pytest.raises(EventError) as failure:
        bundles.deploy("v1")
    assert len(failure.value.diagnostics.log_tail) == 2048
    assert failure.value.diagnostics.log_tail.endswith("[stdout]10000\n")


def test_a_script_that_takes_too_long_is_ended(bundles: Bundles) -> None:
    spec = hook("BeforeInstall", "slow.sh", timeout=1)
    bundles.put("v1", spec, {"slow.sh": script("sleep 60")})
    begun = time.monotonic()
    with pytest.raises(EventError) as failure:
        bundles.deploy("v1")
    assert time.monotonic() - begun < 20
    assert failure.value.diagnostics.error_code == "ScriptTimedOut"
    assert "failed to complete in 1 seconds" in failure.value.diagnostics.message


def test_a_child_that_holds_the_output_fails_the_hook() -> None:
    words = ["/bin/sh", "-c", "sleep 5 & exit 0"]
    with pytest.raises(TimeoutError, match="failed to close STDOUT"):
        run_script(words, {"PATH": "/usr/bin:/bin"}, 1, lambda _: None)


@pytest.mark.parametrize(
    ("behavior", "content"),
    [({"file_exists_behavior": "OVERWRITE"}, "new"), ({"file_exists_behavior": "RETAIN"}, "old")],
)
def test_what_is_there_is_overwritten_or_kept(
    bundles: Bundles, behavior: dict[str, str], content: str
) -> None:
    there = bundles.instance.path("/opt/cars/settings")
    there.parent.mkdir(parents=True)
    there.write_text("old")
    files = [{"source": "settings", "destination": "/opt/cars"}]
    bundles.put("v1", {"files": files, **behavior}, {"settings": "new"})
    bundles.deploy("v1")
    assert there.read_text() == content


def test_what_is_there_fails_the_installation_unless_the_file_says_otherwise(
    bundles: Bundles,
) -> None:
    there = bundles.instance.path("/opt/cars/settings")
    there.parent.mkdir(parents=True)
    there.write_text("old")
    files = [{"source": "settings", "destination": "/opt/cars"}]
    bundles.put("v1", {"files": files}, {"settings": "new"})
    with pytest.raises(EventError, match="already exists"):
        bundles.deploy("v1")


def test_the_files_of_the_installation_before_are_removed(bundles: Bundles) -> None:
    files = [{"source": "/", "destination": "/opt/cars"}]
    bundles.put("v1", {"files": files}, {"old": ""})
    bundles.put("v2", {"files": files}, {"new": ""})
    bundles.deploy("v1")
    bundles.deploy("v2")
    found = {path.name for path in bundles.instance.path("/opt/cars").iterdir()}
    assert found == {"appspec.yml", "new"}
