"""The FastAPI application: its parts put together."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from fastapi_offline import FastAPIOffline
from starlette.middleware.cors import CORSMiddleware

from api import problems
from api.counters import Metrics
from api.direct import DirectRoute
from api.draining import Drain
from api.gateway import HEALTH, Gateway
from api.keeper import ModelKeeper, ServedModel
from api.keys import ApiKeys
from api.logs import Recorder
from api.messages import BatchRequest, ListingRequest
from api.openapi import describe
from api.protocols import inference, scoring
from api.protocols.messages import (
    DataframeSplit,
    InferenceRequest,
    ScoringParams,
    TensorParameters,
)
from api.routes import about, batches, health, prices
from api.service import BatchPool, Service
from api.service_settings import ServiceSettings
from carprice import __version__

logger = logging.getLogger("carprice.service")
_READ_BY_ROUTES = (
    *(ListingRequest, BatchRequest, DataframeSplit, ScoringParams),
    *(InferenceRequest, TensorParameters),
)
_DESCRIPTION = """
Errors are problem details (RFC 9457). Prices are for the day that they name, in the currency of
the market that the model learned from.
"""


def create_app(
    settings: ServiceSettings | None = None, served: ServedModel | None = None
) -> FastAPI:
    """Return the service.

    Parameters
    ----------
    settings : read from the environment where not given.
    served : the model to serve from the start; default: the registry's production model, as soon
        as it can be had.

    Raises
    ------
    InputError
        If the settings are not allowed.
    """
    settings = settings or ServiceSettings.from_environment()
    keys = ApiKeys.of(settings)
    metrics = Metrics()
    service = Service(
        settings=settings,
        keeper=ModelKeeper(settings, served),
        metrics=metrics,
        drain=Drain(settings.drain_seconds),
        batches=BatchPool(settings.batch_workers, settings.batch_queue),
        recorder=Recorder(metrics),
    )
    service.keeper.on_swap = lambda served: service.metrics.loaded(served.source)
    service.keeper.on_failure = service.metrics.registry_failed

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.drain.watch()
        keeping = asyncio.create_task(service.keeper.run())
        yield
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping
        service.batches.close()
        service.recorder.flush()

    app = (FastAPIOffline if settings.docs else _without_pages)(
        title="carprice",
        summary="What a used car is worth: a price, an honest range and what to be careful about.",
        description=_DESCRIPTION,
        version=__version__,
        lifespan=lifespan,
        redirect_slashes=False,
        telemetry=_telemetry(on=settings.opentelemetry),
    )
    app.state.service = service
    if settings.metrics:
        app.add_api_route("/metrics", about.metrics, include_in_schema=False)
    for router in (prices.router, batches.router, health.router, about.router, scoring.router):
        app.include_router(router)
    app.include_router(inference.router_of(settings.model_name))
    problems.add_handlers(app)
    describe(app, _READ_BY_ROUTES, with_keys=bool(keys))
    if settings.opentelemetry:
        logger.info("Traces are on: POST /predict goes through the router, which names its spans")
    else:
        app.add_middleware(DirectRoute, route=prices.direct_route())
    if settings.cors_origins:
        origins = [origin.strip() for origin in settings.cors_origins.split(",")]
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=["X-Request-ID", "X-Model-Version", "Retry-After"],
        )
    app.add_middleware(Gateway, service=service, keys=keys)
    return app


def _telemetry(*, on: bool) -> TelemetryConfig:
    return {
        "tracing": on,
        "metrics": on,
        "logs": on,
        "auto_configure": on,
        "exclude": lambda scope: scope["path"] in HEALTH,
    }


def _without_pages(**options: object) -> FastAPI:
    return FastAPI(openapi_url=None, docs_url=None, redoc_url=None, **options)  # type: ignore[arg-type]
