import datetime
import json
import math
import os
from pathlib import Path

import pytest
from monitored import found

from carprice.errors import InputError
from carprice.monitoring.checks import Cause, Chart, Check, Level, Monitored, Table
from carprice.monitoring.last_run import MOST_BYTES, read_last_run, to_json

NOW = datetime.datetime(2026, 9, 29, 6, 0, tzinfo=datetime.UTC)


def test_what_was_found_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "monitoring.json"
    content = to_json(found(), NOW)
    path.write_text(json.dumps(content, allow_nan=False), encoding="utf-8")
    last = read_last_run(path)
    assert (last.level, last.made) == ("retrain", NOW)
    assert last.figures == {
        "outcomes": {"bias": -2.4, "mdape": 12.1, "within_10": 44.0, "coverage": 81.5},
        "market": {"level": -1.2, "level_error": pytest.approx(0.7)},
    }
    assert content["exit_code"] == 4
    assert content["cause"] == "the model decays"
    assert [one["name"] for one in content["charts"]] == ["makes", "level", "error", "coverage"]
    assert content["checks"][1]["level"] == "fine"
    assert content["facts"]["answers"] == 12_345


def test_figures_are_those_that_are_numbers() -> None:
    checks = (
        Check("bias", "input", Level.FINE, "", {"bias": 5.0}),
        Check("level", "market", Level.FINE, "", {"shift_percent": math.nan}),
        Check("errors_of_outcomes", "model", Level.FINE, "", {"bias": 1, "mdape": "12"}),
        Check("errors_of_fresh_listings", "model", Level.FINE, "", {"bias": [math.inf, 1.0]}),
    )
    chart = Chart("a", "model", "A", "bar", Table(("a", "b"), [("x", math.nan)]), "b")
    content = to_json(Monitored(Cause.NONE, Level.LOOK, (), checks, (chart,)), NOW)
    assert content["figures"] == {"outcomes": {"bias": 1.0}}
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert content["checks"][3]["values"]["bias"] == [None, 1.0]


GOOD = {
    "format": 1,
    "made": "2026-09-29T06:00:00Z",
    "level": "fine",
    "figures": {"outcomes": {"bias": 1.5}},
}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"format": 2}, "format: Input should be 1"),
        ({"made": "yesterday"}, "made: "),
        ({"made": "2026-09-29T06:00:00"}, "made: "),
        ({"level": "LOOK"}, "level: "),
        ({"figures": {"outcomes": {"bias": "1.5"}}}, "figures.outcomes.bias: "),
        ({"figures": {"outcomes": {"bias": math.nan}}}, "figures.outcomes.bias: "),
        ({"figures": {"outcomes": {"bias": 1e300}}}, "figures.outcomes.bias: "),
        ({"figures": {f"f{n}": {} for n in range(101)}}, "figures: "),
        ({"figures": None}, "figures: "),
    ],
)
def test_what_is_no_such_file_is_refused(
    tmp_path: Path, change: dict[str, object], told: str
) -> None:
    path = tmp_path / "monitoring.json"
    path.write_text(json.dumps(GOOD), encoding="utf-8")
    assert read_last_run(path).figures == {"outcomes": {"bias": 1.5}}
    path.write_text(json.dumps({**GOOD, **change}), encoding="utf-8")
    with pytest.raises(InputError, match=r"is no monitoring\.json") as refused:
        read_last_run(path)
    assert told in str(refused.value)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is no monitoring.json: the whole"),
        (b"\xff\xfe{", "is no monitoring.json: the whole"),
        (b"[" * 100_000, "is no monitoring.json: the whole"),
        (b"[]", "is no monitoring.json: the whole"),
        (b" " * (MOST_BYTES + 1), "has more than 4 MB"),
    ],
)
def test_other_bytes_are_refused(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "monitoring.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=told):
        read_last_run(path)


def test_a_file_that_is_none_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, told in (("none.json", "No such file"), (".", "is no file"), ("pipe", "is no file")):
        with pytest.raises(InputError, match=told):
            read_last_run(tmp_path / name)
