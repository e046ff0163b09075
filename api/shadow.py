"""Prices by the challenger beside the answers: in a thread of its own, off the requests' path.

What finds no room in its queue is left out and counted. After each job the thread rests for as long
as the job took, so that it takes half a core at most.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from api.bodies import ListingRequest
from api.watch import Watched, Work

logger = logging.getLogger("carprice.service")
_MOST_WAITING: Final = 10_000
_LONGEST_REST: Final = 1.0


@dataclass(frozen=True)
class ShadowJob:
    """Listings that production has priced, for the challenger to price too.

    Attributes
    ----------
    work : prices them by a model, in their order.
    route : the path that was asked.
    quotes : ids of production's answers, in the same order.
    """

    challenger: Watched
    work: Work
    route: str
    confidence: float
    listings: Sequence[ListingRequest]
    quotes: Sequence[str]


class Shadow:
    """A queue of jobs, and the thread that does them.

    Parameters
    ----------
    do : does a job.
    on_left_out : called with the number of listings that found no room.
    """

    def __init__(
        self, do: Callable[[ShadowJob], object], on_left_out: Callable[[int], object]
    ) -> None:
        self._do, self._on_left_out = do, on_left_out
        self._jobs: queue.SimpleQueue[ShadowJob | None] = queue.SimpleQueue()
        self._waiting = 0
        self._lock = threading.Lock()
        self._is_open = True
        self._busy_since: float | None = None
        threading.Thread(target=self._work, name="shadow", daemon=True).start()

    def put(self, job: ShadowJob) -> None:
        """Have a job done soon, or leave it out where there is no room."""
        rows = len(job.listings)
        with self._lock:
            has_room = self._waiting + rows <= _MOST_WAITING
            self._waiting += rows * has_room
        if has_room:
            self._jobs.put(job)
        else:
            self._on_left_out(rows)

    @property
    def busy_seconds(self) -> float:
        """For how long the thread has been at one job; 0 where it is at none."""
        since = self._busy_since
        return 0.0 if since is None else time.perf_counter() - since

    def close(self) -> None:
        """Begin no job any more; one that hangs is left alone."""
        self._is_open = False
        self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None and self._is_open:
            began = self._busy_since = time.perf_counter()
            try:
                self._do(job)
            except Exception:
                logger.exception("A price beside an answer could not be noted")
            self._busy_since = None
            with self._lock:
                self._waiting -= len(job.listings)
            time.sleep(min(time.perf_counter() - began, _LONGEST_REST))
