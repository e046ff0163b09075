"""``python -m api`` as a container starts it."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from api.keys import entry, new_key


@pytest.mark.parametrize(
    ("arguments", "environment", "told"),
    [
        ("serve", {"PORT": "eighty"},
         "carprice: PORT must be a port's number from 0 to 65535 (found 'eighty')\n"),
        # A port on the command line goes before one that cannot be.
        ("--port 8000", {"PORT": "eighty", "CARPRICE_POLL_SECONDS": "soon"},
         "carprice: CARPRICE_POLL_SECONDS: "),
        ("", {"CARPRICE_API_KEYS": "<leaked>"},
         "carprice: CARPRICE_API_KEYS, entry 1: is not name:hash"),
        ("serve", {"CARPRICE_SECRETS": "."},
         "carprice: CARPRICE_API_KEYS: the secret CARPRICE_API_KEYS cannot be read"),
        ("train", {}, "invalid choice: 'train'"),
    ],
)  # fmt: skip
def test_what_is_not_allowed_stops_the_start_with_a_clear_line(
    tmp_path: Path, arguments: str, environment: dict[str, str], told: str
) -> None:
    (tmp_path / "CARPRICE_API_KEYS").write_bytes(b"leaked\xff")
    done = subprocess.run(
        [sys.executable, "-m", "api", *arguments.split()],
        cwd=tmp_path,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1 or "usage: python -m api" in done.stderr
    assert "leaked" not in done.stderr
    assert ("eighty" in done.stderr) == ("eighty" in told)


def test_serve_listens_where_its_environment_says(
    finished: Any, serve: Any, tmp_path: Path
) -> None:
    """As SageMaker starts it: ``serve``, and the port in a variable; the key's entry in a file."""
    key = new_key()
    (tmp_path / "CARPRICE_API_KEYS").write_text(f"{entry('tests', key)}\n")
    command = [sys.executable, "-c", (
        "import os, runpy, sys; os.environ['SAGEMAKER_BIND_TO_PORT'] = sys.argv[1]; "
        "sys.argv[1:] = ['serve']; runpy.run_module('api', run_name='__main__', alter_sys=True)"
    ), "{port}"]  # fmt: skip
    environment = {
        "HOST": "127.0.0.1",
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
        "CARPRICE_BAKED_MODEL": str(finished[0].model),
        "CARPRICE_SECRETS": str(tmp_path),
        "CARPRICE_DRAIN_SECONDS": "0",
    }
    with serve(command, tmp_path, "/", environment) as server:
        assert server.get("/model")[0] == 401
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(25) == 0
    assert key not in server.log.read_text()
