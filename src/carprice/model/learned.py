"""Which cars a model learned from: a model that saw a car's price does not judge it.

A car is known by its model, year and odometer where :func:`names_a_car`, and else by all that a
listing says of it but price, day and region. Cars that were listed in their model year, or before
it, are known without the year. Eight bytes of a hash are kept of each; neither the listing nor its
price can be told from them alone.
"""

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from carprice.listings.features import (
    CAR_CATEGORIES,
    TYPE_FIELDS,
    Features,
    ListingReader,
    Reading,
    read_type,
)
from carprice.listings.market import Market
from carprice.model.known_values import KnownValues

_BYTES: Final = 8
_KEPT_TYPES: Final = 4_096
_KIND: Final = np.dtype("<u8")
_LEAST_KNOWN: Final = 1_000.0
_ROUND: Final = 500.0
_NAMES: Final = ("model_variant",)
_KINDS: Final = ("transmission", "body", "fuel", "drive")
_CATEGORIES: Final = tuple(name for name in CAR_CATEGORIES if name != "region")
_NUMBERS: Final = ("ownership", "litres", "power_bhp", "seats")


@dataclass(frozen=True)
class LearnedFrom:
    """The cars that a model learned from; ``keys`` are n sorted hashes."""

    keys: npt.NDArray[np.uint64]

    @classmethod
    def of(cls, features: Features, market: Market, reading: Reading | KnownValues) -> Self:
        """Return the cars of training rows; ``reading`` is how the model reads listings."""
        keys = np.fromiter(map(_digest, _cars_of(features, market, reading)), dtype=np.uint64)
        return cls(np.unique(keys))

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Read what :meth:`to_bytes` wrote; a ValueError if it is something else."""
        if len(content) % _BYTES:
            raise ValueError("learned.bin has a part of a hash")
        keys = np.frombuffer(content, dtype=_KIND)
        if (keys[1:] <= keys[:-1]).any():
            raise ValueError("learned.bin is not sorted")
        return cls(keys)

    def to_bytes(self) -> bytes:
        """Return the hashes as a model folder keeps them."""
        return self.keys.astype(_KIND).tobytes()

    def has(self, keys: Iterable[int]) -> bool:
        """Whether a car is among them, by one of the keys that :class:`CarKeys` finds."""
        return any(map(self._has, keys))

    def _has(self, key: int) -> bool:
        keys, wanted = self.keys, np.uint64(key)
        place = int(keys.searchsorted(wanted))
        return place < len(keys) and bool(keys[place] == wanted)


class CarKeys:
    """Finds the keys of a listing's car, as :meth:`LearnedFrom.of` does of parsed listings."""

    def __init__(self, market: Market, reading: Reading, *, reads_variants: bool) -> None:
        self._reader = ListingReader(market.valuation_date, market.distance_unit, reading)
        self._reads_variants = reads_variants
        self._type_of = lru_cache(maxsize=_KEPT_TYPES)(partial(read_type, name_of=reading.name_of))

    def keys_of(self, listing: Mapping[str, Any]) -> tuple[int, int]:
        """Return the keys of a valid listing's car: by its year, and of a car that was new."""
        make, model, variant, *kind = map(listing.get, TYPE_FIELDS)
        known = variant if self._reads_variants else None
        texts, litres = self._type_of(make, model, known, *kind)
        day = self._reader.day_of(listing)
        year = float(listing["year"])
        known_odometer = self._reader.odometer_of(listing, max(day.year - year, 0.0))
        odometer = math.nan if known_odometer is None else known_odometer
        rest: list[str] = []
        if not names_a_car(odometer):
            numbers, categories, equipment = self._reader.read(listing, day, litres)
            of_car = dict(zip(CAR_CATEGORIES, categories, strict=False))  # own columns follow
            rest = _rest({**texts, **of_car}, numbers, equipment)
        by_year, of_new = (
            _digest(_car(texts["model"], one, odometer, rest)) for one in (year, math.nan)
        )
        return by_year, of_new


def _cars_of(features: Features, market: Market, reading: Reading | KnownValues) -> Iterator[str]:
    numbers = features.numbers
    ages, models, odometers = numbers["age"], features.texts["model"], numbers["odometer"].tolist()
    days = np.round(numbers["listed"] * 365.25).astype(np.int64)
    first = np.datetime64(market.valuation_date, "D")
    years = (first + days).astype("datetime64[Y]").astype(np.int64) + 1970 - ages
    # An age is never below 0: of a new car it does not tell the model year.
    known = np.where(ages > 0, years, np.nan).tolist()
    for row, (model, year, odometer) in enumerate(zip(models, known, odometers, strict=True)):
        if names_a_car(odometer):
            yield _car(model, year, odometer)
            continue
        texts = {name: features.texts[name][row] for name in (*_NAMES, *_KINDS, *_CATEGORIES)}
        texts |= {name: reading.name_of(name, texts[name]) for name in (*_KINDS, *_CATEGORIES)}
        others = {name: float(numbers[name][row]) for name in _NUMBERS}
        equipment = reading.equipment_of(features.equipment[row])
        yield _car(model, year, odometer, _rest(texts, others, equipment))


def names_a_car(odometer: float) -> bool:
    """Whether an odometer is hardly that of two cars of a model and year; it may be NaN.

    Then model, year and odometer say which car it is, whatever else a listing tells or leaves out.

    Examples
    --------
    >>> [names_a_car(one) for one in (42_137.0, 42_000.0, 12.0, math.nan)]
    [True, False, False, False]
    """
    return odometer >= _LEAST_KNOWN and round(odometer) % _ROUND != 0


def _car(model: str, year: float, odometer: float, rest: Sequence[str] = ()) -> str:
    """Return what tells a car from others, as one text; ``year`` is NaN of one that was new."""
    told = "new" if math.isnan(year) else f"{year:.0f}"
    return "\n".join((model, told, f"{odometer:.0f}", *rest))


def _rest(
    texts: Mapping[str, str], numbers: Mapping[str, float], equipment: Sequence[str]
) -> list[str]:
    named = (texts[name] for name in (*_NAMES, *_KINDS, *_CATEGORIES))
    counted = (f"{numbers.get(name, math.nan):g}" for name in _NUMBERS)
    return [*named, *counted, *equipment]


def _digest(car: str) -> int:
    found = hashlib.blake2b(car.encode("utf-8", "surrogatepass"), digest_size=_BYTES)
    return int.from_bytes(found.digest(), "little")
