"""What a listing is answered with: price, range and cautions, the same from every door.

The MLflow pyfunc and ``carprice predict`` call :func:`value`;
:class:`carprice.model.pricer.SinglePricer` says the same of one listing, sooner.
"""

import datetime
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from carprice.arrays import Columns
from carprice.listings.features import Features, listing_days
from carprice.model.cautions import (
    CHECKED_NUMBERS,
    Caution,
    far_day,
    first_unseen,
    future_year,
    impossible_odometer,
    is_far,
    out_of_range,
    unseen,
)
from carprice.model.price_model import DEFAULT_CONFIDENCE, PriceModel
from carprice.schema import ANSWER_NAMES


@dataclass(frozen=True)
class Valuation:
    """One listing's price and range in the market's currency, rounded to 0.01, and their day."""

    predicted_price: float
    price_low: float
    price_high: float
    valuation_date: datetime.date
    cautions: tuple[Caution, ...]

    @property
    def prices(self) -> tuple[float, float, float]:
        """The price and the ends of its range, in the order of ``schema.PRICE_NAMES``."""
        return self.predicted_price, self.price_low, self.price_high

    def content(self) -> dict[str, Any]:
        """Return what JSON says of the listing, by ``schema.ANSWER_NAMES``."""
        cautions = [vars(caution) for caution in self.cautions]
        values = (*self.prices, self.valuation_date.isoformat(), cautions)
        return dict(zip(ANSWER_NAMES, values, strict=True))


def value(
    model: PriceModel, columns: Columns, confidence: float = DEFAULT_CONFIDENCE
) -> list[Valuation]:
    """Value listings given by column (field name → one value a listing).

    Raises
    ------
    ValueError
        If the confidence is outside 0.5–0.99.
    """
    features = model.parse(columns)
    prices = model.predict_features(features, confidence)
    days = listing_days(columns, model.market.valuation_date, len(features))
    rounded = (np.round(side, 2).tolist() for side in (prices.price, prices.low, prices.high))
    found: list[list[Caution]] = [[] for _ in range(len(features))]
    _warn_of_unseen_names(model, columns, features, found)
    _warn_of_the_impossible(model, columns, features, days, found)
    _warn_of_unseen_numbers(model, features, found)
    return [
        Valuation(price, low, high, day, tuple(cautions))
        for price, low, high, day, cautions in zip(
            *rounded, days.astype(object).tolist(), found, strict=True
        )
    ]


def _warn_of_unseen_names(
    model: PriceModel, columns: Columns, features: Features, found: list[list[Caution]]
) -> None:
    known, texts = model.hedonic.coefficients, features.texts
    given = columns.get("variant")
    for row, line in enumerate(texts["model"]):
        has_variant = given is not None and isinstance(given[row], str)
        variant = texts["model_variant"][row] if has_variant else None
        field = first_unseen(known, texts["make"][row], line, variant)
        if field is not None:
            found[row].append(unseen(field, columns[field][row], line, model.vocabulary))


def _warn_of_the_impossible(
    model: PriceModel,
    columns: Columns,
    features: Features,
    days: npt.NDArray[np.datetime64],
    found: list[list[Caution]],
) -> None:
    if "odometer" in columns:
        given, age = np.asarray(columns["odometer"], dtype=np.float64), features.numbers["age"]
        impossible = ~np.isnan(given) & np.isnan(features.numbers["odometer"])
        for row in np.flatnonzero(impossible):
            found[row].append(impossible_odometer(given[row], age[row], model.market.distance_unit))
    years = np.asarray(columns["year"], dtype=np.float64)
    newest = days.astype("datetime64[Y]").astype(np.float64) + 1971.0
    for row in np.flatnonzero(years > newest):
        found[row].append(future_year(years[row]))
    is_dated = columns.get("listed_on") is not None
    valuation_date = model.market.valuation_date
    for place, day in enumerate(days.astype(object).tolist() if is_dated else ()):
        if is_far(day, valuation_date):
            found[place].append(far_day(day, valuation_date))


def _warn_of_unseen_numbers(
    model: PriceModel, features: Features, found: list[list[Caution]]
) -> None:
    for name in CHECKED_NUMBERS:
        low, high = model.trained_on.get(name, (-np.inf, np.inf))
        values = features.numbers[name]
        for row in np.flatnonzero((values < low) | (values > high)):
            found[row].append(out_of_range(name, values[row], low, high))
