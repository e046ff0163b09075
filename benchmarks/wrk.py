"""wrk, the load generator: sends the given bodies in turn and tells rate and latencies."""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SCRIPT: Final = Path(__file__).with_name("post.lua")
MISSING: Final = "wrk is not installed: apt-get install wrk, or build https://github.com/wg/wrk"
_TIMEOUT: Final = "60s"


@dataclass(frozen=True)
class Load:
    """What one run of wrk measured.

    Attributes
    ----------
    requests : answers that came.
    seconds : how long it took.
    p50_ms, p99_ms : latency that half and 99 % of the answers came within.
    refused : answers with a status of 400 or more.
    broken : connections, reads and writes that failed, and answers that took longer than a minute.
    """

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    refused: int
    broken: int

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds

    @property
    def errors(self) -> int:
        """Requests that got no good answer; where none got any answer, that is an error too."""
        return self.refused + self.broken + (self.requests == 0)


def is_installed() -> bool:
    """Return whether wrk can be run."""
    return shutil.which("wrk") is not None


def drive(port: int, path: str, bodies: Path, connections: int, seconds: int) -> Load:
    """Send requests over so many connections, each as soon as the one before is answered."""
    done = subprocess.run(
        [
            *("wrk", "--threads", "1", "--connections", str(connections)),
            *("--duration", f"{seconds}s", "--timeout", _TIMEOUT, "--script", str(SCRIPT)),
            *(f"http://127.0.0.1:{port}", "--", str(bodies), path),
        ],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return Load(**json.loads(done.stdout.splitlines()[-1]))
