"""Evaluate: the model folder on the test rows → figures, plot tables and one picture."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Final

import numpy as np
import pandas as pd

from carprice.arrays import Progress
from carprice.components.workspace import Workspace, refuse_other_listings, require_output
from carprice.evaluation.measurement import Measurement, Predict, measure
from carprice.evaluation.plots import draw_evaluation
from carprice.files import check_writable, replacing, write_json, writing
from carprice.model import DEFAULT_CONFIDENCE, PriceModel

_POINTS: Final = 2000
_MAKES: Final = 15
_COLUMNS: Final = 20

Metrics = dict[str, Any]


def evaluate(
    workspace: Workspace,
    progress: Progress,
    predictor: Callable[[PriceModel], Predict] | None = None,
) -> Metrics:
    """Price the test rows as the service would, and write metrics, plot tables and a picture.

    Parameters
    ----------
    predictor : returns what prices listings by a model; None for the model itself.

    Raises
    ------
    InputError
        If the model learned from other listings than those that ingest has split since.
    """
    check_writable(workspace.picture, workspace.metrics)
    progress("pricing the test rows")
    model = PriceModel.load(require_output(workspace.model, made_by="train"))
    remedy = "run `carprice transform` and `carprice train` first"
    refuse_other_listings(workspace, workspace.model, model.market.data_digest, remedy)
    train = pd.read_parquet(require_output(workspace.train_listings, made_by="ingest"))
    test = pd.read_parquet(require_output(workspace.test_listings, made_by="ingest"))
    measured = measure(model, train, test, predictor and predictor(model))
    noise = asdict(measured.noise)
    figures = {
        **measured.overall,
        "margin": measured.margin,
        "confidence": DEFAULT_CONFIDENCE,
        "rows_train": len(train),
        "rows_test": len(test),
        "cars": len(measured.actual),
        "cars_held_out": measured.held_out,
        "test": measured.test,
        **({"junk": {"rows": measured.junk, "every": measured.every}} if measured.junk else {}),
        "naive": measured.naive,
        "cross_validated": model.metrics,
        "noise_floor": {name: one for name, one in noise.items() if one is not None},
        **({"bias_of_newest": measured.newest} if measured.newest else {}),
        "even_errors": measured.even_errors,
        "vertical_equity": measured.equity,
        "by": measured.segments,
    }
    progress("drawing")
    tables = _plot_tables(measured, model.importance)
    with replacing(workspace.plots) as folder:
        for name, table in tables.items():
            table.to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")
    with writing(workspace.picture) as path:
        draw_evaluation(tables, figures, model.market.currency, path)
    write_json(workspace.metrics, figures)
    return figures


def _plot_tables(measured: Measurement, importance: Mapping[str, float]) -> dict[str, pd.DataFrame]:
    """Return the tables behind the plots, by the name of their file."""
    actual, predicted, segments = measured.actual, measured.prices.price, measured.segments
    shown = np.random.default_rng(0).permutation(len(actual))[:_POINTS]
    makes = sorted(segments["make"].items(), key=lambda item: -item[1]["rows"])[:_MAKES]
    weights = sorted(importance.items(), key=lambda item: -item[1])[:_COLUMNS]
    errors = ("mape", "mdape", "within_10")
    return {
        "predictions": pd.DataFrame(
            {"actual": actual[shown], "predicted": np.round(predicted[shown], 2)}
        ),
        "error_by_price_decile": _table("decile", segments["price_decile"], *errors),
        "error_by_age_band": _table("age_band", segments["age_band"], *errors),
        "error_by_make": _table("make", dict(makes), *errors),
        "coverage_by_age_band": _table("age_band", segments["age_band"], "coverage"),
        "vertical_equity": _table("tenth", measured.equity, "from", "to", "median_ratio", "cod"),
        "importance": pd.DataFrame(weights, columns=["feature", "gain"]),
    }


def _table(name: str, segments: Mapping[str, Mapping[str, float]], *figures: str) -> pd.DataFrame:
    table = pd.DataFrame.from_dict(segments, orient="index", dtype=object)
    return table[["rows", *figures]].rename_axis(name).reset_index().infer_objects()
