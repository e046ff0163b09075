"""The scoring protocol that Amazon SageMaker and MLflow's own server speak."""

import csv
import io
from functools import partial
from importlib.metadata import version as version_of
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from pydantic_core import to_json

from api.answers import model_content
from api.bodies import CSV, JSON, confidence_of, media_type, prefers_csv, read_body
from api.keeper import ServedModel
from api.openapi import CONFIDENCE, PROBLEMS, READING_PROBLEMS, body_of
from api.pricing import Exchange, answer_all, in_chunks
from api.problems import Kind, declare
from api.protocols.dataframes import Frame, read_csv_frame, read_json_frame
from api.protocols.messages import Predictions
from api.protocols.schemas import CSV_EXAMPLE, CSV_SCHEMA, SCORING_EXAMPLES, SCORING_SCHEMA
from api.routing import add_route
from api.service import Service
from carprice.model.pricer import Valuation
from carprice.schema import PRICE_NAMES

_TAGS: Final = ["SageMaker and MLflow"]
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


def add_routes(router: APIRouter, service: Service) -> None:
    """Add ``/ping``, ``/health``, ``/version`` and ``/invocations``."""

    async def ping(_: Request) -> Response:
        """Answer 200 while a model is loaded and the service is not about to stop, else 503."""
        service.require_ready()
        return Response()

    async def version(_: Request) -> Response:
        """Answer the version of MLflow that is installed here, as MLflow's own server does."""
        return Response(version_of("mlflow-skinny"), media_type="text/plain")

    async def invocations(request: Request) -> Response:
        """Value the rows of a data frame, all of them or none: a wrong row is named.

        Send any of MLflow's JSON forms or CSV with a header; ``Accept: text/csv`` gives CSV back.
        ``params.confidence`` in JSON goes before the parameter ``confidence``.
        """
        served = service.served(request)
        confidence = confidence_of(request)
        is_csv = media_type(request, JSON, CSV) == CSV
        settings = service.settings
        body = await read_body(request, settings.batch_bytes, settings.body_seconds)
        wants_csv = prefers_csv(request.headers.get("accept", ""))
        read = read_csv_frame if is_csv else read_json_frame
        protocol = Exchange(
            read=partial(read, most=settings.batch_rows, confidence=confidence),
            write=partial(_as_csv if wants_csv else _as_json, served),
        )
        content = await answer_all(service, served, body, protocol)
        return Response(content, media_type=CSV if wants_csv else JSON)

    for path, name in (("/ping", "ping"), ("/health", "mlflow_health")):
        add_route(
            router,
            path,
            ping,
            name=name,
            tags=[*_TAGS],
            response_class=Response,
            responses=_NOT_READY,
        )
    add_route(
        router,
        "/version",
        version,
        tags=[*_TAGS],
        response_class=Response,
        responses={200: _VERSION, **READING_PROBLEMS},
    )
    add_route(
        router,
        "/invocations",
        invocations,
        methods=["POST"],
        tags=[*_TAGS],
        response_model=Predictions,
        responses={**_ANSWERS, **PROBLEMS},
        openapi_extra={**body_of(_BODIES), "parameters": [CONFIDENCE]},
    )


def _model_columns(served: ServedModel, confidence: float) -> dict[str, Any]:
    columns = model_content(served, confidence)
    del columns["modelVersion"]
    return columns


def _as_json(served: ServedModel, frame: Frame, rows: list[Valuation]) -> bytes:
    model = _model_columns(served, frame.confidence)
    parts = [
        to_json([{**row.content(), **model} for row in part])[1:-1] for part in in_chunks(rows)
    ]
    return b'{"predictions":[' + b",".join(parts) + b"]}"


def _as_csv(served: ServedModel, frame: Frame, rows: list[Valuation]) -> bytes:
    text = io.StringIO(newline="")
    model = _model_columns(served, frame.confidence)
    names = [*PRICE_NAMES, "valuationDate", *model, "warnings"]
    writer = csv.DictWriter(text, names)
    writer.writeheader()
    for row in rows:
        warnings = "; ".join(caution.message for caution in row.cautions)
        writer.writerow({**row.content(), **model, "warnings": warnings})
    return text.getvalue().encode()
