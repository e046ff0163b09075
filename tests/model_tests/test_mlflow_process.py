import shutil
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest

from carprice.model_tests.agreement import as_json
from carprice.model_tests.mlflow_process import loaded
from carprice.model_tests.panel import Panel
from carprice.model_tests.results import ModelTestFailedError


def test_it_answers_as_a_pyfunc_of_this_process_does(
    downloaded: Path, pyfunc: Any, panel: Panel
) -> None:
    cars = pd.DataFrame([as_json(car) for car in panel.cars[:20]])
    ours = pyfunc.predict(cars)
    ours["valuationDate"] = ours["valuationDate"].astype(str)
    with loaded(downloaded) as process:
        theirs = process.predict(cars)
        assert process.metadata.signature == pyfunc.metadata.signature
    pd.testing.assert_frame_equal(theirs, ours, check_dtype=False)


def test_its_environment_has_no_secret_and_it_ends_with_the_block(
    downloaded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "not-for-models")
    before = {child.pid for child in psutil.Process().children()}
    with loaded(downloaded):
        (process,) = (one for one in psutil.Process().children() if one.pid not in before)
        environment = process.environ()
        assert "PATH" in environment
        assert "not-for-models" not in environment.values()
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_what_it_refuses_is_told_and_it_goes_on(downloaded: Path, panel: Panel) -> None:
    car = as_json(panel.cars[0])
    with loaded(downloaded) as process:
        with pytest.raises(ModelTestFailedError, match="odometer"):
            process.predict(pd.DataFrame([{**car, "odometer": -1.0}]))
        assert len(process.predict(pd.DataFrame([car]))) == 1


def test_a_model_that_does_not_load_says_why(downloaded: Path, tmp_path: Path) -> None:
    shutil.copytree(downloaded, tmp_path / "model")
    (part,) = (tmp_path / "model").rglob("hedonic.json")
    part.write_bytes(b"{}")
    with pytest.raises(ModelTestFailedError, match=r"hedonic\.json"), loaded(tmp_path / "model"):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="where a process is ended in another way")
def test_a_process_that_ended_is_told_of(downloaded: Path, panel: Panel) -> None:
    cars = pd.DataFrame([as_json(panel.cars[0])])
    before = {child.pid for child in psutil.Process().children()}
    with loaded(downloaded) as process:
        (child,) = (one for one in psutil.Process().children() if one.pid not in before)
        child.kill()
        with pytest.raises(ModelTestFailedError, match="ended"):
            process.predict(cars)
