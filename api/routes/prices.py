"""One listing: its price."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple, Self

from fastapi import APIRouter, Request, Response
from pydantic_core import to_json
from starlette.types import ASGIApp, Receive, Scope, Send

from api.bodies import JSON, ListingRequest, PriceAnswer
from api.dependencies import confidence_in, confidence_of, listing_of
from api.openapi import CONFIDENCE, LISTING, PROBLEMS, asks_for
from api.parsing import read_listing
from api.problems import ProblemError, respond
from api.root_path import route_path
from api.served import ServedModel
from api.service import Service
from carprice.model.pricer import Valuation

PREDICT: Final = "/predict"
router = APIRouter(tags=["prices"], responses=PROBLEMS)


@router.post(PREDICT, response_model=PriceAnswer, openapi_extra=asks_for(LISTING, CONFIDENCE))
async def predict(request: Request) -> Response:
    """Value one listing."""
    return Response(await answer(request), media_type=JSON)


async def answer(request: Request) -> bytes:
    """Return the body of the answer to a request."""
    service: Service = request.app.state.service
    served, confidence = service.served(request), await confidence_of(request)
    listing = await listing_of(request, service, served)
    tell = partial(_told, confidence)
    return to_json(await service.answer(request, served, listing, confidence, tell))


@dataclass(slots=True, eq=False)
class Question:
    """A listing, and how its price is asked for."""

    served: ServedModel
    confidence: float
    listing: ListingRequest

    @classmethod
    def read(cls, served: ServedModel, query: bytes, body: bytes) -> Self:
        """Read a request whose body is there; a :class:`ProblemError` where it is wrong."""
        return cls(served, confidence_in(query), read_listing(body, served.form))

    @property
    def kind(self) -> tuple[int, float, bool]:
        """What is the same of questions whose listings are priced together."""
        return id(self.served), self.confidence, self.listing.asking_price is not None


def prices_of(questions: Sequence[Question]) -> Sequence[Valuation]:
    """Price the listings of questions of one kind."""
    first = questions[0]
    if len(questions) == 1:
        return [first.served.value(first.listing, first.confidence)]
    return [*first.served.values([one.listing for one in questions], first.confidence)]


def answer_to(service: Service, question: Question, valuation: Valuation, seconds: float) -> bytes:
    """Return the answer to a question, where the challenger answers none; it is kept.

    Parameters
    ----------
    seconds : that the price took.
    """
    confidence = question.confidence
    tell, priced = partial(_told, confidence), (valuation, seconds)
    content = service.answer_at_once(
        PREDICT, question.served, question.listing, confidence, tell, priced
    )
    return to_json(content)


def _told(confidence: float, by: ServedModel, valuation: Valuation) -> dict[str, Any]:
    return {**valuation.content(), **by.content(confidence)}


class _Direct(NamedTuple):
    """A route, as the scope of a request names it, and what answers it."""

    path: str
    answer: Callable[[Request], Awaitable[bytes]]


class DirectRoute:
    """ASGI middleware that answers some POST routes by itself, as their functions do.

    FastAPI's router, exit stacks and response model cost more than a price does, see
    docs/decisions/0006-plain-routes.md. This is the innermost middleware: a request passes all
    others first.

    Parameters
    ----------
    answers : path → what returns the JSON of an answer, or raises a :class:`ProblemError`.
    """

    def __init__(
        self, app: ASGIApp, answers: Mapping[str, Callable[[Request], Awaitable[bytes]]]
    ) -> None:
        self._app = app
        self._routes = {path: _Direct(path, answer) for path, answer in answers.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the routes' requests, and pass all others on."""
        is_post = scope["type"] == "http" and scope["method"] == "POST"
        route = self._routes.get(route_path(scope)) if is_post else None
        if route is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = route
        try:
            body = await route.answer(Request(scope, receive))
        except ProblemError as error:
            await respond(error)(scope, receive, send)
            return
        headers = [(b"content-length", b"%d" % len(body)), (b"content-type", JSON.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})
