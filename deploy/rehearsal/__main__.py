"""``deploy/rehearse``: what it is told, and what it tells."""

import argparse
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

from rehearsal import report
from rehearsal.instances import needs_root, remove_cgroups
from rehearsal.outcome import all_broken
from rehearsal.plan import Plan
from rehearsal.scenario import rehearse
from rehearsal.secret_search import places
from rehearsal.shell import RehearsalError, record_processes, say, stop_all

_PROJECT = Path(__file__).resolve().parents[2]
_LOCK = Path("/run/carprice-rehearsal.lock")
_QUICK_HEALTH_SECONDS = 15
_LONGEST_SECONDS = 900


def plan_of(arguments: list[str] | None = None) -> Plan:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="deploy/rehearse", description=__doc__)
    work = Path("/var/tmp/carprice-rehearsal")  # noqa: S108 - root's, and kept between runs
    parser.add_argument("--work", type=Path, default=work, help="kept files, logs (%(default)s)")
    parser.add_argument("--report", type=Path, help="folder of rehearsal.md and rehearsal.png")
    parser.add_argument("--instances", type=int, help="of a fleet; 2, with --quick 1")
    parser.add_argument("--rate", type=int, default=50, help="requests a second (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="small fleets, short waits")
    given = parser.parse_args(arguments)
    if given.rate < 1 or (given.instances is not None and not 1 <= given.instances <= 20):
        parser.error("--rate must be 1 or more, --instances from 1 to 20")
    work = given.work.resolve()
    usual = work / "report" if given.quick else _PROJECT / "docs"
    return Plan(
        project=_PROJECT,
        work=work,
        report=(given.report or usual).resolve(),
        instances=given.instances or (1 if given.quick else 2),
        health_seconds=_QUICK_HEALTH_SECONDS if given.quick else None,
        rate=given.rate,
        deregistration_seconds=10 if given.quick else 30,
        settle_seconds=1.0 if given.quick else 3.0,
    )


def main() -> int:
    """Rehearse; 0 if everything was as it must be, else 1."""
    plan = plan_of()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    started = time.monotonic()
    try:
        needs_root()
        with _alone():
            _tidy(plan)
            try:
                found = rehearse(plan)
            finally:
                stop_all()
                _forget_instances(plan)
    except RehearsalError as error:
        say(f"FAILED: {error}")
        return 1
    except KeyboardInterrupt:
        say("Interrupted; what was started is ended")
        return 130
    facts = report.Facts(
        datetime.datetime.now(datetime.UTC).date().isoformat(),
        _machine(),
        time.monotonic() - started,
        "deploy/rehearse --quick" if plan.health_seconds else "deploy/rehearse",
        plan.settle_seconds,
    )

    def write(problems: list[str]) -> None:
        report.write(plan.report, found.outcomes, found.requests, problems, facts)

    problems = all_broken(found.outcomes, found.problems)
    if facts.seconds > _LONGEST_SECONDS:
        problems.append(f"it took {facts.seconds:.0f} s, and {_LONGEST_SECONDS} are allowed")
    write(problems)
    folders = [plan.logs, plan.run / "bundles", plan.report]
    leaks = places(folders, found.passwords)
    if leaks:
        problems += [f"a password of this run is in {place}" for place in leaks]
        write(problems)
    report.show(found.outcomes, problems)
    say(f"Report: {plan.report / 'rehearsal.md'}; logs: {plan.logs}")
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


def _tidy(plan: Plan) -> None:
    """End and delete what an earlier run left."""
    record_processes(plan.work / "processes")
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()[::-1]:
        where = line.split()[1]
        if where.startswith(f"{plan.run}/"):
            subprocess.run(["umount", "--lazy", where], capture_output=True, check=False)
    remove_cgroups()
    _delete(plan.run)
    for folder in (plan.run, plan.logs, plan.private):
        folder.mkdir(parents=True, mode=0o700)


def _forget_instances(plan: Plan) -> None:
    """Delete what is large or secret; logs, bundles and the load's notes stay."""
    names = ("instances", "containers", "images", "private", "workspaces")
    _delete(*(plan.run / name for name in names))


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
