"""What the page ``/app/stock`` asks of its files: rows priced, days and histories, a summary.

The page alone asks it, and it may change with it; programs send ``/predict/batch``.
"""

import datetime
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Annotated, Any, Final, TypeVar

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import to_json

from api.batch_pool import json_array
from api.bodies import CSV, JSON
from api.dependencies import Served, TheService, batch_body, media_type
from api.gateway import APP
from api.parsing import Batch, Row, read_csv
from api.problems import Kind, ProblemError
from api.served import PricedRow, ServedModel
from carprice.appraisal.comparables import rank_of
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
_MOST_FILES: Final = 1_000
_ISO_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_REMEDY: Final = "in the field “Column that names each car”"

router = APIRouter(include_in_schema=False)
Text = Annotated[str, Field(max_length=1_000)]
B = TypeVar("B", bound=BaseModel)


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class File(_Body):
    """A file of a stock: its name, and what names each car, when it was listed, what is asked."""

    name: Text
    cars: Annotated[list[tuple[Text, Text, Text]], Field(max_length=MOST_ROWS, fail_fast=True)]

    def sheet(self) -> Sheet:
        """Return its rows as snapshots are made of; what cannot be read is not known."""
        ids, listed, asking = zip(*self.cars, strict=True) if self.cars else ((), (), ())
        names = [one.strip() or None for one in ids]
        return Sheet.of(self.name, names, [*map(_day, listed)], [*map(_price, asking)])


class Files(_Body):
    """The files of a stock; ``has_ids`` says whether a column of theirs names cars."""

    has_ids: bool
    files: list[File] = Field(min_length=1, max_length=_MOST_FILES)


class Car(_Body):
    """What a car that has a price is summed up by, see :class:`Figures`."""

    make: Text
    age: float = Field(ge=0, le=1_000)
    asking: float | None = Field(gt=0, le=MOST_ASKED)
    predicted: float = Field(ge=0.01, le=MOST_ASKED)
    days: int | None = Field(ge=0, le=1_000_000)
    last: datetime.date | None
    gone: bool


class Cars(_Body):
    """The cars of a stock that have a price, and the days of its snapshots, ascending."""

    days: list[datetime.date] = Field(max_length=MOST_ROWS)
    cars: Annotated[list[Car], Field(max_length=MOST_ROWS, fail_fast=True)]


async def _csv(request: Request, service: TheService) -> bytes:
    media_type(request, CSV)
    return await batch_body(request, service)


async def _json(request: Request, service: TheService) -> bytes:
    media_type(request, JSON)
    return await batch_body(request, service)


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
    pairs = [*zip(batch.rows, priced, strict=True)]
    told = served.model.pricer.explain_all(
        vars(listing) for listing, row in pairs if isinstance(row, Valuation)
    )
    found = (_row_told(served, listing, row, told) for listing, row in pairs)
    rest = to_json(served.content(batch.confidence))[1:]
    return b'{"rows":' + json_array(found) + b"," + rest


def _row_told(
    served: ServedModel, listing: Row, row: PricedRow, told: Iterator[Explanation]
) -> dict[str, Any]:
    """Return what is told of a row; ``told`` has the explanations of those with a price."""
    if isinstance(row, ProblemError):
        return {"price": None, "problem": str(row)}
    price = row.predicted_price
    reasons = largest_in_cents(next(told), price, LARGEST)
    found: dict[str, Any] = {"price": row.content(), "reasons": reasons}
    if isinstance(row, JudgedValuation):
        rank = rank_of(served.model, vars(listing), row.asking_price)
        found |= {
            "askingPrice": row.asking_price,
            "priceToMarket": round(row.asking_price / price, 4) if price else None,
            "rank": None if rank is None else str(rank),
        }
    return found


def _days(asked: Files) -> bytes:
    sheets = [file.sheet() for file in asked.files]
    if sum(len(sheet.ids) for sheet in sheets) > MOST_ROWS:
        raise ProblemError(Kind.TOO_LARGE, f"the files have more than {MOST_ROWS:,} rows")
    try:
        on = snapshot_days(sheets, _REMEDY, has_ids=asked.has_ids)
    except InputError as error:
        raise ProblemError(Kind.MALFORMED, str(error)) from None
    histories = histories_of(sheets) if on else {}
    until = None if on else day_of_stock(sheets)
    notes, files, gone = [*oddities(sheets, on)], list[dict[str, Any]](), 0
    for sheet in sheets:
        found: list[list[Any] | None] = []
        is_told = rows_to_tell(sheet, on, histories)
        for here, car, day, listed in zip(
            is_told, sheet.ids, sheet.days, sheet.listed, strict=True
        ):
            history = None if car is None else histories.get(car)
            is_gone = bool(on) and here and day is not None and day != on[-1]
            gone += is_gone
            of_one = None if until is None else days_listed(listed, until)
            found.append([is_gone, *_history(history, of_one)] if here else None)
        files.append({"day": sheet.named_day, "rows": found})
    if on:
        lasts = supply([one.last for one in histories.values()], on)
        notes.append(lasts.sentence(gone))
    return to_json({"days": on, "files": files, "notes": notes})


def _history(told: History | None, of_one: int | None) -> Sequence[Any]:
    """Return a car's first and last day, the days between, its price drops and their sum."""
    if told is None:
        return None, None, of_one, None, None
    return told.first, told.last, told.days_listed, told.drops, cents(told.dropped)


def _summary(asked: Cars) -> bytes:
    on, newest = asked.days, max(asked.days, default=None)
    is_late = any(
        newest is not None and car.last is not None and car.last > newest for car in asked.cars
    )
    if on != sorted(on) or is_late:
        raise ProblemError(Kind.MALFORMED, "days must ascend, and a last day be none after them")
    return to_json({"rows": summary_of([Figures(**vars(car)) for car in asked.cars], on)})


def _read(kind: type[B], body: bytes) -> B:
    """Read a body that the page sends; 422 for another one."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "the body"
        raise ProblemError(Kind.MALFORMED, f"{place}: {first['msg']}"[:300]) from None


def _day(cell: str) -> datetime.date | None:
    text = cell.strip()
    if _ISO_DAY.fullmatch(text):
        with suppress(ValueError):
            return datetime.date.fromisoformat(text)
    return None


def _price(cell: str) -> float | None:
    value = read_csv_cell(ASKING_PRICE, cell)
    return value if isinstance(value, float) and 0 < value <= MOST_ASKED else None
