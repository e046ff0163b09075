"""The same model with a correction: registered, judged, tested, promoted as any other version."""

import datetime
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from carprice.arrays import quiet
from carprice.components.recalibrate import Recalibration, recalibrate
from carprice.components.workspace import Workspace, read_json
from carprice.errors import InputError, RefusedError
from carprice.files import write_json
from carprice.listings.believed import believed
from carprice.model import PriceModel
from carprice.model_tests.figures import read_and_measure
from carprice.monitoring.records import LISTED, OBSERVED_ON, OBSERVED_PRICE, SOURCE
from carprice.registry.promotion import promote, record_tests
from carprice.registry.versions import PRODUCTION, STAGING, Registry
from carprice.schema import PRICE
from carprice.settings import Settings

NOW = datetime.datetime(2025, 9, 1, 12, 0, tzinfo=datetime.UTC)


def seen(workspace: Workspace, factor: float) -> pd.DataFrame:
    """Return the test listings as fresh ones of the sixty days after training, at other prices."""
    rows = believed(pd.read_parquet(workspace.test_listings)).reset_index(drop=True)
    day = pd.Timestamp(PriceModel.load(workspace.model).market.valuation_date)
    days = day + pd.to_timedelta(1 + np.arange(len(rows)) % 60, unit="D")
    return rows.assign(**{SOURCE: LISTED, OBSERVED_PRICE: factor * rows[PRICE], OBSERVED_ON: days})


def settings_with(small: Settings, fewest: int = 100, **gate: Any) -> Settings:
    content = small.model_dump(by_alias=True)
    content["monitor"]["recalibrate"]["fewest"] = fewest
    content["register"]["gate"] |= {"latency_factor": 1000, **gate}
    return Settings.model_validate(content)


@pytest.fixture
def workspace(promoted: Workspace, tmp_path: Path) -> Workspace:
    return Workspace(shutil.copytree(promoted.root, tmp_path / "workspace"))


@pytest.fixture
def registry(workspace: Workspace) -> Registry:
    return Registry(f"sqlite:///{workspace.root}/mlflow.db", "used-car-price")


def run(workspace: Workspace, settings: Settings, factor: float = 0.92) -> Recalibration:
    observations = seen(workspace, factor)
    return recalibrate(workspace.model, observations, settings, workspace, NOW, quiet)


def test_a_recalibrated_model_goes_the_way_of_every_version(
    workspace: Workspace, registry: Registry, small_settings: Settings
) -> None:
    settings = settings_with(small_settings)
    before = read_json(workspace.registration, "register"), read_json(workspace.metrics, "evaluate")
    done = run(workspace, settings)
    made = done.registration
    assert (made.version, made.is_new, made.accepted) == (2, True, True), made.reasons
    assert any("error of later cars with the correction" in one for one in made.reasons)
    assert "of later cars" not in done.told
    assert "later cars the 90 % range covers" in done.told
    staged = registry.at(STAGING)
    assert staged is not None
    assert staged.number == 2
    model = PriceModel.load(registry.fetch(staged, workspace.model_cache))
    production = PriceModel.load(workspace.model)
    assert model.correction == done.correction
    assert model.correction.shift == pytest.approx(np.log(0.92), abs=0.04)
    car = {"make": "Maruti", "model": "Swift", "year": 2018, "odometer": 52_000.0}
    ratio = model.pricer.prices([car]).price / production.pricer.prices([car]).price
    assert ratio == pytest.approx(0.92, abs=0.05)
    # The candidate of the pipeline, and what it left, are as they were.
    after = read_json(workspace.registration, "register"), read_json(workspace.metrics, "evaluate")
    assert after == before
    assert production.correction is None
    # Its figures on the test listings, which are of before, are those of production.
    measured = read_and_measure(model, staged, workspace)
    assert measured.measured.overall["mape"] == pytest.approx(before[1]["mape"])
    record_tests(registry, staged, (), NOW, settings.register_)
    assert promote(registry, NOW, "for the test", settings.register_).number == 2
    # The same prices once more make the same bytes, and no other version.
    folder = registry.fetch(registry.at(PRODUCTION), workspace.model_cache)  # type: ignore[arg-type]
    observations = seen(workspace, 0.92)
    again = recalibrate(folder, observations, settings, workspace, NOW, quiet)
    assert (again.registration.version, again.registration.is_new) == (2, False)


def test_the_gate_refuses_a_correction_or_a_model_that_is_too_old(
    workspace: Workspace, registry: Registry, small_settings: Settings
) -> None:
    rows = [{"horizon": month, "mape": 9.0 + month} for month in (1, 2, 3)]
    own = {"data_digest": read_json(workspace.market, made_by="ingest")["data_digest"]}
    write_json(workspace.backtest, {**own, "by_horizon": rows})
    settings = settings_with(small_settings, max_mape_of_age=10)
    done = run(workspace, settings)
    assert not done.registration.accepted
    (failed,) = [one for one in done.registration.reasons if one.startswith("failed")]
    assert failed.startswith("failed: age of the model 2.0 months (learned to ")
    assert failed.endswith(
        "needs at most 1 months: the MAPE of a backtest passes 10 % in month 2 (11.0 %)"
    )
    staged = registry.at(STAGING)
    assert staged is not None
    assert staged.number == 1
    write_json(workspace.backtest, {**own, "by_horizon": [one | {"mape": 9.0} for one in rows]})
    assert run(workspace, settings).registration.accepted
    # Nothing reads a report that nothing is judged by.
    workspace.backtest.write_text("{", encoding="utf-8")
    assert run(workspace, settings_with(small_settings)).registration.accepted


def test_a_correction_worse_than_the_models_own_is_refused_and_leaves_staging(
    workspace: Workspace, registry: Registry, small_settings: Settings, tmp_path: Path
) -> None:
    settings = settings_with(small_settings)
    first = run(workspace, settings)
    assert first.registration.accepted
    assert "the level moves by -" in first.told
    assert "of ln(price)" not in first.told
    staged = registry.at(STAGING)
    assert staged is not None
    folder = registry.fetch(staged, tmp_path / "fetched")
    # Half of the prices, the older ones, tell of another market: what is held out is not of it.
    odd = seen(workspace, 0.92)
    days = odd[OBSERVED_ON].rank(method="first")
    is_old = days <= 0.66 * len(odd)
    odd.loc[is_old, OBSERVED_PRICE] *= 0.85
    again = recalibrate(folder, odd, settings, workspace, NOW, quiet)
    assert not again.registration.accepted
    (failed,) = [one for one in again.registration.reasons if one.startswith("failed: error")]
    assert failed.endswith("times that with the correction the model had")
    kept = registry.at(STAGING)
    assert kept is not None
    assert kept.number == staged.number


def test_what_cannot_be_recalibrated_is_told_and_leaves_no_version(
    workspace: Workspace, registry: Registry, small_settings: Settings
) -> None:
    with pytest.raises(RefusedError, match="a correction needs 5,000"):
        run(workspace, settings_with(small_settings, fewest=5000))
    with pytest.raises(RefusedError, match="train the model again"):
        run(workspace, settings_with(small_settings), factor=0.5)
    market = read_json(workspace.market, made_by="ingest")
    write_json(workspace.market, market | {"data_digest": "0" * 64})
    with pytest.raises(InputError, match=r"of other listings .* run `dvc pull`"):
        run(workspace, settings_with(small_settings))
    assert [one.number for one in registry.versions()] == [1]
