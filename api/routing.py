"""Routes whose functions are given the request and return the response themselves."""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Receive, Scope, Send


class PlainRoute(APIRoute):
    """A route that FastAPI documents, and that runs its function alone.

    FastAPI's own handling of a request (dependencies, a second reading of the body, exit stacks,
    serialising through a response model) costs more than a price does, see
    docs/decisions/0006-plain-routes.md.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        self.app = _answering(endpoint)


def by_method_and_path(router: APIRouter) -> dict[tuple[str, str], PlainRoute]:
    """Return the routes whose paths have no parameters, to be found without a search."""
    return {
        (method, route.path): route
        for route in router.routes
        if isinstance(route, PlainRoute) and "{" not in route.path
        for method in route.methods or ()
    }


def _answering(endpoint: Callable[[Request], Awaitable[Response]]) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        response = await endpoint(Request(scope, receive, send))
        await response(scope, receive, send)

    return app
