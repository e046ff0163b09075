"""What one process of a service tells the others of its machine: that the registry changed.

A webhook reaches one process. It writes a small file beside the cached models, and all that have
that cache look at it every second.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Final

from api.production import in_thread
from carprice.errors import CarpriceError
from carprice.files import write_text

logger = logging.getLogger("carprice.service")
_FILE: Final = ".registry-changed"
_LOOK_SECONDS: Final = 1.0
_WRITE_SECONDS: Final = 2.0


class Siblings:
    """The processes that have one model cache.

    Parameters
    ----------
    cache : folder of the cached models.
    hear : called where another process told of a change.
    """

    def __init__(self, cache: Path, hear: Callable[[], object]) -> None:
        self._file = cache / _FILE
        self._hear = hear
        self._name = uuid.uuid4().hex
        self._known = self._state()

    async def tell(self) -> None:
        """Tell the others; where that cannot be, they learn of it by asking now and then."""
        try:
            async with asyncio.timeout(_WRITE_SECONDS):
                await in_thread("siblings", self._write)
        except (OSError, CarpriceError, RuntimeError) as error:  # RuntimeError: no more threads
            told = str(error) or f"the disk has not answered for {_WRITE_SECONDS:g} s"
            logger.warning("Other processes are not told of the registry's change: %s", told)

    async def run(self) -> None:
        """Listen; cancel it to stop."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                state = await in_thread("siblings", self._state)
            except RuntimeError:  # the system starts no more threads
                continue
            if state in ("", self._known):
                continue
            self._known = state
            if not state.startswith(self._name):
                logger.info("Another process was told of a change of the registry; it is asked")
                self._hear()

    def _write(self) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        write_text(self._file, f"{self._name} {time.time_ns()}\n")

    def _state(self) -> str:
        """Return what was written last; empty where nothing was, or it cannot be read."""
        try:
            return self._file.read_text(encoding="utf-8")
        except (OSError, ValueError):
            return ""
