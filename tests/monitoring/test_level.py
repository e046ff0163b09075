"""False alarms and power of the level, the segments and the scatter, on made-up residuals."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.random import Generator

from carprice.arrays import Floats
from carprice.listings.features import Features
from carprice.model.reference import SEGMENTED, Reference, residuals_of, rows_of
from carprice.monitoring.accuracy import Errors, find_scatter
from carprice.monitoring.level import find_market
from carprice.monitoring.observed import Observed
from carprice.settings import MonitorSettings

STRICT = MonitorSettings(level=1e-6, apart=1e-6, spread=1e-6)
"""Nothing is tolerated, so that chance alone keeps a check quiet."""
SHARES = {
    "make": np.array([0.3, 0.2, 0.15, 0.1, 0.1, 0.08, 0.04, 0.03]),
    "model": np.full(25, 0.04),
    "age": np.array([0.25, 0.3, 0.25, 0.2]),
    "fuel": np.array([0.7, 0.25, 0.05]),
    "transmission": np.array([0.75, 0.25]),
    "body": np.array([0.5, 0.3, 0.2]),
    "region": np.array([1.0]),
    "price": np.full(5, 0.2),
}
BANDS = ("0-3", "4-6", "7-9", "10+")


def parted(rows: int, random: Generator) -> dict[str, Sequence[str]]:
    found = {}
    for kind in SEGMENTED:
        codes = random.choice(len(SHARES[kind]), rows, p=SHARES[kind])
        found[kind] = [BANDS[code] if kind == "age" else f"{kind} {code}" for code in codes]
    return found


def scattered(rows: int, random: Generator) -> Floats:
    """Tails as heavy as those of real prices."""
    return np.asarray(0.13 * random.standard_t(4, rows))


def seen_cars(off: Floats, segments: dict[str, Sequence[str]]) -> Observed:
    rows = len(off)
    return Observed(
        features=Features({}, {}, [""] * rows),
        off=off,
        half=np.full(rows, 0.25),
        below=np.full(rows, 0.25),
        above=np.full(rows, 0.25),
        inside=(np.abs(off) < 0.25).astype(np.float64),
        predicted=np.ones(rows),
        plain=np.ones(rows),
        quoted=np.full(rows, np.nan),
        quoted_inside=np.full(rows, np.nan),
        is_ours=np.zeros(rows),
        day=np.full(rows, np.datetime64("2025-01-01")),
        source=["listed"] * rows,
        version=[""] * rows,
        segments=segments,
    )


def trained(rows: int, random: Generator) -> Reference:
    cars = seen_cars(scattered(rows, random), parted(rows, random))
    found = {"": {"": residuals_of(cars.off, cars.half, cars.inside)}}
    for kind, names in cars.segments.items():
        found[kind] = {
            name: residuals_of(cars.off[own], cars.half[own], cars.inside[own])
            for name, own in rows_of(names)
            if len(own) >= 30
        }
    return Reference(rows, None, None, {}, {"fifths": []}, {}, {}, found)


def test_false_alarms_are_as_rare_as_is_set() -> None:
    random, runs, chance = np.random.default_rng(0), 100, 0.05
    level = apart = grown = 0
    for _ in range(runs):
        reference = trained(2_500, random)
        cars = seen_cars(scattered(800, random), parted(800, random))
        market = find_market(cars, reference, STRICT, chance)
        level += market.is_sure
        apart += bool(market.apart)
        grown += bool(find_scatter(cars, market, reference, STRICT, chance)[1])
    most = runs * chance + 2.6 * np.sqrt(runs * chance * (1 - chance))
    assert max(level, apart, grown) <= most
    assert level >= 1  # it is a test, not a no


def test_the_segment_that_moved_is_named_and_no_other() -> None:
    random = np.random.default_rng(1)
    for make, kept in ((0, 0.02), (3, 0.02), (6, 0.02)):
        reference = trained(8_000, random)
        cars = seen_cars(scattered(2_000, random), parted(2_000, random))
        own = np.array(cars.segments["make"]) == f"make {make}"
        moved = seen_cars(cars.off - 0.16 * own, dict(cars.segments))
        market = find_market(moved, reference, MonitorSettings(), 0.01)
        assert [(one.kind, one.name) for one in market.apart] == [("make", f"make {make}")]
        assert market.apart[0].by == pytest.approx(-0.16, abs=0.05)
        assert abs(market.rest.by) < kept
        assert not find_scatter(moved, market, reference, MonitorSettings(), 0.01)[1]


def test_a_level_that_moved_moves_no_segment_apart_and_is_no_scatter() -> None:
    random = np.random.default_rng(2)
    reference = trained(8_000, random)
    cars = seen_cars(scattered(2_000, random) - 0.3, parted(2_000, random))
    market = find_market(cars, reference, MonitorSettings(), 0.01)
    assert market.whole.by == pytest.approx(-0.3, abs=0.02)
    assert market.is_sure
    assert market.apart == []
    assert not find_scatter(cars, market, reference, MonitorSettings(), 0.01)[1]


def test_errors_have_intervals_that_hold_them() -> None:
    random = np.random.default_rng(3)
    held = []
    for _ in range(300):
        off = random.normal(0.05, 0.1, 150)
        errors = Errors.of(off, (np.abs(off) < 0.2).astype(np.float64))
        truth = {"bias": 100 * np.expm1(-0.05), "coverage": 92.70}
        held.append([getattr(errors, n)[1] <= v <= getattr(errors, n)[2] for n, v in truth.items()])
    bias, coverage = np.mean(held, axis=0)
    assert 0.91 <= bias <= 0.99
    assert 0.93 <= coverage <= 1.0
