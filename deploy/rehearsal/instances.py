"""Instances: to hooks and containers, each is a machine of its own.

An instance is a network, a mount, a process and a host name namespace. Its root is this machine's,
copy-on-write: what a hook writes, installs or kills stays inside. Podman inside has its own store
and publishes ports on the instance's own address. When process 1 ends, the kernel ends every
process inside and removes mounts and network.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import psutil

from rehearsal.options import GATEWAY, IMAGE_REGISTRY, PROJECT, SUBNET, Options
from rehearsal.processes import Background, RehearsalError, run, tail, wait_until

ENVIRONMENT: Final = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
}
"""The environment of every program on an instance."""
_BRIDGE: Final = "carprice0"
_CGROUP: Final = "carprice-rehearsal"
_ROOMY_BYTES: Final = 3_000_000_000
_FILES: Final = {
    "/etc/containers/containers.conf": """\
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
log_driver = "k8s-file"
""",
    "/etc/containers/registries.conf.d/rehearsal.conf": f"""\
[[registry]]
location = "{IMAGE_REGISTRY}"
insecure = true
""",
    "/etc/containers/storage.conf": """\
[storage]
driver = "overlay"
runroot = "/run/containers/storage"
graphroot = "/var/lib/containers/storage"
""",
    "/usr/local/bin/docker": f"""\
#!/bin/sh
# podman under Docker's name; health checks of its own would need systemd.
[ -z "$DOCKER_CONFIG" ] || export REGISTRY_AUTH_FILE="$DOCKER_CONFIG/auth.json"
verb=$1 && shift
case $verb in
  run | create) set -- --no-healthcheck --cgroup-parent /{_CGROUP} "$@" ;;
esac
exec podman "$verb" "$@"
""",
}


def open_network(log: Path) -> None:
    """Make the network bridge that instances and this machine's servers share.

    Raises
    ------
    RehearsalError
        If another interface has an address of its subnet.
    """
    for interface, addresses in psutil.net_if_addrs().items():
        for one in addresses:
            if one.address.startswith(f"{SUBNET}."):
                raise RehearsalError(
                    f"interface {interface} has the address {one.address}, and the rehearsal "
                    f"needs {SUBNET}.0/24; take it away"
                )
    for words in (
        ("link", "add", _BRIDGE, "type", "bridge"),
        ("address", "add", f"{GATEWAY}/24", "dev", _BRIDGE),
        ("link", "set", _BRIDGE, "up"),
    ):
        run(["ip", *words], log, seconds=10)


def close_network() -> None:
    """Delete the bridge, also that of an earlier run."""
    subprocess.run(["ip", "link", "delete", _BRIDGE], capture_output=True, check=False)


class Instance:
    """A machine of its own, which boots when it is made.

    Parameters
    ----------
    shared : folders of this machine that are mounted inside at the same path.
    containers : folder of its container store; None: the store is in memory.
    number : last part of its address; None: it uses this machine's network.

    Raises
    ------
    RehearsalError
        If its namespaces, mounts or network cannot be made.
    """

    def __init__(
        self,
        options: Options,
        name: str,
        *,
        shared: Sequence[Path],
        containers: Path | None,
        number: int | None = None,
    ) -> None:
        self.name, self.log = name, options.logs / f"instance-{name}.log"
        self.address = f"{SUBNET}.{number}" if number else GATEWAY
        self._namespaces = ["--mount", "--pid", "--uts", *(["--net"] if number else [])]
        self._pid = 0
        aws = f'#!/bin/sh\nexec {options.tools}/bin/aws "$@"\n'
        told = {
            "folder": str(options.run / "instances" / name),
            "containers": containers and str(containers),
            "shared": [str(path) for path in shared],
            "files": {**_FILES, "/usr/local/bin/aws": aws},
            "name": name,
        }
        init: list[str | Path] = [
            sys.executable,
            Path(__file__).with_name("instance_init.py"),
            json.dumps(told),
        ]
        ending = ["--fork", "--kill-child", "--propagation", "private"]
        self._process = Background(["unshare", *self._namespaces, *ending, *init], self.log)
        wait_until(lambda: self._process.has_ended() or self._has_booted(), 20)
        if self._process.has_ended() or not self._has_booted():
            raise RehearsalError(
                f"instance {name} does not start; see {self.log}:\n{tail(self.log)}"
            )
        if number:
            self._connect(f"carprice{number}")

    def command(self, words: Sequence[str]) -> list[str]:
        """Return the command that runs a program inside, in the root folder."""
        enter = ["nsenter", "--target", str(self._pid), *self._namespaces, "--root", "--wd"]
        return [*enter, "--", *words]

    def run(
        self,
        words: Sequence[str],
        *,
        log: Path | None = None,
        environment: Mapping[str, str] | None = None,
        **more: Any,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program inside to its end; see :func:`rehearsal.processes.run`."""
        told = {**ENVIRONMENT, **(environment or {})}
        return run(self.command(words), log or self.log, environment=told, **more)

    def path(self, inside: str) -> Path:
        """Return the path, on this machine, of a file inside the instance."""
        return Path(f"/proc/{self._pid}/root") / inside.lstrip("/")

    def end(self) -> None:
        """End every process inside; its files are deleted at the end of the run."""
        if not self._process.has_ended():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)  # and with process 1 all that is inside
            self._process.stop()

    def _has_booted(self) -> bool:
        with contextlib.suppress(psutil.Error):
            self._pid = next(
                (one.pid for one in psutil.Process(self._process.process.pid).children()), 0
            )
        return self._pid > 0 and self.path(f"/run/{self.name}-is-ready").exists()

    def _connect(self, outside: str) -> None:
        for words in (
            (
                "link",
                "add",
                outside,
                "type",
                "veth",
                "peer",
                "name",
                "eth0",
                "netns",
                str(self._pid),
            ),
            ("link", "set", outside, "master", _BRIDGE, "up"),
        ):
            run(["ip", *words], self.log, seconds=10)
        for inside in (
            ("ip", "link", "set", "lo", "up"),
            ("ip", "address", "add", f"{self.address}/24", "dev", "eth0"),
            ("ip", "link", "set", "eth0", "up"),
            ("ip", "route", "add", "default", "via", GATEWAY),
            ("sysctl", "--quiet", "--write", "net.ipv4.ip_forward=1"),
        ):
            self.run(inside, seconds=10)


def builder(options: Options) -> Instance:
    """Return the machine that builds images: in this machine's network, its layers are kept."""
    shared, layers = (PROJECT, options.tools), options.work / "storage"
    return Instance(options, "build", shared=shared, containers=layers)


def fresh(options: Options, name: str, number: int) -> Instance:
    """Return a new instance that serves."""
    # A disk takes a minute to delete so many small files: they are in memory if there is room.
    has_room = psutil.virtual_memory().available > _ROOMY_BYTES
    store = None if has_room else options.run / "containers" / name
    return Instance(options, f"i-{name}", shared=(options.tools,), containers=store, number=number)


def remove_cgroups() -> None:
    """Delete the control groups that killed containers left behind."""
    groups = Path("/sys/fs/cgroup")
    for left in (*groups.glob(_CGROUP), *groups.glob(f"*/{_CGROUP}")):
        for folder, _, _ in os.walk(left, topdown=False):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()
