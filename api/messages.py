"""Requests and answers, as OpenAPI shows them."""

import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from carprice.schema import Listing, example_listing


class _Answer(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, protected_namespaces=()
    )


class ListingRequest(Listing):
    """One listing to value; the reference service's form is accepted too."""

    model_config = ConfigDict(json_schema_extra={"examples": [example_listing()]})

    feature_count: float | None = Field(
        None,
        deprecated=True,
        description="Accepted for older clients and not used; send features instead",
    )


class Caution(_Answer):
    """Why an answer deserves less trust."""

    kind: str = Field(examples=["unseen_variant"])
    field: str = Field(examples=["variant"])
    message: str = Field(
        examples=[
            "variant 'VXI CVT' was not in the training data; priced like its model on average"
        ]
    )


class PriceAnswer(_Answer):
    """A price with its range, in the currency and for the day that it names."""

    predicted_price: float = Field(examples=[512000.0])
    price_low: float = Field(examples=[421000.0])
    price_high: float = Field(examples=[615000.0])
    confidence: float = Field(description="Share of prices that the range holds", examples=[0.9])
    currency: str = Field(examples=["INR"])
    valuation_date: datetime.date = Field(description="Day the price is for")
    model_version: str = Field(examples=["1"])
    model_digest: str = Field(description="SHA-256 that names the model's bytes")
    warnings: list[Caution]


class ReasonAnswer(_Answer):
    """One part of a price: the factor it multiplies the price by, and that in currency."""

    name: str = Field(examples=["age"])
    factor: float = Field(examples=[0.86])
    amount: float = Field(examples=[-81000.0])


class ExplanationAnswer(_Answer):
    """A price as the market's typical car times all factors, and as it plus all amounts."""

    predicted_price: float = Field(examples=[512000.0])
    start: float = Field(description="Price of the market's typical car", examples=[554000.0])
    reasons: list[ReasonAnswer]
    currency: str = Field(examples=["INR"])
    model_version: str = Field(examples=["1"])


class Health(_Answer):
    """Whether the service can answer."""

    status: Literal["ok", "loading"]
    model_version: str | None = Field(examples=["1"])
    detail: str | None = Field(None, description="Why there is no model yet")


class FieldProblem(BaseModel):
    """One field that is wrong."""

    field: str = Field(examples=["odometer"])
    message: str = Field(examples=["Input should be a valid number"])
    value: Any = Field(None, examples=["abc"])


class Problem(BaseModel):
    """Problem details, RFC 9457."""

    type: str = Field("about:blank", examples=["about:blank"])
    title: str = Field(examples=["Unprocessable Content"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["odometer: Input should be a valid number (found 'abc')"])
    errors: list[FieldProblem] = []
