import dataclasses
import datetime
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from carprice.arrays import Progress, quiet
from carprice.components.evaluate import evaluate
from carprice.components.pipeline import run
from carprice.components.register import register
from carprice.components.train import train
from carprice.components.transform import transform
from carprice.components.workspace import Workspace, read_json
from carprice.errors import InputError
from carprice.settings import Settings

NOW = datetime.datetime(2025, 7, 1, tzinfo=datetime.UTC)


def test_all_stages_leave_their_files_which_say_what_came_of_it(finished: Any) -> None:
    workspace, outcome = finished
    of_no_stage = {"root", "model_cache", "model_tests", "backtest"}
    of_no_stage |= {"monitoring", "monitoring_page"}
    for name in set(vars(workspace)) - of_no_stage:
        path = getattr(workspace, name)
        assert path.is_dir() or path.stat().st_size > 0, name
    assert not [path for path in workspace.root.rglob(".*") if path.name != ".carprice"]
    assert read_json(workspace.report, "ingest") == outcome.report
    assert read_json(workspace.metrics, "evaluate") == outcome.figures
    registration = dataclasses.asdict(outcome.registration)
    assert read_json(workspace.registration, "register") == registration | {
        "reasons": list(registration["reasons"]),
        "checks": list(registration["checks"]),
    }
    first = outcome.registration
    assert (first.version, first.is_new, first.accepted) == (1, True, True)


def test_a_run_stops_at_the_first_stage_that_fails(tmp_path: Path) -> None:
    settings = Settings.model_validate({"ingest": {"source": str(tmp_path / "nowhere.csv")}})
    begun = []

    @contextmanager
    def step(name: str) -> Iterator[Progress]:
        begun.append(name)
        yield quiet

    with pytest.raises(InputError, match=r"nowhere\.csv does not exist"):
        run(settings, Workspace(tmp_path / "work"), NOW, step)
    assert begun == ["ingest"]
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize(
    ("stage", "there", "missing"),
    [
        (transform, "", "train.parquet does not exist; run `carprice ingest`"),
        (transform, "train_listings", "market.json does not exist; run `carprice ingest`"),
        (train, "", "run `carprice transform`"),
        (train, "train_features", "run `carprice ingest`"),
        (train, "train_features market", "run `carprice ingest`"),
        (evaluate, "train_listings test_listings", "run `carprice train`"),
        (evaluate, "model test_listings", "run `carprice ingest`"),
        (evaluate, "model train_listings", "run `carprice ingest`"),
        (register, "model", "metrics.json does not exist; run `carprice evaluate`"),
    ],
)
def test_a_missing_input_names_the_stage_to_run(
    stage: Callable[..., Any], there: str, missing: str, begun: Callable[..., Workspace]
) -> None:
    workspace = begun(*there.split())
    before = {*workspace.root.rglob("*")}
    arguments = {
        transform: (workspace,),
        train: (Settings().train, workspace, quiet),
        evaluate: (workspace, quiet),
        register: (Settings(), workspace, NOW, quiet),
    }
    with pytest.raises(InputError) as caught:
        stage(*arguments[stage])
    assert f"{missing} first" in str(caught.value)
    assert {*workspace.root.rglob("*")} == before
