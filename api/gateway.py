"""What every request passes: its id, CORS, keys and limits, headers, counters and its log line.

Plain ASGI, since a request through Starlette's ``BaseHTTPMiddleware`` costs more than a price.
"""

import asyncio
import itertools
import logging
import re
import secrets
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from time import perf_counter, time
from typing import Final

from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.keys import RateLimit, name_of
from api.logs import MORE_FIELDS, Answered
from api.problems import Kind, ProblemError, respond
from api.root_path import route_path
from api.served import ServedModel
from api.service import Service
from api.service_settings import ServiceSettings

logger = logging.getLogger("carprice.service")
HEALTH: Final = (
    *("/", "/ready", "/live"),
    *("/ping", "/health"),
    *("/v2/health/live", "/v2/health/ready"),
)
"""Paths that need no key and stay out of the access log."""
PAGES: Final = ("/docs", "/redoc", "/openapi.json", "/static-offline-docs")
"""Paths of the documentation, which need no key."""
APP: Final = "/app"
"""The page for people, which needs no key as long as it prices nothing."""
CARD: Final = "/model-card"
"""The page about the model, which asks for a key where there are keys."""
WEBHOOK: Final = "/registry/webhook"
"""What MLflow tells of its registry; it is signed, which is its key."""
_UNLOGGED: Final = frozenset((*HEALTH, "/metrics"))
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")
_POLICY = b"default-src 'none'; frame-ancestors 'none'"
_POLICY_OF_PAGES = (
    b"default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    b"img-src 'self' data:; frame-ancestors 'none'"
)
_SECURITY = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)
HEADERS: Final = (*_SECURITY, (b"content-security-policy", _POLICY))
"""What all answers have, but for those of the pages."""
_HEADERS_OF_PAGES = (*_SECURITY, (b"content-security-policy", _POLICY_OF_PAGES))
_METHODS = frozenset(("GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"))
_READING = frozenset(("GET", "HEAD"))
_PREFLIGHT = b"access-control-request-method"
_CLIENT_WENT = 499
_PROCESS: Final = secrets.token_hex(10)
_requests = itertools.count()
_LONGEST_PATH: Final = 2048
LONGEST_QUERY: Final = 1024
_LONGEST_QUERY_OF_APP: Final = 8192
"""The address of an answer holds the listing."""
_PIECE_BYTES: Final = 1024 * 1024
"""What is sent of an answer at a time: the next piece waits until the client has read it."""


def new_request_id() -> bytes:
    """Return an id that no other process makes; quicker than one that is all random."""
    return f"{_PROCESS}{next(_requests):012x}".encode()


def _origins(setting: str) -> list[str]:
    return [origin.strip() for origin in setting.split(",")]


def cors_headers(
    setting: str | None, headers: Iterable[tuple[bytes, bytes]]
) -> list[tuple[bytes, bytes]]:
    """Return what lets a page of an allowed origin read an answer that no middleware sees."""
    origin = dict(headers).get(b"origin", b"")
    allowed = _origins(setting or "")
    if not origin or not {"*", origin.decode("latin-1")} & {*allowed}:
        return []
    named = b"*" if "*" in allowed else origin
    return [(b"access-control-allow-origin", named), (b"vary", b"Origin")]


def _check_query(path: str, size: int) -> None:
    """Refuse a query that is too long for its path."""
    if path != APP:
        told = f"the query has more than {LONGEST_QUERY:,} bytes; send confidence alone"
        raise ProblemError(Kind.PARAMETER, told)
    if size > _LONGEST_QUERY_OF_APP:
        told = f"the query has more than {_LONGEST_QUERY_OF_APP:,} bytes; leave fields empty"
        raise ProblemError(Kind.PARAMETER, told)


class Exchange:
    """One request and what is known of its answer.

    Parameters
    ----------
    headers : the request's; of those that are repeated the last.

    Attributes
    ----------
    served : the model that was served when it came.
    key_name : name of the key that it came with, once that was looked at.
    """

    def __init__(self, service: Service, path: str, headers: Mapping[bytes, bytes]) -> None:
        self.started = perf_counter()
        self.path = path
        request_id = headers.get(b"x-request-id")
        if request_id is None or not _REQUEST_ID.fullmatch(request_id):
            request_id = new_request_id()
        self.request_id = request_id
        self.key = headers.get(b"x-api-key", b"")
        if not self.key and (given := headers.get(b"authorization", b""))[:7].lower() == b"bearer ":
            self.key = given[7:].strip()
        self.key_name: str | None = None
        self.status = _CLIENT_WENT
        self.served = service.keeper.served
        self.version = None if self.served is None else self.served.version


class Admission:
    """Who may ask, and how often.

    Parameters
    ----------
    keys : names of who may ask, by their key's hash; none: everybody.
    """

    def __init__(self, settings: ServiceSettings, keys: Mapping[str, str]) -> None:
        self._keys = keys
        self._limit = RateLimit(settings.rate_limit)

    def admit(
        self, exchange: Exchange, method: str, headers: Iterable[tuple[bytes, bytes]] = ()
    ) -> None:
        """Note the name of a request's key, where keys are asked for; 401 or 429."""
        path = exchange.path
        if not self._keys or path in (*HEALTH, WEBHOOK) or path.startswith(PAGES):
            return
        is_page = path in (APP, CARD) or path.startswith(f"{APP}/")
        if is_page and not exchange.key and method in _READING:
            return
        if method == "OPTIONS" and _PREFLIGHT in dict(headers):
            return  # a browser asks what it may ask, for which it has no key
        name = name_of(self._keys, exchange.key.decode("utf-8", "surrogateescape"))
        if name is None:
            raise ProblemError(
                Kind.UNAUTHORIZED,
                "send a valid key in the header X-API-Key",
                headers={"WWW-Authenticate": 'ApiKey header="X-API-Key"'},
            )
        if wait := self._limit.wait(name):
            raise ProblemError(
                Kind.TOO_MANY,
                f"this key may make {self._limit.per_minute} requests a minute; try again in "
                f"{wait} seconds",
                headers={"Retry-After": str(wait)},
            )
        exchange.key_name = name


def record(
    service: Service, exchange: Exchange, method: str, route: str, client: str | None
) -> None:
    """Count an answered request, and log it.

    Parameters
    ----------
    route : its path as the service declares it.
    client : address of who asked.
    """
    path, is_logged = exchange.path, exchange.path not in _UNLOGGED
    service.recorder.note(
        Answered(
            time(),
            exchange.request_id,
            method if method in _METHODS else "other",
            path,
            route,
            exchange.status,
            perf_counter() - exchange.started,
            client,
            exchange.key_name,
            exchange.version,
            is_logged,
        )
    )
    if is_logged:
        service.drain.last_request = asyncio.get_running_loop().time()


def problem_of_crash(exchange: Exchange) -> ProblemError:
    """Log the error that is being handled, and return what a client is told of it."""
    extra = {MORE_FIELDS: {"requestId": exchange.request_id.decode()}}
    logger.exception("a request failed by an error of ours", extra=extra)
    told = "an error of ours; it is logged under the request's X-Request-ID"
    return ProblemError(Kind.INTERNAL, told)


class Gateway:
    """ASGI middleware around the whole service.

    Parameters
    ----------
    app : what answers the rest.
    admission : who may ask.
    """

    def __init__(self, app: ASGIApp, service: Service, admission: Admission) -> None:
        self._app = app
        self._service = service
        self._admission = admission
        self._answer: ASGIApp = self._answer_admitted
        if origins := service.settings.cors_origins:
            # Around the refusals too: a page may read no answer without these headers.
            self._answer = CORSMiddleware(
                self._answer_admitted,
                allow_origins=_origins(origins),
                allow_methods=["*"],
                allow_headers=["*"],
                expose_headers=["X-Request-ID", "X-Model-Version", "Retry-After"],
            )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = route_path(scope, self._service.settings.root_path)
        if root := self._service.settings.root_path or scope.get("root_path"):
            scope["root_path"], scope["path"] = root, root + path
        exchange = _AsgiExchange(scope, send, self._service, path)
        self._service.recorder.begin()
        try:
            await self._answer(scope, receive, exchange.send)
        finally:
            if exchange.held is not None:
                exchange.held.close()
            self._service.recorder.end()
            client, route = scope.get("client"), scope.get("route")
            record(
                self._service,
                exchange,
                scope["method"],
                getattr(route, "path", "unmatched"),
                client[0] if client else None,
            )

    async def _answer_admitted(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request if it may ask, and refuse it otherwise; a crash is a problem too."""
        exchange: _AsgiExchange = scope["state"]["exchange"]
        try:
            if len(exchange.path) > _LONGEST_PATH:
                told = f"the path has more than {_LONGEST_PATH:,} characters; see /docs"
                raise ProblemError(Kind.NOT_FOUND, told)
            if len(scope["query_string"]) > LONGEST_QUERY:
                _check_query(exchange.path, len(scope["query_string"]))
            self._admission.admit(exchange, scope["method"], scope["headers"])
            await self._app(scope, receive, send)
        except ProblemError as error:
            await respond(error)(scope, receive, send)
        except ClientDisconnect:
            pass
        except Exception:
            problem = problem_of_crash(exchange)
            if exchange.status != _CLIENT_WENT:
                raise
            await respond(problem)(scope, receive, send)


class _AsgiExchange(Exchange):
    """A request by ASGI; ``state`` of its scope has it, and the model that was served then.

    Attributes
    ----------
    held : what it occupies until its client has the answer, if that is anything.
    """

    held: ExitStack | None = None

    def __init__(self, scope: Scope, send: Send, service: Service, path: str) -> None:
        given = dict(scope["headers"])
        super().__init__(service, path, given)
        if b"cookie" in given:  # nobody asks for them, and some take seconds to read
            scope["headers"] = [one for one in scope["headers"] if one[0] != b"cookie"]
        state = scope.setdefault("state", {})
        state["served"], state["exchange"] = self.served, self
        headers = _HEADERS_OF_PAGES if path.startswith(PAGES) else HEADERS
        self._headers = [*headers, (b"x-request-id", self.request_id)]
        if self.version is not None:
            self._headers.append((b"x-model-version", self.version.encode()))
        if service.drain.begun:
            self._headers.append((b"connection", b"close"))
        self._send = send

    def answered_by(self, served: ServedModel) -> None:
        """Let the answer and its line in the log name another model than the one in production."""
        self.version = served.version
        self.replace((b"x-model-version", served.version.encode()))

    def replace(self, *headers: tuple[bytes, bytes]) -> None:
        """Let the answer have other headers in place of some that all answers have."""
        names = {name for name, _ in headers}
        self._headers = [*(one for one in self._headers if one[0] not in names), *headers]

    async def send(self, message: Message) -> None:
        """Send a part of the answer, with the headers that all answers have."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message["headers"], *self._headers]
        elif len(body := message.get("body", b"")) > _PIECE_BYTES:
            for start in range(0, len(body), _PIECE_BYTES):
                piece = body[start : start + _PIECE_BYTES]
                await self._send({"type": message["type"], "body": piece, "more_body": True})
            message = {**message, "body": b""}
        await self._send(message)
