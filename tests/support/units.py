"""A stand-in for ``systemctl`` where systemd does not run: it runs one unit's commands for real.

It knows what ``deploy/host`` uses of a unit: ``Environment``, ``EnvironmentFile``,
``ExecStartPre``, ``ExecStart`` and ``ExecStop``. It starts nothing again, as ``Restart=`` would.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def directives(unit: Path) -> Iterator[tuple[str, str]]:
    """Yield the unit's lines as names and values, long ones joined."""
    text = re.sub(r"\\\n\s*", "", unit.read_text(encoding="utf-8"))
    for line in text.splitlines():
        if line and line[0] not in "#;[":
            name, _, value = line.partition("=")
            yield name, value


def environment(unit: Path) -> dict[str, str]:
    """Return what the unit's commands find in their environment, and in ``${NAME}``."""
    found: dict[str, str] = {}
    for name, value in directives(unit):
        lines = []
        if name == "Environment":
            lines = shlex.split(value)
        elif name == "EnvironmentFile":
            lines = Path(value).read_text(encoding="utf-8").splitlines()
        found |= dict(line.split("=", 1) for line in lines if line and line[0] not in "#;")
    return found


def commands(unit: Path, kind: str) -> Iterator[tuple[list[str], bool]]:
    """Yield the commands of a kind, and whether they may fail."""
    variables = environment(unit)
    for name, value in directives(unit):
        if name == kind:
            words = shlex.split(value.removeprefix("-"))
            yield (
                [re.sub(r"\$\{(\w+)\}", lambda found: variables[found[1]], word) for word in words],
                value.startswith("-"),
            )


class Unit:
    """One unit, and the process of its service.

    Parameters
    ----------
    unit : the unit's file.
    state : a folder for the process's number and what it prints.
    """

    def __init__(self, unit: Path, state: Path) -> None:
        self.unit, self.state = unit, state
        self.number = state / "pid"

    def main(self) -> int | None:
        """Return the number of the process, where it runs."""
        with suppress(FileNotFoundError, ProcessLookupError):
            number = int(self.number.read_text(encoding="utf-8"))
            os.kill(number, 0)
            if Path(f"/proc/{number}/stat").read_text("utf-8").rpartition(") ")[2][0] != "Z":
                return number
        return None

    def run(self, kind: str) -> None:
        """Run the unit's commands of a kind; one that may not fail ends the program."""
        for words, may_fail in commands(self.unit, kind):
            variables = {**os.environ, **environment(self.unit)}
            done = subprocess.run(
                words, env=variables, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
            )
            if done.returncode and not may_fail:
                raise SystemExit(done.returncode)

    def start(self) -> None:
        """Start the service's process, which outlives this one."""
        self.run("ExecStartPre")
        ((words, _),) = commands(self.unit, "ExecStart")
        with (self.state / "log").open("ab") as log:
            process = subprocess.Popen(
                words,
                env={**os.environ, **environment(self.unit)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.number.write_text(f"{process.pid}", encoding="utf-8")

    def stop(self) -> None:
        """Stop the service's process, for which its last end is TimeoutStopSec."""
        if self.main() is None:
            return
        self.run("ExecStop")
        deadline = time.monotonic() + float(dict(directives(self.unit))["TimeoutStopSec"])
        while (number := self.main()) is not None:
            if time.monotonic() > deadline:
                os.killpg(number, signal.SIGKILL)
            time.sleep(0.02)


def main() -> None:
    """``units.py UNIT STATE VERB NAME``, as ``systemctl VERB NAME``."""
    unit, (verb, name) = Unit(Path(sys.argv[1]), Path(sys.argv[2])), sys.argv[3:]
    if name != unit.unit.name:
        raise SystemExit(f"Unit {name} not found.")
    if verb == "is-active":
        is_active = unit.main() is not None
        sys.stdout.write("active\n" if is_active else "inactive\n")
        raise SystemExit(0 if is_active else 3)
    if verb in ("stop", "restart"):
        unit.stop()
    if verb in ("start", "restart"):
        unit.start()


if __name__ == "__main__":
    main()
