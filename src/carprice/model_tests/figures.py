"""Measure a model on the test listings again; compare with the registry's tags and the gate."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Self

import numpy as np
import pandas as pd

from carprice.components.workspace import Workspace, read_json
from carprice.evaluation.gate import Candidate, decide
from carprice.evaluation.measurement import Measurement, measure
from carprice.listings.believed import believed
from carprice.listings.cars import first_of_each_car
from carprice.listings.frames import as_columns
from carprice.metrics import range_metrics
from carprice.model import PriceModel
from carprice.model_tests.results import ModelTest, ModelTestFailedError, require
from carprice.registry.versions import Version
from carprice.schema import PRICE
from carprice.settings import GateSettings

SUITE: Final = "figures"
_CONFIDENCES: Final = (0.5, 0.8, 0.9, 0.95)
_TAGGED: Final = ("mape", "mdape", "within_10", "coverage")
_FOUR_DIGITS: Final = 1e-3


@dataclass(frozen=True)
class Measured:
    """A model measured on the test listings of its own data.

    Attributes
    ----------
    covered : confidence → share of the prices inside the range, in per cent.
    """

    test: pd.DataFrame
    rows_train: int
    measured: Measurement
    covered: Mapping[float, float]

    @classmethod
    def measure(cls, model: PriceModel, train: pd.DataFrame, test: pd.DataFrame) -> Self:
        """Price the test rows as the service would."""
        measured, covered = measure(model, train, test), {}
        cars = believed(first_of_each_car(test))
        actual, columns = cars[PRICE].to_numpy(dtype=np.float64), as_columns(cars)
        for confidence in _CONFIDENCES:
            one = model.predict(columns, confidence)
            found = range_metrics(actual, one.price, one.low, one.high)
            covered[confidence] = found["coverage"]
        return cls(test, len(train), measured, covered)


def read_and_measure(model: PriceModel, version: Version, workspace: Workspace) -> Measured:
    """Measure a model on the workspace's test listings.

    Raises
    ------
    ModelTestFailedError
        If they are missing, or not of the data that the model was trained and registered with.
    """
    remedy = "run `dvc pull` in the commit that made the model, or `carprice ingest` with its data"
    places = (workspace.market, workspace.train_listings, workspace.test_listings)
    missing = next((path for path in places if not path.is_file()), None)
    if missing is not None:
        raise ModelTestFailedError(
            f"{missing} does not exist, so nothing can be measured; {remedy}"
        )
    found = read_json(workspace.market, made_by="ingest").get("data_digest", "")
    registered = version.tags.get("data_digest", "")
    for whose, wanted in (("version", registered), ("model", model.market.data_digest)):
        if found != wanted:
            raise ModelTestFailedError(
                f"{workspace.market.parent} holds the data {_short(found)}, the {whose} is of "
                f"{_short(wanted)}; {remedy}"
            )
    train, test = (pd.read_parquet(path) for path in places[1:])
    return Measured.measure(model, train, test)


def checks(
    figures: Measured, version: Version, folder: Path, gate: GateSettings
) -> dict[str, ModelTest]:
    """Return the tests of measured figures by their names.

    Parameters
    ----------
    folder : the model folder.
    gate : thresholds of the gate before ``staging``.
    """
    measured = figures.measured
    metrics = {**measured.overall, "naive": measured.naive, "by": measured.segments}
    gate_checks = decide(Candidate.of(metrics, folder), None, gate).checks
    return {
        **{
            f"{name} is what the registry says": partial(
                _as_tagged, measured.overall[name], version.tags.get(name, "")
            )
            for name in _TAGGED
        },
        **{
            one.name: partial(require, one.passed, f"{one.found}; needs {one.needed}")
            for one in gate_checks
        },
    }


def _as_tagged(found: float, tag: str) -> str:
    try:
        is_same = math.isclose(found, float(tag), rel_tol=_FOUR_DIGITS)
    except ValueError:
        is_same = False
    told = tag or "nothing; register the model again"
    return require(is_same, f"{found:.4g} % measured anew; the registry says {told}")


def _short(digest: str) -> str:
    return digest[:12] or "an unknown digest"
