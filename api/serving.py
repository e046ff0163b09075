"""The production model in memory: pulled from the registry in the background, then served."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from api.settings import ServiceSettings
from carprice.errors import CarpriceError
from carprice.model import PriceModel
from carprice.registry import Registry, production_version

logger = logging.getLogger("uvicorn.error")
_FIRST_WAIT_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 30.0


@dataclass(frozen=True)
class ServedModel:
    """A loaded model and its version in the registry."""

    model: PriceModel
    version: str


def load_production(settings: ServiceSettings) -> ServedModel:
    """Pull the production model from the registry and load it.

    Raises
    ------
    CarpriceError
        If there is none, it cannot be had, or its bytes are wrong.
    """
    registry = Registry(settings.tracking_uri, settings.model_name)
    version = production_version(registry)
    folder = registry.fetch(version, settings.model_cache)
    return ServedModel(PriceModel.load(folder), str(version.number))


class ModelKeeper:
    """Holds the served model, or the reason why there is none yet."""

    def __init__(self, load: Callable[[], ServedModel]) -> None:
        self._load = load
        self.served: ServedModel | None = None
        self.problem = "the production model is being loaded"

    async def keep_trying(self) -> None:
        """Load the model, and try again with growing pauses until that succeeds."""
        wait = _FIRST_WAIT_SECONDS
        while self.served is None:
            try:
                self.served = await asyncio.to_thread(self._load)
            except CarpriceError as error:
                self.problem = str(error)
                logger.warning("No model to serve yet: %s", error)
                await asyncio.sleep(wait)
                wait = min(2 * wait, _LONGEST_WAIT_SECONDS)
