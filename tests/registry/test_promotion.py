import contextlib
import datetime
import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from broken_off import memory_registry

from carprice.errors import RefusedError
from carprice.registry.promotion import Event, history, promote, record, record_tests, rollback
from carprice.registry.versions import Registry
from carprice.settings import GateSettings, ModelTestSettings, RegisterSettings

NOW = datetime.datetime(2025, 7, 1, 12, 0, tzinfo=datetime.UTC)
LATER = NOW + datetime.timedelta(days=1)
BAD = {"gate": "refused", "gate_reasons": "failed: MAPE 45.00 %; needs at most 30 %"}
# For what tags and aliases decide; that a server keeps them and the bytes is shown by the others.
on_a_database = pytest.mark.parametrize("store", ["database"], indirect=True)


@pytest.fixture(scope="module")
def models(
    finished: Any, another_model: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> list[Path]:
    """Three models that price alike, of different digests."""
    folder, first = tmp_path_factory.mktemp("models"), finished[0].model
    return [first, *(another_model(first, folder / f"m{mark}", mark) for mark in (2, 3))]


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
    store: Any, models: list[Path]
) -> None:
    with pytest.raises(RefusedError, match=r"no staging version.*dvc repro"):
        promote(store.registry, NOW, "")
    store.stage(models[0])
    assert promote(store.registry, NOW, "first").number == 1
    assert aliases(store.registry) == {"staging": 1, "production": 1}
    store.stage(models[1])
    assert promote(store.registry, LATER, "better").number == 2
    after, events = aliases(store.registry), history(store.registry)
    assert after == {"staging": 2, "production": 2, "previous": 1}
    assert store.registry.versions()[0].tags["production_since"] == "2025-07-02T12:00:00+00:00"
    assert told(store.registry, 2)[-1] == ("promoted", "better")
    assert told(store.registry, 1)[-1] == ("replaced", "by version 2")
    assert promote(store.registry, LATER, "again").number == 2
    assert (aliases(store.registry), history(store.registry)) == (after, events)


def never_tested(store: Any, model: Path, **tags: str) -> None:
    store.registry.point("staging", store.log(model, gate_champion="none", **tags).number, NOW)


def refused_and_never_tested(store: Any, model: Path) -> None:
    never_tested(store, model, **BAD)


def failed_tests(store: Any, model: Path) -> None:
    store.stage(model, "price falls with age: 12 % of the panel rise")


def staged_by_hand(store: Any, model: Path) -> None:
    store.stage(model, **BAD)


def with_tag(key: str, value: str) -> Callable[[Any, Path], None]:
    def prepare(store: Any, model: Path) -> None:
        store.registry.tag(store.stage(model).number, {key: value})

    return prepare


def change_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def changed_byte(store: Any, model: Path) -> None:
    change_a_byte(store.artifact(store.stage(model, is_shared=False), "booster.onnx"))


def changed_byte_around_the_model(store: Any, model: Path) -> None:
    path = store.artifact(store.stage(model, is_shared=False), "MLmodel")
    path.write_text(path.read_text(encoding="utf-8").replace("carprice.pyfunc", "carprice.pyfunk"))


def added_file(store: Any, model: Path) -> None:
    version = store.stage(model, is_shared=False)
    store.artifact(version, "MLmodel").with_name("sitecustomize.py").write_text("1")


REFUSED: list[tuple[Callable[[Any, Path], None], str]] = [
    (changed_byte, "booster.onnx is missing or not the file that was written"),
    (changed_byte_around_the_model, "MLmodel is missing, new, or not the file that was regis"),
    (added_file, "sitecustomize.py is missing, new, or not the file that was registered"),
    (never_tested, "it has not been through the model tests; run `carprice test-model`"),
    (
        refused_and_never_tested,
        "the gate did not accept it (failed: MAPE 45.00 %; needs at most 30 %); it has not bee",
    ),
    (failed_tests, "it failed the model tests; run `carprice test-model`"),
    (with_tag("tests_digest", "0" * 64), "it passed the model tests with another digest"),
    (staged_by_hand, "the gate did not accept it (failed: MAPE 45.00 %; needs at most 30 %)"),
    (
        with_tag("gate_champion", "0" * 64),
        "the gate compared it with another production model than nothing",
    ),
    (with_tag("files", '{"MLmodel": "12'), "its tag 'files' is not what was written"),
]


@pytest.mark.parametrize(
    ("store", "prepare", "reason"),
    [("database", *case) for case in REFUSED] + [("server", *case) for case in REFUSED[:3]],
    indirect=["store"],
)
def test_what_must_not_go_to_production_is_refused_with_its_reason_and_a_record(
    store: Any, models: list[Path], prepare: Callable[[Any, Path], None], reason: str
) -> None:
    prepare(store, models[0])
    with pytest.raises(RefusedError) as refused:
        promote(store.registry, NOW, "by mistake")
    assert str(refused.value).startswith(f"version 1 of {store.registry.name} does not go to ")
    assert reason in str(refused.value)
    assert "\n" not in str(refused.value)
    assert store.registry.at("production") is None
    what, why = told(store.registry, 1)[-1]
    assert what == "not promoted"
    assert reason in why


def test_rolling_back_to_what_was_never_in_production_is_refused(
    store: Any, models: list[Path]
) -> None:
    def refuse(words: str, to: int | None = None) -> None:
        with pytest.raises(RefusedError, match=words):
            rollback(store.registry, NOW, "", to)

    refuse("knows no earlier production version")
    promote_all(store, models[:1])
    refuse("knows no earlier production version")
    store.log(models[1])
    refuse(r"version 2 of .* was never in production", to=2)
    refuse("has no version 9; see `carprice status`", to=9)
    assert aliases(store.registry)["production"] == 1


def test_a_version_that_was_rolled_back_comes_back_by_its_number_alone(
    store: Any, models: list[Path]
) -> None:
    registry = store.registry
    promote_all(store, models[:2])
    assert rollback(registry, LATER, "complaints").number == 1
    after = aliases(registry)
    assert after == {"production": 1, "previous": 2}
    assert told(registry, 1)[-1] == ("restored", "complaints")
    assert told(registry, 2)[-2:] == [("rolled back", "complaints"), ("replaced", "by version 1")]
    assert registry.versions()[0].withdrawn == "rolled back on 2025-07-02: complaints"
    registry.point("staging", 2, NOW)
    with pytest.raises(RefusedError, match="it was rolled back on 2025-07-02: complaints"):
        promote(registry, NOW, "")
    registry.clear("staging")
    with pytest.raises(RefusedError, match=r"version 2 was rolled back .*`carprice rollback --to "):
        rollback(registry, NOW, "again")
    assert aliases(registry) == after
    assert rollback(registry, NOW, "false alarm", to=2).number == 2
    assert aliases(registry) == {"production": 2, "previous": 1}
    assert [one.withdrawn != "" for one in registry.versions()] == [False, True]


@on_a_database
def test_rolling_back_goes_back_version_by_version_or_to_one_of_them(
    store: Any, models: list[Path]
) -> None:
    promote_all(store, models)
    assert rollback(store.registry, NOW, "bad").number == 2
    assert rollback(store.registry, NOW, "bad too").number == 1
    for why in ("as in July", "no change"):
        assert rollback(store.registry, NOW, why, to=3).number == 3
        assert aliases(store.registry) == {"production": 3, "previous": 1}


class Killed(BaseException):
    """Ends a call in its middle, as SIGKILL would."""


@on_a_database
@pytest.mark.parametrize("call", ["point", "tag", "clear"])
def test_a_rollback_that_is_killed_lets_nothing_bad_through(
    store: Any, models: list[Path], monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    promote_all(store, models[:2])
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


@on_a_database
@pytest.mark.parametrize("alias", ["previous", "production"])
def test_a_promotion_that_is_killed_is_finished_by_the_next(
    store: Any, models: list[Path], monkeypatch: pytest.MonkeyPatch, alias: str
) -> None:
    promote_all(store, models[:2])
    store.stage(models[2])
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


def test_a_damaged_version_is_neither_brought_back_nor_taken_for_good(
    store: Any, models: list[Path]
) -> None:
    for folder in models[:2]:
        store.stage(folder, is_shared=False)
        promote(store.registry, NOW, "good")
    change_a_byte(store.artifact(store.registry.at("previous"), "ranges.json"))
    with pytest.raises(RefusedError, match=r"version 1 cannot be brought back: .*ranges\.json"):
        rollback(store.registry, NOW, "")
    change_a_byte(store.artifact(store.registry.at("production"), "booster.onnx"))
    with pytest.raises(RefusedError, match=r"is in production, but .*booster.onnx is missing or"):
        promote(store.registry, NOW, "again")
    assert aliases(store.registry)["production"] == 2


@on_a_database
def test_other_limits_than_those_in_force_are_refused(store: Any, models: list[Path]) -> None:
    version = store.stage(models[0], gate_thresholds=GateSettings().model_dump_json())
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


@pytest.fixture
def disputed(store: Any, models: list[Path]) -> Registry:
    """Version 1 in production, version 3 in staging, and version 2, which somebody else wants."""
    promote_all(store, models[:1])
    store.log(models[1])
    store.stage(models[2])
    return store.registry


@on_a_database
@pytest.mark.parametrize("number", [2, 3])
def test_a_production_model_that_changes_meanwhile_ends_the_promotion(
    disputed: Registry, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """But if another promotion has put the very version there, both have what they asked for."""
    download = Registry.download

    def slowly(self: Registry, version: Any, folder: Path) -> Path:
        self.point("production", number, NOW)
        return download(self, version, folder)

    monkeypatch.setattr(Registry, "download", slowly)
    outcome = pytest.raises(RefusedError, match="changed to version 2 in the meantime; run")
    with outcome if number == 2 else contextlib.nullcontext():
        promote(disputed, NOW, "late")
    assert aliases(disputed)["production"] == number


@on_a_database
def test_the_one_that_another_promotion_overtook_is_told(
    disputed: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = Registry.point

    def overtaken(self: Registry, alias: str, number: int, now: datetime.datetime) -> None:
        point(self, alias, number, now)
        if alias == "production":
            point(self, alias, 2, now)

    monkeypatch.setattr(Registry, "point", overtaken)
    with pytest.raises(RefusedError, match=r"for a moment only.*version 2 there"):
        promote(disputed, LATER, "")
    assert aliases(disputed) == {"staging": 3, "production": 2, "previous": 1}
    assert "promoted" not in [what for what, _ in told(disputed, 3)]


def test_two_promotions_at_once_end_in_one_state(store: Any, models: list[Path]) -> None:
    promote_all(store, models[:1])
    store.stage(models[1])
    barrier, refused = threading.Barrier(2), []

    def run(registry: Registry) -> None:
        barrier.wait()
        try:
            promote(registry, LATER, "twice")
        except RefusedError as error:
            refused.append(error)

    registries = [Registry(store.registry.uri, store.registry.name) for _ in range(2)]
    threads = [threading.Thread(target=run, args=(registry,)) for registry in registries]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused == []
    assert aliases(store.registry) == {"staging": 2, "production": 2, "previous": 1}
    assert ("promoted", "twice") in told(store.registry, 2)


def test_the_history_is_that_of_all_versions_in_order(store: Any, models: list[Path]) -> None:
    for folder in models[:2]:
        store.log(folder)
    store.registry.tag(1, {"event.odd": "x", "event.20250701T120000.0Z.y": "{}"})  # no events
    moments = [NOW + datetime.timedelta(microseconds=step) for step in (3, 1, 2)]
    for number, moment in zip((1, 2, 1), moments, strict=True):
        record(store.registry, number, "registered", moment, f'at "{moment.microsecond}", für 5 €')
    events = history(store.registry)
    expected = [(2, moments[1]), (1, moments[2]), (1, moments[0])]
    assert [(event.version, event.time) for event in events] == expected
    assert events[0].why == 'at "1", für 5 €'
    assert json.loads(json.dumps(events[0].to_json()))["what"] == "registered"
    record(store.registry, 1, "registered", LATER, "x" * 9000)
    assert len(history(store.registry)[-1].why) == 1501


@pytest.mark.parametrize(
    "content",
    [
        "[" * 50_000,
        '{"what": "registered", "by": 5, "why": ""}',
        '{"what": "registered", "by": "ann", "why": []}',
        '{"what": "registered", "by": "ann"}',
        '{"what": {}, "by": "ann", "why": ""}',
        "5",
    ],
)
def test_what_is_no_event_is_passed_over(content: str) -> None:
    registry = memory_registry()
    registry._client.create_model_version("", "", tags={"event.20250701T120000.0Z.x": content})
    assert history(registry) == []


def test_a_pipeline_of_github_is_named(
    store: Any, models: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTOR", "ann")
    monkeypatch.setenv("GITHUB_RUN_ID", "77")
    version = store.log(models[0])
    record_tests(store.registry, version, ("digest: a byte", "figures: none"), NOW)
    actor, why = "ann in GitHub run 77", "digest: a byte; figures: none"
    expected = Event(NOW, version.number, "failed the model tests", actor, why)
    assert history(store.registry) == [expected]
