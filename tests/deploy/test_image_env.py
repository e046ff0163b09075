"""What bundle.sh puts into image.env and known_listing.json, and what it refuses."""

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path

import image_env
import pytest

from api.environment import SECRETS

ROOT = Path(__file__).resolve().parents[2]
KNOWN = {
    "listing": {"make": "Kia", "model": "Seltos", "year": 2021, "odometer": 30000},
    "lowest": 1,
    "highest": 2.5,
}


def write(
    folder: Path, service: str, known: object = KNOWN, uri: str = "https://mlflow.example.org"
) -> "subprocess.CompletedProcess[str]":
    (folder / "service.env").write_text(service, encoding="utf-8")
    content = known if isinstance(known, str) else json.dumps(known)
    (folder / "known_listing.json").write_text(content, encoding="utf-8")
    (folder / "out").mkdir(exist_ok=True)
    release = {"IMAGE": "r/c@sha256:0", "MODEL_VERSION": "7", "AWS_REGION": "xx-test-1"}
    return subprocess.run(
        [sys.executable, ROOT / "deploy" / "image_env.py", folder, folder / "out"],
        env={**os.environ, **release, "MLFLOW_TRACKING_URI": uri},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_release_the_settings_and_the_range_are_in_it(tmp_path: Path) -> None:
    service = "# a comment\n\nPORT=8000\nCARPRICE_POLL_SECONDS=60\n"
    done = write(tmp_path, f"{service}SECRET_MLFLOW_TRACKING_PASSWORD=ssm:/carprice/p\n")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "image.env").read_text(encoding="utf-8").splitlines() == [
        "IMAGE=r/c@sha256:0",
        "MODEL_VERSION=7",
        "AWS_REGION=xx-test-1",
        "MLFLOW_TRACKING_URI=https://mlflow.example.org",
        "PORT=8000",
        "CARPRICE_POLL_SECONDS=60",
        "SECRET_MLFLOW_TRACKING_PASSWORD=ssm:/carprice/p",
        "LOWEST=1",
        "HIGHEST=2.5",
    ]
    asked = (tmp_path / "out" / "known_listing.json").read_text(encoding="utf-8")
    assert json.loads(asked) == KNOWN["listing"]


def test_the_projects_own_files_are_accepted() -> None:
    assert image_env.service_settings(ROOT / "deploy" / "service.env")
    assert image_env.known_listing(ROOT / "deploy" / "known_listing.json")


def test_every_secret_that_the_service_reads_can_be_named() -> None:
    assert set(image_env.SECRETS) == set(SECRETS)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("PORT 8000", "write KEY=VALUE"),
        ("IMAGE=other", "IMAGE is set by the release"),
        ("COLOUR=red", "COLOUR is no setting of the service"),
        ("SECRET_COLOUR=ssm:/red", "SECRET_COLOUR is no setting of the service"),
        ("PORT=8000\nPORT=9000", "line 2: PORT is there twice"),
    ],
)
def test_a_line_that_is_no_setting(tmp_path: Path, line: str, told: str) -> None:
    done = write(tmp_path, f"{line}\n")
    assert done.returncode == 2
    assert told in done.stderr
    assert "service.env, line" in done.stderr
    assert not (tmp_path / "out" / "image.env").exists()


@pytest.mark.parametrize(
    "key",
    [
        *("MLFLOW_TRACKING_PASSWORD", "CARPRICE_API_KEYS"),
        *("SECRET_MLFLOW_TRACKING_PASSWORD", "VALIDATION_API_KEY"),
    ],
)
def test_a_secret_is_refused_and_not_shown(tmp_path: Path, key: str) -> None:
    secret = secrets.token_urlsafe(30)
    done = write(tmp_path, f"{key}={secret}\n")
    assert done.returncode == 2
    assert "ssm:/name or secretsmanager:id" in done.stderr
    assert secret not in done.stdout + done.stderr


def test_a_login_in_the_registrys_address_is_refused_and_not_shown(tmp_path: Path) -> None:
    secret = secrets.token_urlsafe(30)
    done = write(tmp_path, "", uri=f"https://me:{secret}@mlflow.example.org")
    assert done.returncode == 2
    assert "SECRET_MLFLOW_TRACKING_USERNAME" in done.stderr
    assert secret not in done.stdout + done.stderr


def test_a_registry_that_instances_cannot_reach_is_refused(tmp_path: Path) -> None:
    done = write(tmp_path, "", uri="sqlite:///mlflow.db")
    assert done.returncode == 2
    assert "must be an MLflow server's http address" in done.stderr
    assert "'sqlite'" in done.stderr


@pytest.mark.parametrize(
    "known",
    [
        "{",
        [],
        {"listing": {}},
        {**KNOWN, "listing": "Kia"},
        {**KNOWN, "lowest": 3},
        {**KNOWN, "lowest": 0},
        {**KNOWN, "highest": "much"},
    ],
)
def test_a_known_listing_without_its_range(tmp_path: Path, known: object) -> None:
    done = write(tmp_path, "", known)
    assert done.returncode == 2
    assert "0 < lowest < highest" in done.stderr
    assert "known_listing.json" in done.stderr
