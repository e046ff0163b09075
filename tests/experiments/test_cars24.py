"""What the comparison finds on real listings, which are not part of the project."""

from pathlib import Path

import pandas as pd
import pytest
from command_line import caller

CARS24 = Path(__file__).parents[2] / "examples" / "cars24.yaml"


def test_on_cars24_the_hedonic_ridge_is_ahead_and_the_log_of_the_price_is(
    cars24_table: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    names = ("hedonic/log", "xgboost/log/one-hot/none", "xgboost/raw/one-hot/none")
    only = [part for name in names for part in ("--only", name)]
    command = ("experiments", "compare", "--quick", "--folds", 2, "--params", CARS24)
    done = caller(monkeypatch, capsys)(*command, "--source", cars24_table, *only)
    assert done.code == 0, done.err
    ranking = pd.read_csv("reports/experiments/comparison/ranking.csv")
    assert tuple(ranking["candidate"]) == names
    assert ranking["mape"].between(8, 25).all()
