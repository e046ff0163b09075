"""The parts of the running service, which its routes share."""

from fastapi import Request

from api.batch_pool import BatchPool
from api.counters import Metrics
from api.draining import Drain
from api.keeper import ModelKeeper
from api.last_run import LastRunFile
from api.logs import Recorder
from api.problems import Kind, ProblemError
from api.receiving import ByteBudget
from api.served import ServedModel
from api.service_settings import ServiceSettings


class Service:
    """One running service.

    Parameters
    ----------
    served : the model that it begins with.
    has_keys : whether a key is asked for.
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
        self.keeper.on_swap = self.metrics.model_loaded
        self.keeper.on_failure = self.metrics.registry_failed
        self.drain = Drain(settings.drain_seconds)
        self.receiving = ByteBudget(settings.receiving_bytes)
        self.batches = BatchPool(settings, self.metrics)
        self.recorder = Recorder(self.metrics)
        self.last_run = LastRunFile(settings.monitoring)

    def require_ready(self) -> None:
        """Refuse with 503 and the reason where a load balancer should send no requests here."""
        if self.drain.begun:
            raise ProblemError(Kind.BUSY, "the service is about to stop")
        if self.keeper.served is None:
            raise ProblemError(Kind.NO_MODEL, self.keeper.problem)

    def served(self, request: Request) -> ServedModel:
        """Return the model that answers all of this request; 503 while there is none."""
        served: ServedModel | None = request.scope["state"]["served"]
        if served is None:
            raise ProblemError(Kind.NO_MODEL, self.keeper.problem)
        return served
