"""Instances: to hooks and containers, each is a machine of its own.

An instance is a network, a mount, a process and a host name namespace. Its root is this machine's,
copy-on-write: what a hook writes, installs or kills stays inside. Podman inside has its own store
and publishes ports on the instance's own address. When process 1 ends, the kernel ends every
process inside and removes mounts and network.
"""

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import psutil

from rehearsal.processes import GATEWAY, SUBNET, Background, Options, RehearsalError, run

ENVIRONMENT: Final = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
}
"""The environment of every program on an instance."""
IMAGE_REGISTRY: Final = f"{GATEWAY}:5000"
_BRIDGE: Final = "carprice0"
_CGROUP: Final = "carprice-rehearsal"
_NAMESPACES: Final = ("--mount", "--pid", "--uts", "--net")
_ROOMY_BYTES: Final = 3_000_000_000
_FILES: Final = {
    "etc/containers/containers.conf": """\
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
log_driver = "k8s-file"
""",
    "etc/containers/registries.conf": f"""\
[[registry]]
location = "{IMAGE_REGISTRY}"
insecure = true
""",
    "etc/containers/storage.conf": """\
[storage]
driver = "overlay"
runroot = "/run/containers/storage"
graphroot = "/var/lib/containers/storage"
""",
    "usr/local/bin/docker": f"""\
#!/bin/sh
# podman under Docker's name; health checks of its own would need systemd.
[ -z "$DOCKER_CONFIG" ] || export REGISTRY_AUTH_FILE="$DOCKER_CONFIG/auth.json"
verb=$1 && shift
case $verb in
  run | create) set -- --no-healthcheck --cgroup-parent /{_CGROUP} "$@" ;;
esac
exec podman "$verb" "$@"
""",
    "usr/local/bin/aws": '#!/bin/sh\nexec {tools}/bin/aws "$@"\n',
}


def prepare(options: Options) -> None:
    """Write what lies on all instances, and make the bridge that leads to the servers here.

    Raises
    ------
    RehearsalError
        If another interface has an address of its subnet.
    """
    for name, text in _FILES.items():
        path = options.machine / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("{tools}", str(options.tools)), encoding="utf-8")
        path.chmod(0o755 if text.startswith("#!") else 0o644)
    for interface, addresses in psutil.net_if_addrs().items():
        if any(one.address.startswith(f"{SUBNET}.") for one in addresses):
            raise RehearsalError(
                f"interface {interface} has an address of {SUBNET}.0/24, which the rehearsal "
                "needs; take it away"
            )
    for words in (
        f"link add {_BRIDGE} type bridge",
        f"address add {GATEWAY}/24 dev {_BRIDGE}",
        f"link set {_BRIDGE} up",
    ):
        run(["ip", *words.split()], options.logs / "network.log", seconds=10)


class Instance:
    """A machine of its own, which boots when it is made.

    Parameters
    ----------
    number : last part of its address.

    Raises
    ------
    RehearsalError
        If its namespaces, mounts or network cannot be made.
    """

    def __init__(self, options: Options, name: str, number: int) -> None:
        self.name, self.log = name, options.logs / f"instance-{name}.log"
        self.address = f"{SUBNET}.{number}"
        self._pid = 0
        # A disk takes a minute to delete so many small files: they are in memory if there is room.
        has_room = psutil.virtual_memory().available > _ROOMY_BYTES
        init: list[str | Path] = [
            *(Path(__file__).with_name("instance.sh"), name, options.run / "instances" / name),
            *(options.machine, options.tools),
            *([] if has_room else [options.run / "containers" / name]),
        ]
        ending = ("--fork", "--kill-child", "--propagation", "private")
        self._process = Background(["unshare", *_NAMESPACES, *ending, *init], self.log)
        self._process.wait_for(self._has_booted, 20)
        outside = f"carprice{number}"
        for words in (
            f"link add {outside} type veth peer name eth0 netns {self._pid}",
            f"link set {outside} master {_BRIDGE} up",
        ):
            run(["ip", *words.split()], self.log, seconds=10)
        for words in (
            "ip link set lo up",
            f"ip address add {self.address}/24 dev eth0",
            "ip link set eth0 up",
            f"ip route add default via {GATEWAY}",
            "sysctl --quiet --write net.ipv4.ip_forward=1",
        ):
            self.run(words.split(), seconds=10)

    def command(self, words: Sequence[str]) -> list[str]:
        """Return the command that runs a program inside, in the root folder."""
        return ["nsenter", "--target", str(self._pid), *_NAMESPACES, "--root", "--wd", "--", *words]

    def run(
        self, words: Sequence[str], *, log: Path | None = None, **more: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run a program inside to its end; see :func:`rehearsal.processes.run`."""
        return run(self.command(words), log or self.log, environment=ENVIRONMENT, **more)

    def path(self, inside: str) -> Path:
        """Return the path, on this machine, of a file inside the instance."""
        return Path(f"/proc/{self._pid}/root") / inside.lstrip("/")

    def end(self) -> None:
        """End every process inside; its files are deleted at the end of the run."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)  # and with process 1 all that is inside
        self._process.stop()

    def _has_booted(self) -> bool:
        with contextlib.suppress(psutil.Error):
            children = psutil.Process(self._process.process.pid).children()
            self._pid = next((one.pid for one in children), 0)
        return self._pid > 0 and self.path(f"/run/{self.name}-is-ready").exists()


def remove_network() -> None:
    """Delete the bridge, and the control groups that killed containers left behind."""
    subprocess.run(["ip", "link", "delete", _BRIDGE], capture_output=True, check=False)
    groups = Path("/sys/fs/cgroup")
    for left in (*groups.glob(_CGROUP), *groups.glob(f"*/{_CGROUP}")):
        for folder, _, _ in os.walk(left, topdown=False):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()
