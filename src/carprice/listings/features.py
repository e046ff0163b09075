"""Read listings as numbers and normalised categories: one by itself, or a million for training.

Nothing here is learned from data. A listing has a type (make, model, variant and the like), which
many cars share and which is read once, and values that differ from car to car.
"""

import datetime
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from operator import itemgetter
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from carprice.arrays import Coded, Codes, Columns, Floats, coded, coded_together, picked
from carprice.listings.believed import first_believed
from carprice.listings.keys import ModelKey, detail_key
from carprice.listings.market import are_believed, is_believed, odometer_limits
from carprice.listings.own import text_of_own
from carprice.listings.spelling import normalise
from carprice.listings.synonyms import canonical
from carprice.listings.variants import variant_of
from carprice.schema import (
    EQUIPMENT_SEPARATOR,
    KINDS,
    FieldKind,
    alias,
    is_own,
    own_numbers,
    own_of,
    own_texts,
)

LEAST_CC: Final = 50.0
"""Least displacement of a car; one below, but for none at all, is in litres, and not read."""
LISTED_YEARS: Final = (-20.0, 2.0)
"""Earliest and latest listing date, in years after the valuation date.

Dates outside are clipped to these limits: the market's trend is not extrapolated beyond them."""

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
_TYPE_KINDS: Final = ("transmission", "body", "fuel", "drive")
TYPE_FIELDS: Final = ("make", "model", "variant", *(CATEGORIES[name] for name in _TYPE_KINDS))
"""Fields of a listing that make up its type, in the order that :func:`read_type` takes."""
TYPE_CATEGORIES: Final = ("transmission", "body", "fuel", "gear", "drive")
CAR_CATEGORIES: Final = tuple(name for name in CATEGORIES if name not in TYPE_CATEGORIES)
"""Categories that differ from car to car of a type."""
PLAIN_NUMBERS: Final = (
    "ownership",
    "fitness_age",
    "power_bhp",
    "cylinders",
    "seats",
    "fuel_economy",
    "road_tax",
    "new_price",
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
TYPE_TEXTS: Final = tuple(name for name in TEXTS if name not in CAR_CATEGORIES)
_DAYS_A_YEAR: Final = 365.25
_FIRST_YEAR: Final = 1970  # of numpy's dates
_MOST_KEPT_NAMES: Final = 40
_MOST_KEPT_TEXT: Final = 500
_CAR_CATEGORY_FIELDS: Final = itemgetter(*CAR_CATEGORIES)(CATEGORIES)

T = TypeVar("T")
CarValues = tuple[dict[str, float], Sequence[str], Sequence[str]]
"""The known :data:`NUMBERS` and own ones by name, the :data:`CAR_CATEGORIES` and own ones, and the
names of equipment."""


@dataclass(frozen=True)
class Features:
    """Parsed listings, n rows.

    Attributes
    ----------
    texts : n normalised categories by name (:data:`TEXTS`, then own columns); empty where unknown.
        Of many rows they are :class:`carprice.arrays.Coded`.
    numbers : n values by name (:data:`NUMBERS`, then own columns); NaN where unknown. ``age`` is in
        years, ``odometer`` in the market's distance unit, ``litres`` the engine's displacement,
        ``listed`` the listing's date in years after the valuation date.
    equipment : n texts: names of equipment joined by ``|``; empty where none is known.
    cars : the number of the car that each listing is of; None where every listing is another car.
    """

    texts: dict[str, list[str]]
    numbers: dict[str, Floats]
    equipment: list[str]
    cars: Codes | None = None

    def __len__(self) -> int:
        return len(self.equipment)

    @property
    def own(self) -> tuple[str, ...]:
        """The fields of the market's own columns."""
        return own_of((*self.texts, *self.numbers))

    def take(self, rows: npt.NDArray[np.intp]) -> "Features":
        """Return the given rows, in the order given."""
        if np.array_equal(rows, np.arange(len(self))):
            return self
        return Features(
            {name: picked(values, rows) for name, values in self.texts.items()},
            {name: values[rows] for name, values in self.numbers.items()},
            picked(self.equipment, rows),
            None if self.cars is None else self.cars[rows],
        )

    def car_codes(self) -> Codes:
        """Return the car of each listing as a number from 0, in the order of the first listings."""
        if self.cars is None:
            return np.arange(len(self), dtype=np.intp)
        _, first, codes = np.unique(self.cars, return_index=True, return_inverse=True)
        return np.asarray(np.argsort(np.argsort(first))[codes], dtype=np.intp)

    def first_of_each_car(self, trust: Floats | None = None) -> Codes:
        """Return the row of each car's first believed listing, else of its first one.

        Parameters
        ----------
        trust : how far each price is believed, 0 to 1; all are if None.
        """
        return first_believed(self.car_codes(), np.ones(len(self)) if trust is None else trust)

    def car_weights(self) -> Floats:
        """Return one part of each listing's car: what is listed n times counts 1/n each time."""
        codes = self.car_codes()
        return np.asarray(1 / np.bincount(codes)[codes])


def text_of(value: Any) -> str:
    """Return a category normalised; empty where it is missing."""
    return normalise(value) if isinstance(value, str) else ""


def kept_by_equipment(read: Callable[..., T], most: int) -> Callable[..., T]:
    """Keep what was read of equipment that was asked for last; it is the first value of a call.

    Of equipment of much text only the last one is kept: others might never come again.

    Parameters
    ----------
    read : reads a sequence of names or a text, and other values; a list comes to it as a tuple.
    most : how many results are kept.
    """
    kept, last = lru_cache(maxsize=most)(read), lru_cache(maxsize=1)(read)

    def find(features: Any, *values: Any) -> T:
        is_long = False
        if isinstance(features, list):
            features = tuple(features)
        if isinstance(features, tuple):
            is_long = len(features) > _MOST_KEPT_NAMES or sum(map(len, features)) > _MOST_KEPT_TEXT
        elif isinstance(features, str):
            is_long = len(features) > _MOST_KEPT_TEXT
        return last(features, *values) if is_long else kept(features, *values)

    return find


def _read_equipment(features: Any) -> tuple[str, ...]:
    if isinstance(features, str):
        features = features.split(EQUIPMENT_SEPARATOR)
    elif not isinstance(features, tuple):
        return ()
    joined = EQUIPMENT_SEPARATOR.join(sorted(set(map(normalise, features))))
    return tuple(joined.split(EQUIPMENT_SEPARATOR)) if joined else ()


equipment_of: Final = kept_by_equipment(_read_equipment, most=4096)
"""Returns the normalised names of equipment, sorted, from a sequence or a text with ``|``."""


def name_of(category: str, value: Any) -> str:
    """Return the name of a category's value, one for all its spellings; empty where missing.

    A category is one of :data:`CATEGORIES`, or an own column of texts.

    Examples
    --------
    >>> name_of("transmission", "MT"), name_of("color", "Sky  Blue"), name_of("fuel", None)
    ('manual', 'sky blue', '')
    """
    if is_own(category):
        return text_of_own(category, value)
    return canonical(category, text_of(value))


class Reading(NamedTuple):
    """How values are read: here each as it is, by a model only those that its training had.

    Attributes
    ----------
    name_of : reads a category's value.
    equipment_of : reads names of equipment.
    numbers : the :data:`NUMBERS` that are read.
    own : the fields of the market's own columns.
    """

    name_of: Callable[[str, Any], str] = name_of
    equipment_of: Callable[[Any], Sequence[str]] = equipment_of
    numbers: Collection[str] = NUMBERS
    own: tuple[str, ...] = ()


AS_IT_IS: Final = Reading()


def parse(
    columns: Columns,
    valuation_date: datetime.date,
    distance_unit: str,
    reading: Reading = AS_IT_IS,
    pick: Callable[[Sequence[str], Codes], Any] = picked,
) -> Features:
    """Parse listings.

    Parameters
    ----------
    columns : a list or array by field name, all of one length; no column is no listing.
    valuation_date : the day that a price is for where a listing has no ``listed_on``.
    distance_unit : ``km`` or ``miles``, of ``odometer``.
    reading : how values are read.
    pick : makes columns of texts; :class:`carprice.arrays.Coded` for those that are only written.

    Examples
    --------
    >>> day = datetime.date(2024, 6, 30)
    >>> car = {"make": ["Kia"], "model": ["Sonet"], "year": [2020], "odometer": [30000]}
    >>> features = parse(car, day, "km")
    >>> features.texts["model"], features.numbers["age"]
    (['kia|sonet'], array([4.]))
    """
    rows = next(map(len, columns.values()), 0)
    types, type_codes = _types_of(columns, rows, reading)
    texts = {name: pick([of_type[name] for of_type, _ in types], type_codes) for name in TYPE_TEXTS}
    for name in (*CAR_CATEGORIES, *own_texts(reading.own)):
        different, codes = _coded(columns.get(CATEGORIES.get(name, alias(name))), rows)
        texts[name] = pick([reading.name_of(name, value) for value in different], codes)
    different, codes = _coded(columns.get("features"), rows)
    names = [*map(reading.equipment_of, different)]
    days = _days_of(columns.get("listed_on"), rows, valuation_date)
    listed = (days - np.datetime64(valuation_date, "D")).astype(np.float64) / _DAYS_A_YEAR
    years = days.astype("datetime64[Y]").astype(np.int64) + _FIRST_YEAR
    numbers = {
        "age": np.maximum(years - _floats(columns.get("year"), rows), 0.0),
        "feature_count": np.array([*map(len, names)], dtype=np.float64)[codes],
        "listed": np.clip(listed, *LISTED_YEARS),
    }
    for name in PLAIN_NUMBERS:
        is_read = name in reading.numbers
        numbers[name] = _floats(columns.get(name) if is_read else None, rows)
    for field in own_numbers(reading.own):
        numbers[field] = _floats(columns.get(alias(field)), rows)
    numbers["litres"] = numbers["odometer"] = np.full(rows, np.nan)
    if "litres" in reading.numbers:
        engine = _floats(columns.get("engine_cc"), rows)
        named = np.array([litres for _, litres in types], dtype=np.float64)[type_codes]
        is_one = (engine >= LEAST_CC) | (engine == 0)
        numbers["litres"] = np.where(is_one, np.round(engine / 1000 * 10) / 10, named)
    if "odometer" in reading.numbers:
        odometer, limits = _floats(columns.get("odometer"), rows), odometer_limits(distance_unit)
        driven = are_believed(odometer, numbers["age"], limits)
        numbers["odometer"] = np.where(driven, odometer, np.nan)
    return features_of(
        texts, numbers, pick([EQUIPMENT_SEPARATOR.join(one) for one in names], codes)
    )


def features_of(
    texts: Mapping[str, list[str]], numbers: Mapping[str, Floats], equipment: list[str]
) -> Features:
    """Return features of columns in their order, with the distance a year."""
    own = own_of((*texts, *numbers))
    per_year = {"odometer_per_year": numbers["odometer"] / (numbers["age"] + 0.5)}
    every = {**numbers, **per_year}
    return Features(
        {name: texts[name] for name in (*TEXTS, *own_texts(own))},
        {name: every[name] for name in (*NUMBERS, *own_numbers(own))},
        equipment,
    )


def _types_of(
    listings: Columns, rows: int, reading: Reading
) -> tuple[list[tuple[dict[str, str], float]], Codes]:
    """Return what :func:`read_type` reads of the different types, and the type of each row."""
    columns = [_coded(listings.get(field), rows) for field in TYPE_FIELDS]
    first, codes = coded_together(*(own for _, own in columns))
    fields = (picked(different, own[first]) for different, own in columns)
    return [read_type(*one, name_of=reading.name_of) for one in zip(*fields, strict=True)], codes


def _coded(values: Sequence[Any] | npt.NDArray[Any] | None, rows: int) -> tuple[list[Any], Codes]:
    """Return the different values of a column, lists as tuples, and the place of each."""
    if values is None:
        return [None][:rows], np.zeros(rows, dtype=np.intp)
    if isinstance(values, Coded):
        return [*values.values], values.codes
    listed = values.tolist() if isinstance(values, np.ndarray) else values
    return coded([tuple(one) if isinstance(one, list) else one for one in listed])


def _floats(values: Sequence[Any] | npt.NDArray[Any] | None, rows: int) -> Floats:
    """Return a column of numbers; NaN where one is missing."""
    return np.full(rows, np.nan) if values is None else np.array(values, dtype=np.float64)


def _days_of(
    values: Sequence[Any] | npt.NDArray[Any] | None, rows: int, usual: datetime.date
) -> npt.NDArray[np.datetime64]:
    """Return a column of days; the usual one where one is missing."""
    if values is None:
        return np.full(rows, usual, dtype="datetime64[D]")
    days = np.asarray(values, dtype="datetime64[D]")
    return np.where(np.isnat(days), np.datetime64(usual, "D"), days)


def listings_of(columns: Columns) -> Iterator[dict[str, Any]]:
    """Yield listings given by column as field name → value; None or NaN where missing."""
    values: dict[str, Sequence[Any]] = {}
    for field, column in columns.items():
        if column is not None:
            is_date = KINDS.get(field) is FieldKind.DATE
            days = np.asarray(column, dtype="datetime64[D]") if is_date else column
            values[field] = days.tolist() if isinstance(days, np.ndarray) else days
    names = tuple(values)
    return (dict(zip(names, row, strict=True)) for row in zip(*values.values(), strict=True))


def read_type(
    make: Any, model: Any, variant: Any, *kind: Any, name_of: Callable[[str, Any], str] = name_of
) -> tuple[dict[str, str], float]:
    """Read the values of :data:`TYPE_FIELDS`; a value that is no text counts as missing.

    Returns
    -------
    tuple
        The :data:`TYPE_TEXTS` by name, and the litres that the variant names; NaN if none.
    """
    parsed = variant_of(variant)
    transmission, body, fuel, drive = map(name_of, _TYPE_KINDS, kind)
    key = ModelKey(text_of(make), text_of(model))
    key_of = partial(detail_key, str(key))
    texts = {
        "make": key.make,
        "model": str(key),
        "model_powertrain": key_of(fuel, transmission),
        "model_trim": key_of(parsed.trim),
        "model_variant": key_of(parsed.text),
        "transmission": transmission,
        "body": body,
        "fuel": fuel,
        "gear": parsed.gear,
        "drive": drive or name_of("drive", parsed.drive),
    }
    return texts, parsed.litres


def years_after(day: datetime.date, valuation_date: datetime.date) -> float:
    """Return the years from a valuation date to the day of a listing, as ``listed`` has them.

    Examples
    --------
    >>> today = datetime.date(2025, 1, 1)
    >>> round(years_after(datetime.date(2025, 7, 1), today), 3)
    0.496
    >>> years_after(datetime.date(2040, 1, 1), today)
    2.0
    """
    years = (day - valuation_date).days / _DAYS_A_YEAR
    return min(max(years, LISTED_YEARS[0]), LISTED_YEARS[1])


class ListingReader:
    """Reads what a listing says beside its type, and the day that its price is for."""

    def __init__(
        self,
        valuation_date: datetime.date,
        distance_unit: str,
        reading: Reading = AS_IT_IS,
    ) -> None:
        self._valuation_date = valuation_date
        self._years_after = lru_cache(maxsize=1024)(lambda day: years_after(day, valuation_date))
        self._odometers = odometer_limits(distance_unit)
        self._equipment_of = reading.equipment_of
        self._plain_numbers = [name for name in PLAIN_NUMBERS if name in reading.numbers]
        self._reads_engines = "litres" in reading.numbers
        self._reads_distances = "odometer" in reading.numbers
        texts = own_texts(reading.own)
        categories = (*CAR_CATEGORIES, *texts)
        self._category_fields = (*_CAR_CATEGORY_FIELDS, *map(alias, texts))
        self._own_numbers = [(field, alias(field)) for field in own_numbers(reading.own)]
        self._categories_of = lru_cache(maxsize=4096)(
            lambda *values: tuple(map(reading.name_of, categories, values))
        )

    def day_of(self, fields: Mapping[str, Any]) -> datetime.date:
        """Return the day that a listing's price is for: ``listed_on``, else the valuation date."""
        day: datetime.date | None = fields.get("listed_on")
        return day or self._valuation_date

    def believed(self, odometer: float | None, age: float) -> float | None:
        """Return the distance of a car of an age in years; None where it is not read."""
        if odometer is None or not self._reads_distances:
            return None
        return odometer if is_believed(odometer, age, self._odometers) else None

    def read(self, fields: Mapping[str, Any], day: datetime.date, litres: float) -> CarValues:
        """Return what a listing says beside its type; ``odometer_per_year`` is not among it.

        Parameters
        ----------
        fields : a listing's values by field; NaN is missing, like None.
        day : the day that its price is for.
        litres : displacement to use where ``engine_cc`` is missing; NaN if unknown.
        """
        get = fields.get
        equipment = self._equipment_of(get("features"))
        age = max(day.year - float(fields["year"]), 0.0)
        numbers = {
            "age": age,
            "feature_count": float(len(equipment)),
            "listed": self._years_after(day),
        }
        for name in self._plain_numbers:
            number = get(name)
            if number is not None and number == number:  # noqa: PLR0124 - NaN
                numbers[name] = float(number)
        for field, name in self._own_numbers:
            number = get(name)
            if number is not None and number == number:  # noqa: PLR0124 - NaN
                numbers[field] = float(number)
        engine = get("engine_cc") if self._reads_engines else None
        if engine is not None and (engine >= LEAST_CC or engine == 0):
            numbers["litres"] = round(engine / 1000 * 10) / 10
        elif litres == litres and self._reads_engines:  # noqa: PLR0124 - NaN
            numbers["litres"] = litres
        odometer = get("odometer") if self._reads_distances else None
        if (
            odometer is not None
            and odometer == odometer  # noqa: PLR0124 - NaN
            and is_believed(odometer, age, self._odometers)
        ):
            numbers["odometer"] = float(odometer)
        return numbers, self.categories_of(fields), equipment

    def categories_of(self, fields: Mapping[str, Any]) -> Sequence[str]:
        """Return the :data:`CAR_CATEGORIES` and own ones of a listing; empty where it has none."""
        return self._categories_of(*map(fields.get, self._category_fields))
