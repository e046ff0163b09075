"""Requests and answers, as OpenAPI shows them."""

import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from carprice.appraisal.deal import Label, ReasonKind
from carprice.model.cautions import Caution
from carprice.schema import MOST_ASKED, Listing, Number, example_listing

JSON: Final = "application/json"
CSV: Final = "text/csv"
QUOTE_ID: Final = "quoteId"
"""What answers call the id under which the prediction log has them."""
_WRONG_PRICE: Final = (
    "Input should be a number above 0 and at most 1,000,000,000,000, in the currency of the "
    "answers, without its name, sign or separators, such as 12000"
)


class _Answer(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        protected_namespaces=(),
        extra="forbid",
        defer_build=True,  # answers are only described, which most processes are never asked for
    )


def _asking_price(value: object) -> object:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 < value <= MOST_ASKED:  # type: ignore[operator]
        raise PydanticCustomError("asking_price", _WRONG_PRICE)
    return float(value)  # type: ignore[arg-type]


AskingPrice = Annotated[
    float,
    BeforeValidator(
        _asking_price,
        json_schema_input_type=Annotated[float, Field(gt=0, le=MOST_ASKED)],
    ),
]


class ListingRequest(Listing):
    """One listing to value; the reference service's form is accepted too."""

    model_config = ConfigDict(json_schema_extra={"examples": [example_listing()]}, title="Listing")

    feature_count: Number | None = Field(
        None,
        deprecated=True,
        description="Accepted for older clients and not used; send features instead",
        examples=[2],
    )
    asking_price: AskingPrice | None = Field(
        None,
        description="Price that is asked for the car, in the market's currency; the answer then "
        "has deal. /predict, /predict/batch and /appraise judge it",
        examples=[495000],
    )


class BatchRequest(BaseModel):
    """Listings to value in one request."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"listings": [example_listing()]}]}
    )

    listings: list[
        Annotated[
            Any,
            WithJsonSchema(
                {
                    "anyOf": [
                        {"$ref": "#/components/schemas/ListingRequest"},
                        {"description": "Anything else gets its own problem"},
                    ]
                }
            ),
        ]
    ]


ByChallenger = Annotated[
    Literal["challenger"] | None,
    Field(
        description="Only where the challenger answered, a version on trial; it is left out else"
    ),
]


class ReasonForNone(_Answer):
    """Why an asking price has no label."""

    kind: ReasonKind
    message: str = Field(
        examples=["model 'Nexo' was not in the training data; priced like its make on average"]
    )


class DealAnswer(_Answer):
    """How the asking price compares with the price that is expected."""

    label: Label = Field(examples=["fair"])
    reason: ReasonForNone | None = Field(description="Why the label is none", examples=[None])
    percentile: float | None = Field(
        description="Share of such cars' prices that lie below the asking price, from 0 to 100; "
        "null where the model saw the car",
        examples=[38.5],
    )
    difference: float = Field(
        description="The asking price less the predicted one", examples=[-17000.0]
    )
    per_cent: float = Field(
        description="The same, in per cent of the predicted price", examples=[-3.3]
    )


class Price(_Answer):
    """A price with its range, in the currency and for the day that the answer names."""

    predicted_price: float = Field(examples=[512000.0])
    price_low: float = Field(examples=[421000.0])
    price_high: float = Field(examples=[615000.0])
    valuation_date: datetime.date = Field(
        description="Day the price is for", examples=["2025-06-01"]
    )
    warnings: list[Caution]
    deal: DealAnswer | None = Field(
        None, description="Only where the request has an askingPrice; it is left out else"
    )
    quote_id: str | None = Field(
        None,
        description="Names the answer in the prediction log; it is left out where that is off",
    )


class PriceAnswer(Price):
    """A price with its range, and the model that says so."""

    confidence: float = Field(description="Share of prices that the range holds", examples=[0.9])
    currency: str = Field(examples=["INR"])
    model_version: str = Field(examples=["1"])
    model_digest: str = Field(description="SHA-256 that names the model's bytes")
    alias: ByChallenger = None


class ReasonAnswer(_Answer):
    """One part of a price: the factor it multiplies the price by, and that in currency."""

    name: str = Field(examples=["age"])
    factor: float = Field(examples=[0.86])
    amount: float = Field(examples=[-81000.0])


class ExplanationAnswer(_Answer):
    """A price as the market's typical car times all factors, and as it plus all amounts."""

    predicted_price: float = Field(examples=[512000.0])
    start: float = Field(description="Price of the market's typical car", examples=[554000.0])
    reasons: list[ReasonAnswer] = Field(
        description="Their amounts and the start add up to the price, to the cent"
    )
    valuation_date: datetime.date = Field(
        description="Day the price is for", examples=["2025-06-01"]
    )
    warnings: list[Caution]
    currency: str = Field(examples=["INR"])
    model_version: str = Field(examples=["1"])
    model_digest: str = Field(description="SHA-256 that names the model's bytes")
    alias: ByChallenger = None


class CurvePoint(_Answer):
    """A price and its range at one age and distance."""

    age: float = Field(description="In years", examples=[7])
    odometer: float | None = Field(
        description="In the market's distance unit; null where it is not known", examples=[51800]
    )
    predicted_price: float = Field(examples=[468000.0])
    price_low: float = Field(examples=[391000.0])
    price_high: float = Field(examples=[561000.0])


class YearPoint(CurvePoint):
    """A price and its range in some years."""

    years: int = Field(description="Years from the day of the price", examples=[1])


class CurvePart(_Answer):
    """The points of a curve, and why there are no more."""

    points: list[CurvePoint]
    ends: str = Field(examples=["training had a maruti swift of 0 to 13 years"])


class AheadPart(_Answer):
    """The car today and in the years ahead, and why there are no more."""

    points: list[YearPoint]
    ends: str = Field(examples=["5 years ahead at most"])


class CurveAnswer(_Answer):
    """Prices by age and by distance, as far as training had such cars; the market unchanged."""

    assumption: str = Field(description="What the curves take for granted")
    yearly_distance: float | None = Field(
        description="Distance driven in a year; null where it is not known", examples=[9800]
    )
    by_age: CurvePart = Field(description="This model at other ages today")
    ahead: AheadPart = Field(description="This car today and in one to five years")
    by_distance: CurvePart = Field(description="This car today at other distances")


class TrainingCars(_Answer):
    """How many training cars are alike; null where the listing does not name a trim or variant."""

    model: int = Field(examples=[113])
    trim: int | None = Field(examples=[41])
    variant: int | None = Field(examples=[10])
    market: int = Field(description="All of them", examples=[8000])


class SegmentAnswer(_Answer):
    """How far off the prices of such cars were."""

    segment: str = Field(examples=["maruti swift, 4-6 years"])
    listings: int = Field(description="Listings that it was measured on", examples=[87])
    mape: float = Field(description="Mean absolute error in per cent", examples=[7.4])
    of: Literal["cross-validation"]


class BasisAnswer(_Answer):
    """What an appraisal rests on."""

    training_cars: TrainingCars
    error: SegmentAnswer | None = Field(
        description="Of the narrowest segment that was measured; null for models of before"
    )


class QuoteAnswer(_Answer):
    """What was asked, and the id of that and of what was answered."""

    id: str = Field(
        description="SHA-256 of listing, asking price, confidence, model digest, price, range, "
        "day, currency, and the deal's label, percentile and differences"
    )
    listing: dict[str, Any] = Field(examples=[example_listing()])
    confidence: float = Field(examples=[0.9])


class AppraisalAnswer(PriceAnswer):
    """All that is told of one listing; parts that were left out are missing."""

    start: float | None = Field(
        None, description="Price of the market's typical car", examples=[554000.0]
    )
    reasons: list[ReasonAnswer] | None = Field(
        None, description="Their amounts and the start add up to the price, to the cent"
    )
    comparables: "ComparablesAnswer | None" = None
    curve: CurveAnswer | None = None
    basis: BasisAnswer | None = None
    quote: QuoteAnswer | None = None


class AdjustmentAnswer(_Answer):
    """What a comparable's price changes by for one factor."""

    name: str = Field(examples=["distance"])
    amount: float = Field(description="In the currency", examples=[-8063.03])


class ComparableAnswer(_Answer):
    """A listing of the market, brought to a car; null where it leaves something out."""

    make: str = Field(examples=["honda"])
    model: str = Field(examples=["amaze"])
    trim: str | None = Field(examples=["VX"])
    variant: str | None = Field(examples=["VX CVT"])
    year: int | None = Field(
        description="null for a car of no age, which may be of the next year's model",
        examples=[2020],
    )
    odometer: float | None = Field(examples=[90185.0])
    fuel_type: str | None = Field(examples=["diesel"])
    transmission_type: str | None = Field(examples=["manual"])
    body_type: str | None = Field(examples=["sedan"])
    ownership: int | None = Field(examples=[1])
    listed_on: datetime.date | None = Field(
        description="null where it has no date, or that of the valuation", examples=["2025-01-15"]
    )
    asking_price: float = Field(examples=[440000.0])
    adjustments: list[AdjustmentAnswer] = Field(
        description="By factor, but those that are none; they sum to adjustedPrice - askingPrice"
    )
    adjusted_price: float = Field(
        description="What was asked, of a car like this one", examples=[433517.34]
    )
    weight: float = Field(description="1 where it is alike in all", examples=[0.8613])


class ComparablesAnswer(_Answer):
    """The listings of the market that are likest to a car, the likest first."""

    adjusted_price: float | None = Field(
        description="Mean of the adjusted prices by weight; null without any",
        examples=[468872.97],
    )
    effective: float = Field(
        description="How many listings of the same weight would tell as much", examples=[7.6]
    )
    of_model: int = Field(description="Listings of this model that are kept", examples=[294])
    left_out: int = Field(
        description="Listings that may be of this very car, and are left out", examples=[0]
    )
    note: str = Field(
        description="What a reader must know of them, in a sentence; empty if nothing",
        examples=["the market has only 2 listings of this model beside this car"],
    )
    listings: list[ComparableAnswer]


class Health(_Answer):
    """Whether the service can answer."""

    status: Literal["ok", "loading", "draining"]
    model_version: str | None = Field(examples=["1"])
    source: Literal["registry", "cache", "image"] | None = Field(
        None, description="Where the model was had from", examples=["registry"]
    )
    since: datetime.datetime | None = Field(
        None, description="When the registry last said that this model is in production"
    )
    detail: str | None = Field(
        None, description="Why there is no model yet, or why it is not the registry's"
    )


class Alive(_Answer):
    """The process lives."""

    status: Literal["alive"] = "alive"


class FieldProblem(BaseModel):
    """One field that is wrong."""

    field: str = Field(examples=["odometer"])
    message: str = Field(examples=["Input should be a valid number"])
    value: Any = Field(None, description="What was found", examples=["abc"])


class Problem(BaseModel):
    """Problem details, RFC 9457."""

    type: str = Field(examples=["urn:carprice:problem:invalid-listing"])
    title: str = Field(examples=["Invalid listing"])
    status: Annotated[int, Field(ge=400, le=599, examples=[422])]
    detail: str = Field(examples=["odometer: Input should be a valid number (found 'abc')"])
    errors: list[FieldProblem] = []


class BatchRow(_Answer):
    """One listing of a batch: its price or its problem."""

    row: int = Field(description="Position in the request, from 0", examples=[0])
    price: Price | None = None
    problem: Problem | None = None
    alias: ByChallenger = None
    model_version: str | None = Field(
        None, description="Only where the challenger answered: its version", examples=["2"]
    )


class BatchAnswer(_Answer):
    """The rows of a batch in the order of the request."""

    rows: list[BatchRow]
    priced: int = Field(description="Number of rows with a price", examples=[1])
    confidence: float = Field(description="Share of prices that the ranges hold", examples=[0.9])
    currency: str = Field(examples=["INR"])
    model_version: str = Field(examples=["1"])
    model_digest: str = Field(description="SHA-256 that names the model's bytes")


class ChallengerAnswer(_Answer):
    """The model that prices beside the one in production, or for some cars."""

    mode: Literal["shadow", "canary"]
    share: float = Field(description="Of the requests, or of the cars", examples=[0.05])
    state: Literal["none", "prices", "dropped", "unavailable"] = Field(
        description="none: the registry names none; dropped: this process uses it no more"
    )
    version: str | None = Field(description="null where none prices", examples=["2"])
    digest: str | None = Field(description="SHA-256 that names its bytes")
    loaded: datetime.datetime | None = Field(description="When this process loaded it")
    detail: str | None = Field(
        description="Why it was dropped, or why the registry's could not be had"
    )


class ModelAnswer(_Answer):
    """The model that is served."""

    name: str = Field(examples=["used-car-price"])
    version: str = Field(examples=["1"])
    digest: str = Field(description="SHA-256 that names the model's bytes")
    source: Literal["registry", "cache", "image"]
    since: datetime.datetime = Field(
        description="When the registry last said that this model is in production"
    )
    loaded: datetime.datetime = Field(description="When this process loaded it")
    valuation_date: datetime.date = Field(description="Day the prices are for")
    currency: str = Field(examples=["INR"])
    distance_unit: Literal["km", "miles"]
    training_data: str = Field(description="SHA-256 of the training data")
    trained_on: dict[str, Annotated[list[float], Field(min_length=2, max_length=2)]] = Field(
        description="Smallest and largest value of each number in training"
    )
    metrics: dict[str, float] = Field(description="Cross-validated figures of the training rows")
    challenger: ChallengerAnswer | None = Field(
        None, description="null where CARPRICE_CHALLENGER is off"
    )


class VocabularyAnswer(_Answer):
    """The names that the model knows, as it spells them."""

    makes: dict[str, dict[str, list[str]]] = Field(
        description="Make → model → variants",
        examples=[{"maruti": {"swift": ["VXI 1.2 AMT"]}}],
    )
    values: dict[str, list[str]] = Field(
        description="Field → its known values; other spellings of a gearbox, a fuel, a body or "
        "driven wheels are read too",
        examples=[{"transmissionType": ["automatic", "manual"]}],
    )
    model_version: str = Field(examples=["1"])
