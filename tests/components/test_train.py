import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from carprice.arrays import quiet
from carprice.components import train as train_stage
from carprice.components.ingest import ingest
from carprice.components.train import train
from carprice.components.transform import transform
from carprice.components.workspace import Workspace
from carprice.errors import InputError
from carprice.listings.noise import NoiseFloor
from carprice.model import PriceModel
from carprice.sample.market import generate
from carprice.settings import IngestSettings, TrainSettings

QUICK = TrainSettings.model_validate({"folds": 2, "booster": {"n_estimators": 3, "max_depth": 2}})


@pytest.fixture
def workspace(begun: Callable[..., Workspace]) -> Workspace:
    """A third of the finished run's features, and what else training reads."""
    workspace = begun("train_features", "market", "report")
    features = pd.read_parquet(workspace.train_features)
    features.iloc[::3].to_parquet(workspace.train_features, index=False)
    return workspace


def test_the_model_is_written_as_it_is_returned(workspace: Workspace) -> None:
    told: list[str] = []
    model = train(QUICK, workspace, told.append)
    loaded = PriceModel.load(workspace.model)
    assert (loaded.metrics, loaded.market) == (model.metrics, model.market)
    assert told == [
        "prices to believe",
        "looking for columns that know the price",
        "hedonic ridge",
        "residual trees",
        "direct trees",
        "ranges",
        "writing the model folder",
    ]


@pytest.mark.parametrize(
    ("most", "junk", "is_judged_again"),
    [
        (0, {"rule": "discount", "rows": 0}, False),
        (10**6, {"rule": "discount", "rows": 0}, True),
        (0, {"rule": "discount", "rows": 3}, True),
        (0, {}, True),
    ],
)
def test_many_prices_that_ingest_believes_are_not_judged_again(
    most: int,
    junk: dict[str, Any],
    is_judged_again: bool,
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    report = json.loads(workspace.report.read_text(encoding="utf-8"))
    workspace.report.write_text(json.dumps(report | {"junk": junk}), encoding="utf-8")
    given = {}

    def stop(*_: object, trust: Any, **__: object) -> None:
        given["trust"] = trust
        raise InputError("enough")

    monkeypatch.setattr(train_stage, "MANY_PRICES", most)
    monkeypatch.setattr(train_stage, "train_model", stop)
    with pytest.raises(InputError, match="enough"):
        train(TrainSettings(), workspace, quiet)
    assert (given["trust"] is None) == is_judged_again
    assert is_judged_again or np.all(given["trust"] == 1)


def test_every_parameter_makes_another_model(workspace: Workspace) -> None:
    digests = set()
    for change in (
        {},
        {"seed": 1},
        {"folds": 3},
        {"hedonic": {"scales": {"word": 9.0}}},
        {"booster": {"learning_rate": 0.3}},
    ):
        settings = TrainSettings.model_validate({**QUICK.model_dump(), **change})
        train(settings, workspace, quiet)
        digests.add(PriceModel.load(workspace.model).digest)
    assert len(digests) == 5


@pytest.mark.parametrize(
    ("field", "multiply", "column"),
    [
        ("roadTax", 1, "avgEmi"),
        ("fuelEconomy", 0.005, "monthly"),
        ("powerBhp", 0.02, "avgEmi"),
        ("engineCc", 0.2, "monthly"),
    ],
)
def test_a_column_made_of_the_price_is_refused_by_name_under_any_field(
    field: str, multiply: float, column: str, tmp_path: Path
) -> None:
    listings = generate(2000, 7).rename(columns={"avgEmi": column})
    listings.to_csv(tmp_path / "listings.csv", index=False)
    rule = {"from": column, "multiply": multiply}
    settings = IngestSettings.model_validate(
        {"source": str(tmp_path / "listings.csv"), "columns": {field: rule}}
    )
    workspace = Workspace(tmp_path / "work")
    ingest(settings, workspace, quiet)
    transform(workspace)
    with pytest.raises(InputError, match=rf"{field} \(column {column}\) explains \d+ %"):
        train(QUICK, workspace, quiet)
    assert not workspace.model.exists()


def test_an_error_below_what_like_cars_differ_by_is_refused(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "carprice.listings.leaks.noise_floor", lambda *_: NoiseFloor(99, 1000.0, 1000.0)
    )
    with pytest.raises(InputError, match="is below half of what like cars differ by"):
        train(QUICK, workspace, quiet)
    assert not workspace.model.exists()
