"""Keeps outcomes in few threads of their own, so that a database that hangs holds up no prices."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Final

from api.problems import Kind, ProblemError
from api.receiving import ByteBudget, come_back
from carprice.monitoring.outcomes import Added, OutcomeStore

_PLACES: Final = 16
_THREADS: Final = 2
_SECONDS: Final = 12.0
"""Longer than the database is given, so that its own reason is told where it gives one."""


class OutcomePool:
    """Where outcomes are kept, and how many requests may wait for it.

    Attributes
    ----------
    receiving : the bytes of their bodies in flight, which take none from those of listings.
    """

    def __init__(self, store: OutcomeStore, most_bytes: int) -> None:
        self.store = store
        self.receiving = ByteBudget(most_bytes)
        self._inside = 0
        self._turns = asyncio.Semaphore(_THREADS)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Take a place, from before the body is read until the answer is known; 429 without."""
        if self._inside >= _PLACES:
            raise come_back(f"{_PLACES} requests wait for the database of outcomes already")
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1

    async def run(self, work: Callable[[], Added]) -> Added:
        """Return what becomes of the work in a thread; 503 where it, or its turn, takes too long.

        A thread that hangs keeps its turn, and ends with the process at the latest.
        """
        try:
            async with asyncio.timeout(_SECONDS):
                await self._turns.acquire()
                return await asyncio.wrap_future(self._begin(work))
        except TimeoutError:
            told = "the database of outcomes does not answer in time; send it again: what was kept "
            raise ProblemError(Kind.BUSY, f"{told}counts once") from None

    def _begin(self, work: Callable[[], Added]) -> "Future[Added]":
        loop, future = asyncio.get_running_loop(), Future[Added]()
        future.set_running_or_notify_cancel()

        def run() -> None:
            try:
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)
            finally:
                with suppress(RuntimeError):  # the loop is closed
                    loop.call_soon_threadsafe(self._turns.release)

        try:
            threading.Thread(target=run, name="outcomes", daemon=True).start()
        except RuntimeError:  # there may be no more threads now; the turn is not lost
            self._turns.release()
            raise
        return future

    def close(self) -> None:
        """Close the connections that nobody uses."""
        self.store.close()
