import importlib.util

import numpy as np
import pandas as pd
import pytest

from carprice.arrays import Floats
from carprice.evaluation.measurement import naive_prices
from carprice.experiments.candidates import BASELINES, COMPARED, ComparedModel
from carprice.experiments.data import Data
from carprice.experiments.estimators import fit
from carprice.metrics import price_metrics
from carprice.model import PriceModel
from carprice.settings import Settings

LEARNED = np.arange(250)


def prices(candidate: ComparedModel, data: Data, settings: Settings, learned, priced) -> Floats:
    """Fit a candidate on some rows and price others."""
    known, log_price = data.features.take(learned), data.log_price[learned]
    predict = fit(candidate, known, log_price, data.market, settings.train, quick=True)
    return predict(data.features.take(priced))


@pytest.fixture(scope="module")
def priced(data: Data) -> np.ndarray:
    """Rows that nobody learns from."""
    return np.arange(len(LEARNED), len(data.log_price))


@pytest.mark.parametrize("candidate", [*BASELINES, *COMPARED], ids=lambda one: one.name)
@pytest.mark.filterwarnings("ignore")  # in its own process what libraries warn of is not shown
def test_every_candidate_prices_cars_it_never_saw(
    candidate: ComparedModel, data: Data, settings: Settings, priced: np.ndarray
) -> None:
    if candidate.algorithm in ("lightgbm", "catboost") and not importlib.util.find_spec(
        candidate.algorithm
    ):
        pytest.skip(f"{candidate.algorithm} is not installed")
    told = prices(candidate, data, settings, LEARNED, priced)
    assert told.shape == (len(priced),)
    assert np.isfinite(told).all()
    assert (told > 0).all()
    error = price_metrics(np.exp(data.log_price[priced]), told)["mape"]
    assert error < (120 if candidate.algorithm == "median" else 60)


@pytest.mark.parametrize(
    "name",
    [
        "linear/raw/one-hot/median",
        "ridge/log/target/median",
        "xgboost/log/native/none",
        "hedonic/log",
        "carprice/log",
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_candidates_learn_from_one_make_too(name: str, data: Data, settings: Settings) -> None:
    (candidate,) = (one for one in (*BASELINES, *COMPARED) if one.name == name)
    makes = pd.Series(data.features.texts["make"])
    rows = np.flatnonzero(makes == makes.mode()[0])
    told = prices(candidate, data, settings, rows, rows)
    assert price_metrics(np.exp(data.log_price[rows]), told)["mape"] < 40


def test_the_model_of_the_params_file_is_the_package_s_own(
    data: Data, settings: Settings, priced: np.ndarray
) -> None:
    known, log_price = data.features.take(LEARNED), data.log_price[LEARNED]
    model = PriceModel.fit(known, log_price, data.market, settings.train)
    np.testing.assert_array_equal(
        prices(ComparedModel("carprice"), data, settings, LEARNED, priced),
        model.predict_features(data.features.take(priced)).price,
    )


def test_the_median_of_the_model_is_what_the_gate_compares_with(
    data: Data, settings: Settings, priced: np.ndarray
) -> None:
    names = pd.DataFrame({name: data.features.texts[name] for name in ("make", "model")})
    listings = names.assign(price=np.exp(data.log_price))
    np.testing.assert_allclose(
        prices(ComparedModel("model-median", "raw"), data, settings, LEARNED, priced),
        naive_prices(listings.iloc[LEARNED], names.iloc[priced]),
    )
