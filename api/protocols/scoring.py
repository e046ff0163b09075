"""The scoring protocol that Amazon SageMaker and MLflow's own server speak."""

import csv
import io
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

from fastapi import APIRouter, Response

from api.batch_pool import json_array
from api.bodies import CSV, JSON
from api.dependencies import Confidence, SentListings, Served, TheService
from api.openapi import CONFIDENCE, NOT_READY, PROBLEMS, READING_PROBLEMS, asks_for, text_answer
from api.parsing import Batch
from api.protocols.dataframes import read_csv_frame, read_json_frame
from api.protocols.messages import Predictions
from api.protocols.schemas import CSV_EXAMPLE, CSV_SCHEMA, SCORING_EXAMPLES, SCORING_SCHEMA
from api.served import PricedRow, ServedModel
from api.spreadsheets import harmless
from carprice.model.pricer import Valuation
from carprice.schema import ANSWER_NAMES, MODEL_NAMES, PRICE_NAMES

_CSV_ANSWER: Final = text_answer(CSV, f"{','.join(PRICE_NAMES)}\r\n512000.0,421000.0,615000.0\r\n")
_PATH: Final = "/invocations"
_MLFLOW: Final = "3.17.2"
"""The version of MLflow whose protocol this is; MLflow itself need not be installed."""
_VERSION: Final = text_answer("text/plain", _MLFLOW)
_BODIES: Final = {
    JSON: {"schema": SCORING_SCHEMA, "examples": SCORING_EXAMPLES},
    CSV: {"schema": CSV_SCHEMA, "example": CSV_EXAMPLE},
}


router = APIRouter(tags=["SageMaker and MLflow"])


@router.get("/ping", response_class=Response, responses=NOT_READY)
@router.get("/health", name="mlflow_health", response_class=Response, responses=NOT_READY)
async def ping(service: TheService) -> Response:
    """Answer 200 while a model is loaded and the service is not about to stop, else 503."""
    service.require_ready()
    return Response()


@router.get("/version", response_class=Response, responses={200: _VERSION, **READING_PROBLEMS})
async def version() -> Response:
    """Answer the version of MLflow whose protocol this is, where MLflow's own server tells its."""
    return Response(_MLFLOW, media_type="text/plain")


@router.post(
    _PATH,
    response_model=Predictions,
    responses={200: _CSV_ANSWER, **PROBLEMS},
    openapi_extra=asks_for(_BODIES, CONFIDENCE),
)
async def invocations(
    service: TheService, served: Served, confidence: Confidence, sent: SentListings
) -> Response:
    """Value the rows of a data frame, all of them or none: a wrong row is named.

    Send any of MLflow's JSON forms or CSV with a header; ``Accept: text/csv`` gives CSV back.
    ``params.confidence`` in JSON goes before the parameter ``confidence``.
    """
    read = read_csv_frame if sent.is_csv else read_json_frame
    write = _as_csv if sent.wants_csv else _as_json
    reader = partial(read, form=served.form)
    content = await service.batches.answer(_PATH, served, sent.body, confidence, reader, write)
    return Response(content, media_type=sent.answer_type)


def _contents(served: ServedModel, batch: Batch, rows: list[PricedRow]) -> Iterator[dict[str, Any]]:
    about_model = served.model.content(batch.confidence)
    for row in rows:
        if isinstance(row, Valuation):  # all are: one that is wrong refused them
            yield {**row.content(), **about_model}


def _as_json(served: ServedModel, batch: Batch, rows: list[PricedRow]) -> bytes:
    return b'{"predictions":' + json_array(_contents(served, batch, rows)) + b"}"


def _as_csv(served: ServedModel, batch: Batch, rows: list[PricedRow]) -> bytes:
    text = io.StringIO(newline="")
    *names, warnings = ANSWER_NAMES
    writer = csv.DictWriter(text, [*names, *MODEL_NAMES, warnings])
    writer.writeheader()
    for row in _contents(served, batch, rows):
        told = "; ".join(caution["message"] for caution in row[warnings])
        writer.writerow({**row, warnings: harmless(told)})
    return text.getvalue().encode()
