from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from carprice.components.transform import transform
from carprice.components.workspace import Workspace, read_json
from carprice.listings.features import NUMBERS, parse
from carprice.listings.frames import as_columns, read_features
from carprice.listings.market import Market


def test_features_and_target_are_those_of_the_listings(begun: Callable[..., Workspace]) -> None:
    workspace = begun("train_listings", "market")
    listings = pd.read_parquet(workspace.train_listings)
    assert transform(workspace) == len(listings)
    features, target = read_features(workspace.train_features)
    market = Market.from_json(read_json(workspace.market, "ingest"))
    expected = parse(as_columns(listings), market.valuation_date, market.distance_unit)
    assert (features.texts, features.equipment) == (expected.texts, expected.equipment)
    for name in NUMBERS:
        assert np.array_equal(features.numbers[name], expected.numbers[name], equal_nan=True), name
    assert np.exp(target) == pytest.approx(listings["price"].to_numpy())
