"""``python -m api`` as a container starts it."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def start(folder: Path, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "api", *arguments],
        cwd=folder,
        env={**os.environ, "CARPRICE_SECRETS": str(folder / "secrets"), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("name", ["PORT", "SAGEMAKER_BIND_TO_PORT"])
def test_a_bad_port_stops_the_start_with_its_name_and_value(tmp_path: Path, name: str) -> None:
    done = start(tmp_path, "serve", **{name: "eighty"})
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        f"carprice: {name} must be a port's number from 0 to 65535 (found 'eighty')\n"
    )


def test_a_port_on_the_command_line_goes_before_one_that_cannot_be(tmp_path: Path) -> None:
    done = start(tmp_path, "--port", "8000", PORT="eighty", CARPRICE_POLL_SECONDS="soon")
    assert "CARPRICE_POLL_SECONDS" in done.stderr
    assert "eighty" not in done.stderr


def test_another_command_than_serve_is_refused(tmp_path: Path) -> None:
    done = start(tmp_path, "train")
    assert done.returncode == 2
    assert "invalid choice: 'train'" in done.stderr


def test_a_secret_that_is_no_text_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    path = tmp_path / "secrets" / "CARPRICE_API_KEYS"
    path.write_bytes(b"leaked\xff")
    done = start(tmp_path, "serve")
    assert done.returncode == 2
    assert done.stderr.startswith(f"carprice: {path}: the secret CARPRICE_API_KEYS cannot be read")
    assert len(done.stderr.splitlines()) == 1
    assert "leaked" not in done.stderr


@pytest.mark.parametrize("variable", ["PORT", "SAGEMAKER_BIND_TO_PORT"])
def test_serve_listens_where_its_environment_says(
    promoted: Any, registry_address: Any, serve: Any, tmp_path: Path, variable: str
) -> None:
    """As SageMaker starts it: ``serve``, and the port in a variable; the key's entry in a file."""
    from api.keys import entry, new_key

    key = new_key()
    (tmp_path / "CARPRICE_API_KEYS").write_text(f"{entry('tests', key)}\n")
    command = [sys.executable, "-c", (
        "import os, runpy, sys; os.environ[sys.argv[1]] = sys.argv[2]; sys.argv[1:] = ['serve']; "
        "runpy.run_module('api', run_name='__main__', alter_sys=True)"
    ), variable, "{port}"]  # fmt: skip
    environment = {
        "HOST": "127.0.0.1",
        "MLFLOW_TRACKING_URI": registry_address(promoted),
        "CARPRICE_MODEL_CACHE": str(promoted.root / "served"),
        "CARPRICE_SECRETS": str(tmp_path),
        "CARPRICE_DRAIN_SECONDS": "0",
    }
    with serve(command, tmp_path, "/", environment) as server:
        assert server.get("/model")[0] == 401
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(25) == 0
    assert key not in server.log.read_text()
