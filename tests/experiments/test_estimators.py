import importlib.util

import numpy as np
import pytest

from carprice.evaluation.measurement import naive_prices
from carprice.experiments.candidates import BASELINES, COMPARED, ComparedModel
from carprice.experiments.data import Data
from carprice.experiments.estimators import fit
from carprice.listings.features import Features
from carprice.metrics import price_metrics
from carprice.model import PriceModel
from carprice.settings import Settings


def prices_of_the_last(candidate: ComparedModel, data: Data, settings: Settings) -> np.ndarray:
    learned, priced = np.arange(250), np.arange(250, len(data.log_price))
    predict = fit(
        candidate,
        data.features.take(learned),
        data.log_price[learned],
        data.market,
        settings.train,
        quick=True,
    )
    return predict(data.features.take(priced))


@pytest.mark.parametrize("candidate", [*BASELINES, *COMPARED], ids=lambda one: one.name)
@pytest.mark.filterwarnings("ignore")  # in its own process what libraries warn of is not shown
def test_every_candidate_prices_cars_it_never_saw(
    candidate: ComparedModel, data: Data, settings: Settings
) -> None:
    if candidate.algorithm in ("lightgbm", "catboost") and not importlib.util.find_spec(
        candidate.algorithm
    ):
        pytest.skip(f"{candidate.algorithm} is not installed")
    told = prices_of_the_last(candidate, data, settings)
    assert told.shape == (len(data.log_price) - 250,)
    assert np.isfinite(told).all()
    assert (told > 0).all()
    error = price_metrics(data.price[250:], told)["mape"]
    assert error < (120 if candidate.algorithm == "median" else 60)


@pytest.mark.parametrize(
    "candidate",
    [
        ComparedModel("linear", "raw", "one-hot", "median"),
        ComparedModel("ridge", "log", "target", "mean"),
        ComparedModel("xgboost", "log", "native", "none"),
        ComparedModel("hedonic"),
        ComparedModel("carprice"),
    ],
    ids=lambda one: one.name,
)
@pytest.mark.filterwarnings("ignore")
def test_candidates_learn_from_one_make_too(
    candidate: ComparedModel, data: Data, settings: Settings
) -> None:
    makes = np.array(data.features.texts["make"])
    commonest = max(data.makes, key=lambda make: np.count_nonzero(makes == make))
    rows = np.flatnonzero(makes == commonest)
    features, log_price = data.features.take(rows), data.log_price[rows]
    predict = fit(candidate, features, log_price, data.market, settings.train, quick=True)
    assert price_metrics(np.exp(log_price), predict(features))["mape"] < 40


def test_the_model_of_the_params_file_is_the_package_s_own(data: Data, settings: Settings) -> None:
    told = prices_of_the_last(ComparedModel("carprice"), data, settings)
    learned = np.arange(250)
    model = PriceModel.fit(
        data.features.take(learned),
        data.log_price[learned],
        data.market,
        settings.train,
    )
    others = data.features.take(np.arange(250, len(data.log_price)))
    np.testing.assert_array_equal(told, model.predict_features(others).price)


def test_the_median_of_the_model_is_what_the_gate_compares_with(
    data: Data, settings: Settings
) -> None:
    import pandas as pd

    def names(features: Features) -> pd.DataFrame:
        return pd.DataFrame({name: features.texts[name] for name in ("make", "model")})

    learned, others = np.arange(250), np.arange(250, len(data.log_price))
    expected = naive_prices(
        names(data.features.take(learned)).assign(price=data.price[learned]),
        names(data.features.take(others)),
    )
    told = prices_of_the_last(ComparedModel("model-median", "raw"), data, settings)
    np.testing.assert_allclose(told, expected)
