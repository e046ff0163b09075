"""The listings that a model keeps to compare a car with: one a car of training, 24 bytes each.

``listings.bin`` has the records, plain and little-endian, a model's beside each other, by age and
then by distance, so that those near to a car are found by bisection. ``listings.json`` has the
texts that they share. Nothing in them says who sells a car, or where the advertisement stands.

The file is read once, like all others of a folder, and its records are used where they were read,
without a copy. It is not mapped: what was checked could change under a map, and whoever cuts a
mapped file short ends the process that reads it.
"""

import math
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from carprice.arrays import Codes, Floats, coded, coded_together, picked
from carprice.listings.believed import believed_rows
from carprice.listings.features import CAR_CATEGORIES, LISTED_YEARS, Features
from carprice.listings.keys import DetailKey, ModelKey, detail_key
from carprice.model.car import CarReader
from carprice.model.worth import RidgeLookups
from carprice.schema import own_texts

RECORD: Final = np.dtype(
    [
        ("price", "<f8"),
        ("odometer", "<f4"),
        ("type", "<u4"),
        ("listed", "<i2"),
        ("numbers", "<u2"),
        ("categories", "<u2"),
        ("age", "u1"),
        ("owners", "u1"),
    ]
)
"""A listing: its price; the distance, NaN where unknown; its type; the days after the valuation
date; the rows of its numbers and categories, :data:`NOT_KEPT` where these are not; its age in
years; its owners, :data:`NO_OWNERS` where unknown."""
NOT_KEPT: Final = 2**16 - 1
NO_OWNERS: Final = 2**8 - 1
OLDEST: Final = 2**8 - 1
TYPE_COLUMNS: Final = ("trim", "variant", "transmission", "body", "fuel", "gear", "drive")
STORED_NUMBERS: Final = (
    *("litres", "power_bhp", "cylinders", "seats", "fuel_economy", "road_tax", "new_price"),
)
"""Numbers of the version of a car. Fitness, equipment and a market's own numbers are not kept."""
DAYS_A_YEAR: Final = 365.25
MOST_LISTINGS: Final = 3_000_000
"""Of more cars the newest listings are kept: 72 MB, below what a model folder may have."""
DEAREST: Final = 1e15
_CHECKED_AT_ONCE: Final = 65_536
_LISTED_DAYS: Final = tuple(round(years * DAYS_A_YEAR) for years in LISTED_YEARS)

Records = npt.NDArray[np.void]


class OddListingsError(ValueError):
    """Listings that are not as carprice keeps them; the message says what is odd."""


@dataclass(frozen=True, eq=False)
class ListingStore:
    """Listings of training, by model, age and distance.

    Attributes
    ----------
    records : n listings, of :data:`RECORD`.
    models : ``make|model`` → the number of its types and of its listings; in the order of both.
    types : column of :data:`TYPE_COLUMNS` → the text of each type, empty where unknown.
    levels : of each type, the ridge's ln(price) at seven years and 50,000 km.
    numbers : name → the number in each row of numbers; NaN where unknown.
    categories : name → the text in each row of categories; empty where unknown.
    """

    records: Records
    models: dict[str, tuple[int, int]]
    types: dict[str, list[str]]
    levels: Floats
    numbers: dict[str, Floats]
    categories: dict[str, list[str]]
    _codes: dict[str, tuple[dict[str, int], npt.NDArray[np.int32]]] = field(
        default_factory=dict, init=False, repr=False
    )

    @classmethod
    def fit(
        cls,
        features: Features,
        log_price: Floats,
        trust: Floats,
        cars: CarReader,
        ridge: RidgeLookups,
    ) -> Self:
        """Keep one listing a car, of n parsed ones: its first whose price is believed."""
        texts, numbers = features.texts, features.numbers
        first = features.first_of_each_car(trust)
        rows = first[np.isin(first, believed_rows(trust))]
        newest = np.argsort(-numbers["listed"][rows], kind="stable")[:MOST_LISTINGS]
        rows = rows[np.sort(newest)]
        type_texts = [texts["model"], texts["model_trim"], texts["model_variant"]]
        type_texts += [texts[name] for name in TYPE_COLUMNS[2:]]
        types, type_codes = _coded(type_texts, rows)
        known = [name for name in STORED_NUMBERS if not np.isnan(numbers[name][rows]).all()]
        columns = [np.nan_to_num(numbers[name], nan=-1.0) for name in known]
        specs, spec_codes = _most_common(columns, rows)
        names = (*CAR_CATEGORIES, *own_texts(features.own))
        kinds, kind_codes = _most_common([texts[name] for name in names], rows)
        models: dict[str, tuple[int, int]] = {}
        listings = np.bincount(type_codes, minlength=len(types)).tolist()
        for (model, *_), count in zip(types, listings, strict=True):
            of_model = models.get(model, (0, 0))
            models[model] = of_model[0] + 1, of_model[1] + count
        details = [DetailKey.read(text).detail for one in types for text in one[1:3]]
        by_column = [details[::2], details[1::2], *([one[i] for one in types] for i in range(3, 8))]
        store = cls(
            records=np.zeros(len(rows), RECORD),
            models=models,
            types=dict(zip(TYPE_COLUMNS, by_column, strict=True)),
            levels=np.zeros(len(types)),
            numbers={
                name: np.array([np.nan if row[place] < 0 else row[place] for row in specs])
                for place, name in enumerate(known)
            },
            categories={name: [row[place] for row in kinds] for place, name in enumerate(names)},
        )
        for code in range(len(types)):
            car_type = cars.type_of(store.texts_of(code))
            store.levels[code] = ridge.of_type(car_type).slopes[0]
        records = store.records
        records["price"] = np.clip(np.round(np.exp(log_price[rows]), 2), 0.01, DEAREST)
        records["odometer"] = numbers["odometer"][rows]
        records["type"] = type_codes
        records["listed"] = np.rint(numbers["listed"][rows] * DAYS_A_YEAR)
        records["numbers"], records["categories"] = spec_codes, kind_codes
        records["age"] = np.clip(np.rint(numbers["age"][rows]), 0, OLDEST)
        owners = np.nan_to_num(numbers["ownership"][rows], nan=NO_OWNERS)
        records["owners"] = np.clip(np.rint(owners), 0, NO_OWNERS)
        by = ("price", "listed", "categories", "numbers", "type", "odometer", "age")
        order = np.lexsort((*(records[name] for name in by), store.model_of_type[type_codes]))
        records[:] = records[order]
        return store

    def __len__(self) -> int:
        return len(self.records)

    def __getstate__(self) -> dict[str, Any]:
        """Pickle what is kept; what is made of it is made again."""
        names = ("records", "models", "types", "levels", "numbers", "categories")
        return {**{name: vars(self)[name] for name in names}, "_codes": {}}

    @cached_property
    def model_of_type(self) -> Codes:
        """The place of each type's model."""
        return np.repeat(np.arange(len(self.models)), [types for types, _ in self.models.values()])

    @cached_property
    def names(self) -> list[str]:
        """The models, ``make|model``."""
        return [*self.models]

    @cached_property
    def places(self) -> dict[str, tuple[slice, slice]]:
        """The types and the listings of each model."""
        types = accumulate((count for count, _ in self.models.values()), initial=0)
        listings = accumulate((count for _, count in self.models.values()), initial=0)
        return {
            model: (slice(first, first + n_types), slice(at, at + n_listings))
            for (model, (n_types, n_listings)), first, at in zip(
                self.models.items(), types, listings, strict=False
            )
        }

    @cached_property
    def by_make(self) -> dict[str, list[str]]:
        """The models of each make."""
        found: dict[str, list[str]] = {}
        for model in self.models:
            found.setdefault(ModelKey.read(model).make, []).append(model)
        return found

    def has(self, column: str, text: str, types: slice) -> npt.NDArray[np.bool_]:
        """Return which of some types have a text in a column."""
        if column not in self._codes:
            code_of: dict[str, int] = {}
            texts = self.types[column]
            codes = (code_of.setdefault(one, len(code_of)) for one in texts)
            self._codes[column] = code_of, np.fromiter(codes, np.int32, len(texts))
        code_of, all_codes = self._codes[column]
        return np.asarray(all_codes[types] == code_of.get(text, -1))

    @cached_property
    def logs(self) -> dict[str, Floats]:
        """The logarithms of litres and power in each row of numbers, and NaN after the last."""
        with np.errstate(divide="ignore"):  # of no litres it is -inf
            return {
                name: np.log(np.append(self.numbers[name], np.nan))
                for name in ("litres", "power_bhp")
                if name in self.numbers
            }

    def numbers_of(self, row: int) -> dict[str, float]:
        """Return the known ones of a row of numbers."""
        every = {name: float(column[row]) for name, column in self.numbers.items()}
        return {name: number for name, number in every.items() if not math.isnan(number)}

    def names_of(self, code: int) -> tuple[str, str, str, str]:
        """Return the make, model, trim and variant of a type; each empty where unknown."""
        key = ModelKey.read(self.names[self.model_of_type[code]])
        return key.make, key.model, self.types["trim"][code], self.types["variant"][code]

    def texts_of(self, code: int) -> dict[str, str]:
        """Return the texts of a type, as :func:`carprice.listings.features.read_type` does."""
        model = self.names[self.model_of_type[code]]
        own = {column: texts[code] for column, texts in self.types.items()}
        trim, variant = own.pop("trim"), own.pop("variant")
        return {
            "make": ModelKey.read(model).make,
            "model": model,
            "model_powertrain": detail_key(model, own["fuel"], own["transmission"]),
            "model_trim": detail_key(model, trim),
            "model_variant": detail_key(model, variant),
            **own,
        }

    def to_json(self) -> dict[str, Any]:
        """Return the texts and numbers that listings share as plain JSON values."""
        return {
            "models": [[model, *counts] for model, counts in self.models.items()],
            "types": self.types,
            "levels": self.levels.tolist(),
            "numbers": {
                name: [None if one != one else one for one in column.tolist()]  # noqa: PLR0124
                for name, column in self.numbers.items()
            },
            "categories": self.categories,
        }

    @classmethod
    def read(cls, content: Mapping[str, Any], records: bytes, categories: Sequence[str]) -> Self:
        """Read what :meth:`to_json` and the records wrote, whoever wrote it.

        Parameters
        ----------
        categories : the model's categories of a car.

        Raises
        ------
        OddListingsError
            If a record names what is not there, or they are not in their order.
        """
        if len(records) % RECORD.itemsize:
            raise OddListingsError("listings.bin ends within a listing")
        models = {model: (types, listings) for model, types, listings in content["models"]}
        if len(models) < len(content["models"]):
            raise OddListingsError("listings.json names a model twice")
        if content["categories"].keys() != {*categories}:
            raise OddListingsError("listings.json has other categories than the model")
        store = cls(
            records=np.frombuffer(records, RECORD),
            models=models,
            types={name: [*map(sys.intern, content["types"][name])] for name in TYPE_COLUMNS},
            levels=np.array(content["levels"], dtype=np.float64),
            numbers={
                name: np.array(column, dtype=np.float64)
                for name, column in content["numbers"].items()
            },
            categories={
                name: [*map(sys.intern, content["categories"][name])] for name in categories
            },
        )
        store._check()
        return store

    def _check(self) -> None:
        """Refuse what a search would stumble over."""
        rows = {
            what: _length(columns.values())
            for what, columns in (("numbers", self.numbers), ("categories", self.categories))
        }
        counts = [sum(column) for column in zip((0, 0), *self.models.values(), strict=True)]
        if {*map(len, self.types.values()), len(self.levels)} != {counts[0]}:
            raise OddListingsError("listings.json has another number of types than its models")
        if counts[1] != len(self):
            raise OddListingsError(f"listings.bin has not the {counts[1]:,} that are named")
        models = np.repeat(
            np.arange(len(self.models), dtype=np.int32), [one for _, one in self.models.values()]
        )
        for start in range(0, len(self), _CHECKED_AT_ONCE):
            some = slice(max(start - 1, 0), start + _CHECKED_AT_ONCE)
            self._check_some(self.records[some], models[some], rows)

    def _check_some(
        self, some: Records, models: npt.NDArray[np.int32], rows: Mapping[str, int]
    ) -> None:
        """Refuse listings, some beside each other, that are not of the models given."""
        price, km, listed = (some[name] for name in ("price", "odometer", "listed"))
        if not ((price > 0) & (price <= DEAREST)).all():
            raise OddListingsError("listings.bin has a price that is none")
        if not (np.isnan(km) | ((km >= 0) & (km < np.inf))).all():
            raise OddListingsError("listings.bin has a distance that is none")
        if listed.min() < _LISTED_DAYS[0] or listed.max() > _LISTED_DAYS[1]:
            raise OddListingsError("listings.bin has a date that no listing has")
        for name, length in rows.items():
            if not ((some[name] < length) | (some[name] == NOT_KEPT)).all():
                raise OddListingsError(f"listings.bin names {name} that are not there")
        types = some["type"]
        if types.max() >= len(self.levels) or (self.model_of_type[types] != models).any():
            raise OddListingsError("listings.bin has a type that is none of its model's")
        same, age = models[1:] == models[:-1], some["age"]
        is_older, is_even = age[1:] > age[:-1], age[1:] == age[:-1]
        is_farther = np.isnan(km[1:]) | (km[1:] >= km[:-1])
        if not (~same | is_older | (is_even & is_farther)).all():
            raise OddListingsError("listings.bin is not in the order of ages and distances")


def _length(columns: Collection[Sequence[Any] | Floats]) -> int:
    """Return how many rows columns have; as many as can be named if there is no column."""
    lengths = {*map(len, columns)} or {NOT_KEPT}
    if len(lengths) > 1 or max(lengths) > NOT_KEPT:
        raise OddListingsError("listings.json has columns of different lengths, or of too many")
    return lengths.pop()


def _coded(
    columns: Sequence[Sequence[str] | Floats], rows: Codes
) -> tuple[list[tuple[Any, ...]], Codes]:
    """Return the different ones of some rows of columns, sorted, and the place of each row."""
    if not columns:
        return [()], np.zeros(len(rows), dtype=np.intp)
    parts = []
    for column in columns:
        if isinstance(column, np.ndarray):
            numbers, codes = np.unique(column[rows], return_inverse=True)
            parts.append((numbers.tolist(), codes))
        else:
            texts, codes = coded(column)
            parts.append((texts, codes[rows]))
    first, codes = coded_together(*(own for _, own in parts))
    found = [*zip(*(picked(values, own[first]) for values, own in parts), strict=True)]
    order = sorted(range(len(found)), key=found.__getitem__)
    place = np.empty(len(found), dtype=np.intp)
    place[order] = np.arange(len(found))
    return [found[one] for one in order], place[codes]


def _most_common(
    columns: Sequence[Sequence[str] | Floats], rows: Codes
) -> tuple[list[tuple[Any, ...]], Codes]:
    """Return the same, but of the rows beyond what can be named the commonest only.

    The place of all others is :data:`NOT_KEPT`.
    """
    different, codes = _coded(columns, rows)
    if len(different) <= NOT_KEPT:
        return different, codes
    commonest = np.argsort(-np.bincount(codes), kind="stable")[:NOT_KEPT]
    commonest.sort()
    place = np.full(len(different), NOT_KEPT)
    place[commonest] = np.arange(NOT_KEPT)
    return [different[one] for one in commonest], place[codes]
