"""Whether the service can answer: for load balancers and orchestrators."""

from typing import Any

from fastapi import APIRouter, Request, Response

from api.answers import json_response
from api.messages import Alive, Health
from api.routing import add_route
from api.service import Service

_NOT_READY: dict[int | str, dict[str, Any]] = {
    503: {"model": Health, "description": "No model yet, or about to stop"}
}
_RETRY = {"Retry-After": "5"}


def add_routes(router: APIRouter, service: Service) -> None:
    """Add ``/``, ``/ready`` and ``/live``."""

    async def ready(_: Request) -> Response:
        """Answer 200 while a model is loaded and the service is not about to stop, else 503."""
        status = 200 if service.is_ready else 503
        return json_response(health_of(service), status, None if status == 200 else _RETRY)

    async def live(_: Request) -> Response:
        """Answer 200 while the process lives."""
        return json_response({"status": "alive"})

    for path, name in (("/", "health"), ("/ready", "ready")):
        add_route(
            router,
            path,
            ready,
            name=name,
            tags=["health"],
            response_model=Health,
            responses=_NOT_READY,
        )
    add_route(router, "/live", live, tags=["health"], response_model=Alive)


def health_of(service: Service) -> dict[str, object]:
    """Return the content of :class:`api.messages.Health`."""
    served = service.keeper.served
    detail: str | None
    if service.drain.begun:
        status, detail = "draining", "the service is about to stop"
    elif served is None:
        status, detail = "loading", service.keeper.problem
    else:
        status, detail = "ok", None if served.source == "registry" else service.keeper.problem
    return {
        "status": status,
        "modelVersion": served and served.version,
        "source": served and served.source,
        "since": served and served.since.isoformat(),
        "detail": detail,
    }
