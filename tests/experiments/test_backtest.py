"""Rolling-origin evaluation on a small sample, as a person runs it and as parts."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from command_line import Done, caller

from carprice.arrays import quiet
from carprice.components.workspace import Workspace
from carprice.eda.drift import Drift, DriftVerdict
from carprice.errors import InputError
from carprice.evaluation.ageing import read_backtest
from carprice.experiments import backtest
from carprice.experiments.backtest import Backtest, by_horizon, plan_backtest, train_to
from carprice.experiments.data import Data, read_data
from carprice.experiments.fitting import CrossValidation
from carprice.experiments.tracked import Reporting
from carprice.listings.cars import CAR
from carprice.settings import Settings

PARAMS = """\
ingest: {source: sample, sample: {rows: 1000, seed: 7}}
train: {folds: 2, patience: 5, booster: {n_estimators: 10, max_depth: 2, learning_rate: 0.3}}
"""


@pytest.fixture(scope="module")
def dated(tmp_path_factory: pytest.TempPathFactory, settings: Settings) -> Data:
    """All rows of a sample of 1,000."""
    sample = settings.ingest.sample.model_copy(update={"rows": 1000})
    ingest = settings.ingest.model_copy(update={"sample": sample})
    larger = settings.model_copy(update={"ingest": ingest})
    return read_data(larger, tmp_path_factory.mktemp("dated"), quiet, all_rows=True)


@pytest.fixture(scope="module")
def looked_at() -> list[Any]:
    """What the look at the dates was asked."""
    return []


@pytest.fixture(scope="module")
def plan(dated: Data, settings: Settings, looked_at: list[Any]) -> Backtest:
    """A plan for dates of which the look at the data says that they do not drift."""

    def find(*arguments: Any) -> Drift:
        looked_at.append(arguments)
        return Drift(DriftVerdict.NO_DRIFT, 1000, "2024-01-01", "2025-06-30", loss=0.1)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backtest, "find_drift", find)
        return plan_backtest(dated, 3, 2, 900, settings.train)


def rewritten(data: Data, folder: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Data:
    """Return data whose listings are changed."""
    workspace = Workspace(folder)
    listings = pd.read_parquet(Workspace(data.file.parents[2]).train_listings)
    workspace.train_listings.parent.mkdir(parents=True)
    change(listings).to_parquet(workspace.train_listings)
    return replace(data, file=workspace.train_features)


def test_origins_are_ends_of_months_with_months_after_them(plan: Backtest) -> None:
    months = plan.listings["month"]
    assert 1 <= len(plan.origins) <= 3
    assert [*plan.origins] == sorted({*plan.origins})
    for origin in plan.origins:
        assert (months <= origin).sum() >= backtest.FEWEST_ROWS
        assert origin + 2 <= months.max()
    assert plan.listings["listed_on"].is_monotonic_increasing
    assert len(plan.listings) == 900


def test_a_model_knows_nothing_of_later_months(plan: Backtest, settings: Settings) -> None:
    learned = plan.listings[plan.listings["month"] <= plan.origins[0]]
    model = train_to(learned, plan.market, settings.train, quiet)
    last = learned["listed_on"].max().date()
    assert model.market.valuation_date == last
    assert model.trained_on["listed"][1] == 0
    assert model.cars <= len(learned)


def test_cars_that_were_learned_from_are_left_out(
    *, dated: Data, plan: Backtest, how: CrossValidation, to: Reporting, tmp_path: Path
) -> None:
    origin, month = plan.origins[0], plan.listings["month"]
    # As of `ingest.repeats: ignore`, and half of the cars as of other rules.
    half = np.where(np.arange(len(month)) % 2, np.arange(len(month)), -1 - np.arange(len(month)))
    named = plan.listings.assign(**{CAR: half})
    again = named[month <= origin].head(80).assign(month=origin + 1)
    again.loc[again[CAR] < 0, CAR] += 10_000_000
    listings = pd.concat([named, again], ignore_index=True)
    with_repeats = replace(plan, listings=listings, origins=[origin], horizon=1)
    report = tmp_path / "backtest.json"
    content, resumed = backtest.run_backtest(with_repeats, how, dated, to, report)
    assert not resumed
    (row,) = content["by_horizon"]
    assert row["rows"] == (month == origin + 1).sum()
    assert read_backtest(report) == json.loads(json.dumps(content))
    assert (row["mape_low"], row["origins"]) == (None, 1)
    assert 50 < row["coverage"] <= 100
    assert {path.name for path in to.out.iterdir()} == {
        "by_horizon.csv", "origins.csv", "error_by_horizon.png"
    }  # fmt: skip


def test_listings_without_dates_or_of_one_month_are_refused_with_a_remedy(
    dated: Data, settings: Settings, tmp_path: Path
) -> None:
    none = rewritten(dated, tmp_path / "none", lambda rows: rows.assign(listed_on=pd.NaT))
    with pytest.raises(InputError, match=r"no listing has a date.*ingest\.columns\.listedOn"):
        plan_backtest(none, 3, 2, None, settings.train)
    day = pd.Timestamp("2025-03-05")
    one = rewritten(dated, tmp_path / "one", lambda rows: rows.assign(listed_on=day))
    with pytest.raises(InputError, match="of 1 months, 2025-03 to 2025-03"):
        plan_backtest(one, 3, 2, None, settings.train)


def test_invented_dates_are_doubted_as_the_look_at_the_data_does(
    plan: Backtest, looked_at: list[Any]
) -> None:
    assert "If the dates are invented" in plan.doubts
    days, year, price, apart, loss = looked_at[0]
    assert len({len(days), len(year), len(price), len(apart)}) == 1
    assert abs(float(np.mean(apart))) < 0.05
    assert 0 < loss < 0.3


def test_the_interval_is_of_the_origins() -> None:
    figures = {"rows": 10.0, "mape": 10.0, "mdape": 8.0, "bias": 0.0, "coverage": 90.0}
    measured = [
        [figures | {"horizon": 1.0, "mape": mape}, figures | {"horizon": 2.0}]
        for mape in (9.0, 11.0, 13.0)
    ]
    table = by_horizon(measured).set_index("horizon")
    assert table.loc[1, "mape"] == 11
    assert table.loc[1, "mape_high"] == pytest.approx(11 + 4.303 * 2 / 3**0.5, abs=0.01)
    assert table.loc[2, "mape_low"] == table.loc[2, "mape_high"] == 10
    assert table["rows"].tolist() == [30, 30]


def test_a_person_sees_the_table_and_goes_on_after_an_interruption(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], empty_registry: Path
) -> None:
    monkeypatch.chdir(empty_registry)
    Path("params.yaml").write_text(PARAMS, encoding="utf-8")
    carprice = caller(monkeypatch, capsys)
    arguments = ("experiments", "backtest", "--origins", "2", "--horizon", "2")
    measure, trained = backtest._measure, []

    def interrupted(plan: Any, origin: Any, *more: Any) -> Any:
        trained.append(str(origin))
        if len(trained) == 2:
            raise KeyboardInterrupt
        return measure(plan, origin, *more)

    monkeypatch.setattr(backtest, "_measure", interrupted)
    broken: Done = carprice(*arguments)
    assert broken.code == 1
    assert "interrupted after 1 of 2 origins; the same command goes on" in broken.err
    assert not Path("reports/backtest.json").exists()
    done = carprice(*arguments)
    assert done.code == 0, done.err
    assert len({*trained}) == 2
    assert len(trained) == 3
    assert "Went on from where the same experiment was left." in done.err
    assert "90 % range covers" in done.err
    report = read_backtest(Path("reports/backtest.json"))
    assert report is not None
    assert [one["origins"] for one in report["by_horizon"]] == [2, 2]
    assert report["quick"] is False
