"""Digests that name the data of a run: its raw files, and the listings made of them."""

import hashlib
import json
from pathlib import Path

import pandas as pd


def snapshot_digest(folder: Path) -> str:
    r"""Return the digest that DVC gives a folder: the MD5 of the list of its files and their MD5.

    DVC's cache and remote hold the folder under this digest.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as name:
    ...     _ = Path(name, "cars.csv").write_bytes(b"make,year\nKia,2019\n")
    ...     snapshot_digest(Path(name))
    '1765885a02f3fc707e0c868d22b2b3ff.dir'
    """
    files = {
        path.relative_to(folder).as_posix(): _md5(path)
        for path in folder.rglob("*")
        if path.is_file()
    }
    listing = [{"md5": md5, "relpath": name} for name, md5 in sorted(files.items())]
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
