"""Work in a process of its own: it may take only so long, and it can fail alone."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any, Final

_PRELOADED: Final = ("carprice.experiments.estimators", "xgboost", "onnxmltools.convert")


class WorkFailed(Exception):  # noqa: N818
    """Work that came to nothing; the text is the reason, in a few words."""


def run_with_time_limit(
    work: Callable[..., Iterable[Any]], arguments: tuple[Any, ...], seconds: float
) -> Generator[Any, None, None]:
    """Yield what ``work`` yields in a process of its own; closing the generator ends the process.

    Work, arguments and what it yields must be picklable.

    Raises
    ------
    WorkFailed
        If the work raises an error, its process dies, or its seconds are over.
    """
    context = _context()
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send_all, args=(sender, work, arguments), daemon=True)
    process.start()
    sender.close()
    deadline = time.monotonic() + seconds
    try:
        while receiver.poll(max(deadline - time.monotonic(), 0)):
            try:
                item = receiver.recv()
            except (EOFError, OSError):
                process.join()
                if process.exitcode:
                    raise WorkFailed(_how_it_ended(process.exitcode)) from None
                return
            if isinstance(item, WorkFailed):
                raise item
            yield item
        raise WorkFailed(f"out of time: over {seconds:g} s")
    finally:
        process.kill()
        process.join()
        process.close()
        receiver.close()


def _context() -> Any:
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(_PRELOADED))
    return context


def _send_all(
    sender: Connection, work: Callable[..., Iterable[Any]], arguments: tuple[Any, ...]
) -> None:
    """Send each item of the work, or why it failed. What libraries print goes nowhere."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    with suppress(BrokenPipeError), sender:
        try:
            for item in work(*arguments):
                sender.send(item)
        except WorkFailed as failure:
            sender.send(failure)
        except Exception as error:  # whatever it is, it is a row of the table
            reason = f"{type(error).__name__}: {str(error).strip()}"
            sender.send(WorkFailed(reason.splitlines()[0][:300]))


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        wait([parent.sentinel])
        os._exit(1)


def _how_it_ended(code: int) -> str:
    if code > 0:
        return f"its process ended with exit code {code}"
    name = signal.Signals(-code).name
    hint = ", as the system does for want of memory" if name == "SIGKILL" else ""
    return f"its process was ended by {name}{hint}"
