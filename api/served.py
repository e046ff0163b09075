"""The served model: where it came from, and what its answers say of it."""

import datetime
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, ClassVar, Final, Literal, Self

from api.bodies import ListingRequest
from api.parsing import PLAIN, Batch, ListingForm
from api.problems import ProblemError
from carprice.appraisal.appraisal import appraise_the_example
from carprice.appraisal.deal import value_all_with_deals, value_with_deal
from carprice.errors import CorruptModelError
from carprice.model import PriceModel
from carprice.model.cautions import Caution
from carprice.model.pricer import Valuation
from carprice.model.trial import price_the_example

logger = logging.getLogger("carprice.service")
ModelSource = Literal["registry", "cache", "image"]
PricedRow = Valuation | ProblemError
"""A row of a batch: its price, or why it has none."""
SHORT_DIGEST: Final = 12
_NOT_USED = Caution("not_used", "featureCount", "featureCount is not used; send features")
_NOT_JUDGED = Caution(
    "not_used",
    "askingPrice",
    "askingPrice is not used here; send it to /predict, /predict/batch or /appraise",
)


@dataclass(frozen=True)
class ServedModel:
    """A loaded model, and where it came from.

    Attributes
    ----------
    version : its number in the registry; of an image's model the start of its digest.
    source : the registry, the cache of the last known good model, or the image.
    since : when the registry last confirmed it; of an image's model when that was made.
    loaded : when this process loaded it.
    alias : under which alias the registry has it.
    """

    alias: ClassVar[Literal["production", "challenger"]] = "production"

    model: PriceModel
    version: str
    source: ModelSource
    since: datetime.datetime
    loaded: datetime.datetime

    @classmethod
    def of(
        cls,
        model: PriceModel,
        version: str,
        *,
        source: ModelSource = "registry",
        since: datetime.datetime | None = None,
    ) -> Self:
        """Return the served model; ``since`` is now where it is not given.

        :class:`CorruptModelError` if it cannot price a listing or tell a part of its appraisal, as
        one that another version of carprice trained.
        """
        try:
            price_the_example(model)
            appraise_the_example(model)
        except CorruptModelError:
            logger.warning("The model does not appraise the example listing", exc_info=True)
            raise
        now = datetime.datetime.now(datetime.UTC)
        return cls(model, version, source, since or now, now)

    @cached_property
    def form(self) -> ListingForm:
        """What a listing may hold that this model prices."""
        return ListingForm(self.model.own) if self.model.own else PLAIN

    def value(
        self, listing: ListingRequest, confidence: float, *, judges: bool = True
    ) -> Valuation:
        """Price one listing, and judge its asking price if it has one and that is asked for."""
        asked = listing.asking_price if judges else None
        valuation = value_with_deal(self.model, vars(listing), asked, confidence)
        return _with_unused(valuation, listing, judges=judges)

    def value_all(self, batch: Batch) -> list[PricedRow]:
        """Price the rows that could be read together; the order is kept."""
        listings = [row for row in batch.rows if isinstance(row, ListingRequest)]
        prices = self.values(listings, batch.confidence, judges=batch.judges)
        return [row if isinstance(row, ProblemError) else next(prices) for row in batch.rows]

    def values(
        self, listings: Sequence[ListingRequest], confidence: float, *, judges: bool = True
    ) -> Iterator[Valuation]:
        """Do the same as :meth:`value` for many listings, whose trees run together."""
        fields = map(vars, listings)
        asked = [listing.asking_price if judges else None for listing in listings]
        if any(price is not None for price in asked):
            found = value_all_with_deals(self.model, fields, asked, confidence)
        else:
            found = self.model.pricer.value_all(fields, confidence)
        return map(partial(_with_unused, judges=judges), found, listings)

    def content(self, confidence: float) -> dict[str, Any]:
        """Return what all answers with prices say of their model."""
        return {**self.model.content(confidence), "modelVersion": self.version}


class ChallengerModel(ServedModel):
    """A loaded challenger; its answers say that they are by it."""

    alias = "challenger"

    def content(self, confidence: float) -> dict[str, Any]:
        """Return what its answers say of it."""
        return {**super().content(confidence), "alias": self.alias}


def _with_unused(
    valuation: Valuation, listing: ListingRequest, *, judges: bool = True
) -> Valuation:
    if "feature_count" in listing.model_fields_set:
        valuation = replace(valuation, cautions=(*valuation.cautions, _NOT_USED))
    if not judges and listing.asking_price is not None:
        valuation = replace(valuation, cautions=(*valuation.cautions, _NOT_JUDGED))
    return valuation
