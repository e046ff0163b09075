"""A model in use: what it answered, what the cars sold for, and what listings ask now."""

import datetime
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from carprice.listings.features import listings_of
from carprice.listings.frames import as_columns
from carprice.model import PriceModel
from carprice.monitoring.observations import read_fresh
from carprice.monitoring.observed import as_listings
from carprice.monitoring.outcomes import Kind, Outcome, OutcomeStore
from carprice.monitoring.records import ANSWER_COLUMNS
from carprice.schema import FIELDS
from carprice.settings import IngestSettings, SampleSettings

BEGUN = datetime.datetime(2025, 7, 1, tzinfo=datetime.UTC)


@dataclass(frozen=True)
class InUse:
    """Where it is written: the log, the outcomes beside it, and a file of fresh listings."""

    log: Path
    listings: Path


def in_use(
    folder: Path, model: PriceModel, *, factor: float = 1.0, cars: int = 400, days: int = 60
) -> InUse:
    """Write what came of a model: its answers for the sample's cars, of which half are sold.

    Parameters
    ----------
    factor : how many times what the model says the cars are sold and offered for.
    """
    settings = IngestSettings(source="sample", sample=SampleSettings(rows=cars + 200, seed=99))
    asked = read_fresh("sample", settings).iloc[:cars]
    day = pd.Series(pd.Timestamp(BEGUN.date()), index=asked.index)
    given = as_listings(asked[[*FIELDS]], model, day)
    priced = model.pricer.prices([*listings_of(as_columns(given))])
    moments = [BEGUN + datetime.timedelta(days=days * place / cars) for place in range(cars)]
    table = asked[[*FIELDS]].assign(
        quote_id=[f"q{place}" for place in range(cars)],
        answered_at=moments,
        route="/predict",
        model_version="1",
        model_digest=model.digest,
        alias="production",
        shadow=False,
        quoted_price=priced.price,
        problem="",
    )
    log = folder / "log"
    log.mkdir(parents=True)
    names = [name for name in (*ANSWER_COLUMNS, *FIELDS) if name in table]
    table[names].to_parquet(log / "a.parquet", index=False)
    noise = np.exp(np.random.default_rng(1).normal(0, 0.05, cars))
    sold = [
        Outcome(Kind.SOLD, float(price), moment.date(), f"q{place}")
        for place, (price, moment) in enumerate(
            zip(priced.price * noise * factor, moments, strict=True)
        )
        if place % 2
    ]
    store = OutcomeStore(str(log))
    store.add(sold, BEGUN)
    store.close()
    listings = folder / "listings.csv"
    fresh = asked[[*FIELDS]].assign(price=priced.price * noise * factor, listed_on=moments)
    fresh.to_csv(listings, index=False)
    return InUse(log, listings)
