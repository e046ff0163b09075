"""The production model, or the challenger: what the registry has, checked byte for byte.

It is not loaded here, and so not known to be good: who loads it tells the cache.

``python -m carprice.registry.fetch`` does it in a process of its own: the service kills it at its
deadline, whatever MLflow's own retries do, and MLflow's memory goes with it.

The registry's address comes from ``MLFLOW_TRACKING_URI``, since it may hold a login. The answer is
one line of JSON on standard output: ``folder`` (null where the caller has that model already),
``version`` and ``digest``; ``temporary`` where the folder lies outside the cache and the caller is
to delete its parent; ``warning``; the version's ``tags`` if they are asked for. After a failure
``error`` and ``kind``, and exit code 1.
"""

import argparse
import contextlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Final

from carprice.errors import CarpriceError, CorruptModelError, InputError, RefusedError
from carprice.files import refusal_in
from carprice.model_folder import is_intact
from carprice.redaction import hide_secrets, redact
from carprice.registry.cache import (
    DIGEST,
    Production,
    delete_scratch,
    new_folder,
    stored,
)
from carprice.registry.rest import HttpRegistry, LeftToMlflowError

_MORE_MEMORY: Final = 1024**3
_is_alone = False  # whether this process does nothing else


class _MlflowRegistry:
    """What :class:`HttpRegistry` does, by MLflow's own client."""

    def __init__(self, uri: str, name: str, alias: str) -> None:
        from carprice.registry.versions import Registry, version_at

        self.uri, self.name = uri, name
        self._registry = Registry(uri, name, checks_login=False)
        if _is_alone:
            _limit_memory()
        self._version = version_at(self._registry, alias)

    def version(self) -> Production:
        found = self._version
        return Production(str(found.number), found.digest)

    @property
    def tags(self) -> Mapping[str, str]:
        return self._version.tags

    def download(self, version: Production, target: Path) -> Path:
        found = self._version
        folder = self._registry.model_folder(found, self._registry.download(found, target))
        return folder.rename(target / version.digest)


def fetch(
    uri: str, name: str, cache: Path, have: str = "", alias: str = "production"
) -> dict[str, Any]:
    """Return the answer about the model under an alias, as the module describes it.

    Parameters
    ----------
    have : digest of the model that the caller has; it is not downloaded.

    Raises
    ------
    CarpriceError
        If there is no such model, it cannot be had, or its bytes are wrong.
    """
    with (
        contextlib.suppress(LeftToMlflowError),
        contextlib.closing(HttpRegistry(uri, name, alias=alias)) as one,
    ):
        return with_tags(one, fetch_from(one, cache, have))
    try:
        registry = _MlflowRegistry(uri, name, alias)
    except ValueError as error:
        raise RefusedError(
            f"{redact(uri)} does not answer as an MLflow registry does ({error}); check "
            "MLFLOW_TRACKING_URI"
        ) from None
    return with_tags(registry, fetch_from(registry, cache, have))


def with_tags(registry: HttpRegistry | _MlflowRegistry, answer: dict[str, Any]) -> dict[str, Any]:
    """Add to an answer what the registry says of the version."""
    return {**answer, "tags": dict(registry.tags)}


def fetch_from(registry: HttpRegistry | _MlflowRegistry, cache: Path, have: str) -> dict[str, Any]:
    """Answer as :func:`fetch` does.

    Raises
    ------
    LeftToMlflowError
        If only MLflow's own client can ask this registry.
    """
    uri, name, version = registry.uri, registry.name, registry.version()
    digest = version.digest
    if not DIGEST.fullmatch(digest):
        raise CorruptModelError(
            f"version {version.version} of {name} in {redact(uri)} has no digest among its "
            "tags; register it with `carprice register`"
        )
    answer = {"folder": None, "version": version.version, "digest": digest}
    if digest == have and not is_intact(cache / digest, digest):
        return answer
    download = partial(registry.download, version)
    try:
        folder = stored(cache, digest, download)
    except (OSError, RefusedError) as error:
        reason = _disk_reason(error)
        if reason is None:
            raise
        return {**answer, **_download_aside(cache, reason, download)}
    return {**answer, "folder": str(folder)}


def _download_aside(cache: Path, reason: str, download: Callable[[Path], Path]) -> dict[str, Any]:
    try:
        with new_folder("carprice-model-", None, keep=True) as aside:
            folder = download(aside)
    except (OSError, RefusedError) as error:
        raise RefusedError(
            f"{error}; before that the model cache {cache} failed ({reason}); make room, or let "
            "the service write there"
        ) from None
    warning = (
        f"the model cache {cache} cannot be written ({reason}), so that the service could not "
        "start without the registry; make room, or name another folder in CARPRICE_MODEL_CACHE"
    )
    return {"folder": str(folder), "temporary": True, "warning": warning}


def _disk_reason(error: BaseException) -> str | None:
    """Return why a folder could not be written, or None if something else failed."""
    found = error if isinstance(error, OSError) else refusal_in(error)
    return None if found is None else found.strerror or str(found)


def _limit_memory() -> None:
    """Let this process take some more memory than MLflow's import took.

    MLflow's client reads answers of any size.
    """
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        most = pages * resource.getpagesize() + _MORE_MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _stop(_signal: int, _frame: FrameType | None) -> None:
    # Threads of MLflow that download would keep a plain exit waiting.
    delete_scratch()
    os._exit(128 + signal.SIGTERM)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as a program; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m carprice.registry.fetch", description=fetch.__doc__
    )
    parser.add_argument("--name", required=True, help="registered model")
    parser.add_argument("--cache", required=True, type=Path, help="folder for model folders")
    parser.add_argument("--have", default="", help="digest of the model that is not needed again")
    parser.add_argument("--alias", default="production", help="which of its versions")
    parser.add_argument("--with-tags", action="store_true", help="tell the version's tags too")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _stop)
    try:
        # Standard output is for the answer alone.
        with contextlib.redirect_stdout(sys.stderr):
            uri = os.environ.get("MLFLOW_TRACKING_URI")
            if not uri:
                raise InputError("MLFLOW_TRACKING_URI is not set; it names the MLflow server")
            answer = fetch(uri, options.name, options.cache, options.have, options.alias)
            if not options.with_tags:
                answer.pop("tags", None)
    except Exception as error:
        kind, told = type(error).__name__, str(error)
        if not isinstance(error, CarpriceError):
            told = f"unexpected {kind}: {told}"
            sys.stderr.write(hide_secrets(traceback.format_exc()))
        answer = {"error": hide_secrets(told), "kind": kind}
    sys.stdout.write(json.dumps(answer) + "\n")
    return 1 if "error" in answer else 0


if __name__ == "__main__":
    _is_alone = True
    sys.exit(main())
