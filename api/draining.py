"""SIGTERM: not ready at once, answer on while load balancers notice, then stop with exit code 0.

Uvicorn by itself closes its socket at once, so that requests on their way are refused. Whatever
hangs then, a thread or a client, the process ends in time: who stops it would kill it 5 s later.
"""

import asyncio
import logging
import os
import signal
import threading
import time
from concurrent.futures import Future

logger = logging.getLogger("carprice.service")
_LONGEST_SECONDS = 15.0
_LAST_SECONDS = 24.0
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
        self._finishing: Future[None] | None = None

    def watch(self) -> None:
        """Hold SIGTERM back from the server that runs this event loop, until the drain is over."""
        if threading.current_thread() is not threading.main_thread():
            return  # only the main thread gets signals; a test's client runs in another one
        loop = asyncio.get_running_loop()

        def stop() -> None:
            """Let SIGTERM reach the server, which finishes what is in flight and ends."""
            signal.signal(signal.SIGTERM, before)
            signal.raise_signal(signal.SIGTERM)

        async def finish() -> None:
            latest = loop.time() + max(self._seconds, _LONGEST_SECONDS)
            quiet = min(_QUIET_SECONDS, self._seconds)  # who wants no delay gets none
            await asyncio.sleep(self._seconds)
            while loop.time() < min(self.last_request + quiet, latest):
                await asyncio.sleep(0.05)
            stop()

        def on_term(*_: object) -> None:
            if not self.begun:
                self.begun, self._told = True, time.monotonic()
                last = threading.Timer(_LAST_SECONDS, _end_at_once)
                last.daemon = True
                last.start()
                self._finishing = asyncio.run_coroutine_threadsafe(finish(), loop)
            elif time.monotonic() > self._told + _SAME_SECONDS:
                # A worker may be told by its parent and by who told that, which is one request.
                stop()

        before = signal.signal(signal.SIGTERM, on_term)


def _end_at_once() -> None:
    """End the process, though something hangs; its log may be what hangs."""
    told = f"ended {_LAST_SECONDS:g} s after SIGTERM although something was still busy"
    threading.Thread(target=logger.warning, args=(told,), daemon=True).start()
    time.sleep(0.2)
    os._exit(0)
