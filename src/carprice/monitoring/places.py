"""Where the prediction log and the outcomes are kept."""

import os
from collections.abc import Mapping
from typing import Final

from carprice.settings import MonitorSettings

LOG_VARIABLE: Final = "CARPRICE_PREDICTION_LOG"
OUTCOMES_VARIABLE: Final = "CARPRICE_OUTCOMES"


def log_and_outcomes(
    settings: MonitorSettings,
    log: str | None = None,
    outcomes: str | None = None,
    environment: Mapping[str, str] = os.environ,
) -> tuple[str, str]:
    """Return both places: as they are given, else as the environment says, else params.yaml.

    Outcomes that are named nowhere are beside a log that is a folder. A place that is known
    nowhere is empty.

    Examples
    --------
    >>> log_and_outcomes(MonitorSettings(log="/log"), environment={})
    ('/log', '/log')
    >>> log_and_outcomes(MonitorSettings(log="/log"), "s3://bucket/log", environment={})
    ('s3://bucket/log', '')
    >>> log_and_outcomes(MonitorSettings(), environment={OUTCOMES_VARIABLE: " sqlite:///x.db "})
    ('', 'sqlite:///x.db')
    """
    found = (log or environment.get(LOG_VARIABLE) or settings.log or "").strip()
    named = (outcomes or environment.get(OUTCOMES_VARIABLE) or settings.outcomes or "").strip()
    return found, named or ("" if "://" in found else found)
