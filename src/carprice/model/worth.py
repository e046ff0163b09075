"""What the hedonic ridge says of a car: ln(price), by look-ups in dictionaries."""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import repeat
from math import isnan, log, sqrt
from typing import Final

from carprice.arrays import Floats
from carprice.listings.keys import DetailKey
from carprice.model.blocks import BLOCKS, VARIANT, whole
from carprice.model.car import LEVELS, Car, CarType
from carprice.model.hedonic import ENGINE, KM_KNOTS, LOGGED, USUAL_KM, Hedonic, printed

Worth = dict[str, float]
"""Term → what it adds to ln(price), per unit of a basis."""
Texts = Mapping[str, str]
Numbers = Mapping[str, float]

_ZEROS: Final = repeat(0.0)
_BASES: Final = ("one", "a", "a2", "a2_half", "a3", "so", "so2", "lo", "a_so", "listed")
_OF_CARS: Final = frozenset(("age", "model_age", "fitness", "model_engine", *LEVELS))
"""Texts of blocks that differ from car to car of a type."""


@dataclass(slots=True, frozen=True)
class TypeWorth:
    """What a type of car adds to ln(price).

    Attributes
    ----------
    slopes : per unit of each basis: 1, a, a², a³, so, so², lo, a·so, years after the valuation
        date, see :func:`carprice.model.hedonic_fit.bases_of`.
    names : what make alone and model alone add; 0 where unseen. They are part of the slopes.
    by_age : of that model, for an age in whole years.
    by_engine : of that model, for displacement, power and cylinders as printed.
    """

    slopes: tuple[float, ...]
    names: tuple[float, float]
    by_age: Mapping[int, float]
    by_engine: Worth


class RidgeLookups:
    """The tables of a fitted ridge, asked for one car at a time.

    Of :meth:`carprice.model.hedonic.Hedonic.part` they say what one factor adds to ln(price).
    """

    def __init__(self, hedonic: Hedonic) -> None:
        known = hedonic.coefficients
        self._intercept = hedonic.intercept
        self._oldest = hedonic.oldest
        self._km_per_unit = hedonic.km_per_unit
        self._by_age = [
            worth + known["age"].get(str(age), 0.0)
            for age, worth in enumerate(hedonic.by_age.tolist())
        ]
        self._by_distance = _Curve.of(KM_KNOTS, hedonic.by_distance)
        self._makes, self._models = known["make"], known["model"]
        self._usual_make = hedonic.usual.get("make", {})
        self._usual_model = hedonic.usual.get("model", {})
        self._of_types = [
            (block.text, block.basis, known[block.name])
            for block in BLOCKS
            if block.terms is whole
            and block.factor != VARIANT
            and block.text not in _OF_CARS
            and known[block.name]
        ]
        self._years = {
            model: {int(age): worth for age, worth in of_model.items()}
            for model, of_model in _by_model(known["model_year"]).items()
        }
        self._engines = _by_model(known["model_engine"])
        self._fitness, self._fitness_by_age = known["fitness"], known["fitness_a"]
        self._levels = [known[name] for name in LEVELS]
        self._variant = _VariantWorth(hedonic)
        self._numbers = _NumbersWorth(hedonic)
        self._equipment = _EquipmentWorth(hedonic)

    def of_type(self, car_type: CarType) -> TypeWorth:
        """Return what a type adds."""
        given = car_type.texts
        kind = "|".join((given["fuel"], given["transmission"], given["body"]))
        texts = {**given, "": "", "kind": kind}
        sums = dict.fromkeys(_BASES, 0.0)
        for text, basis, worth in self._of_types:
            sums[basis] += worth.get(texts[text], 0.0)
        sums["one"] += self._intercept + self._of_unseen_names(texts) + self._variant.of(texts)
        sums["a2"] += 0.7 * sums.pop("a2_half")
        make, model = texts["make"], texts["model"]
        return TypeWorth(
            slopes=tuple(sums.values()),
            names=(self._makes.get(make, 0.0), self._models.get(model, 0.0)),
            by_age=self._years.get(model, {}),
            by_engine=self._engines.get(model, {}),
        )

    def log_price(self, worth: TypeWorth, car: Car) -> float:
        """Return ln(price) of a car of a type."""
        numbers = car.numbers
        age = min(numbers["age"], self._oldest)
        km = self._km_of(numbers["odometer"])
        a = age / 5 - 1.4
        so = sqrt(km / 50_000) - 1
        one, by_a, by_a2, by_a3, by_so, by_so2, by_lo, by_a_so, by_listed = worth.slopes
        total: float = (
            one
            + a * (by_a + a * (by_a2 + a * by_a3) + so * by_a_so)
            + so * (by_so + so * by_so2)
            + by_lo * (log(km) - 10.8)
            + by_listed * numbers["listed"]
            + self._by_age[int(age)]
            + self._by_distance.at(km)
            + worth.by_age.get(int(age), 0.0)
            + sum(map(dict.get, self._levels, car.levels, _ZEROS))
            + self._numbers.of(numbers)
            + self._equipment.of(car.equipment, a)
        )
        if self._fitness or self._fitness_by_age:
            years = _printed(numbers["fitness_age"])
            total += self._fitness.get(years, 0.0) + a * self._fitness_by_age.get(years, 0.0)
        if worth.by_engine:
            total += worth.by_engine.get(_engine(numbers), 0.0)
        return total

    def _km_of(self, odometer: float) -> float:
        km = odometer * self._km_per_unit
        knots = self._by_distance.knots
        return USUAL_KM if isnan(km) else min(max(km, knots[0]), knots[-1])

    def _of_unseen_names(self, texts: Texts) -> float:
        """Let an unseen make be worth what makes are, an unseen model what its make's are."""
        make, worth = texts["make"], 0.0
        if self._usual_make and make not in self._makes:
            worth += self._usual_make.get(make, self._usual_make[""])
        if self._usual_model and texts["model"] not in self._models:
            worth += self._usual_model.get(make, self._usual_model[""])
        return worth


def _by_model(worth: Worth) -> dict[str, Worth]:
    """Return terms of make, model and something more by make and model."""
    found: dict[str, Worth] = {}
    for term, each in worth.items():
        key = DetailKey.read(term)
        found.setdefault(str(key.of_model), {})[key.detail] = each
    return found


class _VariantWorth:
    """What the text of a variant adds: its trim, itself, its words, and its model's words."""

    def __init__(self, hedonic: Hedonic) -> None:
        known, idf = hedonic.coefficients, hedonic.idf.get("word", {})
        self._trims, self._variants = known["trim"], known["variant"]
        self._words = {word: (idf[word], worth) for word, worth in known["word"].items()}
        self._words_of_model = known["model_word"]
        self._usual = hedonic.usual.get(VARIANT, {})

    def of(self, texts: Texts) -> float:
        """Return what a variant adds; what is usual for the model where no word is known."""
        make, model, variant = texts["make"], texts["model"], texts["model_variant"]
        key = DetailKey.read(variant)
        words = sorted(set(key.detail.split()))
        known = [self._words[word] for word in words if word in self._words]
        if not known and self._words and self._usual:
            return next(self._usual[key] for key in (model, make, "") if key in self._usual)
        worth = self._trims.get(texts["model_trim"], 0.0) + self._variants.get(variant, 0.0)
        if known:
            length = sqrt(sum([idf * idf for idf, _ in known]))
            worth += sum([idf * each for idf, each in known]) / length
        own = self._words_of_model
        return worth + sum([own.get(f"{key.of_model}#{word}", 0.0) for word in words])


class _NumbersWorth:
    """What engine, seats and owners add; a number that is unknown adds nothing.

    Cars share few displacements, powers and seats, so that what one adds is seldom computed.
    """

    def __init__(self, hedonic: Hedonic) -> None:
        engine, owners = hedonic.coefficients["engine"], hedonic.coefficients["owners"]
        found: dict[str, Callable[[float], float]] = {
            name: partial(_of_logged, engine[name], usual)
            for name, usual in LOGGED.items()
            if name in engine
        }
        if "seats" in engine:
            found["seats"] = partial(_of_seats, engine["seats"])
        each = [owners.get(name, 0.0) for name in ("owners", "second", "third")]
        found["ownership"] = partial(_of_owners, *each)
        self._worths = [(name, lru_cache(maxsize=1024)(worth)) for name, worth in found.items()]

    def of(self, numbers: Numbers) -> float:
        """Return the sum."""
        total = 0.0
        for name, worth in self._worths:
            number = numbers[name]
            if not isnan(number):
                total += worth(number)
        return total


def _of_logged(each: float, usual: float, number: float) -> float:
    return each * round(log(max(number, usual / 20) / usual) * 1000) / 1000


def _of_seats(each: float, seats: float) -> float:
    # The ridge has learned from printed numbers of six digits.
    return each * float(f"{min(max(seats, 2), 9) / 5 - 1:g}")


def _of_owners(each: float, second: float, third: float, owners: float) -> float:
    return each * min(owners, 5.0) + second * (owners > 1) + third * (owners > 2)


class _EquipmentWorth:
    """What equipment adds by name and by its amount."""

    def __init__(self, hedonic: Hedonic) -> None:
        known = hedonic.coefficients
        self._items, self._items_by_age = known["equipment"], known["equipment_a"]
        self._many, self._none = known["extent"].get("many", 0.0), known["extent"].get("none", 0.0)
        self._many_by_age = known["extent_a"].get("many", 0.0)

    def of(self, names: Sequence[str], a: float) -> float:
        """Return the sum; ``a`` is the basis of age."""
        count = len(names)
        worth = sum(map(self._items.get, names, _ZEROS)) + self._many * count / 8
        if count == 0:
            worth += self._none
        by_age = sum(map(self._items_by_age.get, names, _ZEROS)) + self._many_by_age * count / 8
        return worth + a * by_age


@dataclass(frozen=True)
class _Curve:
    """A function that is linear between knots."""

    knots: list[float]
    heights: list[float]
    slopes: list[float]

    @classmethod
    def of(cls, knots: Floats, heights: Floats) -> "_Curve":
        slopes = (heights[1:] - heights[:-1]) / (knots[1:] - knots[:-1])
        return cls(knots.tolist(), heights.tolist(), [*slopes.tolist(), 0.0])

    def at(self, x: float) -> float:
        """Return the height at a point from the first knot to the last."""
        place = bisect_right(self.knots, x) - 1
        return self.heights[place] + self.slopes[place] * (x - self.knots[place])


_printed = lru_cache(maxsize=4096)(printed)


def _engine(numbers: Numbers) -> str:
    """Return the last part of the ridge's text ``model_engine``."""
    return "|".join([_printed(numbers[name]) for name in ENGINE])
