"""The program behind ``deploy/rehearse``: one rehearsal from its options to its report."""

import argparse
import datetime
import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

from filelock import FileLock, Timeout

from rehearsal.instances import remove_network
from rehearsal.processes import Options, RehearsalError, kill_all, say
from rehearsal.report import draw, files_with, markdown, table, write
from rehearsal.scenario import Rehearsal

_LOCK = Path("/run/carprice-rehearsal.lock")
_LONGEST_SECONDS = 900


def main() -> int:
    """Rehearse; return 0 if there were no problems, 130 if interrupted, else 1."""
    parser = argparse.ArgumentParser(prog="deploy/rehearse")
    work = Path("/var/tmp/carprice-rehearsal")  # noqa: S108 - root's, and kept between runs
    parser.add_argument("--work", type=Path, default=work, help="kept files, logs (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="small fleets, short waits")
    given = parser.parse_args()
    options = Options(given.work.resolve(), given.quick)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    started = time.monotonic()
    try:
        if os.geteuid() != 0:
            raise RehearsalError("only root can make network and mount namespaces; use sudo")
        # One at a time: two would share a bridge and addresses.
        with FileLock(_LOCK, timeout=0):
            _end_all(options)
            _delete(options.run)
            for folder in (options.run, options.logs, options.private):
                folder.mkdir(parents=True, mode=0o700)
            try:
                found = Rehearsal(options)
            finally:
                _end_all(options)
                # Large or secret folders; logs, bundles and the load's notes are kept.
                names = ("instances", "containers", "images", "private", "workspaces")
                _delete(*(options.run / name for name in names))
    except Timeout:
        say("FAILED: another rehearsal is running; wait for its end")
        return 1
    except RehearsalError as error:
        say(f"FAILED: {error}")
        return 1
    except KeyboardInterrupt:
        say("Interrupted; what was started is ended")
        return 130
    seconds, problems = time.monotonic() - started, found.problems
    if seconds > _LONGEST_SECONDS:
        problems.append(f"it took {seconds:.0f} s, and {_LONGEST_SECONDS} are allowed")
    made = (
        f"`deploy/rehearse{' --quick' if options.is_quick else ''}` on "
        f"{datetime.datetime.now(datetime.UTC).date()}: {_machine()}; {seconds / 60:.1f} minutes "
        "in all"
    )
    shown = (found.results, found.requests, problems)
    write(options.report, markdown(made, options.settle_seconds, *shown))
    draw(options.report / "rehearsal.png", found.results, found.requests)
    leaks = files_with([options.logs, options.run / "bundles", options.report], found.passwords)
    if leaks:
        problems += [f"a password of this run is in {place}" for place in leaks]
        write(options.report, markdown(made, options.settle_seconds, *shown))
    print(table(found.results), *(f"BROKEN: {one}" for one in problems), sep="\n")  # noqa: T201
    say(f"Report: {options.report / 'rehearsal.md'}; logs: {options.logs}")
    return 1 if problems else 0


def _end_all(options: Options) -> None:
    """End what this run or an earlier one started."""
    kill_all()
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()[::-1]:
        where = line.split()[1]
        if where.startswith(f"{options.work}/"):
            subprocess.run(["umount", "--lazy", where], capture_output=True, check=False)
    remove_network()


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
