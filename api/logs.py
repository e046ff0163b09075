"""Logs as JSON, one object a line: what happened, and one line a request."""

import datetime
import logging
import logging.config
from typing import Any

from pydantic_core import to_json

_FIELDS = "carprice_fields"


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
