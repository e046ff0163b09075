"""``GET /app``: the page for people, and the files that it loads."""

from collections.abc import Sequence
from time import perf_counter
from types import SimpleNamespace
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from api.gateway import APP
from api.pages.answers import LANGUAGE, no_model, numerals_of, page_of
from api.pages.form import Asked, fields_of, has_distances, nearest_of, read_query
from api.pages.rendering import static_files
from api.problems import Kind, ProblemError
from api.routes.appraisals import appraised
from api.served import ServedModel
from api.service import Service
from carprice.model.cautions import Caution

_VARY: Final = f"Accept, {LANGUAGE}"
"""At the root, programs get JSON."""
_COUNTED: Final = SimpleNamespace(path=APP)
"""The page and its files are counted as one."""


def wants_page(request: Request) -> bool:
    """Whether a browser asks, which names HTML first; health checks do not."""
    first = request.headers.get("accept", "").partition(",")[0].strip().lower()
    checks_health = "healthchecker" in request.headers.get("user-agent", "").lower()
    return first.startswith("text/html") and not checks_health


async def page(request: Request, status: int = 200) -> Response:
    """Return the page: its form, and the answer where the query holds a listing."""
    service: Service = request.app.state.service
    answer, cautions = await run_in_threadpool(_page, service, request, status)
    service.metrics.cautioned(cautions)
    return answer


def _page(service: Service, request: Request, status: int) -> tuple[Response, Sequence[Caution]]:
    """Return the page, and what its price is cautioned of."""
    exchange = request.scope["state"]["exchange"]
    served: ServedModel | None = request.scope["state"]["served"]
    if served is None:
        return no_model(request, service.keeper.problem, _VARY), ()
    query = request.scope["query_string"]
    asked = read_query(query, served) if query else Asked()
    if asked.errors:
        status = Kind.LISTING.status
    answer, nearest, cautions = None, [], tuple[Caution, ...]()
    may_ask = not service.has_keys or exchange.key_name is not None
    if asked.listing is not None and not asked.errors and may_ask:
        listing = asked.listing
        begun = perf_counter()
        valuation = served.value(listing, asked.confidence)
        seconds = perf_counter() - begun
        asked_of = asked.confidence, asked.yearly_distance
        answer = appraised(served, listing, valuation, *asked_of)
        cautions = valuation.cautions
        service.keep(APP, served, listing, ([valuation], answer), asked.confidence, seconds)
        if not has_distances(served):
            answer["warnings"] = [one for one in answer["warnings"] if one["field"] != "odometer"]
        nearest = nearest_of(served, asked, (one["kind"] for one in answer["warnings"]))
    values: dict[str, Any] = {
        "numerals": numerals_of(request),
        "asks_for_key": service.has_keys,
        "nearest": nearest,
        "has_distances": has_distances(served),
        "market": served.model.market,
        "deal_limits": served.model.deal,
        "asked": asked,
        "fields": fields_of(served, asked),
        "answer": answer,
        "lacks_key": bool(asked.listing) and not may_ask,
    }
    return page_of(request, "page.html.jinja", status, _VARY, **values), cautions


async def app_page(request: Request) -> Response:
    """Show the form, and price the listing of the query."""
    return await page(request)


async def static_file(request: Request, name: str) -> Response:
    """Return a file of the page; a browser that has it is told so."""
    request.scope["route"] = _COUNTED
    found = static_files().get(name)
    if found is None:
        raise ProblemError(Kind.NOT_FOUND, f"there is no such file; see {APP}")
    is_this = request.query_params.get("v") == found.version
    lasting = b"public, max-age=31536000, immutable" if is_this else b"no-cache"
    request.scope["state"]["exchange"].replace((b"cache-control", lasting))
    headers = {"ETag": f'"{found.version}"'}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(None, 304, headers)
    return Response(found.content, 200, headers, found.media_type)


router = APIRouter(include_in_schema=False)
router.add_api_route(APP, app_page)
router.add_api_route(f"{APP}/static/{{name}}", static_file)
