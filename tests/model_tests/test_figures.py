import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from carprice.components.workspace import Workspace, read_json
from carprice.model import PriceModel
from carprice.model_tests import figures
from carprice.model_tests.figures import Measured, read_and_measure
from carprice.model_tests.results import ModelTestFailedError, ModelTestResults
from carprice.registry.versions import Version
from carprice.settings import GateSettings


@pytest.fixture(scope="module")
def version(finished: Any) -> Version:
    workspace, result = finished
    names = ("mape", "mdape", "within_10", "coverage")
    tags = {name: f"{result.figures[name]:.4g}" for name in names}
    market = read_json(workspace.market, made_by="ingest")
    return Version(1, (), {**tags, "data_digest": market["data_digest"]})


@pytest.fixture(scope="module")
def measured(finished: Any, model: PriceModel, version: Version) -> Measured:
    return read_and_measure(model, version, finished[0])


def results(measured: Measured, version: Version, folder: Path, **gate: Any) -> ModelTestResults:
    every = ModelTestResults()
    every.run_all("figures", figures.checks(measured, version, folder, GateSettings(**gate)))
    return every


def test_what_is_measured_is_what_evaluate_wrote(finished: Any, measured: Measured) -> None:
    expected = finished[1].figures
    for name, value in measured.measured.overall.items():
        assert value == pytest.approx(expected[name])
    assert measured.measured.naive == pytest.approx(expected["naive"])
    assert [*measured.measured.segments["age_band"]] == ["0-3", "4-6", "7-9", "10+"]
    for kind in ("age_band", "price_decile", "cars_of_model"):
        own = measured.measured.segments[kind]
        assert {name: one["mape"] for name, one in own.items()} == pytest.approx(
            {name: one["mape"] for name, one in expected["by"][kind].items()}
        )
    assert measured.measured.noise.pairs == expected["noise_floor"]["pairs"]
    shares = [measured.covered[asked] for asked in (0.5, 0.8, 0.9, 0.95)]
    assert shares == sorted(shares)
    assert measured.covered[0.9] == pytest.approx(expected["coverage"])


def test_honest_figures_pass(finished: Any, measured: Measured, version: Version) -> None:
    every = results(measured, version, finished[0].model)
    assert [one.message for one in every.failures] == []
    assert len(every.every) == 12


def test_other_figures_than_those_of_the_registry_or_below_the_floors_fail(
    finished: Any, measured: Measured, version: Version
) -> None:
    tags = {**version.tags, "mape": "5.123"}
    del tags["coverage"]
    other = replace(version, tags=tags)
    every = results(measured, other, finished[0].model, max_mape=1, min_within_10=99)
    assert {one.name: one.message.split("; ", 1)[-1] for one in every.failures} == {
        "mape is what the registry says": "the registry says 5.123",
        "coverage is what the registry says": "the registry says nothing; register the model again",
        "MAPE": "needs at most 1 %",
        "share within 10 %": "needs at least 99 %",
    }


def test_missing_and_other_data_are_refused_with_the_remedy(
    finished: Any, model: PriceModel, version: Version, tmp_path: Path
) -> None:
    workspace = Workspace(tmp_path)

    def refuse(words: str, registered: Version = version) -> None:
        with pytest.raises(ModelTestFailedError, match=words):
            read_and_measure(model, registered, workspace)

    refuse(r"market\.json does not exist.*`dvc pull`.*ingest")
    shutil.copytree(finished[0].root / "data", tmp_path / "data")
    market = read_json(workspace.market, made_by="ingest")
    workspace.market.write_text(json.dumps({**market, "data_digest": "f" * 64}), encoding="utf-8")
    refuse(r"holds the data f{12}, the version is of .*dvc pull")
    tags = {**version.tags, "data_digest": "f" * 64}
    refuse(r"holds the data f{12}, the model is of", replace(version, tags=tags))
