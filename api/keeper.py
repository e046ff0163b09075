"""The served model: from the registry, else the last known good one, else the image's.

A service without a model goes on asking for one, so that it heals by itself.
"""

import asyncio
import datetime
import logging
import math
import random
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, Self

from api.production import Answer, ask
from api.service_settings import ServiceSettings
from carprice.errors import CarpriceError, CorruptModelError
from carprice.model import PriceModel
from carprice.model.pricer import Pricer
from carprice.model_folder import MANIFEST
from carprice.redaction import hide_secrets, redact
from carprice.registry.cache import last_known_good
from carprice.registry.logins import dagshub_host, dagshub_repository, is_dagshub
from carprice.schema import Listing, example_listing

logger = logging.getLogger("carprice.service")
Source = Literal["registry", "cache", "image"]
_FIRST_WAIT_SECONDS: float = 1.0
_LONGEST_WAIT_SECONDS: float = 30.0
_SHORT_DIGEST: Final = 12


@dataclass(frozen=True)
class ServedModel:
    """A loaded model, and where it came from.

    Attributes
    ----------
    pricer : what prices its listings.
    version : its number in the registry; of an image's model the start of its digest.
    source : the registry, the cache of the last known good model, or the image.
    since : when the registry last confirmed it; of an image's model when that was made.
    loaded : when this process loaded it.
    """

    model: PriceModel
    pricer: Pricer
    version: str
    source: Source
    since: datetime.datetime
    loaded: datetime.datetime

    @classmethod
    def of(
        cls,
        model: PriceModel,
        version: str,
        *,
        source: Source = "registry",
        since: datetime.datetime | None = None,
    ) -> Self:
        """Return the served model; ``since`` is now where it is not given.

        Raises
        ------
        CorruptModelError
            If it cannot price a listing, as one that another version of carprice trained.
        """
        _price_the_example(model)
        now = _now()
        return cls(model, model.pricer, version, source, since or now, now)


async def fetch_production(settings: ServiceSettings) -> ServedModel:
    """Return the registry's production model, loaded.

    Raises
    ------
    CarpriceError
        If there is none, it cannot be had in time, or its bytes are wrong.
    """
    answer = await ask(settings)
    return await asyncio.to_thread(_load, answer)


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
        self.on_swap: Callable[[ServedModel], object] = _ignore
        self.on_failure: Callable[[str], object] = _ignore

    async def run(self) -> None:
        """Ask until the registry answered once, then poll it if the settings say so.

        Returns only where nothing is to be polled; cancel it to stop.
        """
        wait = _FIRST_WAIT_SECONDS
        answered = self.served is not None
        while not answered:
            answered = await self._ask()
            if not answered:
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

    async def _take(self, answer: Answer) -> None:
        if answer.folder is not None:
            if answer.warning and answer.warning != self._warning:
                logger.warning("%s", answer.warning)
            self._warning = answer.warning
        if self.served is not None and answer.digest == self._digest:
            answer.discard()
            self._serve(
                replace(self.served, version=answer.version, source="registry", since=_now())
            )
        else:
            self._serve(await asyncio.to_thread(_load, answer))

    def _serve(self, served: ServedModel) -> None:
        before, self.served = self.served, served
        if before is None or _identity(before) != _identity(served):
            logger.info(
                "Serving version %s from the %s (digest %s)",
                served.version,
                served.source,
                served.model.digest,
            )
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


def _price_the_example(model: PriceModel) -> None:
    """Refuse a model that cannot price the schema's example listing, alone and among many."""
    listing = vars(Listing.model_validate(example_listing()))
    try:
        alone = model.pricer.value(listing).predicted_price
        (among_many,) = model.pricer.value_all([listing])
        if not math.isclose(alone, among_many.predicted_price, rel_tol=1e-6):
            raise ArithmeticError(f"{alone} alone, {among_many.predicted_price} among many")
    except Exception as error:
        logger.warning("The model does not price the example listing", exc_info=True)
        raise CorruptModelError(
            f"model {model.digest[:_SHORT_DIGEST]} cannot be served: it fails with "
            f"{type(error).__name__}; train it again with this version of carprice"
        ) from None


def _load(answer: Answer) -> ServedModel:
    try:
        if answer.folder is None:
            raise CorruptModelError("the registry's answer names no model folder")
        model = PriceModel.load(answer.folder)
    finally:
        answer.discard()
    if model.digest != answer.digest:
        raise CorruptModelError(
            f"{answer.folder} is not the model that was fetched; fetch it again"
        )
    return ServedModel.of(model, answer.version)


def _load_last_known_good(settings: ServiceSettings) -> ServedModel | None:
    known = last_known_good(settings.model_cache, settings.model_name, settings.tracking_uri)
    if known is None:
        return None
    model = PriceModel.load(known.folder)
    if model.digest != known.digest:
        raise CorruptModelError(f"{known.folder} is not the model that its name says; delete it")
    return ServedModel.of(model, known.version, source="cache", since=known.confirmed)


def _load_baked(settings: ServiceSettings) -> ServedModel | None:
    folder = settings.baked_model
    if folder is None:
        return None
    model = PriceModel.load(folder)
    return ServedModel.of(
        model, model.digest[:_SHORT_DIGEST], source="image", since=_modified(folder / MANIFEST)
    )


def _modified(path: Path) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(path.stat().st_mtime, datetime.UTC)


def _described(served: ServedModel) -> str:
    since = served.since.isoformat(timespec="seconds")
    if served.source == "image":
        return f"serving the model of the image, made {since}"
    return f"serving version {served.version}, which the registry confirmed last {since}"


def _identity(served: ServedModel) -> tuple[str, str, Source]:
    return served.model.digest, served.version, served.source


def _tell(hook: Callable[[Any], object], about: object) -> None:
    """Call a hook whose failure must not end the asking."""
    try:
        hook(about)
    except Exception:
        logger.exception("A hook of the model keeper failed")


def _ignore(_: object) -> None:
    """Do nothing."""


def _about(seconds: float) -> float:
    """Return a time near this one, so that workers that started together ask apart."""
    return seconds * random.uniform(0.75, 1.25)  # noqa: S311


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
