"""What the load's notes say of a stretch of time."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Request:
    """A request: due time (seconds since 1970), seconds until its answer, status, version."""

    due: float
    seconds: float
    status: int
    version: str
    problem: str

    @property
    def failed(self) -> bool:
        """Whether it got anything but 200 with a price."""
        return self.status != 200 or bool(self.problem)

    @property
    def reason(self) -> str:
        """What was wrong."""
        return self.problem or f"status {self.status}"


@dataclass(frozen=True)
class Traffic:
    """Requests of a stretch of time in figures; ``p99`` in milliseconds, None without requests."""

    requests: int
    failed: int
    p99: float | None
    versions: tuple[str, ...]
    reasons: tuple[tuple[str, int], ...]


def read(notes: Path) -> list[Request]:
    """Read the notes, but for a last line that is still being written."""
    text = notes.read_text(encoding="utf-8") if notes.is_file() else ""
    complete = text[: text.rfind("\n") + 1]
    return [Request(*json.loads(line)) for line in complete.splitlines()]


def between(requests: Iterable[Request], begin: float, end: float) -> list[Request]:
    """Return the requests that were due in a stretch of time."""
    return [request for request in requests if begin <= request.due < end]


def summary(requests: Sequence[Request]) -> Traffic:
    """Return the figures of requests.

    Examples
    --------
    >>> summary([Request(0.0, 0.004, 200, "1", ""), Request(1.0, 0.006, 503, "", "")])
    Traffic(requests=2, failed=1, p99=6.0, versions=('1',), reasons=(('status 503', 1),))
    """
    ordered = sorted(request.seconds for request in requests)
    rank = math.ceil(0.99 * len(ordered)) - 1
    failed = [request for request in requests if request.failed]
    return Traffic(
        len(requests),
        len(failed),
        round(1000 * ordered[rank], 3) if ordered else None,
        tuple(sorted({request.version for request in requests if request.version})),
        tuple(Counter(request.reason for request in failed).most_common()),
    )


def per_second(requests: Sequence[Request]) -> dict[str, dict[int, int]]:
    """Return how many requests each version answered in each second; failed ones under ``""``."""
    counts: dict[str, Counter[int]] = {}
    for request in requests:
        name = "" if request.failed else request.version
        counts.setdefault(name, Counter())[math.floor(request.due)] += 1
    return {name: dict(found) for name, found in counts.items()}
