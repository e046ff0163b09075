from pathlib import Path

import numpy as np
import pandas as pd

from carprice.components.ingest import ingest
from carprice.components.transform import transform
from carprice.experiments.data import Data, read_data
from carprice.frames import read_features
from carprice.market import Market
from carprice.settings import Settings
from carprice.workspace import Workspace, read_json


def quiet(_: str) -> None:
    """Tell nobody."""


def test_an_experiment_learns_from_the_rows_and_features_of_the_pipeline(
    data: Data, settings: Settings, tmp_path: Path
) -> None:
    workspace = Workspace(tmp_path)
    ingest(settings.ingest, workspace, quiet)
    transform(workspace)
    features, log_price = read_features(workspace.train_features)
    assert features.texts == data.features.texts
    np.testing.assert_array_equal(log_price, data.log_price)
    assert Market.from_json(read_json(workspace.market, made_by="ingest")) == data.market
    assert len(data.log_price) == len(pd.read_parquet(workspace.train_listings)) < 400


def test_of_too_many_rows_the_same_ones_are_chosen_each_time(
    settings: Settings, tmp_path: Path
) -> None:
    one, two = (read_data(settings, tmp_path / name, quiet, 100) for name in ("one", "two"))
    assert len(one.log_price) == 100
    np.testing.assert_array_equal(one.log_price, two.log_price)
    np.testing.assert_array_equal(read_features(one.file)[1], one.log_price)


def test_prices_and_makes_are_those_of_the_listings(data: Data) -> None:
    assert data.price.min() > 1000
    assert len(data.makes) > 3
    assert data.raw_digest.endswith(".dir")
