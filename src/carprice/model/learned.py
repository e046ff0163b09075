"""Which cars a model learned from: a model that saw a car's price does not judge it.

A car is known by its model, year and odometer where the odometer is hardly that of two cars, and
else by all that a listing says of it but price, day and region. Eight bytes of a hash are kept of
each; neither the listing nor its price can be told from them alone.
"""

import datetime
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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

_BYTES: Final = 8
_KIND: Final = np.dtype("<u8")
_LEAST_KNOWN: Final = 1_000.0
_ROUND: Final = 500.0
_NAMES: Final = ("model", "model_variant")
_KINDS: Final = ("transmission", "body", "fuel", "drive")
_CATEGORIES: Final = tuple(name for name in CAR_CATEGORIES if name != "region")
_NUMBERS: Final = ("age", "odometer", "ownership", "litres", "power_bhp", "seats")


@dataclass(frozen=True)
class LearnedFrom:
    """The cars that a model learned from; ``keys`` are n sorted hashes."""

    keys: npt.NDArray[np.uint64]

    @classmethod
    def of(cls, features: Features, market: Market, reading: Reading) -> Self:
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

    def has(self, key: int) -> bool:
        """Whether a car, by what :class:`CarKeys` says of it, is among them."""
        keys, wanted = self.keys, np.uint64(key)
        place = int(np.searchsorted(keys, wanted))
        return place < len(keys) and bool(keys[place] == wanted)


class CarKeys:
    """Finds the key of a listing's car, as :meth:`LearnedFrom.of` does of parsed listings."""

    def __init__(self, market: Market, reading: Reading, *, reads_variants: bool) -> None:
        self._reader = ListingReader(market.valuation_date, market.distance_unit, reading)
        self._name_of = reading.name_of
        self._reads_variants = reads_variants

    def key_of(self, listing: Mapping[str, Any]) -> int:
        """Return the key of a valid listing's car."""
        make, model, variant, *kind = map(listing.get, TYPE_FIELDS)
        known = variant if self._reads_variants else None
        texts, litres = read_type(make, model, known, *kind, name_of=self._name_of)
        day = self._reader.day_of(listing)
        numbers, categories, equipment = self._reader.read(listing, day, litres)
        of_car = dict(zip(CAR_CATEGORIES, categories, strict=False))  # own columns follow
        return _digest(_car({**texts, **of_car}, numbers, equipment, day.year))


def _cars_of(features: Features, market: Market, reading: Reading) -> Iterator[str]:
    first, names = market.valuation_date, (*_NAMES, *_KINDS, *_CATEGORIES)
    days = (np.round(features.numbers["listed"] * 365.25)).tolist()
    texts = zip(*(features.texts[name] for name in names), strict=True)
    numbers = zip(*(features.numbers[name].tolist() for name in _NUMBERS), strict=True)
    for words, values, equipment, after in zip(
        texts, numbers, features.equipment, days, strict=True
    ):
        given = dict(zip(names, words, strict=True))
        given |= {name: reading.name_of(name, given[name]) for name in names[len(_NAMES) :]}
        known = {
            name: value
            for name, value in zip(_NUMBERS, values, strict=True)
            if value == value  # noqa: PLR0124 - NaN
        }
        day = first + datetime.timedelta(days=after)
        yield _car(given, known, reading.equipment_of(equipment), day.year)


def _car(
    texts: Mapping[str, str], numbers: Mapping[str, float], equipment: Sequence[str], year: int
) -> str:
    """Return what tells a car from others, as one text."""
    odometer = numbers.get("odometer")
    told = [texts["model"], f"{year - numbers['age']:.0f}", f"{odometer or 0:.0f}"]
    if odometer is None or odometer < _LEAST_KNOWN or round(odometer) % _ROUND == 0:
        told += (texts[name] for name in (*_NAMES, *_KINDS, *_CATEGORIES))
        told += (f"{numbers[name]:g}" if name in numbers else "" for name in _NUMBERS)
        told += equipment
    return "\n".join(told)


def _digest(car: str) -> int:
    found = hashlib.blake2b(car.encode("utf-8", "surrogatepass"), digest_size=_BYTES)
    return int.from_bytes(found.digest(), "little")
