import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from carprice.components.evaluate import evaluate
from carprice.components.workspace import Workspace, read_json
from carprice.errors import InputError
from carprice.evaluation.measurement import naive_prices
from carprice.listings.frames import as_columns
from carprice.metrics import price_metrics, range_metrics
from carprice.model import PriceModel

ROOT = Path(__file__).parents[2]
PLOTS = [
    plot
    for plots in yaml.safe_load((ROOT / "dvc.yaml").read_text())["plots"]
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


@pytest.mark.parametrize("segment", ["age_band", "price_decile", "make", "cars_of_model"])
def test_segments_add_up_to_the_whole(segment: str, finished) -> None:
    figures = finished[1].figures
    parts = figures["by"][segment].values()
    rows = sum(part["rows"] for part in parts)
    assert rows == figures["rows_test"]
    for name in ("mape", "within_10", "coverage"):
        mean = sum(part["rows"] * part[name] for part in parts) / rows
        assert mean == pytest.approx(figures[name])


def test_segments_stand_in_their_natural_order(finished) -> None:
    by = finished[1].figures["by"]
    assert list(by["age_band"]) == ["0-3", "4-6", "7-9", "10+"]
    assert list(by["price_decile"]) == [f"{decile:02d}" for decile in range(1, 11)]


@pytest.mark.parametrize("plot", PLOTS, ids=[next(iter(plot["y"])) for plot in PLOTS])
def test_a_plot_has_the_columns_that_dvc_draws(plot: dict, finished) -> None:
    ((path, column),) = plot["y"].items()
    drawn = pd.read_csv(finished[0].root / path)
    assert {plot["x"], column} <= set(drawn.columns)
    assert drawn[[plot["x"], column]].notna().all(axis=None)
    assert pd.api.types.is_numeric_dtype(drawn[plot["x"]])


def test_every_plot_table_is_drawn(finished) -> None:
    drawn = {Path(path).name for plot in PLOTS for path in plot["y"]}
    assert drawn == {path.name for path in finished[0].plots.iterdir()}


def test_plot_tables_repeat_the_figures(finished, test_rows: pd.DataFrame) -> None:
    by_age = finished[1].figures["by"]["age_band"]
    errors = table(finished, "error_by_age_band").set_index("age_band")
    covered = table(finished, "coverage_by_age_band").set_index("age_band")
    for band, figures in by_age.items():
        assert errors.loc[band, "mdape"] == pytest.approx(figures["mdape"])
        assert covered.loc[band, "coverage"] == pytest.approx(figures["coverage"])
    predictions = table(finished, "predictions")
    assert sorted(predictions["actual"]) == sorted(test_rows["price"])


def test_makes_stand_by_their_rows_and_importance_by_its_size(finished) -> None:
    makes, gains = table(finished, "error_by_make"), table(finished, "importance")
    assert 1 < len(makes) <= 15
    assert makes["rows"].is_monotonic_decreasing
    assert 1 < len(gains) <= 20
    assert gains["gain"].is_monotonic_decreasing


def test_the_picture_is_a_picture(finished) -> None:
    assert finished[0].picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("make", "model", "expected"),
    [("A", "x", 200), ("A", "new", 150), ("B", "y", 1000), ("C", "new", 250)],
)
def test_the_naive_price_is_the_median_of_model_else_make_else_all(
    make: str, model: str, expected: float
) -> None:
    train = pd.DataFrame(
        {
            "make": ["A", "A", "A", "A", "B", "B"],
            "model": ["x", "x", "z", "z", "y", "y"],
            "price": [100.0, 300, 100, 100, 900, 1100],
        }
    )
    train.loc[3, "price"] = 200.0
    test = pd.DataFrame({"make": [make], "model": [model]}, index=[7])
    assert naive_prices(train, test).tolist() == [expected]


@pytest.mark.parametrize(
    ("missing", "stage"),
    [("model", "train"), ("train_listings", "ingest"), ("test_listings", "ingest")],
)
def test_a_missing_input_names_the_stage_to_run(
    missing: str, stage: str, finished, tmp_path: Path
) -> None:
    source, workspace = finished[0], Workspace(tmp_path)
    for name in {"model", "train_listings", "test_listings"} - {missing}:
        target = getattr(workspace, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        copied = shutil.copytree if name == "model" else shutil.copy
        copied(getattr(source, name), target)
    with pytest.raises(InputError, match=f"does not exist; run `carprice {stage}` first"):
        evaluate(workspace, lambda _: None)
    assert not (tmp_path / "reports").exists()
