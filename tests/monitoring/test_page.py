import datetime
import math
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from monitored import HOSTILE, found

from carprice.monitoring.checks import Cause, Chart, Level, Monitored, Table
from carprice.monitoring.drawing import MOST_BARS, MOST_LINES, draw
from carprice.monitoring.page import page

NOW = datetime.datetime(2026, 9, 29, 6, 0, tzinfo=datetime.UTC)


class Texts(HTMLParser):
    """The elements of a page, and the texts that a person reads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())

    @property
    def read(self) -> str:
        return " ".join(text for text in self.texts if text)


@pytest.mark.parametrize(
    ("level", "cause", "words"),
    [
        (Level.FINE, Cause.NONE, "fine : nothing"),
        (Level.LOOK, Cause.MARKET, "look : the market moved"),
        (Level.RETRAIN, Cause.DECAY, "retrain : the model decays"),
    ],
)
def test_the_verdict_is_told_in_words_before_all_else(
    level: Level, cause: Cause, words: str
) -> None:
    text = page(found(level, cause), NOW)
    read = Texts(text.partition("<main>")[2]).read
    assert read.startswith("The model in use")
    assert read.index(words) < read.index("The median error of 1,204 sales") < read.index("answers")
    assert read.index("answers 12,345") < read.index("What comes in")
    assert "2026-09-29 06:00 UTC" in read
    # Each check has its level in words.
    assert read.count("fine") >= 2


def test_names_that_users_sent_are_texts_and_nothing_else() -> None:
    text = page(found(), NOW)
    looked = Texts(text)
    assert not {"script", "img", "iframe", "object", "a"} & {*looked.tags}
    assert "alert('Kia')" in looked.read
    assert "\u202e" not in text
    assert [name for name, _ in looked.attributes if name.startswith("on")] == []
    links = [value for name, value in looked.attributes if name in ("href", "src")]
    assert links == ["data:,"]
    assert "http" not in text.replace('http-equiv="Content-Security-Policy"', "")


def test_each_chart_has_all_its_figures_in_a_table_beside_it() -> None:
    monitored = found()
    looked = Texts(page(monitored, NOW))
    assert looked.tags.count("table") == looked.tags.count("figure") == len(monitored.charts)
    for words in ("−2.4", "version 7", "12.9", "Škoda", "Nothing to draw yet."):
        assert words in looked.read
    ids = [value for name, value in looked.attributes if name == "id"]
    assert len(set(ids)) == len(ids)
    named = {value for name, value in looked.attributes if name == "aria-labelledby"}
    assert named <= {*ids}


def test_of_no_checks_and_charts_there_is_a_page_too() -> None:
    text = page(Monitored(Cause.TOO_FEW, Level.FINE, (), (), ()), NOW)
    assert "fine : too little to tell" in Texts(text).read
    assert text.count("not checked") == 3


def test_a_line_is_broken_where_a_value_is_missing() -> None:
    at = draw(found().charts[2])
    assert at is not None
    first, second = at["lines"]
    assert (first["name"], len(first["lines"]), len(first["points"])) == ("version 6", 2, 4)
    assert [bool(band["polygon"]) for band in first["bands"]] == [True, False]
    assert len(second["lines"]) == 2
    # Three months before the gap lie from left to right, on the same places for both versions.
    before = [[mark[0] for mark in one["points"][:3]] for one in (first, second)]
    assert before[0] == before[1] == sorted(before[0])


def test_months_are_in_order_and_bands_as_they_come() -> None:
    def names(*keys: str) -> list[str]:
        table = Table(("key", "value"), [(key, 1.0) for key in keys])
        at = draw(Chart("a", "model", "A", "line", table, "value"))
        assert at is not None
        return [one["text"] for one in at["x"]]

    assert names("3-5", "6-9", "10+") == ["3-5", "6-9", "10+"]
    table = Table(
        ("month", "value", "of"),
        [("2026-02", 1.0, "a"), ("2026-01", 2.0, "b"), ("2026-02", 3.0, "b")],
    )
    at = draw(Chart("a", "model", "A", "line", table, "value", series="of"))
    assert at is not None
    assert [one["text"] for one in at["x"]] == ["2026-01", "2026-02"]


def test_what_is_too_much_to_draw_is_counted_and_stays_in_the_table() -> None:
    rows = [(f"make {place}", float(place)) for place in range(MOST_BARS + 7)]
    bars = Chart("a", "input", "A", "bar", Table(("make", "share"), rows), "share")
    at = draw(bars)
    assert at is not None
    assert (len(at["bars"]), at["left_out"]) == (MOST_BARS, 7)
    series = [("2026-01", f"model {place}", 1.0) for place in range(MOST_LINES + 2)]
    table = Table(("month", "model", "error"), series)
    at = draw(Chart("b", "model", "B", "line", table, "error", series="model"))
    assert at is not None
    assert (len(at["lines"]), at["left_out"]) == (MOST_LINES, 2)
    text = page(Monitored(Cause.NONE, Level.FINE, (), (), (bars,)), NOW)
    assert f"make {MOST_BARS + 6}" in text
    assert "not drawn: 7 more" in text


@pytest.mark.parametrize("value", [math.nan, math.inf, None, "text"])
def test_what_is_no_number_is_not_drawn(value: float | str | None) -> None:
    for kind in ("bar", "line"):
        table = Table(("a", "b", "low", "high"), [("x", value, value, value)])
        chart = Chart("a", "market", "A", kind, table, "b", "low", "high")
        assert draw(chart) is None
        assert "Nothing to draw yet." in page(
            Monitored(Cause.NONE, Level.FINE, (), (), (chart,)), NOW
        )


def test_bars_to_the_left_begin_at_nothing() -> None:
    table = Table(("make", "change"), [("Kia", -4.0), ("BMW", 2.0)])
    at = draw(Chart("a", "market", "A", "bar", table, "change", reference=-1.0))
    assert at is not None
    (start, width), other = at["bars"][0]["bar"], at["bars"][1]["bar"]
    assert start + width == pytest.approx(at["zero"])
    assert other[0] == at["zero"]
    assert start < at["bars"][0]["reference"] < at["zero"]


def test_values_far_from_nothing_are_points() -> None:
    rows = [("0-2", 88.0, 85.0, 91.0), ("3-5", 91.0, 90.0, 92.0)]
    table = Table(("age", "coverage", "low", "high"), rows)
    names = ("coverage", "low", "high")
    at = draw(Chart("a", "model", "A", "bar", table, *names, reference=90.0))
    assert at is not None
    assert at["zero"] is None
    first, second = at["bars"]
    assert first["bar"] is None
    assert first["interval"][0] < first["point"] < second["point"] < second["interval"][1]
    assert at["x"][0]["text"] == "84"


def test_long_numbers_below_an_axis_have_room() -> None:
    table = Table(("a", "b"), [("x", 7_654_321.0)])
    at = draw(Chart("a", "model", "A", "bar", table, "b"))
    assert at is not None
    places = [one["at"] for one in at["x"]]
    longest = max(len(one["text"]) for one in at["x"])
    assert min(right - left for left, right in pairwise(places)) > 6 * longest


def test_a_hostile_name_is_in_the_bar_and_the_table() -> None:
    text = page(found(), NOW)
    assert HOSTILE not in text
    assert text.count("&lt;script&gt;") >= 3
