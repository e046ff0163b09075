"""The command line of the benchmarks that start services: shared options, the run, the report."""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from rich.console import Console
from servers import NEEDS_LINUX, ServerError, is_linux, stop_on_sigterm

from carprice.arrays import Progress
from carprice.errors import CarpriceError

T = TypeVar("T")
_WIDTH: Final = 130
_told: Final = Console(stderr=True, highlight=False)


class Parser(argparse.ArgumentParser):
    """A command line with the options that all of these benchmarks have."""

    def __init__(self, description: str | None, epilog: str) -> None:
        super().__init__(
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self.add_argument(
            "--workdir",
            type=Path,
            metavar="FOLDER",
            help="serve the production model of its mlflow.db (default: train one on the sample)",
        )
        self.add_argument(
            "--json",
            nargs="?",
            const="-",
            metavar="OUT",
            help="print the figures as JSON instead of tables, or write them to this file as well",
        )

    def read(self) -> argparse.Namespace:
        """Read the command line."""
        given = self.parse_args()
        if given.workdir is not None and not (given.workdir / "mlflow.db").is_file():
            self.error(f"--workdir: {given.workdir / 'mlflow.db'} does not exist; run the pipeline")
        return given


def run(measure: Callable[[Path, Progress], T], missing: str | None = None) -> T:
    """Measure in a new folder, with the progress on the terminal.

    Ends the program with 2 where it cannot run here (``missing`` says why), with 1 where a service
    fails.
    """
    if not is_linux() or missing:
        _told.print(missing if is_linux() else NEEDS_LINUX, markup=False, soft_wrap=True)
        sys.exit(2)
    stop_on_sigterm()
    try:
        with _told.status("") as status, tempfile.TemporaryDirectory() as scratch:
            return measure(Path(scratch), status.update)
    except (ServerError, CarpriceError, subprocess.CalledProcessError) as error:
        _told.print(f"cannot measure: {error}", markup=False, soft_wrap=True)
        sys.exit(1)


def report(content: Any, where: str | None, show: Callable[[Console], None]) -> None:
    """Print figures as JSON where that is wanted, else show them and write them to a file."""
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    if where == "-":
        sys.stdout.write(text)
        return
    show(Console(width=None if sys.stdout.isatty() else _WIDTH, highlight=False))
    if where is not None:
        Path(where).write_text(text, encoding="utf-8")
