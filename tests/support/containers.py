"""The service's image under real podman, for the tests of the targets that run it."""

import json
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from delivery import Done, free_port

ROOT = Path(__file__).resolve().parents[2]
NOWHERE = "http://127.0.0.1:9"
LISTING = {"make": "Hyundai", "model": "Creta", "year": 2018, "odometer": 61000}
HARDENED = ("--read-only", "--cap-drop", "all", "--security-opt", "no-new-privileges",
            "--tmpfs=/tmp:rw,noexec,nosuid,nodev,size=64m")  # fmt: skip
# The container's network is the machine's, so that a registry on loopback can be asked. podman's
# own health checks need systemd.
PLAIN = ("--network", "host", "--no-healthcheck",
         "--ulimit", "nofile=4096:4096", "--ulimit", "nproc=4096:4096")  # fmt: skip
ENGINE = ["podman", "--cgroup-manager", "cgroupfs",
          *(["--runtime", "runc"] if shutil.which("runc") else [])]  # fmt: skip
# What a build behind a mirror of the package index needs, where a machine has it.
MOUNTED = ("/etc/pip.conf", "/etc/ssl/certs/ca-certificates.crt")


def podman(*words: str, check: bool = True) -> Done:
    done = subprocess.run(
        [*ENGINE, *words], cwd=ROOT, capture_output=True, text=True, check=False, timeout=600
    )
    if check and done.returncode:
        pytest.fail(f"podman {words[0]} exited {done.returncode}: {done.stderr[-3000:]}")
    return done


def inspected(image: str) -> dict[str, Any]:
    (found,) = json.loads(podman("image", "inspect", image).stdout)
    return dict(found)


def built(context: Path, *options: str) -> str:
    """Build an image of its own name, by the base image that is here."""
    name = f"localhost/carprice-tests:{secrets.token_hex(6)}"
    mounts = (f"--volume={path}:{path}:ro" for path in MOUNTED if Path(path).is_file())
    podman(
        *("build", "--format", "docker", "--layers", "--timestamp", "1700000000"),
        *("--isolation", "chroot", "--network", "host", "--pull=never", *mounts),
        *("--build-arg", "REVISION=0123abc", "--build-arg", "CREATED=2023-11-14T22:13:20Z"),
        *(*options, "--tag", name, str(context)),
    )
    return name


@dataclass(frozen=True)
class Container:
    """A running container that listens on a port of the machine."""

    name: str
    port: int
    seconds: float

    def ask(self, path: str, content: Any = None) -> requests.Response:
        """Answer a GET, or a POST where there is a content."""
        method, url = "GET" if content is None else "POST", f"http://127.0.0.1:{self.port}{path}"
        with requests.Session() as session:
            session.trust_env = False
            return session.request(method, url, json=content, timeout=30)

    def request(
        self, method: str, url: str, content: bytes | None = None, headers: Any = None
    ) -> requests.Response:
        address = f"http://127.0.0.1:{self.port}{url}"
        with requests.Session() as session:
            session.trust_env = False
            return session.request(method, address, data=content, headers=headers, timeout=30)

    def health(self) -> dict[str, Any]:
        return dict(self.ask("/").json())

    def run(self, *command: str) -> Done:
        """Run a command in the container."""
        return podman("exec", self.name, *command, check=False)

    @property
    def log(self) -> str:
        done = podman("logs", self.name)
        return done.stdout + done.stderr

    def stop(self) -> int:
        """Send SIGTERM and return the exit code."""
        podman("stop", "--time", "30", self.name)
        state = podman("inspect", "--format", "{{.State.ExitCode}}", self.name)
        return int(state.stdout)


@contextmanager
def running(
    image: str,
    *options: str,
    command: tuple[str, ...] = (),
    port_variable: str = "PORT",
    ready: int = 200,
    environment: Mapping[str, str] | None = None,
    hardening: Sequence[str] = HARDENED,
) -> Iterator[Container]:
    """Run the image hardened until the block ends; it starts when GET / answers ``ready``."""
    name, port = f"carprice-test-{secrets.token_hex(6)}", free_port()
    given = {
        port_variable: str(port),
        "MLFLOW_TRACKING_URI": NOWHERE,
        "CARPRICE_START_SECONDS": "1",
        "CARPRICE_DRAIN_SECONDS": "0",
        **(environment or {}),
    }
    variables = (f"--env={key}={value}" for key, value in given.items())
    began = time.monotonic()
    podman(
        "run", "--detach", "--name", name, *PLAIN, *hardening, *variables, *options, image, *command
    )
    try:
        while True:
            container = Container(name, port, time.monotonic() - began)
            with suppress(requests.RequestException):
                if container.ask("/").status_code == ready:
                    break
            if container.seconds > 90:
                pytest.fail(f"the container did not get ready: {container.log[-3000:]}")
            time.sleep(0.05)
        yield container
    finally:
        podman("rm", "--force", "--time", "0", name, check=False)


def real_docker(program: Path) -> str:
    """Make a program ``docker`` that is podman, on the machine's network; return the container."""
    name = f"carprice-test-{secrets.token_hex(6)}"
    program.unlink(missing_ok=True)
    program.write_text(
        f"""#!{shutil.which("bash")}
words=()
while [ $# -gt 0 ]; do
  case $1 in
    carprice) words+=({name}) ;;
    --publish) shift ;;
    run) words+=(run {" ".join(PLAIN)}) ;;
    *) words+=("$1") ;;
  esac
  shift
done
PATH={os.environ["PATH"]}
exec {" ".join(ENGINE)} "${{words[@]}}"
"""
    )
    program.chmod(0o755)
    return name
