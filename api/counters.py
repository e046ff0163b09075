"""Prometheus metrics, right under several workers too."""

import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from multiprocessing import parent_process
from pathlib import Path
from typing import TYPE_CHECKING

from api.keeper import ModelKeeper
from carprice.model.pricer import Valuation

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_BATCH_BUCKETS = (1, 10, 100, 1_000, 10_000, 100_000)


class Metrics:
    """The service's counters. Several workers of one server add theirs up in a shared folder."""

    def __init__(self) -> None:
        _share_between_workers()
        import prometheus_client as prometheus

        self._registry = registry = prometheus.CollectorRegistry()
        self._requests = prometheus.Counter(
            "carprice_requests",
            "Requests answered",
            ("path", "method", "status"),
            registry=registry,
        )
        self._seconds = prometheus.Histogram(
            "carprice_request_seconds",
            "Seconds from a request's head to its answer's end",
            ("path",),
            buckets=_BUCKETS,
            registry=registry,
        )
        self.in_flight = prometheus.Gauge(
            "carprice_requests_in_flight",
            "Requests that are being answered",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._batch_rows = prometheus.Histogram(
            "carprice_batch_rows",
            "Rows of a batch",
            buckets=_BATCH_BUCKETS,
            registry=registry,
        )
        self._warnings = prometheus.Counter(
            "carprice_warnings",
            "Cautions told with prices",
            ("kind",),
            registry=registry,
        )
        self._registry_failures = prometheus.Counter(
            "carprice_registry_failures",
            "Times that the registry gave no model",
            registry=registry,
        )
        self._starts = prometheus.Counter(
            "carprice_model_loads",
            "Models loaded, by where they were had from",
            ("source",),
            registry=registry,
        )
        # A labelled counter's child is found under a lock; a plain cache is quicker.
        self._request = lru_cache(maxsize=1_000)(self._requests.labels)
        self._duration = lru_cache(maxsize=100)(self._seconds.labels)

    def answered(self, path: str, method: str, status: int, seconds: float) -> None:
        """Count an answered request; ``path`` is its route's, not the client's."""
        self._request(path, method, str(status)).inc()
        self._duration(path).observe(seconds)

    def cautioned(self, kind: str, times: int = 1) -> None:
        """Count cautions of a kind."""
        self._warnings.labels(kind).inc(times)

    def priced_together(self, rows: Sequence[object]) -> None:
        """Count a batch's rows, and the cautions of those that have a price."""
        self._batch_rows.observe(len(rows))
        prices = [row for row in rows if isinstance(row, Valuation)]
        for kind, count in Counter(one.kind for row in prices for one in row.cautions).items():
            self.cautioned(kind, count)

    def loaded(self, source: str) -> None:
        """Count a loaded model."""
        self._starts.labels(source).inc()

    def registry_failed(self, _: str) -> None:
        """Count a registry that gave no model."""
        self._registry_failures.inc()

    def exposition(self, keeper: ModelKeeper) -> tuple[bytes, str]:
        """Return all metrics as text, and their media type."""
        from prometheus_client import (
            CONTENT_TYPE_PLAIN_0_0_4,
            CollectorRegistry,
            ProcessCollector,
            generate_latest,
        )
        from prometheus_client.multiprocess import MultiProcessCollector

        shared = os.environ.get(SHARED_FOLDER)
        own = CollectorRegistry()
        own.register(_ModelCollector(keeper))
        text: bytes = generate_latest(own)
        if shared:
            _forget_dead_workers(Path(shared))
            workers = CollectorRegistry()
            MultiProcessCollector(workers)  # type: ignore[no-untyped-call]
            return generate_latest(workers) + text, CONTENT_TYPE_PLAIN_0_0_4
        ProcessCollector(registry=own)
        return generate_latest(self._registry) + generate_latest(own), CONTENT_TYPE_PLAIN_0_0_4


class _ModelCollector:
    """Tells of the served model when asked, so that its ages are those of that moment."""

    def __init__(self, keeper: ModelKeeper) -> None:
        self._keeper = keeper

    def collect(self) -> "Iterator[Metric]":
        from prometheus_client.core import GaugeMetricFamily

        served = self._keeper.served
        loaded = GaugeMetricFamily("carprice_model_loaded", "Whether there is a model to serve")
        loaded.add_metric([], 0.0 if served is None else 1.0)
        yield loaded
        if served is None:
            return
        labels = ["version", "digest", "source"]
        info = GaugeMetricFamily("carprice_model_info", "The served model", labels=labels)
        info.add_metric([served.version, served.model.digest, served.source], 1.0)
        yield info
        now = time.time()
        for name, what, moment in (
            ("loaded", "this process loaded the model", served.loaded.timestamp()),
            ("confirmed", "the registry said that it is in production", served.since.timestamp()),
        ):
            age = GaugeMetricFamily(f"carprice_model_{name}_age_seconds", f"Seconds since {what}")
            age.add_metric([], now - moment)
            yield age


def _share_between_workers() -> None:
    """Name the folder that the workers of one server share, before the library looks for it."""
    if parent_process() is not None and SHARED_FOLDER not in os.environ:
        folder = Path(tempfile.gettempdir()) / f"carprice-metrics-{os.getppid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        os.environ[SHARED_FOLDER] = str(folder)


def _forget_dead_workers(folder: Path) -> None:
    from prometheus_client.multiprocess import mark_process_dead

    if sys.platform == "win32":
        return  # where asking whether a process lives would end it
    for path in folder.glob("gauge_live*_*.db"):
        process = int(path.stem.rpartition("_")[2])
        if not _lives(process):
            mark_process_dead(process)  # type: ignore[no-untyped-call]


def _lives(process: int) -> bool:
    with suppress(PermissionError):
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return False
    return True
