"""``carprice`` called in the process of a test, and programs in processes of their own."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from carprice.cli import main


@dataclass(frozen=True)
class Done:
    """What a command left behind: exit code, standard output, standard error."""

    code: int
    out: str
    err: str

    @property
    def printed(self) -> str:
        """All that it printed."""
        return self.out + self.err

    @property
    def line(self) -> str:
        """The one line that a refused command prints."""
        (line,) = self.err.strip().splitlines()
        assert line.startswith("carprice: ")
        return line

    @property
    def refusal(self) -> str:
        """The line among others that says why it was refused."""
        return next(one for one in self.printed.splitlines() if one.startswith("carprice: "))


Carprice = Callable[..., Done]


@contextmanager
def environment_kept() -> Iterator[None]:
    """MLflow leaves its last address in the environment; a process of its own would not."""
    before = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def caller(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Carprice:
    """Return a function that runs ``carprice`` with its arguments."""

    def run(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["carprice", *map(str, arguments)])
        capsys.readouterr()
        with environment_kept(), pytest.raises(SystemExit) as stop:
            main()
        printed = capsys.readouterr()
        return Done(int(stop.value.code or 0), printed.out, printed.err)

    return run


def run(folder: Path, *command: str, code: int = 0) -> str:
    """Run a program in a folder; return all that it printed."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PATH": path, "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout
    return done.stdout


_WORKS = """
import datetime, sys
from pathlib import Path
from carprice.components.folder_lock import only_command

now = datetime.datetime(2025, 7, 1, 14, 0, tzinfo=datetime.timezone(datetime.timedelta(hours=2)))
with only_command(Path(sys.argv[1]), sys.argv[2], now):
    print("working", flush=True)
    sys.stdin.read()
"""


@contextmanager
def working(folder: Path, command: str) -> "Iterator[subprocess.Popen[str]]":
    """Start a process that holds a folder's lock, as a command does, until its input ends."""
    with subprocess.Popen(
        [sys.executable, "-c", _WORKS, str(folder), command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "working\n"
            yield process
        finally:
            process.kill()
