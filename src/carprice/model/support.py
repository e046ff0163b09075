"""The support of a model: what ages, distances and prices training had of each kind of car.

A car's kind is its model, or its make where the model has few training rows, or else the market.
More than a year beyond the ages of its kind, or half beyond its longest distance, what sets the
kind apart from the market stays as it is at that edge. A price above twice the highest of its kind,
below half of the lowest, or outside of the market's, is moved next to that limit. All that, and any
other price outside of those of its kind, widens the range, and a caution says so. A number of the
engine, seats, owners, fitness, economy or tax beyond all that training had counts as the nearest.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import numpy as np

from carprice.arrays import Floats
from carprice.listings.features import Features
from carprice.listings.keys import DetailKey, ModelKey
from carprice.model.blocks import BLOCKS
from carprice.model.car import Car, CarType
from carprice.model.cautions import Caution
from carprice.model.defaults import USUAL_OF_MODEL, rows_by_kind
from carprice.model.hedonic import KM_KNOTS, USUAL_KM, Hedonic
from carprice.model.intervals import CONFIDENCES
from carprice.schema import own_numbers

if TYPE_CHECKING:
    from carprice.model.price_model import PriceModel

FEWEST_ROWS: Final = 20
"""Training rows from which on a model or a make is a kind of its own."""
_YEARS_BEYOND: Final = 1.0
_TIMES_BEYOND: Final = 1.5
_KNOWN_KM: Final = (float(KM_KNOTS[0]), float(KM_KNOTS[-1]))
_OPEN_YEARS: Final = 10.0
_STILL_COUNTS: Final = 0.01  # of what lies further off: a dearer car stays the dearer one
_OPEN: Final = 0.04  # variance of ln(price) where models say nothing of it
_NEAR: Final = math.log(2)  # of ln(price)

_OF_KIND: Final = [
    block
    for block in BLOCKS
    if block.text in ("make", "model", "model_trim", "model_powertrain") and block.basis != "one"
]
"""Blocks by which a model or a make changes with age and distance otherwise than the market."""

Limits = tuple[float, float]


@dataclass(frozen=True)
class Seen:
    """Training rows of one kind, and the least and most that they have.

    Attributes
    ----------
    age, odometer, price : in years, in the market's distance unit, in its currency; None where
        nothing is known of it.
    """

    rows: int
    age: Limits | None = None
    odometer: Limits | None = None
    price: Limits | None = None


@dataclass(frozen=True)
class Support:
    """What training had.

    Attributes
    ----------
    seen : by ``make|model`` of enough rows, by make, and "" for the whole market; a make of few
        rows has the market's prices.
    low, high : ends of the range that holds the market's own ln(price), for each of
        :data:`carprice.model.intervals.CONFIDENCES`.
    """

    seen: dict[str, Seen]
    low: list[float]
    high: list[float]

    @classmethod
    def fit(cls, features: Features, log_price: Floats) -> Self:
        """Learn what n training rows have."""
        age, odometer = (features.numbers[name] for name in ("age", "odometer"))
        price = np.exp(log_price)
        everywhere = _limits(price)
        seen = {"": Seen(len(price), _limits(age), _limits(odometer), everywhere)}
        for kind, own in rows_by_kind(features).items():
            if kind and _is_kind(kind, len(own)):
                prices = _limits(price[own]) if len(own) >= FEWEST_ROWS else everywhere
                seen[kind] = Seen(len(own), _limits(age[own]), _limits(odometer[own]), prices)
        tails = (1 - np.array(CONFIDENCES)) / 2
        low, high = (np.quantile(log_price, share).tolist() for share in (tails, 1 - tails))
        return cls(seen, low, high)

    @classmethod
    def recovered(
        cls, hedonic: Hedonic, rows: Mapping[str, int], trained_on: Mapping[str, Limits]
    ) -> Self:
        """Tell it from what a model folder of before holds: no distances, one range of prices.

        Parameters
        ----------
        rows : training rows by model.
        trained_on : least and most of each number in training.
        """
        counts, ages = Counter({"": 0}), defaultdict(list)
        for model, count in rows.items():
            counts.update(dict.fromkeys({model, ModelKey.read(model).make, ""}, count))
        for key in map(DetailKey.read, hedonic.coefficients["model_year"]):
            for kind in {str(key.of_model), key.make}:
                ages[kind].append(float(key.detail))
        price = trained_on.get("price")
        seen = {
            kind: Seen(count, (min(ages[kind]), max(ages[kind])), None, price)
            for kind, count in counts.items()
            if _is_kind(kind, count) and ages[kind]
        }
        seen[""] = Seen(counts[""], trained_on.get("age"), trained_on.get("odometer"), price)
        deviation = math.sqrt(sum(hedonic.spread.values()))
        if price and counts[""] > 1:  # the least and most of n normal numbers
            ends = 2 * NormalDist().inv_cdf(1 - 0.5 / counts[""])
            deviation = max(deviation, math.log(price[1] / price[0]) / ends)
        normal = NormalDist(hedonic.start, deviation or 1e-9)
        low, high = (
            [normal.inv_cdf((1 + sign * confidence) / 2) for confidence in CONFIDENCES]
            for sign in (-1, 1)
        )
        return cls(seen, low, high)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        seen = {
            kind: Seen(one["rows"], *(_pair(one[name]) for name in ("age", "odometer", "price")))
            for kind, one in content["seen"].items()
        }
        return cls(seen, content["low"], content["high"])

    def at(self, confidence: float) -> Limits:
        """Return the ends of the range of the market's own ln(price) at a confidence."""
        low, high = (np.interp(confidence, CONFIDENCES, side) for side in (self.low, self.high))
        return float(low), float(high)


@dataclass(slots=True, frozen=True)
class TypeSupport:
    """The support of a type of car.

    Attributes
    ----------
    kind : its model, its make, or "" for the market.
    age, km : limits within which nothing is changed.
    log_price : the least and most ln(price) of the kind.
    slopes : what the kind adds to ln(price) by a, a², a³, so and lo, see
        :func:`carprice.model.hedonic_fit.bases_of`.
    is_unseen : whether training did not have the make.
    """

    kind: str
    age: Limits
    km: Limits
    log_price: Limits
    slopes: tuple[float, ...]
    is_unseen: bool


class Supports(NamedTuple):
    """The support of n types, in arrays of one shape; the slopes along the first axis."""

    youngest: Floats
    oldest: Floats
    most_km: Floats
    slopes: Floats


class SupportLookups:
    """Finds a type's support, and what lies beyond it."""

    def __init__(self, model: "PriceModel") -> None:
        hedonic = model.hedonic
        self._seen, self._known = model.support.seen, hedonic.known
        self._trained_on, self._unit = model.trained_on, model.market.distance_unit
        self._oldest = float(hedonic.oldest)
        self._km_per_unit = hedonic.km_per_unit
        self._open = hedonic.spread.get("model") or _OPEN
        self._market = _logs(self._seen[""].price)
        self._numbers = [
            (name, limits)
            for name in (*USUAL_OF_MODEL, *own_numbers(model.own))
            if (limits := model.trained_on.get(name))
        ]

    def of_type(self, car_type: CarType) -> TypeSupport:
        """Return the support of a type."""
        make, model = car_type.texts["make"], car_type.texts["model"]
        kind = next((key for key in (model, make) if key in self._seen), "")
        seen, known = self._seen[kind], self._known
        low, high = seen.age if kind and seen.age else (-math.inf, math.inf)
        slopes = {"a": 0.0, "a2": 0.0, "a3": 0.0, "so": 0.0, "lo": 0.0}
        for block in _OF_KIND:
            own = known[block.name].get(car_type.texts[block.text], 0.0)
            is_half = block.basis == "a2_half"
            slopes["a2" if is_half else block.basis] += own * (0.7 if is_half else 1.0)
        return TypeSupport(
            kind=kind,
            age=(
                min(low - _YEARS_BEYOND, self._oldest),
                min(high + _YEARS_BEYOND, self._oldest),
            ),
            km=(0.0, self._most_km(kind, seen)),
            log_price=_logs(seen.price),
            slopes=tuple(slopes.values()),
            is_unseen=make not in known["make"],
        )

    def _most_km(self, kind: str, seen: Seen) -> float:
        if not kind or seen.odometer is None:
            return math.inf
        return seen.odometer[1] * self._km_per_unit * _TIMES_BEYOND

    def read_at_edges(self, car: Car) -> float:
        """Bring a car's numbers within those of training; return the variance of ln(price)."""
        given, variance = car.given, 0.0
        for name, limits in self._numbers:
            number = given.get(name)
            if number is not None and not limits[0] <= number <= limits[1]:
                edge = car.numbers[name] = _within(number, limits)
                both = number > 0 and edge > 0
                part = min(abs(math.log(number / edge)), 1.0) if both else 1.0
                variance += self._open * part**2
        return variance

    def beyond(self, own: TypeSupport, years: float, odometer: float) -> tuple[float, float]:
        """Return what to add to ln(price) of a car beyond its support, and the variance of that.

        Parameters
        ----------
        own : of the car's type.
        years, odometer : the car's age, and its distance in the market's unit; NaN where unknown.
        """
        km = odometer * self._km_per_unit
        if _is_within(years, own.age) and not km > own.km[1]:  # it may be NaN
            return 0.0, 0.0
        edge = _within(years, own.age)
        a, edge_a = (each / 5 - 1.4 for each in (min(years, self._oldest), edge))
        km = USUAL_KM if math.isnan(km) else _within(km, _KNOWN_KM)
        edge_km = _within(km, own.km)
        so, edge_so = (math.sqrt(each / 50_000) for each in (km, edge_km))
        by_a, by_a2, by_a3, by_so, by_lo = own.slopes
        added = by_a * (edge_a - a) + by_a2 * (edge_a**2 - a**2) + by_a3 * (edge_a**3 - a**3)
        added += by_so * (edge_so - so) + by_lo * math.log(edge_km / km)
        part = math.hypot((years - edge) / _OPEN_YEARS, so - edge_so)
        return added, self._open * min(part, 1.0) ** 2

    def beyond_all(self, own: Supports, years: Floats, odometers: Floats) -> Floats:
        """Return what to add to ln(price) of many cars, as :meth:`beyond` does."""
        km = odometers * self._km_per_unit
        edge = np.clip(years, own.youngest, own.oldest)
        is_beyond = (edge != years) | (km > own.most_km)
        if not is_beyond.any():
            return np.zeros(is_beyond.shape)
        a, edge_a = np.minimum(years, self._oldest) / 5 - 1.4, edge / 5 - 1.4
        km = np.where(np.isnan(km), USUAL_KM, np.clip(km, *_KNOWN_KM))
        edge_km = np.minimum(km, own.most_km)
        so, edge_so = np.sqrt(km / 50_000), np.sqrt(edge_km / 50_000)
        by_a, by_a2, by_a3, by_so, by_lo = own.slopes
        added = by_a * (edge_a - a) + by_a2 * (edge_a**2 - a**2) + by_a3 * (edge_a**3 - a**3)
        added += by_so * (edge_so - so) + by_lo * np.log(edge_km / km)
        return np.where(is_beyond, added, 0.0)

    def limited(self, own: TypeSupport, log_price: float) -> tuple[float, float]:
        """Return an ln(price) moved near to the prices of its kind, and the variance of that."""
        if _is_within(log_price, own.log_price):
            return log_price, 0.0
        (low, high), market = own.log_price, self._market
        near = _within(_within(log_price, (low - _NEAR, high + _NEAR)), market)
        near += _STILL_COUNTS * (log_price - near)
        part = min(abs(near - _within(near, own.log_price)) / _NEAR, 1.0)
        return near, self._open * part**2 + (log_price - near) ** 2

    def cautions(
        self, own: TypeSupport, car: Car, log_price: float, told: Collection[str]
    ) -> Iterator[Caution]:
        """Yield the cautions about a car beyond its kind.

        What is outside of the whole market's limits has its caution already.

        Parameters
        ----------
        log_price : as computed, before it was moved.
        told : the fields that other cautions are about already.
        """
        has_reason = bool(told)
        whose = f"training had of {' '.join(ModelKey.read(own.kind)).strip() or 'any car'}"
        for name, limits, scale in (("age", own.age, 1.0), ("odometer", own.km, self._km_per_unit)):
            number = car.given.get(name)
            is_told = ("year" if name == "age" else name) in told
            if (
                number is None
                or is_told
                or not _is_within(number, self._trained_on.get(name, limits))
            ):
                continue
            edge = _within(number * scale, limits) / scale
            if not math.isclose(edge, number):
                has_reason = True
                yield self._of_number(name, number, edge, whose)
        near, _ = self.limited(own, log_price)
        if near != log_price or not (_is_within(log_price, own.log_price) or has_reason):
            low, high = (f"{math.exp(edge):,.0f}" for edge in own.log_price)
            moved = "" if near == log_price else f", and moved to {math.exp(near):,.0f}"
            message = (
                f"a price of {math.exp(log_price):,.2f} is outside {low}–{high}, what {whose}; "
                f"given with a wider range{moved}"
            )
            yield Caution("out_of_range", "model", message)

    def _of_number(self, name: str, number: float, edge: float, whose: str) -> Caution:
        field, unit = ("year", "years") if name == "age" else ("odometer", self._unit)
        what = f"an age of {number:g} years" if name == "age" else f"{number:,.0f} {unit}"
        message = (
            f"{what} is far from what {whose}; priced as at the edge of that, {edge:,.0f} {unit}, "
            "with a wider range"
        )
        return Caution("out_of_range", field, message)


def _is_kind(kind: str, rows: int) -> bool:
    """Whether a make, a model or "" is a kind of its own: models of few rows are not."""
    return rows >= FEWEST_ROWS or not ModelKey.read(kind).model


def _limits(values: Floats) -> Limits | None:
    """Return the least and the most of some values; NaN is none."""
    known = values[~np.isnan(values)]
    return (float(known.min()), float(known.max())) if len(known) else None


def _pair(limits: Iterable[float] | None) -> Limits | None:
    if limits is None:
        return None
    low, high = limits
    return low, high


def _is_within(value: float, limits: Limits) -> bool:
    return limits[0] <= value <= limits[1]


def _logs(prices: Limits | None) -> Limits:
    return (-math.inf, math.inf) if prices is None else (math.log(prices[0]), math.log(prices[1]))


def _within(value: float, limits: Limits) -> float:
    return min(max(value, limits[0]), limits[1])
