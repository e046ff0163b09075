"""Logs as JSON, one object a line: what happened, and one line a request."""

import asyncio
import datetime
import logging
import logging.config
import sys
from collections.abc import Mapping
from typing import Any, TextIO

from pydantic_core import to_json

_FIELDS = "carprice_fields"
_FLUSH_SECONDS = 0.05


class JsonFormatter(logging.Formatter):
    """Writes a record as one line of JSON; a crash with its stack trace in one field."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        content: dict[str, Any] = {
            "time": moment.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        content.update(getattr(record, _FIELDS, {}))
        if record.exc_info:
            content["trace"] = self.formatException(record.exc_info)
        return to_json(content, fallback=str).decode()


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


class AccessLog:
    """Writes one line of JSON a request, many at a time.

    The lines of 50 ms are written together: one at a time through :mod:`logging` would cost as
    much as a price.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream
        self._lines: list[bytes] = []

    def add(self, fields: Mapping[str, Any]) -> None:
        """Log one answered request; called in the event loop."""
        if not self._lines:
            asyncio.get_running_loop().call_later(_FLUSH_SECONDS, self.flush)
        moment = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        self._lines.append(
            to_json({"time": moment, "level": "info", "logger": "carprice.access", **fields})
        )

    def flush(self) -> None:
        """Write the lines that wait."""
        if self._lines:
            lines, self._lines = self._lines, []
            stream = self._stream or sys.stdout
            stream.write(b"\n".join(lines).decode() + "\n")
            stream.flush()
