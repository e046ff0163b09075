import datetime
import itertools
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from carprice.arrays import quiet
from carprice.components.retraining import Acted, act, objection_to_retraining
from carprice.components.workspace import Workspace
from carprice.errors import InputError, RefusedError
from carprice.monitoring.checks import Cause, Level, Monitored
from carprice.registry.promotion import Happening, history, promote, record, record_tests
from carprice.registry.versions import CHALLENGER, PRODUCTION, Registry, Version
from carprice.settings import RetrainSettings, Settings

NOW = datetime.datetime(2025, 7, 1, 12, 0, tzinfo=datetime.UTC)
DECAY = Monitored(Cause.DECAY, Level.RETRAIN, ("prices are 8 % off",), (), ())
CALM = Monitored(Cause.NONE, Level.FINE, (), (), ())
LOOK = Monitored(Cause.MARKET, Level.LOOK, (), (), ())
pytestmark = pytest.mark.parametrize("store", ["database"], indirect=True)


def days(count: float) -> datetime.timedelta:
    return datetime.timedelta(days=count)


@pytest.fixture
def champion(store: Any, finished: Any) -> Version:
    """The version that is in production of the test's registry."""
    version = store.stage(finished[0].model)
    promote(store.registry, NOW - days(30), "for the tests")
    return version  # type: ignore[no-any-return]


def settings_of(registry: Registry, small: Settings, seed: int = 8) -> Settings:
    """Settings of a market that has moved on since the model in production learned from it."""
    content = small.model_dump(by_alias=True)
    content["ingest"]["sample"]["seed"] = seed
    content["register"]["name"] = registry.name
    content["tracking"]["uri"] = registry.uri
    return Settings.model_validate(content)


def clock() -> Callable[[], datetime.datetime]:
    seconds: Iterator[int] = itertools.count(1)
    return lambda: NOW + datetime.timedelta(seconds=next(seconds))


def acted(
    store: Any,
    settings: Settings,
    root: Path,
    monitored: Monitored = DECAY,
    tests: Callable[..., Any] = lambda *_: (),
) -> Acted:
    return act(
        monitored,
        settings,
        store.registry,
        Workspace(root),
        root / "params.yaml",
        clock(),
        tests,
        lambda _: nullcontext(quiet),
    )


def happened(registry: Registry) -> list[tuple[int, str]]:
    return [(event.version, event.what) for event in history(registry) if event.time > NOW]


def passing(registry: Registry, version: Version) -> list[str]:
    """Record that a version passed the tests, which take half a minute."""
    record_tests(registry, version, (), NOW + datetime.timedelta(seconds=50))
    return []


@pytest.mark.slow
def test_the_verdict_makes_a_new_model_the_challenger_and_not_production(
    store: Any, champion: Version, small_settings: Settings, tmp_path: Path
) -> None:
    registry, settings = store.registry, settings_of(store.registry, small_settings)
    done = acted(store, settings, tmp_path, tests=passing)
    assert done.has_challenger, done.why
    challenger = registry.at(CHALLENGER)
    assert challenger.number == done.version == champion.number + 1
    assert challenger.tags["tests"] == "passed"
    assert challenger.digest != champion.digest
    assert registry.at(PRODUCTION).number == champion.number
    assert {what for _, what in happened(registry)} == {
        *("retraining began", "registered", "accepted by the gate"),
        *("passed the model tests", "challenger"),
    }
    assert (done.version, "challenger") in happened(registry)
    began = next(one for one in history(registry) if one.what is Happening.RETRAINING)
    assert began.why == "the model decays; prices are 8 % off"
    # and again, the next day
    again = acted(store, settings, tmp_path)
    assert again.what is Happening.NOT_RETRAINED
    assert f"version {done.version} is the challenger and not decided on" in again.why


@pytest.mark.parametrize("monitored", [CALM, LOOK])
def test_other_verdicts_do_and_record_nothing(
    store: Any,
    champion: Version,
    small_settings: Settings,
    tmp_path: Path,
    monitored: Monitored,
) -> None:
    settings = settings_of(store.registry, small_settings)
    done = acted(store, settings, tmp_path, monitored)
    assert (done.what, done.version) == (None, None)
    assert happened(store.registry) == []


def test_the_cool_down_and_the_budget_hold_retrainings_back(
    store: Any, champion: Version, small_settings: Settings, tmp_path: Path
) -> None:
    registry = store.registry
    limits = RetrainSettings(cool_down_days=14, most_a_year=2)
    assert objection_to_retraining(registry, limits, NOW) == ""
    assert "most_a_year is 0" in objection_to_retraining(
        registry, RetrainSettings(most_a_year=0), NOW
    )
    record(registry, champion.number, Happening.RETRAINING, NOW - days(20))
    record(registry, champion.number, Happening.RETRAINING, NOW - days(500))
    assert objection_to_retraining(registry, limits, NOW) == ""
    assert objection_to_retraining(registry, limits, NOW - days(7)) == (
        "the last retraining began on 2025-06-11, and monitor.retrain.cool_down_days is 14: the "
        "next may be on 2025-06-25"
    )
    record(registry, champion.number, Happening.RETRAINING, NOW - days(300))
    assert objection_to_retraining(registry, limits, NOW) == (
        "2 retrainings began in the last 365 days, and monitor.retrain.most_a_year is 2"
    )
    assert objection_to_retraining(registry, limits, NOW + days(66)) == ""
    settings = settings_of(registry, small_settings)
    record(registry, champion.number, Happening.RETRAINING, NOW - days(1))
    done = acted(store, settings, tmp_path)
    assert (done.what, done.version) == (Happening.NOT_RETRAINED, champion.number)
    assert happened(registry) == [(champion.number, "not retrained")]


@pytest.fixture
def retrained(
    store: Any, small_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Callable[[], int]], Settings]:
    """Has the pipeline register what a function registers, in place of training."""

    def prepare(number: Callable[[], int]) -> Settings:
        from carprice.components import pipeline

        class Result:
            class registration:  # noqa: N801
                version = 0

        def run(*_: Any) -> Any:
            Result.registration.version = number()
            return Result

        monkeypatch.setattr(pipeline, "run", run)
        return settings_of(store.registry, small_settings)

    return prepare


def test_what_the_gate_or_a_test_refuses_is_no_challenger(
    store: Any, champion: Version, retrained: Any, finished: Any, another_model: Any, tmp_path: Path
) -> None:
    registry = store.registry
    folder = another_model(finished[0].model, tmp_path / "refused")
    settings = retrained(lambda: store.log(folder, gate="refused").number)
    done = acted(store, settings, tmp_path)
    assert done.what is Happening.NOT_CHALLENGING
    assert "the gate did not accept it" in done.why
    other = another_model(finished[0].model, tmp_path / "failed", mark=2)
    settings = retrained(lambda: store.log(other).number)
    limits = settings.monitor.model_copy(update={"retrain": RetrainSettings(cool_down_days=0)})
    settings = settings.model_copy(update={"monitor": limits})
    done = acted(store, settings, tmp_path, tests=lambda *_: ["it is slow"])
    assert (done.what, done.why) == (
        Happening.NOT_CHALLENGING,
        "it does not pass the model tests: it is slow",
    )
    retrained(lambda: champion.number)
    done = acted(store, settings, tmp_path)
    assert done.why.startswith("the newest data make the model that is in production")
    assert registry.at(CHALLENGER) is None


def test_a_pipeline_that_fails_counts_and_is_recorded(
    store: Any, champion: Version, retrained: Any, tmp_path: Path
) -> None:
    def fail() -> int:
        raise InputError("the source is empty")

    settings = retrained(fail)
    with pytest.raises(InputError, match="the source is empty"):
        acted(store, settings, tmp_path)
    assert happened(store.registry) == [
        (champion.number, "retraining began"),
        (champion.number, "not retrained"),
    ]
    assert "cool_down_days" in acted(store, settings, tmp_path).why


def test_without_a_model_in_production_nothing_is_trained(
    store: Any, small_settings: Settings, tmp_path: Path
) -> None:
    with pytest.raises(RefusedError, match="has no model in production"):
        acted(store, settings_of(store.registry, small_settings), tmp_path)


@pytest.mark.slow
def test_a_dvc_project_is_reproduced_by_dvc_from_the_source_on(
    store: Any,
    champion: Version,
    small_settings: Settings,
    finished: Any,
    another_model: Any,
    tmp_path: Path,
) -> None:
    model = another_model(finished[0].model, tmp_path / "model", mark=3)
    settings = settings_of(store.registry, small_settings)
    thresholds = settings.register_.gate.model_dump_json()
    version = store.log(model, gate_champion=champion.digest, gate_thresholds=thresholds)
    project = tmp_path / "project"
    project.mkdir()
    stages = {
        "ingest": {"cmd": "echo read >> ran && cp ran data.txt", "outs": ["data.txt"]},
        "register": {
            "cmd": f"mkdir -p reports && echo '{{\"version\": {version.number}}}' > "
            "reports/registration.json",
            "deps": ["data.txt"],
            "outs": ["reports/registration.json"],
        },
    }
    (project / "dvc.yaml").write_text(json.dumps({"stages": stages}))
    (project / "params.yaml").write_text("{}")
    for command in (["git", "init", "-q"], ["dvc", "init", "-q"]):
        program = shutil.which(command[0])
        assert program, command
        subprocess.run([program, *command[1:]], cwd=project, check=True)
    done = acted(store, settings, project, tests=passing)
    assert (done.what, done.version) == (Happening.CHALLENGING, version.number), done.why
    assert (project / "ran").read_text() == "read\n"
    (project / "dvc.yaml").write_text("stages: {ingest: {cmd: exit 3}}")
    store.registry.clear(CHALLENGER)
    limits = settings.monitor.model_copy(update={"retrain": RetrainSettings(cool_down_days=0)})
    with pytest.raises(RefusedError, match="--single-item ingest` ended with exit code"):
        acted(store, settings.model_copy(update={"monitor": limits}), project)
