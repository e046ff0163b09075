"""``carprice monitor``: what it reads, writes, prints and exits with."""

import datetime
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from command_line import Carprice, caller
from in_use import InUse, in_use

from carprice.components.evidently_report import _comparable
from carprice.components.monitor import places_of
from carprice.errors import InputError
from carprice.model import PriceModel
from carprice.monitoring.last_run import read_last_run
from carprice.monitoring.outcomes import OUTCOMES_FILE
from carprice.settings import MonitorSettings

SOON = datetime.datetime(2025, 9, 5, tzinfo=datetime.UTC)


@pytest.fixture(scope="module")
def model(finished: Any) -> PriceModel:
    return PriceModel.load(finished[0].model)


@pytest.fixture
def carprice(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Carprice:
    monkeypatch.setattr("carprice.cli.monitor.now", lambda: SOON)
    return caller(monkeypatch, capsys)


@pytest.fixture
def monitor(carprice: Carprice, finished: Any, tmp_path: Path) -> Callable[..., Any]:
    """Runs ``carprice monitor`` on the small model in a folder of its own."""
    params = tmp_path / "params.yaml"
    params.write_text(yaml.safe_dump({"ingest": {"source": "sample"}}), encoding="utf-8")
    options = ("--params", params, "--workdir", tmp_path, "--model", finished[0].model)
    return lambda *more: carprice("monitor", *options, *more)


@pytest.fixture(scope="module")
def cheaper(tmp_path_factory: pytest.TempPathFactory, model: PriceModel) -> InUse:
    """A market in which like cars cost 15 % less than the model says."""
    return in_use(tmp_path_factory.mktemp("cheaper"), model, factor=0.85)


def test_a_market_that_fell_is_told_to_people_and_machines(
    monitor: Callable[..., Any], cheaper: InUse, tmp_path: Path
) -> None:
    done = monitor("--log", cheaper.log, "--listings", cheaper.listings)
    assert (done.code, done.out) == (4, "")
    lines = done.err.splitlines()
    assert "retrain the market moved" in lines
    assert any(line.startswith("fine    shares of the cars:") for line in lines)
    assert lines[-1] == f"monitor: see {tmp_path / 'reports' / 'monitoring.html'}"
    last = read_last_run(tmp_path / "reports" / "monitoring.json")
    assert last.level == "retrain"
    assert set(last.figures) == {"outcomes", "fresh_listings", "market"}
    assert last.figures["market"]["level"] == pytest.approx(-15, abs=2)
    page = (tmp_path / "reports" / "monitoring.html").read_text(encoding="utf-8")
    assert "the market moved" in page
    assert page.count("<table>") == page.count("<figure>") > 5


def test_what_was_found_is_published_where_services_read_it(
    monitor: Callable[..., Any], cheaper: InUse, bucket: Any, tmp_path: Path
) -> None:
    place = "s3://market/log/monitoring.json"
    done = monitor("--log", cheaper.log, "--publish", place)
    assert done.code == 4
    found = bucket.get_object(Bucket="market", Key="log/monitoring.json")["Body"].read()
    assert found == (tmp_path / "reports" / "monitoring.json").read_bytes()
    done = monitor("--log", cheaper.log, "--publish", "reports")
    assert (done.code, "--publish is no s3://bucket/folder/name" in done.line) == (2, True)
    done = monitor("--log", cheaper.log, "--publish", "s3://key:{}@b/x".format("word"))
    assert (done.code, "(found 's3://key:***@b/x')" in done.line) == (2, True)
    done = monitor("--log", cheaper.log, "--publish", "s3://nowhere/monitoring.json")
    assert (done.code, "s3://nowhere/monitoring.json" in done.err.splitlines()[-1]) == (1, True)


def test_a_market_as_it_was_is_fine(
    monitor: Callable[..., Any], model: PriceModel, tmp_path: Path
) -> None:
    same = in_use(tmp_path / "same", model)
    (same.log / "half.parquet").write_bytes(b"PAR1")
    done = monitor("--log", same.log, "--json")
    assert done.code == 0
    found = json.loads(done.out)
    assert found == json.loads((tmp_path / "reports" / "monitoring.json").read_text("utf-8"))
    assert (found["level"], found["facts"]["outcomes"]) == ("fine", 200)
    # What could not be read is told in a line of its own.
    assert "half.parquet is no whole file of a prediction log" in done.err


def test_only_the_days_that_are_asked_for_are_looked_at(
    monitor: Callable[..., Any], cheaper: InUse
) -> None:
    days = ("--since", "2025-07-11", "--until", "2025-07-20")
    done = monitor("--log", cheaper.log, *days, "--json")
    facts = json.loads(done.out)["facts"]
    assert (facts["answers_from"], facts["answers_to"]) == ("2025-07-11", "2025-07-20")
    assert (facts["observed_from"], facts["observed_to"]) == ("2025-07-11", "2025-07-20")
    assert done.code == 0  # 66 answers are too few
    assert json.loads(done.out)["cause"] == "too little to tell"


def test_a_verdict_of_long_ago_asks_for_a_look_and_days_to_come_do_not_count(
    monitor: Callable[..., Any],
    cheaper: InUse,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fresh = pd.read_csv(cheaper.listings)
    fresh.loc[0, "listed_on"], fresh.loc[1, "listed_on"] = "2031-01-01", None
    fresh.to_csv(tmp_path / "fresh.csv", index=False)
    look = ("--listings", tmp_path / "fresh.csv", "--json")
    done = monitor(*look)
    found = json.loads(done.out)
    assert (done.code, found["level"]) == (4, "retrain"), found["why"]
    assert found["facts"]["left_out"]["of days to come"] == 1
    assert "1 of 400 listings tell no day" in done.err
    later = SOON + datetime.timedelta(days=100)
    monkeypatch.setattr("carprice.cli.monitor.now", lambda: later)
    done = monitor(*look)
    found = json.loads(done.out)
    assert (done.code, found["cause"]) == (3, "too little to tell")
    assert "no price was seen in the 92 days up to 2025-12-14" in found["why"][0]
    # Who names the last day means it.
    assert monitor(*look, "--until", "2025-08-31").code == 4


def test_listings_and_answers_of_another_market_do_not_count(
    carprice: Carprice, finished: Any, cheaper: InUse, tmp_path: Path
) -> None:
    params = tmp_path / "params.yaml"
    units = {"units": {"currency": "EUR", "distance": "miles"}}
    params.write_text(yaml.safe_dump({"ingest": {"source": "sample"} | units}), encoding="utf-8")
    options = ("--params", params, "--workdir", tmp_path, "--model", finished[0].model)
    done = carprice("monitor", *options, "--listings", cheaper.listings)
    assert done.code == 2
    assert "read in EUR and miles (ingest.units), and the model prices in INR and km" in done.line
    elsewhere = tmp_path / "log"
    shutil.copytree(cheaper.log, elsewhere)
    answers = pd.read_parquet(elsewhere / "a.parquet").assign(currency="EUR")
    answers.to_parquet(elsewhere / "a.parquet", index=False)
    found = json.loads(carprice("monitor", *options, "--log", elsewhere, "--json").out)
    assert found["facts"]["answers"] == found["facts"]["observed"] == 0
    assert found["facts"]["left_out"] == {
        "of an answer in another currency": 200,
        "answers in another currency": 400,
    }


def test_outcomes_alone_are_looked_at(monitor: Callable[..., Any], cheaper: InUse) -> None:
    done = monitor("--outcomes", cheaper.log, "--json")
    # Without the log nobody knows which cars the quotes are of.
    assert json.loads(done.out)["facts"]["outcomes"] == 0


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((), "there is nothing to look at; name the prediction log with --log"),
        (("--log", "none"), "none is no folder"),
        (("--since", "2025-07-02", "--until", "2025-07-01", "--log", "a"), "is after --until"),
        (("--listings", "none.csv"), "none.csv"),
        (("--outcomes", "s3://bucket"), "outcomes cannot be kept at s3://bucket"),
        (("--log", "a", "--evidently", "report.pdf"), "the ending must be .html"),
        (("--listings", "a.csv", "--evidently", "report.html"), "needs a prediction log"),
        (("--log", "a", "--act"), "--act is of the production model; leave --model out"),
    ],
)
def test_bad_input_is_told_in_one_line(
    monitor: Callable[..., Any], options: tuple[str, ...], told: str, tmp_path: Path
) -> None:
    done = monitor(*options)
    assert done.code == 2
    assert told in done.line
    assert not (tmp_path / "reports" / "monitoring.json").exists()


def test_places_are_those_given_then_the_environments_then_those_of_the_file(
    tmp_path: Path,
) -> None:
    settings = MonitorSettings(log="of-params", outcomes="sqlite:///of-params.db")
    variables = {
        "CARPRICE_PREDICTION_LOG": "of-environment",
        "CARPRICE_OUTCOMES": "sqlite:///of-environment.db",
    }
    found = [
        places_of(settings, "given", "sqlite://", environment=variables),
        places_of(settings, environment=variables),
        places_of(settings, environment={}),
    ]
    assert [one.log for one in found] == ["given", "of-environment", "of-params"]
    assert [one.outcomes for one in found] == [
        *("sqlite://", "sqlite:///of-environment.db", "sqlite:///of-params.db"),
    ]
    # Outcomes beside the log are read where there are any.
    log = str(tmp_path)
    assert places_of(MonitorSettings(), log, environment={}).outcomes == ""
    (tmp_path / OUTCOMES_FILE).touch()
    assert places_of(MonitorSettings(), log, environment={}).outcomes == log
    with pytest.raises(InputError, match="nothing to look at"):
        places_of(MonitorSettings(), environment={})


def test_without_evidently_the_remedy_is_told(
    monitor: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    report = ("--log", tmp_path, "--evidently", tmp_path / "report.html")
    monkeypatch.setitem(sys.modules, "evidently", None)
    done = monitor(*report)
    assert done.code == 2
    assert "not installed; run pip install 'carprice[evidently]'" in done.line
    monkeypatch.delitem(sys.modules, "evidently")
    (tmp_path / "evidently.py").write_text("from pandas import gone", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    done = monitor(*report)
    assert done.code == 2
    assert "Evidently cannot be used with the other packages here" in done.line


def test_evidently_gets_no_name_that_is_more_than_a_text() -> None:
    hostile = "</script><script>alert(1)</script>\u2028" + "x" * 200
    before = pd.DataFrame({"year": [2015.0, 2016.0], "make": ["Kia", hostile]})
    after = pd.DataFrame({"year": [2017, None], "make": [hostile, "never seen <b>"]})
    shown, compared = _comparable(after, before, ["year"], ["make"])
    assert shown["make"].tolist()[1] == "(others)"
    assert len(shown["make"][0]) == 100
    assert shown["make"][0] == compared["make"][1]
    assert not {*"<>&\\`"} & {*"".join([*shown["make"], *compared["make"]])}


def test_a_model_is_recalibrated_tested_and_staged(
    carprice: Carprice, promoted: Any, cheaper: InUse, tmp_path: Path
) -> None:
    folder = shutil.copytree(promoted.root, tmp_path / "workspace")
    params = folder / "params.yaml"
    content = {"monitor": {"recalibrate": {"fewest": 100}}}
    content |= {"register": {"gate": {"latency_factor": 1000}}}
    params.write_text(yaml.safe_dump(content), encoding="utf-8")
    options = ("--params", params, "--workdir", folder, "--listings", cheaper.listings)
    both = carprice("monitor", *options, "--act", "--recalibrate")
    assert (both.code, "leave one out" in both.err) == (2, True)
    done = carprice("monitor", *options, "--recalibrate")
    assert done.code == 4, done.err
    assert done.err.rstrip().endswith(
        "recalibrate: version 2 is staged and tested; `carprice promote` is next"
    )
    assert "the level moves by -1" in done.err
    card = (folder / "reports" / "model-tests" / "model_card.md").read_text(encoding="utf-8")
    table = "|  | without | with |\n| --- | --- | --- |\n| mean size"
    assert f"later cars than it was learned from:\n\n{table}" in card
    promoted_now = carprice("promote", "--params", params, "--workdir", folder)
    assert promoted_now.code == 0, promoted_now.err
    params.write_text(yaml.safe_dump({"ingest": {"source": "sample"}}), encoding="utf-8")
    few = carprice("monitor", *options, "--recalibrate", "--until", "2025-07-05")
    assert (few.code, "a correction needs 300" in few.err) == (1, True)
