"""Write a bundle's image.env and known_listing.json; of the standard library alone.

Usage: image_env.py FOLDER OUT, with IMAGE, MODEL_VERSION, AWS_REGION and MLFLOW_TRACKING_URI in the
environment, and LOG_GROUP where there is one; FOLDER has service.env and known_listing.json.
"""

import json
import os
import re
import sys
from pathlib import Path
from urllib.parse import urlsplit

RELEASE = ("IMAGE", "MODEL_VERSION", "AWS_REGION", "MLFLOW_TRACKING_URI")
OPTIONAL = ("LOG_GROUP",)
LINE = re.compile(r"([A-Z][A-Z0-9_]*)=(.*)")
ALLOWED = re.compile(
    r"CARPRICE_[A-Z_]+|PORT|HEALTH_SECONDS|HEALTHY_ANSWERS|WEB_CONCURRENCY"
    r"|FORWARDED_ALLOW_IPS|VALIDATION_API_KEY"
)
# What api/environment.py reads; tests/deploy/test_image_env.py compares them.
SECRETS = (
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "DAGSHUB_USER_TOKEN",
    "DAGSHUB_PAT",
    "CARPRICE_API_KEYS",
    "CARPRICE_OUTCOMES",
    "CARPRICE_PROMOTION_KEY",
    "CARPRICE_WEBHOOK_SECRET",
)
LOG = "CARPRICE_PREDICTION_LOG"
LOG_FOLDER = "/var/lib/carprice/prediction-log"
"""What start_docker.sh mounts; nothing else can be written for the log."""
MONITORING = "CARPRICE_MONITORING"
PLACES = {*(f"SECRET_{name}" for name in SECRETS), "VALIDATION_API_KEY"}
"""Keys that say where a secret is."""


class BadInputError(Exception):
    """What was given cannot be used; the message says what, where and the remedy."""


def service_settings(path: Path) -> dict[str, str]:
    """Read KEY=VALUE lines; a line that is no setting, or holds a secret itself, is an error."""
    settings: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        parts = LINE.fullmatch(line.strip())
        key, value = parts.groups() if parts else ("", "")
        problem = ""
        if not key:
            problem = "write KEY=VALUE, without spaces or quotes around them"
        elif key in RELEASE + OPTIONAL:
            problem = f"{key} is set by the release; take the line out"
        elif key not in PLACES and (not ALLOWED.fullmatch(key) or key in SECRETS):
            problem = (
                f"{key} is no setting of the service; docs/aws.md lists them. A secret is named "
                "as SECRET_<variable>=ssm:/name or secretsmanager:id; there are "
                f"{', '.join(SECRETS)}"
            )
        elif key in PLACES and not re.fullmatch(r"(ssm|secretsmanager):\S+", value):
            problem = (
                f"{key} must say where the secret is, ssm:/name or secretsmanager:id, and not the "
                "secret (the value is not shown)"
            )
        elif key == LOG and value and not value.startswith("s3://") and value != LOG_FOLDER:
            problem = f"{LOG} must be s3://bucket/prefix or {LOG_FOLDER}, which is mounted"
        elif key == MONITORING and value and not value.startswith("s3://"):
            problem = f"{MONITORING} must be s3://bucket/folder/name; no file of it is mounted"
        elif key == f"{LOG}_SPOOL":
            problem = f"take {key} out: the spool is {LOG_FOLDER}, which is mounted"
        elif key in settings:
            problem = f"{key} is there twice; take one out"
        if problem:
            raise BadInputError(f"{path}, line {number}: {problem}")
        settings[key] = value
    return settings


def known_listing(path: Path) -> tuple[object, dict[str, str]]:
    """Read the listing to ask for, and the range that its price must be in."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        listing, lowest, highest = content["listing"], content["lowest"], content["highest"]
        if isinstance(listing, dict) and 0 < float(lowest) < float(highest):
            return listing, {"LOWEST": f"{lowest}", "HIGHEST": f"{highest}"}
        found = f"lowest {lowest!r}, highest {highest!r}"
    except (ValueError, TypeError, KeyError) as error:
        found = f"{type(error).__name__}: {error}"
    raise BadInputError(
        f"{path} must have a listing, and lowest and highest price with 0 < lowest < highest "
        f"(found {found})"
    )


def main(folder: Path, out: Path) -> None:
    """Write both files."""
    address = urlsplit(os.environ["MLFLOW_TRACKING_URI"])
    if address.scheme not in ("http", "https"):
        raise BadInputError(
            f"MLFLOW_TRACKING_URI must be an MLflow server's http address that instances reach "
            f"(found scheme {address.scheme or 'none'!r})"
        )
    if address.username or address.password:
        raise BadInputError(
            "MLFLOW_TRACKING_URI holds a login, which everybody could read in the bundle; name "
            "it in deploy/service.env as SECRET_MLFLOW_TRACKING_USERNAME and _PASSWORD"
        )
    release = {name: os.environ[name] for name in RELEASE}
    release |= {name: os.environ[name] for name in OPTIONAL if os.environ.get(name)}
    listing, prices = known_listing(folder / "known_listing.json")
    settings = {**release, **service_settings(folder / "service.env"), **prices}
    lines = (f"{key}={value}\n" for key, value in settings.items())
    (out / "image.env").write_text("".join(lines), encoding="utf-8", newline="\n")
    asked = json.dumps(listing) + "\n"
    (out / "known_listing.json").write_text(asked, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
    except (BadInputError, OSError) as problem:
        sys.stderr.write(f"bundle.sh: {problem}\n")
        sys.exit(2)
