"""The alias ``challenger``: set, won, dropped, broken off after each write."""

import datetime
from collections.abc import Callable
from typing import Any

import pytest
from broken_off import NOW, Bench, Command, add

from carprice.errors import RefusedError
from carprice.registry.challenge import beaten_by, drop, go_back, since_of, start, win
from carprice.registry.promotion import history, promote, record_tests, rollback
from carprice.registry.versions import Registry

LATER, LAST = NOW + datetime.timedelta(days=1), NOW + datetime.timedelta(days=2)
in_memory = pytest.mark.parametrize("bench", ["memory"], indirect=True)


@pytest.fixture(autouse=True)
def _no_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The made-up models have none; other tests show that they are looked at."""
    monkeypatch.setattr("carprice.registry.promotion.damage_of", lambda *_: "")
    monkeypatch.delenv("GITHUB_ACTOR", raising=False)


def begin(now: datetime.datetime) -> Command:
    return lambda registry: start(registry, now, "by the pipeline")


def lose(now: datetime.datetime) -> Command:
    return lambda registry: drop(registry, registry.numbered(5), now, "worse")


def gain(now: datetime.datetime) -> Command:
    return lambda one: win(one, one.numbered(5), one.numbered(2), now, "error −3 %")


def regret(now: datetime.datetime) -> Command:
    return lambda registry: go_back(registry, registry.numbered(5), now, "error +4 %")


COMMANDS: dict[str, tuple[list[Command], Callable[[datetime.datetime], Command]]] = {
    "start": ([], begin),
    "drop": ([begin(NOW)], lose),
    "win": ([begin(NOW)], gain),
    "go back": ([begin(NOW), gain(NOW)], regret),
}


def told(registry: Registry, number: int) -> list[tuple[str, str]]:
    return [(str(one.what), one.why) for one in history(registry) if one.version == number]


def numbers(registry: Registry) -> dict[str, int]:
    return {name: one.number for one in registry.versions() for name in one.aliases}


@in_memory
@pytest.mark.parametrize("name", [*COMMANDS])
def test_a_command_that_is_killed_after_any_write_and_run_again_ends_as_if_unbroken(
    bench: Bench, name: str
) -> None:
    before, make = COMMANDS[name]
    first, second = make(LATER), make(LAST)

    def prepare() -> None:
        bench.restore()
        for command in before:
            command(bench.registry)

    prepare()
    with bench.watched() as watched:
        first(bench.registry)
    expected, writes = bench.state(), watched.count
    assert writes >= 2
    for killed in range(1, writes + 1):
        prepare()
        bench.killed_after(killed, first)
        # The rollback that is done whole needs no second one, and would go no further.
        bench.run(second)
        assert bench.state() == expected, killed


@in_memory
def test_a_challenger_wins_and_goes_back_by_the_machinery_of_promotion(bench: Bench) -> None:
    bench.restore()
    registry = bench.registry
    assert start(registry, LATER, "retrained").number == 5
    assert numbers(registry) == {"staging": 5, "challenger": 5, "production": 2, "previous": 3}
    assert since_of(registry.numbered(5), "challenger_since") == LATER
    start(registry, LAST, "again")  # changes nothing
    assert told(registry, 5)[-1] == ("challenger", "retrained")
    registry.clear("staging")  # another candidate was refused meanwhile
    win(registry, registry.numbered(5), registry.numbered(2), LAST, "error −3 %")
    assert numbers(registry) == {"production": 5, "previous": 2}
    assert told(registry, 5)[-1] == ("promoted", "error −3 %")
    champion = registry.numbered(5)
    found = beaten_by(registry, champion)
    assert found is not None
    assert found.number == 2
    assert go_back(registry, champion, LAST, "error +4 %").number == 2
    assert numbers(registry) == {"production": 2, "previous": 5}
    assert ("rolled back", "error +4 %") in told(registry, 5)
    assert beaten_by(registry, registry.numbered(2)) is None
    with pytest.raises(RefusedError, match=r"does not challenge production: it was rolled back"):
        start(registry, LAST, "", 5)


@in_memory
def test_what_might_not_be_promoted_does_not_challenge(bench: Bench) -> None:
    bench.restore()
    registry = bench.registry
    untested = registry._client.create_model_version(
        registry.name, "", tags={"digest": "9" * 64, "gate": "accepted"}
    )
    cases = {
        2: "is in production itself",
        4: "is in production itself",  # of the same bytes
        3: "it was rolled back on",
        1: "the gate compared it with another production model than version 2",
        int(untested.version): "it has not been through the model tests",
        99: "has no version 99",
    }
    for number, reason in cases.items():
        with pytest.raises(RefusedError, match=reason):
            start(registry, LATER, "", number)
    assert "challenger" not in numbers(registry)
    registry.clear("staging")
    with pytest.raises(RefusedError, match="has no staging version"):
        start(registry, LATER, "")
    registry.clear("production")
    with pytest.raises(RefusedError, match="nothing in production to challenge"):
        start(registry, LATER, "", 5)


@in_memory
def test_a_new_challenger_takes_the_place_of_another(bench: Bench) -> None:
    bench.restore()
    registry = bench.registry
    start(registry, LATER, "")
    number = add(registry, 6)
    start(registry, LAST, "newer", number)
    assert numbers(registry)["challenger"] == number
    assert told(registry, 5)[-1] == (
        "challenger dropped",
        f"version {number} challenges in its place",
    )


@in_memory
def test_nothing_moves_where_production_is_another_one_by_then(bench: Bench) -> None:
    bench.restore()
    registry = bench.registry
    start(registry, LATER, "")
    other = add(registry, 6)
    registry.point("staging", other, LATER)
    champion = registry.numbered(2)
    promote(registry, LATER, "by hand")
    with pytest.raises(RefusedError, match=f"version {other} meanwhile, and not version 2"):
        win(registry, registry.numbered(5), champion, LAST, "better")
    with pytest.raises(RefusedError, match=f"is version {other} and not version 5 any more"):
        go_back(registry, registry.numbered(5), LAST, "worse")
    assert numbers(registry)["production"] == other


@in_memory
def test_of_a_promotion_by_hand_and_a_win_at_once_one_is_done_whole(bench: Bench) -> None:
    """The promotion of another version runs before each write of the win."""

    def prepare() -> int:
        bench.restore()
        start(bench.registry, LATER, "")
        number = add(bench.registry, 6)
        bench.registry.point("staging", number, LATER)
        return number

    other = prepare()
    with bench.watched() as watched:
        gain(LAST)(bench.registry)
    for number in range(1, watched.count + 1):
        prepare()
        done: list[bool] = []

        def run_other(count: int, number: int = number, done: list[bool] = done) -> None:
            if count == number:
                with bench.unwatched():
                    done.append(bench.run(lambda one: promote(one, LAST, "by hand")))

        with bench.watched(before=run_other):
            is_done = bench.run(gain(LAST))
        assert (is_done, *done) in ((True, False), (False, True)), number
        assert numbers(bench.registry)["production"] == (5 if is_done else other)
        assert bench.registry.model_tags() == {}


@in_memory
def test_a_challenger_of_withdrawn_bytes_is_none_any_more(bench: Bench) -> None:
    bench.restore()
    registry = bench.registry
    start(registry, LATER, "")
    promote(registry, LATER, "by hand")  # the challenger itself
    rollback(registry, LAST, "complaints")
    assert numbers(registry) == {"production": 2, "previous": 5}


@in_memory
def test_a_challenger_that_fails_the_tests_again_is_not_promoted(bench: Bench) -> None:
    bench.restore()
    registry: Any = bench.registry
    start(registry, LATER, "")
    record_tests(registry, registry.numbered(5), ("figures: 45 %",), LATER)
    with pytest.raises(RefusedError, match="it failed the model tests"):
        gain(LAST)(registry)
    assert numbers(registry)["production"] == 2
