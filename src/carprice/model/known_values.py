"""The values of categories and equipment that training had, and what of a listing is not known."""

from collections.abc import Iterable
from functools import lru_cache
from statistics import pvariance
from typing import Any, Final, NamedTuple

from carprice.listings.features import (
    CAR_CATEGORIES,
    CATEGORIES,
    equipment_of,
    kept_by_equipment,
    name_of,
    text_of,
)
from carprice.listings.synonyms import folded, known_spelling
from carprice.model.cautions import Caution
from carprice.model.hedonic import Hedonic
from carprice.model.own_terms import by_text
from carprice.model.vocabulary import nearest_of
from carprice.schema import alias, is_own, own_texts

TYPE_KINDS: Final = tuple(name for name in CATEGORIES if name not in CAR_CATEGORIES)
_EQUIPMENT: Final = "equipment"
_LEAST_VARIANCE: Final = 0.05**2  # of ln(price)
_MOST_NAMED: Final = 10


class Unseen(NamedTuple):
    """What of a listing is not known: the cautions, and what it leaves open of ln(price)."""

    cautions: tuple[Caution, ...] = ()
    variance: float = 0.0


class KnownValues:
    """Reads values as training knew them; one that it did not know counts as missing.

    Attributes
    ----------
    by_category : category, own column of texts, or ``equipment`` → the values that training
        had, sorted.
    name_of : reads a category's value; empty if it is not known.
    equipment_of : reads the known names among those of a listing's equipment, sorted.
    unseen_of_car : finds what is not known of equipment and of the :data:`CAR_CATEGORIES`.
    """

    def __init__(self, hedonic: Hedonic) -> None:
        known = hedonic.coefficients
        self.by_category = {
            name: tuple(sorted(filter(None, known.get(name, {}))))
            for name in (*CATEGORIES, _EQUIPMENT)
        }
        worths = {name: known.get(name, {}) for name in self.by_category}
        for name in own_texts(hedonic.own):
            worths[name] = by_text(known.get("own", {}), name)
            self.by_category[name] = tuple(sorted(filter(None, worths[name])))
        self._of_car = (*CAR_CATEGORIES, *own_texts(hedonic.own))
        self._sets = {name: frozenset(values) for name, values in self.by_category.items()}
        self._by_fold = {folded(name): name for name in self.by_category[_EQUIPMENT]}
        self._variances = {
            name: max(pvariance(worths[name].values()), _LEAST_VARIANCE)
            for name, values in self.by_category.items()
            if values
        }
        self.name_of = lru_cache(maxsize=8192)(self._name_of)
        self.equipment_of = kept_by_equipment(self._find_equipment, most=8192)
        self.unseen_of_car = kept_by_equipment(self._find_unseen_of_car, most=8192)

    def unseen_of_type(self, *values: Any) -> Unseen:
        """Return what is not known of a listing's transmission, body, fuel and drive."""
        return self._find_unseen(TYPE_KINDS, *values)

    def _name_of(self, category: str, value: Any) -> str:
        text = name_of(category, value) if is_own(category) else text_of(value)
        return known_spelling(category, text, self._sets[category]) if text else ""

    def _find_equipment(self, features: Any) -> tuple[str, ...]:
        return tuple(sorted({*map(self._known_name, equipment_of(features))} - {""}))

    def _known_name(self, name: str) -> str:
        return name if name in self._sets[_EQUIPMENT] else self._by_fold.get(folded(name), "")

    def _find_unseen(self, categories: Iterable[str], *values: Any) -> Unseen:
        unseen = [
            (name, value)
            for name, value in zip(categories, values, strict=True)
            if self.by_category[name] and name_of(name, value) and not self.name_of(name, value)
        ]
        return Unseen(
            tuple(self._caution(name, CATEGORIES.get(name, name), value) for name, value in unseen),
            sum(self._variances[name] for name, _ in unseen),
        )

    def _find_unseen_of_car(self, features: Any, *values: Any) -> Unseen:
        found = self._find_unseen(self._of_car, *values)
        names = [name for name in equipment_of(features) if not self._known_name(name)]
        if not names or not self.by_category[_EQUIPMENT]:
            return found
        caution = self._caution(_EQUIPMENT, "features", *names)
        variance = found.variance + self._variances[_EQUIPMENT]
        return Unseen((*found.cautions, caution), variance)

    def _caution(self, category: str, field: str, *unseen: str) -> Caution:
        known = self.by_category[category]
        named = unseen[:_MOST_NAMED]
        if near := {name: None for one in named for name in nearest_of(text_of(one), known)}:
            remedy = f"nearest known: {', '.join(near)}"
        else:
            remedy = f"known: {', '.join(known[:_MOST_NAMED])}"
            if len(known) > _MOST_NAMED:
                remedy += f" and {len(known) - _MOST_NAMED} more"
        told = ", ".join(map(repr, named))
        message = f"{alias(field)} {told} was not in the training data; priced as if not known"
        return Caution("unseen_value", alias(field), f"{message}; {remedy}")
