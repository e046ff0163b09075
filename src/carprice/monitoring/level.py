"""The market: how much dearer or cheaper like cars are than the model says, and which stand apart.

The level is a constant-quality index: the middle of ln(price / predicted) of fresh cars, less that
of training's own cross-validated prices. Segments are compared with the level of all others.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from carprice.arrays import Codes, Floats
from carprice.model.reference import SEGMENTED, Middle, Reference, Residuals, middle_of, rows_of
from carprice.monitoring.chance import beyond, reach
from carprice.monitoring.checks import Chart, Check, Level, Table
from carprice.monitoring.observed import Observed
from carprice.settings import MonitorSettings

TOLERATED: Final = 0.25
"""Part of each limit that is no finding, however certain it is."""
NOTHING: Final = Residuals(1, 0.0, 0.0, 1.0, 0.0, 0.9)
_MOST_SHOWN: Final = 12
_FEWEST_SHOWN: Final = 10


class Shift(NamedTuple):
    """How far a segment, or the whole market, has moved in ln(price).

    Attributes
    ----------
    kind, name : what parts the cars, and the segment; both empty of the whole market.
    rows : observed cars.
    by, error : the shift, of a segment that beside all others; and its standard error.
    chance : p-value of a shift that is at most what is tolerated.
    """

    kind: str
    name: str
    rows: int
    by: float
    error: float
    chance: float

    @property
    def told(self) -> str:
        """The segment in words."""
        return f"{self.kind} {self.name}" if self.kind else "all cars"


@dataclass(frozen=True)
class Market:
    """What observed prices say of the market.

    Attributes
    ----------
    whole : the level of all cars; ``rest`` that of those in no segment that stands apart.
    apart : segments that surely moved otherwise than all others, the surest first.
    judged : the number of segments.
    rows : of ``rest`` among the observed cars.
    is_sure, rest_is_sure : whether the level is beyond what is tolerated, and surely so.
    """

    whole: Shift
    rest: Shift
    apart: Sequence[Shift]
    judged: int
    rows: Codes
    is_sure: bool
    rest_is_sure: bool


def find_market(
    seen: Observed, reference: Reference | None, settings: MonitorSettings, chance: float
) -> Market:
    """Judge the level and the segments of observed cars.

    Parameters
    ----------
    chance : of a false alarm, of the level and of all segments together, each.
    """
    before = reference.whole if reference else NOTHING
    whole = shift_of(seen.off, before, settings.level)
    apart, judged, rows = _apart(seen, reference, settings, chance)
    rest = shift_of(seen.off[rows], before, settings.level) if apart else whole
    is_sure, rest_is_sure = (one.chance <= chance for one in (whole, rest))
    return Market(whole, rest, apart, judged, rows, is_sure, rest_is_sure)


def shift_of(off: Floats, before: Residuals, limit: float) -> Shift:
    """Return the shift of some cars from what training's residuals were."""
    now = middle_of(off)
    by, error = now.level - before.level, math.hypot(now.error, before.error)
    return Shift("", "", now.rows, by, error, beyond(by, error, TOLERATED * limit, now.rows))


def _apart(
    seen: Observed, reference: Reference | None, settings: MonitorSettings, chance: float
) -> tuple[list[Shift], int, Codes]:
    """Return the segments that surely moved apart, how many were judged, and all other cars.

    The cars of the surest are taken out, and all segments are judged again without them: many of
    one make's cars are of one body, too.
    """
    found: list[Shift] = []
    judged, rows = 0, np.arange(len(seen), dtype=np.intp)
    while reference is not None and len(rows) >= len(seen) / 2:
        pools = _pools(seen, rows, reference, settings)
        judged = judged or sum(map(len, pools.values()))
        left = [one for kind, pool in pools.items() for one in _beside(kind, pool, settings)]
        if not left:
            break
        surest = min(left, key=lambda one: (round(one.chance, 12), -round(_size(one), 6), one.rows))
        if surest.chance * judged > chance:
            break
        names = np.array(seen.segments[surest.kind], dtype=object)[rows]
        found, rows = [*found, surest], rows[names != surest.name]
    return found, judged, rows


def _pools(
    seen: Observed, rows: Codes, reference: Reference, settings: MonitorSettings
) -> dict[str, dict[str, Middle]]:
    """Return how far each segment is from what it was in training, by what parts the cars."""
    pools: dict[str, dict[str, Middle]] = {}
    for kind in SEGMENTED:
        known, names = reference.residuals.get(kind, {}), seen.segments[kind]
        pools[kind] = {
            name: _less(middle_of(seen.off[rows[own]]), known[name])
            for name, own in rows_of([names[row] for row in rows.tolist()])
            if len(own) >= settings.segment_rows and name in known
        }
    return {kind: pool for kind, pool in pools.items() if len(pool) > 1}


def _size(one: Shift) -> float:
    return abs(one.by) / max(one.error, 1e-12)


def _less(now: Middle, before: Residuals) -> Middle:
    return Middle(now.rows, now.level - before.level, math.hypot(now.error, before.error))


def _beside(kind: str, pool: dict[str, Middle], settings: MonitorSettings) -> list[Shift]:
    """Return how each segment has moved beside all others of its kind, weighted by their cars."""
    if len(pool) < 2:
        return []
    rows, level, error = np.array([*pool.values()]).T
    others = rows.sum() - rows
    beside = ((rows * level).sum() - rows * level) / others
    spread = np.sqrt((rows**2 * error**2).sum() - rows**2 * error**2) / others
    found = []
    for place, name in enumerate(pool):
        if rows[place] > others[place]:  # what most cars do is the common level
            continue
        by = float(level[place] - beside[place])
        both = float(np.hypot(error[place], spread[place]))
        number = int(rows[place])
        p_value = beyond(by, both, TOLERATED * settings.apart, number)
        found.append(Shift(kind, name, number, by, both, p_value))
    return found


def level_checks(market: Market, settings: MonitorSettings) -> list[Check]:
    """Tell the level, and which segments stand apart."""
    whole = market.whole
    width = reach(whole.error, whole.rows)
    grade = Level.FINE
    if market.is_sure:
        grade = Level.RETRAIN if abs(whole.by) > settings.level else Level.LOOK
    told = (
        f"like cars cost {_percent(whole.by)} ({_percent(whole.by - width)} to "
        f"{_percent(whole.by + width)}) beside what the model says, of {whole.rows:,} cars; "
        f"{100 * settings.level:g} % are put up with"
    )
    level = Check(
        "level",
        "market",
        grade,
        told,
        {
            "rows": whole.rows,
            "index": 100 * math.exp(whole.by),
            "shift_percent": _change(whole.by),
            "interval": [_change(whole.by - width), _change(whole.by + width)],
            "standard_error": whole.error,
            "chance": whole.chance,
            "without_segments_apart_percent": _change(market.rest.by),
        },
    )
    return [level, _apart_check(market, settings)]


def grade_of(one: Shift, settings: MonitorSettings) -> Level:
    """Return how grave it is that a segment has surely moved apart."""
    return Level.RETRAIN if abs(one.by) > settings.apart else Level.LOOK


def _apart_check(market: Market, settings: MonitorSettings) -> Check:
    grades = [grade_of(one, settings) for one in market.apart]
    if market.apart:
        told = "moved otherwise than all other cars: " + "; ".join(
            f"{one.told} by {_percent(one.by)} ± {100 * reach(one.error, one.rows):.1f} "
            f"({one.rows:,} cars)"
            for one in market.apart[:5]
        )
    else:
        told = f"none of {market.judged} segments moved otherwise than all other cars"
    values = [
        {
            "segment": one.told,
            "rows": one.rows,
            "shift_percent": _change(one.by),
            "standard_error": one.error,
            "chance": one.chance,
        }
        for one in market.apart
    ]
    return Check(
        "segments_apart",
        "market",
        max(grades, default=Level.FINE),
        told,
        {"judged": market.judged, "apart": values},
    )


def level_charts(seen: Observed, recent: Observed, reference: Reference | None) -> list[Chart]:
    """Draw the level by month, of all that was observed, and by segment, of what is judged."""
    before = reference.whole if reference else NOTHING
    months = [
        _index_row(month, seen.off[rows], before)
        for month, rows in seen.months()
        if len(rows) >= _FEWEST_SHOWN
    ]
    columns = ("index", "low", "high", "cars")
    charts = [
        Chart(
            "level_by_month",
            "market",
            "What like cars cost beside what the model says, by month (the model: 100)",
            "line",
            Table(("month", *columns), months),
            *columns[:3],
            reference=100.0,
        )
    ]
    known: Callable[[str], Any] = (reference.residuals if reference else {}).get
    rows = [
        _index_row(f"{kind} {name}", recent.off[own], (known(kind) or {}).get(name, before))
        for kind in SEGMENTED
        for name, own in _largest(recent.segments[kind])
    ]
    charts.append(
        Chart(
            "level_by_segment",
            "market",
            "What like cars cost beside what the model says, by segment (the model: 100)",
            "bar",
            Table(("segment", *columns), rows),
            *columns[:3],
            reference=100.0,
        )
    )
    return [chart for chart in charts if chart.table.rows]


def _largest(names: Sequence[str]) -> list[tuple[str, Codes]]:
    every = [one for one in rows_of(names) if len(one[1]) >= _FEWEST_SHOWN]
    return sorted(every, key=lambda one: (-len(one[1]), one[0]))[:_MOST_SHOWN]


def _index_row(name: str, off: Floats, before: Residuals) -> list[str | float | None]:
    one = shift_of(off, before, 0.0)
    width = reach(one.error, one.rows)
    return [name, *(100 * math.exp(one.by + way * width) for way in (0, -1, 1)), one.rows]


def _change(by: float) -> float:
    """Return a difference of ln(price) in per cent."""
    return 100 * math.expm1(by)


def _percent(by: float) -> str:
    return f"{_change(by):+.1f} %"
