"""Comparables: the listings of the market that are likest to a car, brought to it in currency.

Each is a listing that the model learned from, with the price that was asked for it. What the
hedonic ridge says of how it differs from the car is told by factor, in the market's currency; with
all of that, its price is what was asked for a car like this one. docs/comparables.md has the
formulas.
"""

import datetime
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import sub
from typing import Any, Final, NamedTuple

import numpy as np

from carprice.model import PriceModel
from carprice.model.many_cars import TypedCar
from carprice.model.near_many import adjusted_prices, near_many
from carprice.model.neighbours import FEW, Kept
from carprice.model.pricer import Listing, cents
from carprice.model.subject import Subject
from carprice.schema import alias

HALF: Final = 0.1
"""How far a listing is that weighs half of one that is alike in all."""
COUNT: Final = 10
MOST: Final = 50
FEWEST_RANKED: Final = 3
"""With fewer comparables a car has no rank among them."""
_RANKED_AT_ONCE: Final = 5_000
_NONE_KEPT: Final = "no listings are kept to compare with"
_NONE_LIKE: Final = "the market has no listing of this model, and none of its make that is like it"


class Adjustment(NamedTuple):
    """What a listing's price changes by for one factor, in the market's currency."""

    name: str
    amount: float


class Comparable(NamedTuple):
    """A listing that is like a car, brought to it.

    Attributes
    ----------
    year : None for a car of no age, which may be of the next year's model.
    listed_on : None where the listing has no date, or that of the valuation.
    asking_price : as it was listed.
    adjustments : by factor, but those that are none; to the cent, they sum to the adjusted price
        less the asking price.
    weight : 1 where the listing is alike in all, and less the farther it is.
    """

    make: str
    model: str
    trim: str
    variant: str
    year: int | None
    odometer: float | None
    fuel_type: str
    transmission_type: str
    body_type: str
    ownership: int | None
    listed_on: datetime.date | None
    asking_price: float
    adjustments: tuple[Adjustment, ...]
    adjusted_price: float
    weight: float

    def content(self) -> dict[str, Any]:
        """Return what JSON says of the listing; None where it leaves something out."""
        told: dict[str, Any] = dict(zip(_NAMES, self, strict=True))
        for name in _MAY_BE_EMPTY:
            told[name] = told[name] or None
        told["adjustments"] = [{"name": name, "amount": one} for name, one in self.adjustments]
        if self.listed_on:
            told["listedOn"] = self.listed_on.isoformat()
        return told


_NAMES: Final = tuple(map(alias, Comparable._fields))
_MAY_BE_EMPTY: Final = ("trim", "variant", "fuelType", "transmissionType", "bodyType")


@dataclass(frozen=True)
class Comparables:
    """The likest listings of a market: those of the car's model first, each the likest first.

    Attributes
    ----------
    listings : those that are near enough to compare.
    of_model : how many listings of the car's model there are in all.
    left_out : listings that may be of this very car.
    note : what a reader must know of them, in a sentence; empty if nothing.
    """

    listings: tuple[Comparable, ...]
    of_model: int
    left_out: int
    note: str

    @property
    def effective(self) -> float:
        """How many listings that weigh the same would tell as much; 0 if there is none."""
        weights = [one.weight for one in self.listings]
        squares = math.fsum(weight**2 for weight in weights)
        return round(math.fsum(weights) ** 2 / squares, 2) if squares else 0.0

    @property
    def adjusted_price(self) -> float | None:
        """The mean of the adjusted prices by weight; None if there is no listing."""
        if not self.listings:
            return None
        total = math.fsum(one.weight for one in self.listings)
        sums = math.fsum(one.weight * one.adjusted_price for one in self.listings)
        return cents(sums / total)

    def content(self) -> dict[str, Any]:
        """Return what JSON says of them."""
        return {
            "adjustedPrice": self.adjusted_price,
            "effective": self.effective,
            "ofModel": self.of_model,
            "leftOut": self.left_out,
            "note": self.note,
            "listings": [one.content() for one in self.listings],
        }


class Rank(NamedTuple):
    """A place by price, from the cheapest on, of so many cars."""

    place: int
    cars: int

    def __str__(self) -> str:
        return f"{self.place} of {self.cars}"


def comparables_of(model: PriceModel, listing: Listing, count: int = COUNT) -> Comparables:
    """Return the listings that a model learned from and that are likest to a car.

    What may be a listing of this very car is left out, see :meth:`Neighbours.near`.

    Parameters
    ----------
    count : how many there are at most, from 1 to 50.
    """
    neighbours = model.neighbours
    if neighbours is None:
        return Comparables((), 0, 0, _NONE_KEPT)
    count = min(max(count, 1), MOST)
    subject = model.pricer.subject(listing)
    near = neighbours.near(subject, count, listing)
    found = tuple(
        _comparable(model.pricer.today, subject, kept, distance)
        for kept, distance in zip(
            neighbours.read(near.rows, subject.car), near.distances.tolist(), strict=True
        )
    )
    note = _note(len(found), min(count, FEW), near.of_model - near.left_out)
    return Comparables(found, near.of_model, near.left_out, note)


def ranks_of(
    model: PriceModel,
    listings: Sequence[Listing],
    asking_prices: Sequence[float],
    cars: Sequence[TypedCar] | None = None,
    count: int = COUNT,
) -> list[Rank | None]:
    """Return the place of each of many cars by its asking price among it and its comparables.

    These are those of :func:`comparables_of`, and so are their adjusted prices; but all cars are
    looked at together, which takes less than half of the time.

    Parameters
    ----------
    cars : the listings as the model's pricer reads them; read here where they are not given.
    count : how many comparables a car has at most, from 1 to 50.

    Returns
    -------
    list
        None for a car with fewer than three comparables.
    """
    neighbours = model.neighbours
    if neighbours is None:
        return [None] * len(listings)
    count, found = min(max(count, 1), MOST), list[Rank | None]()
    for start in range(0, len(listings), _RANKED_AT_ONCE):
        some = slice(start, start + _RANKED_AT_ONCE)
        own = cars[some] if cars else [*map(model.pricer.read, listings[some])]
        near = near_many(neighbours, own, listings[some], count)
        adjusted = np.rint(adjusted_prices(neighbours, near, own) * 100) / 100
        is_cheaper = adjusted < np.array(asking_prices[some])[near.place]
        below = np.bincount(near.place[is_cheaper], minlength=len(own))
        others = np.bincount(near.place, minlength=len(own))
        found += map(_rank, below.tolist(), others.tolist())
    return found


def _rank(below: int, others: int) -> Rank | None:
    return Rank(below + 1, others + 1) if others >= FEWEST_RANKED else None


def _comparable(today: datetime.date, subject: Subject, kept: Kept, distance: float) -> Comparable:
    logs = subject.differences(kept.car_type, kept.car)
    total = math.fsum(logs.values())
    adjusted = cents(kept.price * math.exp(total))
    texts, given = kept.car_type.given, kept.car.given
    odometer, owners = (given.get(name) for name in ("odometer", "ownership"))
    make, name, trim, variant = kept.names
    return Comparable(
        make=make,
        model=name,
        trim=trim,
        variant=variant,
        year=kept.year,
        odometer=odometer,
        fuel_type=texts["fuel"],
        transmission_type=texts["transmission"],
        body_type=texts["body"],
        ownership=None if owners is None else round(owners),
        listed_on=None if kept.day == today else kept.day,
        asking_price=kept.price,
        adjustments=_amounts(kept.price, adjusted, logs, total),
        adjusted_price=adjusted,
        weight=max(round(1 / (1 + (distance / HALF) ** 2), 4), 0.0001),
    )


def _amounts(
    price: float, adjusted: float, logs: Mapping[str, float], total: float
) -> tuple[Adjustment, ...]:
    """Share the difference of two prices among factors, to the cent, by what each adds to the log.

    One order of the factors or another makes no difference to that. The cents that are left go to
    those that lost most by rounding.

    Parameters
    ----------
    total : the sum of the logs.
    """
    mean = 100 * price * (math.expm1(total) / total if total else 1)  # the two prices' logarithmic
    exact = [mean * log for log in logs.values()]
    whole = [*map(math.floor, exact)]
    if left := round(adjusted * 100) - round(price * 100) - sum(whole):
        lost = [*map(sub, exact, whole)]
        for place in sorted(range(len(lost)), key=lost.__getitem__, reverse=True)[:left]:
            whole[place] += 1
    pairs = zip(logs, whole, strict=True)
    return tuple([Adjustment(factor, amount / 100) for factor, amount in pairs if amount])


def _note(found: int, enough: int, of_model: int) -> str:
    """Say what a reader must know of the listings, in a sentence."""
    listings = "1 listing" if of_model == 1 else f"{of_model:,} listings"
    if not found:
        return f"of the {listings} of this model none is like this car" if of_model else _NONE_LIKE
    if not of_model:
        return "the market has no other listing of this model; these are other models of its make"
    if of_model < FEW:
        return f"the market has only {listings} of this model beside this car"
    if found < enough:
        return f"only {found} of the {listings} of this model are like this car"
    return ""
