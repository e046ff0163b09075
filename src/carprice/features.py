"""Listing → numbers and normalised categories: the same code for one listing and for a million.

Everything here is free of learned state. A listing's text is worked on once per distinct value, so
the cost of a million rows is that of their few thousand distinct variants plus one look-up a row.
"""

import datetime
import re
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

from carprice.schema import FEATURE_SEPARATOR

T = TypeVar("T")
Floats = npt.NDArray[np.float64]
Columns = Mapping[str, Sequence[Any] | npt.NDArray[Any]]
"""Listings by column: field name → one value a row; ``None`` or NaN where missing."""

KM_PER_MILE: Final = 1.609344
ODOMETER_KM: Final = (100.0, 500_000.0)
"""Distances that a used car can have driven; a car of up to a year may have driven less."""
LISTED_YEARS: Final = (-20.0, 2.0)
"""Years after the valuation date that prices are told for; a trend leads nowhere far from it."""

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
    """Parsed listings, one entry a row.

    Attributes
    ----------
    texts : normalised categories by name (:data:`TEXTS`); empty where unknown.
    numbers : values by name (:data:`NUMBERS`); NaN where unknown. ``age`` is in years,
        ``odometer`` in the market's distance unit, ``litres`` of displacement, ``listed`` in
        years after the valuation date.
    equipment : names of equipment joined by ``|``; empty where none is known.
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


@dataclass(frozen=True)
class Variant:
    """What a variant's text says: its words, gearbox, drive, displacement and trim."""

    tokens: tuple[str, ...]
    gear: str = ""
    drive: str = ""
    litres: float = float("nan")
    trim: str = ""

    @property
    def text(self) -> str:
        """The normalised spelling, equal for all spellings of one variant."""
        return " ".join(self.tokens)


def _words(*lines: str) -> frozenset[str]:
    return frozenset(word for line in lines for word in line.split())


_GEARS: Final = _words(
    "AMT CVT DCT DSG IMT IVT AGS DCA ECVT AT MT TCT EDC DDCT TIPTRONIC STRONIC",
    "4AT 5AT 6AT 7AT 8AT 5MT 6MT",
)
_DRIVES: Final = _words("4X4 4WD AWD 4MATIC QUATTRO XDRIVE 4X2 2WD FWD RWD")
_FUELS: Final = _words(
    "PETROL DIESEL CNG LPG ELECTRIC EV HYBRID CRDI TDI TDCI TSI TFSI MPI GDI DDIS DTEC VTEC IVTEC",
    "VTVT MULTIJET REVOTRON REVOTORQ MHAWK KAPPA DUALJET VVT IDTEC",
)
_FILLERS: Final = _words(
    "BS BSIV BSIII BSVI BS4 BS3 BS6 II III IV VI OPT PLUS STR SEATER WITH AND DUAL TONE EDITION",
    "NEW LIMITED TURBO",
)
_DESCRIBED: Final = _GEARS | _DRIVES | _FUELS | _FILLERS
_SPELLINGS: Final = (
    (re.compile(r"\(\s*O\s*\)"), " OPT "),
    (re.compile(r"\+"), " PLUS "),
    (re.compile(r"[^\w.]+|_"), " "),
    (re.compile(r"(?<!\d)\.|\.(?!\d)"), " "),
    (re.compile(r"(\d\.\d)\s*(?:LITRES?|LITERS?|LTR|L)\b"), r"\1 "),
    (re.compile(r"([A-Z])(\d\.\d)"), r"\1 \2"),
    (re.compile(r"(\d\.\d)([A-Z])"), r"\1 \2"),
    (re.compile(r"\bI VTEC\b"), "IVTEC"),
    (re.compile(r"\b4 MATIC\b"), "4MATIC"),
    (re.compile(r"\b([42]) ?(WD|X) ?([42]?)\b"), r"\1\2\3"),
    (re.compile(r"\bE CVT\b"), "ECVT"),
    (re.compile(r"\bS TRONIC\b"), "STRONIC"),
)
_ENGINE = re.compile(r"\d\.\d")


@lru_cache(maxsize=20_000)
def parse_variant(text: str) -> Variant:
    """Read a variant's text; spellings of the same variant give the same result.

    Examples
    --------
    >>> parse_variant("Titanium1.5L  TDCi (O)").tokens
    ('TITANIUM', '1.5', 'TDCI', 'OPT')
    >>> parsed = parse_variant("SX+ 1.0 litre DCT 4 WD")
    >>> parsed.trim, parsed.gear, parsed.drive, parsed.litres
    ('SX', 'DCT', '4WD', 1.0)
    """
    spelling = text.upper()
    for pattern, replacement in _SPELLINGS:
        spelling = pattern.sub(replacement, spelling)
    tokens = tuple(spelling.split())
    return Variant(
        tokens,
        gear=next((token for token in tokens if token in _GEARS), ""),
        drive=next((token for token in tokens if token in _DRIVES), ""),
        litres=next((float(token) for token in tokens if _ENGINE.fullmatch(token)), float("nan")),
        trim=next(
            (token for token in tokens if token not in _DESCRIBED and not token[0].isdigit()), ""
        ),
    )


@lru_cache(maxsize=20_000)
def normalise(text: str) -> str:
    """Return a category's spelling without case and stray spaces.

    Examples
    --------
    >>> normalise("  Wagon  R ")
    'wagon r'
    """
    return " ".join(text.casefold().split())


def plausible_odometer(odometer: Floats, age: Floats, distance_unit: str) -> Floats:
    """Return the odometers with NaN for distances that cannot be.

    A used car has driven 100 km or more unless it is at most a year old, and 500,000 km at most.

    Examples
    --------
    >>> plausible_odometer(np.array([5.0, 5, 42e3, 9e5]), np.array([0.0, 6, 6, 6]), "km").tolist()
    [5.0, nan, 42000.0, nan]
    """
    low, high = odometer_limits(distance_unit)
    impossible = (odometer > high) | (odometer < 0) | ((odometer < low) & (age > 1))
    return np.where(impossible, np.nan, odometer)


def odometer_limits(distance_unit: str) -> tuple[float, float]:
    """Return the plausible odometers of a used car in the market's unit.

    Examples
    --------
    >>> [round(limit) for limit in odometer_limits("miles")]
    [62, 310686]
    """
    scale = KM_PER_MILE if distance_unit == "miles" else 1.0
    return ODOMETER_KM[0] / scale, ODOMETER_KM[1] / scale


def parse(columns: Columns, valuation_date: datetime.date, distance_unit: str) -> Features:
    """Turn listings into features.

    Parameters
    ----------
    columns : listings by field name; ``make``, ``model`` and ``year`` must be there.
    valuation_date : day the prices are for, where a listing has no ``listed_on``.
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
    """Return each listing's calendar year, and its years after the valuation date."""
    days = listing_days(columns, valuation_date, rows)
    years = days.astype("datetime64[Y]").astype(np.float64) + 1970.0
    after = (days - np.datetime64(valuation_date, "D")).astype(np.float64) / 365.25
    return years, np.clip(after, *LISTED_YEARS)


def listing_days(
    columns: Columns, valuation_date: datetime.date, rows: int
) -> npt.NDArray[np.datetime64]:
    """Return the day of each listing's price: its own date, else the valuation date."""
    day = np.datetime64(valuation_date, "D")
    if columns.get("listed_on") is None:
        return np.full(rows, day)
    days = np.asarray(columns["listed_on"], dtype="datetime64[D]")
    return np.where(np.isnat(days), day, days)


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


def variant_of(value: Any) -> Variant:
    """Return what a variant's text says; nothing where it is missing."""
    return parse_variant(value if isinstance(value, str) else "")


def equipment_of(value: Any) -> str:
    """Return the normalised names of equipment, sorted and joined by ``|``."""
    if isinstance(value, tuple):
        return FEATURE_SEPARATOR.join(sorted({normalise(name) for name in value}))
    if isinstance(value, str) and value:
        return equipment_of(tuple(value.split(FEATURE_SEPARATOR)))
    return ""


def count_of(equipment: str) -> int:
    """Return how many names :func:`equipment_of` has joined."""
    return equipment.count(FEATURE_SEPARATOR) + 1 if equipment else 0


def _numbers(columns: Columns, field: str, rows: int) -> Floats:
    values = columns.get(field)
    if values is None:
        return np.full(rows, np.nan)
    return np.asarray(values, dtype=np.float64)


def _joined(*parts: Iterable[str]) -> list[str]:
    return ["|".join(row) for row in zip(*parts, strict=True)]
