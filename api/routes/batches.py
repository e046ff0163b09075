"""Many listings in one request, JSON or CSV, priced together in a thread of their own."""

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic_core import to_json

from api.answers import model_content
from api.bodies import CSV, JSON, confidence_of, media_type, prefers_csv, read_body
from api.listings import Table, read_csv, read_json_batch
from api.messages import BatchAnswer
from api.openapi import BATCH, CONFIDENCE, CSV_ANSWER, PROBLEMS, body_of
from api.pricing import PricedRow, in_chunks, kinds_of_cautions, price_rows
from api.problems import ProblemError
from api.routing import add_route
from api.service import Service
from carprice.model.pricer import Valuation
from carprice.schema import PRICE_NAMES

_COLUMNS = (*PRICE_NAMES, "currency", "valuationDate", "modelVersion", "warnings", "problem")


@dataclass(frozen=True)
class PricedBatch:
    """A batch's content as bytes, and what the counters need."""

    content: bytes
    rows: int
    cautions: Counter[str]


def add_routes(router: APIRouter, service: Service) -> None:
    """Add ``/predict/batch``."""

    async def predict_batch(request: Request) -> Response:
        """Value many listings: each row gets its price or its own problem, the order kept.

        Send JSON or CSV; ``Accept: text/csv`` gives CSV back, with the columns of a CSV request.
        """
        served = service.served(request)
        confidence = confidence_of(request)
        is_csv = media_type(request, JSON, CSV) == CSV
        settings = service.settings
        body = await read_body(request, settings.batch_bytes, settings.body_seconds)
        wants_csv = prefers_csv(request.headers.get("accept", ""))

        def work() -> PricedBatch:
            read = read_csv if is_csv else read_json_batch
            table = read(body, settings.batch_rows)
            priced = price_rows(served, table.rows, confidence)
            write = _as_csv if wants_csv else _as_json
            cautions = kinds_of_cautions(row for row in priced if isinstance(row, Valuation))
            content = write(table, priced, model_content(served, confidence))
            return PricedBatch(content, len(priced), cautions)

        batch = await service.batches.run(work)
        service.metrics.priced_together(batch.rows, batch.cautions)
        return Response(batch.content, media_type=CSV if wants_csv else JSON)

    add_route(
        router,
        "/predict/batch",
        predict_batch,
        methods=["POST"],
        tags=["prices"],
        response_model=BatchAnswer,
        responses={200: CSV_ANSWER, **PROBLEMS},
        openapi_extra={**body_of(BATCH), "parameters": [CONFIDENCE]},
    )


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
