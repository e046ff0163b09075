"""Promotions and rollbacks that are broken off after each write, alone and two at once."""

import datetime
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import broken_off
import pytest
from broken_off import (
    NOW,
    Bench,
    Command,
    add,
    cases,
    digest,
    steps,
)

from carprice.errors import RefusedError
from carprice.registry.intents import intents
from carprice.registry.promotion import finish, history, promote, record_tests, rollback
from carprice.registry.record import Record

LATER, LAST = NOW + datetime.timedelta(days=1), NOW + datetime.timedelta(days=2)
COMMANDS: dict[str, Callable[[datetime.datetime], Command]] = {
    "promote": lambda now: lambda registry: promote(registry, now, "better"),
    "rollback": lambda now: lambda registry: rollback(registry, now, "complaints"),
    "rollback --to": lambda now: lambda registry: rollback(registry, now, "false alarm", 3),
    "test-model": lambda now: lambda one: record_tests(one, one.numbered(5), (), now),
    "test-model that fails": lambda now: (
        lambda one: record_tests(one, one.numbered(5), ("figures: 45 %",), now)
    ),
}
in_memory = pytest.mark.parametrize("bench", ["memory"], indirect=True)
DATABASE = pytest.param("database", marks=pytest.mark.slow)
MOVING = list(COMMANDS)[:3]


@pytest.fixture(autouse=True)
def _no_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The made-up models have none; other tests show that they are looked at."""
    monkeypatch.setattr("carprice.registry.promotion.damage_of", lambda *_: "")
    monkeypatch.delenv("GITHUB_ACTOR", raising=False)


def unbroken(bench: Bench, *commands: Command) -> Any:
    bench.restore()
    for command in commands:
        command(bench.registry)
    return bench.state()


def unbroken_if_allowed(bench: Bench, *commands: Command) -> Any:
    bench.restore()
    for command in commands:
        bench.run(command)
    return bench.state()


@pytest.mark.parametrize(
    ("bench", "name"), cases([(name,) for name in COMMANDS], ("rollback",)), indirect=["bench"]
)
def test_a_command_that_is_killed_after_any_write_and_run_again_ends_as_if_unbroken(
    bench: Bench, name: str
) -> None:
    """Also where the second run is killed after any of its writes."""
    first, second = COMMANDS[name](LATER), COMMANDS[name](LAST)
    expected, writes = unbroken(bench, first), bench.writes(first)
    assert writes >= 4

    def is_done() -> bool:
        """Whether it was killed after its very last write; the next would be another rollback."""
        return name in MOVING and not bench.registry.model_tags()

    for killed in range(1, writes + 1, steps(bench)):
        for killed_again in range(0, 2 * writes, 2 if bench.database is None else 3 * writes):
            bench.restore()
            bench.killed_after(killed, first)
            if killed_again and not is_done():
                bench.killed_after(killed_again, second)
            if not is_done():
                second(bench.registry)
            assert bench.state() == expected, (killed, killed_again)


@in_memory
@pytest.mark.parametrize("second", MOVING)
@pytest.mark.parametrize("first", MOVING)
def test_another_command_after_a_killed_one_finishes_that_first(
    bench: Bench, first: str, second: str
) -> None:
    """It then does its own, unless production is not what it saw, or it was a rollback as well."""
    one, other = COMMANDS[first](LATER), COMMANDS[second](LAST)
    alone, writes = unbroken(bench, one), bench.writes(one)
    serial = unbroken_if_allowed(bench, one, other)
    for killed in range(1, writes + 1):
        bench.restore()
        bench.killed_after(killed, one)
        is_done = bench.run(other)
        is_finished_only = not is_done or (first, second) == ("rollback --to", "rollback")
        if not (is_finished_only and killed < writes):
            assert bench.state() in (alone, serial), killed
        else:
            assert bench.state() == alone, killed


@pytest.mark.parametrize(
    ("bench", "first", "second"),
    cases(list(product(MOVING, repeat=2)), ("promote", "rollback")),
    indirect=["bench"],
)
def test_of_two_at_once_each_is_done_whole_or_refused(
    bench: Bench, first: str, second: str
) -> None:
    """The second runs before each write of the first: after all that the first has read.

    Both are done only where they do the same.
    """
    one, other = COMMANDS[first](LATER), COMMANDS[second](LATER)
    alone, writes = unbroken(bench, one), bench.writes(one)
    other_alone = unbroken(bench, other)
    for number in range(1, writes + 1, steps(bench)):
        bench.restore()
        done: list[bool] = []

        def run_other(count: int, number: int = number, done: list[bool] = done) -> None:
            if count == number:
                with bench.unwatched():
                    done.append(bench.run(other))

        with bench.watched(before=run_other):
            is_done = bench.run(one)
        assert (is_done, *done) in ((True, False), (False, True), (True, True)), number
        assert "promote" not in {first, second} or first == second or not all((is_done, *done))
        assert bench.state() == (alone if is_done else other_alone), number


@in_memory
@pytest.mark.parametrize("name", MOVING)
def test_what_another_has_done_whole_is_not_done_again(bench: Bench, name: str) -> None:
    """The other one begins and ends before the first announces itself."""

    def told() -> list[Any]:
        version = bench.registry.at("production")
        assert version is not None
        return [version.number, version.tags["production_since"], *history(bench.registry)]

    bench.restore()
    COMMANDS[name](LATER)(bench.registry)
    expected = told()

    def run_other(count: int) -> None:
        if count == 1:
            with bench.unwatched():
                COMMANDS[name](LATER)(bench.registry)

    bench.restore()
    with bench.watched(before=run_other):
        COMMANDS[name](LAST)(bench.registry)
    assert told() == expected


def numbers(bench: Bench) -> dict[str, int]:
    return dict(sorted(bench.state()[0].items()))


@in_memory
def test_the_end_states_are_those_of_the_table(bench: Bench) -> None:
    told = {}
    for name in MOVING:
        unbroken(bench, COMMANDS[name](LATER))
        told[name] = numbers(bench), bench.withdrawn
    assert told == {
        "promote": ({"previous": 2, "production": 5, "staging": 5}, [3]),
        "rollback": ({"previous": 2, "production": 1, "staging": 5}, [4, 3, 2]),
        "rollback --to": ({"previous": 2, "production": 3, "staging": 5}, [4, 2]),
    }


@in_memory
def test_bytes_that_were_rolled_back_do_not_come_back_under_another_number(bench: Bench) -> None:
    bench.restore()
    registry = bench.registry
    number = add(registry, 3)
    registry.point("staging", number, NOW)
    with pytest.raises(RefusedError, match=r"too dear as version 3, of the same bytes; `carprice "):
        promote(registry, LATER, "")
    assert rollback(registry, LATER, "false alarm", to=3).number == 3
    assert bench.withdrawn == [4, 2]


@in_memory
def test_rolling_back_goes_to_other_bytes(bench: Bench) -> None:
    """Version 4 is of the bytes of 2, which it replaces where those are damaged."""
    bench.restore()
    registry = bench.registry
    registry.tag(4, {"gate_champion": digest(2)})
    registry.point("staging", 4, NOW)
    assert promote(registry, LATER, "the same again").number == 4
    assert numbers(bench)["previous"] == 2
    assert rollback(registry, LATER, "wrong all the same").number == 1
    assert bench.withdrawn == [4, 3, 2]


@in_memory
def test_a_rollback_between_twins_withdraws_neither(bench: Bench) -> None:
    bench.restore()
    registry = bench.registry
    registry.point("production", 4, NOW)
    assert rollback(registry, LATER, "that number again", to=2).number == 2
    assert bench.withdrawn == [3]


@pytest.mark.parametrize("bench", ["memory", DATABASE], indirect=True)
def test_where_the_version_in_production_was_deleted_a_rollback_goes_to_the_one_before(
    bench: Bench,
) -> None:
    bench.restore()
    registry = bench.registry
    promote(registry, LATER, "")
    registry.delete(5)
    assert registry.at("production") is None
    assert rollback(registry, LATER, "it was deleted").number == 2
    assert numbers(bench) == {"previous": 2, "production": 2}
    assert bench.withdrawn == [3]
    assert [(one.version, one.what) for one in history(registry)][-1] == (2, "restored")


@in_memory
@pytest.mark.parametrize("killed", range(1, 8))
def test_a_promotion_whose_version_was_deleted_or_failed_meanwhile_is_given_up(
    bench: Bench, killed: int
) -> None:
    bench.restore()
    registry, told = bench.registry, []
    before = numbers(bench)
    bench.killed_after(killed, COMMANDS["promote"](LATER))
    was_there = numbers(bench)["production"] == 5
    record_tests(registry, registry.numbered(5), ("figures: 45 %",), LAST)
    if was_there:
        finish(registry, told.append)
        assert "it is finished now" in told[0]
        return
    with pytest.raises(RefusedError, match="it failed the model tests"):
        promote(registry, LAST, "again", say=told.append)
    assert told[0].startswith("The promotion of version 5 that ")
    assert told[0].endswith(" was broken off, and is given up: it failed the model tests.")
    assert numbers(bench) == before
    with pytest.raises(RefusedError, match="version 5 of cars was never in production"):
        rollback(registry, LAST, "", to=5)
    registry.delete(5)
    bench.killed_after(1, COMMANDS["rollback"](LAST))
    registry.point("production", 4, NOW)
    assert finish(registry, told.append) == []
    assert told[-1].endswith(" is given up: version 4 is in production meanwhile.")


def objection_to_production(bench: Bench) -> str:
    """Return what a service that asks for the record says of the version in production."""
    version = bench.registry.at("production")
    assert version is not None
    return Record("cars", str(version.number), version.digest, version.tags).objection()


@in_memory
@pytest.mark.parametrize("killed", range(1, 8))
def test_a_promotion_that_is_given_up_leaves_the_record_of_production_whole(
    bench: Bench, killed: int
) -> None:
    bench.restore()
    registry, before = bench.registry, numbers(bench)
    bench.killed_after(killed, COMMANDS["promote"](LATER))
    if numbers(bench)["production"] == 5:
        assert objection_to_production(bench) == ""
        return
    record_tests(registry, registry.numbered(5), ("figures: 45 %",), LAST)
    assert finish(registry) == []
    assert (objection_to_production(bench), numbers(bench)) == ("", before)


def refuse(bench: Bench, number: int) -> None:
    bench.registry.tag(number, {"gate": "refused", "gate_reasons": "failed: MAPE 45 %"})


def fail_tests(bench: Bench, number: int) -> None:
    record_tests(bench.registry, bench.registry.numbered(number), ("figures: 45 %",), LAST)


@in_memory
@pytest.mark.parametrize("name", ["promote", "rollback"])
def test_what_was_broken_off_is_not_finished_into_damaged_bytes(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    bench.restore()
    told: list[str] = []
    bench.killed_after(1, COMMANDS[name](LATER))
    monkeypatch.setattr("carprice.registry.promotion.damage_of", lambda *_: "a byte is changed")
    assert finish(bench.registry, told.append) == []
    assert told[0].endswith(" is given up: a byte is changed.")
    assert not bench.run(COMMANDS[name](LAST))
    assert numbers(bench)["production"] == 2


@in_memory
@pytest.mark.parametrize(
    ("change", "words"),
    [(refuse, "the gate did not accept it (failed: MAPE 45 %)"), (fail_tests, "it failed the mod")],
)
def test_a_version_that_is_refused_meanwhile_does_not_go_to_production(
    bench: Bench, change: Callable[[Bench, int], None], words: str
) -> None:
    """Neither by a promotion that was broken off nor by one that has just been announced."""
    bench.restore()
    registry, told, before = bench.registry, [], numbers(bench)
    bench.killed_after(1, COMMANDS["promote"](LATER))
    change(bench, 5)
    assert finish(registry, told.append) == []
    assert words in told[0]
    assert numbers(bench) == before

    def change_it(count: int) -> None:
        if count == 1:
            with bench.unwatched():
                change(bench, 5)

    bench.restore()
    with bench.watched(after=change_it), pytest.raises(RefusedError) as refused:
        promote(registry, LATER, "")
    assert words in str(refused.value)
    assert (numbers(bench), registry.model_tags()) == (before, {})


@in_memory
def test_what_is_under_way_on_another_machine_is_left_alone_until_it_is_stale(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.restore()
    registry = bench.registry
    bench.killed_after(3, COMMANDS["promote"](LATER))
    ((key, content),) = registry.model_tags().items()
    registry.tag_model(key, json.dumps({**json.loads(content), "host": "elsewhere"}))
    with pytest.raises(RefusedError, match=r"the promotion of version 5 that .* is under way; see"):
        rollback(registry, LATER, "")
    assert list(registry.model_tags()) == [key]
    monkeypatch.setattr("carprice.registry.intents.STALE", -1.0)
    with pytest.raises(RefusedError, match=r"is version 5 since what was broken off is finished"):
        rollback(registry, LATER, "")
    assert (numbers(bench)["production"], bench.withdrawn) == (5, [3])


@in_memory
@pytest.mark.parametrize("stands_back", [True, False])
def test_of_two_that_begin_at_once_the_older_one_waits_for_the_younger_to_stand_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, stands_back: bool
) -> None:
    bench.restore()
    registry = bench.registry
    key, before = "intent.younger", numbers(bench)

    def another_begins(count: int) -> None:
        if count == 1:
            (content,) = registry.model_tags().values()
            mine = json.loads(content)
            younger = {"token": "younger", "begun": mine["begun"] + 1, "host": "elsewhere"}
            with bench.unwatched():
                registry.tag_model(key, json.dumps({**mine, **younger, "version": 1}))

    def wait(_: float) -> None:
        if stands_back:
            registry.untag_model(key)

    monkeypatch.setattr("carprice.registry.intents.time.sleep", wait)
    monkeypatch.setattr("carprice.registry.intents._PATIENCE", 0.1)
    with bench.watched(after=another_begins):
        assert bench.run(COMMANDS["promote"](LATER)) is stands_back
    assert (numbers(bench) == before) is not stands_back
    assert list(registry.model_tags()) == ([] if stands_back else [key])


@in_memory
def test_what_is_no_intent_is_passed_over(bench: Bench) -> None:
    bench.restore()
    for key, content in {"a": "", "b": "[1]", "c": '{"kind": "x"}', "d": "null"}.items():
        bench.registry.tag_model(f"intent.{key}", content)
    assert intents(bench.registry) == []
    assert promote(bench.registry, LATER, "").number == 5


FORGED: dict[str, Any] = {
    "begun": [1e300, float("inf"), float("nan"), "", None],
    "current": [{}, "2"],
    "version": [{}, None, "5"],
    "previous": [[], {}],
    "moment": ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "soon", 5, None],
    "why": [5, None],
    "by": [[]],
    "signature": [5],
    "host": [5],
    "process": ["1", {}],
}


@in_memory
@pytest.mark.parametrize("name", ["all of it", *FORGED])
def test_an_intent_that_somebody_forged_is_passed_over(bench: Bench, name: str) -> None:
    """Also by a rollback and a promotion, which then do what they are asked."""
    bench.restore()
    registry = bench.registry
    bench.killed_after(1, COMMANDS["promote"](LATER))
    ((key, content),) = registry.model_tags().items()
    registry.untag_model(key)
    whole = json.loads(content)
    forged = [json.dumps({**whole, name: value}) for value in FORGED.get(name, [])]
    for number, text in enumerate(forged or ["[" * 50_000, '{"kind":' * 50_000, "5", '"x"']):
        registry.tag_model(f"intent.{number}", text)
    assert intents(registry) == []
    assert promote(registry, LATER, "").number == 5
    assert rollback(registry, LAST, "").number == 2


@in_memory
def test_an_intent_under_another_key_than_its_own_is_finished_once(bench: Bench) -> None:
    bench.restore()
    registry = bench.registry
    bench.killed_after(1, COMMANDS["rollback"](LATER))
    ((key, content),) = registry.model_tags().items()
    registry.untag_model(key)
    registry.tag_model("intent.other", content)
    assert [one.version for one in finish(registry)] == [1]
    assert registry.model_tags() == {}


PROGRAM = """
import os, signal, sys
from broken_off import NAME, NOW, Watched
from carprice.registry import promotion
from carprice.registry.versions import Registry

def after(number):
    if number == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)

promotion.damage_of = lambda *_: ""
registry = Registry(sys.argv[1], NAME)
registry._client = Watched(registry._client, lambda _: None, after)
sys.stdout.write("ready\\n")
sys.stdout.flush()
sys.stdin.readline()
getattr(promotion, sys.argv[2])(registry, NOW, "in a process of its own")
"""


@contextmanager
def process(bench: Bench, command: str, killed_after: int = 0) -> Iterator["subprocess.Popen[str]"]:
    """Run a command in a process of its own that waits for a line."""
    support = Path(broken_off.__file__).parent
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, bench.registry.uri, command, str(killed_after)],
        env={**os.environ, "PYTHONPATH": str(support)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as started:
        try:
            yield started
        finally:
            started.kill()


def outcome(started: "subprocess.Popen[str]") -> bool:
    _, errors = started.communicate(timeout=120)
    assert started.returncode in (0, 1), errors
    assert (started.returncode == 0) is ("RefusedError" not in errors), errors
    return started.returncode == 0


@pytest.mark.parametrize("bench", [DATABASE], indirect=True)
def test_real_processes_that_are_killed_or_run_at_once(bench: Bench) -> None:
    bench.restore()
    with (
        process(bench, "rollback", killed_after=6) as killed,
        process(bench, "promote") as one,
        process(bench, "rollback") as other,
    ):
        for started in (killed, one, other):
            assert started.stdout is not None
            assert started.stdout.readline() == "ready\n"
        killed.communicate("go\n", timeout=120)
        assert killed.returncode == -signal.SIGKILL
        assert numbers(bench)["production"] == 2
        assert rollback(bench.registry, LATER, "again").number == 1
        assert bench.withdrawn == [4, 3, 2]
        bench.restore()
        for started in (one, other):
            assert started.stdin is not None
            started.stdin.write("go\n")
            started.stdin.flush()
        done = outcome(one), outcome(other)
    assert bench.registry.model_tags() == {}
    aliases, withdrawn = numbers(bench), bench.withdrawn
    assert (done, aliases["production"], withdrawn) in [
        ((True, False), 5, [3]),
        ((False, True), 1, [4, 3, 2]),
        ((True, True), 2, [5, 3]),  # the rollback began when the promotion was done
        ((False, False), 2, [3]),
    ]
