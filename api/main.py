"""Entry point of servers: ``uvicorn api.main:app``."""

import faulthandler
import gc
import logging.config
from contextlib import suppress
from multiprocessing import parent_process

from fastapi import FastAPI

from api.app import create_app
from api.logs import CONFIGURATION
from api.memory import give_back_early
from api.workers import CANNOT_START
from carprice.errors import CarpriceError

give_back_early()
logging.config.dictConfig(CONFIGURATION)
logging.captureWarnings(capture=True)
with suppress(RuntimeError):  # where standard error is closed
    faulthandler.enable()  # a process that a signal such as SIGBUS ends tells where it was


def _created() -> FastAPI:
    """Return the app; a worker that settings keep from starting tells why, and others not to try.

    One that is no worker lets the error through to whoever started it.
    """
    try:
        return create_app()
    except Exception as error:
        if parent_process() is None:
            raise
        logger = logging.getLogger("carprice.service")
        if isinstance(error, CarpriceError):
            logger.critical("The service cannot start: %s", error)
            raise SystemExit(CANNOT_START) from None
        logger.critical("This worker cannot start", exc_info=True)
        raise SystemExit(1) from None


app = _created()
# What is there now stays; to go through it once more and again would hold requests up.
gc.freeze()
gc.enable()
