"""Folders, addresses and programs of a rehearsal; the programs end with it, and each has a log."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil
import requests

PROJECT: Final = Path(__file__).resolve().parents[2]
SUBNET: Final = "10.89.78"
GATEWAY: Final = f"{SUBNET}.1"  # this machine, as instances see it
_MARK: Final = "CARPRICE_REHEARSAL"
"""Variable in the environment of every program that a rehearsal starts."""
_started = time.monotonic()


class RehearsalError(Exception):
    """The rehearsal cannot go on; the message says what failed and where to look."""


@dataclass
class Options:
    """Folders, sizes and times of one rehearsal.

    Attributes
    ----------
    work : folder for what is kept between runs (base image, layers), and for this run's files.
    is_quick : one instance a fleet and short waits, as in CI.
    """

    work: Path
    is_quick: bool = False

    def __post_init__(self) -> None:
        self.tools = self.work / "aws"  # the AWS command line's environment
        self.run = self.work / "run"  # of this run alone
        self.logs = self.run / "logs"
        self.machine = self.run / "machine"  # files of all instances
        self.private = self.run / "private"  # what may hold secrets
        self.report = self.work / "report" if self.is_quick else PROJECT / "docs"
        self.settle_seconds = 1.0 if self.is_quick else 3.0
        """Requests due this long before and after a deployment count as the deployment's."""


def say(text: str) -> None:
    """Print one line with the time since the start."""
    print(f"[{time.monotonic() - _started:5.0f} s] {text}", flush=True)  # noqa: T201


def tail(path: Path) -> str:
    """Return the last lines of a log."""
    return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait until a condition holds; return whether it did in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def run(
    command: Sequence[str | Path],
    log: Path,
    *,
    seconds: float,
    environment: Mapping[str, str] | None = None,
    given: str = "",
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end.

    Parameters
    ----------
    log : gets the command, what it prints, and its errors.
    given : standard input.
    check : whether an exit code other than 0 is an error.

    Raises
    ------
    RehearsalError
        If the program fails, or does not end in time.
    """
    name = Path(command[0]).name
    with log.open("a", encoding="utf-8") as errors:
        errors.write(f"$ {' '.join(map(str, command))}\n")
        errors.flush()
        try:
            done = subprocess.run(
                command,
                env=_marked(environment),
                input=given,
                stdout=subprocess.PIPE,
                stderr=errors,
                encoding="utf-8",
                errors="replace",
                timeout=seconds,
                start_new_session=True,
                check=False,
            )
        except subprocess.TimeoutExpired:
            message = f"{name} did not end within {seconds:.0f} s; see {log}:\n{tail(log)}"
            raise RehearsalError(message) from None
        errors.write(done.stdout)
    if check and done.returncode:
        raise RehearsalError(f"{name} ended with {done.returncode}; see {log}:\n{tail(log)}")
    return done


class Background:
    """A program that runs until it is stopped; its output goes to ``log``."""

    def __init__(
        self, command: Sequence[str | Path], log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.log, self._name = log, Path(command[0]).name
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                command,
                env=_marked(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def wait_for(self, condition: Callable[[], bool], seconds: float) -> None:
        """Wait until a condition holds.

        Raises
        ------
        RehearsalError
            If it does not in time, or the program has ended.
        """
        has_ended = self.process.poll
        wait_until(lambda: has_ended() is not None or condition(), seconds)
        if has_ended() is not None or not condition():
            message = f"{self._name} does not start; see {self.log}:\n{tail(self.log)}"
            raise RehearsalError(message)

    def stop(self) -> None:
        """End it with SIGTERM, and with SIGKILL if that is not enough."""
        for request in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
                os.killpg(self.process.pid, request)
                self.process.wait(5)


def get(url: str, **given: Any) -> requests.Response:
    """Ask a server of the rehearsal with GET, through no proxy."""
    with requests.Session() as session:
        session.trust_env = False
        return session.get(url, timeout=10, **given)


def answers(url: str, status: int = 200) -> bool:
    """Return whether a server answers GET with a status."""
    with contextlib.suppress(requests.RequestException):
        return get(url).status_code == status
    return False


def kill_all() -> None:
    """Kill every running program of this rehearsal, or of an earlier one that was killed."""
    killed = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if _MARK in process.environ():
                process.kill()
                killed.append(process)
    psutil.wait_procs(killed, timeout=5)


def _marked(environment: Mapping[str, str] | None) -> dict[str, str]:
    return {**(os.environ if environment is None else environment), _MARK: "yes"}
