"""The FastAPI application: its parts put together."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel

from api import problems
from api.bodies import BatchRequest, ListingRequest
from api.gateway import HEALTH, Admission, Gateway
from api.keys import names_that_may_tell, read_keys
from api.openapi import add_schemas
from api.protocols import inference, scoring
from api.protocols.messages import DataframeSplit, InferenceRequest, ScoringParams, TensorParameters
from api.root_path import route_path
from api.routes import (
    about,
    appraisals,
    batches,
    outcomes,
    pages,
    prices,
    reports,
    stock,
    webhooks,
)
from api.served import ServedModel
from api.service import Service
from api.service_settings import ServiceSettings
from api.short_way import SHORT_WAY, ShortWay
from carprice import __version__

logger = logging.getLogger("carprice.service")
_READ_BY_ROUTES: tuple[type[BaseModel], ...] = (
    *(ListingRequest, BatchRequest, DataframeSplit, ScoringParams),
    *(InferenceRequest, TensorParameters),
)
_ANYBODY_TELLS = (
    "POST /outcomes takes what cars sold for from anybody who reaches this service, and monitoring "
    "decides by it; set CARPRICE_API_KEYS, or let only those reach it who may tell"
)
_DESCRIPTION = """
Errors are problem details (RFC 9457). Prices are for the day that they name, in the currency of
the market that the model learned from.
"""


def create_app(
    settings: ServiceSettings | None = None, served: ServedModel | None = None
) -> FastAPI:
    """Return the service; :class:`~carprice.errors.InputError` for settings that are not allowed.

    Parameters
    ----------
    settings : read from the environment where not given.
    served : the model to serve from the start; default: the registry's production model, as soon
        as it can be had.
    """
    settings = settings or ServiceSettings.from_environment()
    keys = read_keys(settings)
    service = Service(settings, served, has_keys=bool(keys))
    service.may_tell = names_that_may_tell(settings, keys)
    admission = Admission(settings, keys)
    state = _state_of(service, admission)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
        service.drain.watch()
        if service.outcomes is not None and not keys:
            logger.warning(_ANYBODY_TELLS)
        if service.log is not None:
            service.log.begin()
        keeping = [asyncio.create_task(one) for one in service.keeping()]
        await service.keeper.settle()
        if service.challenger is not None:
            keeping.append(asyncio.create_task(service.challenger.run()))
        yield state
        for task in keeping:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        service.batches.close()
        if service.log is not None:
            service.log.end()
        service.recorder.close()
        if service.outcomes is not None:
            service.outcomes.close()

    no_pages: dict[str, Any] = dict.fromkeys(("openapi_url", "docs_url", "redoc_url"))
    traced = settings.opentelemetry
    app = (FastAPIOffline if settings.docs else FastAPI)(
        title="carprice",
        summary="What a used car is worth: a price, an honest range and what to be careful about.",
        description=_DESCRIPTION,
        version=__version__,
        lifespan=lifespan,
        redirect_slashes=False,
        telemetry={
            **{"tracing": traced, "metrics": traced, "logs": traced, "auto_configure": traced},
            "exclude": lambda scope: route_path(scope, settings.root_path) in HEALTH,
        },
        **({} if settings.docs else no_pages),
    )
    app.state.service = service
    if settings.metrics:
        app.add_api_route("/metrics", about.metrics, include_in_schema=False)
    if settings.pages:
        for router in (pages.router, reports.router, stock.router):
            app.include_router(router)
    if settings.webhook_secret.get_secret_value():
        app.include_router(webhooks.router_of(service))
    for router in (prices.router, appraisals.router, batches.router, about.health, about.router):
        app.include_router(router)
    app.include_router(outcomes.off if service.outcomes is None else outcomes.router)
    app.include_router(scoring.router)
    app.include_router(inference.router_of(settings.model_name))
    problems.add_handlers(app)
    read = _READ_BY_ROUTES if service.outcomes is None else (*_READ_BY_ROUTES, *outcomes.READ)
    add_schemas(app, read, lambda: service.keeper.served, with_keys=bool(keys))
    if traced:
        logger.info("Traces are on: all requests go through the router, which names their spans")
    else:
        answers = {prices.PREDICT: prices.answer, appraisals.APPRAISE: appraisals.answer}
        app.add_middleware(prices.DirectRoute, answers=answers)
    app.add_middleware(Gateway, service=service, admission=admission)
    return app


def _state_of(service: Service, admission: Admission) -> dict[str, Any]:
    """Return what the server is given at the start: the short way, unless settings close it.

    Only the router names spans, and who waits for a challenger cannot be answered at once.
    """
    settings = service.settings
    is_closed = settings.opentelemetry or settings.challenger == "canary"
    return {} if is_closed else {SHORT_WAY: ShortWay(service, admission)}
