"""The names that training had: makes, their models, their variants; and which are like another."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Self

from carprice.listings.features import normalise
from carprice.listings.keys import DetailKey, ModelKey
from carprice.listings.variants import parse_variant
from carprice.model.hedonic import Hedonic

_LEAST_LIKENESS: Final = 75
_MOST_SHOWN: Final = 3


@dataclass(frozen=True)
class Vocabulary:
    """Known names in their normalised spellings, sorted.

    Attributes
    ----------
    makes : make → model → its variants.
    """

    makes: Mapping[str, Mapping[str, tuple[str, ...]]]

    @classmethod
    def of(cls, hedonic: Hedonic) -> Self:
        """Collect the names that a ridge has learned."""
        makes: dict[str, dict[str, list[str]]] = {
            make: {} for make in sorted(hedonic.coefficients["make"])
        }
        for make, model in map(ModelKey.read, sorted(hedonic.coefficients["model"])):
            makes.setdefault(make, {})[model] = []
        for make, model, variant in map(DetailKey.read, sorted(hedonic.coefficients["variant"])):
            if variant:
                makes.setdefault(make, {}).setdefault(model, []).append(variant)
        return cls(
            {
                make: {model: tuple(variants) for model, variants in models.items()}
                for make, models in makes.items()
            }
        )

    def nearest_makes(self, name: str) -> tuple[str, ...]:
        """Return up to three makes that are spelled like the name, the likest first.

        Examples
        --------
        >>> Vocabulary({"kia": {}, "maruti": {}}).nearest_makes("MARUTTI")
        ('maruti',)
        """
        return _nearest(normalise(name), tuple(self.makes))

    def nearest_models(self, make: str, name: str) -> tuple[str, ...]:
        """Return up to three of the make's models that are spelled like the name."""
        return _nearest(normalise(name), tuple(self._models(make)))

    def nearest_variants(self, make: str, model: str, name: str) -> tuple[str, ...]:
        """Return up to three of the model's variants that share most words with the name.

        Examples
        --------
        >>> known = Vocabulary({"maruti": {"swift": ("VXI", "VXI AMT", "ZXI PLUS")}})
        >>> known.nearest_variants("Maruti", "Swift", "VXi 1.2 AMT"), known.nearest_makes("Fiat")
        (('VXI AMT', 'VXI'), ())
        """
        known = self._models(make).get(normalise(model), ())
        return _nearest(parse_variant(name).text, known)

    def _models(self, make: str) -> Mapping[str, tuple[str, ...]]:
        return self.makes.get(normalise(make), {})


@lru_cache(maxsize=4096)
def _nearest(name: str, known: tuple[str, ...]) -> tuple[str, ...]:
    """Order by the words in common, where many are alike by the whole spelling."""
    from rapidfuzz import fuzz, process  # not for a start to wait for

    found: Iterable[tuple[str, float, int]] = process.extract(
        name, known, scorer=fuzz.token_ratio, score_cutoff=_LEAST_LIKENESS, limit=None
    )
    likest = sorted(found, key=lambda one: (-one[1], -fuzz.ratio(name, one[0]), one[0]))
    return tuple(text for text, _, _ in likest[:_MOST_SHOWN])
