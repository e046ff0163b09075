"""Programs that the rehearsal runs: each with a log and a time limit, and none left behind."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

import requests
from rich.console import Console

console: Final = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
_started = time.monotonic()
_running: set["subprocess.Popen[bytes]"] = set()
_guard = threading.Lock()
_record: list[Path] = []


class RehearsalError(Exception):
    """The rehearsal cannot go on; the message says what failed and where to look."""


def say(text: str) -> None:
    """Print one line with the time since the start."""
    console.print(f"[{time.monotonic() - _started:5.0f} s] {text}", markup=False, soft_wrap=True)


def tail(path: Path, lines: int = 15) -> str:
    """Return the last lines of a log."""
    with contextlib.suppress(OSError):
        return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
    return ""


def run(
    command: Sequence[str | Path],
    log: Path,
    *,
    seconds: float,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    given: str = "",
    allowed: Sequence[int] = (0,),
) -> tuple[int, str]:
    """Run a program to its end; return its exit code and standard output.

    Parameters
    ----------
    log : gets standard error, and the command.
    given : standard input.
    allowed : exit codes that are no error.

    Raises
    ------
    RehearsalError
        If the program ends with another exit code, or not in time.
    """
    words = [str(word) for word in command]
    name = Path(words[0]).name
    with log.open("ab") as errors:
        errors.write(f"$ {' '.join(words)}\n".encode())
        errors.flush()
        process = _start(
            words, environment, folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
        )
        try:
            output, _ = process.communicate(given.encode(), timeout=seconds)
        except subprocess.TimeoutExpired:
            raise RehearsalError(
                f"{name} did not end within {seconds:.0f} s; see {log}:\n{tail(log)}"
            ) from None
        finally:
            _end(process, 2)
        errors.write(output)
    if process.returncode not in allowed:
        raise RehearsalError(f"{name} ended with {process.returncode}; see {log}:\n{tail(log)}")
    return process.returncode, output.decode(errors="replace")


class Background:
    """A program that runs until it is stopped.

    Parameters
    ----------
    command : the program and its arguments.
    log : gets what it says.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        log: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.log = log
        words = [str(word) for word in command]
        self._name = Path(words[0]).name
        with log.open("ab") as output:
            self.process = _start(
                words, environment, None, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )

    def wait_for(self, url: str, seconds: float, good: Sequence[int] = (200,)) -> None:
        """Wait until GET of an address answers with a good status.

        Raises
        ------
        RehearsalError
            If it does not in time, or the program has ended.
        """
        deadline = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(requests.RequestException):
                if get(url).status_code in good:
                    return
            time.sleep(0.2)
        raise RehearsalError(
            f"{self._name} does not answer at {url}; see {self.log}:\n{tail(self.log)}"
        )

    def stop(self, seconds: float = 10) -> None:
        """End it with SIGTERM, and with SIGKILL if that is not enough."""
        _end(self.process, seconds)


def get(url: str, **given: Any) -> requests.Response:
    """Ask a server of the rehearsal with GET, through no proxy."""
    with requests.Session() as session:
        session.trust_env = False
        return session.get(url, timeout=10, **given)


def record_processes(path: Path) -> None:
    """End what an earlier run that was killed left behind; from now on note what is started."""
    with contextlib.suppress(OSError):
        for line in path.read_text(encoding="ascii").splitlines():
            pid, _, begun = line.partition(" ")
            if pid.isdigit() and begun and _begun(int(pid)) == begun:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(int(pid), signal.SIGKILL)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("", encoding="ascii")
    _record[:] = [path]


def stop_all() -> None:
    """End every program that is still running."""
    with _guard:
        left = list(_running)
    for process in left:
        _end(process, 1)


def _start(
    words: Sequence[str],
    environment: Mapping[str, str] | None,
    folder: Path | None,
    *,
    stdin: int,
    stdout: IO[bytes] | int,
    stderr: IO[bytes],
) -> "subprocess.Popen[bytes]":
    process: subprocess.Popen[bytes] = subprocess.Popen(
        words,
        env=environment,
        cwd=folder,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
    )
    with _guard:
        _running.add(process)
        for path in _record:
            with path.open("a", encoding="ascii") as noted:
                noted.write(f"{process.pid} {_begun(process.pid)}\n")
    return process


def _end(process: "subprocess.Popen[bytes]", seconds: float) -> None:
    """End a program and all of its process group."""
    for request in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            break
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, request)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with _guard:
        _running.discard(process)


def _begun(pid: int) -> str:
    """Return when a process began: its number alone may be another's by now."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return text.rpartition(")")[2].split()[19]
