"""Transform: training listings → features and the target, ln(price)."""

import numpy as np

from carprice.arrays import Coded
from carprice.components.workspace import Workspace, read_json, require_output
from carprice.files import writing
from carprice.listings.believed import PRICE_TRUST
from carprice.listings.frames import parse_listings, read_listings, write_features
from carprice.listings.market import Market
from carprice.schema import PRICE


def transform(workspace: Workspace) -> int:
    """Parse the training listings and write their features; return their number."""
    listings = read_listings(require_output(workspace.train_listings, made_by="ingest"))
    market = Market.from_json(read_json(workspace.market, made_by="ingest"))
    features = parse_listings(listings, market, Coded)
    with writing(workspace.train_features) as path:
        log_price = np.log(listings[PRICE].to_numpy(dtype=np.float64))
        trust = None
        if PRICE_TRUST in listings:
            trust = listings[PRICE_TRUST].to_numpy(dtype=np.float64)
        write_features(path, features, log_price, market.data_digest, trust)
    return len(features)
