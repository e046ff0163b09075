"""The parts of the running service, which its routes share."""

from collections.abc import Coroutine
from time import perf_counter
from typing import Any

from fastapi import Request

from api.batch_pool import BatchPool
from api.bodies import QUOTE_ID, ListingRequest
from api.challenger import Challenger
from api.counters import Metrics
from api.draining import Drain
from api.keeper import ModelKeeper
from api.last_run import LastRunFile
from api.logs import Recorder
from api.outcome_pool import OutcomePool
from api.prediction_log import log_of
from api.problems import Kind, ProblemError
from api.receiving import ByteBudget
from api.served import ServedModel
from api.service_settings import ServiceSettings
from api.shadow import ShadowJob
from api.siblings import Siblings
from api.watch import Answer, Tell
from carprice.appraisal.quote import QUOTE
from carprice.model.pricer import Valuation
from carprice.monitoring.outcomes import OutcomeStore


class Service:
    """One running service.

    Parameters
    ----------
    served : the model that it begins with.
    has_keys : whether a key is asked for.

    Attributes
    ----------
    may_tell : names of the keys that may tell outcomes; None: all.
    challenger : None where it is off.
    log : keeps what is answered; None where that is off.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        served: ServedModel | None = None,
        *,
        has_keys: bool = False,
    ) -> None:
        self.settings = settings
        self.has_keys = has_keys
        self.metrics = Metrics()
        self.keeper = ModelKeeper(settings, served)
        self.keeper.on_swap = self._loaded
        self.keeper.on_failure = self.metrics.registry_failed
        self.drain = Drain(settings.drain_seconds)
        self.receiving = ByteBudget(settings.receiving_bytes)
        self.log = log_of(settings, self.metrics)
        if self.log is not None and served is not None:
            self.log.check(served)
        self.challenger: Challenger | None = None
        if settings.challenger != "off":
            self.challenger = Challenger(settings, self.metrics, self.keeper, self.log)
        self.batches = BatchPool(settings, self.metrics, self.log, self.challenger)
        self.recorder = Recorder(self.metrics)
        self.outcomes = _outcomes(settings)
        self.may_tell: frozenset[str] | None = None
        self.last_run = LastRunFile(settings.monitoring)
        self.siblings = Siblings(settings.model_cache, self.ask_soon)

    def _loaded(self, served: ServedModel) -> None:
        self.metrics.model_loaded(served)
        if self.log is not None:
            self.log.check(served)

    def require_ready(self) -> None:
        """Refuse with 503 and the reason where a load balancer should send no requests here."""
        if self.drain.begun:
            raise ProblemError(Kind.BUSY, "the service is about to stop")
        if self.keeper.served is None:
            raise ProblemError(Kind.NO_MODEL, self.keeper.problem)

    async def answer(
        self,
        request: Request,
        served: ServedModel,
        listing: ListingRequest,
        confidence: float,
        tell: Tell,
        *,
        judges: bool = True,
        is_kept: bool = True,
    ) -> dict[str, Any]:
        """Return the answer to a request for one listing; count its warnings, and log it.

        Parameters
        ----------
        served : the model in production; for some cars the challenger answers.
        tell : tells what the answer says of the price. What is priced beside is the price alone.
        judges : whether an asking price is judged.
        is_kept : whether the log has answers of this route, and the prices beside them.
        """
        route: str = request.scope["route"].path
        challenger = self.challenger
        if challenger is None or not challenger.is_canary:
            begun = perf_counter()
            valuation = served.value(listing, confidence, judges=judges)
            priced = valuation, perf_counter() - begun
            return self.answer_at_once(
                route, served, listing, confidence, tell, priced, judges=judges, is_kept=is_kept
            )
        seconds: dict[str, float] = {}

        def work(by: ServedModel) -> Answer:
            begun = perf_counter()
            valuation = by.value(listing, confidence, judges=judges)
            seconds[by.alias] = perf_counter() - begun
            return [valuation], tell(by, valuation)

        by, answer, failed = await challenger.answer(served, listing, work)
        (valuation,), content = answer
        if by is not served:
            request.scope["state"]["exchange"].answered_by(by)
        self.metrics.cautioned(valuation.cautions)
        if is_kept:
            quote_id = self.keep(route, by, listing, answer, confidence, seconds[by.alias])
            if failed is not None:
                challenger.keep_failed(quote_id, route, listing, confidence, failed)
        return content

    def answer_at_once(
        self,
        route: str,
        served: ServedModel,
        listing: ListingRequest,
        confidence: float,
        tell: Tell,
        priced: tuple[Valuation, float],
        *,
        judges: bool = True,
        is_kept: bool = True,
    ) -> dict[str, Any]:
        """Do the same with a price that is there, where the challenger answers for no car.

        Parameters
        ----------
        route : path of the route, as the service declares it.
        priced : the price, and the seconds that it took.
        """
        challenger, beside = self.challenger, None
        valuation, took = priced
        content = tell(served, valuation)
        if challenger is not None and is_kept:
            beside = challenger.beside(served)
        self.metrics.cautioned(valuation.cautions)
        quote_id = ""
        if is_kept and self.log is not None:
            quote_id = self.keep(route, served, listing, ([valuation], content), confidence, took)
        if challenger is not None and beside is not None:

            def price(by: ServedModel) -> Answer:
                return [by.value(listing, confidence, judges=judges)], {}

            job = ShadowJob(beside, price, route, confidence, [listing], [quote_id])
            challenger.price_beside(job, took)
        return content

    def keeping(self) -> list[Coroutine[Any, Any, None]]:
        """Return what runs as long as the service does: what asks the registry, or hears of it."""
        if self.settings.webhook_secret.get_secret_value():
            return [self.keeper.run(), self.siblings.run()]
        return [self.keeper.run()]

    def ask_soon(self) -> None:
        """Have the registry asked at once for the model in production, and for the challenger."""
        self.keeper.ask_soon()
        if self.challenger is not None:
            self.challenger.ask_soon()

    def keep(
        self,
        route: str,
        by: ServedModel,
        listing: ListingRequest,
        answer: Answer,
        confidence: float,
        seconds: float,
    ) -> str:
        """Keep an answer in the log, where there is one; return the id that it is given.

        Parameters
        ----------
        seconds : that the price alone took.
        """
        if self.log is None:
            return ""
        (valuation,), content = answer
        quote = content.get(QUOTE)
        quote_id: str = self.log.new_id() if quote is None else quote["id"]
        content[QUOTE_ID] = quote_id
        told = (quote_id, route, by, vars(listing), valuation, confidence, seconds * 1000)
        self.log.put(*told, alias=by.alias)
        return quote_id

    def served(self, request: Request) -> ServedModel:
        """Return the model that answers all of this request; 503 while there is none."""
        return self.required(request.scope["state"]["served"])

    def required(self, served: ServedModel | None) -> ServedModel:
        """Return a model; 503 where there is none."""
        if served is None:
            raise ProblemError(Kind.NO_MODEL, self.keeper.problem)
        return served


def _outcomes(settings: ServiceSettings) -> OutcomePool | None:
    """Return where outcomes are kept, if they are; no connection is made yet."""
    location = settings.outcomes.get_secret_value().strip()
    return OutcomePool(OutcomeStore(location), settings.batch_bytes) if location else None
