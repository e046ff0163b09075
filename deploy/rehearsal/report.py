"""The end of a rehearsal: its table on the terminal, docs/rehearsal.md and the picture in it."""

import datetime
import string
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.table import Table

from rehearsal.expectations import DeploymentResult
from rehearsal.picture import draw
from rehearsal.processes import console
from rehearsal.traffic import Request, summary

HEADER: Final = ("", "what", "result", "stopped by", "s", "requests", "failed", "p99, ms")
_LEFT_COLUMNS: Final = 4


@dataclass(frozen=True)
class Report:
    """What is told of a rehearsal.

    Attributes
    ----------
    problems : what was not as it must be, each as one sentence.
    date : of the run.
    machine : cores and what runs the containers.
    seconds : how long all of it took.
    command : how it was called.
    settle_seconds : see :class:`rehearsal.options.Options`.
    """

    results: Sequence[DeploymentResult]
    requests: Sequence[Request]
    problems: list[str]
    date: datetime.date
    machine: str
    seconds: float
    command: str
    settle_seconds: float

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """The rows of the table, one a deployment."""
        return [
            (
                result.name,
                result.what,
                "in production" if result.succeeded else "refused",
                result.stopped_by,
                f"{result.ended - result.began:.0f}",
                f"{result.traffic.requests:,}" if result.traffic.requests else "–",
                f"{result.traffic.failed}" if result.traffic.requests else "–",
                "–" if result.traffic.p99 is None else f"{result.traffic.p99:.0f}",
            )
            for result in self.results
        ]

    def show(self) -> None:
        """Print the table, and each problem on a line."""
        table = Table(title="Rehearsal", title_justify="left")
        for number, name in enumerate(HEADER):
            justify = "left" if number < _LEFT_COLUMNS else "right"
            table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
        for row in self.rows:
            table.add_row(*row)
        console.print(table)
        for problem in self.problems:
            console.print(f"BROKEN: {problem}", style="red", markup=False, soft_wrap=True)

    def write(self, folder: Path) -> None:
        """Write rehearsal.md and rehearsal.png."""
        folder.mkdir(parents=True, exist_ok=True)
        draw(folder / "rehearsal.png", self.results, self.requests)
        (folder / "rehearsal.md").write_text(self.markdown(), encoding="utf-8", newline="\n")

    def markdown(self) -> str:
        """Return the page."""
        whole = summary(self.requests)
        verdict = "Everything was as it must be."
        if self.problems:
            verdict = "Not as it must be:\n\n" + "\n".join(f"- {one}" for one in self.problems)
        ruler = ["---"] * _LEFT_COLUMNS + ["---:"] * (len(HEADER) - _LEFT_COLUMNS)
        lines = [HEADER, ruler, *self.rows]
        reasons = [
            f"- **{result.name}** {result.diagnostics.message}. The end of its log:\n\n"
            f"  ```\n{_indented(result.diagnostics.log_tail)}\n  ```"
            for result in self.results
            if result.diagnostics.message
        ]
        template = Path(__file__).with_name("report_template.md").read_text(encoding="utf-8")
        return string.Template(template).substitute(
            command=self.command,
            date=self.date.isoformat(),
            machine=self.machine,
            minutes=f"{self.seconds / 60:.1f}",
            verdict=verdict,
            table="\n".join(f"| {' | '.join(line)} |" for line in lines),
            settle=f"{self.settle_seconds:.0f}",
            requests=f"{whole.requests:,}",
            failed=whole.failed,
            p99="–" if whole.p99 is None else f"{whole.p99:.0f} ms",
            reasons="\n".join(reasons),
        )


def _indented(text: str) -> str:
    shown = [line for line in text.strip().splitlines() if line][-12:]
    return "\n".join(f"  {line[:200]}".rstrip() for line in shown)
