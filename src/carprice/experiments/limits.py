"""Work in a process of its own, with a limit of time and of memory; it can fail alone.

The resident memory is watched from outside. A limit that the system enforces (``RLIMIT_AS``) counts
what threads and libraries reserve and never touch, gigabytes of it, and does not exist everywhere.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Final

_LOOK_SECONDS: Final = 0.05
_LIBRARIES: Final = (
    "carprice.experiments.fitting",
    "carprice.model.hedonic_fit",
    "sklearn.compose",
    "sklearn.pipeline",
    "xgboost",
    "onnxmltools.convert",
)


@dataclass(frozen=True)
class Limits:
    """The longest time that a process may run, and the most memory that it may hold."""

    seconds: float
    megabytes: float


@dataclass(frozen=True)
class Step:
    """One thing that the work came to, and the most memory that it held until then."""

    content: Any
    megabytes: float


class Failed(Exception):  # noqa: N818
    """Work that came to nothing; its text is the reason, in a few words."""

    def __init__(self, reason: str, megabytes: float) -> None:
        super().__init__(reason)
        self.megabytes = megabytes


def run_limited(
    work: Callable[..., Iterable[Any]], arguments: tuple[Any, ...], limits: Limits
) -> Generator[Step, None, None]:
    """Go through an iterable that is made in a process of its own.

    Closing the generator ends the process.

    Parameters
    ----------
    work : a function of a module; it, its arguments and what it yields must be picklable.

    Raises
    ------
    Failed
        If the work fails, dies, or goes over a limit.
    """
    context = _context()
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(sender, work, arguments), daemon=True)
    process.start()
    sender.close()
    deadline = time.monotonic() + limits.seconds
    peak = 0.0
    try:
        while True:
            has_news = receiver.poll(_LOOK_SECONDS)
            peak = max(peak, _resident_megabytes(process.pid))
            if has_news:
                try:
                    kind, content = receiver.recv()
                except (EOFError, OSError):
                    process.join()
                    raise Failed(_how_it_ended(process.exitcode), peak) from None
                if kind == "end":
                    return
                if kind == "failed":
                    raise Failed(content, peak)
                yield Step(content, peak)
            if peak > limits.megabytes:
                raise Failed(f"out of memory: over {limits.megabytes:,.0f} MB", peak)
            if time.monotonic() > deadline:
                raise Failed(f"out of time: over {limits.seconds:g} s", peak)
    finally:
        process.kill()
        process.join()
        process.close()
        receiver.close()


def _context() -> Any:
    # Threads that wait for work spin by default, which makes a fit beside other work many times
    # slower. Read when a library of the process is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(_LIBRARIES))
    return context


def _work(
    sender: Connection, work: Callable[..., Iterable[Any]], arguments: tuple[Any, ...]
) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    _say_nothing()
    with suppress(BrokenPipeError):
        try:
            for content in work(*arguments):
                sender.send(("item", content))
            sender.send(("end", None))
        except Failed as failure:
            sender.send(("failed", str(failure)))
        except MemoryError:
            sender.send(("failed", "out of memory"))
        except Exception as error:  # whatever it is, it is a row of the table
            first = (str(error).strip().splitlines() or [""])[0]
            sender.send(("failed", f"{type(error).__name__}: {first}"[:300]))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _say_nothing() -> None:
    """Send what libraries print, and their warnings, nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)


def _resident_megabytes(process: int | None) -> float:
    import psutil

    try:
        return float(psutil.Process(process).memory_info().rss) / 1e6
    except psutil.Error:
        return 0.0


def _how_it_ended(code: int | None) -> str:
    if code == -signal.SIGTERM or (code is not None and code < 0):
        name = signal.Signals(-code).name
        hint = ", as the system does for want of memory" if name == "SIGKILL" else ""
        return f"its process was ended by {name}{hint}"
    return f"its process ended with exit code {code}"
