"""Comparables: the listings of the market that are likest to a car, brought to it in currency.

Each is a listing that the model learned from, with the price that was asked for it. What the
hedonic ridge says of how it differs from the car is told by factor, in the market's currency; with
all of that, its price is what was asked for a car like this one. docs/comparables.md has the
formulas.
"""

import datetime
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from carprice.listings.keys import DetailKey, ModelKey, detail_key
from carprice.model import PriceModel
from carprice.model.blocks import (
    AGE,
    DISTANCE,
    MAKE_AND_MODEL,
    OTHERS,
    POWERTRAIN,
    VARIANT,
)
from carprice.model.car import Car, CarType
from carprice.model.neighbours import Kept, Neighbours
from carprice.model.pricer import Listing, Pricer
from carprice.schema import alias

DATE: Final = "date"
FACTORS: Final = (MAKE_AND_MODEL, VARIANT, POWERTRAIN, OTHERS, DISTANCE, AGE, DATE)
"""What an adjustment is told by: a listing takes on the car's attributes in this order."""
HALF: Final = 0.1
"""How far a listing is that weighs half of one that is alike in all."""
COUNT: Final = 10
MOST: Final = 50
FEWEST_RANKED: Final = 3
"""With fewer comparables a car has no rank among them."""
_FEW: Final = 5
_NONE_KEPT: Final = "no listings are kept to compare with"
_NONE_LIKE: Final = "the market has no listing of this model, and none of its make that is like it"
_KIND: Final = ("transmission", "fuel", "gear", "drive")
_ENGINE: Final = frozenset(
    {"litres", "power_bhp", "cylinders", "seats", "fuel_economy", "road_tax"}
)
_LATER: Final = frozenset({"odometer", "age", "listed"})


@dataclass(frozen=True)
class Adjustment:
    """What a listing's price changes by for one factor, in the market's currency."""

    name: str
    amount: float


@dataclass(frozen=True)
class Comparable:
    """A listing that is like a car, brought to it.

    Attributes
    ----------
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
    year: int
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
        told = {name: value if value != "" else None for name, value in vars(self).items()}
        told["adjustments"] = [vars(one) for one in self.adjustments]
        if self.listed_on:
            told["listed_on"] = self.listed_on.isoformat()
        return {alias(name): value for name, value in told.items()}


@dataclass(frozen=True)
class Comparables:
    """The likest listings of a market: those of the car's model first, each the likest first.

    Attributes
    ----------
    listings : those that are near enough to compare.
    of_model : how many listings of the car's model there are in all.
    left_out : listings that may be of this very car; one at most.
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
        return round(sums / total, 2)

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

    One that is the same in all that is kept of it may be of this very car, and is left out.

    Parameters
    ----------
    count : how many there are at most, from 1 to 50.
    """
    neighbours = model.neighbours
    if neighbours is None:
        return Comparables((), 0, 0, _NONE_KEPT)
    count = min(max(count, 1), MOST)
    found = _find(neighbours, model, listing, count)
    listings = [
        _comparable(model.pricer, found.subject, kept, told, distance)
        for kept, told, distance in found.kept
    ]
    note = _note(len(listings), min(count, _FEW), found.of_model - found.left_out)
    return Comparables((*listings,), found.of_model, found.left_out, note)


def rank_of(
    model: PriceModel, listing: Listing, asking_price: float, count: int = COUNT
) -> Rank | None:
    """Return the place of a car by its asking price among it and its comparables.

    The prices of these are adjusted to the car, as :func:`comparables_of` does, which tells more
    and takes more than twice the time.

    Parameters
    ----------
    count : how many comparables there are at most, from 1 to 50.

    Returns
    -------
    Rank or None
        None with fewer than three comparables.
    """
    neighbours = model.neighbours
    if neighbours is None:
        return None
    found = _find(neighbours, model, listing, min(max(count, 1), MOST))
    if len(found.kept) < FEWEST_RANKED:
        return None
    pricer = model.pricer
    own = pricer.hedonic_price(*found.subject)
    logs = (own - pricer.hedonic_price(kept.car_type, kept.car) for kept, *_ in found.kept)
    adjusted = (
        round(kept.price * math.exp(log), 2)
        for (kept, *_), log in zip(found.kept, logs, strict=True)
    )
    return Rank(1 + sum(price < asking_price for price in adjusted), len(found.kept) + 1)


class _Found(NamedTuple):
    """A car, and what is like it: each listing, its day and its car's year, and how far it is."""

    subject: tuple[CarType, Car]
    kept: list[tuple[Kept, tuple[datetime.date, int], float]]
    of_model: int
    left_out: int


def _find(neighbours: Neighbours, model: PriceModel, listing: Listing, count: int) -> _Found:
    """Find the likest listings; one that may be of the car itself is left out."""
    car_type, car = model.pricer.read(listing)
    near = neighbours.near(car_type, car, count + 1)
    today, last = model.market.valuation_date.toordinal(), datetime.date.max.toordinal()
    found = _Found((car_type, car), [], near.of_model, 0)
    for row, distance in zip(near.rows.tolist(), near.distances.tolist(), strict=True):
        kept = neighbours.read(row, car)
        day = datetime.date.fromordinal(min(max(today + kept.listed_days, 1), last))
        year = day.year - round(kept.car.given["age"])
        if not found.left_out and year == listing["year"] and _may_be(kept, car_type, car):
            found = found._replace(left_out=1)
        elif len(found.kept) < count:
            found.kept.append((kept, (day, year), distance))
    return found


def _comparable(
    pricer: Pricer,
    subject: tuple[CarType, Car],
    kept: Kept,
    told: tuple[datetime.date, int],
    distance: float,
) -> Comparable:
    logs: dict[str, float] = {}
    was_type, was = kept.car_type, kept.car
    before = pricer.hedonic_price(was_type, was)
    for factor, car_type, car in _steps(pricer, subject, kept):
        is_alike = car.numbers == was.numbers and car.categories == was.categories
        after = before if is_alike and car_type is was_type else pricer.hedonic_price(car_type, car)
        logs[factor] = after - before
        was_type, was, before = car_type, car, after
    adjusted = round(kept.price * math.exp(math.fsum(logs.values())), 2)
    texts, given = kept.car_type.given, kept.car.given
    odometer, owners = (given.get(name) for name in ("odometer", "ownership"))
    make, name = ModelKey.read(texts["model"])
    day, year = told
    return Comparable(
        make=make,
        model=name,
        trim=DetailKey.read(texts["model_trim"]).detail,
        variant=DetailKey.read(texts["model_variant"]).detail,
        year=year,
        odometer=odometer,
        fuel_type=texts["fuel"],
        transmission_type=texts["transmission"],
        body_type=texts["body"],
        ownership=None if owners is None else round(owners),
        listed_on=day if kept.listed_days else None,
        asking_price=kept.price,
        adjustments=_amounts(kept.price, adjusted, logs),
        adjusted_price=adjusted,
        weight=max(round(1 / (1 + (distance / HALF) ** 2), 4), 0.0001),
    )


def _steps(
    pricer: Pricer, subject: tuple[CarType, Car], kept: Kept
) -> Iterator[tuple[str, CarType, Car]]:
    """Yield each factor, and the listing once it has taken that on from the car."""
    (own_type, own), (their_type, car) = subject, (kept.car_type, kept.car)
    given, theirs = own_type.given, their_type.given
    kind = {name: theirs[name] for name in _KIND}
    key = detail_key(given["model"], kind["fuel"], kind["transmission"])
    named = pricer.type_of({**given, **kind, "model_powertrain": key})
    names = VARIANT if given["model"] == theirs["model"] else MAKE_AND_MODEL
    taken: set[str] = set()
    for factor, car_type, numbers in (
        (names, named, {"new_price"}),
        (POWERTRAIN, own_type, _ENGINE),
        (OTHERS, own_type, own.numbers.keys() - _LATER),
        (DISTANCE, own_type, {"odometer"}),
        (AGE, own_type, {"age"}),
        (DATE, own_type, {"listed"}),
    ):
        taken |= numbers
        mixed = {name: (own if name in taken else car).numbers[name] for name in own.numbers}
        categories = own.categories if "ownership" in taken else car.categories
        yield factor, car_type, Car(own.given, mixed, categories, own.equipment)


def _amounts(price: float, adjusted: float, logs: Mapping[str, float]) -> tuple[Adjustment, ...]:
    """Share the difference of two prices among factors, to the cent, by what each adds to the log.

    One order of the factors or another makes no difference to that. The cents that are left go to
    those that lost most by rounding.
    """
    cents = round(adjusted * 100) - round(price * 100)
    total = math.fsum(logs.values())
    mean = 100 * price * (math.expm1(total) / total if total else 1)  # the two prices' logarithmic
    exact = {factor: mean * log for factor, log in logs.items()}
    whole = {factor: math.floor(amount) for factor, amount in exact.items()}
    left = cents - sum(whole.values())
    for factor in sorted(exact, key=lambda one: whole[one] - exact[one])[:left]:
        whole[factor] += 1
    return tuple(Adjustment(factor, amount / 100) for factor, amount in whole.items() if amount)


def _may_be(kept: Kept, car_type: CarType, car: Car) -> bool:
    """Whether a listing is the same as a car in all that is kept of it and that both tell."""
    if "odometer" not in kept.car.given or "odometer" not in car.given:
        return False
    for name, number in kept.car.given.items():
        own = car.given.get(name)
        is_dated = name in ("age", "listed")  # which the year tells, on whichever day
        if not is_dated and own is not None and not math.isclose(own, number, rel_tol=1e-6):
            return False
    texts = zip(car_type.given.values(), kept.car_type.given.values(), strict=True)
    categories = zip(car.categories, kept.car.categories, strict=True)
    return all(own == theirs or not own or not theirs for own, theirs in (*texts, *categories))


def _note(found: int, enough: int, of_model: int) -> str:
    """Say what a reader must know of the listings, in a sentence."""
    listings = "1 listing" if of_model == 1 else f"{of_model:,} listings"
    if not found:
        return f"of the {listings} of this model none is like this car" if of_model else _NONE_LIKE
    if not of_model:
        return "the market has no other listing of this model; these are other models of its make"
    if of_model < _FEW:
        return f"the market has only {listings} of this model beside this car"
    if found < enough:
        return f"only {found} of the {listings} of this model are like this car"
    return ""
