"""What a model needs to judge asking prices: the cuts of the labels, and where none is given."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from carprice.arrays import Floats

if TYPE_CHECKING:
    from carprice.settings import DealSettings


@dataclass(frozen=True)
class DealLimits:
    """The cuts of the labels, and the limits beyond which no label is given.

    Attributes
    ----------
    cuts : percentiles between ``great``, ``good``, ``fair``, ``high`` and ``overpriced``.
    widest : the upper end of a range at 90 % over its lower end.
    oldest : age in years.
    dearest : predicted price.
    """

    cuts: tuple[float, float, float, float]
    widest: float
    oldest: float
    dearest: float

    @classmethod
    def of(cls, settings: "DealSettings", age: Floats, price: Floats) -> Self:
        """Return the limits for the ages and prices of the training rows."""
        oldest = float(np.quantile(age, settings.oldest))
        dearest = float(np.quantile(price, settings.dearest))
        return cls(settings.cuts, settings.widest, oldest, dearest)

    def to_json(self) -> dict[str, Any]:
        """Return them as plain JSON values."""
        return {**asdict(self), "cuts": [*self.cuts]}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        great, good, fair, high = content["cuts"]
        limits = (float(content[name]) for name in ("widest", "oldest", "dearest"))
        return cls((great, good, fair, high), *limits)
