"""Digests that name the data of a run: its raw files, and the listings made of them."""

import hashlib
import json
from operator import itemgetter
from pathlib import Path

import pandas as pd


def snapshot_digest(folder: Path) -> str:
    """Return the digest that DVC gives a folder: the MD5 of the list of its files and their MD5.

    DVC's cache and remote hold the folder under this digest.
    """
    listing = [
        {"md5": _md5(path), "relpath": path.relative_to(folder).as_posix()}
        for path in folder.rglob("*")
        if path.is_file()
    ]
    listing.sort(key=itemgetter("relpath"))
    return hashlib.md5(json.dumps(listing).encode(), usedforsecurity=False).hexdigest() + ".dir"


def listings_digest(*parts: pd.DataFrame) -> str:
    """Return the SHA-256 of listings, which names the data that a model learned from."""
    digest = hashlib.sha256()
    for frame in parts:
        digest.update(",".join(frame.columns).encode())
        digest.update(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes())
    return digest.hexdigest()


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
    return digest.hexdigest()
