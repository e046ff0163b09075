"""Measure a model on the test listings again, and compare with the registry's tags and the gate."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Self

import pandas as pd

from carprice.components.workspace import Workspace, read_json
from carprice.evaluation.gate import Candidate, Check, decide
from carprice.evaluation.measurement import Measurement, measure
from carprice.listings.frames import as_columns
from carprice.metrics import range_metrics
from carprice.model import PriceModel
from carprice.model_tests.results import ModelTest, ModelTestFailedError, require
from carprice.registry.versions import Version
from carprice.settings import GateSettings

SUITE: Final = "figures"
CONFIDENCES: Final = (0.5, 0.8, 0.9, 0.95)
_TAGGED: Final = ("mape", "mdape", "within_10", "coverage")
_FOUR_DIGITS: Final = 1e-3


@dataclass(frozen=True)
class Figures:
    """A model measured on the test listings of its own data.

    Attributes
    ----------
    covered : confidence asked for → share of the prices inside, in per cent.
    """

    test: pd.DataFrame
    rows_train: int
    measured: Measurement
    covered: Mapping[float, float]

    @classmethod
    def measure(cls, model: PriceModel, train: pd.DataFrame, test: pd.DataFrame) -> Self:
        """Price the test rows as the service would."""
        measured = measure(model, train, test)
        every = {asked: model.predict(as_columns(test), asked) for asked in CONFIDENCES}
        covered = {
            asked: range_metrics(measured.actual, one.price, one.low, one.high)["coverage"]
            for asked, one in every.items()
        }
        return cls(test, len(train), measured, covered)


def read_and_measure(model: PriceModel, version: Version, workspace: Workspace) -> Figures:
    """Measure a model on the workspace's test listings.

    Raises
    ------
    ModelTestFailedError
        If they are not there, or not of the data that the model was trained and registered with.
    """
    remedy = "run `dvc pull` in the commit that made the model, or `carprice ingest` with its data"
    places = (workspace.market, workspace.train_listings, workspace.test_listings)
    missing = next((path for path in places if not path.is_file()), None)
    if missing is not None:
        raise ModelTestFailedError(
            f"{missing} does not exist, so nothing can be measured; {remedy}"
        )
    found = read_json(workspace.market, made_by="ingest").get("data_digest", "")
    for whose, wanted in (
        ("the version", version.tags.get("data_digest", "")),
        ("the model", model.market.data_digest),
    ):
        if found != wanted:
            raise ModelTestFailedError(
                f"{workspace.market.parent} holds the data {_short(found)}, {whose} is of "
                f"{_short(wanted)}; {remedy}"
            )
    train, test = (pd.read_parquet(path) for path in places[1:])
    return Figures.measure(model, train, test)


def checks(
    figures: Figures, version: Version, folder: Path, gate: GateSettings
) -> dict[str, ModelTest]:
    """Return the tests of measured figures by their names.

    Parameters
    ----------
    folder : the model folder.
    gate : the floors, those of the gate before ``staging``.
    """
    tagged = {
        f"{name} is what the registry says": partial(_as_tagged, figures, version, name)
        for name in _TAGGED
    }
    measured = figures.measured
    metrics = {**measured.overall, "naive": measured.naive, "by": measured.segments}
    floors = decide(Candidate.of(metrics, folder), None, gate).checks
    return {**tagged, **{one.name: partial(_floor, one) for one in floors}}


def _as_tagged(figures: Figures, version: Version, name: str) -> str:
    tag = version.tags.get(name, "")
    found = figures.measured.overall[name]
    try:
        same = math.isclose(found, float(tag), rel_tol=_FOUR_DIGITS)
    except ValueError:
        same = False
    told = tag or "nothing; register the model again"
    return require(same, f"{found:.4g} % measured anew; the registry says {told}")


def _floor(check: Check) -> str:
    return require(check.passed, f"{check.found}; needs {check.needed}")


def _short(digest: str) -> str:
    return digest[:12] or "an unknown digest"
