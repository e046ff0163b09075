"""Logs as JSON, one object a line: the service's messages, and the access log.

Answered requests are counted and logged many at a time: one at a time, counters and a log line
would cost a quarter of a price.
"""

import asyncio
import datetime
import logging
import logging.config
import sys
from typing import Any, TextIO

from pydantic_core import to_json

from api.counters import Metrics

MORE_FIELDS = "carprice_fields"
"""Attribute of a record with more members of its line."""
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
        content.update(getattr(record, MORE_FIELDS, {}))
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


class Recorder:
    """Counts and logs requests every 50 ms, or 32 of them; to be used in one event loop."""

    def __init__(self, metrics: Metrics, stream: TextIO | None = None) -> None:
        self._metrics = metrics
        self._stream = stream
        self._in_flight = 0
        self._answered: list[tuple[str, str, int, float]] = []
        self._lines: list[dict[str, Any]] = []
        self._is_due = False

    def begin(self) -> None:
        """Note that a request came."""
        self._in_flight += 1
        self._plan()

    def end(self, route: str, method: str, status: int, seconds: float) -> None:
        """Note that a request was answered; ``route`` is the path as the service declares it."""
        self._in_flight -= 1
        self._answered.append((route, method, status, seconds))
        if len(self._answered) >= _MOST:
            self.flush()
        self._plan()

    def log(self, **line: Any) -> None:
        """Note a line of the access log."""
        self._lines.append(line)

    def flush(self) -> None:
        """Count and log all that was noted."""
        answered, self._answered = self._answered, []
        lines, self._lines = self._lines, []
        self._metrics.in_flight.set(self._in_flight)
        for one in answered:
            self._metrics.answered(*one)
        if lines:
            # ASCII, whatever the stream's encoding, and whatever ends a reader's line.
            text = b"\n".join(to_json(line, ensure_ascii=True) for line in lines).decode("ascii")
            stream = self._stream or sys.stdout
            stream.write(f"{text}\n")
            stream.flush()

    def _plan(self) -> None:
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_later(_PAUSE_SECONDS, self._flush_in_time)

    def _flush_in_time(self) -> None:
        self._is_due = False
        self.flush()
