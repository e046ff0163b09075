"""Figures of the last run of ``carprice monitor``, for ``/metrics``."""

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from api.production import in_thread
from carprice.errors import InputError
from carprice.monitoring.checks import Level
from carprice.monitoring.last_run import ERRORS, MARKET, OBSERVED, LastRun, read_last_run

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

logger = logging.getLogger("carprice.service")
_MOMENT_SECONDS: Final = 0.5


class LastRunFile:
    """The ``monitoring.json`` of a place, read again when it changed. Prometheus collects from it.

    It is read in a thread, for its disk may hang.

    Parameters
    ----------
    path : none where nothing is to be told.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._signature: tuple[int, int, int] | None = None
        self._found: LastRun | None = None
        self._told = ""
        self._reading: asyncio.Future[None] | None = None

    async def refresh(self) -> None:
        """Have the file read, once at a time; whoever asks waits a moment for it at most."""
        if self._path is None:
            return
        if self._reading is None or self._reading.done():
            self._reading = asyncio.ensure_future(in_thread("monitoring", self._read))
        await asyncio.wait({self._reading}, timeout=_MOMENT_SECONDS)
        if self._reading.done() and (error := self._reading.exception()):
            logger.warning("monitoring.json could not be read: %s", error)

    def _read(self) -> None:
        """Read what the last run found; what cannot be read is none, and told once."""
        if self._path is None:
            return
        signature = _signature(self._path)
        if signature is not None and signature == self._signature:
            return
        found = None
        try:
            found, self._told = read_last_run(self._path), ""
        except InputError as error:
            if str(error) != self._told:
                self._told = str(error)
                logger.warning("/metrics tells nothing of carprice monitor: %s", error)
        self._signature, self._found = signature, found

    def collect(self) -> "Iterator[Metric]":
        """Yield the figures that were read last; none where no place is named."""
        from prometheus_client.core import GaugeMetricFamily

        if self._path is None:
            return
        last, is_read = self._found, self._reading is not None and self._reading.done()
        what = "Whether the last run of carprice monitor could be read"
        readable = float(is_read and last is not None)
        yield GaugeMetricFamily("carprice_monitoring_readable", what, readable)
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
