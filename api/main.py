"""Entry point of servers: ``uvicorn api.main:app``."""

from api import logs
from api.app import create_app

logs.configure()
app = create_app()
