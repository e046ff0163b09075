"""Coverage of the ranges on half of the real listings, with the settings as they are."""

import datetime
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import KFold

from carprice.components.ingest import ingest
from carprice.components.transform import transform
from carprice.components.workspace import Workspace, read_json
from carprice.listings.frames import read_features
from carprice.listings.market import Market
from carprice.model import PriceModel
from carprice.model.intervals import AGE_BANDS, age_bands
from carprice.settings import Settings

FOLDS, JUDGED = 4, 2
CONFIDENCES = (0.5, 0.8, 0.9, 0.95)


@pytest.fixture(scope="module")
def cars24(cars24_table: Path, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Of each listing of two folds: its age, its range's width, and by confidence if it held."""
    workspace = Workspace(tmp_path_factory.mktemp("coverage"))
    content = {
        "source": str(cars24_table),
        "valuation_date": datetime.date(2025, 6, 1),
        "split": {"test_size": 0.0001},
    }
    settings = Settings.model_validate({"ingest": content})
    ingest(settings.ingest, workspace, lambda _: None)
    transform(workspace)
    features, log_price = read_features(workspace.train_features)
    market = Market.from_json(read_json(workspace.market, made_by="ingest"))
    folds = KFold(FOLDS, shuffle=True, random_state=0).split(log_price)
    parts = []
    for seen, unseen in islice(folds, JUDGED):
        model = PriceModel.fit(features.take(seen), log_price[seen], market, settings.train)
        actual, others = np.exp(log_price[unseen]), features.take(unseen)
        found = pd.DataFrame({"age": others.numbers["age"]})
        for level in CONFIDENCES:
            prices = model.predict_features(others, level)
            found[level] = (prices.low <= actual) & (actual <= prices.high)
            if level == 0.9:
                found["width"] = (prices.high - prices.low) / prices.price
        parts.append(found)
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize("level", CONFIDENCES)
def test_ranges_hold_as_often_as_they_promise(level: float, cars24: pd.DataFrame) -> None:
    share = 100 * cars24[level].mean()
    assert share == pytest.approx(100 * level, abs=1.5 if level == 0.9 else 2)


@pytest.mark.parametrize("band", range(len(AGE_BANDS)), ids=list(AGE_BANDS))
def test_ranges_hold_in_every_age_band(band: int, cars24: pd.DataFrame) -> None:
    assert 100 * cars24.loc[age_bands(cars24["age"].to_numpy()) == band, 0.9].mean() >= 87


def test_ranges_are_as_narrow_as_was_measured(cars24: pd.DataFrame) -> None:
    assert cars24["width"].mean() <= 0.51
    assert cars24["width"].median() <= 0.41
