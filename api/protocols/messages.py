"""Requests and answers of other people's protocols, in their own terms."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from api.bodies import Price
from api.json_reader import MOST_KEYS
from api.protocols.schemas import inputs_schema, split_schema
from carprice.schema import ANSWER_NAMES, CONFIDENCE_RANGE, DEFAULT_CONFIDENCE

Confidence = Annotated[
    float,
    Field(
        strict=True,
        ge=CONFIDENCE_RANGE[0],
        le=CONFIDENCE_RANGE[1],
        description="Share of prices that the ranges shall hold",
        examples=[DEFAULT_CONFIDENCE],
    ),
]


def _first_tensors(value: object) -> object:
    """Leave out tensors that cannot be right: there are more of them than names of fields."""
    return value[: MOST_KEYS + 1] if isinstance(value, list) else value


def _no_binary(value: object) -> object:
    if value is not False:
        message = "binary tensors are not spoken here; ask for JSON with binary_data=False"
        raise PydanticCustomError("no_binary", message)
    return value


NoBinary = Annotated[Literal[False], BeforeValidator(_no_binary)]


class DataframeSplit(BaseModel):
    """A pandas data frame in the form "split".

    Any columns in any order, camelCase or snake_case, as long as those of the first form shown are
    among them; a row has a cell for each, and null where a value is missing.
    """

    model_config = ConfigDict(extra="forbid", json_schema_extra=split_schema)

    columns: list[str] = Field(fail_fast=True)
    data: list[list[Any]] = Field(fail_fast=True)
    index: list[Any] = []


class ScoringParams(BaseModel):
    """What may be asked for with a data frame."""

    model_config = ConfigDict(extra="forbid")

    confidence: Confidence = DEFAULT_CONFIDENCE


class Prediction(Price):
    """A price with its range, as the model answers from MLflow's own server."""

    confidence: float = Field(description="Share of prices that the range holds", examples=[0.9])
    currency: str = Field(examples=["INR"])
    model_digest: str = Field(description="SHA-256 that names the model's bytes")


class Predictions(BaseModel):
    """Predictions in the order of the rows."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    predictions: list[Prediction]


OutputName = Literal[ANSWER_NAMES]  # type: ignore[valid-type]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class TensorParameters(_Strict):
    """Accepted for clients that send it, and not used."""

    content_type: str = ""


class RequestInput(_Strict):
    """A tensor of values of one field."""

    name: str
    shape: list[Any]
    datatype: str
    parameters: TensorParameters = Field(default_factory=TensorParameters)
    data: list[Any]


class RequestOutputParameters(TensorParameters):
    """Parameters of an output; JSON is all that there is."""

    binary_data: NoBinary = False


class RequestOutput(_Strict):
    """A tensor that shall be in the answer."""

    name: OutputName
    parameters: RequestOutputParameters = Field(default_factory=RequestOutputParameters)


class RequestParameters(TensorParameters):
    """Parameters of a request."""

    confidence: Confidence = DEFAULT_CONFIDENCE
    binary_data_output: NoBinary = False


class InferenceRequest(_Strict):
    """Listings as tensors, one tensor a field."""

    id: str = Field("", description="Comes back with the answer", examples=["42"])
    parameters: RequestParameters = Field(default_factory=RequestParameters)
    inputs: Annotated[list[RequestInput], BeforeValidator(_first_tensors)] = Field(
        fail_fast=True,
        description="Shown for one listing: n listings are tensors of the shape [n] or [n, 1], in "
        "any order; the first four are required. null, or an empty text, is a missing value; "
        "features are names joined by | or a comma",
        json_schema_extra=inputs_schema,
    )
    outputs: list[RequestOutput] = Field(
        [],
        fail_fast=True,
        max_length=MOST_KEYS,
        description="Tensors to answer with; default: all",
    )


class _StrictAnswer(_Strict):
    model_config = ConfigDict(defer_build=True)


class MetadataTensor(_StrictAnswer):
    """A tensor that the model takes or gives; -1 is the number of listings."""

    name: str = Field(examples=["odometer"])
    datatype: str = Field(examples=["FP64"])
    shape: list[int] = Field(examples=[[-1]])


class ModelMetadata(_StrictAnswer):
    """The model in the protocol's terms."""

    name: str = Field(examples=["used-car-price"])
    versions: list[str] = Field(examples=[["1"]])
    platform: str = Field(examples=["carprice"])
    inputs: list[MetadataTensor]
    outputs: list[MetadataTensor]


class ServerMetadata(_StrictAnswer):
    """The server in the protocol's terms."""

    name: str = Field(examples=["carprice"])
    version: str = Field(examples=["0.1.0"])
    extensions: list[str] = Field(examples=[[]])


class ServerLive(_StrictAnswer):
    """The process lives."""

    live: bool


class ServerReady(_StrictAnswer):
    """The server can answer."""

    ready: bool


class ModelReady(ServerReady):
    """The model can answer."""

    name: str = Field(examples=["used-car-price"])


class ResponseOutput(_StrictAnswer):
    """A tensor of answers, one a listing."""

    name: OutputName
    datatype: Literal["FP64", "BYTES"]
    shape: list[int] = Field(examples=[[1]])
    data: list[float | str] = Field(examples=[[512000.0]])


class ResponseParameters(_StrictAnswer):
    """What holds for all prices of an answer."""

    confidence: float = Field(description="Share of prices that the ranges hold", examples=[0.9])
    currency: str = Field(examples=["INR"])


class InferenceResponse(_StrictAnswer):
    """Prices as tensors."""

    model_name: str = Field(examples=["used-car-price"])
    model_version: str = Field(examples=["1"])
    id: str = Field("", description="That of the request, where it had one", examples=["42"])
    parameters: ResponseParameters
    outputs: list[ResponseOutput]
