"""The rehearsal in a picture: who answered the requests while what was deployed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from matplotlib.figure import Figure

from rehearsal.expectations import DeploymentResult
from rehearsal.traffic import Request, per_second

_COLORS: Final = ("#4c78a8", "#59a14f", "#b07aa1", "#9c755f")
_FAILED: Final = "#d62728"
_EVENTS: Final = {
    "ApplicationStop": "#bab0ac",
    "DownloadBundle": "#9467bd",
    "BeforeInstall": "#e377c2",
    "Install": "#8c564b",
    "AfterInstall": "#edc948",
    "ApplicationStart": "#f28e2b",
    "ValidateService": "#76b7b2",
    "AllowTraffic": "#59a14f",
    "BlockTraffic": "#4c78a8",
}


def draw(path: Path, results: Sequence[DeploymentResult], requests: Sequence[Request]) -> None:
    """Write the picture: answers a second by model version, and each deployment's events."""
    origin = min([*(request.due for request in requests), results[0].began])
    figure = Figure(figsize=(11, 6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    _draw_answers(above, requests, origin)
    _draw_events(below, results, origin)
    top = {"transform": above.get_xaxis_transform()}
    for result in results:
        color = _EVENTS["AllowTraffic"] if result.succeeded else _FAILED
        for axes in (above, below):
            begin, end = result.began - origin, result.ended - origin
            axes.axvspan(begin, end, color=color, alpha=0.12, linewidth=0, zorder=0)
        above.text((begin + end) / 2, 1.01, result.name, ha="center", va="bottom", **top)
    figure.suptitle("Answers by model version while v1 to v5 are deployed", x=0.01, ha="left")
    figure.savefig(path, dpi=120, metadata={"Software": None})


def _draw_answers(axes: Any, requests: Sequence[Request], origin: float) -> None:
    counts = per_second(requests)
    begin = int(min((request.due for request in requests), default=origin))
    end = int(max((request.due for request in requests), default=origin))
    seconds = range(begin + 1, end)  # the first and last are cut
    versions = sorted(name for name in counts if name)
    levels = [[counts[name].get(second, 0) for second in seconds] for name in versions]
    axes.stackplot(
        [second - origin for second in seconds],
        levels or [[0 for _ in seconds]],
        labels=[f"model version {name}" for name in versions] or ["none"],
        colors=_COLORS,
        step="mid",
    )
    failures = counts.get("", {})
    axes.scatter(
        [second - origin for second in failures],
        list(failures.values()),
        color=_FAILED,
        zorder=3,
        label=f"failed: {sum(failures.values())}",
    )
    axes.set_ylabel("requests a second")
    axes.set_ylim(0)
    axes.legend(loc="lower right", ncols=4, framealpha=0.9)


def _draw_events(axes: Any, results: Sequence[DeploymentResult], origin: float) -> None:
    shown: set[str] = set()
    for row, result in enumerate(results):
        for event in result.deployment.spans:
            label = event.name if event.name not in shown else None
            shown.add(event.name)
            axes.barh(
                row,
                max(event.ended - event.started, 0.3),
                left=event.started - origin,
                color=_EVENTS.get(event.name, "#999999"),
                edgecolor=_FAILED if event.failed else "none",
                linewidth=2 if event.failed else 0,
                label=label,
            )
        if not result.succeeded:
            axes.annotate(
                f"✗ {result.script}",
                (result.began - origin, row),
                xytext=(-4, 0),
                textcoords="offset points",
                va="center",
                ha="right",
                color=_FAILED,
                fontsize=8,
            )
    axes.set_yticks(range(len(results)), [result.name for result in results])
    axes.invert_yaxis()
    axes.set_xlabel("seconds")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=7, frameon=False)
