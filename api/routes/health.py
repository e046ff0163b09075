"""Whether the service can answer: for load balancers and orchestrators."""

from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from api.dependencies import TheService
from api.messages import Alive, Health
from api.service import Service

router = APIRouter(tags=["health"])
_NOT_READY: dict[int | str, dict[str, Any]] = {
    503: {"model": Health, "description": "No model yet, or about to stop"}
}
_RETRY = {"Retry-After": "5"}


@router.get("/", name="health", response_model=Health, responses=_NOT_READY)
@router.get("/ready", response_model=Health, responses=_NOT_READY)
async def ready(service: TheService) -> JSONResponse:
    """Answer 200 while a model is loaded and the service is not about to stop, else 503."""
    content = health_of(service)
    return JSONResponse(content) if service.is_ready else JSONResponse(content, 503, _RETRY)


@router.get("/live", response_model=Alive)
async def live() -> Alive:
    """Answer 200 while the process lives."""
    return Alive()


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
