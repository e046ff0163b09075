from pathlib import Path

import pytest

from carprice.components.train import train
from carprice.errors import InputError
from carprice.model import PriceModel
from carprice.settings import TrainSettings
from carprice.workspace import Workspace

QUICK = TrainSettings.model_validate({"folds": 2, "booster": {"n_estimators": 3, "max_depth": 2}})


def copy(source: Workspace, target: Workspace, *names: str) -> None:
    for name in names:
        path = getattr(target, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(getattr(source, name).read_bytes())


def test_the_model_is_written_as_it_is_returned(finished, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    copy(finished[0], workspace, "train_features", "market")
    told: list[str] = []
    model = train(QUICK, workspace, told.append)
    loaded = PriceModel.load(workspace.model)
    assert (loaded.metrics, loaded.market) == (model.metrics, model.market)
    assert told == ["fold 1 of 2", "fold 2 of 2", "all rows", "writing the model folder"]


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"folds": 3}, {"shrinkage": 9.0}, {"booster": {"n_estimators": 4}}]
)
def test_every_parameter_makes_another_model(change: dict, finished, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    copy(finished[0], workspace, "train_features", "market")
    train(QUICK, workspace, lambda _: None)
    digest = PriceModel.load(workspace.model).digest
    other = TrainSettings.model_validate({**QUICK.model_dump(), **change})
    train(other, workspace, lambda _: None)
    assert PriceModel.load(workspace.model).digest != digest


@pytest.mark.parametrize(
    ("there", "message"),
    [
        ((), "run `carprice transform` first"),
        (("train_features",), "run `carprice ingest` first"),
    ],
)
def test_a_missing_input_names_the_stage_to_run(
    there: tuple[str, ...], message: str, finished, tmp_path: Path
) -> None:
    workspace = Workspace(tmp_path)
    copy(finished[0], workspace, *there)
    with pytest.raises(InputError, match=message):
        train(QUICK, workspace, lambda _: None)
    assert not workspace.model.exists()
