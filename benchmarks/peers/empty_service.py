"""The empty route: FastAPI reads the same request and answers a constant of the same shape.

It is what carprice's service would be if a valuation took no time at all.
"""

import datetime

from fastapi import FastAPI

from api.bodies import ListingRequest, PriceAnswer

ANSWER = PriceAnswer(
    predicted_price=512_000.0,
    price_low=421_000.0,
    price_high=615_000.0,
    confidence=0.9,
    currency="INR",
    valuation_date=datetime.date(2025, 6, 30),
    model_version="1",
    model_digest="0" * 64,
    warnings=[],
)

app = FastAPI()


@app.post("/predict")
async def predict(listing: ListingRequest) -> PriceAnswer:  # noqa: ARG001
    """Answer the constant."""
    return ANSWER
