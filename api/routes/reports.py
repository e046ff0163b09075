"""Pages beside ``/app``: the card of the model, and the stock that a browser has priced."""

import json
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from api.dependencies import TheService
from api.problems import Kind, ProblemError
from api.reports.card import card_of
from api.reports.rendering import POLICY, render, static_files
from api.reports.stock import fields_of

router = APIRouter(include_in_schema=False)
_A_YEAR: Final = b"public, max-age=31536000, immutable"
_ROWS: Final = 1_000
_BYTES: Final = 1_000_000
"""Of a part of a stock: small enough that its progress is seen and no other batch waits long."""
_MOST_ROWS: Final = 100_000


@router.get("/model-card")
async def model_card(request: Request, service: TheService) -> Response:
    """Show what is known of the served model."""
    state = request.scope["state"]
    if service.has_keys and state["exchange"].key_name is None:
        return _page(request, "key.html.jinja", 401, here="card")
    served = state["served"]
    if served is None:
        return _no_model(request, service.keeper.problem, "card")
    values = card_of(served, service.settings.model_name)
    return _page(request, "model_card.html.jinja", here="card", **values)


@router.get("/app/stock")
async def stock(request: Request, service: TheService) -> Response:
    """Show the page whose module has a file priced by ``/predict/batch``, part by part."""
    served = request.scope["state"]["served"]
    if served is None:
        return _no_model(request, service.keeper.problem, "stock")
    settings = service.settings
    values = {
        "fields": json.dumps(fields_of(served.form)),
        "currency": served.model.market.currency,
        "unit": served.model.market.distance_unit,
        "rows": min(settings.batch_rows, _ROWS),
        "bytes": min(settings.batch_bytes, settings.receiving_bytes, _BYTES),
        "most_rows": _MOST_ROWS,
        "has_keys": service.has_keys,
    }
    return _page(request, "stock.html.jinja", here="stock", **values)


@router.get("/model-card/static/{name}")
async def static(request: Request, name: str) -> Response:
    """Return a file that the pages load; its address has its version."""
    file = static_files().get(name)
    if file is None:
        raise ProblemError(Kind.NOT_FOUND, "there is no such file")
    request.scope["state"]["exchange"].replace((b"cache-control", _A_YEAR))
    return Response(file.content, media_type=file.media_type)


def _no_model(request: Request, problem: str, here: str) -> Response:
    title = "No model is served yet"
    page = _page(request, "problem.html.jinja", 503, title=title, detail=problem, here=here)
    page.headers["Retry-After"] = "5"
    return page


def _page(request: Request, template: str, status: int = 200, **values: Any) -> Response:
    request.scope["state"]["exchange"].replace((b"content-security-policy", POLICY))
    root = request.scope.get("root_path", "")
    return HTMLResponse(render(template, root, **values), status)
