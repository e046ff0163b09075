"""Memory that goes back to the system once a large request is done: glibc keeps it by itself."""

import ctypes
import sys
from typing import Final

_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_ARENA_MAX: Final = -8
_LARGE_BYTES: Final = 512 * 1024
_ARENAS: Final = 2


def give_back_early() -> None:
    """Give large blocks back as soon as they are free; does nothing without glibc.

    To be called before there are threads. By itself glibc lets the size of a block that it keeps
    grow up to 32 MB, and each thread keep its own.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    for option, value in (
        (_MMAP_THRESHOLD, _LARGE_BYTES),
        (_TRIM_THRESHOLD, _LARGE_BYTES),
        (_ARENA_MAX, _ARENAS),
    ):
        set_option(option, value)
