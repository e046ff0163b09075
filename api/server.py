"""Runs the service: Uvicorn with the limits that a service behind a load balancer needs."""

import asyncio
import functools
import os
import signal
import tempfile
from contextlib import ExitStack, suppress
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api import logs
from api.counters import SHARED_FOLDER
from api.service_settings import ServiceSettings
from api.workers import CANNOT_START, PATIENCE_SECONDS, Watch

_KEEP_ALIVE_SECONDS = 75  # longer than a load balancer's 60, so that it is the one to close
_GRACE_SECONDS = 8


@functools.cache
def _patience() -> float:
    return ServiceSettings.from_environment().body_seconds


class _ImpatientProtocol(HttpToolsProtocol):
    """Closes connections whose request head does not arrive in time, which Uvicorn keeps."""

    _head_timer: asyncio.TimerHandle | None = None
    _waits_for_head = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._waits_for_head = False
        self._watch()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_message_begin(self) -> None:
        self._waits_for_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._waits_for_head = False
        super().on_headers_complete()

    def timeout_keep_alive_handler(self) -> None:
        """Drop a client that does not read its answer, which a polite end would wait for."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            super().timeout_keep_alive_handler()

    def _watch(self) -> None:
        if self._waits_for_head and self._head_timer is None:
            self._head_timer = self.loop.call_later(_patience(), self.transport.close)
        elif self._head_timer is not None and not self._waits_for_head:
            self._head_timer.cancel()
            self._head_timer = None


def _exit_with_success(*_: object) -> None:
    raise SystemExit(0)


def run(app: FastAPI | str, host: str, port: int, workers: int = 1) -> None:
    """Serve until SIGTERM or SIGINT.

    Parameters
    ----------
    app : the application; for several workers its import string.
    """
    options: dict[str, Any] = {
        "host": host,
        "port": port,
        "http": _ImpatientProtocol,
        "timeout_keep_alive": _KEEP_ALIVE_SECONDS,
        "timeout_graceful_shutdown": _GRACE_SECONDS,
        "access_log": False,
        "ws": "none",
        "server_header": False,
        "proxy_headers": bool(os.environ.get("FORWARDED_ALLOW_IPS")),
        "log_config": logs.CONFIGURATION,
    }
    if workers == 1:
        # Uvicorn raises the signal that ended it once more when all is done.
        before = signal.signal(signal.SIGTERM, _exit_with_success)
        try:
            uvicorn.run(app, **options)
        finally:
            signal.signal(signal.SIGTERM, before)
        return
    watch = Watch()
    watch.begin()
    with ExitStack() as stack:
        with suppress(OSError):  # each worker finds out by itself, and says so
            shared = tempfile.TemporaryDirectory(prefix="carprice-metrics-")
            os.environ[SHARED_FOLDER] = stack.enter_context(shared)
        uvicorn.run(app, workers=workers, timeout_worker_healthcheck=PATIENCE_SECONDS, **options)
    if watch.gave_up:
        raise SystemExit(CANNOT_START)
