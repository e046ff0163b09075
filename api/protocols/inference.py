"""The Open Inference Protocol, version 2, over REST."""

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.routing import APIRoute
from pydantic_core import to_json

from api.dependencies import Confidence, TheService, batch_body, media_type
from api.keeper import ServedModel
from api.messages import JSON
from api.openapi import CONFIDENCE, PROBLEMS, READING_PROBLEMS, body_of
from api.pricing import answer_all
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


class _InferenceRoute(APIRoute):
    """A route whose problems have the member ``error``, which the protocol's clients read."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return FastAPI's handler, with the member added to its problems."""
        handle = super().get_route_handler()

        async def telling(request: Request) -> Response:
            try:
                return await handle(request)
            except ProblemError as error:
                told = dict(error.problem)
                error.problem = InferenceProblem(**told, error=error.problem.detail)
                raise

        return telling


def router_of(model_name: str) -> APIRouter:
    """Return the routes below ``/v2``; the model's are described with its name."""
    router = APIRouter(tags=["Open Inference Protocol"], route_class=_InferenceRoute)
    get = partial(router.add_api_route, methods=["GET"])
    get("/v2", server_metadata, response_model=ServerMetadata, responses=READING_PROBLEMS)
    # Some clients ask with a slash.
    get("/v2/", server_metadata, response_model=ServerMetadata, include_in_schema=False)
    get("/v2/health/live", live, response_model=ServerLive)
    get("/v2/health/ready", ready, response_model=ServerReady, responses=_NOT_READY)
    for path in (_MODEL, _VERSION):
        parameters = _path_parameters(path, model_name)
        asking: dict[str, Any] = {
            "responses": {**READING_PROBLEMS, **_UNKNOWN},
            "openapi_extra": {"parameters": parameters},
        }
        get(path, model_metadata, response_model=ModelMetadata, **asking)
        get(f"{path}/ready", model_ready, response_model=ModelReady, **asking)
        router.add_api_route(
            f"{path}/infer",
            infer,
            methods=["POST"],
            response_model=InferenceResponse,
            responses={**PROBLEMS, **_UNKNOWN},
            openapi_extra={**body_of(_BODY), "parameters": [*parameters, CONFIDENCE]},
        )
    return router


async def named_model(request: Request, service: TheService) -> ServedModel:
    """Return the model if it is the one that the path names; else 404, or 503 without one."""
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


async def tensors_body(request: Request, service: TheService) -> bytes:
    """Return the body of tensors; 415 if it is not JSON."""
    media_type(request, JSON)
    if _BINARY_HEADER in request.headers:
        message = "binary tensors are not spoken here; send JSON (binary_data=False)"
        raise ProblemError(Kind.MEDIA_TYPE, message)
    return await batch_body(request, service)


Named = Annotated[ServedModel, Depends(named_model)]
TensorsBody = Annotated[bytes, Depends(tensors_body)]


async def live() -> ServerLive:
    """Answer 200 while the process lives."""
    return ServerLive(live=True)


async def ready(service: TheService) -> ServerReady:
    """Answer 200 while a model is loaded and the service is not about to stop, else 503."""
    service.require_ready()
    return ServerReady(ready=True)


async def server_metadata() -> ServerMetadata:
    """Describe the server."""
    return ServerMetadata(name="carprice", version=__version__, extensions=[])


async def model_ready(service: TheService, _: Named) -> ModelReady:
    """Answer 200 while the named model can answer, else 503."""
    service.require_ready()
    return ModelReady(name=service.settings.model_name, ready=True)


async def model_metadata(service: TheService, served: Named) -> dict[str, Any]:
    """Name the model's versions and tensors; make, model, year and odometer are required."""
    inputs = {alias(field): datatypes_of(field)[0] for field in TENSORS}
    return {
        "name": service.settings.model_name,
        "versions": [served.version],
        "platform": "carprice",
        "inputs": _tensors(inputs),
        "outputs": _tensors(OUTPUTS),
    }


async def infer(
    service: TheService, served: Named, confidence: Confidence, body: TensorsBody
) -> Response:
    """Value n listings, all of them or none: a tensor of n values for each field.

    ``parameters.confidence`` goes before the parameter ``confidence``.
    """
    settings = service.settings
    content = await answer_all(
        service,
        served,
        body,
        read=partial(read_inference, most=settings.batch_rows, confidence=confidence),
        write=partial(_response, settings.model_name, served),
    )
    return Response(content, media_type=JSON)


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
