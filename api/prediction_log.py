"""The prediction log of the service, as its settings say, and who counts for it."""

from typing import Final

from api.counters import Metrics
from api.service_settings import ServiceSettings
from carprice.monitoring.log_settings import LogSettings, fields_of
from carprice.monitoring.prediction_log import PredictionLog

_SPOOL: Final = "prediction-log"


def log_of(settings: ServiceSettings, metrics: Metrics) -> PredictionLog | None:
    """Return the log that the settings ask for, which has not begun; None where it is off."""
    if not settings.prediction_log:
        return None
    log = PredictionLog(
        LogSettings(
            location=settings.prediction_log,
            spool=settings.prediction_log_spool or settings.model_cache.parent / _SPOOL,
            share=settings.prediction_log_share,
            without=fields_of(settings.prediction_log_without),
            days=settings.prediction_log_days,
            seconds=settings.prediction_log_seconds,
            bytes=settings.prediction_log_bytes,
            spool_bytes=settings.prediction_log_spool_bytes,
        )
    )
    log.on_dropped = metrics.rows_dropped
    log.on_written = metrics.rows_written
    log.on_waiting = metrics.rows_waiting
    log.on_unsent = metrics.log_unsent
    log.on_file = metrics.log_file_kept
    return log
