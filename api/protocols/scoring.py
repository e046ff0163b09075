"""The scoring protocol that Amazon SageMaker and MLflow's own server speak."""

import csv
import io
from functools import partial
from importlib.metadata import version as version_of
from typing import Any, Final

from fastapi import APIRouter, Response
from pydantic_core import to_json

from api.dependencies import Confidence, Listings, Served, TheService
from api.keeper import ServedModel
from api.messages import CSV, JSON
from api.openapi import CONFIDENCE, PROBLEMS, READING_PROBLEMS, body_of
from api.pricing import Asked, answer_all, in_chunks, model_content
from api.problems import Kind, declare
from api.protocols.dataframes import read_csv_frame, read_json_frame
from api.protocols.messages import Predictions
from api.protocols.schemas import CSV_EXAMPLE, CSV_SCHEMA, SCORING_EXAMPLES, SCORING_SCHEMA
from carprice.model.pricer import Valuation
from carprice.schema import PRICE_NAMES

_NOT_READY: Final = declare(Kind.NO_MODEL, Kind.BUSY)
_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "content": {
            CSV: {
                "schema": {"type": "string"},
                "example": f"{','.join(PRICE_NAMES)}\r\n512000.0,421000.0,615000.0\r\n",
            }
        }
    }
}
_VERSION: Final[dict[str, Any]] = {
    "content": {"text/plain": {"schema": {"type": "string"}, "example": "3.17.2"}}
}
_BODIES: Final = {
    JSON: {"schema": SCORING_SCHEMA, "examples": SCORING_EXAMPLES},
    CSV: {"schema": CSV_SCHEMA, "example": CSV_EXAMPLE},
}


router = APIRouter(tags=["SageMaker and MLflow"])


@router.get("/ping", response_class=Response, responses=_NOT_READY)
@router.get("/health", name="mlflow_health", response_class=Response, responses=_NOT_READY)
async def ping(service: TheService) -> Response:
    """Answer 200 while a model is loaded and the service is not about to stop, else 503."""
    service.require_ready()
    return Response()


@router.get("/version", response_class=Response, responses={200: _VERSION, **READING_PROBLEMS})
async def version() -> Response:
    """Answer the version of MLflow that is installed here, as MLflow's own server does."""
    return Response(version_of("mlflow-skinny"), media_type="text/plain")


@router.post(
    "/invocations",
    response_model=Predictions,
    responses={**_ANSWERS, **PROBLEMS},
    openapi_extra={**body_of(_BODIES), "parameters": [CONFIDENCE]},
)
async def invocations(
    service: TheService, served: Served, confidence: Confidence, sent: Listings
) -> Response:
    """Value the rows of a data frame, all of them or none: a wrong row is named.

    Send any of MLflow's JSON forms or CSV with a header; ``Accept: text/csv`` gives CSV back.
    ``params.confidence`` in JSON goes before the parameter ``confidence``.
    """
    read = read_csv_frame if sent.is_csv else read_json_frame
    content = await answer_all(
        service,
        served,
        sent.body,
        read=partial(read, most=service.settings.batch_rows, confidence=confidence),
        write=partial(_as_csv if sent.wants_csv else _as_json, served),
    )
    return Response(content, media_type=CSV if sent.wants_csv else JSON)


def _model_columns(served: ServedModel, confidence: float) -> dict[str, Any]:
    columns = model_content(served, confidence)
    del columns["modelVersion"]
    return columns


def _as_json(served: ServedModel, asked: Asked, rows: list[Valuation]) -> bytes:
    model = _model_columns(served, asked.confidence)
    parts = [
        to_json([{**row.content(), **model} for row in part])[1:-1] for part in in_chunks(rows)
    ]
    return b'{"predictions":[' + b",".join(parts) + b"]}"


def _as_csv(served: ServedModel, asked: Asked, rows: list[Valuation]) -> bytes:
    text = io.StringIO(newline="")
    model = _model_columns(served, asked.confidence)
    names = [*PRICE_NAMES, "valuationDate", *model, "warnings"]
    writer = csv.DictWriter(text, names)
    writer.writeheader()
    for row in rows:
        warnings = "; ".join(caution.message for caution in row.cautions)
        writer.writerow({**row.content(), **model, "warnings": warnings})
    return text.getvalue().encode()
