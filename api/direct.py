"""The short way to one route, without what FastAPI does for every request."""

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from api.problems import ProblemError, respond


class DirectRoute:
    """ASGI middleware that calls one route's function itself.

    FastAPI's router, exit stacks and response model cost more than a price does, see
    docs/decisions/0006-plain-routes.md. This is the innermost middleware: a request passes all
    others first, such as the one for CORS.

    Parameters
    ----------
    route : one of one method, whose function takes the request alone and returns the response.
    """

    def __init__(self, app: ASGIApp, route: APIRoute) -> None:
        self._app = app
        self._route = route
        self._asked = (*(route.methods or ()), route.path)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the route's requests, and pass all others on."""
        if scope["type"] != "http" or (scope["method"], scope["path"]) != self._asked:
            await self._app(scope, receive, send)
            return
        scope["route"] = self._route
        try:
            response = await self._route.endpoint(Request(scope, receive, send))
        except ProblemError as error:
            response = respond(error)
        await response(scope, receive, send)
