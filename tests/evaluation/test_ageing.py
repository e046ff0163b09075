"""How old a model is beside its data, and what a backtest's report says of that."""

import datetime
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from carprice.components.monitor import with_age
from carprice.errors import InputError
from carprice.evaluation.ageing import Ageing, read_backtest
from carprice.evaluation.gate import judge_age
from carprice.files import write_json
from carprice.model import PriceModel
from carprice.model.correction import Correction
from carprice.monitoring.checks import Cause, Level, Monitored

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
    report = REPORT | {"data_digest": model.market.data_digest, "quick": False}
    write_json(tmp_path / "backtest.json", report)
    older = Ageing.of(model, later, tmp_path / "backtest.json")
    assert older is not None
    assert (older.months, older.mape) == (pytest.approx(3, abs=0.5), {1: 10.0, 2: 12.5})
    until = found.known_to + datetime.timedelta(days=200)
    corrected = replace(model, correction=Correction(found.known_to, until, 500, 0.01))
    aged = Ageing.of(corrected, train, tmp_path / "none.json")
    assert aged is not None
    assert aged.known_to == until


@pytest.mark.parametrize(
    ("of", "told"),
    [
        ({"data_digest": "another"}, "the report is of other listings"),
        ({"quick": True}, "the report is of --quick, whose models are worse"),
    ],
)
def test_a_report_of_other_models_tells_nothing(
    of: dict[str, Any], told: str, finished: Any, tmp_path: Path
) -> None:
    model = PriceModel.load(finished[0].model)
    own = {"data_digest": model.market.data_digest, "quick": False}
    write_json(tmp_path / "backtest.json", REPORT | own | of)
    listings = pd.read_parquet(finished[0].test_listings)
    found = Ageing.of(model, listings, tmp_path / "backtest.json")
    assert found is not None
    assert (found.mape, found.unfit) == ({}, told)
    check = judge_age(found, 13)
    assert not check.passed
    assert check.needed == (
        f"a backtest, for a MAPE of 13 %: {told}; run `carprice experiments backtest`"
    )


def test_a_look_at_the_model_in_use_tells_of_its_age() -> None:
    first = datetime.date(2025, 1, 1)
    ages = [
        Ageing(first, first + datetime.timedelta(days), mape)
        for days, mape in ((20, {1: 10.0, 2: 12.5}), (60, {1: 10.0, 2: 12.5}), (60, {}))
    ]
    fine = Monitored(Cause.NONE, Level.FINE, ["nothing differs"], [], [])
    young, old, unknown = (with_age(fine, one, 11) for one in ages)
    assert [one.level for one in (young, old, unknown)] == [Level.FINE, Level.LOOK, Level.FINE]
    assert [one.checks[0].level for one in (young, old, unknown)] == [
        Level.FINE,
        Level.LOOK,
        Level.FINE,
    ]
    assert old.why[0] == (
        "age of the model: 2.0 months (learned to 2025-01-01, listings to 2025-03-02); may be at "
        "most 1 months: the MAPE of a backtest passes 11 % in month 2 (12.5 %)"
    )
    assert "not judged, which needs a backtest" in unknown.checks[0].told
    grave = Monitored(Cause.MARKET, Level.RETRAIN, ["it moved"], [], [])
    both = with_age(grave, ages[1], 11)
    assert (both.cause, both.level, both.why[0]) == (Cause.MARKET, Level.RETRAIN, "it moved")


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
