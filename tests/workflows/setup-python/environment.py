"""Make an environment that sees the packages of the Python that runs act, and changes none.

``pip install -e .`` in it is quick, for what is needed is there, and points to the job's own copy
of the project; the environment outside keeps pointing to where it did.
"""

import os
import platform
import shlex
import sys
import venv
from pathlib import Path


def make(target: Path) -> None:
    venv.create(target, clear=True, symlinks=True)
    (site,) = target.glob("lib/python*/site-packages")
    outside = [path for path in sys.path if path.endswith("-packages")]
    (site / "outside.pth").write_text("\n".join(outside), encoding="utf-8")
    for script in Path(sys.executable).parent.iterdir():
        name = script.name
        if script.is_file() and not name.lower().startswith(("python", "activate", "carprice")):
            lend(script, target / "bin")


def lend(script: Path, folder: Path) -> None:
    """Let a script of Python's outside, such as pip or pytest, run with the Python in a folder."""
    with script.open("rb") as file:
        if b"python" not in file.readline(200):
            return
    call = shlex.join([str(folder / "python"), str(script)])
    (folder / script.name).write_text(f'#!/bin/sh\nexec {call} "$@"\n', encoding="utf-8")
    (folder / script.name).chmod(0o755)


if __name__ == "__main__":
    made = Path(os.environ["RUNNER_TEMP"]) / "python"
    make(made)
    with Path(os.environ["GITHUB_PATH"]).open("a", encoding="utf-8") as path:
        path.write(f"{made / 'bin'}\n")
    print(f"Python {platform.python_version()}, wished for: {os.environ['WISHED']}")  # noqa: T201
