"""How old a model is beside its data, and what a backtest's report says of that."""

import datetime
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from carprice.errors import InputError
from carprice.evaluation.ageing import Ageing, read_backtest
from carprice.files import write_json
from carprice.model import PriceModel
from carprice.model.correction import Correction

REPORT = {"by_horizon": [{"horizon": 1, "mape": 10.0}, {"horizon": 2, "mape": 12.5}]}


def test_the_age_is_counted_in_the_data(finished: Any, tmp_path: Path) -> None:
    model = PriceModel.load(finished[0].model)
    train, test = (
        pd.read_parquet(path) for path in (finished[0].train_listings, finished[0].test_listings)
    )
    found = Ageing.of(model, pd.concat([train, test]), tmp_path / "backtest.json")
    assert found is not None
    assert found.learned_to == train["listed_on"].max().date()
    assert found.known_to == max(one["listed_on"].max().date() for one in (train, test))
    assert found.mape == {}
    later = test.assign(listed_on=test["listed_on"] + pd.Timedelta(days=91))
    write_json(tmp_path / "backtest.json", REPORT)
    older = Ageing.of(model, later, tmp_path / "backtest.json")
    assert older is not None
    assert (older.months, older.mape) == (pytest.approx(3, abs=0.5), {1: 10.0, 2: 12.5})
    until = found.known_to + datetime.timedelta(days=200)
    corrected = replace(model, correction=Correction(found.known_to, until, 500, 0.01))
    aged = Ageing.of(corrected, train, tmp_path / "none.json")
    assert aged is not None
    assert aged.known_to == until


def test_listings_without_dates_tell_no_age(finished: Any, tmp_path: Path) -> None:
    listings = pd.read_parquet(finished[0].test_listings).assign(listed_on=pd.NaT)
    assert Ageing.of(PriceModel.load(finished[0].model), listings, tmp_path / "none.json") is None


@pytest.mark.parametrize("content", ["{", "[]", '{"by_horizon": [{"horizon": "x"}]}', "5"])
def test_a_damaged_report_is_told_of(content: str, tmp_path: Path) -> None:
    path = tmp_path / "backtest.json"
    assert read_backtest(path) is None
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=r"backtest\.json is no report of a backtest; run"):
        read_backtest(path)
