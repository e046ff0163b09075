"""Logs as JSON, one object a line: the service's messages, and the access log.

Answered requests are counted and logged many at a time: one at a time, counters and a log line
would cost a quarter of a price. Lines are written in a thread of their own, since a pipe that
nobody reads holds up who writes to it.
"""

import asyncio
import atexit
import datetime
import io
import logging
import logging.config
import os
import select
import stat
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from pydantic_core import to_json

from api.counters import Metrics

logger = logging.getLogger("carprice.service")
MORE_FIELDS = "carprice_fields"
"""Attribute of a record with more members of its line."""
_PAUSE_SECONDS = 0.05
_MOST = 32
_MOST_WAITING: Final = 4 * 1024 * 1024
_ONE_PIECE: Final = 4096
"""Bytes that a pipe takes in one piece, whoever else writes to it."""
_SECONDS_OF_A_RECORD: Final = 0.02
_SECONDS_AT_THE_END: Final = 1.0


def printed_time(seconds: float) -> str:
    """Return a moment, in seconds since 1970, as all lines have it.

    Examples
    --------
    >>> printed_time(0.25)
    '1970-01-01T00:00:00.250+00:00'
    """
    second, millisecond = divmod(int(seconds * 1000), 1000)
    return f"{_printed_second(second)}.{millisecond:03d}+00:00"


@lru_cache(maxsize=4)
def _printed_second(seconds: int) -> str:
    """Return a moment without fraction and zone; many lines have the same."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat()[:19]


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


class Outlet:
    """Writes lines to standard output, in a thread that alone waits where nobody reads them.

    Lines for which there is no room are dropped and counted, and the log says so once it is read
    again.

    Parameters
    ----------
    most : bytes that may wait to be written.

    Attributes
    ----------
    is_ending : whether the process may be gone after any record.
    """

    def __init__(self, most: int = _MOST_WAITING) -> None:
        self.is_ending = False
        self._most = most
        self._waiting: list[bytes] = []
        self._size = self._count = 0
        self._untold = 0
        self._uncounted = 0
        self._is_idle = True
        self._is_wanted = False
        self._is_stalled = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def write(self, lines: bytes, count: int = 1) -> None:
        """Have so many lines, each with its end, written soon; never waits."""
        with self._changed:
            if self._size + len(lines) > self._most:
                self._drop(count)
                return
            if self._thread is None:
                # A daemon: neither it nor the lines that nobody reads shall keep the process.
                self._thread = threading.Thread(target=self._run, name="log", daemon=True)
                self._thread.start()
            if not self._waiting:
                self._changed.notify_all()
            self._waiting.append(lines)
            self._size += len(lines)
            self._count += count
            self._is_idle = False

    def flush(self, seconds: float) -> None:
        """Wait until all is written, but not longer than this."""
        with self._changed:
            self._is_wanted = True
            self._changed.notify_all()
            self._is_stalled = not self._changed.wait_for(lambda: self._is_idle, seconds)
            self._is_wanted = False

    def flush_unless_stalled(self) -> None:
        """Wait a moment until all is written; not at all where the last such wait was in vain."""
        if not self._is_stalled:
            self.flush(_SECONDS_OF_A_RECORD)

    def end(self) -> None:
        """Wait until all is written, but not for long, and from now on a moment for each record."""
        self.is_ending = True
        self.flush(_SECONDS_AT_THE_END)

    def take_dropped(self) -> int:
        """Return how many lines were dropped since this was asked last."""
        with self._changed:
            dropped, self._uncounted = self._uncounted, 0
        return dropped

    def _drop(self, count: int) -> None:
        self._untold += count
        self._uncounted += count

    def _run(self) -> None:
        while True:
            with self._changed:
                self._is_idle = not self._waiting
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._waiting)
                # Each turn of this thread costs the loop's some time, so it has many lines in one.
                self._changed.wait_for(lambda: self._is_wanted, _PAUSE_SECONDS)
                lines, count, untold = b"".join(self._waiting), self._count, self._untold
                self._waiting, self._size, self._count, self._untold = [], 0, 0, 0
            try:
                _write(lines + (_dropped_line(untold) if untold else b""))
            except (OSError, ValueError, AttributeError):  # closed, full, or not there at all
                with self._changed:
                    self._drop(count)
                    self._untold += untold
            self._is_stalled = False


def _write(lines: bytes) -> None:
    """Write whole lines, past Python's buffer: its lock would hold up the end of the process."""
    try:
        file = sys.stdout.fileno()
    except io.UnsupportedOperation:  # such as where a test reads what is printed
        sys.stdout.write(lines.decode("ascii"))
        sys.stdout.flush()
        return
    piece = _ONE_PIECE if stat.S_ISFIFO(os.fstat(file).st_mode) else len(lines)
    begin = 0
    while begin < len(lines):
        end = lines.rfind(b"\n", begin, begin + piece) + 1 or lines.find(b"\n", begin) + 1
        try:
            begin += os.write(file, lines[begin:end])
        except BlockingIOError:  # one that whoever made it has not to wait
            select.select([], [file], [])


def _dropped_line(count: int) -> bytes:
    told = (
        f"{count:,} lines of the log were dropped: nobody read them, or they could not be written"
    )
    content = {
        "time": printed_time(time.time()),
        "level": "warning",
        "logger": "carprice.service",
        "message": told,
    }
    return to_json(content) + b"\n"


OUTLET: Final = Outlet()
"""Where all of this process's lines go."""
atexit.register(OUTLET.end)


class OutletHandler(logging.Handler):
    """Hands records to :data:`OUTLET`, and waits a moment for those that may be the last."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record's line; who logs never fails by it."""
        try:
            OUTLET.write(f"{self.format(record)}\n".encode())
            if OUTLET.is_ending or record.levelno >= logging.ERROR:
                OUTLET.flush_unless_stalled()
        except Exception:
            self.handleError(record)


CONFIGURATION: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "api.logs.JsonFormatter"}},
    "handlers": {
        "out": {"class": "api.logs.OutletHandler", "formatter": "json"},
    },
    "root": {"handlers": ["out"], "level": "WARNING"},
    "loggers": {
        "carprice": {"handlers": ["out"], "level": "INFO", "propagate": False},
        "uvicorn": {"handlers": ["out"], "level": "INFO", "propagate": False},
        "uvicorn.access": {"handlers": [], "level": "CRITICAL", "propagate": False},
    },
}
"""Of :func:`logging.config.dictConfig`: all of the service's logs, and the server's, as JSON."""


class Answered(NamedTuple):
    """A request that was answered.

    Attributes
    ----------
    time : of its answer, in seconds since 1970.
    route : its path as the service declares it.
    client : address of who asked.
    key : name of the key that it came with.
    version : of the model that it was answered with.
    is_logged : whether it has a line in the log.
    """

    time: float
    request_id: bytes
    method: str
    path: str
    route: str
    status: int
    seconds: float
    client: str | None
    key: str | None
    version: str | None
    is_logged: bool

    def line(self) -> str:
        """Return its line of the access log."""
        path, client, key, version = map(_quoted, (self.path, self.client, self.key, self.version))
        return (
            f'{{"time":"{printed_time(self.time)}","level":"info","logger":"carprice.access",'
            f'"requestId":"{self.request_id.decode()}","method":"{self.method}","path":{path},'
            f'"status":{self.status},"milliseconds":{round(self.seconds * 1000, 3)},'
            f'"client":{client},"key":{key},"modelVersion":{version}}}\n'
        )


@lru_cache(maxsize=256)
def _quoted(text: str | None) -> str:
    """Return JSON of a text: ASCII, whatever the stream's encoding or ends a reader's line."""
    return to_json(text, ensure_ascii=True).decode("ascii")


class Recorder:
    """Counts and logs requests every 50 ms, or 32 of them; to be used in one event loop."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._in_flight = 0
        self._answered: list[Answered] = []
        self._is_due = False

    def begin(self) -> None:
        """Note that a request came that is answered later."""
        self._in_flight += 1
        if not self._is_due:
            self._plan()

    def end(self) -> None:
        """Note that such a request is over."""
        self._in_flight -= 1

    def note(self, answered: Answered) -> None:
        """Note an answered request."""
        self._answered.append(answered)
        if len(self._answered) >= _MOST:
            self.flush()
        if not self._is_due:
            self._plan()

    def flush(self) -> None:
        """Count and log all that was noted; where that fails no request does."""
        answered, self._answered = self._answered, []
        try:
            self._count_and_log(answered)
        except Exception:
            logger.exception("%d requests are not counted, or not logged", len(answered))

    def _count_and_log(self, answered: Sequence[Answered]) -> None:
        self._metrics.in_flight.set(self._in_flight)
        counts = Counter([(one.route, one.method, one.status) for one in answered])
        for of_kind, count in counts.items():
            self._metrics.answered(*of_kind, count)
        for one in answered:
            self._metrics.took(one.route, one.seconds)
        if lines := [one.line() for one in answered if one.is_logged]:
            OUTLET.write("".join(lines).encode("ascii"), len(lines))
        if dropped := OUTLET.take_dropped():
            self._metrics.lines_dropped(dropped)

    def close(self) -> None:
        """Count and log all that was noted, and wait a moment until it is written."""
        self.flush()
        OUTLET.end()

    def _plan(self) -> None:
        self._is_due = True
        asyncio.get_running_loop().call_later(_PAUSE_SECONDS, self._flush_in_time)

    def _flush_in_time(self) -> None:
        self._is_due = False
        self.flush()
