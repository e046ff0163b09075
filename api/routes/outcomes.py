"""What cars sold for: told one by one or many at once, kept in a database."""

import datetime
import logging
from functools import partial
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import to_json

from api.bodies import JSON
from api.dependencies import (
    Served,
    TheService,
    declared_size,
    media_type,
    parameters_of,
    read_body,
)
from api.json_reader import parse_json
from api.openapi import PROBLEMS, asks_for, reference
from api.parsing import check_rows
from api.problems import Kind, ProblemError, declare, invalid_field, invalid_fields
from carprice.listings.problems import MOST_ERRORS, WrongField
from carprice.monitoring.outcomes import (
    Added,
    Outcome,
    OutcomeForm,
    OutcomeStore,
    UnavailableError,
    form_of,
    wrong_of_outcome,
)
from carprice.schema import example_listing

logger = logging.getLogger("carprice.service")
OUTCOMES: Final = "/outcomes"
_MANY: Final = "outcomes"
_SOLD: Final = {"soldPrice": 487000, "soldOn": "2025-06-14"}
router = APIRouter(tags=["outcomes"], responses={**PROBLEMS, **declare(Kind.FORBIDDEN)})
off = APIRouter(include_in_schema=False)
"""Answers where no outcomes are kept."""


class OutcomesRequest(BaseModel):
    """What became of many cars."""

    model_config = ConfigDict(extra="forbid")

    outcomes: list[OutcomeForm]


class AddedAnswer(BaseModel):
    """What became of the outcomes that were sent."""

    new: int = Field(description="Of quotes and cars that nothing was told of", examples=[1])
    repeated: int = Field(description="Told before, and not kept again", examples=[0])
    corrections: int = Field(
        description="Other than what was told of the quote or car before, or a higher revision",
        examples=[0],
    )


READ: Final[tuple[type[BaseModel], ...]] = (OutcomeForm, OutcomesRequest)
"""What OpenAPI describes of bodies."""
_BODY: Final = {
    JSON: {
        "schema": {"anyOf": [reference(OutcomeForm), reference(OutcomesRequest)]},
        "example": {"listing": example_listing(), **_SOLD},
    }
}


@router.post(OUTCOMES, response_model=AddedAnswer, openapi_extra=asks_for(_BODY))
async def add_outcomes(request: Request, service: TheService, served: Served) -> Response:
    """Keep what became of cars: one outcome, or many, all or none of them.

    Of a quote, or of a listing: what it was sold for, what was offered, or that it was withdrawn.
    What is sent again counts once; another outcome of the same quote or listing is a correction,
    and so is a higher revision.
    """
    parameters_of(request, ())
    media_type(request, JSON)
    pool, settings = service.outcomes, service.settings
    if pool is None:
        raise not_kept()
    name = request.scope["state"]["exchange"].key_name
    if service.may_tell is not None and name not in service.may_tell:
        told = "this key may not tell outcomes; CARPRICE_OUTCOMES_KEYS names those that may"
        raise ProblemError(Kind.FORBIDDEN, told)
    with pool.place(), pool.receiving.share() as share:
        share.grow(declared_size(request, settings.batch_bytes) or 0)
        body = await read_body(request, settings.batch_bytes, settings.body_seconds, share)
        work = partial(_keep, pool.store, body, settings.batch_rows, served.form.own)
        added = await pool.run(work)
    return Response(to_json(added), media_type=JSON)


@off.post(OUTCOMES)
async def keep_none() -> Response:
    """Say that no outcomes are kept."""
    raise not_kept()


def not_kept() -> ProblemError:
    """Return the problem of outcomes that are sent where none are kept."""
    return ProblemError(
        Kind.NOT_FOUND,
        "this service keeps no outcomes; whoever runs it sets CARPRICE_OUTCOMES to a database",
    )


def _keep(store: OutcomeStore, body: bytes, most: int, own: tuple[str, ...]) -> Added:
    outcomes = read_outcomes(body, most, own)
    try:
        return store.add(outcomes, datetime.datetime.now(datetime.UTC))
    except UnavailableError as error:
        logger.warning("No outcomes were kept: %s", error)
        told = "the database of outcomes does not answer; nothing was kept, send it again"
        raise ProblemError(Kind.BUSY, told) from None


def read_outcomes(body: bytes, most: int, own: tuple[str, ...] = ()) -> list[Outcome]:
    """Read one outcome, or ``{"outcomes": […]}``; 422 names each wrong field and its place."""
    content = parse_json(body, most, strict=True)
    if not isinstance(content, dict) or _MANY not in content:
        return _read([("", content)], own)
    if set(content) != {_MANY}:
        told = 'the body must be an outcome, or {"outcomes": [ … ]} and nothing else'
        raise ProblemError(Kind.MALFORMED, told)
    rows = content[_MANY]
    if not isinstance(rows, list):
        raise invalid_field(_MANY, "must be an array of outcomes")
    check_rows(len(rows), most)
    return _read([(f"{_MANY}.{place}.", row) for place, row in enumerate(rows)], own)


def _read(rows: list[tuple[str, Any]], own: tuple[str, ...]) -> list[Outcome]:
    form = form_of(own)
    outcomes: list[Outcome] = []
    wrong: list[WrongField] = []
    for place, row in rows:
        try:
            outcomes.append(form.model_validate(row).outcome(own))
        except ValidationError as error:
            wrong += wrong_of_outcome(error, place, MOST_ERRORS - len(wrong), own)
            if len(wrong) >= MOST_ERRORS:
                break
    if wrong:
        raise invalid_fields(wrong)
    return outcomes
