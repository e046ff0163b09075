"""Pages beside ``/app``: the card of the model, and the stock that a browser has priced."""

import json
from functools import partial
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from api.dependencies import TheService
from api.gateway import CARD
from api.pages.answers import no_model, numerals_of, page_of
from api.pages.card import card_of, number_of
from api.pages.stock import equipment, fields_of, flags
from api.routes.stock import MOST_ROWS, STOCK

router = APIRouter(include_in_schema=False)
_ROWS: Final = 500
_BYTES: Final = 1_000_000
"""Of a part of a stock: small enough that its progress is seen and no other batch waits long."""


@router.get(CARD)
def model_card(request: Request, service: TheService) -> Response:
    """Show what is known of the served model."""
    state = request.scope["state"]
    if service.has_keys and state["exchange"].key_name is None:
        return page_of(request, "card_key.html.jinja", 401)
    served = state["served"]
    if served is None:
        return no_model(request, service.keeper.problem)
    numerals = numerals_of(request)
    values = card_of(served, service.settings.model_name, numerals)
    number = partial(number_of, numerals)
    return page_of(request, "model_card.html.jinja", number=number, **values)


@router.get(STOCK)
def stock(request: Request, service: TheService) -> Response:
    """Show the page whose module has the files of a stock priced, part by part."""
    served = request.scope["state"]["served"]
    if served is None:
        return no_model(request, service.keeper.problem)
    settings = service.settings
    values: dict[str, Any] = {
        "fields": json.dumps(fields_of(served.form)),
        "equipment": json.dumps(equipment()),
        "flags": json.dumps(flags()),
        "currency": served.model.market.currency,
        "unit": served.model.market.distance_unit,
        "rows": min(settings.batch_rows, _ROWS),
        "bytes": min(settings.batch_bytes, settings.receiving_bytes, _BYTES),
        "most_rows": MOST_ROWS,
        "has_keys": service.has_keys,
        "number": partial(number_of, numerals_of(request)),
    }
    return page_of(request, "stock.html.jinja", **values)
