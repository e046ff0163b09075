"""The stand-in for CodeDeploy's agent follows the agent's rules."""

import tarfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from rehearsal.agent import EVENTS, GROUP_ID, Agent, EventError, Revision

SPEC: dict[str, Any] = {"version": 0.0, "os": "linux", "file_exists_behavior": "OVERWRITE"}


class Bundles:
    """A bucket of bundles, and the agent of an instance: a folder is its root."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        log = folder / "hooks.log"
        self.agent = Agent(self, self._download, {"AWS_REGION": "x"}, log)  # type: ignore[arg-type]

    def path(self, inside: str) -> Path:
        return self.folder / "instance" / inside.lstrip("/")

    def command(self, words: list[str]) -> list[str]:
        return [str(self.path(words[0])), *words[1:]]

    def put(self, name: str, spec: Mapping[str, Any], files: Mapping[str, str]) -> None:
        source = self.folder / name
        for path, text in {"appspec.yml": yaml.safe_dump({**SPEC, **spec}), **files}.items():
            (source / path).parent.mkdir(parents=True, exist_ok=True)
            (source / path).write_text(text)
            (source / path).chmod(0o755)
        with tarfile.open(self.folder / f"{name}.tgz", "w:gz") as packed:
            packed.add(source, ".")

    def deploy(self, name: str, events: Sequence[str] = EVENTS) -> dict[str, bool]:
        revision = Revision(f"d-{name}", "cars", "blue-green", "bucket", f"{name}.tgz")
        return {event: self.agent.run(event, revision) for event in events}

    def _download(self, _bucket: str, key: str) -> bytes:
        return (self.folder / key).read_bytes()

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
        ({"file_exists_behavior": "RETAIN"}, "RETAIN"),
        ({"hooks": {"AfterInstall": [{"timeout": 5}]}}, "location"),
        ({"files": [{"source": "gone", "destination": "/opt"}]}, "No such folder: gone"),
    ],
)
def test_an_appspec_that_cannot_be_followed_fails_the_deployment(
    bundles: Bundles, spec: dict[str, Any], told: str
) -> None:
    bundles.put("v1", spec, {})
    with pytest.raises(EventError, match=told):
        bundles.deploy("v1")


def test_a_hook_runs_with_the_agents_environment(bundles: Bundles) -> None:
    files = {"show.sh": script("env; cat")}
    bundles.put("v1", hook("AfterInstall", "show.sh"), files)
    done = bundles.deploy("v1")
    assert done["AfterInstall"]
    assert not done["ApplicationStop"]
    assert not done["ValidateService"]
    for line in (
        *("LIFECYCLE_EVENT=AfterInstall", "DEPLOYMENT_ID=d-v1", "APPLICATION_NAME=cars"),
        *("DEPLOYMENT_GROUP_NAME=blue-green", f"DEPLOYMENT_GROUP_ID={GROUP_ID}", "AWS_REGION=x"),
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


@pytest.mark.parametrize(
    ("location", "text", "code", "message", "log"),
    [
        ("/opt/gone.sh", "", "ScriptMissing", "Script does not exist at specified location", ""),
        ("gone.sh", "", "ScriptMissing", "Script does not exist at specified location", ""),
        ("bad.sh", "echo out; exit 3", "ScriptFailed", "failed with exit code 3", "[stdout]out"),
        ("bad.sh", "echo why >&2; exit 3", "ScriptFailed", "exit code 3", "[stderr]why"),
        ("bad.sh", "seq 10000; exit 1", "ScriptFailed", "exit code 1", "[stdout]10000\n"),
        ("bad.sh", "echo a; sleep 60", "ScriptTimedOut", "failed to complete in 3 s", "[stdout]a"),
        ("bad.sh", "sleep 12 & exit 0", "UnknownError", "failed to close STDOUT", ""),
    ],
)
def test_a_script_that_fails_is_told_with_the_end_of_its_log(
    bundles: Bundles, location: str, text: str, code: str, message: str, log: str
) -> None:
    seconds = 3 if "sleep" in text else 60
    bundles.put("v1", hook("BeforeInstall", location, timeout=seconds), {"bad.sh": script(text)})
    begun = time.monotonic()
    with pytest.raises(EventError) as failure:
        bundles.deploy("v1")
    assert time.monotonic() - begun < 50
    found = failure.value
    assert (found.code, found.script) == (code, location)
    assert message in found.message
    assert log in found.log_tail
    assert (len(found.log_tail) == 2048) == ("seq" in text)


def test_a_folders_content_is_installed_over_what_is_there_and_removed_by_the_next(
    bundles: Bundles,
) -> None:
    spec = {"files": [{"source": "/", "destination": "/opt/cars"}]}
    bundles.put("v1", spec, {"scripts/a.sh": "", "b.txt": ""})
    bundles.put("v2", spec, {"new": "new"})
    stranger = bundles.path("/opt/cars/new")
    stranger.parent.mkdir(parents=True)
    stranger.write_text("old")
    old, new = {"scripts/a.sh", "b.txt"}, {"new"}
    for name, there, gone in (("v1", old, set()), ("v2", new, old), ("v1", old, new)):
        bundles.deploy(name)
        assert all(bundles.path(f"/opt/cars/{path}").is_file() for path in (*there, "appspec.yml"))
        assert not any(bundles.path(f"/opt/cars/{path}").exists() for path in gone)
        if name == "v2":
            assert stranger.read_text() == "new"
