import datetime
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_info

from carprice.arrays import Floats
from carprice.listings.features import Features, parse
from carprice.listings.frames import read_features
from carprice.listings.keys import DetailKey, ModelKey
from carprice.listings.market import Market
from carprice.model import hedonic_fit
from carprice.model.block_scales import choose_scales, factors_of
from carprice.model.car import CarReader
from carprice.model.defaults import Defaults
from carprice.model.encoder import Anchor
from carprice.model.hedonic import Hedonic
from carprice.model.hedonic_fit import _by_fold, age_weight, bases_of, fit_hedonic
from carprice.model.ridge_chunk import PricedChunk, sums_of, told_of
from carprice.model.worth import RidgeLookups

FOLDS = 3
MARKET = Market("INR", "km", datetime.date(2025, 6, 30), "")


class Fitted:
    """A hedonic ridge of a small sample, and all that it was fitted on."""

    def __init__(self, features: Features, log_price: Floats) -> None:
        self.log_price, self.cars = log_price, CarReader(Defaults.fit(features))
        self.features = self.cars.complete(features)
        self.folds = np.arange(len(features)) % FOLDS
        self.hedonic, anchor = self.fit()
        self.held_out, self.falling = anchor.log_price, anchor.falling
        self.weight = age_weight(self.features.numbers["age"]) * anchor.tails

    def fit(self) -> tuple[Hedonic, Anchor]:
        return fit_hedonic(self.features, self.log_price, self.folds, {}, km_per_unit=1.0)

    def design(self) -> hedonic_fit._Design:
        return hedonic_fit._Design(self.features, 1.0)

    def predict(self, hedonic: Hedonic | None = None, features: Features | None = None) -> Floats:
        """Return what a ridge, or a part of it, says of listings; of all of this one's."""
        ridge = RidgeLookups(hedonic or self.hedonic)
        read = self.cars.read(features or self.features)
        return np.array([ridge.log_price(ridge.of_type(car_type), car) for car_type, car in read])

    def without_corrections(self, predicted: Floats) -> Floats:
        return predicted - sum(self.design().corrections(self.hedonic).values())

    def age_curve(self) -> Floats:
        """The mean over all cars of what age adds, before it is corrected."""
        ages = np.arange(len(self.hedonic.by_age), dtype=np.float64)
        return np.array([self._mean_at(age) for age in ages]) - self.hedonic.by_age

    def _mean_at(self, age: float) -> float:
        numbers = {**self.features.numbers, "age": np.full(len(self.features), age)}
        features = replace(self.features, numbers=numbers)
        parts = (self.hedonic.part(factor) for factor in ("age", "distance"))
        return float(sum(self.predict(part, features).mean() for part in parts))


@pytest.fixture(scope="module")
def fitted(finished) -> Fitted:
    features, log_price = read_features(finished[0].train_features)
    some = np.arange(600)
    return Fitted(features.take(some), log_price[some])


def matrix_of(fitted: Fitted) -> np.ndarray:
    """Return the design matrix, each column multiplied by its block's scale."""
    design = fitted.design()
    factors = factors_of(fitted.hedonic.scales, design.slices, design.width)
    return design.matrix(np.arange(len(fitted.features))).toarray() * factors


def ridge(matrix: np.ndarray, target: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the coefficients by the dual equations, which have as many unknowns as rows."""
    columns, ones = matrix[:, 1:], np.ones((len(target), 1))
    kernel = columns @ columns.T + np.diag(1 / weight)
    system = np.block([[kernel, ones], [ones.T, np.zeros((1, 1))]])
    *dual, intercept = np.linalg.solve(system, np.append(target, 0.0))
    return np.append(intercept, columns.T @ np.array(dual))


def test_the_parts_and_the_intercept_are_the_prediction(fitted: Fitted) -> None:
    hedonic = fitted.hedonic
    parts = [fitted.predict(hedonic.part(factor)) for factor in hedonic.typical]
    total = hedonic.intercept + np.sum(parts, axis=0)
    assert total == pytest.approx(fitted.predict(), abs=1e-12)
    assert np.std(fitted.log_price - total) < 0.25 * np.std(fitted.log_price)
    typical = dict(zip(hedonic.typical, np.mean(parts, axis=1), strict=True))
    assert typical["age"] == pytest.approx(hedonic.typical["age"])


def test_the_coefficients_are_those_of_the_design_matrix(fitted: Fitted) -> None:
    matrix, words = matrix_of(fitted), fitted.hedonic.coefficients["word"]
    expected = matrix @ ridge(matrix, fitted.log_price, fitted.weight)
    predicted = fitted.predict()
    variants = [DetailKey.read(text).detail for text in fitted.features.texts["model_variant"]]
    known = np.array([any(word in words for word in text.split()) for text in variants])
    found = fitted.without_corrections(predicted)
    assert known.mean() > 0.5
    assert found[known] == pytest.approx(expected[known], abs=1e-6)


def test_a_fit_in_chunks_is_the_fit_in_one_piece(
    fitted: Fitted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hedonic_fit, "_CHUNK_ROWS", 500)
    monkeypatch.setattr(hedonic_fit, "_MANY_ROWS", 110)
    design, every = fitted.design(), np.arange(len(fitted.features))
    chunks = list(design.chunks(every))
    assert len(chunks) == 6
    models = design.codes["model"][np.concatenate(chunks)]
    assert np.all(np.diff(models) >= 0)
    assert sorted(np.concatenate(chunks)) == every.tolist()
    hedonic, anchor = fitted.fit()
    assert anchor.log_price == pytest.approx(fitted.held_out, abs=1e-7)
    assert fitted.predict(hedonic) == pytest.approx(fitted.predict(), abs=1e-7)


def test_rows_summed_by_their_types_have_the_sums_of_all_columns(fitted: Fitted) -> None:
    chunk = fitted.design()._chunk(*_by_fold(np.arange(len(fitted.folds)), fitted.folds, FOLDS))
    whole, (short, columns) = chunk.matrix(), chunk.by_type()
    assert abs(short @ columns - whole).max() < 1e-12
    assert short.nnz < whole.nnz / 2
    counts = np.arange(1.0, 1 + len(fitted.folds))
    of_part, of_all = (
        sums_of(PricedChunk(replace(chunk, is_part=is_part), fitted.log_price, counts))
        for is_part in (True, False)
    )
    for one, other in zip(of_part, of_all, strict=True):
        assert abs(one.gram - other.gram).max() < 1e-12 * abs(other.gram).max()
        assert np.abs(one.moment - other.moment).max() < 1e-12 * np.abs(other.moment).max()
        assert one.square == other.square
    by_fold = np.random.default_rng(0).normal(size=(FOLDS, whole.shape[1]))
    told = told_of(replace(chunk, is_part=True), by_fold)
    assert told == pytest.approx(told_of(chunk, by_fold), abs=1e-12)


def test_a_sample_of_many_rows_tells_which_count_for_less(
    fitted: Fitted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hedonic_fit, "_DRAFT_ROWS", len(fitted.features) * 2 // 3)
    hedonic, anchor = fitted.fit()
    tails = fitted.weight / age_weight(fitted.features.numbers["age"])
    assert np.corrcoef(anchor.tails, tails)[0, 1] > 0.4
    assert np.median(np.abs(fitted.predict(hedonic) - fitted.predict())) < 0.02


def test_held_out_predictions_are_those_of_refits_without_the_fold(fitted: Fitted) -> None:
    matrix, weight = matrix_of(fitted), fitted.weight
    found = fitted.without_corrections(fitted.held_out)
    for fold in range(FOLDS):
        out = fitted.folds == fold
        coefficients = ridge(matrix[~out], fitted.log_price[~out], weight[~out])
        assert found[out] == pytest.approx(matrix[out] @ coefficients, rel=1e-6)


@pytest.mark.parametrize(
    ("age", "distance", "km_per_unit"), [(0, 80_000, 1), (7, 80_000, 1), (12, 80_000 / 1.6, 1.6)]
)
def test_the_bases_are_the_functions_that_the_docstring_names(
    age: float, distance: float, km_per_unit: float
) -> None:
    numbers = {"age": np.array([age]), "odometer": np.array([distance])}
    bases = bases_of(numbers, km_per_unit, 10)
    a = min(age, 10) / 5 - 1.4
    so = np.sqrt(1.6) - 1
    expected = {"a": a, "a2": a**2, "a3": a**3, "so": so, "so2": so**2, "a_so": a * so}
    expected |= {"one": 1.0, "a2_half": 0.7 * a**2, "lo": np.log(80_000) - 10.8}
    assert {name: values.item() for name, values in bases.items()} == pytest.approx(expected)


def test_a_car_that_is_listed_more_than_once_counts_once(fitted: Fitted) -> None:
    rows = len(fitted.features)
    again = np.concatenate([np.arange(rows), np.repeat(np.arange(0, rows, 3), 4)])
    features = replace(fitted.features.take(again), cars=again)
    hedonic, _ = fit_hedonic(
        features, fitted.log_price[again], fitted.folds[again], {}, km_per_unit=1.0
    )
    assert features.car_weights().sum() == pytest.approx(rows)
    for name, terms in fitted.hedonic.coefficients.items():
        assert hedonic.coefficients[name] == pytest.approx(terms, abs=1e-6), name
    assert hedonic.idf == {name: pytest.approx(idf) for name, idf in fitted.hedonic.idf.items()}


def test_an_unseen_model_is_worth_the_mean_of_its_makes(fitted: Fitted) -> None:
    usual, worth = fitted.hedonic.usual["model"], fitted.hedonic.coefficients["model"]
    make = pd.Series(fitted.features.texts["make"]).value_counts().index[0]
    models = np.array(fitted.features.texts["model"])[
        np.array(fitted.features.texts["make"]) == make
    ]
    assert usual[make] == pytest.approx(np.mean([worth[model] for model in models]))
    known = ModelKey.read(models[0]).model
    columns = {"make": [make] * 2, "model": ["Never", known], "year": [2018] * 2}
    features = parse(columns, MARKET.valuation_date, MARKET.distance_unit)
    features.texts["body"] = ["sofa"] * 2
    unseen, seen = fitted.predict(fitted.hedonic.part("make and model"), features)
    assert unseen - seen == pytest.approx(usual[make] - worth[models[0]])


def test_the_average_car_falls_with_every_year_of_age(fitted: Fitted) -> None:
    curve = fitted.age_curve() + fitted.hedonic.by_age
    assert len(curve) > 10
    assert np.diff(curve).max() < 0


def test_a_rise_with_age_in_the_data_is_passed_on_only_beyond_the_middle(fitted: Fitted) -> None:
    turned = Fitted(fitted.features, fitted.log_price + 0.3 * fitted.features.numbers["age"])
    curve = turned.age_curve()
    assert np.diff(curve).mean() > 0.05
    least, most = map(int, turned.falling["age"])
    middle = np.quantile(fitted.features.numbers["age"], (0.25, 0.75))
    assert [least, most] == pytest.approx(middle, abs=1)
    corrected = curve + turned.hedonic.by_age
    assert np.diff(corrected[least : most + 1]).max() < 0
    assert corrected[most + 1 :] == pytest.approx(curve[most + 1 :])


def test_a_car_without_a_distance_is_not_corrected_for_one(fitted: Fitted) -> None:
    numbers, rows = fitted.features.numbers, np.arange(len(fitted.features))
    odometer = np.where(rows % 4 == 0, np.nan, numbers["odometer"])
    features = replace(fitted.features, numbers={**numbers, "odometer": odometer})
    dearer = fitted.log_price + 5e-6 * np.nan_to_num(odometer) + 0.5 * np.isnan(odometer)
    some = Fitted(features, dearer)
    assert np.ptp(some.hedonic.by_distance) > 0.05
    corrections = some.design().corrections(some.hedonic)["distance"]
    assert not corrections[np.isnan(odometer)].any()
    left = some.log_price - some.predict()
    assert left[np.isnan(odometer)].mean() == pytest.approx(0, abs=0.03)


def test_prices_step_with_the_quarter_of_the_listing_and_are_flat_beyond(fitted: Fitted) -> None:
    random = np.random.default_rng(0)
    listed = random.uniform(-2.0, -0.5, len(fitted.features))
    features = replace(fitted.features, numbers={**fitted.features.numbers, "listed": listed})
    fallen = Fitted(features, fitted.log_price - 0.3 * (listed > -1.0))

    def mean_at(years: float) -> float:
        same = {**features.numbers, "listed": np.full(len(features), years)}
        return float(fallen.predict(features=replace(features, numbers=same)).mean())

    before, after = mean_at(-1.3), mean_at(-0.6)
    assert before - after == pytest.approx(0.3, abs=0.06)
    assert mean_at(0.0) == pytest.approx(after, abs=0.03)
    assert mean_at(1.5) == mean_at(0.0)
    assert mean_at(-9.0) == pytest.approx(mean_at(-1.9), abs=0.05)
    assert fitted.hedonic.coefficients["quarter"] != fallen.hedonic.coefficients["quarter"]


def test_a_ridge_of_before_has_its_straight_trend_of_listing_dates(fitted: Fitted) -> None:
    coefficients = {**fitted.hedonic.coefficients, "quarter": {}, "listed": {"": 0.2}}
    before = replace(fitted.hedonic, coefficients=coefficients)
    listed = {**fitted.features.numbers, "listed": np.full(len(fitted.features), -1.5)}
    today = {**listed, "listed": np.zeros(len(fitted.features))}
    then, now = (
        fitted.predict(before, replace(fitted.features, numbers=numbers))
        for numbers in (listed, today)
    )
    assert then == pytest.approx(now - 0.3)


def test_the_ridge_has_one_thread_of_blas(fitted: Fitted, monkeypatch: pytest.MonkeyPatch) -> None:
    """BLAS rounds by the number of its threads: a model would hang on the machine's cores."""

    def threads() -> list[int]:
        return [one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"]

    seen: list[int] = []

    def choosing(*given: Any) -> dict[str, float]:
        seen.extend(threads())
        return choose_scales(*given)

    monkeypatch.setattr(hedonic_fit, "choose_scales", choosing)
    before = threads()
    fitted.fit()
    assert {*seen} == {1}
    assert threads() == before
