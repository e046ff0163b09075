"""Entry point of servers: ``uvicorn api.main:app``."""

import gc

from api import logs
from api.app import create_app

logs.configure()
app = create_app()
# What is there now stays; to go through it once more and again would hold requests up.
gc.freeze()
gc.enable()
