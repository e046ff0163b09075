import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from api import json_reader
from api.json_reader import parse_json
from api.problems import ProblemError

LIMITS = ("more than", "too long", "too deeply", "cut off")
TEXTS = ("", "a", "},", "],", 'a"},{"b', "{[", "\\", "é", "\U0001f600")


def value(chance: random.Random, depth: int = 0) -> Any:
    kind = chance.randrange(8 if depth < 4 else 4)
    if kind == 0:
        return chance.choice([0, -5, 1.5, 1e300, 12345678901234567890, None, True])
    if kind == 1:
        return chance.choice(TEXTS)
    if kind < 4:
        return chance.randrange(100)
    parts = range(chance.randrange(8))
    if kind < 6:
        return [value(chance, depth + 1) for _ in parts]
    return {f"{part}{'k' * chance.randrange(4)}": value(chance, depth + 1) for part in parts}


def text(chance: random.Random) -> str:
    """Return JSON, or what is nearly JSON."""
    space = chance.choice([(",", ":"), (", ", ": "), ("  ,\n", "\t: ")])
    found = json.dumps(value(chance), ensure_ascii=False, separators=space)
    if chance.random() < 0.3:
        place = chance.randrange(len(found))
        found = found[:place] + chance.choice(["", *'[]{},:"1 ']) + found[place + 1 :]
    return found


def read(body: str, each: Callable[[Any], Any] | None) -> tuple[Any, str]:
    try:
        return parse_json(body.encode(), 100, each, strict=True), ""
    except ProblemError as error:
        return None, str(error)


def standard(body: str) -> tuple[Any, bool]:
    try:
        return json.loads(body), True
    except ValueError:
        return None, False


@pytest.mark.parametrize("step", [25, 60])
@pytest.mark.parametrize("each", [None, lambda row: row], ids=["whole", "rows"])
def test_what_is_read_in_steps_is_what_is_read_at_once(
    monkeypatch: pytest.MonkeyPatch, step: int, each: Callable[[Any], Any] | None
) -> None:
    monkeypatch.setattr(json_reader, "_SHORT", 0)
    monkeypatch.setattr(json_reader, "LONGEST_ROW", step)
    chance, equal = random.Random(step), 0  # noqa: S311
    for _ in range(3000):
        body = text(chance)
        found, problem = read(body, each)
        if any(limit in problem for limit in LIMITS) or "is there twice" in problem:
            continue
        expected, is_json = standard(body)
        assert (found, problem == "") == (expected, is_json), (body, problem)
        equal += is_json
    assert equal > 1000


def test_a_repeated_key_is_named_wherever_it_is() -> None:
    row = '{"make": "Kia", "make": "Rio"}'
    for rows in (1, 20_000):
        body = f'{{"listings": [{", ".join([row] * rows)}]}}'.encode()
        found = parse_json(body, rows)["listings"]
        assert len(found) == rows
        assert {str(problem) for problem in found} == {"make: is there twice; leave one out"}
        with pytest.raises(ProblemError, match="make: is there twice"):
            parse_json(body, rows, strict=True)


@pytest.mark.parametrize("padding", [0, 200_000], ids=["short", "long"])
def test_half_a_surrogate_pair_is_no_json(padding: int) -> None:
    body = json.dumps([*(["a" * 100] * (padding // 100)), "\ud800"])
    with pytest.raises(ProblemError, match="not valid JSON"):
        parse_json(body.encode(), 10_000)
    pair = json.dumps([*(["a" * 100] * (padding // 100)), "\U0001f600"])
    assert parse_json(pair.encode(), 10_000)[-1] == "\U0001f600"
