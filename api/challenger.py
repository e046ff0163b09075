"""The challenger: a second model that prices beside the one in production, or for some cars.

Whatever becomes of it, requests are answered: where it fails, production answers. One that is
broken is dropped by this process, which tries that model no more until it is started again.
"""

import asyncio
import logging
import random
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import repeat
from typing import Any, Final, Literal, NamedTuple

from api.bodies import ListingRequest
from api.counters import Metrics
from api.keeper import ModelKeeper, Pause, load_fetched, without_places
from api.parsing import Batch
from api.production import RegistryReply, ask, in_thread, try_out
from api.served import ChallengerModel, PricedRow, ServedModel
from api.service_settings import ServiceSettings
from api.shadow import Shadow, ShadowJob
from api.watch import LONGEST_SECONDS, Answer, Failure, Reason, Watch, Watched, Work
from carprice.errors import CarpriceError, CorruptModelError, NoProductionModelError, RefusedError
from carprice.model.pricer import Valuation
from carprice.monitoring.canary import share_of
from carprice.monitoring.prediction_log import PredictionLog
from carprice.redaction import hide_secrets
from carprice.registry.record import Record
from carprice.schema import DEFAULT_CONFIDENCE, example_listing

logger = logging.getLogger("carprice.service")
State = Literal["none", "prices", "dropped", "unavailable"]
_FIRST_WAIT_SECONDS: float = 1.0
_LONGEST_WAIT_SECONDS: float = 60.0
_POLL_SECONDS: float = 60.0
_PROBE_SECONDS: float = 5.0
_PRICES_OF_A_PROBE: Final = 10
_STUCK_SECONDS: float = 20.0
_ROW_SECONDS: Final = 0.001
"""That a row of a batch may take beside the time that one car may."""
_LONGEST_BATCH_SECONDS: Final = 5.0
_SLICE_SECONDS: Final = 0.1
"""After which a batch that waits looks whether the challenger is still there."""


class Failed(NamedTuple):
    """A price that a challenger did not give: why not, and the seconds that it took."""

    served: ChallengerModel
    failure: Failure
    seconds: float


class PricedCars(NamedTuple):
    """A batch of which the challenger has a share of the cars.

    Attributes
    ----------
    cars : the places of that share.
    seconds, own_seconds : for a price, of production and of the challenger.
    by : the challenger, where it priced them.
    failed : how it failed, where production did.
    """

    rows: list[PricedRow]
    cars: Sequence[int]
    seconds: float
    own_seconds: float
    by: ServedModel | None
    failed: Failed | None


class Challenger:
    """Holds the challenger that the registry names, has it price, and drops a broken one.

    Parameters
    ----------
    keeper : has the model in production.
    log : takes the prices beside the answers; None where there is no log.

    Attributes
    ----------
    is_canary : whether it answers for some cars; else it prices beside some answers.
    state : whether there is a challenger: none is named, it prices, it was dropped, or it cannot
        be had.
    problem : why it was dropped, or why the registry's challenger could not be had; or empty.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        metrics: Metrics,
        keeper: ModelKeeper,
        log: PredictionLog | None = None,
    ) -> None:
        self._settings, self._metrics, self._keeper, self._log = settings, metrics, keeper, log
        self.is_canary = settings.challenger == "canary"
        self._share = settings.canary_share if self.is_canary else settings.shadow_share
        self._current: Watched | None = None
        self._dropped, self._why_dropped = "", ""
        self._shadow: Shadow | None = None
        self._pause = Pause()
        self.state: State = "none"
        self.problem = ""

    @property
    def served(self) -> ChallengerModel | None:
        """The challenger, or None as long as there is none to price with."""
        return None if self._current is None else self._current.served

    @property
    def answers_some(self) -> bool:
        """Whether there is a challenger now that answers for some cars."""
        return self.is_canary and self._current is not None

    def content(self) -> dict[str, Any]:
        """Return what ``GET /model`` says of the challenger."""
        served = self.served
        return {
            "mode": self._settings.challenger,
            "share": self._share,
            "state": self.state,
            "version": served and served.version,
            "digest": served and served.model.digest,
            "loaded": served and served.loaded,
            "detail": self.problem or None,
        }

    async def answer(
        self, champion: ServedModel, listing: ListingRequest, work: Work
    ) -> tuple[ServedModel, Answer, Failed | None]:
        """Return the answer to a request for one listing, and the model that it is by.

        And how the challenger failed, where production answers in its place.
        """
        current = self._rival_of(champion)
        if current is None:
            return champion, work(champion), None
        if share_of(vars(listing)) < self._share:
            answer, failed = await self._by_challenger(current, work)
            if answer is not None:
                return current.served, answer, None
            return champion, work(champion), failed
        return champion, _timed(champion, work, current.watch), None

    def keep_failed(
        self, quote_id: str, route: str, listing: ListingRequest, confidence: float, failed: Failed
    ) -> None:
        """Note in the log that there was no price, beside the answer that production gave."""
        if self._log is not None:
            fields, milliseconds = vars(listing), failed.seconds * 1000
            told = (quote_id, route, failed.served, fields, None, confidence, milliseconds)
            alias = ChallengerModel.alias
            self._log.put(*told, alias=alias, shadow=True, problem=failed.failure)

    def price_cars(self, champion: ServedModel, batch: Batch) -> PricedCars:
        """Price a batch of which the challenger has a share of the cars; called in a thread.

        Where that fails, production prices these cars, too.
        """
        current, rows = self._rival_of(champion), batch.rows
        cars = [
            place
            for place, row in enumerate(rows)
            if current and isinstance(row, ListingRequest) and share_of(vars(row)) < self._share
        ]
        theirs: Mapping[int, PricedRow] = {}
        failed, own_seconds = None, 0.0
        if current is not None and cars:
            alike = replace(batch, rows=[rows[place] for place in cars])
            work = partial(current.answer, lambda by: (_valuations(by.value_all(alike)), {}))
            longest = min(LONGEST_SECONDS + len(cars) * _ROW_SECONDS, _LONGEST_BATCH_SECONDS)
            found = _within(longest, work, lambda: current is self._current)
            if found is not None:
                answer, failure, own_seconds = found
                self._note(current, failure, own_seconds)
                if answer is not None:
                    theirs = dict(zip(cars, answer[0], strict=True))
                else:
                    failed = Failed(current.served, failure or "error", own_seconds)
        rest = [row for place, row in enumerate(rows) if place not in theirs]
        began = time.perf_counter()
        others = iter(champion.value_all(replace(batch, rows=rest)))
        seconds = (time.perf_counter() - began) / max(len(rest), 1)
        if current is not None and rest:
            current.watch.champion_took(seconds)
        priced = [theirs[place] if place in theirs else next(others) for place in range(len(rows))]
        by = current.served if current is not None and theirs else None
        return PricedCars(priced, cars, seconds, own_seconds, by, failed)

    def beside(self, champion: ServedModel) -> Watched | None:
        """Return the challenger if it is to price beside this answer."""
        if self.is_canary or random.random() >= self._share:  # noqa: S311
            return None
        return self._rival_of(champion)

    def price_beside(self, job: ShadowJob, seconds: float) -> None:
        """Have the challenger price soon what production has priced in so many seconds."""
        job.challenger.watch.champion_took(seconds / len(job.listings))
        if (shadow := self._shadow) is not None:
            shadow.put(job)

    def price_batch_beside(
        self, route: str, champion: ServedModel, batch: Batch, seconds: float
    ) -> None:
        """Have the challenger price those rows of a batch soon that could be read, if it is to."""
        rows = zip(batch.rows, batch.quote_ids or repeat(""), strict=False)
        readable = [(row, quote) for row, quote in rows if isinstance(row, ListingRequest)]
        if not readable or (beside := self.beside(champion)) is None:
            return
        listings, quotes = zip(*readable, strict=True)
        alike = Batch(listings, batch.confidence, judges=batch.judges)

        def work(by: ServedModel) -> Answer:
            return _valuations(by.value_all(alike)), {}

        job = ShadowJob(beside, work, route, batch.confidence, listings, quotes)
        self.price_beside(job, seconds)

    def _rival_of(self, champion: ServedModel) -> Watched | None:
        """Return the challenger, unless it is the model in production itself."""
        current = self._current
        if current is None or current.served.model.digest == champion.model.digest:
            return None
        return current

    async def _by_challenger(
        self, current: Watched, work: Work
    ) -> tuple[Answer | None, Failed | None]:
        """Return the challenger's answer, or how it failed; neither where it has no turn."""
        try:
            async with asyncio.timeout(LONGEST_SECONDS):
                await current.room.acquire()
        except TimeoutError:
            self._metrics.challenger_left_out(1)
            return None, None
        if current is not self._current:  # dropped or replaced while this waited
            current.room.release()
            return None, None
        working = asyncio.ensure_future(in_thread("challenger", partial(current.answer, work)))
        current.begin(working)
        await asyncio.wait({working}, timeout=LONGEST_SECONDS)
        answer: Answer | None = None
        failure: Failure | None = "no_answer"
        seconds = LONGEST_SECONDS
        if working.done():
            try:
                answer, failure, seconds = working.result()
            except RuntimeError:  # the system starts no more threads
                failure = "error"
        self._note(current, failure, seconds)
        return answer, Failed(current.served, failure, seconds) if failure else None

    def _note(self, current: Watched, failure: Failure | None, seconds: float) -> None:
        self._metrics.challenger_priced(failure or "priced")
        current.watch.note(failure, seconds)

    def _do(self, job: ShadowJob) -> None:
        """Price a job's listings, and note the prices; called in the thread of the shadow."""
        if job.challenger is not self._current:
            return  # dropped or replaced while this waited
        answer, failure, seconds = job.challenger.answer(job.work)
        if failure is None and seconds > LONGEST_SECONDS:
            failure = "no_answer"
        self._note(job.challenger, failure, seconds)
        if self._log is None:
            return
        rows: Sequence[Any] = answer[0] if answer else [None] * len(job.listings)
        for quote, listing, row in zip(job.quotes, job.listings, rows, strict=True):
            self._log.put(
                quote,
                job.route,
                job.challenger.served,
                vars(listing),
                row,
                job.confidence,
                seconds * 1000,
                alias=ChallengerModel.alias,
                shadow=True,
                problem="" if row is not None else failure or "error",
            )

    async def run(self) -> None:
        """Ask the registry again and again, and watch all the time; cancel it to stop."""
        self._pause = Pause()
        poll = self._settings.poll_seconds or _POLL_SECONDS
        probing = asyncio.create_task(self._probe())
        try:
            wait = _FIRST_WAIT_SECONDS
            while True:
                if await self._ask():
                    wait = _FIRST_WAIT_SECONDS
                    await self._pause.wait(poll)
                else:
                    await self._pause.wait(min(wait, poll))
                    wait = min(2 * wait, _LONGEST_WAIT_SECONDS)
        finally:
            probing.cancel()
            if self._shadow is not None:
                self._shadow.close()

    def ask_soon(self) -> None:
        """Ask the registry as soon as it is not being asked."""
        self._pause.end()

    async def _ask(self) -> bool:
        """Take what the registry has as challenger; whether that could be had, were it none."""
        champion = self._keeper.served
        if champion is None:
            return False
        known = self.served or champion
        try:
            answer = await ask(self._settings, known.model.digest, ChallengerModel.alias)
            try:
                await self._take(answer, champion)
            finally:
                answer.discard()
        except NoProductionModelError:
            self._current, self.state, self.problem = None, "none", ""
        except CarpriceError as error:
            self._fail(str(error))
            return False
        except Exception as error:
            logger.error(
                "The challenger cannot be loaded\n%s", hide_secrets(traceback.format_exc())
            )
            self._fail(f"the challenger cannot be loaded ({type(error).__name__}); see the log")
            return False
        return True

    async def _take(self, answer: RegistryReply, champion: ServedModel) -> None:
        digest = answer.digest
        is_champion = digest == champion.model.digest
        if self.served is not None and digest == self.served.model.digest and not is_champion:
            self.problem = ""
            return
        self._current, self.state, self.problem = None, "none", ""
        if is_champion:
            return
        if digest == self._dropped:
            self.state, self.problem = "dropped", self._why_dropped
            return
        self._dropped = ""
        self._require_tests(answer)
        if answer.folder is not None:
            await try_out(answer.folder, digest, self._settings.load_seconds)
        served = await in_thread("load", partial(load_fetched, answer, ChallengerModel))
        _require_same_market(served, champion)
        self._current = Watched(served, Watch(partial(self._drop, served)))
        self.state = "prices"
        if not self.is_canary:
            if self._shadow is not None:
                self._shadow.close()  # it may be at an answer by the one before
            self._shadow = Shadow(self._do, self._metrics.challenger_left_out)
        logger.info(
            "Version %s is the challenger, %s for a share of %g (digest %s)",
            served.version,
            self._settings.challenger,
            self._share,
            digest,
        )

    def _require_tests(self, answer: RegistryReply) -> None:
        """Tell of a challenger that did not pass the model tests, or refuse it."""
        settings = self._settings
        record = Record(settings.model_name, answer.version, answer.digest, answer.tags)
        key = settings.promotion_key.get_secret_value().encode()
        if objection := record.objection_to_tests(key):
            told = f"version {answer.version} of {settings.model_name} is challenger, but "
            told += f"{objection}; run `carprice test-model`"
            if settings.require_record:
                raise RefusedError(told)
            logger.warning("%s", told)

    def _fail(self, reason: str) -> None:
        self._metrics.challenger_failed()
        told = without_places(self._settings, reason)
        if told != self.problem:
            logger.warning("The registry's challenger could not be had: %s", reason)
        self.problem = told
        if self.state == "none":
            self.state = "unavailable"

    def _drop(self, served: ChallengerModel, reason: Reason, told: str) -> None:
        """Price with this model no more."""
        current = self._current
        if current is None or current.served is not served:
            return
        self._why_dropped = f"version {served.version} was dropped: {told}"
        self._current, self._dropped = None, served.model.digest
        self.state, self.problem = "dropped", self._why_dropped
        self._metrics.challenger_dropped(reason)
        logger.warning(
            "Version %s, the challenger, is dropped: %s (digest %s)",
            served.version,
            told,
            served.model.digest,
        )

    async def _probe(self) -> None:
        """Price the example by both models every few seconds, so that nothing hangs on requests."""
        listing = ListingRequest.model_validate(example_listing())

        def work(served: ServedModel) -> Answer:
            return [served.value(listing, DEFAULT_CONFIDENCE)], {}

        def price(champion: ServedModel, current: Watched) -> None:
            for _ in range(_PRICES_OF_A_PROBE):
                _timed(champion, work, current.watch)
                _, failure, seconds = current.answer(work)
                current.watch.note(failure, seconds)

        while True:
            await asyncio.sleep(_PROBE_SECONDS)
            champion, current = self._keeper.served, self._current
            if champion is None or current is None:
                continue
            shadow = self._shadow
            if max(current.busy_seconds, shadow.busy_seconds if shadow else 0) > _STUCK_SECONDS:
                if shadow is not None:
                    shadow.close()
                    self._shadow = None  # its thread hangs; the next challenger gets another
                told = f"it has been at one answer for {_STUCK_SECONDS:g} s"
                self._drop(current.served, "no_answer", told)
                continue
            probing = asyncio.ensure_future(in_thread("probe", partial(price, champion, current)))
            await asyncio.wait({probing}, timeout=2 * LONGEST_SECONDS)
            if not probing.done():
                current.watch.note("no_answer", LONGEST_SECONDS)
            elif error := probing.exception():
                logger.warning("The example cannot be priced beside the challenger: %s", error)


def _valuations(rows: Sequence[PricedRow]) -> list[Valuation]:
    return [row for row in rows if isinstance(row, Valuation)]


def _within(
    longest: float,
    work: Callable[[], tuple[Answer | None, Failure | None, float]],
    goes_on: Callable[[], bool],
) -> tuple[Answer | None, Failure | None, float] | None:
    """Return an answer; what takes longer than so many seconds is none.

    None where it was waited for no more, since it did not go on.
    """
    found: list[tuple[Answer | None, Failure | None, float]] = []
    working = threading.Thread(target=lambda: found.append(work()), name="challenger", daemon=True)
    try:
        working.start()
    except RuntimeError:  # the system starts no more threads
        return None, "error", 0.0
    end = time.perf_counter() + longest
    while working.is_alive() and (left := end - time.perf_counter()) > 0:
        working.join(min(left, _SLICE_SECONDS))
        if not (found or goes_on()):
            return None
    return found[0] if found else (None, "no_answer", longest)


def _timed(champion: ServedModel, work: Work, watch: Watch) -> Answer:
    began = time.perf_counter()
    answer = work(champion)
    watch.champion_took(time.perf_counter() - began)
    return answer


def _require_same_market(served: ServedModel, champion: ServedModel) -> None:
    """Refuse a challenger whose prices or distances are in other units."""
    for name in ("currency", "distance_unit"):
        own, other = (getattr(one.model.market, name) for one in (served, champion))
        if own != other:
            raise CorruptModelError(
                f"version {served.version}, the challenger, has {name} {own}, production {other}; "
                "train it for the same market"
            )
