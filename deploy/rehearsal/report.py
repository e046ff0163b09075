"""What is told at the end: the table on the terminal, docs/rehearsal.md and its picture."""

import string
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.table import Table

from rehearsal.outcome import Outcome
from rehearsal.picture import draw
from rehearsal.shell import console
from rehearsal.traffic import Request, summary

HEADER: Final = ("", "what", "result", "stopped by", "s", "requests", "failed", "p99, ms")


@dataclass(frozen=True)
class Facts:
    """What the report says besides.

    Attributes
    ----------
    date : of the run.
    machine : cores and what runs the containers.
    seconds : how long all of it took.
    options : how it was called.
    settle_seconds : see :class:`rehearsal.plan.Plan`.
    """

    date: str
    machine: str
    seconds: float
    options: str
    settle_seconds: float


def rows(outcomes: Sequence[Outcome]) -> list[tuple[str, ...]]:
    """Return the table's rows."""
    return [
        (
            outcome.version,
            outcome.what,
            "in production" if outcome.succeeded else "refused",
            outcome.stopped_by.replace("deploy/scripts/", ""),
            f"{outcome.seconds:.0f}",
            f"{outcome.traffic.requests:,}" if outcome.traffic.requests else "–",
            f"{outcome.traffic.failed}" if outcome.traffic.requests else "–",
            "–" if outcome.traffic.p99 is None else f"{outcome.traffic.p99:.0f}",
        )
        for outcome in outcomes
    ]


def show(outcomes: Sequence[Outcome], problems: Sequence[str]) -> None:
    """Print the table, and each broken expectation on a line."""
    table = Table(title="Rehearsal", title_justify="left")
    for number, name in enumerate(HEADER):
        table.add_column(name, justify="left" if number < 4 else "right", overflow="fold")
    for row in rows(outcomes):
        table.add_row(*row)
    console.print(table)
    for problem in problems:
        console.print(f"BROKEN: {problem}", style="red", markup=False, soft_wrap=True)


def write(
    folder: Path,
    outcomes: Sequence[Outcome],
    requests: Sequence[Request],
    problems: Sequence[str],
    facts: Facts,
) -> None:
    """Write rehearsal.md and rehearsal.png."""
    folder.mkdir(parents=True, exist_ok=True)
    draw(folder / "rehearsal.png", outcomes, requests)
    text = markdown(outcomes, requests, problems, facts)
    (folder / "rehearsal.md").write_text(text, encoding="utf-8", newline="\n")


def markdown(
    outcomes: Sequence[Outcome],
    requests: Sequence[Request],
    problems: Sequence[str],
    facts: Facts,
) -> str:
    """Return the report."""
    whole = summary(requests)
    verdict = (
        "Everything was as it must be."
        if not problems
        else "Not as it must be:\n\n" + "\n".join(f"- {problem}" for problem in problems)
    )
    lines = [HEADER, tuple("---" if n < 4 else "---:" for n in range(len(HEADER)))]
    table = "\n".join(f"| {' | '.join(row)} |" for row in [*lines, *rows(outcomes)])
    reasons = "\n".join(
        f"- **{outcome.version}** {outcome.message}. The end of its log:\n\n"
        f"  ```\n{_indented(outcome.log)}\n  ```"
        for outcome in outcomes
        if outcome.message
    )
    template = Path(__file__).with_name("report_template.md").read_text(encoding="utf-8")
    return string.Template(template).substitute(
        options=facts.options,
        date=facts.date,
        machine=facts.machine,
        minutes=f"{facts.seconds / 60:.1f}",
        verdict=verdict,
        table=table,
        settle=f"{facts.settle_seconds:.0f}",
        requests=f"{whole.requests:,}",
        failed=whole.failed,
        p99="–" if whole.p99 is None else f"{whole.p99:.0f} ms",
        reasons=reasons,
    )


def _indented(text: str) -> str:
    shown = [line for line in text.strip().splitlines() if line][-12:]
    return "\n".join(f"  {line[:200]}".rstrip() for line in shown)
