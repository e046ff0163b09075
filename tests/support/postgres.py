"""A real PostgreSQL server, where Debian's packages or another's are installed."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from delivery import free_port


def programs() -> Path:
    """Return the folder of the server's programs; without one the test is skipped."""
    found = [*Path("/usr/lib/postgresql").glob("*/bin/initdb"), shutil.which("initdb")]
    initdb = next((Path(one).resolve() for one in found if one), None)
    if initdb is None or not initdb.with_name("postgres").exists():
        pytest.skip("no PostgreSQL server is installed here")
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    return initdb.parent


@contextmanager
def running_postgres(user: str, password: str) -> Iterator[int]:
    """Run a server until the block ends; the block gets its port on 127.0.0.1."""
    found = programs()
    with tempfile.TemporaryDirectory(prefix="pg-") as scratch:  # a short path, for its socket
        yield from _running(found, Path(scratch), user, password)


def _running(programs: Path, folder: Path, name: str, password: str) -> Iterator[int]:
    user: dict[str, Any] = {}
    if os.getuid() == 0:  # as root it does not start
        user = {"user": "nobody", "group": None, "extra_groups": []}
        shutil.chown(folder, "nobody")
    (folder / "password").write_text(password)
    (folder / "password").chmod(0o644)
    data, port = folder / "data", free_port()
    options = ["--auth=scram-sha-256", f"--username={name}", f"--pwfile={folder / 'password'}"]
    made = [str(programs / "initdb"), "-D", str(data), "-N", "-E", "UTF8", *options]
    subprocess.run(made, check=True, capture_output=True, cwd=folder, **user)
    places = ["-k", str(folder), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
    command = [str(programs / "postgres"), "-D", str(data), "-p", str(port), *places]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, **user)
    try:
        wait = [str(programs / "pg_isready"), "-h", "127.0.0.1", "-p", str(port), "-t", "60"]
        for _ in range(600):
            if subprocess.run(wait, check=False, capture_output=True).returncode == 0:
                break
            assert server.poll() is None, (folder / "log").read_text()
            time.sleep(0.1)
        yield port
    finally:
        server.terminate()
        server.wait(60)
