"""Prices of a car by age and by distance, on the day of its price: the market stands still.

Three curves: this model at other ages today, this car in the years ahead, and this car at other
distances. A car in some years is priced as one of its model that is so much older today. No curve
goes beyond the ages and distances that training had of this kind of car; it says where it ends.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from carprice.listings.keys import ModelKey
from carprice.listings.market import is_believed, odometer_limits
from carprice.model import PriceModel
from carprice.model.pricer import Listing, Valuation, cents
from carprice.model.support import Limits
from carprice.schema import DEFAULT_CONFIDENCE, PRICE_NAMES

YEARS_AHEAD: Final = 5
_MOST_AGES: Final = 20
_DISTANCES: Final = 10
_HALF_YEAR: Final = 0.5
"""A car of n years, by its model year, has been driven for half a year more on average."""
_SOME_AGE: Final = 5
_EVERYWHERE: Final = (-math.inf, math.inf)
_NO: Final = "no"
_HARDLY: Final = "hardly any"


class Point(NamedTuple):
    """A price and its range at one age and distance.

    ``distance`` is None where it is not known; ``years`` from today are told of the years ahead.
    """

    age: float
    distance: float | None
    prices: tuple[float, float, float]
    years: int | None = None

    def content(self) -> dict[str, Any]:
        """Return what JSON says of it."""
        told: dict[str, Any] = {} if self.years is None else {"years": self.years}
        told["age"], told["odometer"] = self.age, self.distance
        told.update(zip(PRICE_NAMES, self.prices, strict=True))
        return told


@dataclass(frozen=True)
class Part:
    """The points of one curve, and why it has no more of them."""

    points: tuple[Point, ...]
    ends: str

    def content(self) -> dict[str, Any]:
        """Return what JSON says of it."""
        return {"points": [point.content() for point in self.points], "ends": self.ends}


@dataclass(frozen=True)
class Curve:
    """The three curves of a car, and what they take for granted.

    ``yearly_distance`` is None where the market has no distances, or none that is usual.
    """

    assumption: str
    yearly_distance: float | None
    by_age: Part
    ahead: Part
    by_distance: Part

    def content(self) -> dict[str, Any]:
        """Return what JSON says of it."""
        return {
            "assumption": self.assumption,
            "yearlyDistance": self.yearly_distance,
            "byAge": self.by_age.content(),
            "ahead": self.ahead.content(),
            "byDistance": self.by_distance.content(),
        }


def usual_yearly_distance(model: PriceModel) -> float | None:
    """Return what a car of the market is usually driven in a year; None where nothing tells.

    That is the median distance of the training cars over the years since their model year, of
    which the median too.
    """
    car, by_age = model.defaults.car, model.defaults.odometer_by_age
    if "odometer" not in model.trained_on:
        return None
    if car is not None and car.numbers.keys() >= {"age", "odometer"}:
        years = max(car.numbers["age"], 0.0) + _HALF_YEAR
        return _round(car.numbers["odometer"] / years)
    distance = float(by_age[_SOME_AGE])  # as a model folder of before has it
    return None if math.isnan(distance) else _round(distance / (_SOME_AGE + _HALF_YEAR))


def curve_of(
    model: PriceModel,
    listing: Listing,
    valuation: Valuation,
    yearly_distance: float | None = None,
    confidence: float = DEFAULT_CONFIDENCE,
) -> Curve:
    """Return the curves of a listing that was valued.

    Parameters
    ----------
    valuation : its price, which is a point of the curves where they pass it.
    yearly_distance : in the market's unit; None for what is usual in the market.
    """
    return _Curves(model, listing, valuation, yearly_distance).priced(confidence)


class _Place(NamedTuple):
    """Where a point is: an age, and a distance unless it is not known."""

    age: float
    distance: float | None


class _Limits:
    """What training had of the car's kind, and the words for what lies beyond.

    Of the whole market, and where a model folder does not tell them of the kind, they are those of
    nearly all cars: what one odd car had is no limit there.
    """

    def __init__(self, model: PriceModel, listing: Listing) -> None:
        kind = model.pricer.kind_of(listing)
        seen = model.support.seen[kind]
        self.name = " ".join(ModelKey.read(kind)).strip() or "car"
        self.unit = model.market.distance_unit
        self.age, self._no_age = _limits(model, "age", seen.age if kind else None)
        self.distance, self._no_distance = _limits(
            model, "odometer", seen.odometer if kind else None
        )

    def told_ages(self) -> str:
        """Say which ages training had."""
        least, most = self.age
        return _told(self.name, f"{least:g} to {most:g} years", self._no_age)

    def told_distances(self) -> str:
        """Say which distances training had."""
        least, most = self.distance
        return _told(self.name, f"{least:,.0f} to {most:,.0f} {self.unit}", self._no_distance)

    def beyond(self, place: _Place) -> str:
        """Say why a place is beyond what training had; empty where it is not."""
        least, most = self.age
        if place.age > most:
            return f"training had {self._no_age} {self.name} older than {most:g} years"
        if place.age < least:
            return f"training had {self._no_age} {self.name} younger than {least:g} years"
        (least, most), had = self.distance, f"training had {self._no_distance} {self.name}"
        if place.distance is not None and place.distance > most:
            return f"{had} driven more than {most:,.0f} {self.unit}"
        if place.distance is not None and place.distance < least:
            return f"{had} driven less than {least:,.0f} {self.unit}"
        return ""


class _Curves:
    """The places of the curves of one car, which are then priced all at once."""

    def __init__(
        self,
        model: PriceModel,
        listing: Listing,
        valuation: Valuation,
        yearly_distance: float | None,
    ) -> None:
        self._model, self._listing, self._valuation = model, listing, valuation
        self._limits = _Limits(model, listing)
        self._has_distances = "odometer" in model.trained_on
        usual = usual_yearly_distance(model)
        self._is_asked = yearly_distance is not None
        self._yearly = yearly_distance if self._has_distances and self._is_asked else usual
        age = max(valuation.valuation_date.year - float(listing["year"]), 0.0)
        self._today = _Place(age, self._own_distance(age))

    def _own_distance(self, age: float) -> float | None:
        """Return the car's distance, if the model reads it."""
        distance, limits = self._listing.get("odometer"), odometer_limits(self._limits.unit)
        if not self._has_distances or distance is None or math.isnan(distance):
            return None
        return float(distance) if is_believed(distance, age, limits) else None

    def priced(self, confidence: float) -> Curve:
        """Price all places in one call."""
        parts = [self._by_age(), self._ahead(), self._by_distance()]
        places = [place for part, _ in parts for place in part if place != self._today]
        at = ((place.age, place.distance) for place in places)
        found = self._model.pricer.prices_at(self._listing, at, confidence)
        columns = (values.tolist() for values in (found.price, found.low, found.high))
        prices = iter(
            [(cents(one), cents(low), cents(high)) for one, low, high in zip(*columns, strict=True)]
        )

        def part_of(part: Sequence[_Place], ends: str, *, is_ahead: bool = False) -> Part:
            return Part(
                tuple(
                    Point(
                        place.age,
                        place.distance,
                        self._valuation.prices if place == self._today else next(prices),
                        years if is_ahead else None,
                    )
                    for years, place in enumerate(part)
                ),
                ends,
            )

        by_age, ahead, by_distance = parts
        return Curve(
            self._assumption(),
            self._yearly,
            part_of(*by_age),
            part_of(*ahead, is_ahead=True),
            part_of(*by_distance),
        )

    def _assumption(self) -> str:
        day, unit = self._valuation.valuation_date, self._limits.unit
        told = (
            f"the market unchanged: every price is for {day}; a car in some years is priced as one "
            "of its model that is so many years older on that day"
        )
        if not self._has_distances:
            return f"{told}; the model was trained without distances"
        if self._yearly is None:
            return f"{told}; the distance driven in a year is not known"
        whose = "as asked" if self._is_asked else "as is usual in this market"
        return f"{told}, driven {self._yearly:,.0f} {unit} more each year, {whose}"

    def _by_age(self) -> tuple[list[_Place], str]:
        """Return this model at other ages, each at the distance that is usual for it."""
        least, most = self._limits.age
        if math.isinf(least) or math.isinf(most):
            return [], "the model folder does not tell the ages of training"
        first, last = math.ceil(least), math.floor(most)
        step = max(math.ceil((last - first + 1) / _MOST_AGES), 1)
        ages = [float(age) for age in range(first, last + 1, step)]
        places = [_Place(age, self._usual_distance(age)) for age in ages]
        beyond = [self._limits.beyond(place) for place in places]
        within = [place for place, why in zip(places, beyond, strict=True) if not why]
        return within, "; ".join((self._limits.told_ages(), *filter(None, dict.fromkeys(beyond))))

    def _usual_distance(self, age: float) -> float | None:
        """Return the distance of a car of an age: as asked, else the market's usual one.

        The latter as far as training had it of the car's kind.
        """
        if not self._has_distances:
            return None
        if not self._is_asked:
            by_age = self._model.defaults.odometer_by_age
            usual = float(by_age[int(min(max(age, 0.0), len(by_age) - 1))])
            if not math.isnan(usual):
                least, most = self._limits.distance
                return _round(min(max(usual, least), most))
        return None if self._yearly is None else _round(self._yearly * (age + _HALF_YEAR))

    def _ahead(self) -> tuple[list[_Place], str]:
        """Return this car today and in the years ahead."""
        today = self._today
        places = [today]
        if self._has_distances and self._yearly is None and today.distance is not None:
            return places, "the model knows no usual yearly distance; ask with yearlyDistance"
        for years in range(1, YEARS_AHEAD + 1):
            distance = today.distance
            if distance is not None and self._yearly is not None:
                distance = _round(distance + years * self._yearly)
            place = _Place(today.age + years, distance)
            if ends := self._limits.beyond(place):
                return places, ends
            places.append(place)
        return places, f"{YEARS_AHEAD} years ahead at most"

    def _by_distance(self) -> tuple[list[_Place], str]:
        """Return this car at round distances, and at its own."""
        age, (least, most) = self._today.age, self._limits.distance
        if not self._has_distances:
            return [], "the model was trained without distances"
        if ends := self._limits.beyond(_Place(age, None)):
            return [], ends
        if math.isinf(most) or most <= least:
            return [], "the model folder does not tell the distances of training"
        step = _round_step((most - least) / _DISTANCES)
        first = math.ceil(max(least, 1.0) / step)
        distances = {float(step * n) for n in range(first, math.floor(most / step) + 1)}
        if self._today.distance is not None and least <= self._today.distance <= most:
            distances.add(self._today.distance)
        return [_Place(age, distance) for distance in sorted(distances)], (
            self._limits.told_distances()
        )


def _limits(model: PriceModel, name: str, of_kind: Limits | None) -> tuple[Limits, str]:
    """Return the limits of a number of a kind of car, and how many lie beyond, as a word."""
    if of_kind:
        return of_kind, _NO
    every = model.trained_on.get(name, _EVERYWHERE)
    usual = model.usual_ranges.get(name, _EVERYWHERE)
    inner = max(every[0], usual[0]), min(every[1], usual[1])
    return inner, _NO if inner == every else _HARDLY


def _told(name: str, limits: str, beyond: str) -> str:
    told = f"training had a {name} of {limits}"
    return told if beyond == _NO else f"{told}, and {beyond} other"


def _round(distance: float) -> float:
    return float(round(distance))


def _round_step(least: float) -> float:
    """Return the least of 1, 2, 2.5, 5, 10, 20, 25 … that is not below a number.

    Examples
    --------
    >>> [_round_step(one) for one in (0.5, 3, 12_000, 23_000)]
    [1.0, 5.0, 20000.0, 25000.0]
    """
    ten = 10.0 ** math.floor(math.log10(max(least, 1.0)))
    return next(part * ten for part in (1, 2, 2.5, 5, 10) if part * ten >= least)
