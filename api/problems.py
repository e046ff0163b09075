"""Errors as problem details (RFC 9457); one place turns each into a response."""

import difflib
import json
import math
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from api.messages import FieldProblem, Problem
from carprice.schema import FIELDS, alias

_MEDIA_TYPE = "application/problem+json"
_SHOWN = 200


def declare(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI declaration of a route's problems."""
    schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {
        status.value: {
            "model": Problem,
            "description": status.phrase,
            "content": {_MEDIA_TYPE: schema},
        }
        for status in statuses
    }


def add_handlers(app: FastAPI) -> None:
    """Answer every error of the app with problem details."""
    app.add_exception_handler(HTTPException, _on_http_error)  # type: ignore[arg-type]
    app.add_exception_handler(RequestValidationError, _on_invalid)  # type: ignore[arg-type]


async def _on_http_error(_: Request, error: HTTPException) -> Response:
    status = HTTPStatus(error.status_code)
    problem = Problem(title=status.phrase, status=status, detail=str(error.detail))
    return _respond(problem, dict(error.headers or {}))


async def _on_invalid(_: Request, error: RequestValidationError) -> Response:
    errors = [_field_problem(detail) for detail in error.errors()]
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    detail = "; ".join(
        f"{one.field}: {one.message}" + ("" if one.value is None else f" (found {one.value!r})")
        for one in errors
    )
    return _respond(Problem(title=status.phrase, status=status, detail=detail, errors=errors), {})


def _field_problem(detail: dict[str, Any]) -> FieldProblem:
    place = ".".join(str(part) for part in detail["loc"] if part not in ("body", "query"))
    if detail["type"] == "missing":
        return FieldProblem(field=place or "body", message="this field is required", value=None)
    if detail["type"] == "extra_forbidden":
        return FieldProblem(field=place, message=f"there is no such field; {_nearest(place)}")
    found = detail.get("input")
    is_json = found is None or isinstance(found, int) or _is_finite(found)
    value = found if is_json else str(found)[:_SHOWN]
    return FieldProblem(field=place or "body", message=detail["msg"], value=value)


def _nearest(name: str) -> str:
    known = {spelling: alias(field) for field in FIELDS for spelling in (field, alias(field))}
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
    return f"did you mean {known[close[0]]}?" if close else "see /docs for the fields"


def _is_finite(value: object) -> bool:
    return isinstance(value, float) and math.isfinite(value)


def _respond(problem: Problem, headers: dict[str, str]) -> Response:
    content = json.dumps(problem.model_dump())  # in ASCII: half a surrogate pair has no UTF-8
    return Response(content, problem.status, headers=headers, media_type=_MEDIA_TYPE)
