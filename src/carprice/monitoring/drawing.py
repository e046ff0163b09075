"""Where the shapes of a chart lie: inline SVG, drawn by ``page.html.jinja``."""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, Final

from carprice.monitoring.axes import Scale, ticks
from carprice.monitoring.checks import Chart
from carprice.monitoring.words import Cell, finite, number, numbers

WIDTH: Final = 320
"""Of every chart, in its own units: a small phone's, so that texts stay legible there."""
MOST_LINES: Final = 5
MOST_BARS: Final = 24
_HEIGHT: Final = 210
_ROW: Final = 24
_LABELS: Final = 126
_LONGEST_LABEL: Final = 18
_RIGHT: Final = WIDTH - 10
_LETTER: Final = 6.4
_MOST_NAMES: Final = 6


def draw(chart: Chart) -> dict[str, Any] | None:
    """Return the places of what a chart shows; None where its table has no number to draw."""
    return _bars(chart) if chart.kind == "bar" else _lines(chart)


def _column(chart: Chart, name: str | None) -> list[Cell]:
    if name is None:
        return [None] * len(chart.table.rows)
    place = list(chart.table.columns).index(name)
    return [row[place] for row in chart.table.rows]


def _reference(chart: Chart) -> list[float | None]:
    """Return what each row is compared with."""
    if isinstance(chart.reference, str):
        return [finite(value) for value in _column(chart, chart.reference)]
    return [chart.reference] * len(chart.table.rows)


def _intervals(chart: Chart) -> Iterator[tuple[float | None, float | None, float | None]]:
    """Yield value, low and high of each row; low and high are both there or both None."""
    columns = (_column(chart, name) for name in (chart.value, chart.low, chart.high))
    for row in zip(*columns, strict=True):
        value, low, high = map(finite, row)
        yield (value, None, None) if low is None or high is None else (value, low, high)


def _ends(values: Iterable[float | None]) -> tuple[float, float]:
    known = [value for value in values if value is not None]
    return min(known), max(known)


def _places(rows: Sequence[tuple[Cell, str]]) -> tuple[dict[Cell, float], bool]:
    """Return where keys lie, each told with its series, and whether they are all numbers.

    Texts, such as months, stand one beside the other: sorted where they are in each series.
    """
    keys = dict.fromkeys(key for key, _ in rows)
    known = {key: value for key in keys if (value := finite(key)) is not None}
    if len(known) == len(keys):
        return known, True
    texts = [*keys]
    pairs = pairwise(sorted(rows, key=lambda row: row[1]))
    if all(str(one) <= str(other) for (one, name), (other, next_) in pairs if name == next_):
        texts.sort(key=str)
    return {text: float(place) for place, text in enumerate(texts)}, False


def _lines(chart: Chart) -> dict[str, Any] | None:
    keys = [row[0] for row in chart.table.rows]
    names = [str(name) for name in _column(chart, chart.series)]
    rows = list(zip(keys, names, _intervals(chart), _reference(chart), strict=True))
    shown = list(dict.fromkeys(names))[:MOST_LINES]
    rows = [row for row in rows if row[1] in shown]
    drawn = [row for row in rows if row[2][0] is not None]
    if not drawn:
        return None
    places, is_scaled = _places([row[:2] for row in rows])
    up_ticks = ticks(*_ends(one for row in drawn for one in (*row[2], row[3])))
    left = 8 + _LETTER * max(len(text) for text in numbers(up_ticks, are_round=True))
    y = Scale(up_ticks[0], up_ticks[-1], _HEIGHT - 30, 10)
    first, last = min(places.values()), max(places.values())
    margin = 0.0 if is_scaled else 0.35
    x = Scale(first - margin, last + margin, left + 2, _RIGHT)
    lines = []
    for place, name in enumerate(shown):
        own = sorted((row for row in rows if row[1] == name), key=lambda row: places[row[0]])
        points = [(x(places[key]), *values) for key, _, values, _ in own]
        runs = [
            [(at, y(value)) for at, value in run]
            for run in _runs([(at, value) for at, value, _, _ in points])
        ]
        lines.append(
            {
                "name": name,
                "number": place + 1,
                "lines": [" ".join(f"{at},{up_at}" for at, up_at in run) for run in runs],
                "points": [mark for run in runs for mark in run],
                "bands": _bands(points, y),
            }
        )
    return {
        "kind": "line",
        "height": _HEIGHT,
        "left": round(left, 1),
        "right": _RIGHT,
        "bottom": y(up_ticks[0]),
        "y": _ticks(up_ticks, y),
        "x": _named(places, x, is_scaled=is_scaled),
        "lines": lines,
        "reference": _reference_line(chart, rows, places, x, y, left),
        "left_out": len(set(names)) - len(shown),
    }


def _runs(points: Iterable[tuple[float, float | None]]) -> list[list[tuple[float, float]]]:
    """Return the points that follow each other without one that has no value."""
    runs: list[list[tuple[float, float]]] = [[]]
    for at, value in points:
        if value is not None:
            runs[-1].append((at, value))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _bands(
    points: Sequence[tuple[float, float | None, float | None, float | None]], y: Scale
) -> list[dict[str, Any]]:
    """Return the polygons of intervals that stand side by side, and where one stands alone."""
    bands: list[dict[str, Any]] = []
    lows = _runs((at, low) for at, _, low, _ in points)
    highs = _runs((at, high) for at, _, _, high in points)
    for below, above in zip(lows, highs, strict=True):
        if len(below) == 1:
            alone = (below[0][0], y(below[0][1]), y(above[0][1]))
            bands.append({"alone": alone, "polygon": ""})
        else:
            ends = [f"{at},{y(value)}" for at, value in [*below, *reversed(above)]]
            bands.append({"alone": None, "polygon": " ".join(ends)})
    return bands


def _ticks(
    values: Sequence[float], scale: Scale, *, is_across: bool = False
) -> list[dict[str, Any]]:
    """Return the places and texts of ticks; of an axis across, no more than there is room for."""
    texts = numbers(values, are_round=True)
    step = 1
    if is_across:
        needed = sum(_LETTER * len(text) + 8 for text in texts)
        step = math.ceil(needed / (abs(scale.end - scale.start) + 30))
    named = zip(values, texts, strict=True)
    return [{"at": scale(value), "text": text} for value, text in [*named][::step]]


def _named(places: dict[Cell, float], x: Scale, *, is_scaled: bool) -> list[dict[str, Any]]:
    """Return a few names below the axis."""
    if is_scaled:
        inside = ticks(x.low, x.high) if x.high > x.low else [x.low]
        return _ticks([value for value in inside if x.low <= value <= x.high], x, is_across=True)
    longest = max(len(str(key)) for key in places)
    most = max(2, min(_MOST_NAMES, int(250 / (_LETTER * longest + 6))))
    keys = sorted(places, key=lambda key: places[key])
    step = -(-len(keys) // most)
    return [{"at": x(places[key]), "text": shortened(key, 18)} for key in keys[::step]]


def _reference_line(
    chart: Chart,
    rows: Sequence[tuple[Cell, str, Any, float | None]],
    places: dict[Cell, float],
    x: Scale,
    y: Scale,
    left: float,
) -> str | None:
    if chart.reference is None:
        return None
    if not isinstance(chart.reference, str):
        return f"{left},{y(chart.reference)} {_RIGHT},{y(chart.reference)}"
    compared = {places[row[0]]: row[3] for row in rows if row[3] is not None}
    return " ".join(f"{x(at)},{y(value)}" for at, value in sorted(compared.items())) or None


def _bars(chart: Chart) -> dict[str, Any] | None:
    series = _column(chart, chart.series)
    names = [
        shortened(row[0] if name is None else f"{number(row[0])} {number(name)}", _LONGEST_LABEL)
        for row, name in zip(chart.table.rows, series, strict=True)
    ]
    every = list(zip(names, _intervals(chart), _reference(chart), strict=True))
    rows = every[:MOST_BARS]
    if all(values[0] is None for _, values, _ in rows):
        return None
    low_end, high_end = _ends(one for _, values, compared in rows for one in (*values, compared))
    # Bars begin at nothing; values that are far from it, and near each other, are points instead.
    is_far = low_end * high_end > 0 and high_end - low_end < 0.5 * max(-low_end, high_end)
    across = ticks(low_end, high_end) if is_far else ticks(min(0.0, low_end), max(0.0, high_end))
    x = Scale(across[0], across[-1], _LABELS, _RIGHT)
    bars = []
    for place, (name, (value, low, high), compared) in enumerate(rows):
        bar: dict[str, Any] = {"name": name, "y": place * _ROW, "bar": None, "interval": None}
        bar["point"] = x(value) if is_far and value is not None else None
        if value is not None and not is_far:
            start, end = sorted((x(0.0), x(value)))
            bar["bar"] = (start, round(max(end - start, 1.0), 1))
        if low is not None and high is not None:
            bar["interval"] = (x(low), x(high))
        bar["reference"] = None if compared is None else x(compared)
        bars.append(bar)
    return {
        "kind": "bar",
        "height": len(bars) * _ROW + 22,
        "bottom": len(bars) * _ROW,
        "zero": None if is_far else x(0.0),
        "x": _ticks(across, x, is_across=True),
        "bars": bars,
        "left_out": len(every) - len(rows),
    }


def shortened(value: Cell, longest: int) -> str:
    """Return a value as one short line.

    Examples
    --------
    >>> shortened("Volkswagen Golf Variant", 12), shortened(2.0, 12)
    ('Volkswagen …', '2')
    """
    text = number(value)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
