"""Prices many listings in few threads, so that the event loop stays free for everything else."""

import asyncio
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from itertools import islice
from time import perf_counter
from typing import Any, TypeVar

from pydantic_core import to_json

from api import memory
from api.bodies import ListingRequest
from api.challenger import Challenger
from api.counters import Metrics
from api.parsing import Batch
from api.problems import Kind, ProblemError
from api.receiving import SMALL_BYTES, come_back
from api.served import PricedRow, ServedModel
from api.service_settings import ServiceSettings
from api.watch import MOST_AT_ONCE
from carprice.model.pricer import Valuation
from carprice.monitoring.prediction_log import PredictionLog

_SWITCH_SECONDS = 0.001
_CHUNK = 500
_FEW_ROWS = 16
_LARGE_BYTES = 1024 * 1024

B = TypeVar("B", bound=Batch)
T = TypeVar("T")
Priced = tuple[bytes, list[PricedRow]]
Reader = Callable[[bytes, int, float], B]
"""Reads a body, of at most so many rows; the confidence is for a body that names none."""
Writer = Callable[[ServedModel, B, list[PricedRow]], bytes]


class BatchPool:
    """Reads, prices and answers batches; what is small is not worth a thread."""

    def __init__(
        self,
        settings: ServiceSettings,
        metrics: Metrics,
        log: PredictionLog | None = None,
        challenger: Challenger | None = None,
    ) -> None:
        sys.setswitchinterval(_SWITCH_SECONDS)  # the event loop shall have its turn soon
        self._settings = settings
        self._metrics = metrics
        self._log = log
        self._challenger = challenger
        self._inside = 0
        self._had_large = False
        self._threads = ThreadPoolExecutor(settings.batch_workers, thread_name_prefix="batch")
        self._few = ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix="few")

    async def answer(
        self,
        route: str,
        served: ServedModel,
        body: bytes,
        confidence: float,
        read: Reader[B],
        write: Writer[B],
        *,
        at_once: bool = True,
        tells_model: bool = False,
    ) -> bytes:
        """Read a body, price its listings and return the answer's body.

        The problem of a body that cannot be read, or 429 if a small one has many rows and there is
        no place for it.

        Parameters
        ----------
        at_once : whether few rows take no place: they are priced where they came in, or in another
            thread where there is a canary, which may hang.
        tells_model : whether the answer tells the model of each row, so that a canary may price
            some.
        """
        challenger = self._challenger
        canary = challenger if tells_model and challenger and challenger.answers_some else None

        def price(batch: B) -> Priced:
            if canary is not None:
                return self._priced_by_both(canary, route, served, batch, write)
            begun = perf_counter()
            rows = served.value_all(batch)
            seconds = perf_counter() - begun
            if self._log is not None:
                took = 1000 * seconds / max(len(rows), 1)
                batch = replace(
                    batch, quote_ids=_logged(self._log, route, served, batch, rows, took)
                )
            if self._challenger is not None:
                self._challenger.price_batch_beside(route, served, batch, seconds)
            return write(served, batch, rows), rows

        self._had_large |= len(body) > _LARGE_BYTES
        most = self._settings.batch_rows
        may_be_few = at_once and len(body) <= SMALL_BYTES
        if may_be_few and (batch := _few_rows(body, most, confidence, read)) is not None:
            if canary is None:
                content, rows = price(batch)
            else:
                loop = asyncio.get_running_loop()
                content, rows = await loop.run_in_executor(self._few, partial(price, batch))
        else:
            work = lambda: price(read(body, most, confidence))  # noqa: E731
            content, rows = await self.run(body, work)
        self._had_large |= len(content) > _LARGE_BYTES
        self._metrics.priced_together(rows)
        return content

    def _priced_by_both(
        self,
        canary: Challenger,
        route: str,
        served: ServedModel,
        batch: B,
        write: Writer[B],
    ) -> Priced:
        """Price a batch of which the canary has a share of the cars, and answer it."""
        found = canary.price_cars(served, batch)
        if found.by is not None:
            batch = replace(batch, by=dict.fromkeys(found.cars, found.by))
        if self._log is not None:
            took, own = 1000 * found.seconds, 1000 * found.own_seconds
            ids = _logged(self._log, route, served, batch, found.rows, took, own)
            batch = replace(batch, quote_ids=ids)
            for place in found.cars[:1]:  # a failure is one, however many rows it was for
                listing = batch.rows[place]
                if found.failed is not None and isinstance(listing, ListingRequest):
                    told = ids[place], route, listing, batch.confidence, found.failed
                    canary.keep_failed(*told)
        return write(served, batch, found.rows), found.rows

    async def run(self, body: bytes, work: Callable[[], T]) -> T:
        """Do some work on a body in a thread.

        A body of more than ``SMALL_BYTES`` has its place already; 429 if there is none for another.
        """
        loop = asyncio.get_running_loop()
        if len(body) > SMALL_BYTES:
            return await loop.run_in_executor(self._threads, work)
        with self.place():
            return await loop.run_in_executor(self._threads, work)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Take a place: a thread's or one in the queue; 429 if all are taken.

        Whoever sends a large body has it before the body is read, until the answer is sent.
        """
        waiting = self._settings.batch_queue
        if self._inside >= self._settings.batch_workers + waiting:
            raise come_back(f"{waiting} batches are waiting already")
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1
            self._tidy_up()

    def _tidy_up(self) -> None:
        """Give memory back once no batch is left, where one was large."""
        if self._had_large and not self._inside:
            self._had_large = False
            with suppress(RuntimeError):  # after close
                self._threads.submit(memory.give_back)

    def close(self) -> None:
        """Let no new work in, and none begin that waits."""
        for threads in (self._threads, self._few):
            threads.shutdown(wait=False, cancel_futures=True)


def _logged(
    log: PredictionLog,
    route: str,
    served: ServedModel,
    batch: Batch,
    rows: Sequence[PricedRow],
    milliseconds: float,
    others: float = 0.0,
) -> list[str]:
    """Keep the rows that have a price; return an id for each row, empty where there is none.

    Parameters
    ----------
    milliseconds, others : for a price, of production and of another model.
    """
    ids = []
    for place, (listing, priced) in enumerate(zip(batch.rows, rows, strict=True)):
        quote_id = log.new_id() if isinstance(priced, Valuation) else ""
        if isinstance(priced, Valuation):
            by, fields = batch.by.get(place, served), vars(listing)
            took = others if place in batch.by else milliseconds
            log.put(quote_id, route, by, fields, priced, batch.confidence, took, alias=by.alias)
        ids.append(quote_id)
    return ids


def _few_rows(body: bytes, most: int, confidence: float, read: Reader[B]) -> B | None:
    """Read a short body of few rows; None where it has more, which were not looked at."""
    try:
        return read(body, min(most, _FEW_ROWS), confidence)
    except ProblemError as error:
        if error.kind is not Kind.TOO_LARGE:
            raise
        return None


def json_array(rows: Iterable[Any]) -> bytes:
    """Write values as JSON, some hundreds at a time: no step holds the interpreter for long."""
    rest = iter(rows)
    chunks = iter(lambda: [*islice(rest, _CHUNK)], [])
    return b"[" + b",".join(to_json(chunk)[1:-1] for chunk in chunks) + b"]"
