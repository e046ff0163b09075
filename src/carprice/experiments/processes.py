"""Whether the process that began something is still there to end it."""

import platform
from typing import Final

_SAME_SECONDS: Final = 2.0


def this_process() -> str:
    """Return a text that names this process: host, number and when it began."""
    import psutil

    own = psutil.Process()
    return f"{platform.node()}/{own.pid}/{own.create_time():.0f}"


def is_alive(name: str) -> bool | None:
    """Tell whether the process is running; None if that is another host's.

    Examples
    --------
    >>> is_alive(this_process()), is_alive("elsewhere/1/0")
    (True, None)
    """
    import psutil

    host, _, rest = name.rpartition("/")[0].rpartition("/")
    began = name.rpartition("/")[2]
    if host != platform.node() or not (rest.isdigit() and began.isdigit()):
        return None
    try:
        return bool(abs(psutil.Process(int(rest)).create_time() - float(began)) < _SAME_SECONDS)
    except psutil.Error:
        return False
