"""The load balancer: haproxy, told at run time as a target group is.

As an ALB does, it asks every target for ``/``, sends nothing to one that does not answer 200, and
repeats no request. A target that is taken out gets nothing new and finishes what it has.
"""

import contextlib
import csv
import socket
import time
from collections.abc import Sequence
from typing import Final

from rehearsal.instances import Instance
from rehearsal.options import Options
from rehearsal.processes import Background, RehearsalError

PORT: Final = 8000
HEALTH_PATH: Final = "/"
_CHECKS: Final = "check inter 1s rise 2 fall 2"
_SETTINGS: Final = """\
global
  log stdout format raw local0
  stats socket {socket} mode 600 level admin
  maxconn 2000

defaults
  mode http
  log global
  option httplog
  option http-keep-alive
  retries 0
  timeout connect 2s
  timeout check 2s
  timeout client 65s
  timeout server 10s

frontend listener
  bind {address}
  default_backend targets

backend targets
  balance roundrobin
  option httpchk GET {path}
  http-check expect status 200
"""


class Balancer:
    """A load balancer with one target group."""

    def __init__(self, options: Options) -> None:
        self._control = options.private / "haproxy.sock"
        self._seconds = options.deregistration_seconds
        settings = options.private / "haproxy.cfg"
        settings.write_text(
            _SETTINGS.format(
                socket=self._control,
                address=options.load_balancer,
                path=HEALTH_PATH,
            ),
            encoding="utf-8",
        )
        self._server = Background(["haproxy", "-db", "-f", settings], options.logs / "haproxy.log")
        self._server.wait_for(f"http://{options.load_balancer}", 20, good=(503,))

    def register(self, instances: Sequence[Instance], seconds: float = 60) -> None:
        """Add targets, and wait until the balancer itself finds all of them healthy.

        Raises
        ------
        RehearsalError
            If it does not in time.
        """
        for instance in instances:
            name = f"targets/{instance.name}"
            self._tell(f"add server {name} {instance.address}:{PORT} weight 0 {_CHECKS}")
            self._tell(f"enable health {name}")
            self._tell(f"enable server {name}")
            # haproxy takes a new server for healthy, an ALB does not.
            self._tell(f"set server {name} health down")
        deadline = time.monotonic() + seconds
        names = [instance.name for instance in instances]
        while not all(self._field(name, "status").startswith("UP") for name in names):
            if time.monotonic() > deadline:
                raise RehearsalError(
                    f"the load balancer finds {', '.join(names)} unhealthy; see {self._server.log}"
                )
            time.sleep(0.2)
        for name in names:
            self._tell(f"set server targets/{name} weight 100")

    def deregister(self, instances: Sequence[Instance]) -> None:
        """Let targets finish what they have, and take them out."""
        for instance in instances:
            self._tell(f"set server targets/{instance.name} state drain")
        deadline = time.monotonic() + self._seconds
        while any(self._field(instance.name, "scur") != "0" for instance in instances):
            if time.monotonic() > deadline:
                break
            time.sleep(0.2)
        for instance in instances:
            name = f"targets/{instance.name}"
            self._tell(f"set server {name} state maint")
            for _ in range(20):  # refused while connections that idle are still open
                if "deleted" in self._tell(f"del server {name}").lower():
                    break
                time.sleep(0.2)

    def healthy(self) -> list[str]:
        """Return the names of the targets that get requests."""
        return [row["svname"] for row in self._rows() if row["status"].startswith("UP")]

    def stop(self) -> None:
        """End the server."""
        self._server.stop()

    def _field(self, name: str, field: str) -> str:
        for row in self._rows():
            if row["svname"] == name:
                return row[field]
        raise RehearsalError(f"the load balancer has no target {name}; see {self._server.log}")

    def _rows(self) -> list[dict[str, str]]:
        rows = csv.DictReader(self._tell("show stat").lstrip("# ").splitlines())
        return [row for row in rows if row["pxname"] == "targets" and row["svname"] != "BACKEND"]

    def _tell(self, command: str) -> str:
        try:
            with contextlib.closing(socket.socket(socket.AF_UNIX)) as control:
                control.settimeout(10)
                control.connect(str(self._control))
                control.sendall(command.encode() + b"\n")
                return b"".join(iter(lambda: control.recv(65536), b"")).decode()
        except OSError as error:
            raise RehearsalError(f"the load balancer does not listen: {error}") from None
