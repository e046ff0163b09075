"""Predict ln(price) of one car with the hedonic ridge, by look-ups in dictionaries."""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial, reduce
from itertools import accumulate, repeat
from math import hypot, isnan, log, sqrt
from operator import itemgetter
from typing import Final, NamedTuple

import numpy as np

from carprice.arrays import Codes, Floats
from carprice.listings.features import CAR_CATEGORIES
from carprice.listings.keys import DetailKey, detail_key, without_last
from carprice.model.blocks import (
    BLOCKS,
    MAKE_AND_MODEL,
    OWN,
    POWERTRAIN,
    VARIANT,
    Block,
)
from carprice.model.car import Car, CarType
from carprice.model.explanation import factor_of, factor_of_category
from carprice.model.hedonic import (
    ENGINE,
    KM_KNOTS,
    LOGGED,
    NO_DISTANCE,
    SPEC,
    TAX,
    USUAL_KM,
    Hedonic,
    printed,
    quarters_before,
    terms_of,
    usual_of,
)
from carprice.model.own_terms import OwnWorth
from carprice.model.triples import NOTHING, Triple, minus, plus, triples

Worth = Mapping[str, float]
"""Term → what it adds to ln(price), per unit of a basis."""
Numbers = Mapping[str, float]
Spec = tuple[float, ...]

_KEPT_TEXTS: Final = 16_384
_KEPT_DISTANCES: Final = 4_096
_ZEROS: Final = repeat(0.0)
_KNOTS: Final = KM_KNOTS.tolist()
_BASES: Final = ("one", "a", "a2", "a2_half", "a3", "so", "so2", "lo", "a_so")
_CAR_TEXTS: Final = frozenset(
    {*CAR_CATEGORIES, "age", "model_age", "fitness", "engine", "owners", "no_distance", "own"}
    | {
        "model_engine",
        "model_spec",
        "model_spec_age",
        "model_tax",
        "equipment",
        "extent",
        "extent_a",
        "quarter",
    }
)
"""Texts of :data:`BLOCKS` that differ from car to car of a type."""
_SELLER: Final = CAR_CATEGORIES.index("seller")
SPEC_NUMBERS: Final = tuple(dict.fromkeys((*ENGINE, *SPEC, *TAX)))
_NO_SPEC: Final[tuple[Triple, Mapping[int, float]]] = NOTHING, {}
spec_of: Final = itemgetter(*SPEC_NUMBERS)
"""Returns the numbers of an engine of a car's numbers."""

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
    slopes : coefficients of the bases 1, a, a², a³, so, so², lo and a·so, see
        :func:`carprice.model.hedonic_fit.bases_of`.
    worths : the :data:`WORTHS` by name, and what make alone and model alone add, 0 where unseen,
        for the trees of model folders of before. ``slopes`` include them.
    by_age : age in whole years → what the model adds at that age.
    by_numbers : the model and the fuel, whose cars differ by their :data:`SPEC_NUMBERS`; None
        where nothing is known of these.
    """

    slopes: tuple[float, ...]
    worths: Mapping[str, float]
    by_age: Mapping[int, float]
    by_numbers: tuple[str, str] | None

    def with_more(self, more: Triple, years: Mapping[int, float]) -> "TypeWorth":
        """Return what the type and something else add, which adds more by age in whole years."""
        one, by_a, by_a2, by_a3, by_so, *others = self.slopes
        slopes = one + more[0], by_a + more[1], by_a2, by_a3, by_so + more[2], *others
        by_age = self.by_age
        if years:
            by_age = {**by_age, **{age: by_age.get(age, 0.0) + each for age, each in years.items()}}
        return TypeWorth(slopes, self.worths, by_age, self.by_numbers)


class Place(NamedTuple):
    """An age and a distance, as the ridge has them.

    Attributes
    ----------
    age : in whole years, as old as training knew at most.
    a, so, lo : bases, see :func:`carprice.model.hedonic_fit.bases_of`.
    added : what they add to ln(price) of any type.
    """

    age: int
    a: float
    so: float
    lo: float
    added: float

    def times(self, worth: Triple) -> float:
        """Return what adds so much per unit of the bases 1, a and so."""
        one, by_a, by_so = worth
        return one + self.a * by_a + self.so * by_so


class Places(NamedTuple):
    """Many ages and distances, as :class:`Place` has one, in arrays of one shape."""

    age: Codes
    a: Floats
    so: Floats
    lo: Floats
    added: Floats


class RidgeLookups:
    """The tables of a fitted ridge, made to predict one car at a time.

    Made of a :meth:`carprice.model.hedonic.Hedonic.part`, they predict what one factor adds.
    :meth:`log_price` is the sum of :meth:`at`, :meth:`of_day`, :meth:`of_spec`, :meth:`apart` and
    :meth:`of_equipment`, in one go: they are for cars that share most of them.
    """

    def __init__(self, hedonic: Hedonic) -> None:
        known = hedonic.known
        self._coefficients, self._idf, self._usual = known, hedonic.idf, hedonic.usual
        self._intercept = hedonic.intercept
        self._oldest = hedonic.oldest
        self._km_per_unit = hedonic.km_per_unit
        self._by_age = [
            worth + known["age"].get(str(age), 0.0) for age, worth in enumerate(hedonic.by_age)
        ]
        self._by_distance = hedonic.by_distance
        self._no_distance = [
            known[name].get(NO_DISTANCE, 0.0)
            for name in ("no_distance", "no_distance_a", "no_distance_a2")
        ]
        self._by_listed = known["listed"].get("", 0.0)  # in model folders of before
        steps = {int(term): step for term, step in known["quarter"].items()}
        self._last_quarter = max(steps, default=0)
        walk = (steps.get(quarter, 0.0) for quarter in range(1, self._last_quarter + 1))
        self._by_quarter = [*accumulate(walk, initial=0.0)]
        self._slopes = [*(np.diff(self._by_distance) / np.diff(KM_KNOTS)).tolist(), 0.0]
        # Those of kept listings are whole, and curves have round ones: they come again and again.
        self._age_at = lru_cache(maxsize=256)(self._find_age)
        self._distance_at = lru_cache(maxsize=_KEPT_DISTANCES)(self._find_distance)
        self._usual_distance = self._find_distance(USUAL_KM / self._km_per_unit)
        self._blocks_of: dict[str, list[Block]] = {}
        for block in BLOCKS:
            if block.text not in _CAR_TEXTS and known[block.name]:
                self._blocks_of.setdefault(block.text, []).append(block)
        # Types share names, fuels and words: what a text adds is mostly in the cache.
        self._of_text = lru_cache(maxsize=_KEPT_TEXTS)(self._find_of_text)
        self._years = {
            model: {int(age): worth for age, worth in of_model.items()}
            for model, of_model in _by_model(known["model_year"]).items()
        }
        self._by_numbers = [
            triples(known["model_engine"], {}, {}),
            triples(known["model_spec"], known["model_spec_a"], known["model_spec_so"]),
            triples(known["model_tax"], known["model_tax_a"], {}),
        ]
        self._years_of_spec: dict[str, dict[int, float]] = {}
        for term, added in known["model_spec_year"].items():
            of_model, years = without_last(term)
            self._years_of_spec.setdefault(of_model, {})[int(years)] = added
        # A model has few engines: what they add is mostly in the cache.
        self._of_numbers = lru_cache(maxsize=8192)(self._find_of_numbers)
        self._fitness, self._fitness_by_age = known["fitness"], known["fitness_a"]
        self._categories = [known[name] for name in CAR_CATEGORIES]
        self._seller_by_age = known["seller_a"]
        worths = (
            known["engine"] | known["owners"],
            known["engine_a"] | known["owners_a"],
            known["engine_so"],
        )
        # Cars share few displacements, powers and seats: what they add is mostly in the cache.
        self._numbers = [
            (name, lru_cache(maxsize=1024)(partial(_worths_of_number, worths, name)))
            for name in (*LOGGED, "seats", "ownership")
            if any(worth.keys() & terms_of(name, 1.0) for worth in worths)
        ]
        self._own = OwnWorth(hedonic) if hedonic.own else None
        self._equipment, self._equipment_by_age = known["equipment"], known["equipment_a"]
        self._many, self._none = (known["extent"].get(name, 0.0) for name in ("many", "none"))
        self._many_by_age = known["extent_a"].get("many", 0.0)
        numbers = [(name, _of_known(worth_of)) for name, worth_of in self._numbers]
        if self._fitness or self._fitness_by_age:
            numbers.append(("fitness_age", self._of_fitness))
        of_texts = [triples(worth, {}, {}) for worth in self._categories]
        of_texts[_SELLER] = triples(self._categories[_SELLER], self._seller_by_age, {})
        self._by_text = [*zip(map(factor_of_category, CAR_CATEGORIES), of_texts, strict=True)]
        if self._own is not None:
            numbers += [(name, _of_known(worth_of)) for name, worth_of in self._own.numbers]
            self._by_text += [(OWN, worth) for worth in self._own.texts]
        self.of_categories = lru_cache(maxsize=4096)(self._find_of_categories)
        self._by_number = [(name, factor_of(name), worth_of) for name, worth_of in numbers]

    def of_type(self, car_type: CarType) -> TypeWorth:
        """Return what a type adds."""
        own = car_type.texts
        make, model = own["make"], own["model"]
        words = DetailKey.read(own["model_variant"]).detail
        kind = "|".join((own["fuel"], own["transmission"], own["body"]))
        powertrain = detail_key(make, own["fuel"], own["transmission"])
        texts = {**own, "": "", "kind": kind, "words": words, "make_powertrain": powertrain}
        sums, variant = dict.fromkeys(_BASES, 0.0), dict.fromkeys(_BASES, 0.0)
        worths = dict.fromkeys(WORTHS, 0.0)
        for text in self._blocks_of:
            for block, name, worth in self._of_text(text, texts[text]):
                own_sums = variant if block.factor == VARIANT else sums
                own_sums[block.basis] += worth
                if name:
                    worths[name] += worth
        known, usual = self._coefficients, self._usual
        if known["word"] and usual.get(VARIANT) and known["word"].keys().isdisjoint(words.split()):
            worths["age"] -= variant["a"]
            variant = {"one": usual_of(usual[VARIANT], model, make)}
            worths["variant"] = variant["one"]
        for name, key in (("make", make), ("model", model)):
            if usual.get(name) and key not in known[name]:
                more = usual_of(usual[name], make)
                sums["one"] += more
                worths["names"] += more
        sums["one"] += self._intercept
        for basis, worth in variant.items():
            sums[basis] += worth
        sums["a2"] += 0.7 * sums.pop("a2_half")
        return TypeWorth(
            slopes=tuple(sums.values()),
            worths={
                **worths,
                "make": known["make"].get(make, 0.0),
                "model": known["model"].get(model, 0.0),
            },
            by_age=self._years.get(model, {}),
            by_numbers=(model, own["fuel"]) if any(self._by_numbers) else None,
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
        one, by_a, by_a2, by_a3, by_so, by_so2, by_lo, by_a_so = worth.slopes
        of_equipment = self.of_equipment(car.equipment)
        total: float = (
            one
            + a * (by_a + a * (by_a2 + a * by_a3) + so * by_a_so)
            + so * (by_so + so * by_so2)
            + by_lo * (log(km) - 10.8)
            + self._by_listed * numbers["listed"]
            + self._by_quarter[min(quarters_before(numbers["listed"]), self._last_quarter)]
            + self._by_age[int(age)]
            + self._by_distance[knot]
            + self._slopes[knot] * (km - _KNOTS[knot])
            + worth.by_age.get(int(age), 0.0)
            + sum(map(dict.get, self._categories, car.categories, _ZEROS))
            + (of_equipment[0] + a * of_equipment[1])
        )
        if not has_distance:
            level, by_a, by_a2 = self._no_distance
            total += level + a * (by_a + a * by_a2)
        for name, worth_of in self._numbers:
            number = numbers[name]
            if not isnan(number):
                added, by_age, by_distance = worth_of(number)
                total += added + a * by_age + so * by_distance
        if self._own is not None:
            added, by_age = self._own.of(numbers, car.categories[len(CAR_CATEGORIES) :])
            total += added + a * by_age
        if self._seller_by_age:
            total += a * self._seller_by_age.get(car.categories[_SELLER], 0.0)
        if self._fitness or self._fitness_by_age:
            printed_years = _printed(numbers["fitness_age"])
            total += self._fitness.get(printed_years, 0.0)
            total += a * self._fitness_by_age.get(printed_years, 0.0)
        if worth.by_numbers:
            of_numbers, years = self._of_numbers(*worth.by_numbers, *spec_of(numbers))
            added, by_age, by_distance = of_numbers
            total += added + a * by_age + so * by_distance + years.get(int(age), 0.0)
        return total

    def place_of(self, age: float, odometer: float) -> Place:
        """Return an age in years and a distance in the market's unit, which may be NaN."""
        years, a, of_age, of_unknown = self._age_at(age)
        if isnan(odometer):
            so, lo, added = self._usual_distance
            return Place(years, a, so, lo, of_age + added + of_unknown)
        so, lo, added = self._distance_at(odometer)
        return Place(years, a, so, lo, of_age + added)

    def _find_age(self, age: float) -> tuple[int, float, float, float]:
        """Return whole years, the basis a, and what they and an unknown distance then add."""
        age = min(age, self._oldest)
        years, a = int(age), age / 5 - 1.4
        level, by_a, by_a2 = self._no_distance
        return years, a, self._by_age[years], level + a * (by_a + a * by_a2)

    def _find_distance(self, odometer: float) -> tuple[float, float, float]:
        """Return the bases so and lo of a distance, and what it adds."""
        km = min(max(odometer * self._km_per_unit, _KNOTS[0]), _KNOTS[-1])
        knot = bisect_right(_KNOTS, km) - 1
        added = self._by_distance[knot] + self._slopes[knot] * (km - _KNOTS[knot])
        return sqrt(km / 50_000) - 1, log(km) - 10.8, added

    def at(self, worth: TypeWorth, place: Place) -> float:
        """Return what a type, an age and a distance add to ln(price)."""
        years, a, so, lo, added = place
        one, by_a, by_a2, by_a3, by_so, by_so2, by_lo, by_a_so = worth.slopes
        of_type = one + a * (by_a + a * (by_a2 + a * by_a3) + so * by_a_so)
        of_type += so * (by_so + so * by_so2) + by_lo * lo + worth.by_age.get(years, 0.0)
        return of_type + added

    @property
    def oldest(self) -> int:
        """The oldest age in years that training knew."""
        return self._oldest

    def places_of(self, ages: Floats, odometers: Floats) -> Places:
        """Return many ages and distances, as :meth:`place_of` does one."""
        ages, km = np.minimum(ages, self._oldest), odometers * self._km_per_unit
        is_unknown = np.isnan(km)
        km = np.where(is_unknown, USUAL_KM, np.clip(km, _KNOTS[0], _KNOTS[-1]))
        knots = np.searchsorted(KM_KNOTS, km, side="right") - 1
        a, years = ages / 5 - 1.4, ages.astype(np.intp)
        added = np.array(self._by_age)[years] + np.array(self._by_distance)[knots]
        added += np.array(self._slopes)[knots] * (km - KM_KNOTS[knots])
        level, by_a, by_a2 = self._no_distance
        added += np.where(is_unknown, level + a * (by_a + a * by_a2), 0.0)
        return Places(years, a, np.sqrt(km / 50_000) - 1, np.log(km) - 10.8, added)

    def at_places(self, slopes: Floats, worth: Floats, places: Places) -> Floats:
        """Return what types, ages and distances add to ln(price), but for their years by name.

        Parameters
        ----------
        slopes : of the types, see :attr:`TypeWorth.slopes`, along the first axis.
        worth : a :data:`Triple` for each type, along the first axis, that is added.
        """
        _, a, so, lo, added = places
        one, by_a, by_a2, by_a3, by_so, by_so2, by_lo, by_a_so = slopes
        of_type = one + a * (by_a + a * (by_a2 + a * by_a3) + so * by_a_so)
        of_type += so * (by_so + so * by_so2) + by_lo * lo
        return np.asarray(of_type + added + (worth[0] + a * worth[1] + so * worth[2]))

    def of_day(self, listed: float) -> float:
        """Return what the day of a listing adds, by its years after the valuation date."""
        quarter = min(quarters_before(listed), self._last_quarter)
        return self._by_listed * listed + self._by_quarter[quarter]

    def of_spec(self, worth: TypeWorth, spec: Spec) -> tuple[Triple, Mapping[int, float]]:
        """Return what a type's model adds for a :func:`spec_of`, and what more by age in years."""
        return self._of_numbers(*worth.by_numbers, *spec) if worth.by_numbers else _NO_SPEC

    def apart(self, car: Car, other: Car | None = None) -> dict[str, Triple]:
        """Return what a car's attributes add more than another car's, or in all, by factor.

        These are all but type, age, distance, day, :data:`SPEC_NUMBERS` of the model and
        equipment; the factors those of :data:`carprice.model.explanation.MIXED`. What is the same
        is left out.
        """
        mine, found = car.numbers, dict[str, Triple]()
        theirs: Mapping[str, float | None] = {} if other is None else other.numbers
        for name, factor, of_number in self._by_number:
            if (own := mine[name]) != (its := theirs.get(name)):
                more = minus(of_number(own), of_number(its))
                found[factor] = plus(found[factor], more) if factor in found else more
        texts = repeat(None) if other is None else other.categories
        for (factor, of_text), text, was in zip(self._by_text, car.categories, texts, strict=False):
            if text != was:
                less = NOTHING if was is None else of_text.get(was, NOTHING)
                more = minus(of_text.get(text, NOTHING), less)
                found[factor] = plus(found[factor], more) if factor in found else more
        return found

    @property
    def numbers(self) -> Mapping[str, Callable[[float | None], Triple]]:
        """What a number of a car adds, by its name; an unknown one adds nothing."""
        return {name: of_number for name, _, of_number in self._by_number}

    def of_car(self, car: Car) -> Triple:
        """Return what :meth:`apart` and equipment add in all."""
        one, by_age, by_distance = self.of_equipment(car.equipment)
        numbers = car.numbers
        of_numbers = [of_number(numbers[name]) for name, _, of_number in self._by_number]
        for added in (*of_numbers, self.of_categories(tuple(car.categories))):
            one += added[0]
            by_age += added[1]
            by_distance += added[2]
        return one, by_age, by_distance

    def _find_of_categories(self, texts: Sequence[str]) -> Triple:
        """Return what the categories of a car add, in their order."""
        pairs = zip(self._by_text, texts, strict=False)
        return reduce(plus, (known.get(text, NOTHING) for (_, known), text in pairs), NOTHING)

    def of_equipment(self, names: Sequence[str]) -> Triple:
        """Return what equipment adds by name and by its amount."""
        many = len(names) / 8
        worth = sum(map(self._equipment.get, names, _ZEROS)) + self._many * many
        by_age = sum(map(self._equipment_by_age.get, names, _ZEROS)) + self._many_by_age * many
        return worth + (0.0 if names else self._none), by_age, 0.0

    def _of_fitness(self, years: float | None) -> Triple:
        if years is None:
            return NOTHING
        text = _printed(years)
        return self._fitness.get(text, 0.0), self._fitness_by_age.get(text, 0.0), 0.0

    def _find_of_numbers(
        self, model: str, fuel: str, *values: float
    ) -> tuple[Triple, Mapping[int, float]]:
        """Return what a model's :data:`SPEC_NUMBERS` add, and what more at an age in years."""
        texts = dict(zip(SPEC_NUMBERS, map(printed, values), strict=True))
        engine, spec, tax = ([texts[name] for name in names] for names in (ENGINE, SPEC, TAX))
        terms = detail_key(model, *engine), detail_key(model, *spec, fuel), detail_key(model, *tax)
        found = [
            worth.get(term, NOTHING) for worth, term in zip(self._by_numbers, terms, strict=True)
        ]
        one, by_a, by_so = map(sum, zip(*found, strict=True))
        return (one, by_a, by_so), self._years_of_spec.get(terms[1], {})

    def _find_of_text(self, name: str, text: str) -> tuple[tuple[Block, str | None, float], ...]:
        """Return what a text of a type adds: the blocks that know it, and what each counts to."""
        worths = ((block, self._of_block(block, text)) for block in self._blocks_of[name])
        return tuple((block, worth_of(block), worth) for block, worth in worths if worth)

    def _of_block(self, block: Block, text: str) -> float:
        """Return what the known terms of a text add, per unit of the block's basis."""
        known = self._coefficients[block.name]
        terms = [(term, value) for term, value in block.terms(text) if term in known]
        if not block.idf:
            return sum([known[term] * value for term, value in terms])
        idf = [self._idf[block.name][term] for term, _ in terms]
        added = sum([known[term] * each for (term, _), each in zip(terms, idf, strict=True)])
        return added / (hypot(*idf) or 1.0)


def _of_known(worth_of: Callable[[float], Triple]) -> Callable[[float | None], Triple]:
    """Return what a number adds that may be unknown, and then adds nothing."""
    return lambda number: NOTHING if number is None or isnan(number) else worth_of(number)


def _by_model(worth: Worth) -> dict[str, dict[str, float]]:
    """Return what terms ``make|model|detail`` add, by ``make|model`` and then by detail."""
    found: dict[str, dict[str, float]] = {}
    for term, each in worth.items():
        key = DetailKey.read(term)
        found.setdefault(str(key.of_model), {})[key.detail] = each
    return found


def _worths_of_number(coefficients: tuple[Worth, Worth, Worth], name: str, number: float) -> Triple:
    """Return what a number adds per unit of the bases 1, a and so."""
    # The ridge was fitted to numbers printed with six digits.
    terms = {term: float(f"{value:g}") for term, value in terms_of(name, number).items()}
    one, by_a, by_so = (
        sum([worth.get(term, 0.0) * value for term, value in terms.items()])
        for worth in coefficients
    )
    return one, by_a, by_so


_printed = lru_cache(maxsize=4096)(printed)
