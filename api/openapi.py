"""What OpenAPI says of the parts that routes share."""

import copy
from collections.abc import Callable, Sequence
from typing import Any, Final

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api.bodies import CSV, JSON, BatchRequest, ListingRequest, Problem
from api.problems import Kind, declare
from api.served import ServedModel
from carprice.appraisal.appraisal import PARTS
from carprice.listings.own import with_own
from carprice.model import PriceModel
from carprice.schema import (
    CONFIDENCE_RANGE,
    DEFAULT_CONFIDENCE,
    REQUIRED,
    YEARLY_DISTANCE_RANGE,
    alias,
    example_listing,
)

_REF: Final = "#/components/schemas/{model}"
_MOST_EXAMPLES: Final = 10
_KEY_SCHEME: Final = {
    "ApiKey": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "Asked for only where the service has keys",
    }
}

READING_PROBLEMS: Final = declare(Kind.UNAUTHORIZED, Kind.TOO_MANY, Kind.INTERNAL, Kind.NO_MODEL)
"""What may go wrong with a route that reads no body."""
PROBLEMS: Final = declare(*(kind for kind in Kind if kind is not Kind.FORBIDDEN))
"""What may go wrong with a route that reads a body."""
NOT_READY: Final = declare(Kind.NO_MODEL, Kind.BUSY)

CONFIDENCE: Final[dict[str, Any]] = {
    "name": "confidence",
    "in": "query",
    "required": False,
    "description": "Share of prices that the range shall hold",
    "schema": {
        "type": "number",
        "minimum": CONFIDENCE_RANGE[0],
        "maximum": CONFIDENCE_RANGE[1],
        "default": DEFAULT_CONFIDENCE,
        "examples": [DEFAULT_CONFIDENCE],
    },
}
WITHOUT: Final[dict[str, Any]] = {
    "name": "without",
    "in": "query",
    "required": False,
    "description": "Parts of the answer to leave out, separated by commas",
    "style": "form",
    "explode": False,
    "schema": {
        "type": "array",
        "items": {"type": "string", "enum": [*PARTS]},
        "minItems": 1,
        "examples": [["curve", "reasons"]],
    },
}
YEARLY_DISTANCE: Final[dict[str, Any]] = {
    "name": "yearlyDistance",
    "in": "query",
    "required": False,
    "description": "Distance that the car is driven in a year, in the market's distance unit; by "
    "default what is usual in the market",
    "schema": {
        "type": "number",
        "minimum": YEARLY_DISTANCE_RANGE[0],
        "maximum": YEARLY_DISTANCE_RANGE[1],
        "examples": [15000],
    },
}


def reference(model: type[BaseModel]) -> dict[str, str]:
    """Return a reference to a model's schema."""
    return {"$ref": _REF.format(model=model.__name__)}


def as_csv(example: dict[str, Any]) -> str:
    """Return an example as CSV, without its lists."""
    shown = {name: value for name, value in example.items() if not isinstance(value, list)}
    return ",".join(shown) + "\r\n" + ",".join(map(str, shown.values())) + "\r\n"


LISTING: Final = {JSON: {"schema": reference(ListingRequest), "example": example_listing()}}
BATCH: Final = {
    JSON: {"schema": reference(BatchRequest), "example": {"listings": [example_listing()]}},
    CSV: {
        "schema": {
            "type": "string",
            "description": "A header of field names, which may be more and in any order, and one "
            "listing a line",
            "pattern": rf"^{','.join(map(alias, REQUIRED))}\r?\n[^\"\x00\r]*$",
        },
        "example": as_csv(example_listing()),
    },
}


def text_answer(media_type: str, example: str) -> dict[str, Any]:
    """Return the declaration of an answer that is text."""
    return {"content": {media_type: {"schema": {"type": "string"}, "example": example}}}


def asks_for(content: dict[str, Any], *parameters: dict[str, Any]) -> dict[str, Any]:
    """Return the declaration of a required request body, by media type, and of parameters."""
    body = {"requestBody": {"required": True, "content": content}}
    return {**body, "parameters": [*parameters]} if parameters else body


def add_schemas(
    app: FastAPI,
    models: Sequence[type[BaseModel]],
    served: Callable[[], ServedModel | None],
    *,
    with_keys: bool,
) -> None:
    """Let the app's OpenAPI document hold the models that routes' declarations refer to.

    A listing is described as the served model takes it: with its market's own columns.

    Parameters
    ----------
    served : returns the model that is served, if there is one.
    """
    documents: dict[str, dict[str, Any]] = {}

    def openapi() -> dict[str, Any]:
        now = served()
        model = now.model if now and now.form.own else None
        digest = model.digest if model else ""
        if digest not in documents:
            documents.clear()  # of a model that is served no more
            documents[digest] = document_of(model)
        return documents[digest]

    def document_of(model: PriceModel | None) -> dict[str, Any]:
        document = copy.deepcopy(FastAPI.openapi(app))
        described: list[type[BaseModel]] = [*models, Problem]
        _, schemas = models_json_schema(
            [(model, "validation") for model in described], ref_template=_REF
        )
        components = document["components"]
        components["schemas"].update(schemas["$defs"])
        if model is not None:
            components["schemas"][ListingRequest.__name__] = _listing_schema(model)
        if with_keys:
            components["securitySchemes"] = _KEY_SCHEME
            document["security"] = [{"ApiKey": []}]
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _listing_schema(model: PriceModel) -> dict[str, Any]:
    """Return the JSON schema of a listing of a model's market: with the values that it knows."""
    kind: type[ListingRequest] = with_own(ListingRequest, model.own)
    schema = kind.model_json_schema(ref_template=_REF)
    known, limits = model.vocabulary.values, {**model.trained_on, **model.usual_ranges}
    for field in model.own:
        told = schema["properties"][alias(field)]
        if values := known.get(alias(field)):
            told["examples"] = [*values[:_MOST_EXAMPLES]]
        elif field in limits:
            low, high = limits[field]
            told["description"] += f"; in training from {low:g} to {high:g}"
            told["examples"] = [low]
    return schema
