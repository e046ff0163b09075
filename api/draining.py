"""SIGTERM: not ready at once, answer on while load balancers notice, then stop with exit code 0.

Uvicorn by itself closes its socket at once, so that requests on their way are refused.
"""

import asyncio
import signal
import threading
import time
from types import FrameType

_LONGEST_SECONDS = 15.0
_QUIET_SECONDS = 1.0
_SAME_SECONDS = 1.0


class Drain:
    """Whether the service is about to stop.

    Attributes
    ----------
    begun : not ready any more; each answer tells its client to close the connection.
    last_request : event loop time at which the last request came.
    """

    def __init__(self, seconds: float) -> None:
        self.begun = False
        self.last_request = 0.0
        self._seconds = seconds
        self._told = 0.0
        self._server_handler: object = None
        self._task: asyncio.Task[None] | None = None

    def watch(self) -> None:
        """Take SIGTERM over from the server that runs this event loop."""
        if threading.current_thread() is not threading.main_thread():
            return  # only the main thread gets signals; a test's client runs in another one
        loop = asyncio.get_running_loop()
        handler = signal.getsignal(signal.SIGTERM)
        if not callable(handler):
            return

        def on_term(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
            if self.begun:
                # A worker may be told by its parent and by who told that, which is one request.
                if time.monotonic() > self._told + _SAME_SECONDS:
                    self._stop()
                return
            self.begun, self._told = True, time.monotonic()
            loop.call_soon_threadsafe(self._begin)

        self._server_handler = handler
        signal.signal(signal.SIGTERM, on_term)

    def _begin(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._finish())

    async def _finish(self) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await asyncio.sleep(self._seconds)
        latest = begun + max(self._seconds, _LONGEST_SECONDS)
        while loop.time() < min(self.last_request + _QUIET_SECONDS, latest):
            await asyncio.sleep(0.05)
        self._stop()

    def _stop(self) -> None:
        """Hand SIGTERM to the server, which finishes what is in flight and ends."""
        if callable(self._server_handler):
            signal.signal(signal.SIGTERM, self._server_handler)
            self._server_handler(signal.SIGTERM, None)
