import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from carprice.arrays import quiet
from carprice.errors import InputError
from carprice.experiments import estimators
from carprice.experiments.candidates import ComparedModel
from carprice.experiments.data import Data
from carprice.experiments.fitting import CrossValidation, measure_folds, shuffled_folds
from carprice.experiments.time_limit import WorkFailed
from carprice.listings.frames import write_features
from carprice.metrics import price_metrics

MEDIAN = ComparedModel("median", "raw")


def test_every_row_is_priced_once_never_learned_from_in_its_fold_and_again_the_same() -> None:
    folds = shuffled_folds(103, 5, seed=3)
    assert sorted(np.concatenate([priced for _, priced in folds])) == list(range(103))
    for learned, priced in folds:
        assert not set(learned) & set(priced)
        assert len(learned) + len(priced) == 103
    first, same, other = (shuffled_folds(103, 5, seed)[0][1].tolist() for seed in (3, 3, 2))
    assert first == same != other


def test_too_few_rows_for_so_many_folds_is_named_with_the_remedy() -> None:
    with pytest.raises(InputError, match=r"45 training listings .* 5 folds of 10 .* --folds 4"):
        shuffled_folds(45, 5, seed=0)


def measured(data: Data, how: CrossValidation) -> Iterator[dict[str, float]]:
    return measure_folds(MEDIAN, data.file, data.market, how)


def test_folds_are_measured_with_the_pipeline_s_own_metrics(
    data: Data, how: CrossValidation
) -> None:
    folds = shuffled_folds(len(data.log_price), how.folds, how.train.seed)
    price = np.exp(data.log_price)
    for figures, (learned, priced) in zip(measured(data, how), folds, strict=True):
        prices = np.full(len(priced), np.median(price[learned]))
        expected = price_metrics(price[priced], prices)
        assert {name: figures[name] for name in expected} == pytest.approx(expected)
        assert figures["fit_seconds"] > 0
        assert figures["predict_seconds"] > 0


@pytest.mark.parametrize("price", [np.nan, np.inf])
def test_an_error_that_is_no_number_is_a_failure(
    data: Data, how: CrossValidation, price: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fit(*_: object, **__: object):
        return lambda features: np.full(len(features), price)

    monkeypatch.setattr(estimators, "fit", fit)
    with np.errstate(invalid="ignore"), pytest.raises(WorkFailed, match="no finite error: mape is"):
        list(measured(data, how))


def test_its_reason_comes_through_from_another_process(
    data: Data, how: CrossValidation, tmp_path: Path
) -> None:
    endless = dataclasses.replace(data, file=tmp_path / "endless.parquet")
    write_features(endless.file, data.features, data.log_price + 1000)
    with pytest.raises(WorkFailed) as failure:
        list(how.measure(ComparedModel("model-median", "raw"), endless, quiet, "1 of 1"))
    assert str(failure.value) == "no finite error: mape is nan"
