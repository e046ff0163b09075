from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from carprice.arrays import quiet
from carprice.components.ingest import ingest
from carprice.components.train import train
from carprice.components.transform import transform
from carprice.components.workspace import Workspace, read_json
from carprice.errors import InputError
from carprice.experiments.data import Data, read_data
from carprice.listings.frames import read_features
from carprice.listings.market import Market
from carprice.sample.market import generate
from carprice.settings import Settings


def test_an_experiment_learns_from_the_rows_and_features_of_the_pipeline(
    data: Data, settings: Settings, tmp_path: Path
) -> None:
    workspace = Workspace(tmp_path)
    ingest(settings.ingest, workspace, quiet)
    transform(workspace)
    features, log_price = read_features(workspace.train_features)
    assert features.texts == data.features.texts
    np.testing.assert_array_equal(log_price, data.log_price)
    assert Market.from_json(read_json(workspace.market, made_by="ingest")) == data.market
    assert len(data.log_price) == len(pd.read_parquet(workspace.train_listings)) < 400
    assert len(data.makes) > 3
    assert data.raw_digest.endswith(".dir")


def test_of_too_many_rows_the_same_ones_are_chosen_each_time(
    settings: Settings, tmp_path: Path
) -> None:
    one, two = (read_data(settings, tmp_path / name, quiet, 100) for name in ("one", "two"))
    assert len(one.log_price) == 100
    np.testing.assert_array_equal(one.log_price, two.log_price)
    np.testing.assert_array_equal(read_features(one.file)[1], one.log_price)


def test_the_test_rows_follow_where_they_are_asked_for(
    settings: Settings, data: Data, tmp_path: Path
) -> None:
    whole = read_data(settings, tmp_path, quiet, all_rows=True)
    test = pd.read_parquet(Workspace(tmp_path).test_listings)
    prices = np.concatenate([np.exp(data.log_price), test["price"]])
    np.testing.assert_allclose(np.exp(whole.log_price), prices)


def test_a_column_that_knows_the_price_stops_an_experiment_as_it_stops_training(
    settings: Settings, tmp_path: Path
) -> None:
    generate(2000, 7).to_csv(tmp_path / "cars.csv", index=False)
    content = settings.model_dump(by_alias=True)
    content["ingest"] |= {"source": str(tmp_path / "cars.csv"), "columns": {"roadTax": "avgEmi"}}
    leaking = Settings.model_validate(content)
    workspace = Workspace(tmp_path / "pipeline")
    ingest(leaking.ingest, workspace, quiet)
    transform(workspace)
    with pytest.raises(InputError) as of_training:
        train(leaking.train, workspace, quiet)
    with pytest.raises(InputError, match=r"roadTax \(column avgEmi\) explains") as told:
        read_data(leaking, tmp_path / "experiment", quiet, 100)
    assert str(told.value) == str(of_training.value)


def test_the_pipeline_s_own_copy_of_the_source_is_not_read_twice(
    settings: Settings, tmp_path: Path
) -> None:
    source = tmp_path / "data" / "raw" / "cars.csv"
    source.parent.mkdir(parents=True)
    generate(400, 7).to_csv(source, index=False)
    ingested = settings.ingest.model_copy(update={"source": str(tmp_path / "data/**/*.csv")})
    workspace = Workspace(tmp_path)
    ingest(ingested, workspace, quiet)
    assert len([*workspace.snapshot.rglob("*.csv")]) == 1
    again = settings.model_copy(update={"ingest": ingested})
    data = read_data(again, tmp_path / "own", quiet, passed_over=workspace.snapshot)
    assert data.raw_digest == read_json(workspace.report, made_by="ingest")["raw_digest"]
