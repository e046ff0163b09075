"""Servers under test: each in its own process, on its own core, and always stopped. Linux only."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import psutil

NEEDS_LINUX: Final = "this benchmark needs Linux: it pins processes to cores and reads /proc"
PATIENCE_SECONDS: Final = 180.0
POLL_SECONDS: Final = 0.005
_NOT_YET: Final = (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.NOT_FOUND)
"""What servers answer while they load; anything else but 200 will not get better."""
_ANSWER_SECONDS: Final = 60.0
_SHOWN_CHARACTERS: Final = 1500
_SECONDS_TO_FINISH: Final = 30


class ServerError(Exception):
    """A server that did not start, did not answer or answered something wrong."""


@dataclass(frozen=True)
class Cores:
    """The core of the servers and the core of everything else; the same one if there is but one."""

    server: int
    load: int

    @classmethod
    def of_this_machine(cls) -> "Cores":
        """Take the first two cores that this process may use."""
        mine = sorted(os.sched_getaffinity(0))
        return cls(mine[0], mine[1] if len(mine) > 1 else mine[0])

    @property
    def are_two(self) -> bool:
        """Whether the load comes from another core than the server's."""
        return self.server != self.load

    def __str__(self) -> str:
        if self.are_two:
            return f"server on core {self.server}, load from core {self.load}"
        return "one core only: server and load share it, so nothing is pinned"


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """Keep this thread, and processes that it starts in the block, on a core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def ask(port: int, path: str, body: str | None = None) -> tuple[int, Any]:
    """Return status and JSON of a POST, or of a GET where there is no body, on a new connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_ANSWER_SECONDS)
    try:
        headers = {"Content-Type": "application/json"}
        connection.request("GET" if body is None else "POST", path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    with suppress(ValueError):
        return answer.status, json.loads(content)
    return answer.status, content.decode(errors="replace")


@dataclass(frozen=True)
class Server:
    """A running server, and when it was started by the monotonic clock."""

    port: int
    process: "subprocess.Popen[bytes]"
    log: Path
    started: float

    def ask(self, path: str, body: str | None = None) -> tuple[int, Any]:
        """Return status and JSON of a POST, or of a GET where there is no body."""
        return ask(self.port, path, body)

    def wait_for_answer(self, path: str, body: str | None = None) -> float:
        """Ask until the answer is 200; return the seconds since the start.

        Raises
        ------
        ServerError
            If the server ends or the answer does not come.
        """
        answer: Any = None
        while time.monotonic() < self.started + PATIENCE_SECONDS:
            with suppress(OSError, http.client.HTTPException):
                status, answer = self.ask(path, body)
                if status == HTTPStatus.OK:
                    return time.monotonic() - self.started
                if status not in _NOT_YET:
                    break
            if self.process.poll() is not None:
                break
            time.sleep(POLL_SECONDS)
        raise ServerError(
            f"no answer 200 from {path}; the last was {answer!r}, the server's log ends:\n"
            + self.log.read_text(encoding="utf-8", errors="replace")[-_SHOWN_CHARACTERS:]
        )

    def core_us(self) -> float:
        """Return the microseconds that the server's processes were on a core."""
        return core_us(self.process.pid)

    def finish(self) -> None:
        """Ask the server to end, and wait until it has: its prediction log is finished then."""
        self.process.terminate()
        self.process.wait(_SECONDS_TO_FINISH)

    def resident_bytes(self) -> int:
        """Return the resident memory of the server's processes together."""
        total = 0
        for process in _family(self.process.pid):
            with suppress(psutil.Error):
                total += process.memory_info().rss
        return total


def core_us(pid: int) -> float:
    """Return the microseconds that all threads of a process and those below it were on a core.

    What else a machine does changes them less than rates.
    """
    total = 0
    for process in _family(pid):
        for task in Path(f"/proc/{process.pid}/task").glob("*/schedstat"):
            with suppress(OSError):
                total += int(task.read_text(encoding="ascii").split()[0])
    return total / 1e3


def is_linux() -> bool:
    """Return whether processes can be pinned and their memory be read here."""
    return sys.platform.startswith("linux")


def free_port() -> int:
    """Return a port of 127.0.0.1 that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def clean_environment(settings: Mapping[str, str], binaries: Path | None = None) -> dict[str, str]:
    """Return this environment with such settings, without others that change what is measured.

    Parameters
    ----------
    settings : variables to set.
    binaries : folder that programs are looked for in first; default: that of this Python.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CARPRICE_", "MLFLOW_", "MLSERVER_", "UVICORN_", "OMP_"))
    }
    folders = (str(binaries or Path(sys.executable).parent), os.environ.get("PATH", os.defpath))
    quiet = {"PATH": os.pathsep.join(folders), "MLFLOW_DISABLE_TELEMETRY": "true"}
    return {**kept, **quiet, **settings}


@contextmanager
def running(
    command: Sequence[str],
    port: int,
    folder: Path,
    environment: Mapping[str, str],
    core: int | None = None,
    *,
    keep_output: bool = True,
) -> Iterator[Server]:
    """Run a server in a folder until the block ends; nothing of it is left then.

    Parameters
    ----------
    command, port : what to run, and the port that it will listen on.
    folder : working folder, which the log and temporary files are written to as well.
    environment : all variables of the process.
    core : where it runs; default: on the cores of this process.
    keep_output : whether standard output, which access logs go to, is kept in the log.
    """
    log = folder / f"server-{port}.log"
    home = pinned(core) if core is not None else nullcontext()
    with log.open("wb") as output, home:
        started = time.monotonic()
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**environment, "TMPDIR": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=output if keep_output else subprocess.DEVNULL,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield Server(port, process, log, started)
    finally:
        stop(process)


def stop(process: "subprocess.Popen[bytes]") -> None:
    """End a process and all that it started, at once."""
    family = _family(process.pid)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for one in family:
        with suppress(psutil.Error):
            one.kill()
    process.wait()


def stop_on_sigterm() -> None:
    """Turn SIGTERM into an exception, so that servers are stopped before this process ends."""

    def leave(*_: object) -> None:
        sys.exit(128 + signal.SIGTERM)

    signal.signal(signal.SIGTERM, leave)


def _family(pid: int) -> list[psutil.Process]:
    """Return a process and its descendants, as many as there are still."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
