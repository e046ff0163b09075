"""Pages beside ``/app``: the card of the model, and the stock that a browser has priced."""

import json
from functools import partial
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from api.dependencies import TheService
from api.gateway import CARD
from api.pages.card import card_of, number_of
from api.pages.numerals import Numerals
from api.pages.rendering import POLICY, render
from api.pages.stock import fields_of

router = APIRouter(include_in_schema=False)
_ROWS: Final = 1_000
_BYTES: Final = 1_000_000
"""Of a part of a stock: small enough that its progress is seen and no other batch waits long."""
_MOST_ROWS: Final = 100_000


@router.get(CARD)
async def model_card(request: Request, service: TheService) -> Response:
    """Show what is known of the served model."""
    state = request.scope["state"]
    if service.has_keys and state["exchange"].key_name is None:
        return _page(request, "card_key.html.jinja", 401)
    served = state["served"]
    if served is None:
        return _page(request, "no_model.html.jinja", 503, why=service.keeper.problem)
    values = card_of(served, service.settings.model_name, _numerals(request))
    return _page(request, "model_card.html.jinja", **values)


@router.get("/app/stock")
async def stock(request: Request, service: TheService) -> Response:
    """Show the page whose module has a file priced by ``/predict/batch``, part by part."""
    served = request.scope["state"]["served"]
    if served is None:
        return _page(request, "no_model.html.jinja", 503, why=service.keeper.problem)
    settings = service.settings
    values: dict[str, Any] = {
        "fields": json.dumps(fields_of(served.form)),
        "currency": served.model.market.currency,
        "unit": served.model.market.distance_unit,
        "rows": min(settings.batch_rows, _ROWS),
        "bytes": min(settings.batch_bytes, settings.receiving_bytes, _BYTES),
        "most_rows": _MOST_ROWS,
        "has_keys": service.has_keys,
    }
    return _page(request, "stock.html.jinja", **values)


def _page(request: Request, template: str, status: int = 200, **values: Any) -> Response:
    exchange = request.scope["state"]["exchange"]
    exchange.replace((b"content-security-policy", POLICY))
    root = request.scope.get("root_path", "")
    numerals = _numerals(request)
    told = {"version": exchange.version, "number": partial(number_of, numerals), **values}
    headers = {"Vary": "Accept-Language"}
    if status == 503:
        headers["Retry-After"] = "5"
    return HTMLResponse(render(template, root, **told), status, headers)


def _numerals(request: Request) -> Numerals:
    return Numerals.of(request.headers.get("accept-language", ""))
