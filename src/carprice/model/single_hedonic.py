"""ln(price) of one car: :mod:`carprice.model.hedonic` by look-ups alone.

What :meth:`carprice.model.hedonic.Hedonic.contributions` does for many listings, factor by factor,
is one sum here. ``tests/model/test_single.py`` holds the two together.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import repeat
from math import isnan, log, sqrt
from operator import itemgetter, mul
from typing import Final

from carprice.features import Floats
from carprice.model.hedonic import (
    KM_KNOTS,
    LOGGED,
    USUAL_KM,
    Hedonic,
    itself,
    printed,
)
from carprice.model.single_car import Car

Worth = dict[str, float]
"""Term → what it adds to ln(price), per unit of a basis."""
Texts = Mapping[str, str]
Numbers = Mapping[str, float]

_VARIANT: Final = "variant"
_ZEROS: Final = repeat(0.0)


class SingleHedonic:
    """A ridge that is asked for one car at a time."""

    def __init__(self, hedonic: Hedonic) -> None:
        known = hedonic.coefficients
        self._intercept = hedonic.intercept
        self._oldest = hedonic.oldest
        self._km_per_unit = hedonic.km_per_unit
        self._by_age = hedonic.by_age.tolist()
        self._by_distance = _Curve.of(KM_KNOTS, hedonic.by_distance)
        self._makes, self._models = known["make"], known["model"]
        self._usual_make = hedonic.usual.get("make", {})
        self._usual_model = hedonic.usual.get("model", {})
        self._categories = _CategoriesWorth(hedonic)
        self._variant = _VariantWorth(hedonic)
        self._numbers = _NumbersWorth(hedonic)
        self._equipment = _EquipmentWorth(hedonic)

    def names_worth(self, texts: Texts) -> tuple[float, float]:
        """Return what make alone and model alone add to ln(price); 0 where unseen."""
        return self._makes.get(texts["make"], 0.0), self._models.get(texts["model"], 0.0)

    def log_price(self, car: Car) -> float:
        """Return ln(price) of a completed car."""
        numbers = car.numbers
        age = min(numbers["age"], self._oldest)
        km = self._km_of(numbers["odometer"])
        bases = _bases(age, km, numbers["listed"])
        texts = car.texts | _texts_of_numbers(car.texts, numbers, str(int(age)))
        total: float = (
            self._intercept
            + self._by_age[int(age)]
            + self._by_distance.at(km)
            + self._of_unseen_names(texts)
            + self._categories.of(texts, bases)
            + self._variant.of(*_names_of(texts))
            + self._numbers.of(numbers)
            + self._equipment.of(car.equipment, numbers["feature_count"], bases["a"])
        )
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


class _CategoriesWorth:
    """What all that is one of several values adds, and the trends that all cars share."""

    def __init__(self, hedonic: Hedonic) -> None:
        worth: dict[str, dict[str, Worth]] = {}
        for block in hedonic.blocks:
            if block.expand is itself and block.factor != _VARIANT:
                worth.setdefault(block.text, {})[block.basis] = hedonic.coefficients[block.name]
        level = {
            text: by_basis["one"] for text, by_basis in worth.items() if [*by_basis] == ["one"]
        }
        self._levels, self._texts = list(level.values()), itemgetter(*level)
        self._slopes = [
            (text, _terms_by_basis(by_basis), itemgetter("one", *by_basis))
            for text, by_basis in worth.items()
            if text not in level
        ]

    def of(self, texts: Texts, bases: Mapping[str, float]) -> float:
        """Return the sum; a value that training did not have adds nothing."""
        worth: float = sum(map(dict.get, self._levels, self._texts(texts), _ZEROS))
        for text, terms, own_bases in self._slopes:
            slopes = terms.get(texts[text])
            if slopes is not None:
                worth += sum(map(mul, slopes, own_bases(bases)))
        return worth


def _terms_by_basis(by_basis: Mapping[str, Worth]) -> dict[str, tuple[float, ...]]:
    """Return term → 0 and its worth for each basis; the 0 is for the basis "one"."""
    terms = dict.fromkeys(term for worth in by_basis.values() for term in worth)
    return {term: (0.0, *(worth.get(term, 0.0) for worth in by_basis.values())) for term in terms}


class _VariantWorth:
    """What the text of a variant adds: its trim, itself, its words, and its model's words."""

    def __init__(self, hedonic: Hedonic) -> None:
        known, idf = hedonic.coefficients, hedonic.idf.get("word", {})
        self._trims, self._variants = known["trim"], known["variant"]
        self._words = {word: (idf[word], worth) for word, worth in known["word"].items()}
        self._words_of_model = known["model_word"]
        self._usual = hedonic.usual.get(_VARIANT, {})
        self.of = lru_cache(maxsize=10_000)(self._sum)

    def _sum(self, make: str, model: str, trim: str, variant: str) -> float:
        """Return what a variant adds; what is usual for the model where no word is known."""
        first, second, text = variant.split("|", 2)
        words = sorted(set(text.split()))
        known = [self._words[word] for word in words if word in self._words]
        if not known and self._words and self._usual:
            return next(self._usual[key] for key in (model, make, "") if key in self._usual)
        worth = self._trims.get(trim, 0.0) + self._variants.get(variant, 0.0)
        if known:
            length = sqrt(sum([idf * idf for idf, _ in known]))
            worth += sum([idf * each for idf, each in known]) / length
        own = self._words_of_model
        return worth + sum([own.get(f"{first}|{second}#{word}", 0.0) for word in words])


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

    def of(self, names: Sequence[str], count: float, a: float) -> float:
        """Return the sum; ``a`` is the basis of age."""
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


_names_of = itemgetter("make", "model", "model_trim", "model_variant")


def _bases(age: float, km: float, listed: float) -> dict[str, float]:
    """Return what :func:`carprice.model.hedonic.bases_of` does, for one car."""
    a = age / 5 - 1.4
    so = sqrt(km / 50_000) - 1
    return {
        "one": 1.0,
        "a": a,
        "a2": a * a,
        "a2_half": 0.7 * a * a,
        "a3": a * a * a,
        "so": so,
        "so2": so * so,
        "lo": log(km) - 10.8,
        "a_so": a * so,
        "listed": listed,
    }


def _texts_of_numbers(texts: Texts, numbers: Numbers, age: str) -> dict[str, str]:
    """Return what :func:`carprice.model.hedonic.texts_of` adds to the texts, for one car."""
    model = texts["model"]
    litres, power = _printed(numbers["litres"]), _printed(numbers["power_bhp"])
    return {
        "": "",
        "age": age,
        "model_age": f"{model}|{age}",
        "kind": f"{texts['fuel']}|{texts['transmission']}|{texts['body']}",
        "fitness": _printed(numbers["fitness_age"]),
        "model_engine": f"{model}|{litres}|{power}|{_printed(numbers['cylinders'])}",
    }


_printed = lru_cache(maxsize=4096)(printed)
