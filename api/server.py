"""Runs the service: Uvicorn with the limits that a service behind a load balancer needs."""

import os
import signal
import tempfile
from contextlib import ExitStack, suppress
from typing import Any

import uvicorn
from fastapi import FastAPI

from api import logs
from api.connections import LimitedProtocol
from api.counters import SHARED_FOLDER
from api.workers import CANNOT_START, PATIENCE_SECONDS, Watch

_KEEP_ALIVE_SECONDS = 75  # longer than a load balancer's 60, so that it is the one to close
_GRACE_SECONDS = 8


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
        "http": LimitedProtocol,
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
