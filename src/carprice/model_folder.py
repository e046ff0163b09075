"""The model folder: plain files named and signed by ``model.json``; no pickle anywhere.

``model.json`` holds the format version, the SHA-256 of every other file, the description of the
model, and a checksum of all that, so that a change of its own is found too. Its SHA-256 is the
folder's digest: the bytes that were tested are the bytes promoted.
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from carprice.errors import CarpriceError, CorruptModelError, InputError
from carprice.files import replacing

FORMAT_VERSION: Final = 1
MANIFEST: Final = "model.json"


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


def read_manifest(folder: Path) -> dict[str, Any]:
    """Check every byte of a model folder against its digests and return ``model.json``.

    Raises
    ------
    InputError
        If there is no model folder, or its format is newer than this program reads.
    CorruptModelError
        If a file is missing or changed.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise InputError(f"{folder} is not a model folder: it has no {MANIFEST}")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        version, files = manifest["format_version"], dict(manifest["files"])
    except (ValueError, KeyError, TypeError):
        raise CorruptModelError(
            f"{path} is not readable as a model's description; fetch or train the model again"
        ) from None
    if version != FORMAT_VERSION:
        raise InputError(
            f"{path} has format version {version!r}, this carprice reads {FORMAT_VERSION}; "
            "upgrade carprice or train the model again"
        )
    if manifest.pop("checksum", "") != _checksum(manifest):
        raise CorruptModelError(
            f"{path} is not what was written (its checksum differs); fetch or train the model again"
        )
    for name, digest in files.items():
        if not (folder / name).is_file() or file_digest(folder / name) != digest:
            raise CorruptModelError(
                f"{folder / name} is missing or not the file that was written (SHA-256 differs "
                f"from {MANIFEST}); fetch or train the model again"
            )
    return manifest  # type: ignore[no-any-return]


def check(folder: Path, digest: str, what: str) -> None:
    """Check a folder that came from elsewhere (``what``): see :func:`read_manifest`.

    Raises
    ------
    CorruptModelError
        Also if its bytes are not those of the digest.
    """
    try:
        read_manifest(folder)
    except (CorruptModelError, InputError) as error:
        told = str(error).replace(f"{folder}{os.sep}", "")
        raise type(error)(f"{what}: {told}") from None
    if folder_digest(folder) != digest:
        raise CorruptModelError(
            f"{what} is not the model that was registered (its digest differs); register it again"
        )


def is_intact(folder: Path, digest: str) -> bool:
    """Whether a folder is the model of this digest, byte for byte."""
    try:
        read_manifest(folder)
        return folder_digest(folder) == digest
    except (CarpriceError, OSError):
        return False


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2, sort_keys=True) + "\n"


def _checksum(manifest: Mapping[str, Any]) -> str:
    return hashlib.sha256(_json(manifest).encode()).hexdigest()
