"""The names that training had: makes, models, variants, values; and which are like another."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, Self

from carprice.listings.features import CATEGORIES
from carprice.listings.keys import DetailKey, ModelKey
from carprice.listings.spelling import normalise
from carprice.listings.variants import parse_variant
from carprice.model.hedonic import Hedonic
from carprice.model.own_terms import by_text
from carprice.schema import alias, own_texts

_LEAST_LIKENESS: Final = 75
_MOST_SHOWN: Final = 3


@dataclass(frozen=True)
class Vocabulary:
    """Known names in their normalised spellings, sorted: make → model → its variants.

    ``values`` has those of the categories and of the equipment, by the listing's field.
    """

    makes: Mapping[str, Mapping[str, tuple[str, ...]]]
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, hedonic: Hedonic) -> Self:
        """Collect the names that a ridge has learned."""
        makes, models, variants = (
            sorted(hedonic.coefficients[block]) for block in ("make", "model", "variant")
        )
        found: dict[str, dict[str, tuple[str, ...]]] = {make: {} for make in makes}
        for make, model in map(ModelKey.read, models):
            found.setdefault(make, {})[model] = ()
        for make, model, variant in map(DetailKey.read, variants):
            if variant:
                of_make = found.setdefault(make, {})
                of_make[model] = (*of_make.get(model, ()), variant)
        blocks = {**CATEGORIES, "equipment": "features"}
        values = {
            alias(name): tuple(sorted(filter(None, hedonic.coefficients.get(block, {}))))
            for block, name in blocks.items()
        }
        for name in own_texts(hedonic.own):
            texts = by_text(hedonic.coefficients["own"], name)
            values[alias(name)] = tuple(sorted(filter(None, texts)))
        return cls(found, values)

    def nearest(self, *names: str) -> tuple[str, ...]:
        """Return up to three known names that are like the last one, the likest first.

        Parameters
        ----------
        names : a make; a make and its model; or these and a variant, which is told by its words.

        Examples
        --------
        >>> known = Vocabulary({"maruti": {"swift": ("VXI", "VXI AMT", "ZXI PLUS")}})
        >>> known.nearest("MARUTTI"), known.nearest("Maruti", "Swift", "VXi 1.2 AMT")
        (('maruti',), ('VXI AMT', 'VXI'))
        """
        *parents, name = names
        known: Any = self.makes
        for parent in parents:
            known = known.get(normalise(parent), {})
        is_variant = len(parents) == 2
        return nearest_of(parse_variant(name).text if is_variant else normalise(name), tuple(known))


@lru_cache(maxsize=4096)
def nearest_of(name: str, known: tuple[str, ...]) -> tuple[str, ...]:
    """Return the few nearest of known names: by the words in common, then by the whole spelling."""
    from rapidfuzz import fuzz, process  # not for a start to wait for

    found: Iterable[tuple[str, float, int]] = process.extract(
        name, known, scorer=fuzz.token_ratio, score_cutoff=_LEAST_LIKENESS, limit=None
    )
    likest = sorted(found, key=lambda one: (-one[1], -fuzz.ratio(name, one[0]), one[0]))
    return tuple(text for text, _, _ in likest[:_MOST_SHOWN])
