"""The market that listings come from: written by ingest, kept in the model folder."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from carprice.listings.units import km_per_unit


@dataclass(frozen=True)
class Market:
    """Currency, distance unit, valuation date, and the digest of the training data."""

    currency: str
    distance_unit: str
    valuation_date: datetime.date
    data_digest: str

    @property
    def km_per_unit(self) -> float:
        """Kilometres in the market's distance unit."""
        return km_per_unit(self.distance_unit)

    def to_json(self) -> dict[str, str]:
        """Return the market as plain JSON values."""
        return {
            "currency": self.currency,
            "distance_unit": self.distance_unit,
            "valuation_date": self.valuation_date.isoformat(),
            "data_digest": self.data_digest,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, str]) -> Self:
        """Read what :meth:`to_json` wrote."""
        day = datetime.date.fromisoformat(content["valuation_date"])
        return cls(content["currency"], content["distance_unit"], day, content["data_digest"])
