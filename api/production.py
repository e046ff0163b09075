"""Asks the registry for the production model, or the challenger, under one hard deadline.

By plain HTTP in a thread, which takes milliseconds; where MLflow's own client is needed, by a child
process, which can be killed and takes MLflow's memory with it.
"""

import asyncio
import json
import logging
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from api.service_settings import ServiceSettings
from carprice import errors
from carprice.errors import CarpriceError, RefusedError
from carprice.model.trial import Trial
from carprice.redaction import hide_secrets, redact
from carprice.registry.fetch import fetch_from, with_tags
from carprice.registry.rest import HttpRegistry, LeftToMlflowError

logger = logging.getLogger("carprice.service")
T = TypeVar("T")
_POLITE_SECONDS: Final = 1.0


@dataclass(frozen=True)
class RegistryReply:
    """What the registry has under an alias.

    Attributes
    ----------
    folder : the model folder, or None where the asker has that model.
    temporary : whether the folder lies outside the cache; :meth:`discard` deletes it.
    warning : why the model is not kept for a start without the registry; mostly empty.
    tags : what the registry says of the version.
    """

    version: str
    digest: str
    folder: Path | None
    temporary: bool = False
    warning: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """Return the answer that :func:`carprice.registry.fetch.fetch` told."""
        return cls(**{**told, "folder": told["folder"] and Path(told["folder"])})

    def discard(self) -> None:
        """Delete the folder if it is of no use once it was loaded."""
        if self.temporary and self.folder is not None:
            shutil.rmtree(self.folder.parent, ignore_errors=True)


async def ask(
    settings: ServiceSettings, have: str = "", alias: str = "production"
) -> RegistryReply:
    """Return what is under an alias, its folder checked byte for byte.

    Parameters
    ----------
    have : digest of the model that is loaded; it is not fetched again.

    Raises
    ------
    CarpriceError
        If the registry did not answer in time, has no such model, or holds a corrupt one.
    """
    try:
        async with asyncio.timeout(settings.start_seconds):
            return await _by_http(settings, have, alias) or await _by_child(settings, have, alias)
    except TimeoutError:
        raise RefusedError(
            f"MLflow at {redact(settings.tracking_uri)} did not answer within "
            f"{settings.start_seconds:g} s; check MLFLOW_TRACKING_URI and the server, or raise "
            "CARPRICE_START_SECONDS"
        ) from None


async def _by_http(settings: ServiceSettings, have: str, alias: str) -> RegistryReply | None:
    """Return what is told by plain HTTP; None where only MLflow's client knows the way."""
    uri, name = settings.tracking_uri, settings.model_name
    try:
        registry = HttpRegistry(uri, name, settings.start_seconds, alias)
    except LeftToMlflowError:
        return None

    def work() -> RegistryReply | None:
        try:
            answer = fetch_from(registry, settings.model_cache, have)
            return RegistryReply.of(with_tags(registry, answer))
        except LeftToMlflowError:
            return None
        finally:
            registry.close()

    try:
        return await in_thread("registry", work)
    finally:
        registry.close()


async def in_thread(name: str, work: Callable[[], T]) -> T:
    """Return what a function does in a thread that does not keep the process alive if it hangs."""
    told: Future[T] = Future()
    told.set_running_or_notify_cancel()

    def run() -> None:
        try:
            told.set_result(work())
        except BaseException as error:
            told.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await asyncio.wrap_future(told)


async def try_out(folder: Path, digest: str, seconds: float) -> None:
    """Load a model and price a car in a process that is ended when it takes longer.

    Raises
    ------
    CarpriceError
        If that fails.
    """
    trial = Trial(folder, digest)
    try:
        await in_thread("trial", partial(trial.run, seconds))
    finally:
        trial.end()


async def _by_child(settings: ServiceSettings, have: str, alias: str) -> RegistryReply:
    patience = {"MLFLOW_HTTP_REQUEST_TIMEOUT": str(math.ceil(settings.start_seconds))}
    try:
        process = subprocess.Popen(
            _command(settings, have, alias),
            env={**patience, **os.environ, "MLFLOW_TRACKING_URI": settings.tracking_uri},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=os.name == "posix",
        )
    except OSError as error:
        reason = error.strerror or error
        raise RefusedError(f"no process to ask the registry can be started: {reason}") from None
    talking = asyncio.ensure_future(asyncio.to_thread(process.communicate))
    try:
        told, complaints = await asyncio.shield(talking)
    finally:
        if not talking.done():
            await asyncio.to_thread(_end, process)
            await asyncio.wait([talking], timeout=_POLITE_SECONDS)
    return _understood(told, complaints, process.returncode)


def _command(settings: ServiceSettings, have: str, alias: str) -> list[str]:
    # -P: a file in the working folder must not take the place of a library.
    program = [sys.executable, "-P", "-m", "carprice.registry.fetch", "--with-tags"]
    asked = {"name": settings.model_name, "cache": settings.model_cache, "have": have}
    return [*program, *(f"--{name}={value}" for name, value in asked.items()), f"--alias={alias}"]


def _understood(told: bytes, complaints: bytes, code: int) -> RegistryReply:
    try:
        content = json.loads(told)
        if "error" not in content:
            return RegistryReply.of(content)
        kind = getattr(errors, content["kind"], None)
        message = str(content["error"])
    except (ValueError, KeyError, TypeError):
        kind, message = None, f"the process that asks the registry ended with {code} and no answer"
    if isinstance(kind, type) and issubclass(kind, CarpriceError):
        raise kind(message)
    logger.error("%s\n%s", message, hide_secrets(complaints.decode(errors="replace"))[-4000:])
    raise RefusedError(message)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a child and its own children, politely first so that it deletes what it began."""
    _send(process, force=False)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_POLITE_SECONDS)
    _send(process, force=True)
    process.wait()


def _send(process: "subprocess.Popen[bytes]", *, force: bool) -> None:
    with suppress(ProcessLookupError, PermissionError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL if force else signal.SIGTERM)
