"""The end of a rehearsal: its table on the terminal, docs/rehearsal.md and the picture in it."""

import datetime
import string
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd
from matplotlib import colormaps
from matplotlib.figure import Figure
from rich.markdown import Markdown

from rehearsal.agent import EVENTS
from rehearsal.processes import console
from rehearsal.results import DeploymentResult, failed, p99

_LEFT: Final = ("", "what", "result", "stopped by")
_RIGHT: Final = ("s", "requests", "failed", "p99, ms")
_RED, _GREEN = "#d62728", "#59a14f"
_ALL_EVENTS: Final = (*EVENTS, "AllowTraffic", "BlockTraffic")
_COLORS: Final = dict(zip(_ALL_EVENTS, colormaps["Set3"](range(len(_ALL_EVENTS))), strict=True))


@dataclass(frozen=True)
class Report:
    """What the report of a rehearsal shows.

    Attributes
    ----------
    requests : all of the load, as :func:`rehearsal.results.read_requests` returns them.
    problems : what went wrong, each as one sentence.
    machine : its cores, operating system, and version of Podman.
    seconds : how long the rehearsal took.
    command : the command that started it.
    settle_seconds : see :class:`rehearsal.options.Options`.
    """

    results: Sequence[DeploymentResult]
    requests: pd.DataFrame
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
                result.plan.name,
                result.plan.what,
                "in production" if result.deployment.succeeded else "refused",
                result.stopped_by,
                f"{result.deployment.seconds:.0f}",
                f"{len(result.requests):,}" if len(result.requests) else "–",
                f"{len(failed(result.requests))}" if len(result.requests) else "–",
                p99(result.requests),
            )
            for result in self.results
        ]

    @property
    def table(self) -> str:
        """The table in Markdown."""
        ruler = ["---"] * len(_LEFT) + ["---:"] * len(_RIGHT)
        lines = [_LEFT + _RIGHT, ruler, *self.rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def show(self) -> None:
        """Print the table, and each problem on a line."""
        console.print(Markdown(self.table))
        for problem in self.problems:
            console.print(f"BROKEN: {problem}", style="red", markup=False, soft_wrap=True)

    def write(self, folder: Path) -> None:
        """Write rehearsal.md and rehearsal.png."""
        folder.mkdir(parents=True, exist_ok=True)
        draw(folder / "rehearsal.png", self.results, self.requests)
        (folder / "rehearsal.md").write_text(self.markdown(), encoding="utf-8", newline="\n")

    def markdown(self) -> str:
        """Return the text of rehearsal.md."""
        verdict = "Everything was as it must be."
        if self.problems:
            verdict = "Not as it must be:\n\n" + "\n".join(f"- {one}" for one in self.problems)
        reasons = [
            f"- **{result.plan.name}** {result.error.message}. The end of its log:\n\n"
            f"  ```\n{_indented(result.error.log_tail)}\n  ```"
            for result in self.results
            if result.error.message
        ]
        template = Path(__file__).with_name("report_template.md").read_text(encoding="utf-8")
        return string.Template(template).substitute(
            command=self.command,
            date=self.date.isoformat(),
            machine=self.machine,
            minutes=f"{self.seconds / 60:.1f}",
            verdict=verdict,
            table=self.table,
            settle=f"{self.settle_seconds:.0f}",
            requests=f"{len(self.requests):,}",
            failed=len(failed(self.requests)),
            p99=f"{p99(self.requests)} ms",
            reasons="\n".join(reasons),
        )


def _indented(text: str) -> str:
    shown = [line for line in text.splitlines() if line.strip()][-12:]
    return "\n".join(f"  {line[:200]}".rstrip() for line in shown)


def draw(path: Path, results: Sequence[DeploymentResult], requests: pd.DataFrame) -> None:
    """Write the picture: answers a second by model version, and each deployment's events."""
    origin = min([*requests["due"], *(one.deployment.created for one in results)])
    figure = Figure(figsize=(11, 6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    _draw_answers(above, requests.assign(second=(requests["due"] - origin) // 1))
    _draw_events(below, results, origin)
    for result in results:
        begin = result.deployment.created - origin
        end = begin + result.deployment.seconds
        color = _GREEN if result.deployment.succeeded else _RED
        for axes in (above, below):
            axes.axvspan(begin, end, color=color, alpha=0.12, linewidth=0, zorder=0)
        place = {"ha": "center", "va": "bottom", "transform": above.get_xaxis_transform()}
        above.text((begin + end) / 2, 1.01, result.plan.name, **place)
    figure.suptitle("Answers by model version while v1 to v5 are deployed", x=0.01, ha="left")
    figure.savefig(path, dpi=120, metadata={"Software": None})


def _draw_answers(axes: Any, requests: pd.DataFrame) -> None:
    failures = failed(requests).groupby("second").size()
    good = requests[requests["problem"] == ""]
    if not good.empty:
        counts = good.groupby(["second", "version"]).size().unstack(fill_value=0)
        whole = range(int(counts.index.min()) + 1, int(counts.index.max()))  # the ends are cut
        counts = counts.reindex(whole, fill_value=0)
        labels = [f"model version {version}" for version in counts]
        axes.stackplot(counts.index, counts.T, labels=labels, step="mid")
    label = f"failed: {failures.sum()}"
    axes.scatter(failures.index, failures, color=_RED, zorder=3, label=label)
    axes.set_ylabel("requests a second")
    axes.set_ylim(0)
    axes.legend(loc="lower right", ncols=4, framealpha=0.9)


def _draw_events(axes: Any, results: Sequence[DeploymentResult], origin: float) -> None:
    for row, result in enumerate(results):
        for event in result.deployment.events:
            axes.barh(
                row,
                max((event.ended or event.started) - event.started, 0.3),
                left=event.started - origin,
                color=_COLORS[event.name],
                edgecolor=_RED if event.error else "none",
                linewidth=2 if event.error else 0,
                zorder=3 if event.error else 2,
                label=event.name,
            )
        if not result.deployment.succeeded:
            place = {"ha": "right", "va": "center", "color": _RED, "fontsize": 8}
            axes.text(result.deployment.created - origin, row, f"✗ {result.script}  ", **place)
    axes.set_yticks(range(len(results)), [result.plan.name for result in results])
    axes.invert_yaxis()
    axes.set_xlabel("seconds")
    bars, names = axes.get_legend_handles_labels()
    unique = {name: bars[names.index(name)] for name in names}
    axes.legend(
        unique.values(), unique, loc="upper left", bbox_to_anchor=(1, 1), fontsize=7, frameon=False
    )


def files_with(folders: Iterable[Path], secrets: Sequence[str]) -> list[str]:
    """Return the files under some folders that contain a secret; bundles are unpacked.

    The secret itself is not returned.
    """
    wanted = [secret.encode() for secret in secrets if secret]
    return [
        name
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
        for name, content in _contents(path)
        if any(secret in content for secret in wanted)
    ]


def _contents(path: Path) -> Iterable[tuple[str, bytes]]:
    yield str(path), path.read_bytes()
    if path.suffix == ".tgz":
        with tarfile.open(path) as packed:
            for member in packed:
                content = packed.extractfile(member)
                if content is not None:
                    yield f"{path}: {member.name}", content.read()
