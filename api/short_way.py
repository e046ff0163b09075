"""The short way: ``POST /predict`` answered in the very turn that reads it.

A task, a framework and two messages for an answer cost more than a price does, see
docs/decisions/0006-plain-routes.md. What the short way does not take goes the long one, through
:class:`~api.gateway.Gateway` and the routes, which answer the same.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from api.bodies import JSON
from api.dependencies import media_type_in
from api.gateway import HEADERS, LONGEST_QUERY, Admission, Exchange, problem_of_crash, record
from api.problems import ProblemError, respond
from api.receiving import SMALL_BYTES
from api.routes.prices import PREDICT, price_at_once
from api.service import Service

SHORT_WAY: Final = "short_way"
"""Key of the state of the application's lifespan under which a server finds the short way."""
_LONG: Final = frozenset(
    (b"content-encoding", b"transfer-encoding", b"expect", b"upgrade", b"connection")
)
"""Requests with one of these headers take the long way."""
Headers = Sequence[tuple[bytes, bytes]]


class ShortWay:
    """Answers ``POST /predict`` where its whole body is there, and nothing about it is unusual.

    Parameters
    ----------
    admission : who may ask, as on the long way.
    """

    def __init__(self, service: Service, admission: Admission) -> None:
        self._service = service
        self._admission = admission
        self._most = min(SMALL_BYTES, service.settings.body_bytes)
        root = service.settings.root_path
        self._paths = frozenset((PREDICT.encode(), f"{root}{PREDICT}".encode()))
        self._long = _LONG | ({b"origin"} if service.settings.cors_origins else set())

    def takes(self, url: bytes, headers: Headers) -> dict[bytes, bytes] | None:
        """Return the headers of a POST that is answered here; None: it takes the long way."""
        path, _, query = url.partition(b"?")
        if path not in self._paths or len(query) > LONGEST_QUERY or b"#" in query:
            return None
        named = dict(headers)
        if (
            len(named) != len(headers)
            or not self._long.isdisjoint(named)
            or not 0 <= int(named.get(b"content-length", -1)) <= self._most
            or not _is_json(named.get(b"content-type", b""))
            or self._service.drain.begun
        ):
            return None
        return named

    def answer(
        self,
        url: bytes,
        headers: Mapping[bytes, bytes],
        body: bytes,
        client: str | None,
        more: Headers = (),
    ) -> bytes:
        """Return the whole answer; an error of ours is logged, and told as on the long way.

        Parameters
        ----------
        more : headers of the server's own, such as its date.
        """
        exchange = Exchange(self._service, PREDICT, headers)
        status, own = 200, None
        try:
            self._admission.admit(exchange, "POST")
            served = self._service.required(exchange.served)
            content = price_at_once(self._service, served, url.partition(b"?")[2], body)
        except Exception as error:
            problem = error if isinstance(error, ProblemError) else problem_of_crash(exchange)
            told = respond(problem)
            status, own, content = told.status_code, told.raw_headers, bytes(told.body)
        exchange.status = status
        record(self._service, exchange, "POST", PREDICT, client)
        if own is None:
            of_body = b"content-length: %d\r\ncontent-type: application/json\r\n" % len(content)
        else:
            of_body = _lines(own)
        head = (STATUS_LINE[status], _lines(more), of_body, _SAME, b"x-request-id: ")
        named = (exchange.request_id, _version_line(exchange.version))
        return b"".join((*head, *named, content))


@lru_cache(maxsize=64)
def _is_json(header: bytes) -> bool:
    return not header or media_type_in(header.decode("latin-1")) == JSON


def _lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    return b"".join([b"%b: %b\r\n" % header for header in headers])


@lru_cache(maxsize=4)
def _version_line(version: str | None) -> bytes:
    """Return the end of a head, which names the model."""
    return b"\r\nx-model-version: %b\r\n\r\n" % (version or "").encode()


_SAME: Final = _lines(HEADERS)
