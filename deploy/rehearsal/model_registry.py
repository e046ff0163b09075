"""The model registry: an MLflow server with logins, and the models of the rehearsal in it.

They are trained, tested and promoted with carprice's own commands.
"""

import base64
import os
import secrets
import sys
from pathlib import Path
from typing import Final

from rehearsal.processes import GATEWAY, Background, Options, answers, run

_PORT: Final = 5500
URL: Final = f"http://{GATEWAY}:{_PORT}"
_USER: Final = "rehearsal"
_TRAINING: Final = """\
ingest: {{source: sample, sample: {{rows: 2000, seed: 7}}}}
train: {{seed: {seed}, folds: 3, booster: {{n_estimators: 60, max_depth: 4, learning_rate: 0.1}}}}
# Only the delivery is rehearsed: no model may be refused because the machine is busy.
register: {{gate: {{latency_factor: 100, champion_margin: 1.0}}, tests: {{start_seconds: 120}}}}
"""


class ModelRegistry:
    """An MLflow server with a random login for this run."""

    def __init__(self, options: Options) -> None:
        self._options, self._store = options, options.run / "models"
        self._store.mkdir(parents=True)
        password = secrets.token_urlsafe(24)
        self.login = {"MLFLOW_TRACKING_USERNAME": _USER, "MLFLOW_TRACKING_PASSWORD": password}
        self.password_forms = (
            password,
            base64.b64encode(password.encode()).decode(),
            base64.b64encode(f"{_USER}:{password}".encode()).decode(),
        )
        """The password, plain and in the encodings in which a log could show it."""
        logins = options.private / "logins.ini"
        logins.write_text(
            f"[mlflow]\ndefault_permission = READ\nadmin_username = {_USER}\n"
            f"admin_password = {password}\n"
            f"database_uri = sqlite:///{options.private / 'logins.db'}\n"
            "auth_cache_ttl_seconds = 3600\n"
            "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n",
            encoding="utf-8",
        )
        command = [
            *(sys.executable, "-W", "ignore", "-m", "mlflow", "server"),
            *("--app-name", "basic-auth", "--workers", "1"),
            *("--backend-store-uri", f"sqlite:///{options.run / 'mlflow.db'}"),
            *("--artifacts-destination", str(self._store), "--serve-artifacts"),
            *("--host", GATEWAY, "--port", str(_PORT), "--allowed-hosts", f"{GATEWAY}:{_PORT}"),
        ]
        environment = {
            **os.environ,
            "MLFLOW_AUTH_CONFIG_PATH": str(logins),
            "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_urlsafe(24),
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }
        self._server = Background(command, options.logs / "mlflow.log", environment)

    def train(self, version: int) -> None:
        """Train, register, stage and test a model."""
        self._server.wait_for(lambda: answers(f"{URL}/health"), 300)
        self.carprice(version, "run")
        self.carprice(version, "test-model")

    def corrupt_newest(self) -> None:
        """Change one byte of the newest model's trees in the server's store."""
        newest = max(self._store.rglob("booster.onnx"), key=lambda path: path.stat().st_mtime)
        content = bytearray(newest.read_bytes())
        content[len(content) // 2] ^= 1
        newest.write_bytes(content)

    def carprice(self, version: int, command: str, *given: str) -> None:
        """Run a command of carprice in the workspace of a version."""
        folder = self._options.run / "workspaces" / str(version)
        params = folder / "params.yaml"
        folder.mkdir(parents=True, exist_ok=True)
        params.write_text(_TRAINING.format(seed=version), encoding="utf-8")
        words: list[str | Path] = [sys.executable, "-W", "ignore", "-m", "carprice.cli", command]
        environment = {
            **os.environ,
            **self.login,
            "MLFLOW_TRACKING_URI": URL,
            "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "NO_PROXY": "*",
            "OMP_NUM_THREADS": "1",
        }
        words += ["--params", params, "--workdir", folder, *given]
        run(words, self._options.logs / "models.log", seconds=300, environment=environment)
