"""The model: how far off it is on what was seen, and whether prices scatter more than in training.

The scatter is judged around the level that the market has now, so that a market that moved as a
whole is no reason to blame the model.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from carprice.arrays import Codes, Floats
from carprice.model.intervals import AGE_BANDS
from carprice.model.reference import Reference, Residuals, middle_of, rows_of
from carprice.monitoring.chance import (
    Interval,
    beyond,
    certain,
    median_interval,
    reach,
    share_interval,
)
from carprice.monitoring.checks import Chart, Check, Level, Table
from carprice.monitoring.level import NOTHING, TOLERATED, Market, Shift, shift_of
from carprice.monitoring.observed import Observed
from carprice.monitoring.records import LISTED
from carprice.settings import MonitorSettings

_FEWEST_SHOWN: Final = 20
_NEAR: Final = 0.1
_LEAST: Final = 1e-9
FRESH, OUTCOMES = "fresh listings", "outcomes"

Figure = tuple[float, float, float]
"""A value, and the ends of its interval."""


@dataclass(frozen=True)
class Errors:
    """How far off prices are, each with the interval of :mod:`carprice.monitoring.chance`.

    Attributes
    ----------
    rows : number of cars.
    bias : middle of predicted / observed - 1; mdape : median of its size; within_10 : share of
        prices that are off by 10 % at most; coverage : share in the range; all in per cent.
    """

    rows: int
    bias: Figure
    mdape: Figure
    within_10: Figure
    coverage: Figure

    @classmethod
    def of(cls, off: Floats, inside: Floats) -> "Errors":
        """Measure n prices by ln(observed / predicted) and whether they lie in their range."""
        missed, rows = np.abs(np.expm1(-off)), len(off)
        middle = middle_of(-off)
        width = reach(middle.error, rows)
        near, covered = (int(np.sum(one)) for one in (missed <= _NEAR, inside > 0))
        low, value, high = (100 * math.expm1(middle.level + way * width) for way in (-1, 0, 1))
        return cls(
            rows,
            (value, low, high),
            _percent(float(np.median(missed)), median_interval(missed)),
            _percent(near / rows, share_interval(near, rows)),
            _percent(covered / rows, share_interval(covered, rows)),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the figures and their intervals as plain JSON values."""
        figures: dict[str, Any] = {"rows": self.rows}
        for name in ("bias", "mdape", "within_10", "coverage"):
            value, low, high = getattr(self, name)
            figures |= {name: value, f"{name}_interval": [low, high]}
        return figures


def _percent(value: float, ends: Interval) -> Figure:
    return 100 * value, 100 * ends[0], 100 * ends[1]


def find_scatter(
    seen: Observed,
    market: Market,
    reference: Reference | None,
    settings: MonitorSettings,
    chance: float,
) -> tuple[Sequence[Shift], Sequence[Shift]]:
    """Return how much more prices scatter, in ln, of all cars and by age band; and which surely.

    Cars of segments that stand apart do not count.

    Parameters
    ----------
    chance : of a false alarm, of all of them together.
    """
    if reference is None or not len(market.rows):
        return [], []
    rows = market.rows
    level = middle_of(seen.off[rows]).level
    size = np.abs(seen.off[rows] - level) / np.maximum(seen.half[rows], _LEAST)
    bands = [seen.segments["age"][row] for row in rows.tolist()]
    parts: list[tuple[str, str, Codes, Residuals]] = [
        ("", "", np.arange(len(rows), dtype=np.intp), reference.whole)
    ]
    known = reference.residuals.get("age", {})
    parts += [
        ("age", name, own, known[name])
        for name, own in rows_of(bands)
        if name in known and len(own) >= settings.segment_rows
    ]
    found = [_growth(kind, name, size[own], before, settings) for kind, name, own, before in parts]
    are_sure = certain([one.chance for one in found], chance)
    grown = [one for one, is_sure in zip(found, are_sure, strict=True) if is_sure and one.by > 0]
    return found, grown


def _growth(
    kind: str, name: str, size: Floats, before: Residuals, settings: MonitorSettings
) -> Shift:
    now = middle_of(size)
    by = math.log(max(now.level, _LEAST) / max(before.size, _LEAST))
    error = math.hypot(
        now.error / max(now.level, _LEAST), before.size_error / max(before.size, _LEAST)
    )
    p_value = beyond(by, error, TOLERATED * math.log1p(settings.spread), now.rows)
    return Shift(kind, name, now.rows, by, error, p_value)


def grade_of_scatter(one: Shift, settings: MonitorSettings) -> Level:
    """Return how grave it is that prices surely scatter more."""
    return Level.RETRAIN if math.expm1(one.by) > settings.spread else Level.LOOK


def answered_checks(
    seen: Observed, reference: Reference | None, settings: MonitorSettings, chance: float
) -> list[Check]:
    """Tell how far outcomes are from what this model had answered; nothing where they are few.

    Other than the level, it is of the day that each answer was for: without a date in the request
    that is the model's valuation date, for ever.

    Parameters
    ----------
    chance : of a false alarm.
    """
    is_outcome = np.array([one != LISTED for one in seen.source], dtype=bool)
    rows = np.flatnonzero(is_outcome & (seen.is_ours > 0) & np.isfinite(seen.quoted))
    if len(rows) < settings.fewest:
        return []
    off, _ = _as_answered(seen, rows)
    one = shift_of(off, reference.whole if reference else NOTHING, settings.level)
    width = reach(one.error, one.rows)
    low, value, high = (100 * math.expm1(one.by + way * width) for way in (-1, 0, 1))
    is_off = one.chance <= chance
    told = (
        f"cars cost {value:+.1f} % ({low:+.1f} to {high:+.1f} %) beside what this model had "
        f"answered, of {one.rows:,} outcomes"
    )
    if is_off:
        told += (
            "; answers to requests without a date are for the model's valuation date, however old "
            "it is: training again on newer listings moves it"
        )
    values = {
        "rows": one.rows,
        "shift_percent": value,
        "interval": [low, high],
        "standard_error": one.error,
        "chance": one.chance,
    }
    return [Check("as_answered", "model", Level.LOOK if is_off else Level.FINE, told, values)]


def model_checks(
    seen: Observed,
    found: Sequence[Shift],
    grown: Sequence[Shift],
    settings: MonitorSettings,
) -> list[Check]:
    """Tell the scatter, the errors, the coverage by age band, and what is negotiated."""
    checks = []
    if found:
        grades = [grade_of_scatter(one, settings) for one in grown]
        told = "; ".join(_told_scatter(one) for one in (grown or found[:1]))
        values = [
            {
                "cars": one.told,
                "rows": one.rows,
                "more_percent": 100 * math.expm1(one.by),
                "standard_error": one.error,
                "chance": one.chance,
                "is_certain": one in grown,
            }
            for one in found
        ]
        checks.append(
            Check(
                "scatter",
                "model",
                max(grades, default=Level.FINE),
                f"around their level, prices scatter beside training: {told}; "
                f"{100 * settings.spread:g} % more are put up with",
                {"scatter": values},
            )
        )
    is_asked = settings.prices == "asked"
    for name, rows in _by_source(seen):
        errors = Errors.of(seen.off[rows], seen.inside[rows])
        by = ", by what was asked where that is known" if name == OUTCOMES and is_asked else ""
        told = (
            f"{name}{by}: {errors.rows:,} cars, bias {errors.bias[0]:+.1f} %, MdAPE "
            f"{errors.mdape[0]:.1f} %, {errors.within_10[0]:.0f} % within 10 %, "
            f"{errors.coverage[0]:.0f} % in the range at 90 %"
        )
        key = "errors_of_" + name.replace(" ", "_")
        checks.append(Check(key, "model", Level.FINE, told, errors.to_json()))
    if gap := seen.gap:
        width = reach(gap.error, gap.rows)
        low, value, high = (100 * math.expm1(gap.level + way * width) for way in (-1, 0, 1))
        checks.append(
            Check(
                "asking_to_sale",
                "model",
                Level.FINE,
                f"cars are sold for {value:+.1f} % ({low:+.1f} to {high:+.1f} %) beside what was "
                f"asked, of {gap.rows:,} sales; that is no error of the model",
                {"rows": gap.rows, "gap_percent": value, "interval": [low, high]},
            )
        )
    return checks


def _told_scatter(one: Shift) -> str:
    width = reach(one.error, one.rows)
    low, value, high = (100 * math.expm1(one.by + way * width) for way in (-1, 0, 1))
    return f"{one.told} {value:+.0f} % ({low:+.0f} to {high:+.0f} %, {one.rows:,} cars)"


def _by_source(seen: Observed) -> Iterator[tuple[str, Codes]]:
    is_listed = np.array([one == LISTED for one in seen.source], dtype=bool)
    for name, rows in ((OUTCOMES, ~is_listed), (FRESH, is_listed)):
        if rows.any():
            yield name, np.flatnonzero(rows)


def model_charts(seen: Observed, recent: Observed) -> list[Chart]:
    """Draw errors and coverage by month and source, coverage by age, and errors by version."""
    named: list[tuple[str, str, Errors]] = []
    for source, own in _by_source(seen):
        part = seen.take(own)
        named += [
            (month, source, Errors.of(part.off[rows], part.inside[rows]))
            for month, rows in part.months()
            if len(rows) >= _FEWEST_SHOWN
        ]
    charts = [
        _line("mdape_by_month", "Median error, by month", "mdape", named),
        _line("bias_by_month", "Middle error: above 0, the model says too much", "bias", named, 0),
        _line("within_10_by_month", "Prices off by 10 % at most, by month", "within_10", named),
        _line("coverage_by_month", "Prices in the range at 90 %, by month", "coverage", named, 90),
    ]
    bands = [
        (band, Errors.of(recent.off[rows], recent.inside[rows]))
        for band in AGE_BANDS
        if len(rows := _where(recent.segments["age"], band))
    ]
    charts.append(
        Chart(
            "coverage_by_age",
            "model",
            "Prices in the range at 90 %, by age in years",
            "bar",
            Table(
                ("age", "coverage", "low", "high", "cars"),
                [(band, *one.coverage, one.rows) for band, one in bands],
            ),
            *("coverage", "low", "high"),
            reference=90.0,
            unit="%",
        )
    )
    versions = [
        (version, Errors.of(*_as_answered(seen, rows)))
        for version, rows in rows_of(_answered_versions(seen))
        if len(rows) >= _FEWEST_SHOWN
    ]
    charts.append(
        Chart(
            "mdape_by_version",
            "model",
            "Median error of what was answered, by version of the model",
            "bar",
            Table(
                (
                    *("version", "mdape", "low", "high", "bias"),
                    *("within_10", "coverage", "cars"),
                ),
                [
                    (name, *one.mdape, one.bias[0], one.within_10[0], one.coverage[0], one.rows)
                    for name, one in versions
                ],
            ),
            *("mdape", "low", "high"),
            unit="%",
        )
    )
    return [chart for chart in charts if chart.table.rows]


def _line(
    name: str,
    title: str,
    figure: str,
    named: Sequence[tuple[str, str, Errors]],
    reference: float | None = None,
) -> Chart:
    rows = [(month, source, *getattr(one, figure), one.rows) for month, source, one in named]
    return Chart(
        name,
        "model",
        title,
        "line",
        Table(("month", "prices", figure, "low", "high", "cars"), rows),
        *(figure, "low", "high"),
        series="prices",
        reference=reference,
        unit="%",
    )


def _where(names: Sequence[str], name: str) -> Codes:
    return np.flatnonzero(np.array(names, dtype=object) == name)


def _answered_versions(seen: Observed) -> list[str]:
    known = np.isfinite(seen.quoted).tolist()
    return [one if is_known else "" for one, is_known in zip(seen.version, known, strict=True)]


def _as_answered(seen: Observed, rows: Codes) -> tuple[Floats, Floats]:
    off = seen.off[rows] + np.log(seen.predicted[rows]) - np.log(seen.quoted[rows])
    return off, seen.quoted_inside[rows]
