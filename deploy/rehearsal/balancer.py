"""The load balancer: haproxy, told at run time which instances get requests.

Like AWS's load balancer it asks every target for ``/``, sends nothing to a target that does not
answer 200, and repeats no request. A target that is deregistered gets no new request, and finishes
those that it has.
"""

import contextlib
import csv
import socket
from collections.abc import Sequence
from typing import Final

from rehearsal.instances import Instance
from rehearsal.processes import GATEWAY, Background, Options, RehearsalError, answers, wait_until

LOAD_BALANCER: Final = (GATEWAY, 8080)
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
  option httpchk GET /
  http-check expect status 200
"""


class Balancer:
    """A load balancer with one target group."""

    def __init__(self, options: Options) -> None:
        self._control = options.private / "haproxy.sock"
        self._seconds = 10 if options.is_quick else 30
        settings, address = options.private / "haproxy.cfg", "{}:{}".format(*LOAD_BALANCER)
        text = _SETTINGS.format(socket=self._control, address=address)
        settings.write_text(text, encoding="utf-8")
        self._server = Background(["haproxy", "-db", "-f", settings], options.logs / "haproxy.log")
        self._server.wait_for(lambda: answers(f"http://{address}", 503), 20)

    def register(self, instances: Sequence[Instance]) -> None:
        """Add targets, and send them requests when the balancer finds all of them healthy.

        Raises
        ------
        RehearsalError
            If they are not healthy within a minute.
        """
        names = [f"targets/{instance.name}" for instance in instances]
        for name, instance in zip(names, instances, strict=True):
            checks = "check inter 1s rise 2 fall 2"
            self._tell(f"add server {name} {instance.address}:8000 weight 0 {checks}")
            self._tell(f"enable health {name}")
            self._tell(f"enable server {name}")
            # haproxy takes a new server for healthy, AWS's load balancer does not.
            self._tell(f"set server {name} health down")
        if not wait_until(lambda: all(self._shown(one, "status") == "UP" for one in names), 60):
            raise RehearsalError(
                f"the load balancer finds {', '.join(names)} unhealthy; see {self._server.log}"
            )
        for name in names:
            self._tell(f"set server {name} weight 100")

    def deregister(self, instances: Sequence[Instance]) -> None:
        """Let targets finish the requests that they have, and take them out."""
        names = [f"targets/{instance.name}" for instance in instances]
        for name in names:
            self._tell(f"set server {name} state drain")
        wait_until(lambda: all(self._shown(one, "scur") == "0" for one in names), self._seconds)
        for name in names:
            self._tell(f"set server {name} state maint")

    def _shown(self, name: str, column: str) -> str:
        for row in csv.DictReader(self._tell("show stat").lstrip("# ").splitlines()):
            if f"{row['pxname']}/{row['svname']}" == name:
                return row[column]
        raise RehearsalError(f"the load balancer has no target {name}; see {self._server.log}")

    def _tell(self, command: str) -> str:
        try:
            with contextlib.closing(socket.socket(socket.AF_UNIX)) as control:
                control.settimeout(10)
                control.connect(str(self._control))
                control.sendall(command.encode() + b"\n")
                return b"".join(iter(lambda: control.recv(65536), b"")).decode()
        except OSError as error:
            raise RehearsalError(f"the load balancer does not listen: {error}") from None
