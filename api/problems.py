"""Errors as problem details (RFC 9457): each kind's stable type, status and title in one table."""

import json
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

from fastapi import FastAPI, Request, Response
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from api.bodies import FieldProblem, Problem
from api.root_path import route_path
from carprice.listings.problems import MOST_ERRORS, WrongField, wrong_fields

MEDIA_TYPE = "application/problem+json"


class Kind(Enum):
    """What can go wrong: the last part of the problem's type, and its HTTP status."""

    BAD_REQUEST = ("bad-request", 400)
    UNAUTHORIZED = ("unauthorized", 401)
    FORBIDDEN = ("forbidden", 403)
    NOT_FOUND = ("not-found", 404)
    METHOD_NOT_ALLOWED = ("method-not-allowed", 405)
    TOO_SLOW = ("request-too-slow", 408)
    TOO_LARGE = ("request-too-large", 413)
    MEDIA_TYPE = ("unsupported-media-type", 415)
    MALFORMED = ("malformed-body", 422)
    LISTING = ("invalid-listing", 422)
    PARAMETER = ("invalid-parameter", 422)
    TOO_MANY = ("too-many-requests", 429)
    HEAD_TOO_LARGE = ("head-too-large", 431)
    INTERNAL = ("internal-error", 500)
    NO_MODEL = ("no-model", 503)
    BUSY = ("busy", 503)

    def __init__(self, code: str, status: int) -> None:
        self.code = code
        self.status = status
        self.title = code.replace("-", " ").capitalize()


class ProblemError(Exception):
    """A request that gets a problem for an answer; with 503 its client shall try again.

    It is put into words when it is told: a batch may have ten thousand.

    Parameters
    ----------
    detail : what is wrong; by default what the errors say.
    """

    def __init__(
        self,
        kind: Kind,
        detail: str = "",
        errors: Iterable[WrongField] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.headers = {"Retry-After": "5"} if kind.status == 503 else dict(headers or {})
        self._errors = tuple(map(tuple, errors))  # Python's collector passes over plain tuples

    @property
    def errors(self) -> list[WrongField]:
        """The fields that are wrong."""
        return [*map(WrongField._make, self._errors)]

    @property
    def problem(self) -> Problem:
        """The problem as it is answered."""
        return Problem(
            type=f"urn:carprice:problem:{self.kind.code}",
            title=self.kind.title,
            status=self.kind.status,
            detail=str(self),
            errors=[FieldProblem(**error._asdict()) for error in self.errors],
        )

    def __str__(self) -> str:
        """Return what is wrong."""
        return self.args[0] or "; ".join(map(str, self.errors))


def invalid_listing(
    error: ValidationError, prefix: str = "", most: int = MOST_ERRORS, own: Iterable[str] = ()
) -> ProblemError:
    """Return the problem of a listing; see :func:`carprice.listings.problems.wrong_fields`."""
    return invalid_fields(wrong_fields(error, prefix, most, own))


def invalid_field(
    field: str, message: str, kind: Kind = Kind.LISTING, value: object = None
) -> ProblemError:
    """Return the problem of one field that is wrong; ``value`` is what was found."""
    return invalid_fields([WrongField(field, message, value)], kind)


def invalid_fields(errors: Iterable[WrongField], kind: Kind = Kind.LISTING) -> ProblemError:
    """Return the problem of fields that are wrong."""
    return ProblemError(kind, errors=errors)


def respond(problem: ProblemError, **more: str) -> Response:
    """Return a problem as a response, with more members where there are any."""
    # ASCII: half a surrogate pair has no UTF-8.
    content = json.dumps({**problem.problem.model_dump(), **more})
    return Response(content, problem.problem.status, problem.headers, MEDIA_TYPE)


def add_handlers(app: FastAPI) -> None:
    """Answer the app's own errors, such as of unknown paths, with problem details too."""
    app.add_exception_handler(ProblemError, _on_problem)  # type: ignore[arg-type]
    app.add_exception_handler(HTTPException, _on_http_error)  # type: ignore[arg-type]


def declare(*kinds: Kind) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI declaration of a route's problems."""
    by_status: dict[int | str, list[Kind]] = {}
    for kind in kinds:
        by_status.setdefault(kind.status, []).append(kind)
    return {
        status: {
            "description": " or ".join(kind.title for kind in of_status).capitalize(),
            "content": {
                MEDIA_TYPE: {
                    "schema": {"$ref": "#/components/schemas/Problem"},
                    "examples": {kind.code: {"value": _example(kind)} for kind in of_status},
                }
            },
        }
        for status, of_status in sorted(by_status.items())
    }


async def _on_problem(request: Request, error: ProblemError) -> Response:
    if route_path(request.scope).startswith("/v2"):
        # What clients of the Open Inference Protocol read.
        return respond(error, error=error.problem.detail)
    return respond(error)


async def _on_http_error(request: Request, error: HTTPException) -> Response:
    path, headers = request.url.path, error.headers
    if error.status_code == Kind.METHOD_NOT_ALLOWED.status:
        allowed = (headers or {}).get("Allow", "another method")
        detail = f"{path} does not answer {request.method}; use {allowed}"
        return respond(ProblemError(Kind.METHOD_NOT_ALLOWED, detail, headers=headers))
    docs = f"{request.scope.get('root_path', '')}/docs"
    return respond(
        ProblemError(Kind.NOT_FOUND, f"there is no {path}; see {docs} for what there is")
    )


_EXAMPLES: Mapping[Kind, str | WrongField] = {
    Kind.BAD_REQUEST: "the request cannot be read; send HTTP/1.1",
    Kind.UNAUTHORIZED: "send a valid key in the header X-API-Key",
    Kind.FORBIDDEN: "this key may not tell outcomes; CARPRICE_OUTCOMES_KEYS names those that may",
    Kind.NOT_FOUND: "there is no /predictions; see /docs for what there is",
    Kind.METHOD_NOT_ALLOWED: "/predict does not answer GET; use POST",
    Kind.TOO_SLOW: "the request's body did not arrive within 10 seconds; send it again",
    Kind.TOO_LARGE: "the request has more than 65,536 bytes; use /predict/batch",
    Kind.MEDIA_TYPE: "Content-Type is 'text/plain'; it must be application/json",
    Kind.MALFORMED: "the body is not valid JSON: EOF while parsing a value at line 1 column 0",
    Kind.LISTING: WrongField("odometer", "Input should be a valid number", "abc"),
    Kind.PARAMETER: WrongField("confidence", "must be a number from 0.5 to 0.99", "2"),
    Kind.TOO_MANY: "this key may make 600 requests a minute; try again in 2 seconds",
    Kind.HEAD_TOO_LARGE: "the request has more than 65,536 bytes that are not its body; send fewer "
    "or shorter headers",
    Kind.INTERNAL: "an error of ours; it is logged under the request's X-Request-ID",
    Kind.NO_MODEL: "the production model is being loaded",
    Kind.BUSY: "the service is about to stop",
}


def _example(kind: Kind) -> dict[str, Any]:
    told = _EXAMPLES[kind]
    error = ProblemError(kind, told) if isinstance(told, str) else invalid_fields([told], kind)
    return error.problem.model_dump()
