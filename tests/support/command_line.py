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
