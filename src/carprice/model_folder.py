"""The model folder: plain files named and signed by ``model.json``; no pickle anywhere.

``model.json`` holds the format version, the SHA-256 of every other file, the description of the
model, and a checksum of all that, so that a change of its own is found too. Its SHA-256 is the
folder's digest: the bytes that were tested are the bytes promoted.

A folder may come from anywhere. It is read once, and what was checked is what is loaded.
"""

import hashlib
import json
import os
import re
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from carprice.errors import CarpriceError, CorruptModelError, InputError
from carprice.files import replacing

FORMAT_VERSION: Final = 1
MANIFEST: Final = "model.json"
PARTS: Final = (
    *("hedonic.json", "defaults.json", "encoder.json", "ranges.json"),
    *("booster.onnx", "scale.onnx"),
)
"""Files that every model has beside :data:`MANIFEST`."""
MORE_PARTS: Final = (
    *("correction.json", "held_out.json", "learned.bin", "listings.bin", "listings.json"),
    *("reference.json", "segments.json", "support.json"),
)
"""Files that some models have."""
LARGEST_FILE: Final = 128 * 1024 * 1024
LARGEST_FOLDER: Final = 256 * 1024 * 1024
"""Bytes; the largest models of a million listings have a tenth of that."""
MOST_FILES: Final = 32
_LARGEST_MANIFEST: Final = 4 * 1024 * 1024
_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")
_REMEDY: Final = "fetch or train the model again"


@dataclass(frozen=True)
class ModelFiles:
    """A model folder as it was read, every byte checked.

    Attributes
    ----------
    manifest : what ``model.json`` says.
    contents : the other files by their names.
    digest : names the folder.
    """

    manifest: dict[str, Any]
    contents: dict[str, bytes]
    digest: str


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_digest(folder: Path) -> str:
    """Return the digest that names a model folder."""
    return file_digest(folder / MANIFEST)


def write_folder(
    target: Path, description: Mapping[str, Any], write_files: Callable[[Path], None]
) -> str:
    """Write a model folder aside, then put it in place; return its digest.

    Parameters
    ----------
    target : the folder, replaced if it exists.
    description : what ``model.json`` says beside the format version and the digests.
    write_files : writes the other files into the folder it is given.
    """
    with replacing(target) as folder:
        write_files(folder)
        manifest = {
            "format_version": FORMAT_VERSION,
            **description,
            "files": {path.name: file_digest(path) for path in sorted(folder.iterdir())},
        }
        (folder / MANIFEST).write_text(
            _json({**manifest, "checksum": _checksum(manifest)}), encoding="utf-8", newline="\n"
        )
    return folder_digest(target)


def read_files(folder: Path) -> ModelFiles:
    """Read a model folder once, and check every byte of it against its digests.

    Raises
    ------
    InputError
        If there is no model folder, or its format is newer than this program reads.
    CorruptModelError
        If a file is missing, changed, too large, no plain file, or not named by ``model.json``.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise InputError(f"{folder} is not a model folder: it has no {MANIFEST}")
    written = _read(path, _LARGEST_MANIFEST)
    manifest, files = _understood(path, written)
    contents: dict[str, bytes] = {}
    for name, digest in files.items():
        left = LARGEST_FOLDER - sum(map(len, contents.values()))
        contents[name] = content = _read(folder / name, min(LARGEST_FILE, left))
        if hashlib.sha256(content).hexdigest() != digest:
            raise _not_as_written(folder / name)
    if others := _names_in(folder) - {MANIFEST, *files}:
        raise CorruptModelError(
            f"{folder / min(others)} is no file of the model: {MANIFEST} does not name it; take "
            f"it away, or {_REMEDY}"
        )
    return ModelFiles(manifest, contents, hashlib.sha256(written).hexdigest())


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return ``model.json`` of a folder that is checked as :func:`read_files` does."""
    return read_files(folder).manifest


def own_columns(folder: Path) -> tuple[str, ...]:
    """Return the market's own columns that the model of a folder knows."""
    hedonic = json.loads(_read(folder / "hedonic.json", LARGEST_FILE))
    return tuple(sorted(hedonic.get("own", {})))


def _understood(path: Path, written: bytes) -> tuple[dict[str, Any], dict[str, str]]:
    """Return what ``model.json`` says, and the digests of the files that it names."""
    try:
        manifest = json.loads(written.decode("utf-8"))
        version, files = manifest["format_version"], dict(manifest["files"])
        checksum = manifest.pop("checksum", "")
        is_whole = checksum == _checksum(manifest)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise CorruptModelError(
            f"{path} is not readable as a model's description; {_REMEDY}"
        ) from None
    if version != FORMAT_VERSION:
        raise InputError(
            f"{path} has format version {repr(version)[:20]}, this carprice reads "
            f"{FORMAT_VERSION}; upgrade carprice or train the model again"
        )
    if not is_whole:
        raise CorruptModelError(f"{path} is not what was written (its checksum differs); {_REMEDY}")
    for name, digest in files.items():
        if not _NAME.fullmatch(name) or name == MANIFEST or not isinstance(digest, str):
            raise CorruptModelError(
                f"{path} names {name[:100]!r}, which is no name of a file of a model; {_REMEDY}"
            )
    if len(files) > MOST_FILES:
        raise CorruptModelError(
            f"{path} names {len(files):,} files, and no model has more than {MOST_FILES}; {_REMEDY}"
        )
    return manifest, files


def _read(path: Path, most: int) -> bytes:
    """Return the bytes of a plain file; a link, a pipe or a device is none."""
    try:
        with open(path, "rb", opener=_opener) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise _no_plain_file(path)
            content = file.read(most + 1)
    except FileNotFoundError:
        raise _not_as_written(path) from None
    except OSError as error:
        if path.is_symlink() or path.is_dir():
            raise _no_plain_file(path) from None
        reason = (error.strerror or str(error)).lower()
        raise CorruptModelError(f"{path} cannot be read: {reason}; {_REMEDY}") from None
    if len(content) > most:
        raise CorruptModelError(
            f"{path} is too large: a model has at most {LARGEST_FILE:,} bytes in a file and "
            f"{LARGEST_FOLDER:,} in all; {_REMEDY}"
        )
    return content


def _opener(path: str, flags: int) -> int:
    # Of a link there is an error, and a pipe without a writer is opened all the same.
    more = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    return os.open(path, flags | more)


def _not_as_written(path: Path) -> CorruptModelError:
    return CorruptModelError(
        f"{path} is missing or not the file that was written (SHA-256 differs from {MANIFEST}); "
        f"{_REMEDY}"
    )


def _no_plain_file(path: Path) -> CorruptModelError:
    return CorruptModelError(
        f"{path} is no plain file but a link, a folder or a device; put the file itself there, or "
        f"{_REMEDY}"
    )


def _names_in(folder: Path) -> set[str]:
    names: set[str] = set()
    with os.scandir(folder) as entries:
        for entry in entries:
            names.add(entry.name)
            if len(names) > MOST_FILES + 1:
                break
    return names


def check(folder: Path, digest: str, what: str) -> None:
    """Check a folder that came from elsewhere (``what``): see :func:`read_files`.

    Raises
    ------
    CorruptModelError
        Also if its bytes are not those of the digest.
    """
    try:
        found = read_files(folder).digest
    except (CorruptModelError, InputError) as error:
        told = str(error).replace(f"{folder}{os.sep}", "")
        raise type(error)(f"{what}: {told}") from None
    if found != digest:
        raise CorruptModelError(
            f"{what} is not the model that was registered (its digest differs); register it again"
        )


def is_intact(folder: Path, digest: str) -> bool:
    """Whether a folder is the model of this digest, byte for byte."""
    try:
        return read_files(folder).digest == digest
    except (CarpriceError, OSError):
        return False


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2, sort_keys=True) + "\n"


def _checksum(manifest: Mapping[str, Any]) -> str:
    return hashlib.sha256(_json(manifest).encode()).hexdigest()
