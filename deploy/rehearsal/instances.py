"""Instances: machines of their own as far as hooks and containers can tell.

An instance is a network, a mount, a process and a host name namespace. Its root is this machine's,
copy-on-write: what a hook writes, installs or kills stays inside. Podman inside has its own store
and really publishes ports on the instance's own address. When process 1 ends, the kernel ends
everything inside, and mounts and network are gone.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from rehearsal.options import SUBNET, Options
from rehearsal.processes import Background, RehearsalError, run, tail

BRIDGE: Final = "carprice0"
CGROUP: Final = "carprice-rehearsal"
_FLEETS: Final = 3
_STORE_BYTES: Final = 600_000_000
_SPARE_BYTES: Final = 2_000_000_000
AGENT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_CONTAINERS_CONF: Final = """\
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
log_driver = "k8s-file"
"""
_DOCKER: Final = """\
#!/bin/sh
# podman under Docker's name; health checks of its own would need systemd.
[ -z "$DOCKER_CONFIG" ] || export REGISTRY_AUTH_FILE="$DOCKER_CONFIG/auth.json"
case $1 in
  run | create) verb=$1 && shift && set -- "$verb" --no-healthcheck --cgroup-parent {parent} "$@" ;;
esac
exec podman "$@"
"""


class Network:
    """The bridge that instances and the host's servers share."""

    def __init__(self, options: Options) -> None:
        self._options, self._log = options, options.logs / "network.log"

    def open(self) -> None:
        """Make the bridge.

        Raises
        ------
        RehearsalError
            If another interface has the addresses.
        """
        self.close()
        _, text = run(["ip", "-json", "address"], self._log, seconds=10)
        for interface in json.loads(text):
            for address in interface.get("addr_info", []):
                if str(address.get("local", "")).startswith(f"{SUBNET}."):
                    raise RehearsalError(
                        f"interface {interface['ifname']} has the address {address['local']}, "
                        f"and the rehearsal needs {SUBNET}.0/24; take it away"
                    )
        for words in (
            ("link", "add", BRIDGE, "type", "bridge"),
            ("address", "add", f"{self._options.gateway}/24", "dev", BRIDGE),
            ("link", "set", BRIDGE, "up"),
        ):
            run(["ip", *words], self._log, seconds=10)

    def close(self) -> None:
        """Take the bridge away, also an earlier run's."""
        subprocess.run(["ip", "link", "delete", BRIDGE], capture_output=True, check=False)


class Instance:
    """A machine of its own.

    Parameters
    ----------
    shared : folders of this machine that are seen inside at the same path.
    containers : folder of its container store; None: the store is in memory.
    number : last part of its address; None: it uses this machine's network.
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
        self.name, self.folder = name, options.run / "instances" / name
        self.log = options.logs / f"instance-{name}.log"
        self.address = f"{SUBNET}.{number}" if number else options.gateway
        self._options, self._shared = options, shared
        self._containers, self._number = containers, number
        self._process: Background | None = None
        self._pid = 0

    def start(self) -> None:
        """Make and boot it.

        Raises
        ------
        RehearsalError
            If its namespaces, mounts or network cannot be made.
        """
        told = {
            "folder": str(self.folder),
            "containers": self._containers and str(self._containers),
            "shared": [str(path) for path in self._shared],
            "files": self._files(),
            "name": self.name,
        }
        self.folder.mkdir(parents=True)
        namespaces = ["--mount", "--pid", "--uts", "--fork", "--kill-child"]
        if self._number:
            namespaces.append("--net")
        init = Path(__file__).with_name("instance_init.py")
        command = ["unshare", *namespaces, "--propagation", "private", sys.executable, str(init)]
        self._process = Background([*command, json.dumps(told)], self.log)
        self._wait_until_booted()
        if self._number:
            self._connect(self._number)

    def command(self, words: Sequence[str]) -> list[str]:
        """Return what runs a program inside, in its root folder."""
        spaces = ["--mount", "--pid", "--uts", *(["--net"] if self._number else [])]
        return ["nsenter", "--target", str(self._pid), *spaces, "--root", "--wd", "--", *words]

    def run(
        self,
        words: Sequence[str],
        *,
        seconds: float,
        environment: Mapping[str, str] | None = None,
        allowed: Sequence[int] = (0,),
        log: Path | None = None,
    ) -> tuple[int, str]:
        """Run a program inside to its end; see :func:`rehearsal.processes.run`."""
        told = {"PATH": AGENT_PATH, "HOME": "/root", "LANG": "C.UTF-8", **(environment or {})}
        return run(
            self.command(words),
            log or self.log,
            seconds=seconds,
            environment=told,
            allowed=allowed,
        )

    def path(self, inside: str) -> Path:
        """Return where a path of the instance is found from outside."""
        return Path(f"/proc/{self._pid}/root") / inside.lstrip("/")

    @property
    def is_running(self) -> bool:
        """Whether it was started and not ended."""
        return self._process is not None and self._process.process.poll() is None

    def end(self) -> None:
        """End everything inside; its files are deleted with the run's."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)  # and with process 1 all that is inside
        self._process.stop(5)
        self._process = None

    def _files(self) -> dict[str, tuple[int, str]]:
        registry = f'[[registry]]\nlocation = "{self._options.image_registry}"\ninsecure = true\n'
        storage = (
            '[storage]\ndriver = "overlay"\nrunroot = "/run/containers/storage"\n'
            'graphroot = "/var/lib/containers/storage"\n'
        )
        aws = f'#!/bin/sh\nexec {self._options.tools}/bin/aws "$@"\n'
        return {
            "/etc/containers/containers.conf": (0o644, _CONTAINERS_CONF),
            "/etc/containers/registries.conf.d/rehearsal.conf": (0o644, registry),
            "/etc/containers/storage.conf": (0o644, storage),
            "/usr/local/bin/aws": (0o755, aws),
            "/usr/local/bin/docker": (0o755, _DOCKER.format(parent=f"/{CGROUP}")),
        }

    def _wait_until_booted(self) -> None:
        assert self._process is not None  # noqa: S101 - set by start, the only caller
        outer = self._process.process
        deadline = time.monotonic() + 20
        while outer.poll() is None and time.monotonic() < deadline:
            children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children")
            found = children.read_text(encoding="ascii").split() if children.exists() else []
            if found:
                self._pid = int(found[0])
                if self._own_root() and self.path("/run/ready").exists():
                    return
            time.sleep(0.05)
        raise RehearsalError(
            f"instance {self.name} does not start; see {self.log}:\n{tail(self.log)}"
        )

    def _own_root(self) -> bool:
        """Whether process 1 has its own root already: before, /run is this machine's."""
        with contextlib.suppress(OSError):
            return (self.folder / "upper").exists() and not Path("/").samefile(self.path("/"))
        return False

    def _connect(self, number: int) -> None:
        outside = f"carprice{number}"
        for words in (
            ("link", "add", outside, "type", "veth", "peer", "name", "eth0", "netns", self._pid),
            ("link", "set", outside, "master", BRIDGE, "up"),
        ):
            run(["ip", *map(str, words)], self.log, seconds=10)
        for inside in (
            ("ip", "link", "set", "lo", "up"),
            ("ip", "address", "add", f"{self.address}/24", "dev", "eth0"),
            ("ip", "link", "set", "eth0", "up"),
            ("ip", "route", "add", "default", "via", self._options.gateway),
            ("sysctl", "--quiet", "--write", "net.ipv4.ip_forward=1"),
        ):
            self.run(inside, seconds=10)


class Machines:
    """Makes instances, and ends those that are left."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._next = 11
        # To delete so many small files takes a disk a minute.
        needed = _FLEETS * options.instances * _STORE_BYTES + _SPARE_BYTES
        self._in_memory = available_bytes() > needed
        self._made: list[Instance] = []

    def builder(self) -> Instance:
        """Return the machine that builds: in the host's network, its layers kept for next time."""
        options = self._options
        shared, layers = (options.project, options.tools), options.work / "storage"
        return self._start(Instance(options, "build", shared=shared, containers=layers))

    def fresh(self, name: str) -> Instance:
        """Return a new instance that serves."""
        options, number = self._options, self._next
        self._next += 1
        store = None if self._in_memory else options.run / "containers" / name
        return self._start(
            Instance(options, f"i-{name}", shared=(options.tools,), containers=store, number=number)
        )

    def end(self) -> None:
        """End every instance."""
        for instance in self._made:
            instance.end()
        remove_cgroups()

    def _start(self, instance: Instance) -> Instance:
        self._made.append(instance)
        instance.start()
        return instance


def available_bytes() -> int:
    """Return how much memory there is to take."""
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def remove_cgroups() -> None:
    """Delete what containers that were killed left in the control groups."""
    for root in (Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").iterdir()):
        left = root / CGROUP
        if left.is_dir():
            for folder, _, _ in os.walk(left, topdown=False):
                with contextlib.suppress(OSError):
                    Path(folder).rmdir()
