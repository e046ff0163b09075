"""Ends what a test run has started and left behind, however the run itself ended.

pytest starts this program, and holds its standard input open as long as it lives. The environment
variable that :func:`start` sets is inherited by every process that the run starts, and so tells
them from all others.
"""

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

import psutil

PATIENCE = 30.0


def start() -> "subprocess.Popen[bytes]":
    """Start the watchdog of this process. It does its work when its standard input is closed."""
    mark = f"TEST_RUN_{secrets.token_hex(8)}"
    command = [sys.executable, __file__, mark]
    watchdog = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    os.environ[mark] = "running"
    return watchdog


def marked(mark: str) -> Iterator[psutil.Process]:
    """Yield the processes with this environment variable, and all their descendants."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if mark in process.environ():
                yield process
                yield from process.children(recursive=True)


def main() -> None:
    """Wait for the end of the test run, then kill what it left until nothing is left."""
    sys.stdin.buffer.read()
    deadline = time.monotonic() + PATIENCE
    while (left := [*marked(sys.argv[1])]) and time.monotonic() < deadline:
        for process in left:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(left, timeout=1)


if __name__ == "__main__":
    main()
