from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from carprice.components.transform import transform
from carprice.components.workspace import Workspace, read_json
from carprice.errors import InputError
from carprice.listings.features import NUMBERS, parse
from carprice.listings.frames import as_columns, read_features
from carprice.listings.market import Market


def copy(source: Workspace, target: Workspace, *names: str) -> None:
    for name in names:
        path = getattr(target, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(getattr(source, name).read_bytes())


def test_features_and_target_are_those_of_the_listings(finished, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    copy(finished[0], workspace, "train_listings", "market")
    listings = pd.read_parquet(workspace.train_listings)
    assert transform(workspace) == len(listings)
    features, target = read_features(workspace.train_features)
    market = Market.from_json(read_json(workspace.market, "ingest"))
    expected = parse(as_columns(listings), market.valuation_date, market.distance_unit)
    assert (features.texts, features.equipment) == (expected.texts, expected.equipment)
    for name in NUMBERS:
        assert np.array_equal(features.numbers[name], expected.numbers[name], equal_nan=True), name
    assert np.exp(target) == pytest.approx(listings["price"].to_numpy())


@pytest.mark.parametrize(("there", "missing"), [((), "train"), (("train_listings",), "market")])
def test_a_missing_input_names_the_stage_to_run(
    there: tuple[str, ...], missing: str, finished, tmp_path: Path
) -> None:
    workspace = Workspace(tmp_path)
    copy(finished[0], workspace, *there)
    with pytest.raises(InputError, match=rf"{missing}\.\w+ does not exist; run `carprice ingest`"):
        transform(workspace)
    assert not workspace.train_features.exists()
