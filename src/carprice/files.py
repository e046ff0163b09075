"""Outputs that are written aside and then put in place, so that none is ever half written.

What the disk refuses is a :class:`~carprice.errors.RefusedError` of one line.
"""

import errno
import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from carprice.errors import InputError, RefusedError

_NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NO_LEAVE: Final = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EIO}
)
_BEGIN_FORMULAS: Final = frozenset("=+-@\t\r\n＝＋－＠")
_NUMBER: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_TOLD: Final = re.compile(r"\[Errno (\d+)\](?:[^:\[\]]*: '([^']+)'(?: -> '([^']+)')?)?")


@contextmanager
def writing(target: Path) -> Iterator[Path]:
    """Give a path beside ``target`` that takes its place when the block succeeds."""
    _refuse_folder(target)
    with _scratch(target) as scratch:
        written = scratch / target.name
        yield written
        written.replace(target)


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give a new folder beside ``target`` that takes its place when the block succeeds."""
    with _scratch(target) as scratch:
        written = scratch / "new"
        written.mkdir()
        yield written
        is_there = target.exists()
        if is_there:
            target.rename(scratch / "old")
        try:
            written.rename(target)
        except OSError:
            if is_there:
                (scratch / "old").rename(target)
            raise


@contextmanager
def _scratch(target: Path) -> Iterator[Path]:
    """Give a folder beside ``target``; folders made for it go again if they stay empty."""
    made = [folder for folder in target.parents if not os.path.lexists(folder)]
    scratch = str(target.parent)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as scratch:
            yield Path(scratch)
    except OSError as error:
        if not is_refusal(error, Path(scratch)):
            raise
        raise RefusedError(f"{target} cannot be written: {told(error)}") from None
    finally:
        for folder in made:
            with suppress(OSError):
                folder.rmdir()


def write_text(target: Path, text: str) -> None:
    """Write a text file in one step."""
    with writing(target) as path:
        path.write_text(text, encoding="utf-8", newline="\n")


def write_json(target: Path, content: Any) -> None:
    """Write a JSON file in one step."""
    write_text(target, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def harmless(cell: str) -> str:
    """Return a cell of a CSV file of which no spreadsheet takes it for a formula.

    An apostrophe stands before it if it begins like one and is no plain number.

    Examples
    --------
    >>> [harmless(cell) for cell in ("Creta", "-12.5", "=1+1", "-1+1", "@SUM(A1)")]
    ['Creta', '-12.5', "'=1+1", "'-1+1", "'@SUM(A1)"]
    """
    if cell[:1] in _BEGIN_FORMULAS and cell and not _NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell


def check_writable(*targets: Path, is_folder: bool = False) -> None:
    """Find out before any work that files, or folders, cannot be written.

    Raises
    ------
    InputError
        If a folder stands where a file is to be written.
    RefusedError
        If the disk is full or does not let this user write there.
    """
    for target in targets:
        if not is_folder:
            _refuse_folder(target)
        with _scratch(target) as scratch:
            (scratch / "probe").write_bytes(b"-")


def _refuse_folder(target: Path) -> None:
    if target.is_dir():
        raise InputError(f"{target} is a folder; name a file in it, or another")


def is_refusal(error: OSError, folder: Path | None = None) -> bool:
    """Whether an error is the disk's: it is full, or does not let this user write in a folder."""
    if error.errno in _NO_SPACE:
        return True
    place = error.filename2 or error.filename
    is_there = folder is None or not isinstance(place, str) or Path(place).is_relative_to(folder)
    return error.errno in _NO_LEAVE and is_there


def refusal_in(error: BaseException | None) -> OSError | None:
    """Return the disk's refusal that an error is, was raised for or tells in its text.

    Of a copy its file name is the new one.

    Examples
    --------
    >>> refusal_in(ValueError("a failed: [Errno 28] No space left on device: 'a' -> 'b'")).filename
    'b'
    >>> refusal_in(ValueError("[Errno 111] Connection refused"))
    """
    while error is not None:
        signs = [(int(one), source, target) for one, source, target in _TOLD.findall(str(error))]
        if isinstance(error, OSError):
            signs.insert(0, (error.errno or 0, error.filename, error.filename2))
        for number, source, target in signs:
            if is_refusal(found := OSError(number, os.strerror(number), target or source or None)):
                return found
        error = error.__cause__ or error.__context__
    return None


def told(error: OSError) -> str:
    """Return why the disk refused, and what to do."""
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        return "a part of its path is a file; choose another folder"
    reason = os.strerror(error.errno or 0).lower()
    if error.errno == errno.EFBIG:
        return f"{reason}; raise the limit of a file's size (ulimit -f)"
    if error.errno in _NO_SPACE:
        return f"{reason}; free some space, or choose another folder"
    return f"{reason}; let this user write there, or choose another folder"
