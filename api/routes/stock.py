"""What the page ``/app/stock`` asks of its files: rows priced, days and histories, a summary.

The page alone asks it, and it may change with it; programs send ``/predict/batch``.
"""

import datetime
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import repeat
from typing import Annotated, Any, Final, NamedTuple, TypeVar

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import to_json

from api.batch_pool import json_array
from api.bodies import CSV, JSON, QUOTE_ID
from api.dependencies import Served, TheService, batch_body, media_type
from api.gateway import APP
from api.json_reader import parse_json
from api.parsing import Batch, Row, read_csv
from api.problems import Kind, ProblemError
from api.served import PricedRow, ServedModel
from carprice.appraisal.comparables import Rank, ranks_of
from carprice.appraisal.deal import JudgedValuation
from carprice.appraisal.reasons import LARGEST, largest_in_cents
from carprice.appraisal.sheets import (
    Sheet,
    day_of_stock,
    days_listed,
    histories_of,
    oddities,
    rows_to_tell,
    snapshot_days,
)
from carprice.appraisal.snapshots import History, supply
from carprice.appraisal.stock_summary import Figures, summary_of
from carprice.errors import InputError
from carprice.listings.problems import read_csv_cell
from carprice.model.explanation import Explanation
from carprice.model.pricer import Valuation, cents
from carprice.schema import ASKING_PRICE, DEFAULT_CONFIDENCE, MOST_ASKED

STOCK: Final = f"{APP}/stock"
MOST_ROWS: Final = 100_000
"""Of all files of a stock."""
_WHOLE_BYTES: Final = 16 * 1024 * 1024
"""Of a body with all cars of a stock, which has no parts: in any service as many rows are taken."""
_MOST_FILES: Final = 1_000
_ISO_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_REMEDY: Final = "in the field “Column that names each car”"

router = APIRouter(include_in_schema=False)
Text = Annotated[str, Field(max_length=1_000)]
Place = Annotated[int, Field(ge=0, lt=MOST_ROWS)]
Number = Annotated[float, Field(allow_inf_nan=False)]
B = TypeVar("B", bound=BaseModel)
R = TypeVar("R")


class _Body(BaseModel):
    """A body; its cars are read one by one, so that others get their turn."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel)

    cars: Annotated[list[Any], Field(max_length=MOST_ROWS)]


class Files(_Body):
    """The files of a stock, and their cars in the same order.

    Attributes
    ----------
    has_ids : whether a column of theirs names cars.
    """

    has_ids: bool
    files: Annotated[list[Text], Field(min_length=1, max_length=_MOST_FILES)]


Seen = tuple[Place, Place | None, Text, Text]
"""The place of a car's file, that of its name among the names, None where it has none; and, as
texts, when it was listed and what is asked.
"""


class Cars(_Body):
    """The cars of a stock that have a price, their makes, and the days of snapshots, ascending."""

    makes: Annotated[list[Text], Field(max_length=MOST_ROWS)]
    days: Annotated[list[datetime.date], Field(max_length=MOST_ROWS)]


class Car(NamedTuple):
    """What a car is summed up by, within limits; see :class:`Figures`. Of its make the place."""

    make: Place
    age: Annotated[Number, Field(ge=0, le=1_000)]
    asking: Annotated[Number, Field(gt=0, le=MOST_ASKED)] | None
    predicted: Annotated[Number, Field(ge=0.01, le=MOST_ASKED)]
    days: Annotated[int, Field(ge=0, le=1_000_000)] | None
    last: datetime.date | None
    gone: bool


_SEEN: Final = TypeAdapter(Seen)
_CAR: Final = TypeAdapter(Car)


async def _csv(request: Request, service: TheService) -> bytes:
    media_type(request, CSV)
    return await batch_body(request, service)


async def _json(request: Request, service: TheService) -> bytes:
    media_type(request, JSON)
    return await batch_body(request, service, _WHOLE_BYTES)


@router.post(f"{STOCK}/rows")
async def rows(
    service: TheService, served: Served, body: Annotated[bytes, Depends(_csv)]
) -> Response:
    """Price a part of a file, as ``/predict/batch`` does, and tell reasons and ranks too."""
    read = partial(read_csv, form=served.form)
    asked = f"{STOCK}/rows", served, body, DEFAULT_CONFIDENCE, read, _told
    content = await service.batches.answer(*asked, at_once=False)
    return Response(content, media_type=JSON)


@router.post(f"{STOCK}/days")
async def days(service: TheService, body: Annotated[bytes, Depends(_json)]) -> Response:
    """Tell which rows of some files are the stock, and what the snapshots tell of each."""
    content = await service.batches.run(body, lambda: _days(_read(Files, body)))
    return Response(content, media_type=JSON)


@router.post(f"{STOCK}/summary")
async def summary(service: TheService, body: Annotated[bytes, Depends(_json)]) -> Response:
    """Sum a stock up."""
    content = await service.batches.run(body, lambda: _summary(_read(Cars, body)))
    return Response(content, media_type=JSON)


def _told(served: ServedModel, batch: Batch, priced: list[PricedRow]) -> bytes:
    pairs = zip(batch.rows, priced, strict=True)
    told = served.model.pricer.explain_all(
        vars(listing) for listing, row in pairs if isinstance(row, Valuation)
    )
    ids = batch.quote_ids or repeat("")
    ranks = iter(_ranks(served, batch, priced))
    found = map(partial(_row_told, told, ranks), batch.rows, priced, ids)
    rest = to_json(served.content(batch.confidence))[1:]
    return b'{"rows":' + json_array(found) + b"," + rest


def _ranks(served: ServedModel, batch: Batch, priced: Sequence[PricedRow]) -> list[Rank | None]:
    """Return the ranks of the rows for which a price is asked."""
    judged = [
        (vars(listing), row.asking_price)
        for listing, row in zip(batch.rows, priced, strict=True)
        if isinstance(row, JudgedValuation)
    ]
    listings, asking = zip(*judged, strict=True) if judged else ((), ())
    return ranks_of(served.model, listings, asking)


def _row_told(
    told: Iterator[Explanation],
    ranks: Iterator[Rank | None],
    listing: Row,
    row: PricedRow,
    quote_id: str,
) -> dict[str, Any]:
    """Return what is told of a row.

    Parameters
    ----------
    told : the explanations of the rows with a price.
    ranks : of those for which one is asked.
    """
    if isinstance(row, ProblemError) or isinstance(listing, ProblemError):
        return {"price": None, "problem": str(row)}
    price = row.predicted_price
    reasons = largest_in_cents(next(told), price, LARGEST)
    age = max(row.valuation_date.year - listing.year, 0)
    found: dict[str, Any] = {"price": row.content(), "age": age, "reasons": reasons}
    if quote_id:
        found[QUOTE_ID] = quote_id
    if isinstance(row, JudgedValuation):
        rank = next(ranks)
        found |= {
            "askingPrice": row.asking_price,
            "priceToMarket": round(row.asking_price / price, 4) if price else None,
            "rank": None if rank is None else str(rank),
        }
    return found


def _days(asked: Files) -> bytes:
    sheets = _sheets(asked)
    try:
        on = snapshot_days(sheets, _REMEDY, has_ids=asked.has_ids)
    except InputError as error:
        raise ProblemError(Kind.MALFORMED, str(error)) from None
    histories = histories_of(sheets) if on else {}
    until = None if on else day_of_stock(sheets)
    notes, found = [*oddities(sheets, on)], list[tuple[Any, ...] | None]()
    for sheet in sheets:
        is_told = rows_to_tell(sheet, on, histories)
        rows = zip(is_told, sheet.ids, sheet.days, sheet.listed, strict=True)
        for here, car, day, listed in rows:
            history = None if car is None else histories.get(car)
            is_gone = bool(on) and day is not None and day != on[-1]
            of_one = None if until is None else days_listed(listed, until)
            found.append((is_gone, *_history(history, of_one)) if here else None)
    if on:
        lasts = supply([one.last for one in histories.values()], on)
        notes.append(lasts.sentence(sum(row is not None and row[0] for row in found)))
    named = [sheet.named_day for sheet in sheets]
    rest = to_json({"days": on, "fileDays": named, "notes": notes})[1:]
    return b'{"cars":' + json_array(found) + b"," + rest


def _sheets(asked: Files) -> list[Sheet]:
    """Return the rows of each file as snapshots are made of; what cannot be read is not known."""
    seen = _each(_SEEN, asked.cars)
    places = [file for file, *_ in seen]
    if places != sorted(places) or (places and places[-1] >= len(asked.files)):
        raise ProblemError(Kind.MALFORMED, "the cars must stand in the order of their files")
    sheets = []
    for number, label in enumerate(asked.files):
        own = seen[bisect_left(places, number) : bisect_right(places, number)]
        names = [None if name is None else str(name) for _, name, _, _ in own]
        listed = [_day(cell) for _, _, cell, _ in own]
        sheets.append(Sheet.of(label, names, listed, [_price(cell) for *_, cell in own]))
    return sheets


def _history(told: History | None, of_one: int | None) -> Sequence[Any]:
    """Return a car's first and last day, the days between, its price drops and their sum."""
    if told is None:
        return None, None, of_one, None, None
    return told.first, told.last, told.days_listed, told.drops, cents(told.dropped)


def _summary(asked: Cars) -> bytes:
    days, makes, read = asked.days, asked.makes, _each(_CAR, asked.cars)
    if max((one.make for one in read), default=-1) >= len(makes):
        raise ProblemError(Kind.MALFORMED, "a car's make is none of the makes")
    cars = [Figures(makes[one.make], *one[1:]) for one in read]
    last = [one.last for one in cars if one.last is not None]
    if days != sorted(days) or (days and max(last, default=days[-1]) > days[-1]):
        raise ProblemError(Kind.MALFORMED, "days must ascend, and no car be seen after them")
    return to_json({"rows": summary_of(cars, days)})


def _read(kind: type[B], body: bytes) -> B:
    """Read a body that the page sends; 422 for another one, 413 for too many cars."""
    content = parse_json(body, MOST_ROWS, _light, strict=True)
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise _not_sent(error) from None


def _light(car: Any) -> Any:
    """Return a car as a plain tuple, which Python's collector passes over."""
    return tuple(car) if isinstance(car, list) else car


def _each(kind: TypeAdapter[R], cars: Sequence[Any]) -> list[R]:
    """Read cars one by one; 422 for what the page does not send."""
    try:
        return [*map(kind.validate_python, cars)]
    except ValidationError as error:
        raise _not_sent(error) from None


def _not_sent(error: ValidationError) -> ProblemError:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(map(str, first["loc"])) or "the body"
    return ProblemError(Kind.MALFORMED, f"{place}: {first['msg']}"[:300])


def _day(cell: str) -> datetime.date | None:
    text = cell.strip()
    if _ISO_DAY.fullmatch(text):
        with suppress(ValueError):
            return datetime.date.fromisoformat(text)
    return None


def _price(cell: str) -> float | None:
    value = read_csv_cell(ASKING_PRICE, cell)
    return value if isinstance(value, float) and 0 < value <= MOST_ASKED else None
