import datetime
from collections.abc import Callable

import numpy as np
import pytest

from carprice.arrays import Floats
from carprice.listings.believed import BELIEVED
from carprice.listings.features import Features
from carprice.listings.frames import read_features
from carprice.listings.market import Market
from carprice.model import PriceModel
from carprice.model.trust import judge_prices
from carprice.settings import Settings

MARKET = Market("INR", "km", datetime.date(2025, 6, 30), "")
FAR = np.log(5)  # of ln(price)
JUNK: dict[str, Callable[[np.random.Generator, float], float]] = {
    "small": lambda rng, _: rng.choice([1, 111, 1234]),
    "large": lambda rng, _: rng.choice([9999, 99_999_999, 12_345_678]),
    "part": lambda rng, price: price * rng.uniform(0.005, 0.08),
    "rate": lambda rng, price: price / rng.uniform(36, 72),
    "zeros": lambda rng, price: price * rng.choice([0.1, 10]),
}


class Contaminated:
    """Rows of the sample market, some prices of which are junk of all kinds."""

    def __init__(self, features: Features, log_price: Floats, share: float) -> None:
        self.features, self.true = features, log_price
        rng = np.random.default_rng(5)
        junk = rng.permutation(len(log_price))[: round(share * len(log_price))]
        self.log_price = log_price.copy()
        for row, kind in zip(junk.tolist(), np.resize([*JUNK], len(junk)), strict=True):
            self.log_price[row] = np.log(JUNK[kind](rng, np.exp(log_price[row])))
        self.is_junk = np.isin(np.arange(len(log_price)), junk)
        self.is_far = np.abs(self.log_price - log_price) > FAR


@pytest.fixture(scope="module")
def parsed(finished) -> tuple[Features, Floats]:
    return read_features(finished[0].train_features)


@pytest.mark.parametrize("rows", [120, 400, 1200])
def test_all_prices_of_clean_data_are_believed(parsed, rows: int) -> None:
    judged = judge_prices(parsed[0].take(np.arange(rows)), parsed[1][:rows])
    assert judged.trust.min() > 0.99


@pytest.mark.parametrize("share", [0.02, 0.1, 0.2])
def test_junk_is_found_even_where_it_is_a_fifth_of_the_prices(parsed, share: float) -> None:
    market = Contaminated(*parsed, share)
    judged = judge_prices(market.features, market.log_price)
    assert np.mean(judged.trust[market.is_far] < BELIEVED) > 0.97
    assert np.mean(judged.trust[~market.is_junk] < BELIEVED) < 0.01
    assert judged.trust[~market.is_junk].mean() > 0.97
    assert judged.judge is not None
    assert judged.judge.scatter.junk == pytest.approx(share, abs=0.02)
    assert np.median(np.abs(judged.expected - market.true)[market.is_junk]) < 0.2


def test_a_row_is_judged_alike_whoever_else_is_asked_about(parsed) -> None:
    market = Contaminated(*parsed, 0.1)
    rows = np.arange(len(market.true))
    own, others = rows[:1000], rows[1000:]
    judge = judge_prices(market.features.take(own), market.log_price[own]).judge
    assert judge is not None
    every = judge.judge(market.features.take(others), market.log_price[others]).trust
    one = judge.judge(market.features.take(others[:1]), market.log_price[others[:1]]).trust
    assert one[0] == pytest.approx(every[0])
    assert np.mean(every[market.is_far[others]] < BELIEVED) > 0.95
    assert np.mean(every[~market.is_junk[others]] < BELIEVED) < 0.01


def test_the_price_of_a_make_that_is_alone_is_believed(parsed) -> None:
    features, log_price = parsed[0].take(np.arange(400)), parsed[1][:400].copy()
    for name in ("make", "model", "model_powertrain", "model_trim", "model_variant"):
        features.texts[name][7] = "ferrari" if name == "make" else "ferrari|488|"
    log_price[7] = np.log(25_000_000)
    assert judge_prices(features, log_price).trust.min() > BELIEVED


def test_two_turns_tell_clean_prices_as_well_as_four(parsed, monkeypatch) -> None:
    features, log_price = parsed[0].take(np.arange(400)), parsed[1][:400]
    two = judge_prices(features, log_price)
    monkeypatch.setattr("carprice.model.trust._TURNS_WITHOUT_DOUBT", 9)
    four = judge_prices(features, log_price)
    assert two.trust == pytest.approx(four.trust, abs=0.001)
    assert 0 < np.abs(two.expected - four.expected).mean() < 0.02


def test_too_few_rows_are_all_believed(parsed) -> None:
    judged = judge_prices(parsed[0].take(np.arange(60)), np.resize([0.0, 13.0], 60))
    assert judged.judge is None
    assert judged.trust.tolist() == [1.0] * 60


def test_junk_hardly_moves_prices_ranges_and_figures(parsed, small_settings: Settings) -> None:
    booster = small_settings.train.booster.model_copy(update={"n_estimators": 10})
    train = small_settings.train.model_copy(update={"booster": booster})
    market = Contaminated(*(parsed[0].take(np.arange(1000)), parsed[1][:1000]), 0.1)
    unseen, true = parsed[0].take(np.arange(1000, len(parsed[1]))), parsed[1][1000:]
    clean = PriceModel.fit(market.features, market.true, MARKET, train)
    model = PriceModel.fit(market.features, market.log_price, MARKET, train)

    def mape(one: PriceModel) -> float:
        priced = one.predict_features(unseen)
        return float(np.mean(np.abs(priced.price / np.exp(true) - 1)))

    assert mape(model) < 1.03 * mape(clean)
    assert model.metrics["mape"] < 1.1 * clean.metrics["mape"]
    assert 86 < model.metrics["coverage"] < 94
    low, high = model.trained_on["price"]
    assert low > 0.9 * clean.trained_on["price"][0]
    assert high <= clean.trained_on["price"][1]
    assert model.support.seen[""].price == pytest.approx((low, high))
