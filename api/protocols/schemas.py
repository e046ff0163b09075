"""JSON schemas of other people's protocols that depend on the listing's fields.

JSON Schema cannot say that lists are of one length, or tie a cell to its column's name. The service
accepts all that these schemas allow, and more: see the descriptions.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from api.bodies import ListingRequest
from api.openapi import as_csv
from carprice.schema import (
    ANSWER_NAMES,
    FIELDS,
    KINDS,
    PRICE_NAMES,
    REQUIRED,
    FieldKind,
    alias,
    bounds,
    example_listing,
    kind_of,
)

FORMS: Final = ("dataframe_split", "dataframe_records", "inputs", "instances")
"""MLflow's names for the ways to write a data frame as JSON."""
WHOLE: Final = tuple(f"{sign}INT{bits}" for sign in ("", "U") for bits in (64, 32, 16, 8))
"""Data types of the Open Inference Protocol whose values are whole numbers."""
FLOATS: Final = ("FP64", "FP32", "FP16")
TENSORS: Final = (*REQUIRED, *(name for name in FIELDS if name not in REQUIRED))
"""Fields in the order in which the API's description shows them as columns and tensors."""

_LISTING: Final = {"$ref": "#/components/schemas/ListingRequest"}
_SPLIT: Final = {"$ref": "#/components/schemas/DataframeSplit"}
_PARAMS: Final = {"$ref": "#/components/schemas/ScoringParams"}
_EXAMPLE: Final = example_listing()
_LEAST: Final = {name: _EXAMPLE[name] for name in map(alias, REQUIRED)}

OUTPUTS: Final[dict[str, str]] = {
    name: "FP64" if name in PRICE_NAMES else "BYTES" for name in ANSWER_NAMES
}
"""Output tensors and their data types."""


@cache
def _properties() -> Mapping[str, Any]:
    return ListingRequest.model_json_schema()["properties"]  # type: ignore[no-any-return]


def _tuple_of(schemas: list[dict[str, Any]]) -> dict[str, Any]:
    size = len(schemas)
    return {"type": "array", "prefixItems": schemas, "minItems": size, "maxItems": size}


def _shape_of(field: str) -> dict[str, Any]:
    """Return a field's JSON schema without what is said of it elsewhere."""
    told = ("title", "description", "examples", "default")
    return {key: part for key, part in _properties()[alias(field)].items() if key not in told}


def _object(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": [*required],
        "additionalProperties": False,
    }


def _split_of(fields: tuple[str, ...]) -> dict[str, Any]:
    properties = {
        "columns": {"const": [alias(field) for field in fields]},
        "data": {"type": "array", "items": _tuple_of([_shape_of(field) for field in fields])},
        "index": {"type": "array", "items": {}},
    }
    return _object(properties, "columns", "data")


def split_schema(schema: dict[str, Any]) -> None:
    """Show two choices of columns in place of a model's own schema."""
    described = {key: schema[key] for key in ("title", "description")}
    schema.clear()
    schema |= {**described, "anyOf": [_split_of(REQUIRED), _split_of(TENSORS)]}


def _form(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return _object({name: schema, "params": _PARAMS}, name)


_LISTINGS: Final = {"type": "array", "items": _LISTING}
SCORING_SCHEMA: Final = {
    "description": "One of MLflow's forms; inputs and instances may be an object of columns too",
    "anyOf": [
        _form("dataframe_split", _SPLIT),
        _form("dataframe_records", _LISTINGS),
        *(_form(name, {"anyOf": [_LISTINGS, _LISTING]}) for name in ("inputs", "instances")),
        _SPLIT,
        _LISTINGS,
    ],
}
_NAME_CELL: Final = "[A-Za-z0-9][A-Za-z0-9 .-]{0,99}"
CSV_SCHEMA: Final = {
    "type": "string",
    "description": "A header of field names, one listing a line. Shown for the required columns: "
    "they and any others may come in any order, quoted where they need it",
    "pattern": rf"^{','.join(_LEAST)}\r?\n"
    rf"({_NAME_CELL},{_NAME_CELL},(19|20)[0-9]{{2}},[0-9]{{1,6}}\r?\n)*$",
}
CSV_EXAMPLE: Final = as_csv(_LEAST)
_SPLIT_EXAMPLE: Final = {"columns": [*_LEAST], "data": [[*_LEAST.values()]]}
SCORING_EXAMPLES: Final = {
    "dataframe_split": {"value": {"dataframe_split": _SPLIT_EXAMPLE}},
    "dataframe_records": {
        "value": {"dataframe_records": [_EXAMPLE], "params": {"confidence": 0.8}}
    },
    "inputs": {"value": {"inputs": [_EXAMPLE]}},
}


def datatypes_of(field: str) -> tuple[str, ...]:
    """Return the data types that a field's tensor may have; the first one is the usual one."""
    kind = kind_of(field)
    if kind is FieldKind.FLAG:
        return ("BOOL", "BYTES")
    if kind is FieldKind.INTEGER:
        return (*WHOLE, *FLOATS)
    return (*FLOATS, *WHOLE) if kind is FieldKind.NUMBER else ("BYTES",)


def _tensor(field: str, datatypes: tuple[str, ...], cell: dict[str, Any]) -> dict[str, Any]:
    properties = {
        "name": {"const": alias(field)},
        "shape": {"const": [1]},
        "datatype": {"enum": list(datatypes)},
        "parameters": {"$ref": "#/components/schemas/TensorParameters"},
        "data": _tuple_of([cell if field in REQUIRED else {"anyOf": [cell, {"type": "null"}]}]),
    }
    return _object(properties, "name", "shape", "datatype", "data")


def _tensor_of(field: str) -> dict[str, Any]:
    datatypes = datatypes_of(field)
    if datatypes == ("BYTES",):
        cell = _properties()[alias(field)]
        texts = [one for one in cell.get("anyOf", [_shape_of(field)]) if one["type"] == "string"]
        empty = [] if field in REQUIRED else [{"const": ""}]
        return _tensor(field, datatypes, {"anyOf": [*texts, *empty]})
    low, high = bounds(field)
    numbers = {"minimum": low, "maximum": high}
    if KINDS[field] is FieldKind.INTEGER:
        return _tensor(field, datatypes, {"type": "integer", **numbers})
    return {
        "anyOf": [
            _tensor(field, FLOATS, {"type": "number", **numbers}),
            _tensor(field, WHOLE, {"type": "integer", **numbers}),
        ]
    }


def inputs_schema(schema: dict[str, Any]) -> None:
    """Show the tensors of one listing in place of a list's own schema."""
    description = schema["description"]
    schema.clear()
    schema |= {**_tuple_of([_tensor_of(field) for field in TENSORS]), "description": description}
    schema["minItems"] = len(REQUIRED)


def _example_tensor(field: str) -> dict[str, Any]:
    name = alias(field)
    return {
        "name": name,
        "shape": [1],
        "datatype": datatypes_of(field)[0],
        "data": [_EXAMPLE[name]],
    }


INFERENCE_EXAMPLE: Final = {
    "id": "42",
    "parameters": {"confidence": 0.9},
    "inputs": [_example_tensor(field) for field in REQUIRED],
}
