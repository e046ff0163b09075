"""Entry point of servers: ``uvicorn api.main:app``."""

import gc
import logging.config

from api.app import create_app
from api.logs import CONFIGURATION
from api.memory import give_back_early

give_back_early()
logging.config.dictConfig(CONFIGURATION)
app = create_app()
# What is there now stays; to go through it once more and again would hold requests up.
gc.freeze()
gc.enable()
