"""The Open Inference Protocol, version 2, over REST."""

from functools import partial, wraps
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel
from pydantic_core import to_json

from api.answers import json_response
from api.bodies import JSON, confidence_of, media_type, read_body
from api.keeper import ServedModel
from api.openapi import CONFIDENCE, PROBLEMS, READING_PROBLEMS, body_of
from api.pricing import Exchange, answer_all
from api.problems import Kind, ProblemError, declare
from api.protocols.messages import (
    InferenceProblem,
    InferenceResponse,
    ModelMetadata,
    ModelReady,
    ServerLive,
    ServerMetadata,
    ServerReady,
)
from api.protocols.schemas import INFERENCE_EXAMPLE, OUTPUTS, TENSORS, datatypes_of
from api.protocols.tensors import Inference, output_tensors, read_inference
from api.routing import Endpoint, add_route
from api.service import Service
from carprice import __version__
from carprice.model.pricer import Valuation
from carprice.schema import alias

_MODEL: Final = "/v2/models/{name}"
_VERSION: Final = "/v2/models/{name}/versions/{version}"
_NOT_READY: Final = declare(Kind.NO_MODEL, Kind.BUSY)
_UNKNOWN: Final = declare(Kind.NOT_FOUND)
_BODY: Final = {
    JSON: {
        "schema": {"$ref": "#/components/schemas/InferenceRequest"},
        "example": INFERENCE_EXAMPLE,
    }
}
_BINARY_HEADER: Final = "inference-header-content-length"


def add_routes(router: APIRouter, service: Service) -> None:
    """Add the paths below ``/v2``."""

    async def live(_: Request) -> Response:
        """Answer 200 while the process lives."""
        return json_response({"live": True})

    async def ready(_: Request) -> Response:
        """Answer 200 while a model is loaded and the service is not about to stop, else 503."""
        service.require_ready()
        return json_response({"ready": True})

    async def server_metadata(_: Request) -> Response:
        """Describe the server."""
        return json_response({"name": "carprice", "version": __version__, "extensions": []})

    async def model_ready(request: Request) -> Response:
        """Answer 200 while the named model can answer, else 503."""
        _model_of(service, request)
        service.require_ready()
        return json_response({"name": service.settings.model_name, "ready": True})

    async def model_metadata(request: Request) -> Response:
        """Name the model's versions and tensors; make, model, year and odometer are required."""
        return json_response(_metadata(service, _model_of(service, request)))

    async def infer(request: Request) -> Response:
        """Value n listings, all of them or none: a tensor of n values for each field.

        ``parameters.confidence`` goes before the parameter ``confidence``.
        """
        served = _model_of(service, request)
        confidence = confidence_of(request)
        media_type(request, JSON)
        if _BINARY_HEADER in request.headers:
            message = "binary tensors are not spoken here; send JSON (binary_data=False)"
            raise ProblemError(Kind.MEDIA_TYPE, message)
        settings = service.settings
        body = await read_body(request, settings.batch_bytes, settings.body_seconds)
        protocol = Exchange(
            read=partial(read_inference, most=settings.batch_rows, confidence=confidence),
            write=partial(_response, settings.model_name, served),
        )
        return Response(await answer_all(service, served, body, protocol), media_type=JSON)

    def add(path: str, endpoint: Endpoint, answer: type[BaseModel], **options: Any) -> None:
        tags = ["Open Inference Protocol"]
        telling = _telling_error(endpoint)
        add_route(router, path, telling, tags=[*tags], response_model=answer, **options)

    add("/v2", server_metadata, ServerMetadata, responses=READING_PROBLEMS)
    add("/v2/", server_metadata, ServerMetadata, include_in_schema=False)  # as some clients ask
    add("/v2/health/live", live, ServerLive)
    add("/v2/health/ready", ready, ServerReady, responses=_NOT_READY)
    for path in (_MODEL, _VERSION):
        parameters = _path_parameters(path, service.settings.model_name)
        asking = {
            "responses": {**READING_PROBLEMS, **_UNKNOWN},
            "openapi_extra": {"parameters": parameters},
        }
        add(path, model_metadata, ModelMetadata, **asking)
        add(f"{path}/ready", model_ready, ModelReady, **asking)
        add(
            f"{path}/infer",
            infer,
            InferenceResponse,
            methods=["POST"],
            responses={**PROBLEMS, **_UNKNOWN},
            openapi_extra={**body_of(_BODY), "parameters": [*parameters, CONFIDENCE]},
        )


def _telling_error(endpoint: Endpoint) -> Endpoint:
    """Let a route's problems have the member ``error``, which the protocol's clients read."""

    @wraps(endpoint)
    async def telling(request: Request) -> Response:
        try:
            return await endpoint(request)
        except ProblemError as error:
            told = dict(error.problem)
            error.problem = InferenceProblem(**told, error=error.problem.detail)
            raise

    return telling


def _path_parameters(path: str, name: str) -> list[dict[str, Any]]:
    schemas = {
        "name": {"type": "string", "enum": [name]},
        "version": {"type": "string", "examples": ["1"]},
    }
    return [
        {"name": parameter, "in": "path", "required": True, "schema": schema}
        for parameter, schema in schemas.items()
        if f"{{{parameter}}}" in path
    ]


def _model_of(service: Service, request: Request) -> ServedModel:
    """Return the model if it is the one that the path names.

    Raises
    ------
    ProblemError
        404 if it is not; 503 while there is none.
    """
    name = service.settings.model_name
    asked = request.path_params["name"]
    if asked != name:
        raise ProblemError(
            Kind.NOT_FOUND, f"there is no model {asked[:100]!r} here; the one served is {name!r}"
        )
    served = service.served(request)
    version = request.path_params.get("version", served.version)
    if version != served.version:
        raise ProblemError(
            Kind.NOT_FOUND,
            f"version {version[:100]!r} of {name} is not served; version {served.version!r} is",
        )
    return served


def _metadata(service: Service, served: ServedModel) -> dict[str, Any]:
    inputs = {alias(field): datatypes_of(field)[0] for field in TENSORS}
    return {
        "name": service.settings.model_name,
        "versions": [served.version],
        "platform": "carprice",
        "inputs": _tensors(inputs),
        "outputs": _tensors(OUTPUTS),
    }


def _tensors(datatypes: dict[str, str]) -> list[dict[str, Any]]:
    return [
        {"name": name, "datatype": datatype, "shape": [-1]} for name, datatype in datatypes.items()
    ]


def _response(name: str, served: ServedModel, asked: Inference, rows: list[Valuation]) -> bytes:
    answer = {
        "model_name": name,
        "model_version": served.version,
        "parameters": {
            "confidence": asked.confidence,
            "currency": served.model.market.currency,
        },
        "outputs": output_tensors(rows, asked.outputs),
    }
    if asked.id is not None:
        answer["id"] = asked.id
    return to_json(answer)
