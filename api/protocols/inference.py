"""The Open Inference Protocol, version 2, over REST."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response
from pydantic_core import to_json

from api.bodies import JSON
from api.dependencies import Confidence, TheService, batch_body, media_type
from api.openapi import CONFIDENCE, NOT_READY, PROBLEMS, READING_PROBLEMS, asks_for, reference
from api.problems import Kind, ProblemError, declare
from api.protocols import messages
from api.protocols.schemas import INFERENCE_EXAMPLE, OUTPUTS, TENSORS, datatypes_of
from api.protocols.tensors import Inference, output_tensors, read_inference
from api.served import PricedRow, ServedModel
from carprice import __version__
from carprice.schema import alias

_BODY: Final = {
    JSON: {"schema": reference(messages.InferenceRequest), "example": INFERENCE_EXAMPLE}
}
_INFER: Final = "/v2/models/{name}/infer"
_BINARY_HEADER: Final = "inference-header-content-length"


def router_of(model_name: str) -> APIRouter:
    """Return the routes below ``/v2``; the model's are described with its name."""
    router = APIRouter(tags=["Open Inference Protocol"])
    get = partial(router.add_api_route, methods=["GET"])
    get("/v2", server_metadata, response_model=messages.ServerMetadata, responses=READING_PROBLEMS)
    # Some clients ask with a slash.
    get("/v2/", server_metadata, response_model=messages.ServerMetadata, include_in_schema=False)
    get("/v2/health/live", live, response_model=messages.ServerLive)
    get("/v2/health/ready", ready, response_model=messages.ServerReady, responses=NOT_READY)
    name = _path_parameter("name", {"type": "string", "enum": [model_name]})
    version = _path_parameter("version", {"type": "string", "examples": ["1"]})
    for path, parameters in (
        ("/v2/models/{name}", [name]),
        ("/v2/models/{name}/versions/{version}", [name, version]),
    ):
        asking: dict[str, Any] = {
            "responses": {**READING_PROBLEMS, **declare(Kind.NOT_FOUND)},
            "openapi_extra": {"parameters": parameters},
        }
        get(path, model_metadata, response_model=messages.ModelMetadata, **asking)
        get(f"{path}/ready", model_ready, response_model=messages.ModelReady, **asking)
        router.add_api_route(
            f"{path}/infer",
            infer,
            methods=["POST"],
            response_model=messages.InferenceResponse,
            responses=PROBLEMS,
            openapi_extra=asks_for(_BODY, *parameters, CONFIDENCE),
        )
    return router


def _path_parameter(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": schema}


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


async def live() -> messages.ServerLive:
    """Answer 200 while the process lives."""
    return messages.ServerLive(live=True)


async def ready(service: TheService) -> messages.ServerReady:
    """Answer 200 while a model is loaded and the service is not about to stop, else 503."""
    service.require_ready()
    return messages.ServerReady(ready=True)


async def server_metadata() -> messages.ServerMetadata:
    """Describe the server."""
    return messages.ServerMetadata(name="carprice", version=__version__, extensions=[])


async def model_ready(service: TheService, _: Named) -> messages.ModelReady:
    """Answer 200 while the named model can answer, else 503."""
    service.require_ready()
    return messages.ModelReady(name=service.settings.model_name, ready=True)


async def model_metadata(service: TheService, served: Named) -> dict[str, Any]:
    """Name the model's versions and tensors; make, model, year and odometer are required."""
    fields = (*TENSORS, *served.model.own)
    inputs = {alias(field): datatypes_of(field)[0] for field in fields}
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
    write = partial(_response, service.settings.model_name)
    read = partial(read_inference, form=served.form)
    content = await service.batches.answer(_INFER, served, body, confidence, read, write)
    return Response(content, media_type=JSON)


def _tensors(datatypes: dict[str, str]) -> list[dict[str, Any]]:
    return [
        {"name": name, "datatype": datatype, "shape": [-1]} for name, datatype in datatypes.items()
    ]


def _response(name: str, served: ServedModel, asked: Inference, rows: Sequence[PricedRow]) -> bytes:
    about = {
        "model_name": name,
        "model_version": served.version,
        "parameters": {
            "confidence": asked.confidence,
            "currency": served.model.market.currency,
        },
    }
    rest = b"}" if asked.id is None else b',"id":' + to_json(asked.id) + b"}"
    return to_json(about)[:-1] + b',"outputs":' + output_tensors(rows, asked.outputs) + rest
