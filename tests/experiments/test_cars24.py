"""What the comparison finds on real listings, which are not part of the project."""

import os
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest

from carprice.cli import main

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("CARPRICE_DATA") or ROOT / "../shared/data").resolve()


def test_on_cars24_the_hedonic_ridge_is_ahead_and_the_log_of_the_price_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not (DATA / "cars24").is_dir():
        pytest.skip("the data set cars24 is not there; set CARPRICE_DATA to the data folder")
    monkeypatch.setenv("CARPRICE_DATA", str(DATA))
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "examples" / "cars24.yaml", "params.yaml")
    names = ("hedonic/log", "xgboost/log/one-hot/none", "xgboost/raw/one-hot/none")
    only = [part for name in names for part in ("--only", name)]
    command = ["carprice", "experiments", "compare", "--quick", "--folds", "2", *only]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    ranking = pd.read_csv(Path("reports", "experiments", "comparison", "ranking.csv"))
    assert tuple(ranking["candidate"]) == names
    assert ranking["mape"].between(8, 25).all()
