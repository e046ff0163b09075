"""``carprice monitor --act``: what becomes of the verdict."""

import datetime
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import Carprice, caller
from in_use import InUse, in_use

from carprice.model import PriceModel


@pytest.fixture
def carprice(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    promoted: Any,
    tmp_path: Path,
) -> Carprice:
    """Runs ``carprice`` where version 1 is in production, and the year has had its retrainings."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(promoted.root / "mlflow.db", tmp_path)
    params = {"ingest": {"source": "sample"}, "monitor": {"retrain": {"most_a_year": 0}}}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    soon = datetime.datetime(2025, 9, 5, tzinfo=datetime.UTC)
    monkeypatch.setattr("carprice.cli.monitor.now", lambda: soon)
    return caller(monkeypatch, capsys)


@pytest.fixture(scope="module")
def cheaper(tmp_path_factory: pytest.TempPathFactory, finished: Any) -> InUse:
    """A market in which like cars cost 15 % less than the model says."""
    model = PriceModel.load(finished[0].model)
    return in_use(tmp_path_factory.mktemp("cheaper"), model, factor=0.85)


def test_what_becomes_of_the_verdict_is_said_and_recorded(
    carprice: Carprice, cheaper: InUse
) -> None:
    look = ("monitor", "--log", cheaper.log, "--listings", cheaper.listings)
    done = carprice(*look, "--act")
    assert done.code == 4
    told = "0 retrainings began in the last 365 days, and monitor.retrain.most_a_year is 0"
    assert done.err.splitlines()[-1] == f"act: version 1: not retrained; {told}"
    history = carprice("history", "--json")
    assert told in history.out
    assert "not retrained" in history.out
    assert carprice(*look).err.splitlines()[-1].startswith("monitor: see ")


def test_what_cannot_be_published_stops_nothing_and_is_told_at_the_end(
    carprice: Carprice, cheaper: InUse, bucket: Any
) -> None:
    place = "s3://nowhere/monitoring.json"
    done = carprice("monitor", "--log", cheaper.log, "--act", "--publish", place)
    assert (done.code, place in done.err.splitlines()[-1]) == (1, True)
    assert "act: version 1: not retrained" in done.err


def test_a_model_of_a_folder_is_not_acted_on(carprice: Carprice, cheaper: InUse) -> None:
    done = carprice("monitor", "--log", cheaper.log, "--model", "somewhere", "--act")
    assert (done.code, done.line) == (
        2,
        "carprice: --act is of the production model; leave --model out",
    )
