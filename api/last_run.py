"""Figures of the last run of ``carprice monitor``, for ``/metrics``."""

import asyncio
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from api.production import in_thread
from carprice.errors import InputError
from carprice.monitoring.checks import Level
from carprice.monitoring.last_run import ERRORS, MARKET, OBSERVED, LastRun, read_last_run
from carprice.monitoring.s3 import S3
from carprice.redaction import hide_secrets

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

logger = logging.getLogger("carprice.service")
_MOMENT_SECONDS: Final = 0.5
_S3_SECONDS: Final = 60.0
_HANGS_SECONDS: Final = 30.0
"""More than S3 may take until a read fails."""


class LastRunFile:
    """The ``monitoring.json`` of a place, read again when it changed. Prometheus collects from it.

    It is read in a thread, for its disk, or S3, may hang. One in S3 is read once a minute at most;
    while a read is under way, or fails as S3 does not answer, what was read last is told.

    Parameters
    ----------
    place : a file, or ``s3://bucket/folder/name``; empty where nothing is to be told.
    """

    def __init__(self, place: str) -> None:
        self._place = place
        self._signature: tuple[int, int, int] | None = None
        self._next_at = self._begun_at = 0.0
        self._found: LastRun | None = None
        self._told = ""
        self._reading: asyncio.Future[None] | None = None

    async def refresh(self) -> None:
        """Have the file read, once at a time; whoever asks waits a moment for it at most."""
        if not self._place:
            return
        if self._reading is None or self._reading.done():
            self._begun_at = time.monotonic()
            self._reading = asyncio.ensure_future(in_thread("monitoring", self._read))
        await asyncio.wait({self._reading}, timeout=_MOMENT_SECONDS)
        if self._reading.done() and (error := self._reading.exception()):
            logger.warning("monitoring.json could not be read: %s", error)

    def _read(self) -> None:
        """Read what the last run found, if it may have changed; what is wrong is told once."""
        signature = None
        if self._place.startswith(S3):
            if time.monotonic() < self._next_at:
                return
        else:
            signature = _signature(Path(self._place))
            if signature is not None and signature == self._signature:
                return
        try:
            self._found, self._told = read_last_run(self._place), ""
        except InputError as error:
            self._found = None
            self._tell(str(error))
        except Exception as error:
            self._tell(f"{self._place} cannot be read now ({hide_secrets(str(error))})")
        finally:
            self._signature, self._next_at = signature, time.monotonic() + _S3_SECONDS

    def _tell(self, problem: str) -> None:
        if problem != self._told:
            self._told = problem
            logger.warning("/metrics tells nothing new of carprice monitor: %s", problem)

    def collect(self) -> "Iterator[Metric]":
        """Yield the figures that were read last; none where no place is named."""
        from prometheus_client.core import GaugeMetricFamily

        if not self._place:
            return
        last, is_under_way = self._found, self._reading is not None and not self._reading.done()
        hangs = is_under_way and time.monotonic() - self._begun_at > _HANGS_SECONDS
        what = "Whether the last run of carprice monitor could be read"
        readable = float(last is not None and not self._told and not hangs)
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
