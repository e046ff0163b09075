"""The short way: ``POST /predict`` answered in the turn of the event loop that reads it.

A task, a framework and two messages for an answer cost more than a price does, and what is done for
some requests together takes less of each, see docs/decisions/0006-plain-routes.md. What the short
way does not take goes the long one, through :class:`~api.gateway.Gateway` and the routes, which
answer the same.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from time import perf_counter
from typing import Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from api.bodies import JSON
from api.dependencies import media_type_in
from api.gateway import HEADERS, LONGEST_QUERY, Admission, Exchange, problem_of_crash, record
from api.problems import ProblemError, respond
from api.receiving import SMALL_BYTES
from api.routes.prices import PREDICT, Question, answer_to, prices_of
from api.service import Service

SHORT_WAY: Final = "short_way"
"""Key of the state of the application's lifespan under which a server finds the short way."""
_LONG: Final = frozenset(
    (b"content-encoding", b"transfer-encoding", b"expect", b"upgrade", b"connection")
)
"""Requests with one of these headers take the long way."""
_MOST_TOGETHER: Final = 32
"""The first of so many has its answer some 2 ms later than it would alone."""
Headers = Sequence[tuple[bytes, bytes]]


@dataclass(slots=True, eq=False)
class _Asked:
    """A request that waits for its turn, and what it is answered with."""

    exchange: Exchange
    query: bytes
    body: bytes
    client: str | None
    more: Headers
    send: Callable[[bytes], object]
    end: Callable[[], object]
    content: bytes | ProblemError = b""


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
        self._asked: list[_Asked] = []
        self._more: tuple[Headers, bytes] = ((), b"")
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

    def ask(
        self,
        url: bytes,
        headers: Mapping[bytes, bytes],
        body: bytes,
        client: str | None,
        send: Callable[[bytes], object],
        end: Callable[[], object],
        more: Headers = (),
    ) -> None:
        """Have a request answered with all others that come in this turn of the event loop.

        Parameters
        ----------
        send : is given the whole answer.
        end : ends the connection where that fails, for what comes after it would be taken for it.
        more : headers of the server's own, such as its date.
        """
        exchange = Exchange(self._service, PREDICT, headers)
        query = url.partition(b"?")[2]
        self._asked.append(_Asked(exchange, query, body, client, more, send, end))
        if len(self._asked) == 1:
            asyncio.get_running_loop().call_soon(self.answer)
        elif len(self._asked) >= _MOST_TOGETHER:
            self.answer()

    def answer(self) -> None:
        """Answer all that was asked, in its order; errors are told as on the long way.

        What cannot be sent ends its own connection, and no other's, whoever's turn it is.
        Each step is done for all before the next one: so the processor keeps its code at hand.
        """
        asked, self._asked = self._asked, []
        alike = defaultdict[tuple[int, float, bool], list[tuple[_Asked, Question]]](list)
        for one in asked:
            try:
                self._admission.admit(one.exchange, "POST")
                served = self._service.required(one.exchange.served)
                question = Question.read(served, one.query, one.body)
            except Exception as error:
                one.content = _problem_of(error, one.exchange)
            else:
                alike[question.kind].append((one, question))
        for some in alike.values():
            self._price(some)
        for one in asked:
            try:
                one.send(self._whole(one))
            except Exception:
                problem_of_crash(one.exchange)
                with suppress(Exception):  # others wait
                    one.end()

    def _price(self, some: Sequence[tuple[_Asked, Question]]) -> None:
        """Price listings together; where that fails, each by itself."""
        begun, found = perf_counter(), None
        try:
            found = prices_of([question for _, question in some])
        except Exception as error:
            if len(some) == 1:
                some[0][0].content = _problem_of(error, some[0][0].exchange)
                return
        if found is None:
            for pair in some:
                self._price([pair])
            return
        seconds = (perf_counter() - begun) / len(some)
        for (one, question), valuation in zip(some, found, strict=True):
            try:
                one.content = answer_to(self._service, question, valuation, seconds)
            except Exception as error:
                one.content = _problem_of(error, one.exchange)

    def _whole(self, one: _Asked) -> bytes:
        """Return an answer with its head; count it, and log it."""
        exchange, content, more, status = one.exchange, one.content, one.more, 200
        if isinstance(content, ProblemError):
            told = respond(content)
            status, of_body, content = told.status_code, _lines(told.raw_headers), bytes(told.body)
        else:
            of_body = b"content-length: %d\r\ncontent-type: application/json\r\n" % len(content)
        exchange.status = status
        record(self._service, exchange, "POST", PREDICT, one.client)
        if more is not self._more[0]:  # the server makes another list when its date changes
            self._more = more, _lines(more)
        head = (STATUS_LINE[status], self._more[1], of_body, _SAME, b"x-request-id: ")
        named = (exchange.request_id, _version_line(exchange.version))
        return b"".join((*head, *named, content))


def _problem_of(error: Exception, exchange: Exchange) -> ProblemError:
    """Return what a client is told of an error that is being handled; ours are logged."""
    return error if isinstance(error, ProblemError) else problem_of_crash(exchange)


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
