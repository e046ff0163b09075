"""What the card of the served model tells: all of it is in the model folder, or known of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from api.pages.numerals import Numerals
from api.served import ServedModel
from carprice import __version__
from carprice.listings.keys import ModelKey
from carprice.model.intervals import AGE_BANDS
from carprice.schema import DEFAULT_CONFIDENCE, alias

_FIGURES: Final = (
    ("mape", "MAPE", "mean absolute error", 2, " %"),
    ("mdape", "MdAPE", "median absolute error", 2, " %"),
    ("within_10", "Within ±10 %", "share of the prices that are off by 10 % at most", 1, " %"),
    ("rmsle", "RMSLE", "root mean squared error of ln(price)", 3, ""),
    ("mae", "MAE", "mean absolute error in currency", 0, ""),
    ("r2", "R²", "share of the prices' variance that is explained", 3, ""),
    ("coverage", "Coverage", "share of the prices within the range", 1, " %"),
    ("median_width", "Median width", "of the range, in per cent of the price", 1, " %"),
    ("mean_width", "Mean width", "of the range, in per cent of the price", 1, " %"),
)
"""The metrics of a model: name, words, digits and unit."""
_SHOWN: Final = 20
_LARGEST: Final = 10
_UNITS: Final = {
    "age": "age, years",
    "litres": "engine, litres",
    "listed": "day of the listing, years after the valuation date",
    "power_bhp": "power, bhp",
    "fitness_age": "registration valid from new, years",
    "feature_count": "features listed",
    "ownership": "owner who sells",
    "odometer_per_year": "distance a year, {unit}",
    "odometer": "distance, {unit}",
    "price": "price asked, {currency}",
    "new_price": "price when new, {currency}",
    "road_tax": "yearly road tax, {currency}",
}


@dataclass(frozen=True)
class Segment:
    """The cross-validated error of some cars: of how many listings, and MAPE in per cent."""

    name: str
    rows: int
    mape: float


@dataclass(frozen=True)
class Limits:
    """What training had of a number: from least to most, and the same without far-off values."""

    name: str
    least: float
    most: float
    usual: tuple[float, float] | None


def card_of(served: ServedModel, name: str, numerals: Numerals) -> dict[str, Any]:
    """Return what the card's template shows of a model, registered under a name."""
    model = served.model
    errors = model.segments.errors
    of_market = errors.get("", {})
    makes = [*_of_kinds(served, lambda kind: bool(kind) and "|" not in kind)]
    models = [*_of_kinds(served, lambda kind: "|" in kind)]
    gains = sorted(model.importance.items(), key=lambda one: (-one[1], one[0]))
    return {
        "name": name,
        "served": served,
        "model": model,
        "market": model.market,
        "carprice": __version__,
        "rows": of_market[""][0] if "" in of_market else None,
        "learned": None if model.learned is None else len(model.learned.keys),
        "kept": None if model.listings is None else len(model.listings),
        "figures": [
            (label, meaning, numerals.number(model.metrics[key], digits) + unit)
            for key, label, meaning, digits, unit in _FIGURES
            if key in model.metrics
        ],
        "confidence": f"{100 * DEFAULT_CONFIDENCE:g}",
        "ages": [Segment(band, *of_market[band]) for band in AGE_BANDS if band in of_market],
        "makes": makes[:_SHOWN],
        "more_makes": max(len(makes) - _SHOWN, 0),
        "largest": sorted(models, key=lambda one: (-one.mape, one.name))[:_LARGEST],
        "limits": [*_limits(served)],
        "own": [alias(field) for field in model.own],
        "gains": [(column, 100 * gain) for column, gain in gains[:_SHOWN] if gain > 0],
        "libraries": sorted(model.libraries.items()),
    }


def number_of(numerals: Numerals, value: float, digits: int | None = None) -> str:
    """Return a number with so many digits; by default as many as it needs, two at most.

    Examples
    --------
    >>> [number_of(Numerals(), one) for one in (1234567.8, 0.6, 1998, -12.345)]
    ['1,234,568', '0.6', '1,998', '\N{MINUS SIGN}12.35']
    """
    if digits is None:
        needed = (place for place in (0, 1) if round(value, place) == round(value, 2))
        digits = 0 if abs(value) >= 100 else next(needed, 2)
    return numerals.number(value, digits)


def _of_kinds(served: ServedModel, is_one: Any) -> Iterator[Segment]:
    """Yield the errors of makes or models at all ages, those of most listings first."""
    found = [
        (kind, bands[""])
        for kind, bands in served.model.segments.errors.items()
        if "" in bands and is_one(kind)
    ]
    for kind, (rows, mape) in sorted(found, key=lambda one: (-one[1][0], one[0])):
        yield Segment(" ".join(ModelKey.read(kind)) if "|" in kind else kind, rows, mape)


def _limits(served: ServedModel) -> Iterator[Limits]:
    model = served.model
    market = model.market
    units = {"unit": market.distance_unit, "currency": market.currency}
    for field, (least, most) in sorted(model.trained_on.items()):
        usual = model.usual_ranges.get(field)
        name = _UNITS[field].format_map(units) if field in _UNITS else alias(field)
        yield Limits(name, least, most, None if usual == (least, most) else usual)
