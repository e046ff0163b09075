"""Predict ln(price) of one car with the hedonic ridge, by look-ups in dictionaries."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import repeat
from math import hypot, isnan, log, sqrt
from typing import Final

import numpy as np

from carprice.listings.features import CAR_CATEGORIES
from carprice.listings.keys import DetailKey
from carprice.model.blocks import BLOCKS, MAKE_AND_MODEL, POWERTRAIN, VARIANT, Block
from carprice.model.car import Car, CarType
from carprice.model.hedonic import (
    ENGINE,
    KM_KNOTS,
    LOGGED,
    NO_DISTANCE,
    USUAL_KM,
    Hedonic,
    printed,
    terms_of,
    usual_of,
)
from carprice.model.own_terms import OwnWorth

Worth = Mapping[str, float]
"""Term → what it adds to ln(price), per unit of a basis."""
Numbers = Mapping[str, float]

_ZEROS: Final = repeat(0.0)
_KNOTS: Final = KM_KNOTS.tolist()
_BASES: Final = ("one", "a", "a2", "a2_half", "a3", "so", "so2", "lo", "a_so", "listed")
_CAR_TEXTS: Final = frozenset(
    {*CAR_CATEGORIES, "age", "model_age", "fitness", "model_engine", "engine", "owners"}
    | {"equipment", "extent", "extent_a", "no_distance", "own"}
)
"""Texts of :data:`BLOCKS` that differ from car to car of a type."""

WORTHS: Final = ("names", "variant", "powertrain", "age")
"""What the ridge says of a type apart from its price, which trees read: what make and model, the
variant, and fuel and gearbox add to ln(price), and how much more all that is by age, see
:func:`worth_of`."""
_WORTHS: Final = {MAKE_AND_MODEL: "names", VARIANT: "variant", POWERTRAIN: "powertrain"}


def worth_of(block: Block) -> str | None:
    """Return which of :data:`WORTHS` a block counts to; None if to none.

    Examples
    --------
    >>> {block.name: worth_of(block) for block in BLOCKS if block.name in ("word", "model_a")}
    {'word': 'variant', 'model_a': 'age'}
    """
    if not block.text or block.text in _CAR_TEXTS:
        return None
    return {"one": _WORTHS.get(block.factor), "a": "age"}.get(block.basis)


@dataclass(slots=True, frozen=True)
class TypeWorth:
    """What a type of car adds to ln(price).

    Attributes
    ----------
    slopes : coefficients of the bases 1, a, a², a³, so, so², lo, a·so and years after the valuation
        date, see :func:`carprice.model.hedonic_fit.bases_of`.
    worths : the :data:`WORTHS` by name, and what make alone and model alone add, 0 where unseen,
        for the trees of model folders of before. ``slopes`` include them.
    by_age : age in whole years → what the model adds at that age.
    by_engine : displacement, power and cylinders as printed → what the model adds with them.
    """

    slopes: tuple[float, ...]
    worths: Mapping[str, float]
    by_age: Mapping[int, float]
    by_engine: Worth


class RidgeLookups:
    """The tables of a fitted ridge, made to predict one car at a time.

    Made of a :meth:`carprice.model.hedonic.Hedonic.part`, they predict what one factor adds.
    """

    def __init__(self, hedonic: Hedonic) -> None:
        known = hedonic.coefficients
        self._coefficients, self._idf, self._usual = known, hedonic.idf, hedonic.usual
        self._intercept = hedonic.intercept
        self._oldest = hedonic.oldest
        self._km_per_unit = hedonic.km_per_unit
        self._by_age = [
            worth + known["age"].get(str(age), 0.0) for age, worth in enumerate(hedonic.by_age)
        ]
        self._by_distance = hedonic.by_distance
        self._no_distance = tuple(
            known.get(f"no_distance{power}", {}).get(NO_DISTANCE, 0.0)
            for power in ("", "_a", "_a2")
        )
        self._slopes = [*(np.diff(self._by_distance) / np.diff(KM_KNOTS)).tolist(), 0.0]
        self._type_blocks = [
            block for block in BLOCKS if block.text not in _CAR_TEXTS and known[block.name]
        ]
        self._years = {
            model: {int(age): worth for age, worth in of_model.items()}
            for model, of_model in _by_model(known["model_year"]).items()
        }
        self._engines = _by_model(known["model_engine"])
        self._fitness, self._fitness_by_age = known["fitness"], known["fitness_a"]
        self._categories = [known[name] for name in CAR_CATEGORIES]
        terms = known["engine"] | known["owners"]
        # Cars share few displacements, powers and seats: what they add is mostly in the cache.
        self._numbers = [
            (name, lru_cache(maxsize=1024)(partial(_worth_of_number, terms, name)))
            for name in (*LOGGED, "seats", "ownership")
            if terms.keys() & terms_of(name, 1.0)
        ]
        self._own = OwnWorth(hedonic) if hedonic.own else None
        self._equipment, self._equipment_by_age = known["equipment"], known["equipment_a"]
        self._many, self._none = (known["extent"].get(name, 0.0) for name in ("many", "none"))
        self._many_by_age = known["extent_a"].get("many", 0.0)

    def of_type(self, car_type: CarType) -> TypeWorth:
        """Return what a type adds."""
        own = car_type.texts
        make, model = own["make"], own["model"]
        words = DetailKey.read(own["model_variant"]).detail
        kind = "|".join((own["fuel"], own["transmission"], own["body"]))
        texts = {**own, "": "", "kind": kind, "words": words}
        sums, worths = dict.fromkeys(_BASES, 0.0), dict.fromkeys(WORTHS, 0.0)
        for block in self._type_blocks:
            worth, name = self._of_text(block, texts[block.text]), worth_of(block)
            if name:
                worths[name] += worth
            if name != "variant":
                sums[block.basis] += worth
        known, usual = self._coefficients, self._usual
        if known["word"] and usual.get(VARIANT) and known["word"].keys().isdisjoint(words.split()):
            worths["variant"] = usual_of(usual[VARIANT], model, make)
        for name, key in (("make", make), ("model", model)):
            if usual.get(name) and key not in known[name]:
                more = usual_of(usual[name], make)
                sums["one"] += more
                worths["names"] += more
        sums["one"] += self._intercept + worths["variant"]
        sums["a2"] += 0.7 * sums.pop("a2_half")
        return TypeWorth(
            slopes=tuple(sums.values()),
            worths={
                **worths,
                "make": known["make"].get(make, 0.0),
                "model": known["model"].get(model, 0.0),
            },
            by_age=self._years.get(model, {}),
            by_engine=self._engines.get(model, {}),
        )

    def log_price(self, worth: TypeWorth, car: Car) -> float:
        """Return ln(price) of a car of a type."""
        numbers = car.numbers
        age = min(numbers["age"], self._oldest)
        km = numbers["odometer"] * self._km_per_unit
        has_distance = not isnan(km)
        km = min(max(km, _KNOTS[0]), _KNOTS[-1]) if has_distance else USUAL_KM
        knot = bisect_right(_KNOTS, km) - 1
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
            + self._by_distance[knot]
            + self._slopes[knot] * (km - _KNOTS[knot])
            + worth.by_age.get(int(age), 0.0)
            + sum(map(dict.get, self._categories, car.categories, _ZEROS))
            + self._of_equipment(car.equipment, a)
        )
        if not has_distance:
            level, by_a, by_a2 = self._no_distance
            total += level + a * (by_a + a * by_a2)
        for name, worth_of in self._numbers:
            number = numbers[name]
            if not isnan(number):
                total += worth_of(number)
        if self._own is not None:
            total += self._own.of(numbers, car.categories[len(CAR_CATEGORIES) :], a)
        if self._fitness or self._fitness_by_age:
            years = _printed(numbers["fitness_age"])
            total += self._fitness.get(years, 0.0) + a * self._fitness_by_age.get(years, 0.0)
        if worth.by_engine:
            engine = "|".join([_printed(numbers[name]) for name in ENGINE])
            total += worth.by_engine.get(engine, 0.0)
        return total

    def _of_text(self, block: Block, text: str) -> float:
        """Return what the known terms of a text add, per unit of the block's basis."""
        known = self._coefficients[block.name]
        terms = [(term, value) for term, value in block.terms(text) if term in known]
        if not block.idf:
            return sum([known[term] * value for term, value in terms])
        idf = [self._idf[block.name][term] for term, _ in terms]
        added = sum([known[term] * each for (term, _), each in zip(terms, idf, strict=True)])
        return added / (hypot(*idf) or 1.0)

    def _of_equipment(self, names: Sequence[str], a: float) -> float:
        """Return what equipment adds by name and by its amount; ``a`` is the basis of age."""
        many = len(names) / 8
        worth = sum(map(self._equipment.get, names, _ZEROS)) + self._many * many
        by_age = sum(map(self._equipment_by_age.get, names, _ZEROS)) + self._many_by_age * many
        return worth + (0.0 if names else self._none) + a * by_age


def _by_model(worth: Worth) -> dict[str, dict[str, float]]:
    """Return what terms ``make|model|detail`` add, by ``make|model`` and then by detail."""
    found: dict[str, dict[str, float]] = {}
    for term, each in worth.items():
        key = DetailKey.read(term)
        found.setdefault(str(key.of_model), {})[key.detail] = each
    return found


def _worth_of_number(coefficients: Worth, name: str, number: float) -> float:
    # The ridge was fitted to numbers printed with six digits.
    terms = terms_of(name, number).items()
    return sum([coefficients.get(term, 0.0) * float(f"{value:g}") for term, value in terms])


_printed = lru_cache(maxsize=4096)(printed)
