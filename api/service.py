"""What the routes share: settings, the model, counters and the threads that price batches."""

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from fastapi import Request

from api.counters import Metrics
from api.draining import Drain
from api.keeper import ModelKeeper, ServedModel
from api.logs import Recorder
from api.problems import busy, no_model
from api.service_settings import ServiceSettings

T = TypeVar("T")
_SWITCH_SECONDS = 0.001


@dataclass(frozen=True)
class Service:
    """One running service."""

    settings: ServiceSettings
    keeper: ModelKeeper
    metrics: Metrics
    drain: Drain
    batches: "BatchPool"
    recorder: Recorder

    @property
    def is_ready(self) -> bool:
        """Whether a load balancer should send requests here."""
        return self.keeper.served is not None and not self.drain.begun

    def require_ready(self) -> None:
        """Refuse with 503 where :attr:`is_ready` is false.

        Raises
        ------
        ProblemError
            503 with the reason.
        """
        if self.drain.begun:
            raise busy("the service is about to stop")
        if self.keeper.served is None:
            raise no_model(self.keeper.problem)

    def served(self, request: Request) -> ServedModel:
        """Return the model that this request is answered with, from its first byte to its last.

        Raises
        ------
        ProblemError
            503 while there is none.
        """
        served: ServedModel | None = request.scope["state"]["served"]
        if served is None:
            raise no_model(self.keeper.problem)
        return served


class BatchPool:
    """Few threads that price batches, so that the event loop stays free for everything else."""

    def __init__(self, threads: int, queue: int) -> None:
        sys.setswitchinterval(_SWITCH_SECONDS)  # the event loop shall have its turn soon
        self._most = threads + queue
        self._queue = queue
        self._inside = 0
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="batch")

    async def run(self, work: Callable[[], T]) -> T:
        """Do the work in a thread.

        Raises
        ------
        ProblemError
            503 if too many batches wait already.
        """
        if self._inside >= self._most:
            raise busy(f"{self._queue} batches are waiting already; try again")
        self._inside += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._inside -= 1

    def close(self) -> None:
        """Let no new work in, and none begin that waits."""
        self._threads.shutdown(wait=False, cancel_futures=True)
