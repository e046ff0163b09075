import numpy as np
import pytest

from carprice.arrays import quiet
from carprice.model.blend import Blend, TreeData, fit_trees, parameters_of
from carprice.model.car import CarType
from carprice.model.encoder import COUNTED, ONE_HOT, Encoder, TreeRows
from carprice.model.worth import WORTHS
from carprice.settings import TrainSettings

SETTINGS = TrainSettings.model_validate(
    {"folds": 4, "patience": 5, "booster": {"n_estimators": 30, "learning_rate": 0.2}}
)
ENCODER = Encoder(("age", "seats"), dict.fromkeys(ONE_HOT, ()), (), {}, WORTHS)
ROWS = 600
DRAWN = np.random.default_rng(5)
MATRIX = DRAWN.normal(size=(ROWS, len(ENCODER.columns))).astype(np.float32)
AGE, SEATS = (MATRIX[:, ENCODER.columns.index(name)] for name in ENCODER.numbers)
LOG_PRICE = 12 - 0.5 * AGE + 0.5 * (SEATS > 0) + DRAWN.normal(size=ROWS) / 10


def fitted(
    ridge: np.ndarray,
    log_price: np.ndarray = LOG_PRICE,
    tails: float = 1.0,
    some: np.ndarray | None = None,
) -> Blend:
    """Fit both ensembles; rows whose price was changed count ``tails`` for the residual trees.

    ``some`` rows choose, and the others are learned from; all rows do both without them.
    """
    matrix = np.column_stack([ridge.astype(np.float32), MATRIX[:, 1:]])
    weights, folds = np.where(log_price == LOG_PRICE, 1.0, tails), np.arange(ROWS) % 4
    data = TreeData(matrix, log_price, ridge, np.ones(ROWS), weights, folds)
    every = np.arange(ROWS)
    others = None if some is None else np.setdiff1d(every, some)
    chosen = every if some is None else some
    return fit_trees(data, chosen, others, 12.0, ENCODER, SETTINGS, quiet)


def error(predicted: np.ndarray) -> float:
    return float(np.abs(predicted - LOG_PRICE).mean())


def test_a_second_opinion_counts_as_far_as_it_lowers_the_error() -> None:
    told = 12 - 0.5 * AGE + DRAWN.normal(size=ROWS) / 2
    blend = fitted(told)
    assert blend.share > 0.3
    assert error(blend.held_out) < 0.5 * error(told)
    assert blend.importance["age"] > blend.importance["hedonic_price"] > 0
    assert sum(blend.importance.values()) == pytest.approx(1, abs=1e-5)
    matrix = np.column_stack([told.astype(np.float32), MATRIX[:, 1:]])
    whole = told + blend.booster.predict(matrix) + blend.share * (12 - told)
    assert error(whole) < error(blend.held_out)
    matrix[:, -len(COUNTED) :] = 9  # which no tree of the price reads
    assert np.array_equal(whole, told + blend.booster.predict(matrix) + blend.share * (12 - told))


def test_tails_count_for_less_in_the_residual_trees_and_as_much_in_the_direct_ones() -> None:
    told, price = 12 - 0.5 * AGE, LOG_PRICE.copy()
    price[np.flatnonzero(SEATS > 0)[::3]] += 2.0
    none = fitted(told, price, tails=1e-3)
    matrix = np.column_stack([told.astype(np.float32), MATRIX[:, 1:]])

    def corrected(blend: Blend) -> float:
        """What the price adds to the ridge's, for cars of seats > 0."""
        added = blend.booster.predict(matrix) + blend.share * (12 - told)
        return float(np.median(added[SEATS > 0]))

    assert corrected(none) == pytest.approx(0.5, abs=0.15)
    assert corrected(fitted(told, price)) > corrected(none) + 0.3


def test_a_ridge_that_says_all_needs_none() -> None:
    blend = fitted(LOG_PRICE - DRAWN.normal(size=ROWS) / 100)
    assert blend.share == 0
    assert error(blend.held_out) < 0.02


def test_of_many_rows_some_choose_and_others_teach() -> None:
    told, some = 12 - 0.5 * AGE + DRAWN.normal(size=ROWS) / 2, np.arange(0, ROWS, 3)
    blend = fitted(told, some=some)
    matrix = np.column_stack([told.astype(np.float32), MATRIX[:, 1:]])
    whole = told + blend.booster.predict(matrix) + blend.share * (12 - told)
    assert blend.held_out == pytest.approx(whole[some], abs=1e-5)
    assert np.abs(blend.held_out - LOG_PRICE[some]).mean() < 0.6 * error(told)
    changed = LOG_PRICE.copy()
    changed[some] += 1.0  # what some rows ask for is not learned
    assert np.median(fitted(told, changed, 1.0, some).held_out - blend.held_out) < 0.2
    assert fitted(LOG_PRICE - DRAWN.normal(size=ROWS) / 100, some=some).share == 0


def test_what_is_set_goes_before_the_number_of_cars_and_one_ensemble_before_both() -> None:
    booster = {"max_depth": 3, "direct": {"max_depth": 9, "reg_lambda": 0}}
    settings = TrainSettings.model_validate({"booster": booster}).booster
    residual, direct = parameters_of(settings, cars=1000)
    assert (residual["max_depth"], direct["max_depth"]) == (3, 9)
    assert (residual["reg_lambda"], direct["reg_lambda"]) == (3, 0)
    free = TrainSettings.model_validate({"booster": "auto"}).booster
    assert parameters_of(free, 1000)[0] == {**residual, "max_depth": 4}


def test_trees_of_a_folder_of_before_read_what_make_and_model_add() -> None:
    before = Encoder(("age",), dict.fromkeys(ONE_HOT, ()), (), {name: {} for name in COUNTED})
    assert before.columns[:4] == ("hedonic_price", "hedonic_make", "hedonic_model", "age")
    texts = dict.fromkeys([*COUNTED, *ONE_HOT], "")
    of_type = CarType(texts, texts, {})
    worths = {"names": 1.0, "variant": 2.0, "make": 3.0, "model": 4.0}
    assert TreeRows(before).of_type(of_type, worths).tolist()[:4] == [0, 3, 4, 0]
