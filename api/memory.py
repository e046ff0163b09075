"""Memory that goes back to the system once a large request is done: glibc keeps it by itself."""

import ctypes
import functools
import gc
import sys
from collections.abc import Callable
from typing import Final

_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_ARENA_MAX: Final = -8
_LARGE_BYTES: Final = 512 * 1024
"""What is mapped by itself; more than what is read of a connection at once, which comes often."""
_KEPT_BYTES: Final = 8 * 1024 * 1024
_ARENAS: Final = 2


def give_back_early() -> None:
    """Have large blocks given back as soon as they are free; does nothing without glibc.

    To be called before there are threads. By itself glibc keeps blocks of up to 32 MB once it was
    asked for some, and that for each thread.
    """
    if set_option := _glibc("mallopt"):
        set_option(_MMAP_THRESHOLD, _LARGE_BYTES)
        set_option(_TRIM_THRESHOLD, _KEPT_BYTES)
        set_option(_ARENA_MAX, _ARENAS)


def give_back() -> None:
    """Give back what is free between blocks that are not; takes some milliseconds."""
    gc.collect()
    if trim := _glibc("malloc_trim"):
        trim(0)


@functools.cache
def _glibc(name: str) -> Callable[..., int] | None:
    """Return a function of the C library, if it is glibc."""
    if not sys.platform.startswith("linux"):
        return None
    found: Callable[..., int] | None = getattr(ctypes.CDLL(None), name, None)
    return found
