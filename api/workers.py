"""Several workers: why one died is told, and others are started at ever longer pauses."""

import logging
import math
import signal
import time
from collections.abc import Sequence
from typing import Final

from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

CANNOT_START: Final = 3
"""Exit code of a worker, and of the service, where another worker could not start either."""
PATIENCE_SECONDS: Final = 10
"""A worker that does not answer its parent for so long is killed; on a busy machine a start takes
some seconds."""
_QUIET_SECONDS: Final = 60.0
_LONGEST_PAUSE_SECONDS: Final = 30.0

logger = logging.getLogger("carprice.service")
_keep_alive = Multiprocess.keep_subprocess_alive


class Watch:
    """Watches over the workers of Uvicorn's supervisor, which by itself tells no reason.

    Attributes
    ----------
    gave_up : whether a worker ended with :data:`CANNOT_START`, so that the service ends.
    """

    def __init__(self) -> None:
        self.gave_up = False
        self._told: set[int | None] = set()
        self._last, self._pause = -math.inf, 0.0

    def begin(self) -> None:
        """Have the supervisor ask this watch before it starts workers again."""

        def keep_subprocess_alive(supervisor: Multiprocess) -> None:
            workers = [*supervisor.processes]
            if supervisor.should_exit.is_set() or not self._may_start(workers):
                return
            _keep_alive(supervisor)
            self._tell(workers)

        setattr(Multiprocess, _keep_alive.__name__, keep_subprocess_alive)

    def _may_start(self, workers: Sequence[Process]) -> bool:
        """Whether the pause after the last worker's end is over, if one has ended."""
        self._tell(workers)
        all_live = all(one.process.exitcode is None for one in workers)
        return all_live or self.gave_up or time.monotonic() >= self._last + self._pause

    def _tell(self, workers: Sequence[Process]) -> None:
        """Log how workers ended, and let the pause grow where that happens again and again."""
        for worker in workers:
            code = worker.process.exitcode
            if code is None or worker.pid in self._told:
                continue
            now = time.monotonic()
            is_alone = now > self._last + self._pause + _QUIET_SECONDS
            self._pause = 0.0 if is_alone else min(2 * self._pause or 1.0, _LONGEST_PAUSE_SECONDS)
            self._last = now
            self._told.add(worker.pid)
            self.gave_up = self.gave_up or code == CANNOT_START
            then = "could not start either" if code == CANNOT_START else "takes its place"
            logger.error("Worker %s %s; another %s", worker.pid, _end_of(code), then)


def _end_of(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    if code == -getattr(signal, "SIGKILL", 0):
        return f"was killed: memory ran out, or it did not answer for {PATIENCE_SECONDS} s"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
