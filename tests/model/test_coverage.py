"""Coverage of the ranges on real listings, in five folds with the settings as they are."""

import datetime
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from sklearn.model_selection import KFold

from carprice.arrays import Floats
from carprice.components.ingest import ingest
from carprice.components.transform import transform
from carprice.components.workspace import Workspace, read_json
from carprice.listings.features import Features
from carprice.listings.frames import read_features
from carprice.listings.market import Market
from carprice.model import PriceModel
from carprice.model.intervals import AGE_BANDS, age_bands
from carprice.settings import Settings

FOLDS = 5
CONFIDENCES = (0.5, 0.8, 0.9, 0.95)


@dataclass(frozen=True)
class CrossValidated:
    """Of every listing of the market: its age, whether its range held, and the range's width."""

    age: Floats
    covered: dict[float, Floats]
    width: Floats


def cross_validate(features: Features, log_price: Floats, market: Market) -> CrossValidated:
    settings = Settings().train
    splits = KFold(FOLDS, shuffle=True, random_state=0).split(log_price)
    covered = {level: np.empty(len(features)) for level in CONFIDENCES}
    width = np.empty(len(features))
    for seen, unseen in splits:
        model = PriceModel.fit(
            features.take(seen),
            log_price[seen],
            market,
            settings,
        )
        actual = np.exp(log_price[unseen])
        for level in CONFIDENCES:
            prices = model.predict_features(features.take(unseen), level)
            covered[level][unseen] = (prices.low <= actual) & (actual <= prices.high)
            if level == 0.9:
                width[unseen] = (prices.high - prices.low) / prices.price
    return CrossValidated(features.numbers["age"], covered, width)


@pytest.fixture(scope="session")
def cars24(real_data: Any, tmp_path_factory: pytest.TempPathFactory) -> CrossValidated:
    path = real_data / "cars24" / "cars24_v3.xlsx"
    if not path.is_file():
        pytest.skip(f"no real listings: {path} does not exist")
    workspace = Workspace(tmp_path_factory.mktemp("coverage"))
    content = {
        "source": str(path),
        "valuation_date": datetime.date(2025, 6, 1),
        "split": {"test_size": 0.0001},
    }
    ingest(Settings.model_validate({"ingest": content}).ingest, workspace, lambda _: None)
    transform(workspace)
    features, log_price = read_features(workspace.train_features)
    market = Market.from_json(read_json(workspace.market, made_by="ingest"))
    return cross_validate(features, log_price, market)


@pytest.mark.parametrize("level", CONFIDENCES)
def test_ranges_hold_as_often_as_they_promise(level: float, cars24: CrossValidated) -> None:
    share = 100 * cars24.covered[level].mean()
    assert share == pytest.approx(100 * level, abs=1.5 if level == 0.9 else 2)


@pytest.mark.parametrize("band", range(len(AGE_BANDS)), ids=list(AGE_BANDS))
def test_ranges_hold_in_every_age_band(band: int, cars24: CrossValidated) -> None:
    share = 100 * cars24.covered[0.9][age_bands(cars24.age) == band].mean()
    assert share >= 87


def test_ranges_are_as_narrow_as_was_measured(cars24: CrossValidated) -> None:
    assert cars24.width.mean() <= 0.51
    assert np.median(cars24.width) <= 0.41
