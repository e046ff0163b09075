"""The model folder: plain files named and signed by ``model.json``; no pickle anywhere.

``model.json`` holds the format version, the SHA-256 of every other file and the description of the
model. Its own SHA-256 is the folder's digest: the bytes that were tested are the bytes promoted.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from carprice.errors import CorruptModelError, InputError

FORMAT_VERSION: Final = 1
MANIFEST: Final = "model.json"


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_digest(folder: Path) -> str:
    """Return the digest that names a model folder."""
    return file_digest(folder / MANIFEST)


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give a new folder beside ``target`` that takes its place when the block succeeds."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as scratch:
        written = Path(scratch) / "new"
        written.mkdir()
        yield written
        if target.exists():
            target.rename(Path(scratch) / "old")
        written.rename(target)


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
            json.dumps(manifest, indent=2, sort_keys=True) + "\n", encoding="utf-8", newline="\n"
        )
    return folder_digest(target)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Check every byte of a model folder against its digests and return ``model.json``.

    Raises
    ------
    InputError
        If there is no model folder, or its format is newer than this program reads.
    CorruptModelError
        If a file is missing, unknown or changed.
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
    for name, digest in files.items():
        if not (folder / name).is_file() or file_digest(folder / name) != digest:
            raise CorruptModelError(
                f"{folder / name} is missing or not the file that was written (SHA-256 differs "
                f"from {MANIFEST}); fetch or train the model again"
            )
    return manifest  # type: ignore[no-any-return]


def copy_folder(source: Path, target: Path) -> None:
    """Copy a model folder into place in one step."""
    with replacing(target) as folder:
        shutil.copytree(source, folder, dirs_exist_ok=True)
