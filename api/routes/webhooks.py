"""What MLflow's registry tells by its webhooks: that something changed, not what is in production.

A webhook that is signed as MLflow signs has the registry asked at once. Nothing that it says is
believed: what is served is what the registry answers, judged as ever.
"""

import base64
import hashlib
import hmac
import json
import logging
from collections.abc import Callable
from contextlib import suppress
from time import time
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from pydantic import SecretStr

from api.dependencies import read_body
from api.gateway import WEBHOOK
from api.problems import Kind, ProblemError
from api.service import Service

logger = logging.getLogger("carprice.service")
_HEADERS: Final = ("x-mlflow-signature", "x-mlflow-delivery-id", "x-mlflow-timestamp")
_ENTITIES: Final = frozenset({"model_version_alias", "registered_model"})
_FRESH_SECONDS: Final = 300.0
_MOST_BYTES: Final = 64 * 1024
_MOST_SEEN: Final = 1_000


class Receiver:
    """Tells signed deliveries, each once, from all else.

    Parameters
    ----------
    secret : the webhook's, with which MLflow signs.
    now : seconds since 1970.
    """

    def __init__(self, secret: SecretStr, now: Callable[[], float] = time) -> None:
        self._secret = secret
        self._now = now
        self._seen: dict[str, float] = {}

    def is_new(self, signature: str, delivery: str, moment: str, body: bytes) -> bool:
        """Whether a delivery was not seen before; 401 if it is not signed, or is not of now."""
        signed = f"{delivery}.{moment}.".encode("utf-8", "surrogateescape") + body
        secret = self._secret.get_secret_value().encode()
        digest = hmac.new(secret, signed, hashlib.sha256).digest()
        expected = b"v1," + base64.b64encode(digest)
        if not hmac.compare_digest(expected, signature.encode("utf-8", "surrogateescape")):
            raise _refused("the signature is not that of the secret in CARPRICE_WEBHOOK_SECRET")
        now, then = self._now(), 0.0
        with suppress(ValueError):
            then = float(moment)
        if not abs(now - then) <= _FRESH_SECONDS:
            raise _refused(
                f"the delivery is not of the last {_FRESH_SECONDS:g} seconds; check the clocks"
            )
        kept = [*self._seen.items()][-_MOST_SEEN:]
        self._seen = {one: seen for one, seen in kept if seen > now - 2 * _FRESH_SECONDS}
        if delivery in self._seen:
            return False
        self._seen[delivery] = now
        return True


def router_of(service: Service) -> APIRouter:
    """Return the route, for a service that has the secret of a webhook."""
    receiver = Receiver(service.settings.webhook_secret)
    router = APIRouter(include_in_schema=False)

    @router.post(WEBHOOK)
    async def webhook(request: Request) -> Response:
        """Have all workers ask the registry at once where the model's aliases changed; 204."""
        body = await read_body(request, _MOST_BYTES, service.settings.body_seconds)
        signature, delivery, moment = (request.headers.get(name, "") for name in _HEADERS)
        is_new = receiver.is_new(signature, delivery, moment, body)
        if is_new and _is_about(service.settings.model_name, body):
            logger.info("The registry told of a change; it is being asked")
            service.ask_soon()
            await service.siblings.tell()
        return Response(status_code=204)

    return router


def _is_about(name: str, body: bytes) -> bool:
    """Whether an event is about an alias of a model, or the model itself."""
    try:
        event: Any = json.loads(body)
        return event["entity"] in _ENTITIES and event["data"]["name"] == name
    except (ValueError, KeyError, TypeError, RecursionError):
        return False


def _refused(why: str) -> ProblemError:
    return ProblemError(Kind.UNAUTHORIZED, why, headers={"WWW-Authenticate": "X-MLflow-Signature"})
