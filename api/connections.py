"""Clients' connections: Uvicorn's, with limits on what is sent, and on the time that it takes.

Uvicorn bounds neither a request's head nor an answer that nobody reads, and closes a socket while
its client still sends, so that the client sees a reset and not the answer.
"""

import asyncio
import functools
import struct
from collections.abc import Mapping
from socket import SO_LINGER, SOL_SOCKET
from typing import ClassVar, Final

from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from api.gateway import HEADERS, cors_headers, new_request_id
from api.problems import Kind, ProblemError, respond
from api.receiving import ARRIVED
from api.service_settings import ServiceSettings
from api.short_way import SHORT_WAY, ShortWay

FRAMING_BYTES: Final = 64 * 1024
"""Most bytes of a request that are not its body: the head, and what is around a body's chunks."""
MOST_HEADERS: Final = 200
"""Short ones take many times their size in memory for as long as a connection is open."""
_LONGEST_NUMBER: Final = 19
_BODY_BYTES_A_FRAMING_BYTE: Final = 64
"""Large bodies may have more around their chunks, but no chunks of a few bytes each."""
_IGNORED_A_SECOND: Final = 96 * 1024 * 1024
"""Bytes of refused bodies that are thrown away: libuv would take all there is of each in turn."""
_LINGERING: Final = 3
"""How many times longer a refused client may send than one that is not, for it has to wait."""
_NO_LINGER: Final = struct.pack("ii", 1, 0)
_PIECE_BYTES: Final = 2 * 1024
"""What is parsed at a time; it holds some hundred requests where a client waits for no answer."""


@functools.cache
def _settings() -> ServiceSettings:
    return ServiceSettings.from_environment()


class LimitedProtocol(HttpToolsProtocol):
    """One connection.

    A head must arrive in time, and is counted while it arrives. A client that asks again before it
    has its answer waits for its turn. One that does not read its answer is cut off. One that is
    refused while it still sends may read why: for some time its bytes are taken and thrown away.
    """

    _wire: asyncio.Transport
    _waits_for_head = True
    _waits_for_end = False
    _framing = 0
    _body = 0
    _body_left = 0
    _body_of_piece = 0
    _ignored = 0
    _rest = b""
    _short: ShortWay | None = None
    _held: dict[bytes, bytes] | None = None
    _held_body = b""
    _refusal: ProblemError | None = None
    _head_timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None
    _end_timer: asyncio.TimerHandle | None = None
    _quiet_timer: asyncio.TimerHandle | None = None
    _answered_at = 0.0

    _next_turn: ClassVar = 0.0
    """When bytes of any connection may be thrown away again."""

    is_over = False
    """Whether nothing that comes is read any more."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Expect a head from now on."""
        self._wire = transport
        super().connection_made(_PoliteTransport(transport, self))
        self.flow = _Flow(self)
        self._short = self.app_state.get(SHORT_WAY)
        self._patience = _settings().body_seconds
        self._most_ignored = 2 * _settings().batch_bytes
        # An answer that is still not read then is given up; one that is read waits on.
        self._idle_seconds = max(self.timeout_keep_alive - self._patience, 0.0)
        self.timeout_keep_alive = min(self.timeout_keep_alive, self._patience)  # type: ignore[assignment]
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing any more."""
        self.is_over, self._waits_for_head = True, False
        self._rest = b""
        self._forget()
        self._watch_head()
        for timer in (self._write_timer, self._end_timer, self._quiet_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read what came, or throw it away."""
        if self.is_over:
            self._ignore(len(data))
        elif self._rest:
            self._rest += data
            self.flow.pause_reading()
        elif len(data) <= _PIECE_BYTES and not self.pipeline and self._refusal is None:
            self._read_piece(data)
            if self._waits_for_head or self._head_timer is not None:
                self._watch_head()
        else:
            self._read(data)

    def on_message_begin(self) -> None:
        """Count from the first byte of a request."""
        self._waits_for_head = self._waits_for_end = True
        self._framing = self._body = self._body_left = self._ignored = 0
        if self._short is None:
            super().on_message_begin()
        else:
            self.url, self.headers, self.expect_100_continue = b"", [], False

    def on_headers_complete(self) -> None:
        """Expect a body, which the routes give its time."""
        for name, value in self.headers:
            if name == b"content-length":
                if len(value) > _LONGEST_NUMBER:
                    raise ValueError  # no HTTP, for the parser
                self._body_left = int(value)
        self._held = None if self._short is None else self._held_by(self._short)
        if self._held is None:
            self._begin_the_long_way()
        self._waits_for_head = False

    def on_body(self, body: bytes) -> None:
        """Keep a part of a body, unless its answer is there."""
        size = len(body)
        self._body += size
        self._body_left -= size
        self._body_of_piece += size
        if self._held is not None:
            self._held_body += body
            return
        if self.cycle.response_complete:
            self._ignore(size)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Expect the next request, whenever it comes."""
        self._waits_for_end = False
        if self._held is not None and self._short is not None:
            self._ask_at_once(self._short, self._held)
            return
        self.scope["state"][ARRIVED] = True
        if self._end_timer is not None:
            self._end_timer.cancel()
            self._end_timer = None
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Go on with what waited for this answer."""
        super().on_response_complete()
        if self._waits_for_head or self._head_timer is not None:
            self._watch_head()
        if self.is_over or self._wire.is_closing():
            return
        if self._rest and not self.pipeline and self._refusal is None:
            self.loop.call_soon(self._read_on)
        if not self._is_answered():
            return
        self._forget()
        if self._refusal is not None:
            self._tell(self._refusal)
        elif not self._rest and self._has_body_left() and self._end_timer is None:
            self._end_timer = self.loop.call_later(_LINGERING * self._patience, self._cut_off)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002
        """Tell of a request that is no HTTP, as of every other error, in problem details."""
        self._refuse(Kind.BAD_REQUEST, "the request cannot be read; send HTTP/1.1")

    def pause_writing(self) -> None:
        """Give the client its time to read."""
        super().pause_writing()
        self._watch_answer()

    def resume_writing(self) -> None:
        """Note that the client reads."""
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def timeout_keep_alive_handler(self) -> None:
        """Drop a client that does not read its answer, which a polite end would wait for."""
        if self._wire.get_write_buffer_size():
            self._cut_off()
        else:
            close = super().timeout_keep_alive_handler
            self.timeout_keep_alive_task = self.loop.call_later(self._idle_seconds, close)

    def shutdown(self) -> None:
        """End at once where no answer is under way, though the client may still send."""
        self._answer_what_was_asked()
        if self.is_over or self._is_answered():
            self._wire.close()
        else:
            super().shutdown()

    def end(self) -> None:
        """Close; a client that still sends may read its answer first."""
        self._answer_what_was_asked()
        can_wait = not self.is_over and not self._wire.is_closing() and self._wire.can_write_eof()
        self.is_over, self._rest = True, b""
        self._forget()
        if can_wait and self._waits_for_end:
            self._wire.write_eof()
            self.flow.resume_reading()
            if self._end_timer is None:
                self._end_timer = self.loop.call_later(_LINGERING * self._patience, self._cut_off)
        else:
            self._wire.close()
            self._watch_answer()

    @property
    def has_rest(self) -> bool:
        """Whether requests came that are read later."""
        return bool(self._rest)

    def _read(self, data: bytes) -> None:
        """Parse what came, a piece at a time, while no request waits for another's answer."""
        place = 0
        while place < len(data) and not self.is_over:
            if self.pipeline or self._refusal is not None:
                self._rest = data[place:]
                self.flow.pause_reading()
                break
            if self._waits_for_head:
                most = min(_PIECE_BYTES, FRAMING_BYTES - self._framing)
            else:
                most = max(_PIECE_BYTES, self._body_left)
            piece = data[place : place + most]  # no copy where it is all
            place += len(piece)
            self._read_piece(piece)
        self._watch_head()

    def _read_piece(self, piece: bytes) -> None:
        self._body_of_piece = 0
        super().data_received(piece)
        if self._held is not None:
            self._go_the_long_way()
        self._framing += len(piece) - self._body_of_piece
        most = FRAMING_BYTES + self._body // _BODY_BYTES_A_FRAMING_BYTE
        if self._framing >= most and (self._waits_for_head or self._framing > most):
            told = f"the request has more than {FRAMING_BYTES:,} bytes that are not its body"
            self._refuse(Kind.HEAD_TOO_LARGE, f"{told}; send fewer or shorter headers")
        elif (self._waits_for_head or self._waits_for_end) and len(
            self.headers or ()
        ) > MOST_HEADERS:
            told = f"the request has more than {MOST_HEADERS} headers"
            self._refuse(Kind.HEAD_TOO_LARGE, f"{told}; send fewer")

    def _held_by(self, short: ShortWay) -> dict[bytes, bytes] | None:
        """Return the headers of a request that is answered at once if its body is there."""
        parser = self.parser
        if (
            self.pipeline
            or self.flow.write_paused
            or not self._is_answered()
            or parser.get_method() != b"POST"
            or parser.get_http_version() != "1.1"
            or not parser.should_keep_alive()
        ):
            return None
        return short.takes(self.url, self.headers)

    def _ask_at_once(self, short: ShortWay, headers: Mapping[bytes, bytes]) -> None:
        body, self._held, self._held_body = self._held_body, None, b""
        client, more = self._client_of(headers), self.server_state.default_headers
        short.ask(self.url, headers, body, client, self._send, self.end, more)
        self.server_state.total_requests += 1
        self._answered_at = self.loop.time()
        if self._quiet_timer is None:
            self._quiet_timer = self.loop.call_later(self.timeout_keep_alive, self._end_if_quiet)

    def _send(self, answer: bytes) -> None:
        if not self.is_over and not self._wire.is_closing():
            self._wire.write(answer)

    def _answer_what_was_asked(self) -> None:
        """Have the short way's answers sent before anything else is."""
        if self._short is not None:
            self._short.answer()

    def _end_if_quiet(self) -> None:
        """Close as Uvicorn does after an answer on the long way, whose timer is one a request."""
        self._quiet_timer = None
        is_busy = self._waits_for_head or self._waits_for_end or not self._is_answered()
        if is_busy or self.timeout_keep_alive_task is not None:
            return  # its end has a timer of its own
        left = self._answered_at + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._quiet_timer = self.loop.call_later(left, self._end_if_quiet)
        else:
            self.timeout_keep_alive_handler()

    def _client_of(self, headers: Mapping[bytes, bytes]) -> str | None:
        """Return the client's address, by a proxy that is trusted as Uvicorn reads it."""
        client, app = self.client[0] if self.client else None, self.app
        if isinstance(app, ProxyHeadersMiddleware) and client in app.trusted_hosts:
            told = headers.get(b"x-forwarded-for", b"").decode("latin-1")
            return app.trusted_hosts.get_trusted_client_address(told)[0] or client
        return client

    def _go_the_long_way(self) -> None:
        """Begin what the short way would have answered, had its body been there."""
        body, self._held, self._held_body = self._held_body, None, b""
        self._begin_the_long_way()
        if body:
            super().on_body(body)

    def _begin_the_long_way(self) -> None:
        """Have Uvicorn begin a request whose head was read."""
        self._answer_what_was_asked()
        if self._short is not None:  # the scope that the short way needs not
            url, headers, expects = self.url, self.headers, self.expect_100_continue
            super().on_message_begin()
            self.url, self.headers, self.expect_100_continue = url, headers, expects
            self.scope["headers"] = headers
        super().on_headers_complete()

    def _read_on(self) -> None:
        rest, self._rest = self._rest, b""
        if not self.is_over:
            self.flow.resume_reading()
            self._read(rest)

    def _forget(self) -> None:
        """Keep nothing of a body that was not read until the garbage collector finds it."""
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and cycle.body:
            cycle.body = bytearray()

    def _ignore(self, size: int) -> None:
        """Throw bytes away, but not for ever, and no more at once than leaves others their turn."""
        self._ignored += size
        if self._ignored > self._most_ignored:
            self._cut_off()
            return
        now = self.loop.time()
        LimitedProtocol._next_turn = max(LimitedProtocol._next_turn, now) + size / _IGNORED_A_SECOND
        self.flow.pause_reading()
        self.loop.call_at(LimitedProtocol._next_turn, self._ignore_on)

    def _ignore_on(self) -> None:
        if not self._wire.is_closing():
            self.flow.resume_reading()

    def _refuse(self, kind: Kind, detail: str) -> None:
        """Answer what cannot be read, after what was asked before it, and close."""
        if self.is_over or self._refusal is not None:
            return
        problem = ProblemError(kind, detail, headers={"Connection": "close"})
        is_answered = self._is_answered()
        if self._waits_for_head or self.pipeline or not self._waits_for_end:
            if is_answered:
                self._tell(problem)
            else:
                self._refusal = problem
        elif is_answered or self.cycle.response_started:
            self.end()
        else:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            self._tell(problem)

    def _tell(self, problem: ProblemError) -> None:
        self._answer_what_was_asked()
        answer = respond(problem)
        self.logger.warning("Refused a request: %s", problem)
        more = [*self.server_state.default_headers, *HEADERS, (b"x-request-id", new_request_id())]
        more += cors_headers(_settings().cors_origins, self.headers or ())
        lines = [b"%s: %s\r\n" % header for header in (*answer.raw_headers, *more)]
        head = b"".join([STATUS_LINE[answer.status_code], *lines, b"\r\n"])
        self._wire.write(head + bytes(answer.body))
        self.end()

    def _is_answered(self) -> bool:
        """Whether there is an answer to all that was asked so far."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is None or cycle.response_complete

    def _has_body_left(self) -> bool:
        """Whether the rest of a body comes of which the answer is there."""
        return self._waits_for_end and not self._waits_for_head

    def _watch_head(self) -> None:
        is_client_late = self._waits_for_head and not self._rest and self._is_answered()
        if is_client_late and self._head_timer is None:
            self._head_timer = self.loop.call_later(self._patience, self._wire.close)
        elif self._head_timer is not None and not is_client_late:
            self._head_timer.cancel()
            self._head_timer = None

    def _watch_answer(self) -> None:
        if self._write_timer is None and self._wire.get_write_buffer_size():
            self._write_timer = self.loop.call_later(self._patience, self._cut_off)

    def _cut_off(self) -> None:
        """End at once, and let the system forget what it has of the answer, too."""
        self._wire.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, _NO_LINGER)
        self._wire.abort()


class _Flow(FlowControl):
    """Reads no more of a client's requests while some wait for the answers before them."""

    def __init__(self, protocol: LimitedProtocol) -> None:
        super().__init__(protocol.transport)
        self._protocol = protocol

    def resume_reading(self) -> None:
        if not self._protocol.has_rest:
            super().resume_reading()


class _PoliteTransport(asyncio.Transport):
    """The transport that Uvicorn is given: told to close, it ends as the protocol does."""

    def __init__(self, wire: asyncio.Transport, protocol: LimitedProtocol) -> None:
        super().__init__()
        self._wire = wire
        self._protocol = protocol
        for name in ("get_extra_info", "write", "pause_reading", "resume_reading"):
            setattr(self, name, getattr(wire, name))  # at once, for this is asked for each answer

    def is_closing(self) -> bool:
        return self._protocol.is_over or self._wire.is_closing()

    def close(self) -> None:
        self._protocol.end()
