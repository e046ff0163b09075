"""What the service tells of itself: its health, the model, the names it knows, its counters."""

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from api.bodies import Alive, Health, ModelAnswer, VocabularyAnswer
from api.dependencies import Served, TheService
from api.openapi import READING_PROBLEMS
from api.routes.pages import page, wants_page
from carprice.schema import name_in_requests

health = APIRouter(tags=["health"])
router = APIRouter(tags=["model"])
_NOT_READY: dict[int | str, dict[str, Any]] = {
    503: {"model": Health, "description": "No model yet, or about to stop"}
}


@health.get("/", name="health", response_model=Health, responses=_NOT_READY)
async def root(request: Request, service: TheService) -> Response:
    """Answer as `/ready`; a browser, which asks for HTML, gets the page `/app` with that status."""
    answer = await ready(service)
    if service.settings.pages and wants_page(request):
        return await page(request, answer.status_code)
    return answer


@health.get("/ready", response_model=Health, responses=_NOT_READY)
async def ready(service: TheService) -> JSONResponse:
    """Answer 200 while a model is loaded and the service is not about to stop, else 503."""
    served = service.keeper.served
    detail: str | None
    if service.drain.begun:
        status, detail = "draining", "the service is about to stop"
    elif served is None:
        status, detail = "loading", service.keeper.problem
    else:
        problem = "" if served.source == "registry" else service.keeper.problem
        status, detail = "ok", problem or service.keeper.objection or None
    content = {
        "status": status,
        "modelVersion": served and served.version,
        "source": served and served.source,
        "since": served and served.since.isoformat(),
        "detail": detail,
    }
    if status == "ok":
        return JSONResponse(content)
    return JSONResponse(content, 503, {"Retry-After": "5"})


@health.get("/live", response_model=Alive)
async def live() -> Alive:
    """Answer 200 while the process lives."""
    return Alive()


@router.get("/model", response_model=ModelAnswer, responses=READING_PROBLEMS)
async def model(service: TheService, served: Served) -> dict[str, Any]:
    """Describe the model that prices come from."""
    market = served.model.market
    return {
        "name": service.settings.model_name,
        "version": served.version,
        "digest": served.model.digest,
        "source": served.source,
        "since": served.since,
        "loaded": served.loaded,
        "valuationDate": market.valuation_date,
        "currency": market.currency,
        "distanceUnit": market.distance_unit,
        "trainingData": market.data_digest,
        "trainedOn": {
            name_in_requests(name): limits for name, limits in served.model.trained_on.items()
        },
        "metrics": served.model.metrics,
        "challenger": service.challenger and service.challenger.content(),
    }


@router.get("/vocabulary", response_model=VocabularyAnswer, responses=READING_PROBLEMS)
async def vocabulary(served: Served) -> dict[str, Any]:
    """List the makes, models, variants and other values that the model knows, for forms."""
    known = served.model.vocabulary
    return {"makes": known.makes, "values": known.values, "modelVersion": served.version}


async def metrics(service: TheService) -> Response:
    """Return the counters, as Prometheus reads them."""
    service.recorder.flush()
    await service.last_run.refresh()
    keeper, challenger = service.keeper, service.challenger
    told = None if challenger is None else (challenger.state, challenger.served)
    content, kind = service.metrics.exposition(
        keeper.served, keeper.objection, told, [service.last_run]
    )
    return Response(content, media_type=kind)
