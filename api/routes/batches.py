"""Many listings in one request, JSON or CSV, priced together in a thread of their own."""

import csv
import io
from functools import partial
from itertools import repeat
from typing import Any, Final

from fastapi import APIRouter, Response
from pydantic_core import to_json

from api.batch_pool import json_array
from api.bodies import CSV, QUOTE_ID, BatchAnswer
from api.dependencies import Confidence, SentListings, Served, TheService
from api.openapi import BATCH, CONFIDENCE, PROBLEMS, asks_for, text_answer
from api.parsing import Batch, read_csv, read_json_batch
from api.problems import ProblemError
from api.served import PricedRow, ServedModel
from api.spreadsheets import harmless
from carprice.appraisal.deal import JudgedValuation
from carprice.model.pricer import Valuation
from carprice.schema import DEAL_COLUMNS, PRICE_NAMES

_PATH: Final = "/predict/batch"
_COLUMNS = (*PRICE_NAMES, "currency", "valuationDate", "modelVersion", "warnings", "problem")
router = APIRouter(tags=["prices"])


@router.post(
    _PATH,
    response_model=BatchAnswer,
    responses={200: text_answer(CSV, f"row,{PRICE_NAMES[0]}\r\n0,512000.0\r\n"), **PROBLEMS},
    openapi_extra=asks_for(BATCH, CONFIDENCE),
)
async def predict_batch(
    service: TheService, served: Served, confidence: Confidence, sent: SentListings
) -> Response:
    """Value many listings: each row gets its price or its own problem, the order kept.

    Send JSON or CSV; ``Accept: text/csv`` gives CSV back, with the columns of a CSV request, and
    those of ``deal`` where asking prices are among them.
    """
    read = read_csv if sent.is_csv else read_json_batch
    write = _as_csv if sent.wants_csv else _as_json
    reader = partial(read, form=served.form)
    asked = _PATH, served, sent.body, confidence, reader, write
    content = await service.batches.answer(*asked, tells_model=True)
    return Response(content, media_type=sent.answer_type)


def _as_json(served: ServedModel, batch: Batch, rows: list[PricedRow]) -> bytes:
    priced = sum(isinstance(row, Valuation) for row in rows)
    rest = to_json({"priced": priced, **served.content(batch.confidence)})[1:]
    ids = batch.quote_ids or repeat("", len(rows))
    models = map(batch.by.get, range(len(rows)))
    told = json_array(map(_row_content, range(len(rows)), rows, ids, models))
    return b'{"rows":' + told + b"," + rest


def _row_content(
    place: int, row: PricedRow, quote_id: str, by: ServedModel | None
) -> dict[str, Any]:
    if isinstance(row, Valuation):
        told = {QUOTE_ID: quote_id} if quote_id else {}
        content: dict[str, Any] = {"row": place, "price": row.content() | told, "problem": None}
        return content | ({"modelVersion": by.version, "alias": by.alias} if by else {})
    return {"row": place, "price": None, "problem": row.problem.model_dump()}


def _as_csv(served: ServedModel, batch: Batch, rows: list[PricedRow]) -> bytes:
    """Write the columns that came, where they came as CSV, and the prices beside them."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    columns = (*_COLUMNS, *DEAL_COLUMNS) if batch.tells_deals else _COLUMNS
    if batch.quote_ids:
        columns = (*columns, QUOTE_ID)
    writer.writerow([*(map(harmless, batch.header) if batch.header else ["row"]), *columns])
    width = max(len(batch.header), 1)
    for place, row in enumerate(rows):
        came = [*map(harmless, batch.cells[place][:width])] if batch.header else [place]
        cells = [*came, *[""] * (width - len(came)), *_cells(row, batch.by.get(place, served))]
        if batch.tells_deals:
            cells += _deal_cells(row)
        cells += batch.quote_ids[place : place + 1]
        writer.writerow(cells)
    return text.getvalue().encode()


def _cells(row: PricedRow, served: ServedModel) -> list[Any]:
    if isinstance(row, ProblemError):
        return [*[""] * (len(_COLUMNS) - 1), harmless(str(row))]
    cautions = "; ".join(caution.message for caution in row.cautions)
    about_day = (served.model.market.currency, row.valuation_date, served.version)
    return [*row.prices, *about_day, harmless(cautions), ""]


def _deal_cells(row: PricedRow) -> list[Any]:
    if not isinstance(row, JudgedValuation):
        return [""] * len(DEAL_COLUMNS)
    label, reason, *numbers = row.deal.content().values()
    return [label, harmless(reason["message"]) if reason else "", *numbers]
