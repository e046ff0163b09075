"""What the service remembers of its answers: put into a queue, written by a thread of its own.

Whoever answers a request neither waits for a disk nor sees an error: what cannot be kept is dropped
and counted. One thread appends rows to a journal; another makes Parquet files of journals that are
finished, sends them where the log is, and deletes what is too old. ``docs/prediction-log.md`` tells
what is stored, and what may be lost.
"""

import datetime
import logging
import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from secrets import token_bytes
from time import monotonic, sleep, time_ns
from typing import Any, Final, Literal, Protocol

from pydantic_core import to_json

from carprice.appraisal.deal import JudgedValuation
from carprice.model import PriceModel
from carprice.model.pricer import Valuation
from carprice.monitoring import records
from carprice.monitoring.journal import (
    BETWEEN,
    Journal,
    claimed,
    columns_of,
    forget_begun,
    journals,
)
from carprice.monitoring.log_files import Folder, S3Prefix, write_file
from carprice.monitoring.log_settings import LogSettings
from carprice.schema import ASKING_PRICE, FIELDS, is_own, name_in_requests

logger = logging.getLogger("carprice.service")
PRODUCTION: Final = "production"
Reason = Literal["queue", "disk", "spool", "gone", "damaged"]
"""Why a row is not in the log; :data:`_TOLD` says it in words."""
_TOLD: Final[Mapping[str, str]] = {
    "queue": "they come faster than they can be written",
    "disk": "they cannot be written",
    "spool": "what waits to be sent takes all the room that it may",
    "gone": "the file that they were written to was deleted or moved",
    "damaged": "a process was killed while it wrote, or the disk lost something",
}
_PAUSE_SECONDS: Final = 0.2
_CHUNKS: Final = 16
_TOGETHER: Final = 32
_SWEEP_SECONDS: Final = 60.0
_FIRST_WAIT_SECONDS: Final = 1.0
_FORGET_SECONDS: Final = 6 * 3600.0
_QUIET_SECONDS: Final = 60.0
_LAST_SECONDS: Final = 5.0
_MOST_REFUSED: Final = 3
_LONGEST_PROBLEM: Final = 100
_MANY_FORMS: Final = 200
_UNPRICED: Final = (None,) * 6
_FEATURES: Final = columns_of(()).index("features") - records.LINE.index(records.QUOTE_ID)
"""Their place in a row, after what the rows of a form have in common."""
_IDS: Final = 64


class Served(Protocol):
    """A model, and the version under which it is served."""

    @property
    def model(self) -> PriceModel:
        """The model."""

    @property
    def version(self) -> str:
        """Its number in the registry."""


_Lines = tuple[tuple[str, ...], int, bytes]
"""Own columns of some lines, how many they are, and the lines."""
_Row = tuple["_Form", tuple[str, int, float, str], Mapping[str, Any], Valuation | None]
"""A row before it is a line: id, moment, milliseconds and problem; listing and valuation."""


class _Form:
    """How lines begin that have much in common, and what is kept of their listings.

    It does not hold the model, which may have been replaced.

    Parameters
    ----------
    head : JSON of what the lines have in common, as it stands between brackets.
    names : of the asking price, the fields and the own columns; empty where it is not kept.
    own : the market's own columns of a line.
    """

    def __init__(self, head: bytes, names: tuple[str, ...], own: tuple[str, ...]) -> None:
        self.own = own
        self._head = head + b","
        self._is_plain = b"\\" not in head
        self._names = names
        self._of = itemgetter(*names)

    def lines_of(self, rows: Sequence[_Row]) -> tuple[bytes, int]:
        """Return lines of rows, and how many they are: a text that is no Unicode costs its row."""
        plain, others = [b""], []
        for _, told, listing, valuation in rows:
            try:
                kept = self._of(listing)
            except KeyError:
                kept = (*map(listing.get, self._names),)
            values = [*told, *_told_by(valuation), *kept]
            features, is_plain = values[_FEATURES], self._is_plain
            if features is not None:
                text = BETWEEN.join(("", *features))
                is_plain = is_plain and text.count(BETWEEN) == len(features)
                values[_FEATURES] = text if is_plain else features
            try:
                line = to_json(values, inf_nan_mode="null")
            except ValueError:
                continue
            if is_plain and b"\\" not in line:
                plain.append(line[1:-1])
            else:
                others.append(b"\t[%b%b\n" % (self._head, line[1:]))
        lines = (b"\n" + self._head).join(plain)[1:] + b"\n" if plain[1:] else b""
        return lines + b"".join(others), len(plain) - 1 + len(others)


def _told_by(valuation: Valuation | None) -> Sequence[Any]:
    """Return the columns of a line that a valuation has; the cautions are one text."""
    if valuation is None:
        return _UNPRICED
    cautions = [f"{BETWEEN}{one.kind}:{one.field}" for one in valuation.cautions]
    return (
        valuation.predicted_price,
        valuation.price_low,
        valuation.price_high,
        valuation.valuation_date,
        "".join(cautions),
        valuation.deal.label if isinstance(valuation, JudgedValuation) else None,
    )


class PredictionLog:
    """Keeps answers; :meth:`put` never waits and never fails.

    Attributes
    ----------
    on_dropped : called with the reason and the number of rows that were dropped.
    on_written : called with the number of rows that were written to the journal.
    on_waiting : called with the number of rows that wait.
    on_unsent : called with the bytes of finished journals and files that are not where they belong.
    on_file : called when a file has come to where it belongs.
    """

    def __init__(self, settings: LogSettings) -> None:
        self._settings = settings
        self._most = settings.most_waiting
        share = settings.share
        self._end_of_share = "g" if share >= 1 else f"{int(share * 2**64):016x}"
        self._new: deque[_Row] = deque()
        self._waiting: deque[_Lines] = deque()
        self._ids: list[str] = []
        self._lines = self._refused = self._damaged = 0
        self._lock = threading.Lock()
        self._encoding = threading.Lock()
        is_sent = settings.is_s3
        self._folder = settings.spool if is_sent else Path(settings.location)
        self._store: S3Prefix | Folder = (
            S3Prefix(settings.location) if is_sent else Folder(self._folder)
        )
        self._is_sent = is_sent
        self._forms: dict[tuple[str, str, str, str, bool, float], _Form] = {}
        self._missing: frozenset[str] = frozenset()
        self._journal: Journal | None = None
        self._own: tuple[str, ...] = ()
        self._spooled = 0
        self._refused_files: set[Path] = set()
        self._latest = 0.0
        self._trouble = _Trouble()
        self._is_ending = threading.Event()
        self._is_due = threading.Event()
        self._is_written = threading.Event()
        self._threads: list[threading.Thread] = []
        self.on_dropped: Callable[[Reason, int], object] | None = None
        self.on_written: Callable[[int], object] | None = None
        self.on_waiting: Callable[[int], object] | None = None
        self.on_unsent: Callable[[int], object] | None = None
        self.on_file: Callable[[], object] | None = None

    def new_id(self) -> str:
        """Return a quote's id for an answer that has none, 128 random bits."""
        try:
            return self._ids.pop()
        except IndexError:  # to ask the system for many at once is quicker
            first, *self._ids = token_bytes(16 * _IDS).hex("-", 16).split("-")
            return first

    def put(
        self,
        quote_id: str,
        route: str,
        served: Served,
        listing: Mapping[str, Any],
        valuation: Valuation | None,
        confidence: float,
        milliseconds: float,
        *,
        alias: str = PRODUCTION,
        shadow: bool = False,
        problem: str = "",
    ) -> None:
        """Note one answer, or a price that was computed beside it; it is written soon.

        Parameters
        ----------
        quote_id : as the answer tells it; a shadow price has that of the answer beside it.
        route : the path that was asked, as the service declares it.
        served : the model that priced it.
        listing : its fields by their names in Python, as ``vars`` of a request has them; they are
            not changed any more.
        valuation : price and range; None where there is none, and ``problem`` says why.
        confidence : share of prices that the range holds.
        milliseconds : how long pricing took.
        alias : under which alias of the registry the model is served.
        shadow : whether the price was not told.
        problem : a word or two of why there is no price, such as the kind of an error.
        """
        if quote_id >= self._end_of_share:
            return
        if self._lines + len(self._new) >= self._most:
            with self._lock:
                self._refused += 1
            return
        about = (served.model.digest, served.version, route, alias, shadow, confidence)
        form = self._forms.get(about) or self._form_of(served, about)
        told = quote_id, time_ns() // 1000, milliseconds, problem[:_LONGEST_PROBLEM]
        self._new.append((form, told, listing, valuation))
        if len(self._new) >= _TOGETHER and self._encoding.acquire(blocking=False):
            try:
                self._encode()
            finally:
                self._encoding.release()

    def _encode(self) -> None:
        """Make lines of the rows that are there: of some together, since each alone takes longer.

        They are few: what outlives its request for long costs more than to write it down does.
        Who calls it holds the lock, for which the last turn waits: no row is in other hands then.
        """
        alike = defaultdict[_Form, list[_Row]](list)
        while self._new:
            row = self._new.popleft()
            alike[row[0]].append(row)
        for form, rows in alike.items():
            lines, count = form.lines_of(rows)
            with self._lock:
                self._damaged += len(rows) - count
                self._lines += count
            self._waiting.append((form.own, count, lines))

    def _form_of(self, served: Served, about: tuple[str, str, str, str, bool, float]) -> "_Form":
        """Return how lines begin of a model, a route, an alias, shadow or not, a confidence."""
        model, (digest, version, *asked) = served.model, about
        kept = {ASKING_PRICE, *FIELDS, *model.own} - self._settings.without
        with self._lock:
            own = (*sorted({*self._own, *filter(is_own, kept)}),)
            if own != self._own or len(self._forms) >= _MANY_FORMS:
                self._forms = {}  # clients choose the confidence
            self._own = own
            columns = (ASKING_PRICE, *FIELDS, *own)
            names = (*(name_in_requests(name) if name in kept else "" for name in columns),)
            head = to_json([version, digest, model.market.currency, *asked])[1:-1]
            form = self._forms[about] = _Form(head, names, own)
        return form

    def check(self, served: Served) -> None:
        """Say so, once, where no own column of a model is named as one that is to be left out."""
        missing = frozenset(filter(is_own, self._settings.without)) - {*served.model.own}
        if missing - self._missing:
            logger.error(
                "CARPRICE_PREDICTION_LOG_WITHOUT names %s, which no column of the model of version "
                "%s is called; its own columns are %s: what is misspelt is kept",
                ", ".join(sorted(missing)),
                served.version,
                ", ".join(served.model.own) or "none",
            )
        self._missing = missing

    def begin(self) -> None:
        """Start to write, and recover what a process that was killed has left."""
        import pyarrow.compute
        import pyarrow.csv
        import pyarrow.parquet  # noqa: F401 (now, and not while requests are answered)

        for name, work in (("prediction-log", self._write), ("prediction-log-files", self._keep)):
            thread = threading.Thread(target=work, name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def end(self, seconds: float = _LAST_SECONDS) -> None:
        """Write what waits and finish the file, but not for longer than this; then no more."""
        self._latest = monotonic() + seconds
        self._is_ending.set()
        self._is_due.set()
        for thread in self._threads:
            thread.join(max(0.0, self._latest - monotonic()))

    def _write(self) -> None:
        """Write what waits, every now and then: each turn of this thread costs others some time."""
        is_last = False
        while not is_last:
            is_last = self._is_ending.wait(_PAUSE_SECONDS)
            try:
                self._turn(is_last=is_last)
            except Exception:
                logger.exception("A part of the prediction log could not be written")
        self._is_written.set()
        self._is_due.set()

    def _turn(self, *, is_last: bool) -> None:
        with self._encoding:
            self._encode()
        with self._lock:
            refused, self._refused = self._refused, 0
            damaged, self._damaged = self._damaged, 0
        self._drop("queue", refused)
        self._drop("damaged", damaged)
        self._tell_waiting()
        while found := [self._waiting.popleft() for _ in range(min(len(self._waiting), _CHUNKS))]:
            with self._lock:
                self._lines -= sum(count for _, count, _ in found)
            for own, some in groupby(found, itemgetter(0)):
                _, counts, lines = zip(*some, strict=True)
                self._append(own, b"".join(lines), sum(counts))
        journal = self._journal
        if journal is not None:
            is_old = monotonic() - journal.begun >= self._settings.seconds
            if is_last or is_old or journal.size >= self._settings.bytes:
                self._finish()
        self._tell_waiting()
        self._trouble.look_back()

    def _append(self, own: tuple[str, ...], lines: bytes, count: int) -> None:
        journal = self._journal
        try:
            if journal is not None and not journal.is_there():
                self._drop("gone", journal.rows)
                self._finish()
            elif journal is not None and journal.own != own:
                self._finish()
            if self._journal is None:
                self._journal = Journal(self._folder, own)
            if self._is_sent and self._spooled + self._journal.size > self._settings.spool_bytes:
                self._drop("spool", count)
                return
            self._journal.append(lines, count)
        except OSError as error:
            self._drop("disk", count, error)
        else:
            _call(self.on_written, count)

    def _finish(self) -> None:
        journal, self._journal = self._journal, None
        if journal is not None:
            self._spooled += journal.size
            try:
                journal.close()
            finally:
                self._is_due.set()  # not before: a journal that is locked yet waits a minute

    def _tell_waiting(self) -> None:
        _call(self.on_waiting, self._lines)

    def _drop(self, reason: Reason, count: int, error: Exception | None = None) -> None:
        if count:
            self._trouble.dropped(reason, count, error)
            _call(self.on_dropped, reason, count)

    def _keep(self) -> None:
        """Make files of finished journals, again and again; where that fails, at longer pauses.

        What is too old is deleted first: that makes room on a full disk.
        """
        wait = next_look = 0.0
        while True:
            is_last = self._is_written.is_set()
            self._is_due.clear()
            if self._settings.days and monotonic() >= next_look and not is_last:
                next_look = monotonic() + _FORGET_SECONDS
                self._forget()
            try:
                error = self._sweep()
            except Exception as failed:
                error = failed
            self._trouble.swept(error)
            if is_last and (error is None or monotonic() + _PAUSE_SECONDS >= self._latest):
                return
            if is_last:
                sleep(_PAUSE_SECONDS)
            elif not self._is_written.is_set():
                wait = (
                    0.0 if error is None else min(2 * wait or _FIRST_WAIT_SECONDS, _SWEEP_SECONDS)
                )
                self._pause(wait)

    def _forget(self) -> None:
        try:
            self._store.forget(datetime.timedelta(days=self._settings.days))
        except Exception as error:
            logger.warning(
                "Old files of the prediction log are not deleted%s; the next try is in six hours",
                _words(error),
            )

    def _pause(self, wait: float) -> None:
        """Wait for the next finished journal; where things fail, this long at least."""
        if wait:
            self._is_written.wait(wait)
        else:
            self._is_due.wait(_SWEEP_SECONDS)
        if self._is_ending.is_set():
            self._is_written.wait(_LAST_SECONDS)

    def _sweep(self) -> Exception | None:
        """Make files of the journals that nobody writes, and send them; return what failed first.

        Each is tried by itself: one that cannot be read keeps no other from its place.
        """
        forget_begun(self._folder)
        failed: list[Exception] = []
        left = 0
        for path, name in journals(self._folder).items():
            try:
                self._make(path, name)
            except Exception as error:
                failed.append(error)
                left += _size(path)
        if self._is_sent:
            waiting = sorted(self._folder.glob("predictions-*.parquet"))
            self._spooled = left + sum(map(_size, waiting))
            failed += self._send(waiting)
            left += sum(map(_size, waiting))
        self._spooled = left
        _call(self.on_unsent, left)
        return failed[0] if failed else None

    def _make(self, path: Path, name: str) -> None:
        with claimed(path) as is_ours:
            if is_ours:
                rows, lost = write_file(path, self._folder / name)
                path.unlink()
                self._drop("damaged", lost)
                if rows and not self._is_sent:
                    _call(self.on_file)

    def _send(self, waiting: list[Path]) -> list[Exception]:
        """Send files, last those that failed before; a store that takes none is left alone soon."""
        failed: dict[Path, Exception] = {}
        for path in sorted(waiting, key=self._refused_files.__contains__):
            try:
                with claimed(path) as is_ours:
                    if is_ours:
                        self._store.deliver(path)
                        _call(self.on_file)
            except Exception as error:
                failed[path] = error
                if len(failed) >= _MOST_REFUSED:
                    break
        self._refused_files = (self._refused_files & {*waiting}) | failed.keys()
        return [*failed.values()]


@dataclass
class _Trouble:
    """Says once that rows are dropped or files cannot be sent, and once that this is over."""

    _dropped: Counter[str] = field(default_factory=Counter)
    _last: float = 0.0
    _is_stuck: bool = False
    _lock: Any = field(default_factory=threading.Lock)

    def dropped(self, reason: Reason, count: int, error: Exception | None) -> None:
        """Note dropped rows."""
        with self._lock:
            is_new = reason not in self._dropped
            self._dropped[reason] += count
            self._last = monotonic()
        if is_new:
            why = f"{_TOLD[reason]}{_words(error)}"
            logger.warning(
                "Rows of the prediction log are dropped: %s; answers go on, and "
                "carprice_prediction_log_dropped_total counts what is lost",
                why,
            )

    def look_back(self) -> None:
        """Tell how many were dropped, once none has been for some time."""
        with self._lock:
            if not self._dropped or monotonic() < self._last + _QUIET_SECONDS:
                return
            dropped, self._dropped = self._dropped, Counter()
        told = ", ".join(f"{count:,} ({reason})" for reason, count in sorted(dropped.items()))
        logger.warning("The prediction log is whole again; dropped were %s", told)

    def swept(self, error: Exception | None) -> None:
        """Note what failed of making and sending files, which are kept; None: nothing did."""
        if error is not None and not self._is_stuck:
            logger.warning(
                "Files of the prediction log cannot be finished%s; their rows are kept, and it is "
                "tried again",
                _words(error),
                exc_info=None if isinstance(error, OSError) else error,
            )
        elif error is None and self._is_stuck:
            logger.info("Files of the prediction log are finished again")
        self._is_stuck = error is not None


def _size(path: Path) -> int:
    """Return how large a file is; 0 where another process has moved it away."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _words(error: Exception | None) -> str:
    if error is None:
        return ""
    reason = getattr(error, "strerror", None) or str(error)
    return f" ({reason[:300]})"


def _call(hook: Callable[..., object] | None, *about: object) -> None:
    if hook is not None:
        hook(*about)
