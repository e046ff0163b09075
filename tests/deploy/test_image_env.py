"""What bundle.sh puts into image.env and known_listing.json, and what it refuses."""

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

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
    settings = image_env.service_settings(ROOT / "deploy" / "service.env")
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        assert settings[f"SECRET_{name}"].startswith("ssm:/")
    assert image_env.known_listing(ROOT / "deploy" / "known_listing.json")


def test_every_secret_that_the_service_reads_can_be_named() -> None:
    assert set(image_env.SECRETS) == set(SECRETS)


NO_SECRET = secrets.token_urlsafe(30)
UNREACHED = ["must be an MLflow server's http address", "'sqlite'"]
NO_RANGE = ["known_listing.json", "0 < lowest < highest"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("PORT 8000\n",), ["service.env, line 1: write KEY=VALUE"]),
        (("IMAGE=other\n",), ["line 1: IMAGE is set by the release"]),
        (("COLOUR=red\n",), ["line 1: COLOUR is no setting of the service"]),
        (("SECRET_COLOUR=ssm:/red\n",), ["SECRET_COLOUR is no setting of the service"]),
        (("CARPRICE_PREDICTION_LOG=/log\n",), ["or /var/lib/carprice/prediction-log, which is"]),
        (("CARPRICE_MONITORING=/m.json\n",), ["CARPRICE_MONITORING must be s3://bucket/folder/"]),
        (("CARPRICE_PREDICTION_LOG_SPOOL=/log\n",), ["take CARPRICE_PREDICTION_LOG_SPOOL out"]),
        (("PORT=8000\nPORT=9000\n",), ["service.env, line 2: PORT is there twice"]),
        *(
            ((f"{key}={NO_SECRET}\n",), [f"{key} ", "ssm:/name or secretsmanager:id"])
            for key in (
                *("MLFLOW_TRACKING_PASSWORD", "CARPRICE_API_KEYS"),
                *("SECRET_MLFLOW_TRACKING_PASSWORD", "VALIDATION_API_KEY"),
            )
        ),
        (("", KNOWN, f"https://me:{NO_SECRET}@m.example.org"), ["SECRET_MLFLOW_TRACKING_USERNAME"]),
        (("", KNOWN, "sqlite:///mlflow.db"), UNREACHED),
        *(
            (("", known), NO_RANGE)
            for known in (
                *("{", [], {"listing": {}}, {**KNOWN, "listing": "Kia"}, {**KNOWN, "lowest": 3}),
                *({**KNOWN, "lowest": 0}, {**KNOWN, "highest": "much"}),
            )
        ),
    ],
)
def test_what_cannot_be_used_is_told_without_a_secret(
    tmp_path: Path, given: tuple[Any, ...], told: list[str]
) -> None:
    done = write(tmp_path, *given)
    assert done.returncode == 2
    for text in told:
        assert text in done.stderr
    assert NO_SECRET not in done.stdout + done.stderr
    assert not (tmp_path / "out" / "image.env").exists()
