"""The served model: from the registry, else the last known good one, else the image's.

The last known good one is served at once, before the registry is asked. A service without the
registry's model goes on asking for it, so that it heals by itself. What this machine has not served
before is first tried in a process of its own.
"""

import asyncio
import datetime
import logging
import random
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from api.production import RegistryReply, ask, in_thread, try_out
from api.served import SHORT_DIGEST, ServedModel
from api.service_settings import ServiceSettings
from carprice.errors import CarpriceError, CorruptModelError, RefusedError
from carprice.model import PriceModel
from carprice.model.trial import try_model
from carprice.model_folder import MANIFEST
from carprice.redaction import hide_secrets, redact
from carprice.registry.cache import KnownGood, Production, confirm, known_good
from carprice.registry.fetch import fetch
from carprice.registry.logins import dagshub_host, dagshub_repository, is_dagshub
from carprice.registry.record import SINCE, Record

logger = logging.getLogger("carprice.service")
S = TypeVar("S", bound=ServedModel)
_FIRST_WAIT_SECONDS: float = 1.0
_LONGEST_WAIT_SECONDS: float = 30.0
_SETTLE_SECONDS: float = 3.0


def fetch_production(settings: ServiceSettings) -> ServedModel:
    """Return the registry's production model, loaded; raises what :func:`fetch` does.

    In this process, and for as long as the registry takes: :class:`ModelKeeper` asks in another.
    """
    uri, name, cache = settings.tracking_uri, settings.model_name, settings.model_cache
    answer = RegistryReply.of(fetch(uri, name, cache))
    try:
        if objection := _without_record(settings, answer):
            if settings.require_record:
                raise RefusedError(objection)
            logger.warning("%s", objection)
        if answer.folder is not None and not _is_known(settings, answer.digest):
            try_model(answer.folder, answer.digest, settings.load_seconds)
        served = load_fetched(answer, ServedModel)
        if warning := _confirm(settings, answer):
            logger.warning("%s", warning)
    finally:
        answer.discard()
    return served


class Pause:
    """Waits that can be ended; of the loop that runs when it is made."""

    def __init__(self) -> None:
        self._is_over = asyncio.Event()

    def end(self) -> None:
        """End the wait, or the next one."""
        self._is_over.set()

    async def wait(self, seconds: float) -> None:
        """Wait about so long, or, with 0, for ever; in any case no longer than :meth:`end`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(about(seconds) if seconds else None):
                await self._is_over.wait()
        self._is_over.clear()


class ModelKeeper:
    """Holds the served model, and keeps asking the registry.

    Parameters
    ----------
    served : a model to begin with; the registry is then only polled.

    Attributes
    ----------
    served : the model to answer with, or None as long as there is none.
    problem : why there is none, or why the one there is may not be the production model; or empty.
    objection : why the registry's record does not bear out what it has in production; or empty.
    on_swap : called when another model, version or source takes the place of the one before.
    on_failure : called with the reason whenever the registry's model could not be had.
    """

    def __init__(self, settings: ServiceSettings, served: ServedModel | None = None) -> None:
        self._settings = settings
        self._warning = ""
        self.served = served
        self.problem = "" if served else "the production model is being loaded"
        self.objection = ""
        self._newest = ""
        self._pause = Pause()
        self._has_begun = asyncio.Event()
        self._was_asked = asyncio.Event()
        self.on_swap: Callable[[ServedModel], object] | None = None
        self.on_failure: Callable[[str], object] | None = None

    async def run(self) -> None:
        """Ask until the registry answered once, then poll it if the settings say so.

        Where a webhook may tell of changes, ask after each, until it is answered. Returns only
        where there is neither, or no registry; cancel it to stop.
        """
        if not self._settings.registry:
            await self._serve_baked()
            self.problem = "" if self.served else "the model cannot be loaded; the log tells why"
            self._has_begun.set()
            self._was_asked.set()
            return
        wait = _FIRST_WAIT_SECONDS
        self._pause = Pause()
        has_answered = self.served is not None
        if not has_answered:
            await self._serve_known_good()
            if self.served is not None:
                self.problem = f"the registry is being asked; {_described(self.served)}"
        self._has_begun.set()
        while not (has_answered or await self._ask()):
            self._was_asked.set()
            await self._pause.wait(wait)
            wait = min(2 * wait, _LONGEST_WAIT_SECONDS)
        self._was_asked.set()
        has_answered = True
        poll, is_told = self._settings.poll_seconds, self._settings.webhook_secret
        while poll > 0 or is_told.get_secret_value():
            await self._pause.wait(poll or (0 if has_answered else _LONGEST_WAIT_SECONDS))
            has_answered = await self._ask()

    def ask_soon(self) -> None:
        """Ask the registry as soon as it is not being asked."""
        self._pause.end()

    async def settle(self) -> None:
        """Wait until requests may come, once :meth:`run` runs.

        That is at once where the cache has no model. Else it is when the registry has answered,
        or some seconds later: so that the first answers are not by the model before.
        """
        await self._has_begun.wait()
        if self.served is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_SETTLE_SECONDS):
                    await self._was_asked.wait()

    async def _ask(self) -> bool:
        """Take what the registry has in production; whether that could be had."""
        try:
            await self._take(await ask(self._settings, self._digest))
        except CarpriceError as error:
            await self._fail(str(error))
        except Exception as error:
            trace = hide_secrets(traceback.format_exc())
            logger.error("The production model cannot be loaded\n%s", trace)
            kind = type(error).__name__
            await self._fail(f"the production model cannot be loaded ({kind}); see the log")
        else:
            self.problem = ""
            return True
        return False

    @property
    def _digest(self) -> str:
        return self.served.model.digest if self.served else ""

    async def _take(self, answer: RegistryReply) -> None:
        try:
            self._judge(answer)
            if self.served is not None and answer.digest == self._digest:
                now = datetime.datetime.now(datetime.UTC)
                known = replace(self.served, version=answer.version, source="registry", since=now)
                self._serve(known)
            else:
                self._serve(await self._loaded(answer))
            self._warn(await in_thread("note", partial(_confirm, self._settings, answer)))
        finally:
            answer.discard()

    def _judge(self, answer: RegistryReply) -> None:
        """Tell of a production version that its record does not bear out, or refuse it."""
        before, self.objection = self.objection, _without_record(self._settings, answer)
        since = answer.tags.get(SINCE, "")
        if not self.objection and self._settings.promotion_key.get_secret_value():
            # A signature of before stays good: what was replaced must not come back with it.
            if since < self._newest:
                told = f"version {answer.version} was promoted at {since}, before what was since"
                self.objection = f"{told} ({self._newest}); run `carprice rollback --to` instead"
            self._newest = max(since, self._newest)
        if self.objection and self._settings.require_record:
            raise RefusedError(self.objection)
        if self.objection and self.objection != before:
            logger.warning("%s", self.objection)

    async def _loaded(self, answer: RegistryReply) -> ServedModel:
        """Load a model, in another process first if it is new here."""
        settings, folder, digest = self._settings, answer.folder, answer.digest
        if folder is not None and not _is_known(settings, digest):
            await try_out(folder, digest, settings.load_seconds)
        return await in_thread("load", partial(load_fetched, answer, ServedModel))

    def _warn(self, warning: str) -> None:
        if warning and warning != self._warning:
            logger.warning("%s", warning)
        self._warning = warning

    def _serve(self, served: ServedModel) -> None:
        before, self.served = self.served, served
        told = (served.version, served.source, served.model.digest)
        if before is None or (before.version, before.source, before.model.digest) != told:
            logger.info("Serving version %s from the %s (digest %s)", *told)
            _tell(self.on_swap, served)

    async def _fail(self, reason: str) -> None:
        if self.served is None:
            await self._fall_back()
        told = reason if self.served is None else f"{reason}; {_described(self.served)}"
        logger.warning("%s", told)
        self.problem = without_places(self._settings, told)
        _tell(self.on_failure, reason)

    async def _serve_known_good(self) -> None:
        """Serve the newest known good model of the cache that can be loaded, or leave it at that.

        One that cannot be is told of in the log.
        """
        settings = self._settings
        for known in known_good(settings.model_cache, settings.model_name, settings.tracking_uri):
            await self._try_to_serve(partial(_load_known_good, known))
            if self.served is not None:
                return

    async def _fall_back(self) -> None:
        """Serve the last known good model, else the image's, else none."""
        await self._serve_known_good()
        if self.served is None:
            await self._serve_baked()

    async def _serve_baked(self) -> None:
        """Serve the model of the image, if it has one that can be loaded."""
        if (folder := self._settings.baked_model) is not None:
            await self._try_to_serve(partial(_load_baked, folder))

    async def _try_to_serve(self, load: Callable[[], ServedModel]) -> None:
        try:
            self._serve(await in_thread("load", load))
        except CarpriceError as error:
            logger.warning("%s", error)
        except Exception:
            logger.exception("A model that was kept for this cannot be loaded")


def without_places(settings: ServiceSettings, text: str) -> str:
    """Return a text without addresses and paths: everybody may read why there is no model."""
    places = {
        settings.tracking_uri: "the registry",
        redact(settings.tracking_uri): "the registry",
        str(settings.model_cache): "the model cache",
        str(settings.baked_model): "the image",
    }
    if is_dagshub(settings.tracking_uri):
        places[dagshub_host()] = "its address"
        places[f"repository {dagshub_repository(settings.tracking_uri)},"] = "such repository,"
    for place, name in places.items():
        text = text.replace(place, name)
    return text


def _without_record(settings: ServiceSettings, answer: RegistryReply) -> str:
    """Return why the record of a production version does not bear it out; empty if it does."""
    record = Record(settings.model_name, answer.version, answer.digest, answer.tags)
    objection = record.objection(settings.promotion_key.get_secret_value().encode())
    if not objection:
        return ""
    told = f"version {answer.version} of {settings.model_name} is in production, but {objection}"
    remedy = "see `carprice history`, and `carprice promote` or `carprice rollback`"
    return f"{told}; {remedy}"


def _is_known(settings: ServiceSettings, digest: str) -> bool:
    """Whether this machine has served a model before."""
    known = known_good(settings.model_cache, settings.model_name, settings.tracking_uri)
    return digest in {one.digest for one in known}


def _confirm(settings: ServiceSettings, answer: RegistryReply) -> str:
    """Tell the cache that a model is good; return why that cannot be, or nothing."""
    if answer.folder is None or answer.temporary:
        return answer.warning
    uri, name, cache = settings.tracking_uri, settings.model_name, settings.model_cache
    return confirm(uri, name, cache, Production(answer.version, answer.digest))


def load_fetched(answer: RegistryReply, kind: type[S]) -> S:
    """Return the model of a folder that was fetched; :class:`CorruptModelError` if it is none."""
    if answer.folder is None:
        raise CorruptModelError("the registry's answer names no model folder")
    model = _model_of(answer.folder, answer.digest, "was fetched; fetch it again")
    return kind.of(model, answer.version)


def _load_known_good(known: KnownGood) -> ServedModel:
    model = _model_of(known.folder, known.digest, "its name says; delete it")
    return ServedModel.of(model, known.version, source="cache", since=known.confirmed)


def _load_baked(folder: Path) -> ServedModel:
    model = PriceModel.load(folder)
    made = datetime.datetime.fromtimestamp((folder / MANIFEST).stat().st_mtime, datetime.UTC)
    return ServedModel.of(model, model.digest[:SHORT_DIGEST], source="image", since=made)


def _model_of(folder: Path, digest: str, expected: str) -> PriceModel:
    model = PriceModel.load(folder)
    if model.digest != digest:
        raise CorruptModelError(f"{folder} is not the model that {expected}")
    return model


def _described(served: ServedModel) -> str:
    since = served.since.isoformat(timespec="seconds")
    if served.source == "image":
        return f"serving the model of the image, made {since}"
    return f"serving version {served.version}, which the registry confirmed last {since}"


def _tell(hook: Callable[[Any], object] | None, about: object) -> None:
    """Call a hook whose failure must not end the asking."""
    try:
        if hook is not None:
            hook(about)
    except Exception:
        logger.exception("A hook of the model keeper failed")


def about(seconds: float) -> float:
    """Return a time near this one, so that workers that started together ask apart."""
    return seconds * random.uniform(0.75, 1.25)  # noqa: S311
