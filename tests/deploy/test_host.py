"""``deploy/host``: the unit, and its script with stand-ins for docker and systemd."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import units
from delivery import Service, free_port
from host import Host, image

from api.environment import SECRETS

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "host"
SCRIPT = "carprice-host"
OLD, NEW, OTHER = map(image, "abc")
BAD = '{"predictedPrice":5.0}'


@pytest.fixture
def host(tmp_path: Path, service: Service) -> Host:
    """A machine that serves the image OLD."""
    made = Host(tmp_path)
    made.stand_in("docker", "systemctl")
    made.hurries()
    made.settings |= {"PORT": f"{service.port}", "HEALTH_SECONDS": "60"}
    (made.config / "image.env").write_text(f"IMAGE={OLD}\n")
    return made


def test_an_update_restarts_the_unit_with_the_image_and_asks_for_a_price(
    host: Host, service: Service
) -> None:
    host.answers("docker image inspect", code=1)
    done = host.succeeds(SCRIPT, "update", NEW)
    assert done.stdout == f"{NEW} serves\n"
    assert host.images == (NEW, OLD)
    assert [str(call) for call in host.calls] == [
        f"docker image inspect {NEW}",
        f"docker pull {NEW}",
        "systemctl restart carprice.service",
    ]
    assert service.paths == ["/"] * 3 + ["/predict"]
    assert b'"make": "Maruti"' in service.asked[-1][3]
    assert list(host.temporary.iterdir()) == []


def test_a_bad_image_is_replaced_by_the_one_before(
    host: Host, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = service.body

    def answer(method: str, _: str) -> tuple[int, str]:
        service.body = BAD if host.images[0] == NEW else good
        return 200, "" if method == "GET" else service.body

    monkeypatch.setattr(service, "answer", answer)
    host.answers("journalctl", "why it failed\n")
    (host.config / "image.env.before").write_text(f"IMAGE={OTHER}\n")
    told = ["the price of the known listing is 5.0", "why it failed", f"{OLD} serves again"]
    host.fails(1, told, SCRIPT, "update", NEW)
    assert host.images == (OLD, OTHER)
    assert len(host.called("systemctl restart")) == 2
    assert list(host.temporary.iterdir()) == []


def test_neither_serves(host: Host, service: Service) -> None:
    service.health = [503]
    host.settings["HEALTH_SECONDS"] = "1"
    host.fails(1, ["not healthy after 1 s", f"neither does {OLD}"], SCRIPT, "update", NEW)
    assert host.images == (OLD, "")


def test_the_first_image_and_a_bad_one(host: Host, service: Service) -> None:
    (host.config / "image.env").unlink()
    service.body = BAD
    host.fails(1, ["no image before, and nothing runs"], SCRIPT, "update", NEW)
    assert host.images == ("", "")
    assert host.called("systemctl stop carprice.service")
    service.body = Service.body
    host.succeeds(SCRIPT, "update", NEW)
    assert host.images == (NEW, "")
    host.fails(1, ["there is no image before this one"], SCRIPT, "rollback")


def test_a_rollback_and_another(host: Host, service: Service) -> None:
    (host.config / "image.env.before").write_text(f"IMAGE={NEW}\n")
    host.succeeds(SCRIPT, "rollback")
    assert host.images == (NEW, OLD)
    host.succeeds(SCRIPT, "rollback", "--model-version", "3")
    assert host.images == (OLD, NEW)
    told = ["model version 3 answered, not 4", f"{OLD} serves again"]
    # What goes back is held to the same version, which is not there: that is told, too.
    told[1] = f"neither does {OLD}"
    host.fails(1, told, SCRIPT, "rollback", "--model-version", "4")
    assert host.images == (OLD, NEW)


def test_an_image_that_cannot_be_had_changes_nothing(host: Host) -> None:
    host.answers("docker image inspect", code=1)
    host.answers("docker pull", code=1, error="manifest unknown\n")
    told = ["manifest unknown", "The service is as it was"]
    host.fails(1, told, SCRIPT, "update", NEW)
    assert host.images == (OLD, "")
    assert host.called("systemctl") == []


def test_an_update_that_is_interrupted_goes_back(host: Host, service: Service) -> None:
    service.health = [503]
    host.run(SCRIPT, "status")  # which writes service.env
    process = subprocess.Popen(
        [FOLDER / SCRIPT, "update", NEW],
        env={
            "PATH": str(host.programs),
            "TMPDIR": str(host.temporary),
            "CONFIG_FOLDER": str(host.config),
        },
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        while not service.paths.count("/") > 1:
            assert process.poll() is None
            time.sleep(0.05)
        assert host.images == (NEW, OLD)
        host.fails(1, ["another carprice-host is at work"], SCRIPT, "update", OLD)
        service.health = [200]
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == -signal.SIGINT, errors
    assert f"{OLD} serves again" in errors
    assert host.images == (OLD, "")


def test_the_status(host: Host, service: Service) -> None:
    host.answers("systemctl is-active", "active\n")
    done = host.succeeds(SCRIPT, "status")
    assert done.stdout.splitlines() == [
        f"image:  {OLD}",
        "before: ",
        "unit:   active",
        'GET /:  200 {"status":"ok"}',
    ]
    service.health = [503]
    assert 'GET /:  503 {"status":"loading"}' in host.fails(1, [], SCRIPT, "status").stdout
    host.settings["PORT"] = f"{free_port()}"
    assert "GET /:  nothing" in host.fails(1, [], SCRIPT, "status").stdout


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_among_the_settings_is_refused_and_not_shown(host: Host, name: str) -> None:
    host.settings[name] = "hunter-2"
    done = host.fails(2, [f"holds a secret, {name}; put it"], SCRIPT, "update", NEW)
    assert "hunter-2" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "'' is none of update, rollback, status"),
        (("upgrade",), "'upgrade' is none of update"),
        (("update",), "an image is named as REGISTRY/REPOSITORY@sha256:DIGEST (found '')"),
        (("update", "carprice:latest"), "(found 'carprice:latest')"),
        (("update", NEW, "--model-version", "latest"), "wants a version's number"),
        (("status", "--force"), "unknown argument '--force'"),
    ],
)
def test_what_is_no_command(host: Host, arguments: tuple[str, ...], told: str) -> None:
    host.fails(2, [told], SCRIPT, *arguments)
    assert host.calls == []
    assert host.images == (OLD, "")


def test_settings_that_are_missing_or_hold_a_login(host: Host) -> None:
    host.settings["MLFLOW_TRACKING_URI"] = "https://ann@mlflow.example.org"
    host.fails(2, ["must hold no login"], SCRIPT, "update", NEW)
    host.settings.clear()
    (host.config / "service.env").unlink()
    host.fails(2, ["service.env is missing; copy"], SCRIPT, "update", NEW)


def test_an_api_key_is_read_from_a_file(host: Host, service: Service) -> None:
    (host.config / "key").write_text("the-key-of-this-machine\n")
    host.settings["VALIDATION_API_KEY"] = f"file:{host.config}/key"
    done = host.succeeds(SCRIPT, "update", NEW)
    assert service.asked[-1][2]["X-API-Key"] == "the-key-of-this-machine"
    host.never_shows("the-key-of-this-machine", done)
    (host.config / "key").unlink()
    host.fails(1, ["cannot be read"], SCRIPT, "update", NEW)


def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed")

    def verified(text: str) -> "subprocess.CompletedProcess[str]":
        unit = tmp_path / "carprice.service"
        unit.write_text(text)
        command = [program, "verify", "--man=no", str(unit)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    text = (FOLDER / "carprice.service").read_text(encoding="utf-8")
    # Docker need not be on this machine: another program stands where it would.
    text = text.replace("/usr/bin/docker", "/usr/bin/env")
    done = verified(text)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    assert "RestartSeconds" in verified(text.replace("RestartSec", "RestartSeconds")).stderr


def test_the_unit_and_the_readme_run_the_same_container(tmp_path: Path) -> None:
    unit = tmp_path / "carprice.service"
    text = (FOLDER / "carprice.service").read_text(encoding="utf-8")
    unit.write_text(re.sub(r"^EnvironmentFile=.*\n", "", text, flags=re.MULTILINE))
    unit.write_text(unit.read_text().replace("PORT=8000", "PORT=8000 IMAGE=IMAGE"))
    ((words, may_fail),) = units.commands(unit, "ExecStart")
    assert not may_fail
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^docker run (?:.*\\\n)*.*$", readme, re.MULTILINE)
    told = shlex.split(line.replace("\\\n", " "))
    by_hand, by_systemd = options(told[1:]), options(words[1:])
    assert by_hand.pop("--detach") == by_systemd.pop("--rm") == ""
    assert (by_hand.pop("--restart"), by_systemd.pop("--pull")) == ("unless-stopped", "never")
    assert by_hand == by_systemd


def options(words: list[str]) -> dict[str, Any]:
    """Return the options of ``docker run``, and the image."""
    assert words[0] == "run"
    found: dict[str, Any] = {"image": words[-1]}
    name = ""
    for word in words[1:-1]:
        if word.startswith("--"):
            name = word
            found.setdefault(name, "")
        else:
            found[name] = f"{found[name]} {word}".strip()
    return found
