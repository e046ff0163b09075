"""The served model: from the registry, else the last known good one, else the image's.

A service without a model goes on asking for one, so that it heals by itself.
"""

import asyncio
import datetime
import logging
import random
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from api.production import RegistryReply, ask
from api.served import SHORT_DIGEST, ServedModel
from api.service_settings import ServiceSettings
from carprice.errors import CarpriceError, CorruptModelError
from carprice.model import PriceModel
from carprice.model_folder import MANIFEST
from carprice.redaction import hide_secrets, redact
from carprice.registry.cache import last_known_good
from carprice.registry.fetch import fetch
from carprice.registry.logins import dagshub_host, dagshub_repository, is_dagshub

logger = logging.getLogger("carprice.service")
_FIRST_WAIT_SECONDS: float = 1.0
_LONGEST_WAIT_SECONDS: float = 30.0


def fetch_production(settings: ServiceSettings) -> ServedModel:
    """Return the registry's production model, loaded; raises what :func:`fetch` does.

    In this process, and for as long as the registry takes: :class:`ModelKeeper` asks in another.
    """
    found = fetch(settings.tracking_uri, settings.model_name, settings.model_cache)
    return _load(RegistryReply.of(found))


class ModelKeeper:
    """Holds the served model, and keeps asking the registry.

    Parameters
    ----------
    served : a model to begin with; the registry is then only polled.

    Attributes
    ----------
    served : the model to answer with, or None as long as there is none.
    problem : why there is none, or why the one there is may not be the production model; or empty.
    on_swap : called when another model, version or source takes the place of the one before.
    on_failure : called with the reason whenever the registry's model could not be had.
    """

    def __init__(self, settings: ServiceSettings, served: ServedModel | None = None) -> None:
        self._settings = settings
        self._warning = ""
        self.served = served
        self.problem = "" if served else "the production model is being loaded"
        self.on_swap: Callable[[ServedModel], object] | None = None
        self.on_failure: Callable[[str], object] | None = None

    async def run(self) -> None:
        """Ask until the registry answered once, then poll it if the settings say so.

        Returns only where nothing is to be polled; cancel it to stop.
        """
        wait = _FIRST_WAIT_SECONDS
        has_answered = self.served is not None
        while not (has_answered or await self._ask()):
            await asyncio.sleep(_about(wait))
            wait = min(2 * wait, _LONGEST_WAIT_SECONDS)
        while self._settings.poll_seconds > 0:
            await asyncio.sleep(_about(self._settings.poll_seconds))
            await self._ask()

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
        if answer.folder is not None:
            if answer.warning and answer.warning != self._warning:
                logger.warning("%s", answer.warning)
            self._warning = answer.warning
        if self.served is not None and answer.digest == self._digest:
            answer.discard()
            now = datetime.datetime.now(datetime.UTC)
            self._serve(replace(self.served, version=answer.version, source="registry", since=now))
        else:
            self._serve(await asyncio.to_thread(_load, answer))

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
        self.problem = self._without_places(told)
        _tell(self.on_failure, reason)

    def _without_places(self, text: str) -> str:
        """Return a text without addresses and paths: everybody may read why there is no model."""
        settings = self._settings
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

    async def _fall_back(self) -> None:
        """Serve the last known good model, else the image's, else none."""
        for load in (_load_last_known_good, _load_baked):
            try:
                served = await asyncio.to_thread(load, self._settings)
            except CarpriceError as error:
                logger.warning("%s", error)
            except Exception:
                logger.exception("A model that was kept for this cannot be loaded")
            else:
                if served is not None:
                    self._serve(served)
                    return


def _load(answer: RegistryReply) -> ServedModel:
    try:
        if answer.folder is None:
            raise CorruptModelError("the registry's answer names no model folder")
        model = _model_of(answer.folder, answer.digest, "was fetched; fetch it again")
    finally:
        answer.discard()
    return ServedModel.of(model, answer.version)


def _load_last_known_good(settings: ServiceSettings) -> ServedModel | None:
    known = last_known_good(settings.model_cache, settings.model_name, settings.tracking_uri)
    if known is None:
        return None
    model = _model_of(known.folder, known.digest, "its name says; delete it")
    return ServedModel.of(model, known.version, source="cache", since=known.confirmed)


def _load_baked(settings: ServiceSettings) -> ServedModel | None:
    folder = settings.baked_model
    if folder is None:
        return None
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


def _about(seconds: float) -> float:
    """Return a time near this one, so that workers that started together ask apart."""
    return seconds * random.uniform(0.75, 1.25)  # noqa: S311
