"""What every request passes: its id, keys and limits, security headers, counters and its log line.

Plain ASGI, since a request through Starlette's ``BaseHTTPMiddleware`` costs more than a price.
"""

import asyncio
import itertools
import re
import secrets
from time import perf_counter, time
from typing import Final

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.keys import ApiKeys, RateLimit
from api.logs import Answered, log_crash
from api.problems import Kind, ProblemError, respond
from api.service import Service

HEALTH: Final = (
    "/",
    "/ready",
    "/live",
    "/ping",
    "/health",
    "/v2/health/live",
    "/v2/health/ready",
)
"""Paths that need no key and stay out of the access log."""
PAGES: Final = ("/docs", "/redoc", "/openapi.json", "/static-offline-docs")
"""Paths of the documentation, which need no key."""
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
_HEADERS = (*_SECURITY, (b"content-security-policy", _POLICY))
_HEADERS_OF_PAGES = (*_SECURITY, (b"content-security-policy", _POLICY_OF_PAGES))
_METHODS = frozenset(("GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"))
_CLIENT_WENT = 499
_CRASH = ProblemError(
    Kind.INTERNAL, "an error of ours; it is logged under the request's X-Request-ID"
)


class Gateway:
    """ASGI middleware around the whole service.

    Parameters
    ----------
    app : what answers the rest.
    keys : who may ask; none: everybody.
    """

    def __init__(self, app: ASGIApp, service: Service, keys: ApiKeys) -> None:
        self._app = app
        self._service = service
        self._keys = keys
        self._limit = RateLimit(service.settings.rate_limit)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, send, self._service)
        self._service.recorder.begin()
        try:
            if not _is_preflight(scope):
                exchange.key_name = self._admit(scope["path"], exchange.key)
            await self._app(scope, receive, exchange.send)
        except ProblemError as error:
            await respond(error)(scope, receive, exchange.send)
        except ClientDisconnect:
            pass
        except Exception:
            log_crash(exchange.request_id.decode())
            if exchange.status != _CLIENT_WENT:
                raise
            await respond(_CRASH)(scope, receive, exchange.send)
        finally:
            self._record(scope, exchange)

    def _record(self, scope: Scope, exchange: "_Exchange") -> None:
        path, method, client = scope["path"], scope["method"], scope.get("client")
        is_logged = path not in _UNLOGGED
        if is_logged:
            self._service.drain.last_request = asyncio.get_running_loop().time()
        self._service.recorder.end(
            Answered(
                moment=time(),
                seconds=perf_counter() - exchange.started,
                request_id=exchange.request_id.decode(),
                method=method if method in _METHODS else "other",
                path=path,
                route=getattr(scope.get("route"), "path", "unmatched"),
                status=exchange.status,
                client=client[0] if client else None,
                key=exchange.key_name,
                version=exchange.version,
                is_logged=is_logged,
            )
        )

    def _admit(self, path: str, key: str) -> str | None:
        """Return the name of the request's key, where keys are asked for.

        Raises
        ------
        ProblemError
            401 without a valid key, 429 if the key asks too often.
        """
        if not self._keys or path in HEALTH or path.startswith(PAGES):
            return None
        name = self._keys.name_of(key)
        if name is None:
            raise ProblemError(
                Kind.UNAUTHORIZED,
                "send a valid key in the header X-API-Key",
                headers={"WWW-Authenticate": 'ApiKey header="X-API-Key"'},
            )
        wait = self._limit.wait(name)
        if wait:
            raise ProblemError(
                Kind.TOO_MANY,
                f"this key may make {self._limit.per_minute} requests a minute; try again in "
                f"{wait} seconds",
                headers={"Retry-After": str(wait)},
            )
        return name


_PROCESS: Final = secrets.token_hex(10)
_requests = itertools.count()


def _new_id() -> bytes:
    """Return an id that no other process makes; quicker than one that is all random."""
    return f"{_PROCESS}{next(_requests):012x}".encode()


class _Exchange:
    """One request and what is known of its answer."""

    def __init__(self, scope: Scope, send: Send, service: Service) -> None:
        self.started = perf_counter()
        self.request_id, self.key = _identification(scope)
        self.key_name: str | None = None
        self.status = _CLIENT_WENT
        served = service.keeper.served
        self.version = None if served is None else served.version
        scope.setdefault("state", {})["served"] = served
        is_page = scope["path"].startswith(PAGES)
        self._headers = [
            *(_HEADERS_OF_PAGES if is_page else _HEADERS),
            (b"x-request-id", self.request_id),
        ]
        if self.version is not None:
            self._headers.append((b"x-model-version", self.version.encode()))
        if service.drain.begun:
            self._headers.append((b"connection", b"close"))
        self._send = send

    async def send(self, message: Message) -> None:
        """Send a part of the answer, with the headers that all answers have."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message["headers"], *self._headers]
        await self._send(message)


def _is_preflight(scope: Scope) -> bool:
    """Whether a browser asks what it may ask, for which it has no key."""
    return scope["method"] == "OPTIONS" and any(
        name == b"access-control-request-method" for name, _ in scope["headers"]
    )


def _identification(scope: Scope) -> tuple[bytes, str]:
    """Return the request's id, made where none is given, and the key that came with it."""
    request_id, key = b"", b""
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            request_id = value if _REQUEST_ID.fullmatch(value) else b""
        elif name == b"x-api-key":
            key = value
        elif name == b"authorization" and value[:7].lower() == b"bearer ":
            key = key or value[7:].strip()
    return request_id or _new_id(), key.decode("utf-8", "surrogateescape")
