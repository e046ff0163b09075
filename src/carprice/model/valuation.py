"""What a listing is answered with: price, range and warnings, the same from every door.

The service, the MLflow pyfunc and ``carprice predict`` all call :func:`value`.
"""

import datetime
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from carprice.features import Columns, Features, Floats, listing_days
from carprice.model.price_model import DEFAULT_CONFIDENCE, PriceModel
from carprice.schema import alias

CHECKED_NUMBERS: Final = {
    "age": "year",
    "odometer": "odometer",
    "ownership": "ownership",
    "litres": "engine_cc",
    "power_bhp": "power_bhp",
    "seats": "seats",
    "cylinders": "cylinders",
}
"""Numbers whose training range is checked, and the listing's field behind each."""
_PARENT_OF: Final = (("make", "every make"), ("model", "its make"), ("variant", "its model"))


@dataclass(frozen=True)
class Caution:
    """Why an answer deserves less trust.

    Attributes
    ----------
    kind : ``unseen_make``, ``unseen_model``, ``unseen_variant``, ``out_of_range`` or
        ``implausible``.
    field : the listing's field, in camelCase.
    """

    kind: str
    field: str
    message: str


@dataclass(frozen=True)
class Valuation:
    """One listing's price and range in the market's currency, rounded to 0.01, and their day."""

    predicted_price: float
    price_low: float
    price_high: float
    valuation_date: datetime.date
    warnings: tuple[Caution, ...]


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


def _warn_of_the_impossible(
    model: PriceModel,
    columns: Columns,
    features: Features,
    days: npt.NDArray[np.datetime64],
    found: list[list[Caution]],
) -> None:
    if "odometer" in columns:
        given = np.asarray(columns["odometer"], dtype=np.float64)
        impossible = ~np.isnan(given) & np.isnan(features.numbers["odometer"])
        for row in np.flatnonzero(impossible):
            found[row].append(
                Caution(
                    "implausible",
                    "odometer",
                    f"{given[row]:,.0f} {model.market.distance_unit} cannot be right for a car of "
                    f"{features.numbers['age'][row]:.0f} years; priced as if it were not known",
                )
            )
    years = np.asarray(columns["year"], dtype=np.float64)
    newest = days.astype("datetime64[Y]").astype(np.float64) + 1971.0
    for row in np.flatnonzero(years > newest):
        message = f"{years[row]:.0f} is after the day of the price; priced as a new car"
        found[row].append(Caution("implausible", "year", message))


def _warn_of_unseen_numbers(
    model: PriceModel, features: Features, found: list[list[Caution]]
) -> None:
    for name, field in CHECKED_NUMBERS.items():
        low, high = model.trained_on.get(name, (-np.inf, np.inf))
        values = features.numbers[name]
        for row in np.flatnonzero((values < low) | (values > high)):
            found[row].append(_out_of_range(name, field, values[row], low, high))


def _out_of_range(name: str, field: str, value: Floats, low: float, high: float) -> Caution:
    what = "an age of {:g} years" if name == "age" else f"{alias(field)} {{:g}}"
    return Caution(
        "out_of_range",
        alias(field),
        f"{what.format(value)} is outside {low:g}–{high:g}, what the model has seen",
    )


def _warn_of_unseen_names(
    model: PriceModel, columns: Columns, features: Features, found: list[list[Caution]]
) -> None:
    known = model.hedonic.coefficients
    texts = features.texts
    market_has_variants = bool(known["word"])
    variants = columns.get("variant") if market_has_variants else None
    for row in range(len(features)):
        if texts["make"][row] not in known["make"]:
            field, parent = _PARENT_OF[0]
        elif texts["model"][row] not in known["model"]:
            field, parent = _PARENT_OF[1]
        elif (
            variants is not None
            and isinstance(variants[row], str)
            and texts["model_variant"][row] not in known["variant"]
        ):
            field, parent = _PARENT_OF[2]
        else:
            continue
        found[row].append(
            Caution(
                f"unseen_{field}",
                field,
                f"{field} {columns[field][row]!r} was not in the training data; "
                f"priced like {parent} on average",
            )
        )
