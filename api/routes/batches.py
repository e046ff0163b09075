"""Many listings in one request, JSON or CSV, priced together in a thread of their own."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Response
from pydantic_core import to_json

from api.dependencies import Confidence, Listings, Served, TheService
from api.listings import Table, read_csv, read_json_batch
from api.messages import CSV, JSON, BatchAnswer
from api.openapi import BATCH, CONFIDENCE, CSV_ANSWER, PROBLEMS, body_of
from api.pricing import PricedRow, in_chunks, model_content, price_rows
from api.problems import ProblemError
from carprice.model.pricer import Valuation
from carprice.schema import PRICE_NAMES

_COLUMNS = (*PRICE_NAMES, "currency", "valuationDate", "modelVersion", "warnings", "problem")


router = APIRouter(tags=["prices"])


@router.post(
    "/predict/batch",
    response_model=BatchAnswer,
    responses={200: CSV_ANSWER, **PROBLEMS},
    openapi_extra={**body_of(BATCH), "parameters": [CONFIDENCE]},
)
async def predict_batch(
    service: TheService, served: Served, confidence: Confidence, sent: Listings
) -> Response:
    """Value many listings: each row gets its price or its own problem, the order kept.

    Send JSON or CSV; ``Accept: text/csv`` gives CSV back, with the columns of a CSV request.
    """

    def answer() -> tuple[bytes, list[PricedRow]]:
        read = read_csv if sent.is_csv else read_json_batch
        table = read(sent.body, service.settings.batch_rows)
        rows = price_rows(served, table.rows, confidence)
        write = _as_csv if sent.wants_csv else _as_json
        return write(table, rows, model_content(served, confidence)), rows

    content, rows = await service.batches.run(answer)
    service.metrics.priced_together(rows)
    return Response(content, media_type=CSV if sent.wants_csv else JSON)


def _as_json(_: Table, rows: Sequence[PricedRow], model: Mapping[str, Any]) -> bytes:
    parts = [
        to_json([_row_content(place, row) for place, row in chunk])[1:-1]
        for chunk in in_chunks([*enumerate(rows)])
    ]
    priced = sum(isinstance(row, Valuation) for row in rows)
    rest = to_json({"priced": priced, **model})[1:]
    return b'{"rows":[' + b",".join(parts) + b"]," + rest


def _row_content(place: int, row: PricedRow) -> dict[str, Any]:
    if isinstance(row, Valuation):
        return {"row": place, "price": row.content(), "problem": None}
    return {"row": place, "price": None, "problem": row.problem.model_dump()}


def _as_csv(table: Table, rows: Sequence[PricedRow], model: Mapping[str, Any]) -> bytes:
    """Write the columns that came, where they came as CSV, and the prices beside them."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow([*(table.header or ["row"]), *_COLUMNS])
    for place, row in enumerate(rows):
        came = table.cells[place] if table.header else [place]
        width = max(len(table.header), 1)
        writer.writerow([*came[:width], *[""] * (width - len(came)), *_cells(row, model)])
    return text.getvalue().encode()


def _cells(row: PricedRow, model: Mapping[str, Any]) -> list[Any]:
    if isinstance(row, ProblemError):
        return [*[""] * (len(_COLUMNS) - 1), row]
    cautions = "; ".join(caution.message for caution in row.cautions)
    about_day = (model["currency"], row.valuation_date, model["modelVersion"])
    return [*row.prices, *about_day, cautions, ""]
