"""What the service serves: the model, the names that it knows, and its counters."""

from typing import Any

from fastapi import APIRouter, Response

from api.dependencies import Served, TheService
from api.messages import ModelAnswer, VocabularyAnswer
from api.openapi import READING_PROBLEMS

router = APIRouter(tags=["model"])


@router.get("/model", response_model=ModelAnswer, responses=READING_PROBLEMS)
async def model(service: TheService, served: Served) -> dict[str, Any]:
    """Describe the model that prices come from."""
    market = served.model.market
    return {
        "name": service.settings.model_name,
        "version": served.version,
        "digest": served.model.digest,
        "source": served.source,
        "since": served.since,
        "loaded": served.loaded,
        "valuationDate": market.valuation_date,
        "currency": market.currency,
        "distanceUnit": market.distance_unit,
        "trainingData": market.data_digest,
        "trainedOn": served.model.trained_on,
        "metrics": served.model.metrics,
    }


@router.get("/vocabulary", response_model=VocabularyAnswer, responses=READING_PROBLEMS)
async def vocabulary(served: Served) -> dict[str, Any]:
    """List the makes, models and variants that the model knows, for forms."""
    return {"makes": served.model.vocabulary.makes, "modelVersion": served.version}


async def metrics(service: TheService) -> Response:
    """Return the counters, as Prometheus reads them."""
    service.recorder.flush()
    content, kind = service.metrics.exposition(service.keeper)
    return Response(content, media_type=kind)
