"""Prices as the answers' plain content, built once a request and written by pydantic's encoder."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fastapi import Response
from pydantic_core import to_json

from api.keeper import ServedModel
from api.messages import ListingRequest
from carprice.model.cautions import Caution
from carprice.model.pricer import Valuation

_NOT_USED = Caution("not_used", "featureCount", "featureCount is not used; send features")


def json_response(
    content: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return content as a JSON response."""
    return Response(to_json(content), status, headers, "application/json")


def with_unused_fields(valuation: Valuation, listing: ListingRequest) -> Valuation:
    """Return a valuation that also says which fields of the request were not used."""
    if "feature_count" in listing.model_fields_set:
        return replace(valuation, cautions=(*valuation.cautions, _NOT_USED))
    return valuation


def model_content(served: ServedModel, confidence: float) -> dict[str, Any]:
    """Return what all answers with prices say of their model."""
    return {
        "confidence": confidence,
        "currency": served.model.market.currency,
        "modelVersion": served.version,
        "modelDigest": served.model.digest,
    }
