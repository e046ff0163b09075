"""Journals: rows, one a line, each in a file that its writer has locked.

Most lines are plain: the values of a JSON array without its brackets, in which no text has a
backslash, and each list is one text (:data:`BETWEEN`). So they are CSV as well, which is read in
one go. The others begin with a tab; the whole array follows.

The lock is the operating system's, which frees that of a killed process: a journal that nobody has
locked is finished, and whoever comes first makes a file of the prediction log of it. Its name is
that of the file, so that to do it twice gives the same file again.
"""

import datetime
import json
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, time
from typing import Final

from carprice.monitoring import records
from carprice.schema import FIELDS, why_not_own

_STEM: Final = r"predictions-[0-9]{8}T[0-9]{6}Z-[0-9a-f]{16}"
LOG_FILE: Final = re.compile(rf"{_STEM}\.parquet")
"""What files of the log are called; they sort by the moment at which they were begun."""
_JOURNAL: Final = re.compile(rf"\.({_STEM})\.(lines|rows|jsonl)")
"""Those of before have other names, so that a former version leaves these alone: ``.rows``, none of
whose lines is plain, and ``.jsonl``, whose lines are objects."""
BETWEEN: Final = "\x7f"
"""Stands before each name of a list that is written as one text; JSON does not escape it."""
_BEGUN: Final = re.compile(rf"\.{_STEM}\.(new|parquet\.part)")
_OWN: Final = "own"
_COLUMNS: Final = "columns"
_FORGOTTEN_SECONDS: Final = 3600.0


def stamp(moment: datetime.datetime) -> str:
    """Return a moment as the names of files have it."""
    return moment.astimezone(datetime.UTC).strftime("%Y%m%dT%H%M%SZ")


def columns_of(own: Iterable[str]) -> tuple[str, ...]:
    """Return the columns of a line, in their order, where a market has these own ones."""
    return (*records.LINE, *FIELDS, *own)


class Journal:
    """A journal that this process writes.

    Parameters
    ----------
    folder : where it lies; made, for this user alone, if it is not there.
    own : the market's own columns of its rows; the first line names all columns.

    Attributes
    ----------
    rows, size : how many rows, and how many bytes in all, were written.
    begun : by the monotonic clock.

    Raises
    ------
    OSError
        If it cannot be written; nothing is left of it.
    """

    def __init__(self, folder: Path, own: tuple[str, ...] = ()) -> None:
        import fcntl

        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        now = stamp(datetime.datetime.now(datetime.UTC))
        stem = f".predictions-{now}-{secrets.token_hex(8)}"
        self.path = folder / f"{stem}.lines"
        self.own = own
        self.rows = self.size = 0
        self.begun = monotonic()
        made = folder / f"{stem}.new"
        self._file = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            head = {_OWN: own, _COLUMNS: columns_of(own)}
            self.append(json.dumps(head).encode() + b"\n", 0)
            made.rename(self.path)  # locked before anybody sees it
        except OSError:
            self.close()
            with suppress(OSError):
                made.unlink()
            raise

    def append(self, lines: bytes, rows: int) -> None:
        """Write whole lines; :class:`OSError` if that cannot be, and then none of them is there."""
        rest = memoryview(lines)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._file, self.size)
            raise
        self.size += len(lines)
        self.rows += rows

    def is_there(self) -> bool:
        """Whether its file is still where it was."""
        try:
            return os.path.samestat(self.path.stat(), os.fstat(self._file))
        except OSError:
            return False

    def close(self) -> None:
        """Let others have it."""
        os.close(self._file)


@contextmanager
def claimed(path: Path) -> Iterator[bool]:
    """Lock a file while the block lasts; gives whether it is there and nobody else has it."""
    import fcntl

    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        yield False
        return
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_ours = os.path.samestat(path.stat(), os.fstat(file))
        except (BlockingIOError, FileNotFoundError):
            is_ours = False
        yield is_ours
    finally:
        os.close(file)


def journals(folder: Path) -> dict[Path, str]:
    """Return the journals of a folder, whoever has them, each with the name of its file."""
    found = {path: _JOURNAL.fullmatch(path.name) for path in sorted(folder.glob(".predictions-*"))}
    return {path: f"{match[1]}.parquet" for path, match in found.items() if match}


def forget_begun(folder: Path) -> None:
    """Delete what was begun more than an hour ago, and never got its name."""
    for path in folder.glob(".predictions-*"):
        if _BEGUN.fullmatch(path.name):
            with suppress(OSError):
                if path.stat().st_mtime < time() - _FORGOTTEN_SECONDS:
                    path.unlink()


@dataclass(frozen=True)
class Found:
    """What is in a journal.

    Attributes
    ----------
    own : the market's own columns.
    columns : those of a line, in their order.
    content : the whole lines after the first, each with its end.
    is_torn : whether the last one is not.
    """

    own: tuple[str, ...]
    columns: tuple[str, ...]
    content: bytes
    is_torn: bool


def read_journal(path: Path) -> Found:
    """Return what is in a journal; where its first line cannot be read, the usual columns."""
    with path.open("rb") as file:
        head, rest = file.readline(), file.read()
    end = rest.rfind(b"\n") + 1
    try:
        told = json.loads(head)
        own = tuple(name for name in told[_OWN] if not why_not_own(name, of_before=True))
        columns = (*map(str, told.get(_COLUMNS, columns_of(own))),)
    except (ValueError, KeyError, TypeError, AttributeError):
        own, columns = (), columns_of(())
    return Found(own, columns, rest[:end], end < len(rest))
