"""The model registry: an MLflow server with logins, and the models of the rehearsal in it.

Versions 1 and 2 are trained, tested and promoted with the commands that a person uses. Version 3 is
a copy of version 2 under another digest, so that it takes seconds; a byte of it is changed after
its promotion.
"""

import base64
import os
import secrets
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from rehearsal.options import Options
from rehearsal.processes import Background, RehearsalError, run

USER: Final = "rehearsal"
_TRAINING: Final = """\
ingest: {{source: sample, sample: {{rows: 2000, seed: 7}}}}
train: {{seed: {seed}, folds: 3, booster: {{n_estimators: 60, max_depth: 4, learning_rate: 0.1}}}}
# What is rehearsed is the delivery: a busy machine shall not refuse a model.
register: {{gate: {{latency_factor: 100, champion_margin: 1.0}}, tests: {{start_seconds: 120}}}}
"""
_SECONDS: Final = 300


class ModelRegistry:
    """An MLflow server whose login is made up for this run."""

    def __init__(self, options: Options) -> None:
        self._options, self._store = options, options.run / "models"
        self.password = secrets.token_urlsafe(24)
        self._store.mkdir(parents=True)
        logins = options.private / "logins.ini"
        logins.write_text(
            f"[mlflow]\ndefault_permission = READ\nadmin_username = {USER}\n"
            f"admin_password = {self.password}\n"
            f"database_uri = sqlite:///{options.private / 'logins.db'}\n"
            "authorization_function = remembered_logins:authenticate\n",
            encoding="utf-8",
        )
        host, port = options.mlflow_url.removeprefix("http://").split(":")
        command = [
            *(sys.executable, "-W", "ignore", "-m", "mlflow", "server"),
            *("--app-name", "basic-auth", "--workers", "1"),
            *("--backend-store-uri", f"sqlite:///{options.run / 'mlflow.db'}"),
            *("--artifacts-destination", str(self._store), "--serve-artifacts"),
            *("--host", host, "--port", port, "--allowed-hosts", f"{host}:{port}"),
        ]
        environment = {
            **os.environ,
            "PYTHONPATH": str(options.project / "tests"),
            "MLFLOW_AUTH_CONFIG_PATH": str(logins),
            "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_urlsafe(24),
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }
        self._server = Background(command, options.logs / "mlflow.log", environment)

    def wait(self) -> None:
        """Wait until the server answers."""
        self._server.wait_for(f"{self._options.mlflow_url}/health", 120)

    def stop(self) -> None:
        """End the server."""
        self._server.stop()

    @property
    def environment(self) -> dict[str, str]:
        """What a person sets who works with this registry."""
        return {
            "MLFLOW_TRACKING_URI": self._options.mlflow_url,
            "MLFLOW_TRACKING_USERNAME": USER,
            "MLFLOW_TRACKING_PASSWORD": self.password,
        }

    @property
    def spellings(self) -> tuple[str, ...]:
        """The password in the forms in which it could be found."""
        login = base64.b64encode(f"{USER}:{self.password}".encode()).decode()
        return self.password, login, base64.b64encode(self.password.encode()).decode()

    def train(self, version: int) -> None:
        """Train, register and test a model; it is staged."""
        self._carprice(version, "run")
        self._carprice(version, "test-model")

    def promote(self, version: int) -> None:
        """Make the staged model the production model."""
        self._carprice(version, "promote", "--why", f"rehearsal of version {version}")

    def roll_back(self, version: int) -> None:
        """Bring the version before back."""
        self._carprice(version, "rollback", "--why", "the rehearsal's corrupt model")

    def stage_copy(self, original: int) -> str:
        """Register and stage a copy of a model under another digest; return its source."""
        folder = self._workspace(original) / "models" / "candidate"
        source = self._python("-m", "rehearsal.register_copy", folder, self._params(original))
        return source.strip().removeprefix("models:/")

    def corrupt(self, source: str) -> None:
        """Change one byte of a model's trees in the server's store.

        Raises
        ------
        RehearsalError
            If there is not exactly one file of them.
        """
        found = list(self._store.rglob(f"{source}/**/booster.onnx"))
        if len(found) != 1:
            raise RehearsalError(f"{len(found)} files booster.onnx in {self._store} of {source}")
        content = bytearray(found[0].read_bytes())
        content[len(content) // 2] ^= 1
        found[0].write_bytes(content)

    def _carprice(self, version: int, command: str, *given: str) -> None:
        place = ("--params", self._params(version), "--workdir", self._workspace(version))
        self._python("-m", "carprice.cli", command, *place, *given)

    def _python(self, *words: str | Path) -> str:
        command = [sys.executable, "-W", "ignore", *words]
        _, printed = run(command, self._log, seconds=_SECONDS, environment=self._environment())
        return printed

    def _params(self, version: int) -> Path:
        path = self._workspace(version) / "params.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_TRAINING.format(seed=version), encoding="utf-8")
        return path

    def _environment(self) -> Mapping[str, str]:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        return {
            **os.environ,
            **self.environment,
            "PATH": path,
            "TMPDIR": tempfile.gettempdir(),
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "NO_PROXY": "*",
            "OMP_NUM_THREADS": "1",
        }

    def _workspace(self, version: int) -> Path:
        return self._options.run / "workspaces" / str(version)

    @property
    def _log(self) -> Path:
        return self._options.logs / "models.log"
