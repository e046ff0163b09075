"""The request's body and parameters, within limits."""

import asyncio
import re
from urllib.parse import parse_qsl

from fastapi import Request
from starlette.requests import ClientDisconnect

from api.messages import FieldProblem
from api.problems import Kind, ProblemError, invalid_fields
from carprice.model import DEFAULT_CONFIDENCE

JSON, CSV = "application/json", "text/csv"
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def media_type(request: Request, *known: str) -> str:
    """Return the media type of the body, which is the first one known where none is named.

    Raises
    ------
    ProblemError
        415 if it is none of those known.
    """
    given = request.headers.get("content-type")
    if given is None or given == known[0]:
        return known[0]
    essence, _, parameters = given.partition(";")
    kind = essence.strip().lower()
    charset = re.search(r'charset="?([^";\s]*)', parameters.lower())
    if kind in known and (charset is None or charset[1] in ("utf-8", "utf8", "us-ascii")):
        return kind
    raise ProblemError(
        Kind.MEDIA_TYPE,
        f"Content-Type is {given[:100]!r}; it must be {' or '.join(known)}, in UTF-8",
    )


def prefers_csv(accept: str) -> bool:
    """Return whether a header ``Accept`` names CSV, and JSON not before it."""
    kinds = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    return CSV in kinds and (JSON not in kinds or kinds.index(CSV) < kinds.index(JSON))


async def read_body(request: Request, limit: int, seconds: float) -> bytes:
    """Return the body.

    Raises
    ------
    ProblemError
        413 if it has more bytes than ``limit``, 408 if it is not there after ``seconds``.
    """
    declared = request.headers.get("content-length")
    if declared is not None and int(declared) > limit:
        raise _too_large(limit)
    try:
        async with asyncio.timeout(seconds):
            return await _join(request, limit)
    except TimeoutError:
        raise ProblemError(
            Kind.TOO_SLOW,
            f"the request's body did not arrive within {seconds:g} seconds; send it again",
            headers={"Connection": "close"},
        ) from None


async def _join(request: Request, limit: int) -> bytes:
    message = await request.receive()
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        if len(body) > limit:
            raise _too_large(limit)
        return body
    parts, size = [body], len(body)
    async for part in request.stream():
        parts.append(part)
        size += len(part)
        if size > limit:
            raise _too_large(limit)
    return b"".join(parts)


def _too_large(limit: int) -> ProblemError:
    return ProblemError(
        Kind.TOO_LARGE,
        f"the request has more than {limit:,} bytes; send less, or several requests",
        headers={"Connection": "close"},
    )


def confidence_in_query(query: bytes) -> float:
    """Return the parameter ``confidence``, by default 0.9.

    Raises
    ------
    ProblemError
        422 if it is no number from 0.5 to 0.99, or there are other parameters.
    """
    if not query:
        return DEFAULT_CONFIDENCE
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    if len(pairs) != 1 or pairs[0][0] != "confidence":
        others = [name for name, _ in pairs if name != "confidence"]
        name = (others or ["confidence"])[0]
        message = "there is no such parameter" if others else "is given more than once"
        raise invalid_fields([FieldProblem(field=name[:100], message=message)], Kind.PARAMETER)
    return confidence_in(pairs[0][1])


def confidence_in(text: str) -> float:
    """Read a confidence.

    Raises
    ------
    ProblemError
        422 if it is no number from 0.5 to 0.99.
    """
    if _NUMBER.fullmatch(text) and 0.5 <= (confidence := float(text)) <= 0.99:
        return confidence
    message = "must be a number from 0.5 to 0.99"
    error = FieldProblem(field="confidence", message=message, value=text[:100])
    raise invalid_fields([error], Kind.PARAMETER)
