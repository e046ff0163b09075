"""Figures of the last run of ``carprice monitor``, for ``/metrics``."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from carprice.errors import InputError
from carprice.monitoring.checks import Level
from carprice.monitoring.last_run import ERRORS, MARKET, OBSERVED, LastRun, read_last_run

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

logger = logging.getLogger("carprice.service")


class LastRunFile:
    """The ``monitoring.json`` of a place, read again when it changed. Prometheus collects from it.

    Parameters
    ----------
    path : none where nothing is to be told.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._signature: tuple[int, int, int] | None = None
        self._found: LastRun | None = None
        self._told = ""

    def last(self) -> LastRun | None:
        """Return what the last run found; what cannot be read is none, and told once."""
        if self._path is None:
            return None
        signature = _signature(self._path)
        if signature is not None and signature == self._signature:
            return self._found
        self._signature, self._found = signature, None
        try:
            self._found, self._told = read_last_run(self._path), ""
        except InputError as error:
            if str(error) != self._told:
                self._told = str(error)
                logger.warning("/metrics tells nothing of carprice monitor: %s", error)
        return self._found

    def collect(self) -> "Iterator[Metric]":
        """Yield the figures, as Prometheus takes them; none where no place is named."""
        from prometheus_client.core import GaugeMetricFamily

        if self._path is None:
            return
        last = self.last()
        what = "Whether the last run of carprice monitor could be read"
        yield GaugeMetricFamily("carprice_monitoring_readable", what, float(last is not None))
        if last is None:
            return
        what = "Verdict of carprice monitor: 0 fine, 3 look, 4 retrain"
        yield GaugeMetricFamily("carprice_monitoring_verdict", what, Level[last.level.upper()])
        what = "When carprice monitor found it, seconds since 1970"
        yield GaugeMetricFamily(
            "carprice_monitoring_timestamp_seconds", what, last.made.timestamp()
        )
        for name, told in ERRORS.items():
            metric = f"carprice_monitoring_{name}_percent"
            family = GaugeMetricFamily(metric, told, labels=["of"])
            for of in OBSERVED:
                if (value := last.figures.get(of, {}).get(name)) is not None:
                    family.add_metric([of], value)
            yield family
        for name, told in MARKET.items():
            if (value := last.figures.get("market", {}).get(name)) is not None:
                yield GaugeMetricFamily(f"carprice_monitoring_market_{name}_percent", told, value)


def _signature(path: Path) -> tuple[int, int, int] | None:
    """Return what tells a file from one that takes its place; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
