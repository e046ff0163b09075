"""Prometheus metrics, right under several workers too."""

import errno
import hashlib
import logging
import os
import stat
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from multiprocessing import current_process, parent_process
from pathlib import Path
from typing import TYPE_CHECKING

from api.served import PricedRow, ServedModel
from carprice.model.cautions import Caution
from carprice.model.pricer import Valuation

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric
    from prometheus_client.registry import Collector

logger = logging.getLogger("carprice.service")
SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
FILE_SIZES = {
    "counter": 512 * 1024,
    "histogram": 256 * 1024,
    "gauge_livesum": 64 * 1024,
    "gauge_livemax": 64 * 1024,
}
"""Bytes of each worker's files in the shared folder: more than all of its labels take."""
_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_BATCH_BUCKETS = (1, 10, 100, 1_000, 10_000, 100_000)


class Metrics:
    """The service's counters. Several workers of one server add theirs up in a shared folder."""

    def __init__(self) -> None:
        _share_between_workers()
        self._told_alone = False
        import prometheus_client as prometheus

        self._registry = prometheus.CollectorRegistry()
        counter = partial(prometheus.Counter, registry=self._registry)
        histogram = partial(prometheus.Histogram, registry=self._registry)
        requests = counter("carprice_requests", "Requests answered", ("path", "method", "status"))
        what = "Seconds from a request's head to its answer's end"
        seconds = histogram("carprice_request_seconds", what, ("path",), buckets=_BUCKETS)
        # A labelled counter's child is found under a lock; a plain cache is quicker.
        self._request = lru_cache(maxsize=1_000)(requests.labels)
        self._seconds = lru_cache(maxsize=100)(seconds.labels)
        self.in_flight = prometheus.Gauge(
            "carprice_requests_in_flight",
            "Requests that are being answered",
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        self._batch_rows = histogram(
            "carprice_batch_rows", "Rows of a batch", buckets=_BATCH_BUCKETS
        )
        warnings = counter("carprice_warnings", "Cautions told with prices", ("kind",))
        self._warning = lru_cache(maxsize=100)(warnings.labels)
        self._failures = counter(
            "carprice_registry_failures", "Times that the registry gave no model"
        )
        self._dropped = counter("carprice_log_lines_dropped", "Lines of the log that nobody took")
        what = "Prices asked of the challenger, by what came of it"
        self._challenger = counter("carprice_challenger_prices", what, ("outcome",))
        what = "Prices that the challenger did not give, since too many were waiting"
        self._left_out = counter("carprice_challenger_left_out", what)
        what = "Times that the challenger could not be had from the registry"
        self._challenger_failures = counter("carprice_challenger_registry_failures", what)
        what = "Challengers that were dropped, by why"
        self._challengers_dropped = counter("carprice_challenger_dropped", what, ("reason",))
        what = "Rows of the prediction log that are lost, by why"
        self._rows_dropped = counter("carprice_prediction_log_dropped", what, ("reason",))
        what = "Rows of the prediction log that were written"
        self._rows_written = counter("carprice_prediction_log_rows", what)
        self._rows_waiting = prometheus.Gauge(
            "carprice_prediction_log_waiting",
            "Rows of the prediction log that wait to be written",
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        # Workers of one server share the folder or spool: each sees all that lies there.
        highest = partial(prometheus.Gauge, registry=self._registry, multiprocess_mode="livemax")
        what = "Bytes of the prediction log that are finished, and not where they belong"
        self._log_unsent = highest("carprice_prediction_log_unsent_bytes", what)
        what = "When a file of the prediction log last came to where it belongs; 0: not yet"
        self._log_last_file = highest("carprice_prediction_log_last_file_timestamp_seconds", what)
        what = "Models loaded, by where they were had from"
        self._loads = counter("carprice_model_loads", what, ("source",))

    def answered(self, path: str, method: str, status: int, count: int) -> None:
        """Count answered requests; ``path`` is their route's, not the client's."""
        self._request(path, method, str(status)).inc(count)

    def took(self, path: str, seconds: float) -> None:
        """Note how long the answer to a request of a route took."""
        self._seconds(path).observe(seconds)

    def cautioned(self, cautions: Iterable[Caution]) -> None:
        """Count the cautions of a price."""
        for caution in cautions:
            self._warning(caution.kind).inc()

    def priced_together(self, rows: Sequence[PricedRow]) -> None:
        """Count a batch's rows, and the cautions of those that have a price."""
        self._batch_rows.observe(len(rows))
        for row in rows:
            if isinstance(row, Valuation):
                self.cautioned(row.cautions)

    def model_loaded(self, served: ServedModel) -> None:
        """Count a loaded model."""
        self._loads.labels(served.source).inc()

    def registry_failed(self, _: str) -> None:
        """Count a registry that gave no model."""
        self._failures.inc()

    def lines_dropped(self, count: int) -> None:
        """Count lines of the log that could not be written."""
        self._dropped.inc(count)

    def rows_dropped(self, reason: str, count: int) -> None:
        """Count rows of the prediction log that are lost."""
        self._rows_dropped.labels(reason).inc(count)

    def rows_written(self, count: int) -> None:
        """Count rows of the prediction log that were written."""
        self._rows_written.inc(count)

    def rows_waiting(self, count: int) -> None:
        """Tell how many rows of the prediction log wait."""
        self._rows_waiting.set(count)

    def log_unsent(self, size: int) -> None:
        """Tell how many bytes of the prediction log are finished and could not be kept or sent."""
        self._log_unsent.set(size)

    def log_file_kept(self) -> None:
        """Tell that a file of the prediction log is where it belongs."""
        self._log_last_file.set_to_current_time()

    def challenger_priced(self, outcome: str) -> None:
        """Count a price that the challenger was asked for: ``priced``, or how it failed."""
        self._challenger.labels(outcome).inc()

    def challenger_left_out(self, count: int) -> None:
        """Count listings that the challenger did not price, since too many were waiting."""
        self._left_out.inc(count)

    def challenger_failed(self) -> None:
        """Count a challenger that could not be had."""
        self._challenger_failures.inc()

    def challenger_dropped(self, reason: str) -> None:
        """Count a challenger that was dropped."""
        self._challengers_dropped.labels(reason).inc()

    def exposition(
        self,
        served: ServedModel | None,
        objection: str,
        challenger: tuple[str, ServedModel | None] | None = None,
        others: Iterable["Collector"] = (),
    ) -> tuple[bytes, str]:
        """Return all metrics as text, and their media type.

        Parameters
        ----------
        challenger : the state of the challenger and, where it prices, its model.
        others : what else there is to tell.
        """
        import prometheus_client as prometheus
        from prometheus_client.multiprocess import MultiProcessCollector

        counted, own = self._registry, prometheus.CollectorRegistry()
        for collector in (_ModelCollector(served, objection, challenger), *others):
            own.register(collector)
        shared = os.environ.get(SHARED_FOLDER)
        if shared and self._is_shared(Path(shared)):
            _forget_dead_workers(Path(shared))
            counted = prometheus.CollectorRegistry()
            MultiProcessCollector(counted)  # type: ignore[no-untyped-call]
        else:
            prometheus.ProcessCollector(registry=own)
        text: bytes = prometheus.generate_latest(counted) + prometheus.generate_latest(own)
        return text, prometheus.CONTENT_TYPE_PLAIN_0_0_4

    def _is_shared(self, folder: Path) -> bool:
        """Whether this worker's files are there still; where they are not, it is told once."""
        if any(folder.glob(f"*_{os.getpid()}.db")):
            return True
        if not self._told_alone:
            self._told_alone = True
            logger.warning(
                "/metrics tells of one worker alone: the files of this worker in the folder %s, "
                "which all share, were deleted; start the service anew, and name a folder in "
                "TMPDIR that nothing cleans",
                folder,
            )
        return False


@dataclass(frozen=True, eq=False)
class _ModelCollector:
    served: ServedModel | None
    objection: str
    challenger: tuple[str, ServedModel | None] | None

    def collect(self) -> "Iterator[Metric]":
        from prometheus_client.core import GaugeMetricFamily

        def gauge(name: str, what: str, value: float, **labels: str) -> "Metric":
            family = GaugeMetricFamily(f"carprice_{name}", what, labels=[*labels])
            family.add_metric([*labels.values()], value)
            return family

        served, now = self.served, time.time()
        yield gauge("model_loaded", "Whether there is a model to serve", float(served is not None))
        what = "Whether the registry's record does not bear out its production version"
        yield gauge("model_unrecorded", what, float(self.objection != ""))
        if self.challenger is not None:
            state, rival = self.challenger
            yield gauge("challenger_state", "The state of the challenger", 1.0, state=state)
            if rival is not None:
                labels = {"version": rival.version, "digest": rival.model.digest}
                yield gauge("challenger_info", "The challenger", 1.0, **labels)
        if served is None:
            return
        digest = served.model.digest
        labels = {"version": served.version, "digest": digest, "source": served.source}
        yield gauge("model_info", "The served model", 1.0, **labels)
        loaded, confirmed = (now - day.timestamp() for day in (served.loaded, served.since))
        yield gauge(
            "model_loaded_age_seconds", "Seconds since this process loaded the model", loaded
        )
        what = "Seconds since the registry said that it is in production"
        yield gauge("model_confirmed_age_seconds", what, confirmed)


def _share_between_workers() -> None:
    """Name the folder that the workers of one server share, before the library looks for it.

    Where it cannot be written to, this worker counts for itself and says so.
    """
    try:
        if parent_process() is not None and SHARED_FOLDER not in os.environ:
            os.environ[SHARED_FOLDER] = str(_private_folder())
        if folder := os.environ.get(SHARED_FOLDER):
            _reserve(Path(folder))
    except OSError as error:
        folder = os.environ.pop(SHARED_FOLDER, None) or error.filename or "for temporary files"
        logger.warning(
            "/metrics tells of one worker alone: the folder %s, which all share, cannot be used "
            "(%s); make room there, or name another one in TMPDIR",
            folder,
            error.strerror or error,
        )


def _private_folder() -> Path:
    """Return a folder whose name no other user can know, and that only this user may use.

    It is of the key that multiprocessing makes at random for a process and its children.
    """
    key = hashlib.sha256(b"carprice metrics" + current_process().authkey).hexdigest()
    folder = Path(tempfile.gettempdir()) / f"carprice-metrics-{key[:32]}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    is_ours = sys.platform == "win32" or (found.st_uid, found.st_mode & 0o077) == (os.getuid(), 0)
    if not (stat.S_ISDIR(found.st_mode) and is_ours):
        raise PermissionError(errno.EACCES, "it is not a folder of this user alone", str(folder))
    return folder


def _reserve(folder: Path) -> None:
    """Write this process's files in their full size, with nothing counted.

    The library maps them into memory, where a page for which the disk has no room ends the process.
    """
    files = {folder / f"{kind}_{os.getpid()}.db": size for kind, size in FILE_SIZES.items()}
    for path, size in files.items():
        if path.exists():
            continue
        begun = path.with_suffix(".new")
        try:
            begun.write_bytes(bytes(size))
            begun.rename(path)
        except OSError:
            for made in (begun, *files):
                made.unlink(missing_ok=True)
            raise


def _forget_dead_workers(folder: Path) -> None:
    from prometheus_client.multiprocess import mark_process_dead

    if sys.platform == "win32":
        return  # where asking whether a process lives would end it
    for path in folder.glob("gauge_live*_*.db"):
        process = int(path.stem.rpartition("_")[2])
        with suppress(PermissionError):
            try:
                os.kill(process, 0)
            except ProcessLookupError:
                mark_process_dead(process)  # type: ignore[no-untyped-call]
