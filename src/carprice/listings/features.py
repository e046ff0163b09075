"""Parse listings into numbers and normalised categories: one listing or a million by the same code.

Nothing here is learned from data. Each distinct text is parsed once, so a million rows cost their
few thousand distinct variants and one look-up a row.
"""

import datetime
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from carprice.arrays import Columns, Floats, T
from carprice.listings.units import plausible_odometer
from carprice.listings.variants import variant_of
from carprice.schema import EQUIPMENT_SEPARATOR, KINDS, FieldKind

LISTED_YEARS: Final = (-20.0, 2.0)
"""Earliest and latest listing date that counts, in years after the valuation date.

An earlier or later date counts as this limit: the market's trend is not drawn on beyond it."""

CATEGORIES: Final = {
    "transmission": "transmission_type",
    "body": "body_type",
    "fuel": "fuel_type",
    "color": "color",
    "drive": "drive",
    "condition": "condition",
    "seller": "seller_type",
    "region": "region",
}
PLAIN_NUMBERS: Final = (
    "ownership",
    "fitness_age",
    "power_bhp",
    "cylinders",
    "seats",
    "fuel_economy",
    "road_tax",
)
TEXTS: Final = (
    "make",
    "model",
    "model_powertrain",
    "model_trim",
    "model_variant",
    *CATEGORIES,
    "gear",
)
NUMBERS: Final = (
    "age",
    "odometer",
    "odometer_per_year",
    "feature_count",
    "litres",
    "listed",
    *PLAIN_NUMBERS,
)


@dataclass(frozen=True)
class Features:
    """Parsed listings, n rows.

    Attributes
    ----------
    texts : n normalised categories by name (:data:`TEXTS`); empty where unknown.
    numbers : n values by name (:data:`NUMBERS`); NaN where unknown. ``age`` is in years,
        ``odometer`` in the market's distance unit, ``litres`` the engine's displacement,
        ``listed`` the listing's date in years after the valuation date.
    equipment : n texts: names of equipment joined by ``|``; empty where none is known.
    """

    texts: dict[str, list[str]]
    numbers: dict[str, Floats]
    equipment: list[str]

    def __len__(self) -> int:
        return len(self.equipment)

    def take(self, rows: npt.NDArray[np.intp]) -> "Features":
        """Return the given rows, in the order given."""
        picked = rows.tolist()
        return Features(
            {name: [values[row] for row in picked] for name, values in self.texts.items()},
            {name: values[rows] for name, values in self.numbers.items()},
            [self.equipment[row] for row in picked],
        )


@lru_cache(maxsize=20_000)
def normalise(text: str) -> str:
    """Return a category in lower case and with single spaces.

    Examples
    --------
    >>> normalise("  Wagon  R ")
    'wagon r'
    """
    return " ".join(text.casefold().split())


def parse(columns: Columns, valuation_date: datetime.date, distance_unit: str) -> Features:
    """Parse listings.

    Parameters
    ----------
    columns : a list or array by field name; ``make``, ``model`` and ``year`` must be there.
    valuation_date : the day that a price is for where a listing has no ``listed_on``.
    distance_unit : ``km`` or ``miles``, of ``odometer``.

    Examples
    --------
    >>> day = datetime.date(2024, 6, 30)
    >>> car = {"make": ["Kia"], "model": ["Sonet"], "year": [2020], "odometer": [30000]}
    >>> features = parse(car, day, "km")
    >>> features.texts["model"], features.numbers["age"]
    (['kia|sonet'], array([4.]))
    """
    rows = len(columns["make"])
    make = _texts(columns, "make", rows)
    line = _texts(columns, "model", rows)
    variants = _each(_values(columns, "variant", rows), variant_of)
    categories = {name: _texts(columns, field, rows) for name, field in CATEGORIES.items()}
    categories["drive"] = [
        given or variant.drive.lower()
        for given, variant in zip(categories["drive"], variants, strict=True)
    ]
    model = _joined(make, line)
    texts = {
        "make": make,
        "model": model,
        "model_powertrain": _joined(model, categories["fuel"], categories["transmission"]),
        "model_trim": _joined(model, (variant.trim for variant in variants)),
        "model_variant": _joined(model, (variant.text for variant in variants)),
        **categories,
        "gear": [variant.gear for variant in variants],
    }
    listed_year, listed = _listing_time(columns, valuation_date, rows)
    age = np.maximum(listed_year - _numbers(columns, "year", rows), 0.0)
    odometer = plausible_odometer(_numbers(columns, "odometer", rows), age, distance_unit)
    engine = _numbers(columns, "engine_cc", rows)
    litres = np.array([variant.litres for variant in variants])
    equipment = _each(_values(columns, "features", rows), equipment_of)
    numbers = {
        "age": age,
        "odometer": odometer,
        "odometer_per_year": odometer / (age + 0.5),
        "feature_count": np.array([count_of(names) for names in equipment], dtype=np.float64),
        "litres": np.where(np.isnan(engine), litres, np.round(engine / 1000, 1)),
        "listed": listed,
        **{name: _numbers(columns, name, rows) for name in PLAIN_NUMBERS},
    }
    return Features(texts, numbers, equipment)


def _listing_time(
    columns: Columns, valuation_date: datetime.date, rows: int
) -> tuple[Floats, Floats]:
    """Return the year of each listing's date, and that date in years after the valuation date."""
    days = listing_days(columns, valuation_date, rows)
    years = days.astype("datetime64[Y]").astype(np.float64) + 1970.0
    after = (days - np.datetime64(valuation_date, "D")).astype(np.float64) / 365.25
    return years, np.clip(after, *LISTED_YEARS)


def listing_days(
    columns: Columns, valuation_date: datetime.date, rows: int
) -> npt.NDArray[np.datetime64]:
    """Return the day that each listing's price is for: its own date, else the valuation date."""
    day = np.datetime64(valuation_date, "D")
    if columns.get("listed_on") is None:
        return np.full(rows, day)
    days = np.asarray(columns["listed_on"], dtype="datetime64[D]")
    return np.where(np.isnat(days), day, days)


def listings_of(columns: Columns) -> Iterator[dict[str, Any]]:
    """Yield listings given by column as field name → value; None or NaN where missing."""
    values: dict[str, Sequence[Any]] = {}
    for field, column in columns.items():
        if column is not None:
            is_date = KINDS[field] is FieldKind.DATE
            days = np.asarray(column, dtype="datetime64[D]") if is_date else column
            values[field] = days.tolist() if isinstance(days, np.ndarray) else days
    names = tuple(values)
    return (dict(zip(names, row, strict=True)) for row in zip(*values.values(), strict=True))


def _values(columns: Columns, field: str, rows: int) -> Sequence[Any]:
    values = columns.get(field)
    if values is None:
        return [None] * rows
    return values.tolist() if isinstance(values, np.ndarray) else values


def _each(values: Sequence[Any], parse_one: Callable[[Any], T]) -> list[T]:
    keys: list[Hashable] = [tuple(v) if isinstance(v, list) else v for v in values]
    if len(keys) == 1:
        return [parse_one(keys[0])]
    parsed = {key: parse_one(key) for key in set(keys)}
    return [parsed[key] for key in keys]


def _texts(columns: Columns, field: str, rows: int) -> list[str]:
    return _each(_values(columns, field, rows), text_of)


def text_of(value: Any) -> str:
    """Return a category normalised; empty where it is missing."""
    return normalise(value) if isinstance(value, str) else ""


def equipment_of(value: Any) -> str:
    """Return the normalised names of equipment, sorted and joined by ``|``."""
    if isinstance(value, tuple):
        return EQUIPMENT_SEPARATOR.join(sorted({normalise(name) for name in value}))
    if isinstance(value, str) and value:
        return equipment_of(tuple(value.split(EQUIPMENT_SEPARATOR)))
    return ""


def count_of(equipment: str) -> int:
    """Return the number of names in a text of :func:`equipment_of`."""
    return equipment.count(EQUIPMENT_SEPARATOR) + 1 if equipment else 0


def _numbers(columns: Columns, field: str, rows: int) -> Floats:
    values = columns.get(field)
    if values is None:
        return np.full(rows, np.nan)
    return np.asarray(values, dtype=np.float64)


def _joined(*parts: Iterable[str]) -> list[str]:
    return ["|".join(row) for row in zip(*parts, strict=True)]
