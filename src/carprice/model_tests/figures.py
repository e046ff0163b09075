"""Measure a model on the test listings again; compare with the registry's tags and the gate."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, Self

import numpy as np
import pandas as pd

from carprice.components.workspace import Workspace, read_json
from carprice.evaluation.ageing import Ageing
from carprice.evaluation.gate import Candidate, decide
from carprice.evaluation.measurement import Measurement, measure, of_their_days
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
_SURE: Final = 3.0
_SMALLEST: Final = 1e-9


@dataclass(frozen=True)
class Measured:
    """A model measured on the test listings of its own data.

    Attributes
    ----------
    covered : confidence → share of the prices inside the range, in per cent.
    ageing : how old the model is beside its data; None where listings have no dates.
    """

    train: pd.DataFrame
    test: pd.DataFrame
    measured: Measurement
    covered: Mapping[float, float]
    ageing: Ageing | None = None

    @classmethod
    def measure(cls, model: PriceModel, train: pd.DataFrame, test: pd.DataFrame) -> Self:
        """Price the test rows as the service would."""
        measured, covered = measure(model, train, test), {}
        cars = believed(first_of_each_car(test))
        actual = cars[PRICE].to_numpy(dtype=np.float64)
        columns = as_columns(of_their_days(cars, model))
        for confidence in _CONFIDENCES:
            one = model.predict(columns, confidence)
            found = range_metrics(actual, one.price, one.low, one.high)
            covered[confidence] = found["coverage"]
        return cls(train, test, measured, covered)


def read_and_measure(
    model: PriceModel, version: Version, workspace: Workspace, backtest: Path | None = None
) -> Measured:
    """Measure a model on the workspace's test listings.

    Parameters
    ----------
    backtest : the report that its age is judged by, where it is.

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
    ageing = Ageing.of(model, pd.concat([train, test]), backtest)
    return replace(Measured.measure(model, train, test), ageing=ageing)


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
    candidate = Candidate.of(metrics, folder, ageing=figures.ageing)
    gate_checks = decide(candidate, None, gate).checks
    return {
        **{
            f"{name} is what the registry says": partial(
                _as_tagged, measured.overall[name], version.tags.get(name, "")
            )
            for name in _TAGGED
        },
        "prices have to do with the cars": partial(_prices_of_the_cars, measured),
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


def _prices_of_the_cars(measured: Measurement) -> str:
    """Require that a model is nearer to the prices asked than one price for all cars is.

    Where it is not, by three standard errors, the prices are not those of the cars beside them.
    """
    actual, predicted = np.log(measured.actual), np.log(measured.prices.price)
    alone = np.abs(actual - np.median(actual))
    gain = alone - np.abs(actual - predicted)
    scale = 100 / max(float(alone.mean()), _SMALLEST)
    nearer, error = (scale * float(each) for each in (gain.mean(), gain.std() / len(gain) ** 0.5))
    return require(
        nearer > _SURE * error,
        f"the model's prices are nearer to those asked than one price for all cars by "
        f"{nearer:.1f} %; needs {_SURE:g} standard errors, {_SURE * error:.1f} %, or else the "
        "listings' prices have nothing to do with their cars",
    )


def _short(digest: str) -> str:
    return digest[:12] or "an unknown digest"
