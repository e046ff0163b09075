"""One command at a time in a working folder: two that write there would mix their files."""

import contextlib
import datetime
import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout

from carprice.errors import RefusedError

_VARIABLE: Final = "CARPRICE_LOCK"
_SECONDS: Final = 0.2  # for one that ends just now


@contextlib.contextmanager
def only_command(folder: Path, command: str, now: datetime.datetime) -> Iterator[None]:
    """Hold the lock of a working folder until the block ends.

    The lock is the operating system's, which frees that of a killed process; the file beside it
    tells who has it. Commands that this one starts in the folder, as stages by DVC, find its token
    in their environment, and take a lock of their own: they may outlive it.

    Raises
    ------
    RefusedError
        If another command works in the folder, or the folder cannot be written to.
    """
    outer, inner = (folder / ".carprice" / name for name in ("command.lock", "stage.lock"))
    given, token = os.environ.get(_VARIABLE, ""), secrets.token_hex(8)
    holder = {
        "process": os.getpid(),
        "command": command,
        "since": now.astimezone(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        "token": token,
    }
    if given == _holder(outer).get("token"):
        with _held(inner, folder, holder):
            yield
        return
    with _held(outer, folder, holder):
        with _held(inner, folder, holder):
            pass  # no stage goes on whose command was killed
        os.environ[_VARIABLE] = token
        try:
            yield
        finally:
            os.environ[_VARIABLE] = given


@contextlib.contextmanager
def _held(path: Path, folder: Path, holder: Mapping[str, Any]) -> Iterator[None]:
    """Hold one lock; at the end nothing is left of it."""
    lock, note = FileLock(path), _note(path)
    with contextlib.ExitStack() as stack:
        try:
            for made in [one for one in path.parents if not one.exists()][::-1]:
                made.mkdir(exist_ok=True)
                stack.callback(_suppressed, made.rmdir)  # unless something was written there
            lock.acquire(timeout=_SECONDS)
        except Timeout:
            raise RefusedError(_in_use(folder, _holder(path))) from None
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            place = f"{error.filename}, " if error.filename else ""
            raise RefusedError(
                f"the working folder {folder} cannot be written: {place}{reason}; let this user "
                "write there, or choose another folder"
            ) from None
        stack.callback(lock.release)
        # Deleted while it is held: filelock refuses a lock of a file that is gone.
        for file in (path, note):
            stack.callback(_suppressed, file.unlink)
        with contextlib.suppress(OSError):
            note.write_text(json.dumps(holder), encoding="utf-8")
        yield


def _note(path: Path) -> Path:
    return path.with_suffix(".json")


def _holder(path: Path) -> dict[str, Any]:
    """Return what the holder of a lock wrote about itself; nothing where that cannot be read."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        return dict(json.loads(_note(path).read_text(encoding="utf-8")))
    return {}


def _in_use(folder: Path, holder: Mapping[str, Any]) -> str:
    who = "another carprice command"
    if {"process", "command", "since"} <= {*holder}:
        who = f"`{holder['command']}` (process {holder['process']}, since {holder['since']})"
    return f"{who} is working in {folder.resolve()}; wait until it ends, or use another folder"


def _suppressed(delete: Callable[[], object]) -> None:
    with contextlib.suppress(OSError):  # Windows deletes no file that is open
        delete()
