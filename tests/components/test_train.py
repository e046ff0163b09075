from pathlib import Path

import pytest

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


@pytest.fixture(scope="module")
def quick_digest(finished, tmp_path_factory: pytest.TempPathFactory) -> str:
    workspace = Workspace(tmp_path_factory.mktemp("quick"))
    copy(finished[0], workspace, "train_features", "market", "report")
    train(QUICK, workspace, lambda _: None)
    return PriceModel.load(workspace.model).digest


def copy(source: Workspace, target: Workspace, *names: str) -> None:
    for name in names:
        path = getattr(target, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(getattr(source, name).read_bytes())


def test_the_model_is_written_as_it_is_returned(finished, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    copy(finished[0], workspace, "train_features", "market", "report")
    told: list[str] = []
    model = train(QUICK, workspace, told.append)
    loaded = PriceModel.load(workspace.model)
    assert (loaded.metrics, loaded.market) == (model.metrics, model.market)
    assert told == [
        "looking for columns that know the price",
        "hedonic ridge",
        "number of trees",
        "trees",
        "ranges",
        "writing the model folder",
    ]


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"folds": 3}, {"hedonic": {"word": 9.0}}, {"booster": {"learning_rate": 0.3}}],
)
def test_every_parameter_makes_another_model(
    change: dict, finished, quick_digest: str, tmp_path: Path
) -> None:
    workspace = Workspace(tmp_path)
    copy(finished[0], workspace, "train_features", "market", "report")
    other = TrainSettings.model_validate({**QUICK.model_dump(), **change})
    train(other, workspace, lambda _: None)
    assert PriceModel.load(workspace.model).digest != quick_digest


@pytest.mark.parametrize(
    ("there", "message"),
    [
        ((), "run `carprice transform` first"),
        (("train_features",), "run `carprice ingest` first"),
        (("train_features", "market"), "run `carprice ingest` first"),
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


@pytest.mark.parametrize("column", ["avgEmi", "monthly"])
@pytest.mark.parametrize(
    ("field", "multiply"),
    [("roadTax", 1), ("fuelEconomy", 0.005), ("powerBhp", 0.02), ("engineCc", 0.2)],
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
    ingest(settings, workspace, lambda _: None)
    transform(workspace)
    with pytest.raises(InputError, match=rf"{field} \(column {column}\) explains \d+ %"):
        train(QUICK, workspace, lambda _: None)
    assert not workspace.model.exists()


def test_an_error_below_what_like_cars_differ_by_is_refused(
    finished, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    workspace = Workspace(tmp_path)
    copy(finished[0], workspace, "train_features", "market", "report")
    monkeypatch.setattr(
        "carprice.listings.leaking_fields.noise_floor", lambda *_: NoiseFloor(99, 1000.0, 1000.0)
    )
    with pytest.raises(InputError, match="is below half of what like cars differ by"):
        train(QUICK, workspace, lambda _: None)
    assert not workspace.model.exists()
