"""What OpenAPI says of the parts that routes share."""

from collections.abc import Sequence
from typing import Any, Final

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api.messages import CSV, JSON, BatchRequest, ListingRequest, Problem
from api.problems import Kind, declare
from carprice.model import DEFAULT_CONFIDENCE
from carprice.schema import PRICE_NAMES, example_listing

_REF: Final = "#/components/schemas/{model}"
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
PROBLEMS: Final = declare(*Kind)
"""What may go wrong with a route that reads a body."""

CONFIDENCE: Final = {
    "name": "confidence",
    "in": "query",
    "required": False,
    "description": "Share of prices that the range shall hold",
    "schema": {
        "type": "number",
        "minimum": 0.5,
        "maximum": 0.99,
        "default": DEFAULT_CONFIDENCE,
        "examples": [0.9],
    },
}


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REF.format(model=model.__name__)}


def _csv(example: dict[str, Any]) -> str:
    shown = {name: value for name, value in example.items() if not isinstance(value, list)}
    return ",".join(shown) + "\r\n" + ",".join(map(str, shown.values())) + "\r\n"


LISTING: Final = {JSON: {"schema": _ref(ListingRequest), "example": example_listing()}}
BATCH: Final = {
    JSON: {"schema": _ref(BatchRequest), "example": {"listings": [example_listing()]}},
    CSV: {
        "schema": {
            "type": "string",
            "description": "A header of field names, which may be more and in any order, and one "
            "listing a line",
            "pattern": r"^make,model,year,odometer\r?\n[^\"\x00\r]*$",
        },
        "example": _csv(example_listing()),
    },
}
CSV_ANSWER: Final[dict[str, Any]] = {
    "content": {
        CSV: {"schema": {"type": "string"}, "example": f"row,{PRICE_NAMES[0]}\r\n0,512000.0\r\n"}
    }
}


def body_of(content: dict[str, Any]) -> dict[str, Any]:
    """Return the declaration of a required request body, by media type."""
    return {"requestBody": {"required": True, "content": content}}


def describe(app: FastAPI, models: Sequence[type[BaseModel]], *, with_keys: bool) -> None:
    """Let the app's OpenAPI document hold the bodies that routes read themselves.

    Parameters
    ----------
    models : the models that routes' declarations refer to by ``$ref``.
    with_keys : whether the service asks for API keys.
    """

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = FastAPI.openapi(app)
            all_models: list[type[BaseModel]] = [*models, Problem]
            _, schemas = models_json_schema(
                [(model, "validation") for model in all_models], ref_template=_REF
            )
            components = document["components"]
            components["schemas"].update(schemas["$defs"])
            if with_keys:
                components["securitySchemes"] = _KEY_SCHEME
                document["security"] = [{"ApiKey": []}]
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign]
