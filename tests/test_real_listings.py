"""The examples on the real listings that they are written for."""

import datetime
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from ranks import rank_of

from carprice.appraisal.comparables import ranks_of
from carprice.components.pipeline import PipelineResult, run
from carprice.components.workspace import Workspace
from carprice.listings.features import listings_of
from carprice.listings.frames import as_columns
from carprice.model import PriceModel
from carprice.settings import Settings, load_settings

ROOT = Path(__file__).resolve().parent.parent
NOW = datetime.datetime(2025, 7, 1, tzinfo=datetime.UTC)
Run = tuple[Workspace, PipelineResult]
LIGHT = {"n_estimators": 80, "max_depth": 5, "learning_rate": 0.15}


def test_cars24_is_priced_better_than_the_reference_does_and_not_by_a_leak(cars24: Run) -> None:
    figures = cars24[1].figures
    assert figures["rows_test"] == 1479
    assert 10 < figures["mape"] <= 12.3
    assert figures["mdape"] <= 8.7
    assert figures["within_10"] >= 56
    assert figures["mae"] <= 75_500
    assert figures["rmsle"] <= 0.171
    assert figures["r2"] >= 0.93  # one car moves it by 0.2
    assert 88 <= figures["coverage"] <= 92
    by_band = {band: one["coverage"] for band, one in figures["by"]["age_band"].items()}
    assert set(by_band) == {"0-3", "4-6", "7-9", "10+"}
    assert min(by_band.values()) >= 86, by_band


def test_cars24_is_tested_on_the_rows_of_the_published_split(
    cars24: Run, cars24_table: Path
) -> None:
    from sklearn.model_selection import train_test_split

    raw = pd.read_parquet(cars24_table)
    _, expected = train_test_split(raw.drop_duplicates(), test_size=0.2, random_state=42)
    test = pd.read_parquet(cars24[0].test_listings)
    assert test["price"].tolist() == expected["listingPrice"].tolist()
    assert test["year"].tolist() == expected["year"].tolist()
    assert test["model"].tolist() == [" ".join(str(m).split()) for m in expected["model"]]


def test_cars24_columns_made_of_the_price_are_marked(cars24: Run) -> None:
    ignored = {one["name"]: one for one in cars24[1].report["ignored_columns"]}
    made = [name for name in ignored if re.match(r"emi|roi|cashDownPayment|avgEmi", name)]
    assert {"cashDownPayment", "avgEmi"} < set(made)
    assert len(made) >= 4
    for name in made:
        assert ignored[name]["looks_computed_from_price"], name
        assert ignored[name]["evidence"], name
    assert not ignored["featureCount"]["looks_computed_from_price"]


@pytest.fixture(scope="module")
def some_data(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every tenth listing of the large markets, and all of the small one."""
    folder = tmp_path_factory.mktemp("some") / "data"
    shutil.copytree(real_data, folder)
    for path in (*folder.glob("uk/*.csv"), *folder.glob("us/*.csv")):
        path.chmod(0o600)
        path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[::10]))
    lots = folder / "nz" / "lots.parquet"
    lots.chmod(0o600)
    pd.read_parquet(lots).iloc[::10].to_parquet(lots)
    return folder


@pytest.mark.parametrize("name", ["cardekho", "uk", "us", "nz"])
def test_an_example_runs_to_the_end_and_beats_the_median_of_each_model(
    name: str, some_data: Path, empty_registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARPRICE_DATA", str(some_data))
    content = load_settings(ROOT / "examples" / f"{name}.yaml").model_dump(by_alias=True)
    settings = Settings.model_validate({**content, "train": {"folds": 2, "booster": LIGHT}})
    workspace = Workspace(empty_registry)
    outcome = run(settings, workspace, NOW)
    figures = outcome.figures
    assert outcome.registration.version == 1
    assert workspace.picture.is_file()
    assert figures["mdape"] < 100
    model, test = PriceModel.load(workspace.model), pd.read_parquet(workspace.test_listings)[:300]
    listings, asking = [*listings_of(as_columns(test))], test["price"].tolist()
    ranks = [rank_of(model, *one) for one in zip(listings, asking, strict=True)]
    assert ranks_of(model, listings, asking) == ranks
    assert len({*ranks}) > 10
    if name != "nz":  # damage decides there, and prices drift
        assert figures["mape"] < 0.9 * figures["naive"]["mape"]
        assert figures["mdape"] < figures["naive"]["mdape"]
