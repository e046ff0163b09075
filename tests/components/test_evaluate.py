import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from carprice.arrays import quiet
from carprice.components.evaluate import evaluate
from carprice.components.train import train
from carprice.components.workspace import Workspace, read_json
from carprice.errors import InputError
from carprice.evaluation.gate import Candidate
from carprice.evaluation.measurement import measure, naive_prices
from carprice.listings.believed import PRICE_TRUST
from carprice.listings.frames import as_columns
from carprice.metrics import (
    equity_metrics,
    equity_of_even_errors,
    price_metrics,
    range_metrics,
)
from carprice.model import PriceModel

ROOT = Path(__file__).parents[2]
PLOTS = [
    plot
    for plots in yaml.safe_load((ROOT / "dvc.yaml").read_text("utf-8"))["plots"]
    for plot in [*plots.values()]
]


@pytest.fixture(scope="module")
def test_rows(finished) -> pd.DataFrame:
    return pd.read_parquet(finished[0].test_listings)


def table(finished, name: str) -> pd.DataFrame:
    return pd.read_csv(finished[0].plots / f"{name}.csv", dtype={"decile": str, "age_band": str})


def test_figures_are_those_of_the_models_predictions(finished, test_rows: pd.DataFrame) -> None:
    figures = read_json(finished[0].metrics, "evaluate")
    prices = PriceModel.load(finished[0].model).predict(as_columns(test_rows), 0.9)
    actual = test_rows["price"].to_numpy(dtype=np.float64)
    expected = price_metrics(actual, prices.price)
    expected |= range_metrics(actual, prices.price, prices.low, prices.high)
    assert {name: figures[name] for name in expected} == pytest.approx(expected)
    assert figures["rows_test"] == len(test_rows)
    assert figures["rows_train"] == len(pd.read_parquet(finished[0].train_listings))
    assert figures == finished[1].figures


def test_the_bias_of_the_newest_test_cars_is_told(finished, test_rows: pd.DataFrame) -> None:
    prices = PriceModel.load(finished[0].model).predict(as_columns(test_rows))
    off = np.log(prices.price / test_rows["price"].to_numpy())
    day = test_rows["listed_on"].rank().to_numpy()
    told = finished[1].figures["bias_of_newest"]
    for name, share in (("tenth", 0.9), ("quarter", 0.75)):
        assert told[name] == pytest.approx(off[day >= np.quantile(day, share)].mean(), abs=1e-9)


def test_segments_add_up_to_the_whole(finished) -> None:
    figures = finished[1].figures
    assert set(figures["by"]) == {"age_band", "price_decile", "make", "cars_of_model"}
    for segments in figures["by"].values():
        rows = [one["rows"] for one in segments.values()]
        assert sum(rows) == figures["rows_test"]
        for name in ("mape", "within_10", "coverage"):
            parts = [one[name] for one in segments.values()]
            assert np.average(parts, weights=rows) == pytest.approx(figures[name])


def test_what_assessors_ask_for_is_told_of_all_cars_and_by_worth(
    finished, test_rows: pd.DataFrame
) -> None:
    figures = finished[1].figures
    actual = test_rows["price"].to_numpy(dtype=np.float64)
    predicted = PriceModel.load(finished[0].model).predict(as_columns(test_rows)).price
    for name, value in equity_metrics(actual, predicted).items():
        assert figures[name] == figures["test"][name] == pytest.approx(value)
    assert figures["prb_low"] < figures["prb"] < figures["prb_high"]
    assert figures["even_errors"] == pytest.approx(equity_of_even_errors(actual, predicted))
    assert figures["naive"]["cod"] > figures["cod"]
    told = figures["vertical_equity"]
    assert sum(one["rows"] for one in told.values()) == figures["rows_test"]
    assert [one["from"] for one in told.values()] == sorted(one["from"] for one in told.values())
    drawn = pd.read_csv(finished[0].plots / "vertical_equity.csv", dtype={"tenth": str})
    assert drawn.set_index("tenth")["cod"].to_dict() == pytest.approx(
        {name: one["cod"] for name, one in told.items()}
    )


def test_segments_stand_in_their_natural_order(finished) -> None:
    by = finished[1].figures["by"]
    assert list(by["age_band"]) == ["0-3", "4-6", "7-9", "10+"]
    assert list(by["price_decile"]) == [f"{decile:02d}" for decile in range(1, 11)]


def test_every_plot_table_has_the_columns_that_dvc_draws(finished) -> None:
    drawn = set()
    for plot in PLOTS:
        ((path, column),) = plot["y"].items()
        found = pd.read_csv(finished[0].root / path)
        assert found[[plot["x"], column]].notna().all(axis=None)
        assert pd.api.types.is_numeric_dtype(found[plot["x"]])
        drawn.add(finished[0].root / path)
    assert drawn == {*finished[0].plots.iterdir()}


def test_plot_tables_repeat_the_figures(finished, test_rows: pd.DataFrame) -> None:
    by_age = finished[1].figures["by"]["age_band"]
    errors = table(finished, "error_by_age_band").set_index("age_band")
    covered = table(finished, "coverage_by_age_band").set_index("age_band")
    for band, figures in by_age.items():
        assert errors.loc[band, "mdape"] == pytest.approx(figures["mdape"])
        assert covered.loc[band, "coverage"] == pytest.approx(figures["coverage"])
    predictions = table(finished, "predictions")
    assert sorted(predictions["actual"]) == sorted(test_rows["price"])


def test_makes_are_drawn_by_their_rows_and_importance_by_its_size(finished) -> None:
    makes, gains = table(finished, "error_by_make"), table(finished, "importance")
    assert 1 < len(makes) <= 15
    assert makes["rows"].is_monotonic_decreasing
    assert 1 < len(gains) <= 20
    assert gains["gain"].is_monotonic_decreasing
    assert finished[0].picture.read_bytes().startswith(b"\x89PNG")


def test_the_naive_price_is_the_median_of_model_else_make_else_all() -> None:
    names = {"make": [*"AAAABB"], "model": [*"xxzzyy"]}
    train = pd.DataFrame({**names, "price": [100.0, 300, 100, 200, 900, 1100]})
    test = pd.DataFrame({"make": [*"AABC"], "model": ["x", "new", "y", "new"]}, index=[7, 8, 9, 5])
    assert naive_prices(train, test).tolist() == [200, 150, 1000, 250]


def test_what_is_of_other_listings_is_refused(finished, small_settings, tmp_path: Path) -> None:
    workspace = Workspace(shutil.copytree(finished[0].root, tmp_path / "work"))
    other = workspace.market.read_text("utf-8").replace(finished[1].report["data_digest"], "f" * 64)
    workspace.market.write_text(other, "utf-8")
    for stage, made, remedy in (
        (partial(train, small_settings.train), workspace.train_features, "`carprice transform`"),
        (evaluate, workspace.model, "`carprice transform` and `carprice train`"),
    ):
        with pytest.raises(InputError) as refused:
            stage(workspace, quiet)
        told = str(refused.value)
        assert told.startswith(f"{made} is of other listings (data digest ")
        assert told.endswith(f"(ffffffffffff), which ingest has written since; run {remedy} first")


def test_prices_that_are_no_cars_are_in_no_figure_but_those_beside(finished) -> None:
    workspace = finished[0]
    model = PriceModel.load(workspace.model)
    learned, test = map(pd.read_parquet, (workspace.train_listings, workspace.test_listings))
    clean = measure(model, learned, test.iloc[7:])
    odd = test.assign(**{PRICE_TRUST: np.r_[np.full(7, 0.1), np.ones(len(test) - 7)]})
    odd.loc[odd.index[:7], "price"] = 1.0
    found = measure(model, learned, odd)
    assert (found.junk, clean.junk) == (7, 0)
    assert found.test == pytest.approx(clean.test)
    assert found.noise == clean.noise
    assert found.every["mape"] > 100 * found.test["mape"]
    metrics = {**found.overall, "naive": found.naive, "by": found.segments}
    metrics["junk"] = {"rows": found.junk, "every": found.every}
    candidate = Candidate.of(metrics, workspace.model)
    assert candidate.mape == pytest.approx(clean.overall["mape"])
    assert "without 7 test rows whose price is no car's" in candidate.note
