"""Model folders on this machine's disk, and the note of the last ones that were good.

Good is what the registry had in production and this machine loaded and priced a car with. The note
is one JSON file for each registered model: what is newest, and ``before`` it two more.
"""

import contextlib
import datetime
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from carprice.errors import CarpriceError, RefusedError
from carprice.files import refusal_in, write_json
from carprice.model_folder import is_intact
from carprice.redaction import redact
from carprice.registry.logins import split

DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_VERSION: Final = re.compile(r"[1-9][0-9]{0,17}")
_SCRATCH_PREFIX: Final = ".download-"
_KEPT_MODELS: Final = 3
_SCRATCH_SECONDS: Final = 3600

_scratch: list[Path] = []


@dataclass(frozen=True)
class Production:
    """The registry's production version, or its challenger, and the digest of its model folder.

    :class:`RefusedError` for a version that is no number as registries count them: answers and
    their headers name it.
    """

    version: str
    digest: str

    def __post_init__(self) -> None:
        if not _VERSION.fullmatch(self.version):
            raise RefusedError(
                f"the registry calls a version {redact(self.version[:40])!r}, which "
                "is no number of at most 18 digits; check MLFLOW_TRACKING_URI and the server"
            )


@dataclass(frozen=True)
class KnownGood:
    """A known good model, and when the registry last confirmed it to be in production."""

    version: str
    digest: str
    folder: Path
    confirmed: datetime.datetime


def known_good(cache: Path, name: str, uri: str) -> list[KnownGood]:
    """Return the models that the cache notes as good ones of this registry, the newest first.

    Their bytes are not checked here; loading checks them.
    """
    try:
        noted = json.loads(_record(cache, name).read_text(encoding="utf-8"))
        if (noted["name"], noted["registry"]) != (name, _address(uri)):
            return []
        records = [noted, *noted.get("before", ())]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []
    return [known for one in records if (known := _known(cache, one))]


def _known(cache: Path, noted: Any) -> KnownGood | None:
    """Return what one record says; None where that is no known good model."""
    try:
        digest, confirmed = noted["digest"], datetime.datetime.fromisoformat(noted["confirmed"])
        production = Production(str(noted["version"]), digest)
        if DIGEST.fullmatch(digest) and confirmed.tzinfo is not None:
            return KnownGood(production.version, digest, cache / digest, confirmed)
    except (ValueError, KeyError, TypeError, RefusedError):
        pass
    return None


def stored(cache: Path, digest: str, download: Callable[[Path], Path]) -> Path:
    """Return the model folder of a digest in the cache; it is downloaded unless it is intact.

    Parameters
    ----------
    download : writes the folder, checked, somewhere under an empty one, and returns it.
    """
    target = cache / digest
    if is_intact(target, digest):
        return target
    cache.mkdir(parents=True, exist_ok=True)
    _remove_stale_scratch(cache)
    with new_folder(_SCRATCH_PREFIX, cache) as scratch:
        folder = download(scratch)
        if is_intact(target, digest):  # another worker was quicker
            return target
        try:
            if target.exists():
                target.rename(folder.with_name("broken"))
            folder.rename(target)
        except OSError:
            if not is_intact(target, digest):  # another worker was quicker just now
                raise
    _remove_old_models(cache, digest)  # of a registry that has new models all the time
    return target


@contextlib.contextmanager
def new_folder(prefix: str, parent: Path | None, *, keep: bool = False) -> Iterator[Path]:
    """Give a new folder and delete it at the end; with ``keep``, only after a failure."""
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    _scratch.append(folder)
    is_waste = True
    try:
        yield folder
        is_waste = not keep
    finally:
        if is_waste:
            shutil.rmtree(folder, ignore_errors=True)
        _scratch.remove(folder)


def delete_scratch() -> None:
    """Delete the folders of :func:`new_folder` that are still in use, before a process ends."""
    for folder in _scratch:
        shutil.rmtree(folder, ignore_errors=True)


def confirm(uri: str, name: str, cache: Path, production: Production) -> str:
    """Note that the registry has this model in production and that it is good; delete old models.

    To be called once it was loaded and has priced a car. Returns a warning where that cannot be
    noted, else nothing.
    """
    path = _record(cache, name)
    before = [one for one in known_good(cache, name, uri) if one.digest != production.digest]
    now = datetime.datetime.now(datetime.UTC)
    noted = {
        "name": name,
        "registry": _address(uri),
        **_noted(production.version, production.digest, now),
        "before": [
            _noted(one.version, one.digest, one.confirmed) for one in before[: _KEPT_MODELS - 1]
        ],
    }
    with contextlib.suppress(OSError):
        os.utime(cache / production.digest)
    try:
        write_json(path, noted)
    except (OSError, CarpriceError) as error:
        refusal = refusal_in(error)
        reason = error if refusal is None else refusal.strerror
        return (
            f"{path} cannot be written ({reason}), so that the service "
            "may start with an older model, or none, without the registry; make room, or name "
            "another folder in CARPRICE_MODEL_CACHE"
        )
    _remove_old_models(cache, production.digest)
    return ""


def _noted(version: str, digest: str, confirmed: datetime.datetime) -> dict[str, str]:
    told = confirmed.isoformat(timespec="seconds")
    return {"version": version, "digest": digest, "confirmed": told}


def _record(cache: Path, name: str) -> Path:
    return cache / f"{quote(name, safe=' ')}.json"


def _address(uri: str) -> str:
    """Return the registry's address without its login."""
    parts = split(uri)
    if parts.scheme not in ("http", "https"):
        return redact(uri)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2].lower()}{parts.path.rstrip('/')}"


def _remove_old_models(cache: Path, current: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        texts = [path.read_text(encoding="utf-8") for path in cache.glob("*.json")]
        noted = {digest for text in texts for digest in DIGEST.findall(text)}
        models = [path for path in cache.iterdir() if DIGEST.fullmatch(path.name)]
        others = [path for path in models if path.name != current]
        others.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        for path in others[_KEPT_MODELS - 1 :]:
            if path.name not in noted:
                shutil.rmtree(path, ignore_errors=True)


def _remove_stale_scratch(cache: Path) -> None:
    """Delete the temporary folders that killed processes left."""
    with contextlib.suppress(OSError):
        for path in cache.glob(f"{_SCRATCH_PREFIX}*"):
            if path.stat().st_mtime < time.time() - _SCRATCH_SECONDS:
                shutil.rmtree(path, ignore_errors=True)
