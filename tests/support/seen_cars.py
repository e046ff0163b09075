"""Cars of the sample market as a prediction log and as observed prices."""

from typing import Any

import pandas as pd

from carprice.arrays import quiet
from carprice.listings.cells import with_texts
from carprice.listings.features import listings_of
from carprice.listings.frames import as_columns
from carprice.listings.reading import clean_source, read_source
from carprice.model import PriceModel
from carprice.monitoring import records
from carprice.schema import PRICE
from carprice.settings import IngestSettings


def drawn(rows: int, seed: int) -> pd.DataFrame:
    """Return cleaned listings of the sample market, in random order."""
    settings = IngestSettings.model_validate(
        {"source": "sample", "sample": {"rows": rows, "seed": seed}}
    )
    listings = with_texts(clean_source(read_source(settings, quiet), settings).frame)
    return listings.sample(frac=1, random_state=seed, ignore_index=True)


def answered(model: PriceModel, listings: pd.DataFrame, **more: Any) -> pd.DataFrame:
    """Return a prediction log: each listing, priced on its day."""
    bare = listings.drop(columns=PRICE)
    return bare.assign(
        **{
            records.QUOTE_ID: [f"q{row}" for row in range(len(listings))],
            records.ANSWERED_AT: pd.to_datetime(listings["listed_on"], utc=True),
            records.VALUATION_DATE: listings["listed_on"],
            records.PRICE: model.pricer.prices(listings_of(as_columns(bare))).price,
            records.CAUTIONS: [[] for _ in range(len(listings))],
            records.SHADOW: False,
            records.PROBLEM: "",
        }
        | more
    )


def observed(listings: pd.DataFrame, **more: Any) -> pd.DataFrame:
    """Return observations: each listing as it was listed."""
    return listings.drop(columns=PRICE).assign(
        **{
            records.SOURCE: records.LISTED,
            records.OBSERVED_PRICE: listings[PRICE],
            records.OBSERVED_ON: listings["listed_on"],
        }
        | more
    )
