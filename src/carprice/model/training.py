"""Fit the model, and refuse to learn from a column that knows the price."""

from collections.abc import Collection, Mapping
from typing import Final

from carprice.arrays import Each, Floats, Progress
from carprice.listings.believed import believed_rows
from carprice.listings.features import Features
from carprice.listings.leaks import refuse_leaks, refuse_too_good
from carprice.listings.market import Market
from carprice.model import PriceModel
from carprice.model.sampling import sample_of
from carprice.model.trust import judge_prices
from carprice.settings import TrainSettings

_ROWS_LOOKED_AT: Final = 200_000
"""Of more rows, so many are looked at for a column that knows the price."""


def train_model(
    features: Features,
    log_price: Floats,
    market: Market,
    settings: TrainSettings,
    columns: Mapping[str, str],
    progress: Progress,
    known: Collection[str] = (),
    trust: Floats | None = None,
    each: Each | None = None,
) -> PriceModel:
    """Fit a model on parsed listings and their ln(price).

    If a feature explains the price as only a column computed from it can, an InputError names its
    source column: ``columns`` has these by the field's name in files. ``known`` names the fields
    that are known of any car before there is a price, which may explain as much as they do.
    ``trust`` tells how far each price is believed, 0 to 1; if None, it is found here.
    ``each`` is a cluster's, to do there what :meth:`PriceModel.fit` does there; None to do it here.
    """
    if trust is None:
        progress("prices to believe")
        trust = judge_prices(features, log_price).trust
    rows = believed_rows(trust)
    rows = rows[sample_of(len(rows), _ROWS_LOOKED_AT)]
    believed, prices = features.take(rows), log_price[rows]
    progress("looking for columns that know the price")
    refuse_leaks(believed, prices, columns, known)
    model = PriceModel.fit(features, log_price, market, settings, progress, trust, each)
    refuse_too_good(model.metrics["mdape"], believed, prices, columns, known)
    return model
