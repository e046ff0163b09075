"""Logs as JSON, one object a line: the service's messages, and the access log.

Answered requests are counted and logged many at a time: one at a time, counters and a log line
would cost a quarter of a price.
"""

import asyncio
import datetime
import logging
import logging.config
import sys
from typing import Any, NamedTuple, TextIO

from pydantic_core import to_json

from api.counters import Metrics

_FIELDS = "carprice_fields"
_PAUSE_SECONDS = 0.05
_MOST = 32


def printed_time(seconds: float) -> str:
    """Return a moment, in seconds since 1970, as all lines have it.

    Examples
    --------
    >>> printed_time(0.25)
    '1970-01-01T00:00:00.250+00:00'
    """
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return moment.isoformat(timespec="milliseconds")


class JsonFormatter(logging.Formatter):
    """Writes a record as one line of JSON; a crash with its stack trace in one field."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        content: dict[str, Any] = {
            "time": printed_time(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        content.update(getattr(record, _FIELDS, {}))
        if record.exc_info:
            content["trace"] = self.formatException(record.exc_info)
        return to_json(content, fallback=str, ensure_ascii=True).decode("ascii")


CONFIGURATION: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "api.logs.JsonFormatter"}},
    "handlers": {
        "out": {
            "class": "logging.StreamHandler",
            "stream": "ext://sys.stdout",
            "formatter": "json",
        }
    },
    "loggers": {
        "carprice": {"handlers": ["out"], "level": "INFO", "propagate": False},
        "uvicorn": {"handlers": ["out"], "level": "INFO", "propagate": False},
        "uvicorn.access": {"handlers": [], "level": "CRITICAL", "propagate": False},
    },
}
"""Of :func:`logging.config.dictConfig`: all of the service's logs, and the server's, as JSON."""


def configure() -> None:
    """Send all logs to standard output as JSON."""
    logging.config.dictConfig(CONFIGURATION)


def log_crash(request_id: str) -> None:
    """Log the exception that is being handled."""
    logging.getLogger("carprice.service").exception(
        "a request failed by an error of ours", extra={_FIELDS: {"requestId": request_id}}
    )


class Answered(NamedTuple):
    """A request and what became of it; ``moment`` is the end, in seconds since 1970.

    ``route`` is the path as the service declares it, for counters; without ``is_logged`` the
    request is counted only.
    """

    moment: float
    seconds: float
    request_id: str
    method: str
    path: str
    route: str
    status: int
    client: str | None
    key: str | None
    version: str | None
    is_logged: bool


class Recorder:
    """Counts and logs requests every 50 ms, or 32 of them; to be used in one event loop."""

    def __init__(self, metrics: Metrics, stream: TextIO | None = None) -> None:
        self._metrics = metrics
        self._stream = stream
        self._in_flight = 0
        self._answered: list[Answered] = []
        self._is_due = False

    def begin(self) -> None:
        """Note that a request came."""
        self._in_flight += 1
        self._plan()

    def end(self, answered: Answered) -> None:
        """Note that a request that came is done."""
        self._in_flight -= 1
        self._answered.append(answered)
        if len(self._answered) >= _MOST:
            self.flush()
        self._plan()

    def flush(self) -> None:
        """Count and log all that was noted."""
        answered, self._answered = self._answered, []
        self._metrics.in_flight.set(self._in_flight)
        for one in answered:
            self._metrics.answered(one.route, one.method, one.status, one.seconds)
        lines = [_line(one) for one in answered if one.is_logged]
        if lines:
            stream = self._stream or sys.stdout
            stream.write(b"\n".join(lines).decode("ascii") + "\n")
            stream.flush()

    def _plan(self) -> None:
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_later(_PAUSE_SECONDS, self._flush_in_time)

    def _flush_in_time(self) -> None:
        self._is_due = False
        self.flush()


def _line(one: Answered) -> bytes:
    return to_json(
        {
            "time": printed_time(one.moment),
            "level": "info",
            "logger": "carprice.access",
            "requestId": one.request_id,
            "method": one.method,
            "path": one.path,
            "status": one.status,
            "milliseconds": round(one.seconds * 1000, 3),
            "client": one.client,
            "key": one.key,
            "modelVersion": one.version,
        },
        ensure_ascii=True,  # whatever the stream's encoding, and whatever ends a reader's line
    )
