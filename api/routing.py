"""Routes whose functions are given the request and return the response themselves."""

from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

Endpoint = Callable[[Request], Awaitable[Response]]


class PlainRoute(Route):
    """A route that runs its function alone, and that FastAPI documents when it is asked to.

    FastAPI's own handling of a request (dependencies, a second reading of the body, exit stacks,
    serialising through a response model) costs more than a price does, and what it builds for
    that of every route is a good part of a start, see docs/decisions/0006-plain-routes.md.

    Parameters
    ----------
    documentation : more options of FastAPI's routes, such as ``response_model``; they are for the
        API's description alone.
    """

    def __init__(
        self,
        path: str,
        endpoint: Endpoint,
        *,
        methods: Collection[str] = ("GET",),
        name: str | None = None,
        include_in_schema: bool = True,
        **documentation: Any,
    ) -> None:
        super().__init__(path, endpoint, name=name, include_in_schema=include_in_schema)
        self.app = _answering(endpoint)
        self.methods = set(methods)  # Starlette lets HEAD through where GET is
        self._documentation = documentation

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return whether the route is meant, and tell the rest of the request which one it is."""
        match, child_scope = super().matches(scope)
        if match is not Match.NONE:
            child_scope["route"] = self
        return match, child_scope

    def documented(self) -> APIRoute:
        """Return FastAPI's route of the same options."""
        return APIRoute(
            self.path,
            self.endpoint,
            methods=self.methods,
            name=self.name,
            include_in_schema=self.include_in_schema,
            **self._documentation,
        )


def add_route(router: APIRouter, path: str, endpoint: Endpoint, **options: Any) -> None:
    """Add a :class:`PlainRoute`."""
    router.routes.append(PlainRoute(path, endpoint, **options))


def by_method_and_path(router: APIRouter) -> dict[tuple[str, str], PlainRoute]:
    """Return the routes whose paths have no parameters, to be found without a search."""
    return {
        (method, route.path): route
        for route in router.routes
        if isinstance(route, PlainRoute) and "{" not in route.path
        for method in route.methods or ()
    }


def documented(routes: Iterable[BaseRoute]) -> list[BaseRoute]:
    """Return the routes as FastAPI documents them."""
    return [route.documented() if isinstance(route, PlainRoute) else route for route in routes]


def _answering(endpoint: Endpoint) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        response = await endpoint(Request(scope, receive, send))
        await response(scope, receive, send)

    return app
