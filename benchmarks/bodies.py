"""Listings of the sample market as requests, in the form that each service wants."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pandas as pd
from pydantic import ValidationError

from carprice.sample.market import generate
from carprice.schema import (
    FIELDS,
    KINDS,
    REFERENCE_EQUIPMENT,
    FieldKind,
    Listing,
    alias,
    example_listing,
)

COUNT: Final = 1000
_SEED: Final = 11  # another market than the one that is learned from
_SHOWN: Final = tuple(example_listing())
_TEXTS: Final = frozenset(alias(field) for field in FIELDS if KINDS[field] == FieldKind.TEXT)


def sample_listings(count: int = COUNT) -> list[dict[str, Any]]:
    """Return different listings in camelCase, with the fields of the documented example."""
    found: dict[str, dict[str, Any]] = {}
    for record in generate(count + count // 10 + 10, _SEED).to_dict("records"):
        features = [name for name in REFERENCE_EQUIPMENT if record[name] == 1]
        given = {name: record[name] for name in _SHOWN if name in record}
        listing = {name: value for name, value in given.items() if pd.notna(value)}
        try:
            read = Listing.model_validate({**listing, "features": features})
        except ValidationError:
            continue  # one of the sample's impossible years
        dumped = read.model_dump(mode="json", by_alias=True, exclude_none=True)
        content = {name: _whole(value) for name, value in dumped.items()}
        found[compact_json(content)] = content
    return list(found.values())[:count]


def compact_json(content: Any) -> str:
    """Return JSON on one line."""
    return json.dumps(content, separators=(",", ":"))


def write_bodies(path: Path, bodies: Sequence[str]) -> Path:
    """Write the file that load generators read bodies from, one a line."""
    path.write_text("".join(f"{body}\n" for body in bodies), encoding="utf-8")
    return path


def _whole(value: Any) -> Any:
    """Write whole numbers as people do: 42000, not 42000.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def plain_form(listing: dict[str, Any]) -> dict[str, Any]:
    """Return the request of carprice's own kind of service."""
    return listing


def mlflow_form(listing: dict[str, Any]) -> dict[str, Any]:
    """Return the request of MLflow's scoring server."""
    return {"dataframe_records": [listing]}


def v2_form(listing: dict[str, Any]) -> dict[str, Any]:
    """Return the request of the Open Inference Protocol, by the types of the model's signature."""
    return {
        "parameters": {"content_type": "pd"},
        "inputs": [_v2_input(name, value) for name, value in listing.items()],
    }


def _v2_input(name: str, value: Any) -> dict[str, Any]:
    is_text = name in _TEXTS
    return {
        "name": name,
        "shape": [1, 1],
        "datatype": "BYTES",
        "data": [value if is_text else compact_json(value)],
        "parameters": {"content_type": "str" if is_text else "pd_json"},
    }
