import dataclasses
from pathlib import Path

import numpy as np
import pytest

from carprice.experiments import fitting
from carprice.experiments.candidates import Candidate
from carprice.experiments.data import Data
from carprice.experiments.fitting import Task, measure_folds
from carprice.experiments.limits import Failed, Limits, run_limited
from carprice.listings.frames import write_features
from carprice.settings import Settings


@pytest.fixture
def task(data: Data, settings: Settings) -> Task:
    candidate = Candidate("model-median", "raw")
    return Task(candidate, data.file, data.market, settings.train, 2, True)


@pytest.mark.parametrize("told", [np.nan, np.inf])
def test_an_error_that_is_no_number_is_a_failure(
    task: Task, told: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fit(*_: object, **__: object):
        return lambda features: np.full(len(features.texts["make"]), told)

    monkeypatch.setattr(fitting, "fit", fit)
    with np.errstate(invalid="ignore"), pytest.raises(Failed, match="no finite error: mape is"):
        list(measure_folds(task))


def test_its_reason_comes_through_from_another_process(
    task: Task, data: Data, limits: Limits, tmp_path: Path
) -> None:
    endless = dataclasses.replace(task, file=tmp_path / "endless.parquet")
    write_features(endless.file, data.features, data.log_price + 1000)
    with pytest.raises(Failed) as failure:
        list(run_limited(measure_folds, (endless,), limits))
    assert str(failure.value) == "no finite error: mape is nan"
