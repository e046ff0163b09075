"""The FastAPI application: health, prices and the pages that describe them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request, Response

from api import problems
from api.messages import (
    Caution,
    ExplanationAnswer,
    Health,
    ListingRequest,
    PriceAnswer,
    ReasonAnswer,
)
from api.serving import ModelKeeper, ServedModel, load_production
from api.settings import ServiceSettings
from carprice import __version__
from carprice.model import DEFAULT_CONFIDENCE
from carprice.model.valuation import value
from carprice.schema import FIELDS

_RETRY_SECONDS = "5"
_NOT_USED = Caution(
    kind="not_used", field="featureCount", message="featureCount is not used; send features"
)

router = APIRouter()


def create_app(
    settings: ServiceSettings | None = None, load: Callable[[], ServedModel] | None = None
) -> FastAPI:
    """Return the service.

    Parameters
    ----------
    settings : where the model comes from; read from the environment at start-up where not given.
    load : loads the model to serve; default: the registry's production model.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        loader = load or partial(load_production, settings or ServiceSettings.from_environment())
        app.state.keeper = ModelKeeper(loader)
        loading = asyncio.create_task(app.state.keeper.keep_trying())
        yield
        loading.cancel()
        with suppress(asyncio.CancelledError):
            await loading

    app = FastAPI(
        title="carprice",
        summary="What a used car is worth: a price, an honest range and what to be careful about.",
        version=__version__,
        lifespan=lifespan,
    )
    problems.add_handlers(app)
    app.include_router(router)
    return app


def keeper(request: Request) -> ModelKeeper:
    """Return the app's model keeper."""
    found: ModelKeeper = request.app.state.keeper
    return found


def served_model(keeper: Annotated[ModelKeeper, Depends(keeper)]) -> ServedModel:
    """Return the model to answer with; 503 while there is none."""
    if keeper.served is None:
        raise HTTPException(
            HTTPStatus.SERVICE_UNAVAILABLE, keeper.problem, {"Retry-After": _RETRY_SECONDS}
        )
    return keeper.served


@router.get(
    "/",
    tags=["health"],
    response_model=Health,
    responses={HTTPStatus.SERVICE_UNAVAILABLE.value: {"model": Health}},
)
async def health(keeper: Annotated[ModelKeeper, Depends(keeper)], response: Response) -> Health:
    """Answer 200 once the production model is loaded, else 503."""
    if keeper.served is None:
        response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
        response.headers["Retry-After"] = _RETRY_SECONDS
        return Health(status="loading", model_version=None, detail=keeper.problem)
    return Health(status="ok", model_version=keeper.served.version)


@router.post(
    "/predict",
    tags=["prices"],
    response_model=PriceAnswer,
    responses=problems.declare(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE),
)
async def predict(
    listing: ListingRequest,
    served: Annotated[ServedModel, Depends(served_model)],
    response: Response,
    confidence: Annotated[
        float, Query(ge=0.5, le=0.99, description="Share of prices that the range shall hold")
    ] = DEFAULT_CONFIDENCE,
) -> PriceAnswer:
    """Value one listing."""
    (valuation,) = value(served.model, _columns(listing), confidence)
    cautions = [Caution(**vars(caution)) for caution in valuation.warnings]
    if "feature_count" in listing.model_fields_set:
        cautions.append(_NOT_USED)
    market = served.model.market
    response.headers["X-Model-Version"] = served.version
    return PriceAnswer(
        predicted_price=valuation.predicted_price,
        price_low=valuation.price_low,
        price_high=valuation.price_high,
        confidence=confidence,
        currency=market.currency,
        valuation_date=valuation.valuation_date,
        model_version=served.version,
        model_digest=served.model.digest,
        warnings=cautions,
    )


@router.post(
    "/explain",
    tags=["prices"],
    response_model=ExplanationAnswer,
    responses=problems.declare(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE),
)
async def explain(
    listing: ListingRequest,
    served: Annotated[ServedModel, Depends(served_model)],
    response: Response,
) -> ExplanationAnswer:
    """Tell why one listing is valued as it is."""
    (told,) = served.model.explain(_columns(listing))
    response.headers["X-Model-Version"] = served.version
    return ExplanationAnswer(
        predicted_price=told.price,
        start=told.start,
        reasons=[ReasonAnswer(**vars(reason)) for reason in told.reasons],
        currency=served.model.market.currency,
        model_version=served.version,
    )


def _columns(listing: ListingRequest) -> dict[str, list[Any]]:
    return {field: [getattr(listing, field)] for field in FIELDS}
