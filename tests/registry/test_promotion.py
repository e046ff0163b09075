import contextlib
import datetime
import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from carprice.errors import RefusedError
from carprice.registry.promotion import Event, history, promote, record, record_tests, rollback
from carprice.registry.versions import Registry
from carprice.settings import GateSettings, ModelTestSettings, RegisterSettings

NOW = datetime.datetime(2025, 7, 1, 12, 0, tzinfo=datetime.UTC)
LATER = NOW + datetime.timedelta(days=1)
Another = Callable[..., Path]


@pytest.fixture
def model(finished: Any) -> Path:
    return finished[0].model


@pytest.fixture(autouse=True)
def _by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_ACTOR", raising=False)


def aliases(registry: Registry) -> Mapping[str, int]:
    return {name: one.number for one in registry.versions() for name in one.aliases}


def told(registry: Registry, number: int) -> list[tuple[str, str]]:
    return [(event.what, event.why) for event in history(registry) if event.version == number]


def promote_all(store: Any, folders: list[Path]) -> None:
    for number, folder in enumerate(folders, 1):
        store.stage(folder)
        promote(store.registry, NOW, f"number {number}")


def test_promoting_points_production_at_staging_and_previous_at_the_one_before(
    store: Any, model: Path, another_model: Another, tmp_path: Path
) -> None:
    first = store.stage(model)
    assert promote(store.registry, NOW, "first").number == first.number
    assert aliases(store.registry) == {"staging": 1, "production": 1}
    store.stage(another_model(model, tmp_path / "second"))
    assert promote(store.registry, LATER, "better").number == 2
    assert aliases(store.registry) == {"staging": 2, "production": 2, "previous": 1}
    assert store.registry.versions()[0].tags["production_since"] == "2025-07-02T12:00:00+00:00"
    assert told(store.registry, 2)[-1] == ("promoted", "better")
    assert told(store.registry, 1)[-1] == ("replaced", "by version 2")


def test_promoting_what_is_in_production_changes_nothing(store: Any, model: Path) -> None:
    store.stage(model)
    promote(store.registry, NOW, "first")
    before = history(store.registry)
    assert promote(store.registry, LATER, "again").number == 1
    assert aliases(store.registry) == {"staging": 1, "production": 1}
    assert history(store.registry) == before


def test_promoting_without_staging_is_refused_with_the_next_step(store: Any) -> None:
    with pytest.raises(RefusedError, match=r"no staging version.*dvc repro"):
        promote(store.registry, NOW, "")


def test_promoting_a_refused_version_names_the_reasons_of_the_gate(store: Any, model: Path) -> None:
    store.log(model, gate="refused", gate_reasons="failed: MAPE 45.00 %; needs at most 30 %")
    with pytest.raises(RefusedError, match=r"the gate refused version 1: failed: MAPE 45.00 %"):
        promote(store.registry, NOW, "")
    assert store.registry.at("production") is None


def never_tested(store: Any, model: Path) -> None:
    version = store.log(model, gate_champion="none")
    store.registry.point("staging", version.number, NOW)


def failed_tests(store: Any, model: Path) -> None:
    store.stage(model, "price falls with age: 12 % of the panel rise")


def other_digest_tested(store: Any, model: Path) -> None:
    version = store.stage(model)
    store.registry.tag(version.number, {"tests_digest": "0" * 64})


def staged_by_hand(store: Any, model: Path) -> None:
    store.stage(model, gate="refused", gate_reasons="failed: MAPE 45.00 %; needs at most 30 %")


def compared_with_another(store: Any, model: Path) -> None:
    version = store.stage(model)
    store.registry.tag(version.number, {"gate_champion": "0" * 64})


def changed_byte(store: Any, model: Path) -> None:
    path = store.artifact(store.stage(model), "booster.onnx")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def changed_byte_around_the_model(store: Any, model: Path) -> None:
    path = store.artifact(store.stage(model), "MLmodel")
    path.write_text(path.read_text(encoding="utf-8").replace("carprice.pyfunc", "carprice.pyfunk"))


def added_file(store: Any, model: Path) -> None:
    store.artifact(store.stage(model), "MLmodel").with_name("sitecustomize.py").write_text("1")


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (changed_byte_around_the_model, "MLmodel is missing, new, or not the file that was regis"),
        (added_file, "sitecustomize.py is missing, new, or not the file that was registered"),
        (never_tested, "it has not been through the model tests; run `carprice test-model`"),
        (failed_tests, "it failed the model tests; run `carprice test-model`"),
        (other_digest_tested, "it passed the model tests with another digest"),
        (staged_by_hand, "the gate did not accept it (failed: MAPE 45.00 %; needs at most 30 %)"),
        (compared_with_another, "the gate compared it with another production model than nothing"),
        (changed_byte, "booster.onnx is missing or not the file that was written"),
    ],
)
def test_what_must_not_go_to_production_is_refused_with_its_reason_and_a_record(
    store: Any, model: Path, prepare: Callable[[Any, Path], None], reason: str
) -> None:
    prepare(store, model)
    with pytest.raises(RefusedError) as refused:
        promote(store.registry, NOW, "by mistake")
    assert str(refused.value).startswith(f"version 1 of {store.registry.name} does not go to ")
    assert reason in str(refused.value)
    assert "\n" not in str(refused.value)
    assert store.registry.at("production") is None
    what, why = told(store.registry, 1)[-1]
    assert what == "not promoted"
    assert reason in why


def test_all_reasons_are_given_at_once(store: Any, model: Path) -> None:
    version = store.log(model, gate="refused", gate_reasons="failed: MAPE")
    store.registry.point("staging", version.number, NOW)
    with pytest.raises(RefusedError, match=r"gate did not accept it .*; it has not been through"):
        promote(store.registry, NOW, "")


def test_rolling_back_without_an_earlier_version_is_refused(store: Any, model: Path) -> None:
    with pytest.raises(RefusedError, match="knows no earlier production version"):
        rollback(store.registry, NOW, "")
    store.stage(model)
    promote(store.registry, NOW, "first")
    with pytest.raises(RefusedError, match="knows no earlier production version"):
        rollback(store.registry, NOW, "")
    assert aliases(store.registry)["production"] == 1


def test_rolling_back_brings_the_one_before_back_and_withdraws_the_other(
    store: Any, model: Path, another_model: Another, tmp_path: Path
) -> None:
    promote_all(store, [model, another_model(model, tmp_path / "second")])
    assert rollback(store.registry, LATER, "complaints").number == 1
    assert aliases(store.registry) == {"production": 1, "previous": 2}
    assert told(store.registry, 1)[-1] == ("restored", "complaints")
    assert told(store.registry, 2)[-2:] == [
        ("rolled back", "complaints"),
        ("replaced", "by version 1"),
    ]
    assert store.registry.versions()[0].withdrawn == "rolled back on 2025-07-02: complaints"


def test_a_second_rollback_does_not_bring_the_bad_one_back(
    store: Any, model: Path, another_model: Another, tmp_path: Path
) -> None:
    promote_all(store, [model, another_model(model, tmp_path / "second")])
    rollback(store.registry, NOW, "complaints")
    with pytest.raises(RefusedError, match=r"version 2 was rolled back .*`carprice rollback --to "):
        rollback(store.registry, NOW, "again")
    assert aliases(store.registry) == {"production": 1, "previous": 2}
    assert rollback(store.registry, NOW, "false alarm", to=2).number == 2
    assert aliases(store.registry) == {"production": 2, "previous": 1}
    assert [one.withdrawn != "" for one in store.registry.versions()] == [False, True]


def test_rolling_back_twice_goes_back_two_versions(
    store: Any, model: Path, another_model: Another, tmp_path: Path
) -> None:
    folders = [another_model(model, tmp_path / f"m{mark}", mark) for mark in (2, 3)]
    promote_all(store, [model, *folders])
    assert rollback(store.registry, NOW, "bad").number == 2
    assert rollback(store.registry, NOW, "bad too").number == 1


class Killed(BaseException):
    """Ends a call in its middle, as SIGKILL would."""


@pytest.mark.parametrize("call", ["point", "tag", "clear"])
def test_a_rollback_that_is_killed_lets_nothing_bad_through(
    store: Any,
    model: Path,
    another_model: Another,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
) -> None:
    promote_all(store, [model, another_model(model, tmp_path / "second")])
    good = getattr(Registry, call)

    def killed_after(self: Registry, *arguments: Any) -> None:
        good(self, *arguments)
        raise Killed

    monkeypatch.setattr(Registry, call, killed_after)
    with pytest.raises(Killed):
        rollback(store.registry, NOW, "complaints")
    monkeypatch.undo()
    store.registry.point("staging", 2, NOW)
    with contextlib.suppress(RefusedError):
        promote(store.registry, NOW, "by the pipeline")
    assert store.registry.versions()[0].withdrawn
    assert rollback(store.registry, NOW, "complaints", to=1).number == 1
    assert aliases(store.registry)["production"] == 1


@pytest.mark.parametrize("alias", ["previous", "production"])
def test_a_promotion_that_is_killed_is_finished_by_the_next(
    store: Any,
    model: Path,
    another_model: Another,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    alias: str,
) -> None:
    folders = [another_model(model, tmp_path / f"m{mark}", mark) for mark in (2, 3)]
    promote_all(store, [model, folders[0]])
    store.stage(folders[1])
    point = Registry.point

    def killed_after(self: Registry, name: str, number: int, now: datetime.datetime) -> None:
        point(self, name, number, now)
        if name == alias:
            raise Killed

    monkeypatch.setattr(Registry, "point", killed_after)
    with pytest.raises(Killed):
        promote(store.registry, LATER, "third")
    monkeypatch.undo()
    promote(store.registry, LATER, "third")
    assert aliases(store.registry) == {"staging": 3, "production": 3, "previous": 2}
    assert told(store.registry, 3)[-1] == ("promoted", "third")
    assert rollback(store.registry, LATER, "bad").number == 2


def test_what_is_in_production_and_damaged_is_told_and_left(store: Any, model: Path) -> None:
    changed_byte(store, model)
    path = store.artifact(store.registry.at("staging"), "booster.onnx")
    damaged = path.read_bytes()
    path.write_bytes((model / "booster.onnx").read_bytes())
    promote(store.registry, NOW, "good")
    path.write_bytes(damaged)
    with pytest.raises(RefusedError, match=r"is in production, but .*booster.onnx is missing or"):
        promote(store.registry, NOW, "again")
    assert aliases(store.registry)["production"] == 1


def test_other_limits_than_those_in_force_are_refused(store: Any, model: Path) -> None:
    version = store.stage(model, gate_thresholds=GateSettings().model_dump_json())
    strict = RegisterSettings(gate=GateSettings(max_mape=5))
    with pytest.raises(
        RefusedError, match=r"judged it by other thresholds .* by other limits than"
    ):
        promote(store.registry, NOW, "", strict)
    lenient = RegisterSettings(tests=ModelTestSettings(max_rises=1))
    record_tests(store.registry, version, (), NOW, lenient)
    with pytest.raises(RefusedError, match="passed the model tests by other limits than those in"):
        promote(store.registry, NOW, "", RegisterSettings())
    record_tests(store.registry, version, (), NOW, RegisterSettings())
    assert promote(store.registry, NOW, "", RegisterSettings()).number == version.number


def test_a_production_model_that_changes_meanwhile_ends_the_promotion(
    store: Any,
    model: Path,
    another_model: Another,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    promote_all(store, [model])
    other = store.log(another_model(model, tmp_path / "other", 2))
    store.stage(another_model(model, tmp_path / "second", 3))
    download = Registry.download

    def slowly(self: Registry, version: Any, folder: Path) -> Path:
        self.point("production", other.number, NOW)
        return download(self, version, folder)

    monkeypatch.setattr(Registry, "download", slowly)
    with pytest.raises(RefusedError, match="changed to version 2 in the meantime; run"):
        promote(store.registry, NOW, "late")
    assert aliases(store.registry)["production"] == 2


def test_a_tag_that_is_no_event_is_passed_over(store: Any, model: Path) -> None:
    version = store.log(model)
    store.registry.tag(version.number, {"event.odd": "x", "event.20250701T120000.0Z.y": "{}"})
    assert history(store.registry) == []


def test_a_damaged_list_of_files_is_one_line(store: Any, model: Path) -> None:
    version = store.stage(model)
    store.registry.tag(version.number, {"files": '{"MLmodel": "12'})
    with pytest.raises(RefusedError, match="its tag 'files' is not what was written"):
        promote(store.registry, NOW, "")


def test_a_version_that_was_rolled_back_is_not_promoted_again(
    store: Any, model: Path, another_model: Another, tmp_path: Path
) -> None:
    promote_all(store, [model, another_model(model, tmp_path / "second")])
    rollback(store.registry, NOW, "complaints")
    store.registry.point("staging", 2, NOW)
    with pytest.raises(RefusedError, match="it was rolled back on 2025-07-01: complaints"):
        promote(store.registry, NOW, "")
    assert aliases(store.registry)["production"] == 1


def test_rolling_back_to_a_version_brings_that_one_back(
    store: Any, model: Path, another_model: Another, tmp_path: Path
) -> None:
    folders = [another_model(model, tmp_path / f"m{mark}", mark) for mark in (2, 3)]
    promote_all(store, [model, *folders])
    assert rollback(store.registry, NOW, "as in June", to=1).number == 1
    assert aliases(store.registry) == {"production": 1, "previous": 3}
    assert rollback(store.registry, NOW, "no change", to=1).number == 1
    assert aliases(store.registry) == {"production": 1, "previous": 3}


def test_rolling_back_to_what_was_never_in_production_is_refused(
    store: Any, model: Path, another_model: Another, tmp_path: Path
) -> None:
    promote_all(store, [model])
    store.log(another_model(model, tmp_path / "second"))
    with pytest.raises(RefusedError, match=r"version 2 of .* was never in production"):
        rollback(store.registry, NOW, "", to=2)
    with pytest.raises(RefusedError, match="has no version 9; see `carprice status`"):
        rollback(store.registry, NOW, "", to=9)
    assert aliases(store.registry)["production"] == 1


def test_a_damaged_version_is_not_brought_back(
    store: Any, model: Path, another_model: Another, tmp_path: Path
) -> None:
    promote_all(store, [model, another_model(model, tmp_path / "second")])
    store.artifact(store.registry.at("previous"), "ranges.json").write_text("{}")
    with pytest.raises(RefusedError, match=r"version 1 cannot be brought back: .*ranges\.json"):
        rollback(store.registry, NOW, "")
    assert aliases(store.registry)["production"] == 2


def at_once(*actions: Callable[[], Any]) -> list[BaseException | None]:
    """Run actions at the same time, and return what each raised."""
    outcomes: list[BaseException | None] = [None] * len(actions)
    barrier = threading.Barrier(len(actions))

    def run(number: int) -> None:
        barrier.wait()
        try:
            actions[number]()
        except RefusedError as error:
            outcomes[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(actions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def test_two_promotions_at_once_end_in_one_state(
    store: Any, model: Path, another_model: Another, tmp_path: Path
) -> None:
    promote_all(store, [model])
    store.stage(another_model(model, tmp_path / "second"))
    registries = [Registry(store.registry.uri, store.registry.name) for _ in range(2)]
    outcomes = at_once(*(lambda one=one: promote(one, LATER, "twice") for one in registries))
    assert outcomes == [None, None]
    assert aliases(store.registry) == {"staging": 2, "production": 2, "previous": 1}
    assert ("promoted", "twice") in told(store.registry, 2)


def test_the_one_that_another_promotion_overtook_is_told(
    store: Any,
    model: Path,
    another_model: Another,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    promote_all(store, [model])
    other = store.log(another_model(model, tmp_path / "other", 2))
    store.stage(another_model(model, tmp_path / "second", 3))
    point = Registry.point

    def overtaken(self: Registry, alias: str, number: int, now: datetime.datetime) -> None:
        point(self, alias, number, now)
        if alias == "production":
            point(self, alias, other.number, now)

    monkeypatch.setattr(Registry, "point", overtaken)
    with pytest.raises(RefusedError, match=r"for a moment only.*version 2 there"):
        promote(store.registry, LATER, "")
    monkeypatch.undo()
    assert aliases(store.registry) == {"staging": 3, "production": 2, "previous": 1}
    assert "promoted" not in [what for what, _ in told(store.registry, 3)]


def test_the_history_is_that_of_all_versions_in_order(
    store: Any, model: Path, another_model: Another, tmp_path: Path
) -> None:
    for number, mark in ((1, 2), (2, 3)):
        version = store.log(another_model(model, tmp_path / f"m{mark}", mark))
        assert version.number == number
    moments = [NOW + datetime.timedelta(microseconds=step) for step in (3, 1, 2)]
    for number, moment in zip((1, 2, 1), moments, strict=True):
        record(store.registry, number, "registered", moment, f'at "{moment.microsecond}", für 5 €')
    events = history(store.registry)
    assert [(event.version, event.time) for event in events] == [
        (2, moments[1]),
        (1, moments[2]),
        (1, moments[0]),
    ]
    assert events[0].why == 'at "1", für 5 €'
    assert json.loads(json.dumps(events[0].to_json()))["what"] == "registered"


def test_a_pipeline_of_github_is_named(
    store: Any, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTOR", "ann")
    monkeypatch.setenv("GITHUB_RUN_ID", "77")
    version = store.log(model)
    record_tests(store.registry, version, ("digest: a byte", "figures: none"), NOW)
    assert history(store.registry) == [
        Event(
            NOW,
            version.number,
            "failed the model tests",
            "ann in GitHub run 77",
            "digest: a byte; figures: none",
        )
    ]


def test_a_long_reason_is_cut(store: Any, model: Path) -> None:
    version = store.log(model)
    record(store.registry, version.number, "registered", NOW, "x" * 9000)
    assert len(history(store.registry)[0].why) == 1501
