"""Finds the listings that are like many cars, as ``neighbours.py`` finds those of one.

Cars of one model are compared with the same listings, so that how far these are is of arrays: a row
a car. Listings of about the cars' age come first: where another age alone parts more than the last
one of them is away, the others are not looked at.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import numpy as np

from carprice.arrays import Codes, Floats
from carprice.model.car import CarType
from carprice.model.listing_store import DAYS_A_YEAR, NOT_KEPT, OLDEST
from carprice.model.many_cars import TypedCar
from carprice.model.neighbours import (
    FEW,
    LIKENESS,
    REACH,
    Neighbours,
    Ranges,
    joined_ranges,
    rows_of,
)

if TYPE_CHECKING:
    from carprice.model.pricer import Listing

_KNOTS: Final = 9
_PAIRS_AT_ONCE: Final = 100_000
_MOST_TOGETHER: Final = 8_000
_YEARS_AWAY: Final = (1, OLDEST)
_NO_DISTANCE: Final = -1.0
_LOG_MOST: Final = math.log(20)
_A_YEAR: Final = LIKENESS["year between the listings"]

_Found = tuple[Codes, Codes, Floats]
"""The place of a car, a row that is near to it, and the square of its distance."""
_NOTHING: Final[_Found] = np.zeros(0, np.intp), np.zeros(0, np.intp), np.zeros(0)


class NearMany(NamedTuple):
    """The likest listings of many cars: each car's beside each other, in the order of ``Near``.

    Attributes
    ----------
    place : of the car that a listing is near to.
    rows : the listing's place in the store.
    log_prices : the ridge's, of each car.
    """

    place: Codes
    rows: Codes
    log_prices: Floats


class _Crowd(NamedTuple):
    """Cars, each with what is asked of it, a row a car.

    Attributes
    ----------
    place : of the car among all.
    by_age : the square of how far each age from 0 on is.
    knots, worths : what distances are worth more than the car's own.
    """

    place: Codes
    ages: Floats
    km: Floats
    listed: Floats
    by_age: Floats
    knots: Floats
    worths: Floats

    def take(self, places: Codes) -> Self:
        """Return some of the cars."""
        some: Iterator[Any] = (one[places] for one in self)
        return type(self)(*some)


class _About(NamedTuple):
    """Listings of a model.

    Attributes
    ----------
    own : of each car that is not compared with all of them, by its place: where its begin and end.
    types, numbers : of the different kinds of listings, by type and row of numbers.
    kind_of : the place of each listing's kind.
    whole : the distance in whole units; -1 where it is not known.
    years : after the valuation date.
    """

    model: str
    own: Mapping[int, Ranges]
    types: Codes
    numbers: Codes
    rows: Codes
    kind_of: Codes
    ages: Codes
    km: Floats
    whole: Floats
    years: Floats

    def take(self, columns: Codes) -> Self:
        """Return some of the listings."""
        some: Iterator[Any] = (one[columns] for one in self[4:])
        return type(self)(*self[:4], *some)


def near_many(
    neighbours: Neighbours, cars: Sequence[TypedCar], listings: "Sequence[Listing]", count: int
) -> NearMany:
    """Return what :meth:`Neighbours.near` does of each of many cars.

    Parameters
    ----------
    cars, listings : as the pricer reads them, and what they were read from.
    count : how many listings there are of a car at most.
    """
    search, places = _Search(neighbours, cars, listings, count), neighbours.store.places
    models = [car_type.texts["model"] for car_type, _ in cars]
    own = [(model, place) for place, model in enumerate(models) if model in places]
    of_own = search.nearest(own, is_own=True)
    found = np.bincount(of_own[0], minlength=len(cars))
    others = [
        (model, place)
        for place in np.flatnonzero(found < min(FEW, count)).tolist()
        for model in neighbours.models_like(models[place], cars[place][0])
    ]
    of_others = search.nearest(others, is_own=False)
    place, rows, squares = _joined((of_own, of_others))
    is_other = np.arange(len(place)) >= len(of_own[0])
    order = np.lexsort((rows, squares, is_other, place))
    place, rows = place[order], rows[order]
    is_first = np.arange(len(place)) - np.searchsorted(place, place) < count
    return NearMany(place[is_first], rows[is_first], search.subjects.log_prices)


class _Search:
    """Finds listings that are like some cars."""

    def __init__(
        self,
        neighbours: Neighbours,
        cars: Sequence[TypedCar],
        listings: "Sequence[Listing]",
        count: int,
    ) -> None:
        self._neighbours, self._store = neighbours, neighbours.store
        self._cars, self._listings, self._count = cars, listings, count
        self.subjects = neighbours.pricer.subjects(cars)
        places: dict[CarType, int] = {}
        self._type_of = np.array([places.setdefault(one, len(places)) for one, _ in cars])
        self._types = [*places]
        engines = [[car.given.get(name, 0.0) for name in self._store.logs] for _, car in cars]
        self._engines = np.array(engines, dtype=np.float64)
        of_km = LIKENESS["10,000 km"] * neighbours.km_per_unit / 10_000
        self._a_km = np.array([of_km if "odometer" in car.given else 0.0 for _, car in cars])
        own = [car.given.get("odometer", _NO_DISTANCE) for _, car in cars]
        self._whole = np.round(np.array(own)).astype(np.float32)

    def nearest(self, asked: Sequence[tuple[str, int]], *, is_own: bool) -> _Found:
        """Return the nearest listings of models, so many at most of each and all as near.

        Parameters
        ----------
        asked : a model and the place of a car.
        is_own : whether the models are the cars' own, whose own listings are left out then.
        """
        found = [_NOTHING]
        groups = defaultdict[tuple[str, Ranges], list[int]](list)
        of_each, ends = list[Ranges](), list[tuple[float, float]]()
        for number, (model, place) in enumerate(asked):
            ranges = self._neighbours.ranges_about(model, self._cars[place][1])
            if ranges:
                groups[model, ranges].append(number)
            of_each.append(ranges)
            ends.append(self._neighbours.distances_in(ranges))
        if asked:
            crowd = self._crowd(np.array([place for _, place in asked]), np.array(ends))
        for model, ranges, numbers in _together(groups):
            each = {asked[number][1]: of_each[number] for number in numbers}
            each = {place: one for place, one in each.items() if one != ranges}
            about, own = self._about(model, ranges, each), crowd.take(np.array(numbers))
            order = np.argsort(own.ages, kind="stable")
            at_once = max(_PAIRS_AT_ONCE // len(about.rows), 1)
            for start in range(0, len(order), at_once):
                some = own.take(order[start : start + at_once])
                found += self._nearest_to(some, about, is_own=is_own)
        return _joined(found)

    def _crowd(self, place: Codes, ends: Floats) -> _Crowd:
        """Find what ages and distances are worth to cars.

        Parameters
        ----------
        ends : the least and the most distance of the listings about each, NaN where none is known.
        """
        cars = self.subjects.take(place)
        own_age, own_km, own_price = (
            one[:, None] for one in (cars.ages, cars.odometers, cars.log_prices)
        )
        oldest = int(self._store.records["age"].max(initial=0))
        ages = np.arange(oldest + 1, dtype=np.float64)
        by_age = np.abs(cars.prices_at(ages[None, :], own_km) - own_price)
        by_age += LIKENESS["year"] * np.abs(ages - own_age)
        by_age[ages == own_age] = 0.0
        least, most = ends.T[:, :, None]
        steps = (most - least) / (_KNOTS - 1) * np.arange(_KNOTS - 1)
        knots = np.concatenate((least + steps, most, own_km), axis=1)
        knots.sort(axis=1)
        return _Crowd(
            place,
            cars.ages,
            cars.odometers,
            cars.listed,
            by_age**2,
            knots,
            cars.prices_at(own_age, knots) - own_price,
        )

    def _about(self, model: str, ranges: Ranges, own: Mapping[int, Ranges]) -> _About:
        rows = rows_of(ranges)
        some = self._store.records.take(rows)
        kinds = some["type"].astype(np.int64) << 16 | some["numbers"]
        kinds, kind_of = np.unique(kinds, return_inverse=True)
        km = some["odometer"].astype(np.float64)
        whole = np.nan_to_num(np.rint(km), nan=_NO_DISTANCE)
        years, ages = some["listed"] / DAYS_A_YEAR, some["age"].astype(np.intp)
        return _About(
            model, own, kinds >> 16, kinds & NOT_KEPT, rows, kind_of, ages, km, whole, years
        )

    def _nearest_to(self, cars: _Crowd, about: _About, *, is_own: bool) -> Iterator[_Found]:
        """Yield the listings that are nearest to some cars of about one age."""
        count = self._count
        for away in _YEARS_AWAY:
            least, most = cars.ages.min() - away, cars.ages.max() + away
            is_close = (about.ages >= least) & (about.ages <= most)
            close = about if is_close.all() else about.take(np.flatnonzero(is_close))
            squares = self._squares(close, cars)
            _leave_to_each(close, squares, cars)
            if is_own:
                self._leave_out(close, squares, cars)
            edges = np.full((len(squares), 2), np.inf)
            if len(close.rows) > count:
                edges = np.partition(squares, (count - 1, count), axis=1)[:, count - 1 : count + 1]
            edges = np.minimum(edges, REACH**2)
            is_done = np.ones(len(squares), dtype=bool)
            if close is not about:
                farther = np.unique(about.ages[~is_close])
                is_done = edges[:, 1] < cars.by_age[:, farther].min(axis=1)
            places, columns = np.nonzero(squares <= np.where(is_done, edges[:, 0], -1.0)[:, None])
            yield cars.place[places], close.rows[columns], squares[places, columns]
            if is_done.all():
                return
            cars = cars.take(np.flatnonzero(~is_done))

    def _squares(self, about: _About, cars: _Crowd) -> Floats:
        """Return the squares of how far listings are from cars, a row a car."""
        km, a_km = about.km, self._a_km[cars.place, None]
        squares = self._by_kind(about, cars)[:, about.kind_of]
        squares += cars.by_age[:, about.ages]
        apart = np.empty_like(squares)
        for row, knots, worths in zip(apart, cars.knots, cars.worths, strict=True):
            row[:] = np.interp(km, knots, worths)
        np.abs(apart, out=apart)
        away = km - cars.km[:, None]
        np.abs(away, out=away)
        away *= a_km
        apart += away
        if (is_unknown := np.isnan(km)).any():
            unknown = np.where(a_km > 0, LIKENESS["distance unknown"], 0.0)
            apart = np.where(is_unknown, unknown, apart)
        apart[np.isnan(cars.knots[:, -1])] = 0.0  # none is known of the car, or of the listings
        squares += np.square(apart, out=apart)
        years = np.subtract(_A_YEAR * about.years, _A_YEAR * cars.listed[:, None], out=away)
        squares += np.square(years, out=years)
        return squares

    def _by_kind(self, about: _About, cars: _Crowd) -> Floats:
        """Return the square of how far types, and litres and powers, are from those of cars."""
        first = self._store.places[about.model][0].start
        types, type_of = np.unique(self._type_of[cars.place], return_inverse=True)
        known = (self._neighbours.apart(about.model, self._types[one]) for one in types.tolist())
        squares = np.array([apart[about.types - first] for apart in known]) ** 2
        by_engine = np.zeros((len(cars.place), len(about.types)))
        engines = self._engines[cars.place].T[:, :, None]
        for own, logs in zip(engines, self._store.logs.values(), strict=True):
            is_known = own > 0
            log = np.log(own, out=np.zeros_like(own), where=is_known)
            theirs = np.maximum(logs[np.minimum(about.numbers, len(logs) - 1)], log - _LOG_MOST)
            away = LIKENESS["engine"] * np.fmax(np.abs(theirs - log), 0.0)
            by_engine += np.where(is_known, away, 0.0)
        return np.asarray(squares[type_of] + by_engine**2)

    def _leave_out(self, about: _About, squares: Floats, cars: _Crowd) -> None:
        """Take listings that may be of the cars themselves out of reach."""
        alike, columns = np.nonzero(about.whole == self._whole[cars.place, None])
        alike = alike[squares[alike, columns] <= REACH**2]
        for place in np.unique(alike).tolist():
            near = np.flatnonzero(squares[place] <= REACH**2)
            of_one, car = (about.rows[near], np.sqrt(squares[place, near])), int(cars.place[place])
            own = self._listings[car]
            typed = self._cars[car]
            itself = self._neighbours.itself(of_one, *typed, own, self._count)
            squares[place, near[itself]] = np.inf


def _together(
    groups: Mapping[tuple[str, Ranges], list[int]],
) -> Iterator[tuple[str, Ranges, list[int]]]:
    """Yield the groups, those of a model whose listings are nearly the same as one.

    Without that, each car of an age with so many listings that its distance chooses among them
    would be alone with its own.
    """
    own, union, numbers = "", Ranges(), list[int]()
    for (model, ranges), more in sorted(groups.items()):
        both = joined_ranges((*union, *ranges))
        if model != own or sum(end - start for start, end in both) > _MOST_TOGETHER:
            if numbers:
                yield own, union, numbers
            own, both, numbers = model, ranges, []
        union = both
        numbers += more
    if numbers:
        yield own, union, numbers


def _leave_to_each(about: _About, squares: Floats, cars: _Crowd) -> None:
    """Take listings that only others of the cars are compared with out of reach."""
    for row, place in zip(squares, cars.place.tolist(), strict=True):
        if place in about.own:
            edges = np.searchsorted(about.rows, about.own[place]).ravel().tolist()
            for start, end in zip([0, *edges[1::2]], [*edges[::2], len(row)], strict=True):
                row[start:end] = np.inf


def _joined(found: Sequence[_Found]) -> _Found:
    place, rows, squares = zip(*found, strict=True)
    return np.concatenate(place), np.concatenate(rows), np.concatenate(squares)


def adjusted_prices(neighbours: Neighbours, near: NearMany, cars: Sequence[TypedCar]) -> Floats:
    """Return the price of each listing that is near to one of many cars, brought to it."""
    prices = neighbours.kept_prices
    place, rows, beside = near.place, near.rows, [car for _, car in cars]
    is_told = prices.are_told(rows, beside, place)
    logs = np.zeros(len(rows))
    if is_told.any():
        logs[is_told] = prices.of(rows[is_told], beside, place[is_told])
    for one in np.flatnonzero(~is_told).tolist():
        (kept,) = neighbours.read(rows[one : one + 1], beside[place[one]])
        logs[one] = neighbours.pricer.hedonic_price(kept.car_type, kept.car)
    listed: Floats = neighbours.store.records["price"][rows]
    return listed * np.exp(near.log_prices[place] - logs)
