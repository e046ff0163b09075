"""What the service serves: the model, the names that it knows, and its counters."""

from fastapi import APIRouter, Request, Response

from api.answers import json_response
from api.messages import ModelAnswer, VocabularyAnswer
from api.openapi import READING_PROBLEMS
from api.routing import add_route
from api.service import Service


def add_routes(router: APIRouter, service: Service) -> None:
    """Add ``/model``, ``/vocabulary`` and ``/metrics``."""

    async def model(request: Request) -> Response:
        """Describe the model that prices come from."""
        served = service.served(request)
        market = served.model.market
        return json_response(
            {
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
        )

    async def vocabulary(request: Request) -> Response:
        """List the makes, models and variants that the model knows, for forms."""
        served = service.served(request)
        makes = served.model.vocabulary.makes
        return json_response({"makes": makes, "modelVersion": served.version})

    async def metrics(_: Request) -> Response:
        service.recorder.flush()
        content, kind = service.metrics.exposition(service.keeper)
        return Response(content, media_type=kind)

    for path, endpoint, answer in (
        ("/model", model, ModelAnswer),
        ("/vocabulary", vocabulary, VocabularyAnswer),
    ):
        add_route(
            router,
            path,
            endpoint,
            tags=["model"],
            response_model=answer,
            responses=READING_PROBLEMS,
        )
    if service.settings.metrics:
        add_route(router, "/metrics", metrics, include_in_schema=False)
