"""The program behind ``deploy/rehearse``: one rehearsal from its options to its report."""

import contextlib
import datetime
import fcntl
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import NoReturn

from rehearsal.expectations import differences
from rehearsal.instances import remove_cgroups
from rehearsal.options import Options, read_options
from rehearsal.processes import RehearsalError, record_processes, say, stop_all
from rehearsal.report import Report
from rehearsal.scenario import rehearse
from rehearsal.secret_search import places

_LOCK = Path("/run/carprice-rehearsal.lock")
_LONGEST_SECONDS = 900


def main() -> int:
    """Rehearse; 0 if everything was as it must be, else 1."""
    options = read_options()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    started = time.monotonic()
    try:
        if os.geteuid() != 0:
            raise RehearsalError("only root can make network and mount namespaces; use sudo")
        with _alone():
            _tidy(options)
            try:
                found = rehearse(options)
            finally:
                stop_all()
                # What is large or secret; logs, bundles and the load's notes stay.
                names = ("instances", "containers", "images", "private", "workspaces")
                _delete(*(options.run / name for name in names))
    except RehearsalError as error:
        say(f"FAILED: {error}")
        return 1
    except KeyboardInterrupt:
        say("Interrupted; what was started is ended")
        return 130
    seconds = time.monotonic() - started
    problems = [one for result in found.results for one in differences(result)] + found.problems
    if seconds > _LONGEST_SECONDS:
        problems.append(f"it took {seconds:.0f} s, and {_LONGEST_SECONDS} are allowed")
    report = Report(
        found.results,
        found.requests,
        problems,
        date=datetime.datetime.now(datetime.UTC).date(),
        machine=_machine(),
        seconds=seconds,
        command="deploy/rehearse --quick" if options.health_seconds else "deploy/rehearse",
        settle_seconds=options.settle_seconds,
    )
    report.write(options.report)
    leaks = places([options.logs, options.run / "bundles", options.report], found.passwords)
    if leaks:
        problems += [f"a password of this run is in {place}" for place in leaks]
        report.write(options.report)
    report.show()
    say(f"Report: {options.report / 'rehearsal.md'}; logs: {options.logs}")
    return 1 if problems else 0


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Let one rehearsal run at a time: they would share a bridge and addresses."""
    with _LOCK.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RehearsalError("another rehearsal is running; wait for its end") from None
        yield


def _tidy(options: Options) -> None:
    """End and delete what an earlier run left."""
    record_processes(options.work / "processes")
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()[::-1]:
        where = line.split()[1]
        if where.startswith(f"{options.run}/"):
            subprocess.run(["umount", "--lazy", where], capture_output=True, check=False)
    remove_cgroups()
    _delete(options.run)
    for folder in (options.run, options.logs, options.private):
        folder.mkdir(parents=True, mode=0o700)


def _delete(*folders: Path) -> None:
    # Tens of thousands of files: the program is much quicker than shutil.
    subprocess.run(["rm", "-rf", "--one-file-system", *folders], check=False)


def _machine() -> str:
    shown = subprocess.run(["podman", "--version"], capture_output=True, text=True, check=False)
    podman = shown.stdout.strip().replace("podman version", "Podman")
    system = platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    return f"{os.cpu_count()} cores, {system}, {podman}"


if __name__ == "__main__":
    sys.exit(main())
