"""Markets that nobody has seen pass the tests of their models; on shuffled prices none does."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_up_markets import MARKETS

from carprice.arrays import quiet
from carprice.components.ingest import ingest
from carprice.components.train import train
from carprice.components.transform import transform
from carprice.components.workspace import Workspace
from carprice.model import PriceModel
from carprice.model_tests import behaviour, figures
from carprice.model_tests.evidence import Evidence
from carprice.model_tests.figures import Measured
from carprice.model_tests.panel import Panel
from carprice.model_tests.results import ModelTestResults
from carprice.registry.versions import Version
from carprice.settings import Settings

SIGNAL = "figures: prices have to do with the cars"
FALLS = "behaviour: price falls with age"
Change = Callable[[pd.DataFrame], pd.DataFrame]


def results_of(
    folder: Path, listings: pd.DataFrame, learned: Change | None = None
) -> ModelTestResults:
    """Train on a table of listings, and run the tests that need neither registry nor service.

    Parameters
    ----------
    learned : changes the training features, so that the model learns what the listings do not say.
    """
    source, workspace = folder / "listings.csv", Workspace(folder)
    listings.to_csv(source, index=False)
    settings = Settings.model_validate(
        {
            "ingest": {
                "source": str(source),
                "units": {"currency": "EUR", "distance": "km"},
                "valuation_date": "2024-07-01",
            },
            "train": {"folds": 2, "booster": {"n_estimators": 40, "max_depth": 3}},
        }
    )
    ingest(settings.ingest, workspace, quiet)
    transform(workspace)
    if learned is not None:
        features = pd.read_parquet(workspace.train_features)
        learned(features).to_parquet(workspace.train_features, index=False)
    train(settings.train, workspace, quiet)
    model = PriceModel.load(workspace.model)
    own, test = (pd.read_parquet(p) for p in (workspace.train_listings, workspace.test_listings))
    measured, results = Measured.measure(model, own, test), ModelTestResults()
    names = ("mape", "mdape", "within_10", "coverage")
    tags = {name: f"{measured.measured.overall[name]:.4g}" for name in names}
    gate = settings.register_.gate
    version = Version(1, (), tags)
    results.run_all("figures", figures.checks(measured, version, workspace.model, gate))
    evidence = Evidence.of(model, own)
    limits = settings.register_.tests
    results.run_all("behaviour", behaviour.checks(model, Panel.of(model), limits, evidence))
    return results


def failed(results: ModelTestResults) -> dict[str, str]:
    return {one.title: one.message for one in results.failures}


@pytest.mark.parametrize("name", MARKETS)
def test_a_market_of_its_own_kind_passes(name: str, tmp_path: Path) -> None:
    results = results_of(tmp_path, MARKETS[name]())
    assert failed(results) == {}
    warned = {one.title for one in results.warnings}
    assert warned == ({FALLS} if name == "old cars only" else set())


@pytest.mark.parametrize("name", MARKETS)
def test_on_shuffled_prices_it_fails(name: str, tmp_path: Path) -> None:
    listings = MARKETS[name]()
    prices = np.random.default_rng(0).permutation(listings["price"])
    found = failed(results_of(tmp_path, listings.assign(price=prices)))
    assert SIGNAL in found
    assert "have nothing to do with their cars" in found[SIGNAL]


def test_a_model_that_learned_the_opposite_of_its_market_fails(tmp_path: Path) -> None:
    def rising(features: pd.DataFrame) -> pd.DataFrame:
        return features.assign(ln_price=features["ln_price"] + 0.14 * features["age"])

    found = failed(results_of(tmp_path, MARKETS["motorbikes"](), rising))
    assert "the listings say -6." in found[FALLS]
