"""Programs that the rehearsal runs: each with a log, and all ended with the rehearsal."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import psutil
import requests
from rich.console import Console

console: Final = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
_started = time.monotonic()
_MARK: Final = "CARPRICE_REHEARSAL"
"""Variable in the environment of every program that a rehearsal starts."""


class RehearsalError(Exception):
    """The rehearsal cannot go on; the message says what failed and where to look."""


def say(text: str) -> None:
    """Print one line with the time since the start."""
    console.print(f"[{time.monotonic() - _started:5.0f} s] {text}", markup=False, soft_wrap=True)


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
    folder: Path | None = None,
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
    words = [str(word) for word in command]
    name = Path(words[0]).name
    with log.open("a", encoding="utf-8") as errors:
        errors.write(f"$ {' '.join(words)}\n")
        errors.flush()
        with subprocess.Popen(
            words,
            env=_marked(environment),
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            errors="replace",
            start_new_session=True,
        ) as process:
            try:
                printed, _ = process.communicate(given, seconds)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                raise RehearsalError(
                    f"{name} did not end within {seconds:.0f} s; see {log}:\n{tail(log)}"
                ) from None
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)
                raise
        errors.write(printed)
    if check and process.returncode:
        raise RehearsalError(f"{name} ended with {process.returncode}; see {log}:\n{tail(log)}")
    return subprocess.CompletedProcess(words, process.returncode, printed)


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

    def has_ended(self) -> bool:
        """Return whether the program has ended."""
        return self.process.poll() is not None

    def wait_for(self, url: str, seconds: float, good: int = 200) -> None:
        """Wait until GET of ``url`` answers with the status ``good``.

        Raises
        ------
        RehearsalError
            If it does not in time, or the program has ended.
        """

        def answers() -> bool:
            with contextlib.suppress(requests.RequestException):
                return get(url).status_code == good
            return False

        if not wait_until(lambda: self.has_ended() or answers(), seconds) or self.has_ended():
            raise RehearsalError(
                f"{self._name} does not answer at {url}; see {self.log}:\n{tail(self.log)}"
            )

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
