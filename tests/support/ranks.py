"""The rank of one car among its comparables, as an appraisal tells these."""

from carprice.appraisal.comparables import FEWEST_RANKED, Rank, comparables_of
from carprice.model import PriceModel
from carprice.model.pricer import Listing


def rank_of(model: PriceModel, listing: Listing, asking: float) -> Rank | None:
    """Return what :func:`carprice.appraisal.comparables.ranks_of` is to say of a car."""
    adjusted = [one.adjusted_price for one in comparables_of(model, listing).listings]
    if len(adjusted) < FEWEST_RANKED:
        return None
    return Rank(1 + sum(price < asking for price in adjusted), len(adjusted) + 1)
